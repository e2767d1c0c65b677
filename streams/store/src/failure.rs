//! Classifies database errors: whether to try a batch again or to reject its data.

use std::fmt;

use sqlx::Error;

use crate::connect::POOLED;

#[derive(Debug)]
pub enum Failure {
    /// The database was unavailable or overloaded, or two transactions conflicted: the same batch may succeed
    /// later.
    Retry(anyhow::Error),
    /// The data were refused: the same batch will fail again, but may succeed without the offending row.
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
        // A prepared statement exists already, or does not exist: another session prepared it.
        if matches!(&error, Error::Database(database) if database.code().is_some_and(|code| matches!(&*code, "42P05" | "26000")))
        {
            return Self::Retry(anyhow::Error::from(error).context(POOLED));
        }
        if refused { Self::Reject(error.into()) } else { Self::Retry(error.into()) }
    }
}

impl Failure {
    /// Whether the database was unavailable or overloaded, or transactions conflicted, so that the caller is
    /// not to blame. A statement that took too long is not included.
    pub fn is_outage(&self) -> bool {
        let in_the_way = match self.cause() {
            // 58 system error, 25006 a standby, 40 two transactions conflicted.
            Some(Error::Database(error)) => error
                .code()
                .is_some_and(|code| ["58", "25006", "40"].iter().any(|class| code.starts_with(class))),
            _ => false,
        };
        matches!(self, Self::Retry(_)) && (in_the_way || self.is_away())
    }

    /// Whether the database could not be reached, or refuses all work for now. Other work on the database
    /// will fail, too.
    pub fn is_away(&self) -> bool {
        match self.cause() {
            Some(
                Error::Io(_)
                | Error::Tls(_)
                | Error::Protocol(_)
                | Error::PoolTimedOut
                | Error::PoolClosed
                | Error::WorkerCrashed,
            ) => true,
            // 08 connection, 53 no resources, 57P01 to 57P03 shutting down or starting.
            Some(Error::Database(error)) => error.code().is_some_and(|code| {
                matches!(code.get(..2), Some("08" | "53")) || matches!(&*code, "57P01" | "57P02" | "57P03")
            }),
            _ => false,
        }
    }

    /// Whether the statement was ended by its time limit.
    pub fn is_timeout(&self) -> bool {
        matches!(self.cause(), Some(Error::Database(error)) if error.code().as_deref() == Some("57014"))
    }

    /// Whether another transaction inserted a conflicting row after the caller had looked.
    pub fn is_conflict(&self) -> bool {
        matches!(self.cause(), Some(Error::Database(error)) if error.is_unique_violation())
    }

    fn cause(&self) -> Option<&Error> {
        let (Self::Retry(error) | Self::Reject(error)) = self;
        error.downcast_ref()
    }
}

/// The error with its causes, in one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Retry(error) | Self::Reject(error)) = self;
        write!(f, "{error:#}")
    }
}

impl From<Failure> for anyhow::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry(error) | Failure::Reject(error) => error,
        }
    }
}
