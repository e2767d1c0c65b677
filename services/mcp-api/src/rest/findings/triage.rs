use fields::Fields;
use utoipa::ToSchema;
use web::{
    Body, NoQuery, Principal, Problem,
    axum::{
        Extension, Json,
        extract::{Path, State},
    },
};

use crate::{
    Api,
    findings::show::{FindingDetail, STATUSES},
};

/// Longest note.
const LONGEST_NOTE: usize = 2_000;

/// What somebody says about a finding
#[derive(PartialEq, Debug, ToSchema)]
#[schema(as = TriageRequest)]
pub(in crate::rest) struct Request {
    /// open, acknowledged, false_positive or resolved
    #[schema(pattern = "^(open|acknowledged|false_positive|resolved)$", example = "acknowledged")]
    status: String,
    #[schema(max_length = 2000)]
    note: Option<String>,
}

impl Request {
    fn read(fields: &mut Fields<'_>) -> Self {
        let absent = fields.one_of("status", &STATUSES);
        let note = fields.text("note", LONGEST_NOTE);
        Self { status: absent.unwrap_or_default().to_owned(), note }
    }
}

/// Say what you think of a finding: its status, and a note
#[utoipa::path(
    patch,
    path = "/api/v1/findings/{id}",
    operation_id = "triage_finding",
    tag = "findings",
    params(("id" = Uuid, Path)),
    request_body = Request,
    responses((status = 200, description = "The finding as it is now", body = FindingDetail))
)]
pub(in crate::rest) async fn triage(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    Path(id): Path<String>,
    _: NoQuery,
    body: Body,
) -> Result<Json<FindingDetail>, Problem> {
    let Request { status, note } = body.read(Request::read)?;
    if status.is_empty() {
        return Err(Problem::field("status", format!("expected one of {}", STATUSES.join(", "))));
    }
    api.triage(&who, &id, &status, note.as_deref()).await.map(Json)
}
