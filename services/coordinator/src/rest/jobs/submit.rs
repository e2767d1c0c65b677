use ::jobs::JobRequest;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use web::{
    Body, NoQuery, Principal, Problem,
    axum::{
        Extension, Json,
        extract::State,
        http::{HeaderMap, StatusCode, header},
        response::IntoResponse,
    },
};

use crate::service::Service;

/// A job that was accepted, now or earlier
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct Submitted {
    job_id: Uuid,
    /// False when an idempotency key or a unique key named a job that was there
    created: bool,
}

/// Submit a job
///
/// Answered after the job is committed: it then runs, whatever dies. Safe to repeat with an idempotency key.
#[utoipa::path(
    post,
    path = "/api/v1/jobs",
    operation_id = "submit_job",
    tag = "jobs",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "As idempotency_key in the body"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context that the job continues")
    ),
    request_body = JobRequest,
    responses(
        (status = 201, description = "It is a job now", body = Submitted),
        (status = 200, description = "A key of the request names a job that was there", body = Submitted)
    )
)]
pub(in crate::rest) async fn submit(
    State(service): State<Service>,
    Extension(principal): Extension<Principal>,
    _: NoQuery,
    headers: HeaderMap,
    Body(mut body): Body,
) -> Result<impl IntoResponse, Problem> {
    add_idempotency_key(&headers, &mut body)?;
    let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (job_id, created) = service.submit(body, traceparent, &principal).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let location = [(header::LOCATION, format!("/api/v1/jobs/{job_id}"))];
    Ok((status, location, Json(Submitted { job_id, created })))
}

/// The key may be in the header or in the body. One that cannot be used is refused: without it a repetition would
/// be a second job.
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
            // The reader of the request refuses it, with every other wrong field.
            Some(_) => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_idempotency_key_is_used_or_refused_and_never_dropped() {
        let with = |keys: &[&str], mut body: Value| {
            let mut headers = HeaderMap::new();
            for key in keys {
                headers.append("idempotency-key", key.parse().unwrap());
            }
            add_idempotency_key(&headers, &mut body).map(|()| body["idempotency_key"].clone())
        };
        for (keys, body, key) in [
            (vec![], json!({}), json!(null)),
            (vec!["a"], json!({}), json!("a")),
            (vec!["a", "a"], json!({"idempotency_key": null}), json!("a")),
            (vec![" ü "], json!({"idempotency_key": "ü"}), json!("ü")),
            (vec!["a"], json!({"idempotency_key": 7}), json!(7)),
        ] {
            assert_eq!(with(&keys, body), Ok(key), "{keys:?}");
        }
        for (keys, body) in
            [(vec!["a", "b"], json!({})), (vec![""], json!({})), (vec!["a"], json!({"idempotency_key": "b"}))]
        {
            assert!(with(&keys, body).is_err(), "{keys:?}");
        }
    }
}
