//! The REST interface: decode, one call, encode. `openapi.json` is its reference.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{delete, get, post, put},
};
use boot::{CancellationToken, Tasks};
use futures::{Stream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use store::JobFilter;

use crate::{
    convert,
    desk::Desk,
    guard::{self, Guard},
    problem::{Problem, plain},
    watch,
};

/// Largest body that is taken.
const LARGEST: usize = 1 << 20;

/// Serves until stop.
pub(crate) async fn serve(
    listener: tokio::net::TcpListener,
    desk: Desk,
    guard: Guard,
    tasks: Tasks,
) -> anyhow::Result<()> {
    let ended = tasks.stop();
    let app = Router::new()
        .route("/api/v1/jobs", get(list).post(submit))
        .route("/api/v1/jobs/{id}", get(show))
        .route("/api/v1/jobs/{id}/cancel", post(cancel))
        .route("/api/v1/jobs/{id}/retry", post(retry))
        .route(
            "/api/v1/jobs/{id}/events",
            get(move |state, path, query, headers| events(state, path, query, headers, ended.clone())),
        )
        .route("/api/v1/queues", get(queues))
        .route("/api/v1/queues/{queue}/pause", post(|state, path| pause(state, path, true)))
        .route("/api/v1/queues/{queue}/resume", post(|state, path| pause(state, path, false)))
        .route("/api/v1/workers", get(workers))
        .route("/api/v1/workers/{name}", delete(remove_worker))
        .route("/api/v1/schedules", get(schedules))
        .route("/api/v1/schedules/{name}", put(put_schedule).delete(delete_schedule))
        .route(
            "/openapi.json",
            get(|| async { ([(header::CONTENT_TYPE, "application/json")], include_str!("../openapi.json")) }),
        )
        .fallback(|| async { Problem::NotFound("there is nothing here: /openapi.json tells what is".into()) })
        .layer(axum::middleware::from_fn_with_state(guard, guard::guard))
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(axum::middleware::map_response(as_problem))
        .with_state(desk);
    boot::serve_http(listener, "rest", app, &tasks).await
}

/// What is refused before a handler sees it is told in the same form.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let kind =
        response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !(status.is_client_error() || status.is_server_error()) || kind.starts_with("application/") {
        return response;
    }
    let (mut problem, old) = (
        plain(status, &status.canonical_reason().unwrap_or_default().to_lowercase()),
        response.into_parts().0,
    );
    // What a status needs besides its body stays: Allow of 405, say.
    for (name, value) in
        old.headers.iter().filter(|(name, _)| ![header::CONTENT_LENGTH, header::CONTENT_TYPE].contains(name))
    {
        problem.headers_mut().insert(name, value.clone());
    }
    problem
}

type Answer = Result<Json<Value>, Problem>;

fn read(body: &Bytes) -> Result<Value, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::field("body", format!("not JSON: {error}")))
}

async fn submit(
    State(desk): State<Desk>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<impl IntoResponse, Problem> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = read(&body)?;
    add_idempotency_key(&headers, &mut body)?;
    let (job_id, created) = desk.submit(body, header("traceparent")).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((
        status,
        [(header::LOCATION, format!("/api/v1/jobs/{job_id}"))],
        Json(json!({ "job_id": job_id, "created": created })),
    ))
}

