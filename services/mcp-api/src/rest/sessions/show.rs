use web::{
    Page, Principal, Problem, Query,
    axum::{
        Extension, Json,
        extract::{Path, State},
    },
};

use crate::{Api, sessions::show::SessionDetail};

/// Show a session with its events, the oldest first, and its findings
#[utoipa::path(
    get,
    path = "/api/v1/sessions/{sensor}/{session}",
    operation_id = "get_session",
    tag = "sessions",
    params(("sensor" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$"), ("session" = String, Path), Page),
    responses((status = 200, description = "The session", body = SessionDetail))
)]
pub(in crate::rest) async fn show(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    Path((sensor, session)): Path<(String, String)>,
    query: Query,
) -> Result<Json<SessionDetail>, Problem> {
    let page = query.read(Page::read)?;
    api.session(&who, &sensor, &session, &page).await.map(Json)
}
