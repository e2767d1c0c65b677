//! Background work that repeats and whose failures must be seen.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use crate::metrics::DUTY_FAILING;

/// Reports how repeated background work goes: a warning when it begins to fail, a message when it works
/// again, and the gauge `cowriestream_duty_failing` (0 or 1) meanwhile. Failures in between are logged at
/// `debug`. Tasks may share one.
pub struct Duty {
    /// What could not be done, after "could not", e.g. "publish the outbox".
    what: &'static str,
    failing_since: Mutex<Option<Instant>>,
}

impl Duty {
    /// Work that has not failed yet. `what` completes the sentence "could not …".
    pub fn new(what: &'static str) -> Self {
        ::metrics::gauge!(DUTY_FAILING, "duty" => what).set(0);
        Self { what, failing_since: Mutex::default() }
    }

    /// Takes the outcome of one turn.
    pub fn report<E: Into<anyhow::Error>>(&self, outcome: Result<(), E>) {
        let mut failing_since = self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        match (outcome, *failing_since) {
            (Ok(()), None) => (),
            (Ok(()), Some(since)) => {
                tracing::info!(seconds = since.elapsed().as_secs(), "works again: {}", self.what);
                *failing_since = None;
                ::metrics::gauge!(DUTY_FAILING, "duty" => self.what).set(0);
            }
            (Err(error), None) => {
                let error = format!("{:#}", error.into());
                tracing::warn!(error, "could not {}; will retry", self.what);
                *failing_since = Some(Instant::now());
                ::metrics::gauge!(DUTY_FAILING, "duty" => self.what).set(1);
            }
            (Err(error), Some(_)) => {
                tracing::debug!(error = format!("{:#}", error.into()), "still could not {}", self.what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duty_fails_once_and_recovers_once() {
        let duty = Duty::new("count");
        duty.report(Ok::<_, anyhow::Error>(()));
        let failing_since = || *duty.failing_since.lock().unwrap();
        assert!(failing_since().is_none());
        duty.report(Err(anyhow::anyhow!("no numbers")));
        let since = failing_since().expect("it fails");
        duty.report(Err(anyhow::anyhow!("no numbers")));
        assert_eq!(failing_since(), Some(since), "the first failure counts");
        duty.report(Ok::<_, anyhow::Error>(()));
        assert!(failing_since().is_none());
    }
}