/// The key may be in the header, which clients of other interfaces know, or in the body. One that cannot be
/// used is refused: without it a repetition would be a second job.
fn add_idempotency_key(headers: &HeaderMap, body: &mut Value) -> Result<(), Problem> {
    let wrong = |message: &str| Err(Problem::field("Idempotency-Key", message));
    let (mut keys, Some(body)) = (headers.get_all("idempotency-key").iter(), body.as_object_mut()) else {
        return Ok(());
    };
    let Some(key) = keys.next() else { return Ok(()) };
    if keys.any(|other| other != key) {
        return wrong("given several times, with different values");
    }
    match std::str::from_utf8(key.as_bytes()).map(str::trim) {
        Err(_) => wrong("not UTF-8"),
        Ok("") => wrong("empty"),
        Ok(key) => match body.get("idempotency_key") {
            Some(Value::String(other)) if !other.is_empty() && other != key => {
                wrong("the header and idempotency_key in the body differ")
            }
            Some(Value::Null | Value::String(_)) | None => {
                body.insert("idempotency_key".into(), key.into());
                Ok(())
            }
            // Refused as what it is, with everything else that is wrong.
            Some(_) => Ok(()),
        },
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// Separated by commas.
    #[serde(default)]
    state: String,
    queue: Option<String>,
    job_type: Option<String>,
    #[serde(default)]
    page_size: u32,
    #[serde(default)]
    page_token: String,
}

async fn list(
    State(desk): State<Desk>,
    query: Result<Query<Listing>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(query) = query.map_err(|error| Problem::field("query", error.body_text()))?;
    let states =
        query.state.split(',').filter(|state| !state.is_empty()).map(str::parse).collect::<Result<_, _>>();
    let states = states.map_err(|why: String| Problem::field("state", why))?;
    let filter = JobFilter { states, queue: query.queue, job_type: query.job_type, after: None };
    let (jobs, next) = desk.list(filter, query.page_size, &query.page_token).await?;
    let jobs: Vec<_> = jobs.iter().map(|(job, status)| convert::job_json(job, status)).collect();
    Ok(Json(json!({ "jobs": jobs, "next_page_token": next })))
}

async fn show(State(desk): State<Desk>, Path(id): Path<String>) -> Answer {
    Ok(Json(convert::shown_json(&desk.show(&id).await?)))
}

async fn cancel(State(desk): State<Desk>, Path(id): Path<String>) -> Answer {
    Ok(Json(json!(desk.cancel(&id).await?)))
}

async fn retry(State(desk): State<Desk>, Path(id): Path<String>) -> Answer {
    Ok(Json(json!(desk.retry(&id).await?)))
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after_version: i64,
}

/// Server-sent events: `event: status`, `id:` the version, so that a browser that comes back goes on where it
/// was.
async fn events(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    query: Result<Query<After>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    stop: CancellationToken,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let Query(query) = query.map_err(|error| Problem::field("query", error.body_text()))?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let statuses = watch::watch(desk, &id, last.unwrap_or(query.after_version)).await?;
    let told = statuses.map(|status| {
        Ok(match status {
            Ok(status) => Event::default()
                .event("status")
                .id(status.version.to_string())
                .data(serde_json::to_string(&status).unwrap_or_default()),
            Err(_) => Event::default().event("error").data("not available for now"),
        })
    });
    Ok(Sse::new(told.take_until(stop.cancelled_owned()))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

async fn queues(State(desk): State<Desk>) -> Answer {
    Ok(Json(json!({ "queues": desk.queues().await? })))
}

async fn pause(State(desk): State<Desk>, Path(queue): Path<String>, paused: bool) -> Answer {
    desk.pause(&queue, paused).await?;
    Ok(Json(json!({ "queue": queue, "paused": paused })))
}

async fn workers(State(desk): State<Desk>) -> Answer {
    let (workers, routes) = desk.workers().await?;
    let workers: Vec<_> = workers.iter().map(convert::worker_json).collect();
    Ok(Json(json!({ "workers": workers, "job_routing": routes })))
}

async fn remove_worker(State(desk): State<Desk>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    desk.remove_worker(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn schedules(State(desk): State<Desk>) -> Answer {
    let schedules: Vec<_> = desk.schedules().await?.iter().map(convert::schedule_json).collect();
    Ok(Json(json!({ "schedules": schedules })))
}

async fn put_schedule(State(desk): State<Desk>, Path(name): Path<String>, body: Bytes) -> Answer {
    let mut errors = Vec::new();
    let mut fields = fields::Fields::of(read(&body)?, "", &mut errors);
    let (cron, job) = (fields.text("cron", 100).unwrap_or_default(), fields.take("job").unwrap_or_default());
    let catch_up = match fields.take("catch_up") {
        None => false,
        Some(Value::Bool(on)) => on,
        Some(_) => {
            fields.wrong("catch_up", "expected true or false");
            false
        }
    };
    fields.end();
    if !errors.is_empty() {
        return Err(Problem::Invalid(errors));
    }
    Ok(Json(convert::schedule_json(&desk.put_schedule(name, cron, job, catch_up).await?)))
}

async fn delete_schedule(State(desk): State<Desk>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    desk.delete_schedule(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
