//! Who may do what: credentials, principals and scopes.

use std::future::Future;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{Code, Problem};

/// What a credential allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    StatsRead,
    SecretsRead,
    FindingsWrite,
    JobsRead,
    JobsSubmit,
    Admin,
}

impl Scope {
    pub const ALL: [Self; 6] = [
        Self::StatsRead,
        Self::SecretsRead,
        Self::FindingsWrite,
        Self::JobsRead,
        Self::JobsSubmit,
        Self::Admin,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::StatsRead => "stats:read",
            Self::SecretsRead => "secrets:read",
            Self::FindingsWrite => "findings:write",
            Self::JobsRead => "jobs:read",
            Self::JobsSubmit => "jobs:submit",
            Self::Admin => "admin",
        }
    }
}

/// Who sent a request; an extension of the request and of its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// As the access log shows it.
    pub name: String,
    pub scopes: Vec<Scope>,
    /// The sensors whose data it may see; `None`: all.
    pub sensors: Option<Vec<String>>,
}

/// Verifies credentials.
pub trait Verify: Clone + Send + Sync + 'static {
    /// The principal of a credential; of a request without one, if such requests are allowed.
    fn verify(&self, credential: Option<&str>) -> impl Future<Output = Result<Principal, Problem>> + Send;
}

/// Whoever reaches the service may do everything.
#[derive(Clone, Copy, Debug)]
pub struct Open;

impl Verify for Open {
    async fn verify(&self, _: Option<&str>) -> Result<Principal, Problem> {
        Ok(Principal { name: "open".into(), scopes: Scope::ALL.to_vec(), sensors: None })
    }
}

/// Puts the principal into the extensions of the request and of the answer.
pub(crate) async fn authenticate<V: Verify>(
    State(verify): State<V>,
    mut request: Request,
    next: Next,
) -> Response {
    let principal = match credential(request.headers()) {
        Ok(credential) => verify.verify(credential).await,
        Err(problem) => Err(problem),
    };
    match principal {
        Ok(principal) => {
            request.extensions_mut().insert(principal.clone());
            let mut response = next.run(request).await;
            response.extensions_mut().insert(principal);
            response
        }
        Err(problem) => problem.into_response(),
    }
}

/// `X-API-Key: KEY` or `Authorization: Bearer KEY`.
fn credential(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let unreadable =
        || Problem::new(Code::Unauthenticated, "expected X-API-Key: KEY or Authorization: Bearer KEY");
    if let Some(key) = headers.get("x-api-key") {
        return key.to_str().map(Some).map_err(|_| unreadable());
    }
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let (scheme, key) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(unreadable)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(key.trim())) } else { Err(unreadable()) }
}

/// Refuses a principal without the scope.
pub(crate) async fn require(State(scope): State<Scope>, request: Request, next: Next) -> Response {
    let principal = request.extensions().get::<Principal>();
    if principal.is_some_and(|principal| principal.scopes.contains(&scope)) {
        return next.run(request).await;
    }
    Problem::new(Code::Forbidden, format!("this key does not have the scope {}", scope.name()))
        .into_response()
}
