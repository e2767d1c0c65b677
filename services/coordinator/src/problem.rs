//! Translates failures of the database into problems, and problems into gRPC statuses.

use store::Failure;
use tonic::{Code as GrpcCode, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};
use web::{Code, Problem};

/// Who gives the reasons of `google.rpc.ErrorInfo`.
const DOMAIN: &str = "cowriestream";

/// The problem that a failed statement is, and a line in the log.
pub(crate) fn failed(failure: Failure) -> Problem {
    let conflict = failure.is_conflict();
    let refused = matches!(failure, Failure::Reject(_));
    let error = anyhow::Error::from(failure);
    tracing::warn!(error = format!("{error:#}"), "a call could not be answered");
    match (conflict, refused) {
        (true, _) => {
            Problem::new(Code::InvalidState, "another request made the same at the same time: look again")
        }
        (_, true) => Problem::field("request", format!("the database refuses a value: {error:#}")),
        _ => away(),
    }
}

pub(crate) fn away() -> Problem {
    Problem::unavailable("the database did not answer; try again")
}

/// A problem as gRPC carries it: its code and its wrong fields are details.
pub(crate) fn status(problem: Problem) -> Status {
    let retry_after = problem.retry_after();
    let message = format!("{}: {}", problem.code.title(), problem.detail);
    let reason = serde_json::to_value(problem.code).unwrap_or_default();
    let reason = reason.as_str().unwrap_or_default().to_uppercase();
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, []);
    if !problem.errors.is_empty() {
        let wrong = problem.errors.into_iter().map(|error| FieldViolation::new(error.field, error.message));
        details.set_bad_request(wrong.collect::<Vec<_>>());
    }
    // As in HTTP's Retry-After.
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    Status::with_error_details(GrpcCode::from_i32(problem.code.grpc()), message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_travels_in_the_details_of_the_status() {
        let refused = status(Problem::field("parameters.steps", "too many"));
        assert_eq!(refused.code(), GrpcCode::InvalidArgument);
        assert_eq!(refused.message(), "invalid request: parameters.steps: too many");
        let wrong = refused.get_details_bad_request().unwrap().field_violations;
        let wrong: Vec<_> = wrong.iter().map(|one| (&*one.field, &*one.description)).collect();
        assert_eq!(wrong, [("parameters.steps", "too many")]);
        assert_eq!(refused.get_details_error_info().unwrap().reason, "INVALID_FIELDS");
        assert!(refused.get_details_retry_info().is_none());
        assert_eq!(status(away()).get_details_retry_info().unwrap().retry_delay, away().retry_after());
    }

    #[test]
    fn every_code_has_a_grpc_status() {
        for code in Code::ALL {
            assert_ne!(status(Problem::new(code, "")).code(), GrpcCode::Unknown, "{code:?}");
        }
    }
}
