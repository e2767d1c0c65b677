//! Translates failures of the database into problems.

use store::Failure;
use web::{Code, Problem};

use crate::api::STATEMENT_LIMIT;

/// The problem that a failed statement is, and a line in the log.
pub(crate) fn failed(failure: Failure) -> Problem {
    let problem = match &failure {
        failure if failure.is_timeout() => {
            let seconds = STATEMENT_LIMIT.as_secs();
            Problem::unavailable(format!("a query took longer than {seconds} s: ask for a shorter range"))
        }
        Failure::Reject(_) => Problem::field("request", "the database refuses a value"),
        Failure::Retry(_) => away(),
    };
    let error = anyhow::Error::from(failure);
    tracing::warn!(error = format!("{error:#}"), "could not answer a request");
    problem
}

pub(crate) fn away() -> Problem {
    Problem::unavailable("the database did not answer; try again")
}

/// Refuses a request that cannot be answered for a key that is limited to sensors.
pub(crate) fn not_by_sensor(what: &str) -> Problem {
    Problem::new(Code::Forbidden, format!("this key is limited to sensors, and {what} is not kept by sensor"))
}
