//! Why an attempt has no result.

use store::Failure;

use crate::backend::ApplyError;

/// Why an attempt has no result.
#[derive(Debug)]
pub enum AttemptError {
    /// Another attempt may succeed.
    Retry(anyhow::Error),
    /// Every attempt would fail.
    GiveUp(anyhow::Error),
    /// The process of the attempt died.
    Crashed(anyhow::Error),
    /// A dependency is unavailable. The attempt does not count.
    Interrupted(anyhow::Error),
    /// The attempt was stopped from outside.
    Stopped,
}

impl From<AttemptError> for anyhow::Error {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::Retry(error)
            | AttemptError::GiveUp(error)
            | AttemptError::Crashed(error)
            | AttemptError::Interrupted(error) => error,
            AttemptError::Stopped => anyhow::anyhow!("stopped"),
        }
    }
}

impl From<Failure> for AttemptError {
    fn from(failure: Failure) -> Self {
        let outage = failure.is_outage();
        match failure {
            Failure::Retry(error) if outage => Self::Interrupted(error),
            Failure::Retry(error) => Self::Retry(error),
            Failure::Reject(error) => Self::GiveUp(error),
        }
    }
}

impl From<ApplyError> for AttemptError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::LeaseLost => Self::Stopped,
            ApplyError::Repeated(step) => Self::GiveUp(anyhow::anyhow!(
                "step {step} was already stored, but the checkpoint does not include it"
            )),
            ApplyError::Store(failure) => failure.into(),
        }
    }
}
