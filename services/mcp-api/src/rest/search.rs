use utoipa::IntoParams;
use web::{
    Principal, Problem, Query,
    axum::{Extension, Json, extract::State},
};

use crate::{
    Api,
    range::{RangeParams, over, read_span},
    search::{LONGEST, SearchResult},
};

/// What to search for
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "documentation")]
pub(in crate::rest) struct SearchParams {
    /// An address, a network, a hash, a session, a user name, a command, host:port, user:password
    #[param(min_length = 1, max_length = 1000, example = "203.0.113.7")]
    q: String,
}

/// Find out what a text names
#[utoipa::path(
    get,
    path = "/api/v1/search",
    operation_id = "search",
    tag = "things",
    params(SearchParams, RangeParams),
    responses((status = 200, description = "What was seen with this name", body = SearchResult))
)]
pub(in crate::rest) async fn search(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    query: Query,
) -> Result<Json<SearchResult>, Problem> {
    let (q, span) = query.read(|params| {
        let q = params.text("q").unwrap_or_default();
        if q.is_empty() || q.chars().count() > LONGEST || q.contains('\0') {
            params.wrong("q", format!("expected 1 to {LONGEST} characters without NUL"));
        }
        (q, read_span(params))
    })?;
    api.search(&who, &q, &over(&who, span, Vec::new())?).await.map(Json)
}
