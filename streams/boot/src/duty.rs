//! Background work that repeats and whose failures must be seen.

use std::time::Instant;

/// Reports how repeated background work goes: a warning when it begins to fail, a message when it works again, and
/// the gauge `cowriestream_duty_failing` (0 or 1) meanwhile. Failures in between are logged at `debug`.
pub struct Duty {
    /// What could not be done, after "could not", e.g. "publish the outbox".
    what: &'static str,
    failing_since: Option<Instant>,
}

impl Duty {
    /// Work that has not failed yet. `what` completes the sentence "could not …".
    pub fn new(what: &'static str) -> Self {
        metrics::gauge!("cowriestream_duty_failing", "duty" => what).set(0);
        Self { what, failing_since: None }
    }

    /// Takes the outcome of one turn.
    pub fn report<E: Into<anyhow::Error>>(&mut self, outcome: Result<(), E>) {
        match (outcome, self.failing_since) {
            (Ok(()), None) => (),
            (Ok(()), Some(since)) => {
                tracing::info!(seconds = since.elapsed().as_secs(), "works again: {}", self.what);
                self.failing_since = None;
                metrics::gauge!("cowriestream_duty_failing", "duty" => self.what).set(0);
            }
            (Err(error), None) => {
                let error = format!("{:#}", error.into());
                tracing::warn!(error, "could not {}; will retry", self.what);
                self.failing_since = Some(Instant::now());
                metrics::gauge!("cowriestream_duty_failing", "duty" => self.what).set(1);
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
        let mut duty = Duty::new("count");
        duty.report(Ok::<_, anyhow::Error>(()));
        assert!(duty.failing_since.is_none());
        duty.report(Err(anyhow::anyhow!("no numbers")));
        let since = duty.failing_since.expect("it fails");
        duty.report(Err(anyhow::anyhow!("no numbers")));
        assert_eq!(duty.failing_since, Some(since), "the first failure counts");
        duty.report(Ok::<_, anyhow::Error>(()));
        assert!(duty.failing_since.is_none());
    }
}
