//! HTTP for every service: problems, reading of requests, pages, server-sent events, access, limits, the access
//! log, OpenAPI and serving.
//!
//! **Invariant**: every answer carries a request id, and every refusal is `application/problem+json` with a code
//! of a closed set. A handler only runs for a request that passed the host check, the limits and the access check.

mod access;
mod app;
mod authenticate;
mod body;
mod guard;
mod key;
mod limits;
mod observe;
pub mod openapi;
mod operation;
mod page;
mod problem;
mod query;
mod rate_limit;
mod request_id;
mod serve;
pub mod sse;

pub use access::{Granted, Open, Principal, Scope, StreamPlace, Verify, Wanted};
pub use app::{App, route};
pub use authenticate::{credential, peer};
pub use body::Body;
pub use guard::Guard;
pub use key::{Key, KeyHash, NotAKey};
pub use operation::{Class, Operation, Operations};
pub use page::{Page, token};
pub use problem::{Code, Problem, ProblemBody};
pub use query::{NoQuery, Params, Query};
pub use rate_limit::RateLimit;
pub use request_id::RequestId;
pub use serve::{listen, serve};
pub use {axum, utoipa_axum};
