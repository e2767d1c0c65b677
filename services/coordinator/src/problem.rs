//! What failures of the database are to a client, and what problems are in gRPC.

use store::Failure;
use tonic::{Code as GrpcCode, Status, metadata::MetadataValue};
use web::{Code, Problem};

/// The trailer with field errors.
const ERRORS: &str = "cowriestream-errors-bin";

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

/// A problem as gRPC carries it, with the wrong fields in the trailer.
pub(crate) fn status(problem: Problem) -> Status {
    let message = format!("{}: {}", problem.code.title(), problem.detail);
    let mut status = Status::new(GrpcCode::from_i32(problem.code.grpc()), message);
    if !problem.errors.is_empty() {
        let text = serde_json::to_vec(&problem.errors).unwrap_or_default();
        status.metadata_mut().insert_bin(ERRORS, MetadataValue::from_bytes(&text));
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_fields_travel_in_the_trailer() {
        let status = status(Problem::field("parameters.steps", "too many"));
        assert_eq!(status.code(), GrpcCode::InvalidArgument);
        assert_eq!(status.message(), "invalid request: parameters.steps: too many");
        let trailer = status.metadata().get_bin(ERRORS).unwrap().to_bytes().unwrap();
        assert_eq!(&*trailer, br#"[{"field":"parameters.steps","message":"too many"}]"#);
    }

    #[test]
    fn every_code_has_a_grpc_status() {
        for code in Code::ALL {
            assert_ne!(status(Problem::new(code, "")).code(), GrpcCode::Unknown, "{code:?}");
        }
    }
}
