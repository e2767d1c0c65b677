//! The access check of each call: the same keys, scopes and limits as over REST.
//!
//! A call needs the scope of the REST operation of the same name. Health is open, because load balancers and
//! Kubernetes send no key; it only says whether the service runs. Reflection needs a key, of any scope.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use tonic::{Request, Status, body::Body};
use web::{
    Class, Granted, Operation, Operations, Principal, Problem, Scope, StreamPlace, Verify, Wanted,
    axum::{
        extract::{Request as HttpRequest, State},
        middleware::Next,
        response::{IntoResponse, Response},
    },
    credential,
};

use crate::problem::status;

const HEALTH: &str = "/grpc.health.v1.Health/";
/// The package of the services of cowriestream.
const OURS: &str = "/cowrie.v1.";
/// Calls of workers; REST has none of these.
const OF_WORKERS: [&str; 2] = ["register_worker", "send_heartbeat"];

/// What a call needs; `None`: nothing.
pub(super) fn operation(operations: &Operations, path: &str) -> Option<Operation> {
    if path.starts_with(HEALTH) {
        return None;
    }
    let any = |scope, class| Operation { id: path.chars().take(100).collect(), scope, class };
    let Some(call) = path.strip_prefix(OURS).and_then(|rest| rest.split_once('/')).map(|(_, call)| call)
    else {
        return Some(any(None, Class::Stream));
    };
    let id = snake_case(call);
    if OF_WORKERS.contains(&id.as_str()) {
        return Some(Operation { id, scope: Some(Scope::Admin), class: Class::Write });
    }
    // A call that REST does not have is for nobody else, until someone decides.
    Some(operations.named(&id).cloned().unwrap_or_else(|| any(Some(Scope::Admin), Class::Write)))
}

/// `SubmitJob` is `submit_job`.
fn snake_case(call: &str) -> String {
    let mut id = String::new();
    for c in call.chars().take(100) {
        if c.is_ascii_uppercase() && !id.is_empty() {
            id.push('_');
        }
        id.push(c.to_ascii_lowercase());
    }
    id
}

/// Refuses a call, or puts its principal and its place among the streams into its extensions.
pub(super) async fn authenticate<V: Verify>(
    State((verify, operations)): State<(V, Arc<Operations>)>,
    mut request: HttpRequest,
    next: Next,
) -> Response {
    let Some(operation) = operation(&operations, request.uri().path()) else {
        return next.run(request).await;
    };
    let from = web::peer(&request);
    let wanted = Wanted { credential: credential(request.headers()), operation: &operation, from };
    match verify.verify(wanted).await {
        Ok(Granted { principal, stream, .. }) => {
            request.extensions_mut().insert(principal);
            if let Some(place) = stream {
                request.extensions_mut().insert(place);
            }
            next.run(request).await
        }
        Err(problem) => status(problem).into_http::<Body>().into_response(),
    }
}

/// Who sent a call.
pub(super) fn principal<T>(request: &Request<T>) -> Result<Principal, Status> {
    let principal = request.extensions().get::<Principal>().cloned();
    principal.ok_or_else(|| Status::unauthenticated("no credential was checked"))
}

/// The place of a call among the streams of its key, where these are limited.
pub(super) fn place<T>(request: &Request<T>) -> Option<Arc<StreamPlace>> {
    request.extensions().get::<Arc<StreamPlace>>().cloned()
}

/// A stream that holds its place, and ends with an error when the key stops being valid.
pub(super) fn limited<T: Send + 'static>(
    answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    place: Option<Arc<StreamPlace>>,
) -> impl Stream<Item = Result<T, Status>> + Send + 'static {
    let ended = place.as_ref().map(|place| place.ended.clone()).unwrap_or_default();
    let over = ended.clone();
    let end = futures::stream::iter([()]).filter_map(move |()| {
        let problem = || Problem::new(web::Code::Unauthenticated, "the key is no longer valid");
        std::future::ready(over.is_cancelled().then(|| Err(status(problem()))))
    });
    answers.take_until(ended.cancelled_owned()).chain(end).map(move |answer| {
        // Held for as long as the stream.
        let _place = &place;
        answer
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest;

    #[test]
    fn each_call_needs_the_scope_of_its_rest_operation() {
        let operations = rest::operations();
        let of = |path: &str| operation(&operations, path);
        assert_eq!(of("/grpc.health.v1.Health/Check"), None);
        let submit = of("/cowrie.v1.JobsService/SubmitJob").unwrap();
        assert_eq!((submit.scope, submit.class), (Some(Scope::JobsSubmit), Class::Write));
        let watch = of("/cowrie.v1.JobsService/WatchJob").unwrap();
        assert_eq!((watch.scope, watch.class), (Some(Scope::JobsRead), Class::Stream));
        assert_eq!(of("/cowrie.v1.JobsService/Nothing").unwrap().scope, Some(Scope::Admin));
        assert_eq!(of("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").unwrap().scope, None);
        // Every call of the interface, as the descriptors name them.
        let text = String::from_utf8_lossy(proto::DESCRIPTORS);
        for call in ["SubmitJob", "GetJob", "ListJobs", "CancelJob", "RetryJob", "PauseQueue", "PutSchedule"]
        {
            assert!(text.contains(call), "{call}");
            assert!(operations.named(&snake_case(call)).is_some(), "{call}");
        }
        // Every REST operation of jobs, queues, workers and schedules needs a scope.
        assert!(operations.iter().all(|operation| operation.scope.is_some()));
    }
}
