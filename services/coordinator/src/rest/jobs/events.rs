use ::jobs::Status;
use futures::StreamExt;
use utoipa::IntoParams;
use web::{
    Params, Problem, Query,
    axum::{
        extract::{Path, State},
        response::IntoResponse,
    },
    sse::{self, LastEventId, Message},
};

use crate::{service::Service, watch};

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::rest) struct After {
    /// Only statuses with a newer version; the header Last-Event-ID comes first
    #[param(minimum = 0, default = 0, required = false)]
    after_version: i64,
}

impl After {
    fn read(params: &mut Params, last: &LastEventId) -> Self {
        let asked = params.integer("after_version", 0..=i64::MAX).unwrap_or_default();
        let Some(id) = &last.0 else { return Self { after_version: asked } };
        let version = id.parse().ok().filter(|&version: &i64| version >= 0);
        if version.is_none() {
            params.wrong("Last-Event-ID", "expected the id of an event of this stream");
        }
        Self { after_version: version.unwrap_or_default() }
    }
}

/// Follow a job, as server-sent events
///
/// First the states that it went through, then its status as it changes; the stream ends after the final state.
/// `event: status`, `id:` the version, `data:` a status. `event: problem` (data: a problem) ends the stream.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/events",
    operation_id = "watch_job",
    tag = "jobs",
    params(
        ("id" = Uuid, Path),
        After,
        ("Last-Event-ID" = Option<i64>, Header, description = "The version of the last status that was received")
    ),
    responses((status = 200, description = "Statuses", body = Status, content_type = "text/event-stream"))
)]
pub(in crate::rest) async fn events(
    State(service): State<Service>,
    Path(id): Path<String>,
    query: Query,
    last: LastEventId,
) -> Result<impl IntoResponse, Problem> {
    let After { after_version } = query.read(|params| After::read(params, &last))?;
    let stop = service.stop.clone();
    let statuses = watch::watch(service, &id, after_version).await?;
    Ok(sse::events(statuses.map(|status| status.map(|status| message(&status))), stop))
}

fn message(status: &Status) -> Message {
    Message {
        event: "status",
        id: status.version.to_string(),
        data: serde_json::to_string(status).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_resumes_after_the_last_event_that_it_saw() {
        let read = |query: &[(&str, &str)], last: Option<&str>| {
            let last = LastEventId(last.map(str::to_owned));
            let after = Query::from_pairs(query).read(|params| After::read(params, &last));
            after.map(|after| after.after_version).map_err(|problem| problem.errors[0].field.clone())
        };
        assert_eq!(read(&[], None), Ok(0));
        assert_eq!(read(&[("after_version", "7")], None), Ok(7));
        assert_eq!(read(&[("after_version", "7")], Some("9")), Ok(9));
        assert_eq!(read(&[], Some("x")), Err("Last-Event-ID".into()));
        assert_eq!(read(&[("after_version", "x")], None), Err("after_version".into()));
    }
}
