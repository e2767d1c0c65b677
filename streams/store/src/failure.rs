//! What becomes of a batch that the database did not take.

use sqlx::Error;

use crate::connect::POOLED;

/// Why a transaction failed, as far as the caller must know.
#[derive(Debug)]
pub enum Failure {
    /// The database was away, overloaded, or two transactions met: the same batch may succeed later.
    Retry(anyhow::Error),
    /// The data were refused: the same batch will fail again, without the culprit it may succeed.
    Reject(anyhow::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let refused = match &error {
            Error::Database(database) => database.code().is_some_and(|code| {
                let class = code.get(..2).unwrap_or_default();
                // 21 cardinality, 22 data, 23 constraint, 54 too complex, P0 raised by a trigger.
                matches!(class, "21" | "22" | "23" | "54" | "P0")
            }),
            Error::Encode(_) => true,
            _ => false,
        };
        // A prepared statement that is there already, or is not there: made in another session.
        if matches!(&error, Error::Database(database) if database.code().is_some_and(|code| matches!(&*code, "42P05" | "26000"))) {
            return Self::Retry(anyhow::Error::from(error).context(POOLED));
        }
        if refused { Self::Reject(error.into()) } else { Self::Retry(error.into()) }
    }
}

impl Failure {
    /// Whether the database was away, overloaded or in the way, so that whoever asked is not to blame. A statement that took too long is not among these.
    pub fn is_outage(&self) -> bool {
        let Self::Retry(error) = self else { return false };
        match error.downcast_ref::<Error>() {
            Some(Error::Database(database)) => database.code().is_some_and(|code| {
                // 08 connection, 53 resources, 57P shutdown and start, 58 system error, 25006 a standby, 40 two transactions met.
                ["08", "53", "57P", "58", "25006", "40"].iter().any(|class| code.starts_with(class))
            }),
            Some(Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed) => true,
            _ => false,
        }
    }
}

impl From<Failure> for anyhow::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry(error) | Failure::Reject(error) => error,
        }
    }
}
