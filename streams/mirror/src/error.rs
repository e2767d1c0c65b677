//! Why Redis gave no answer.

use std::fmt;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why Redis gave no answer. The caller goes on without Redis, whatever the reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// The URL cannot be read.
    InvalidUrl(String),
    /// Redis did not answer in time, is not reachable, or does not accept this client.
    Away(String),
    /// Redis answered with an error, e.g. because its memory is full.
    Refused(String),
}

impl Error {
    /// The reason why a command on an open connection failed.
    pub(crate) fn of_command(error: &RedisError) -> Self {
        let away = error.is_io_error()
            || error.is_unrecoverable_error()
            || matches!(
                error.kind(),
                ErrorKind::AuthenticationFailed
                    | ErrorKind::Parse
                    | ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown)
            );
        if away { Self::Away(error.to_string()) } else { Self::Refused(error.to_string()) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUrl(why) => {
                write!(f, "read REDIS_URL: {why}; expected e.g. redis://127.0.0.1:6379/0")
            }
            Self::Away(why) => write!(f, "Redis does not answer: {why}"),
            Self::Refused(why) => write!(f, "Redis refuses a command: {why}"),
        }
    }
}

impl std::error::Error for Error {}
