use access::{Created, Wish};
use fields::{Age, Fields};
use serde_json::Value;
use utoipa::ToSchema;
use web::{
    Body, NoQuery, Principal, Problem,
    axum::{
        Extension, Json,
        extract::State,
        http::{StatusCode, header},
        response::IntoResponse,
    },
};

use crate::service::Service;

/// What the new key is to be
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used: the fields are read one by one")]
pub(in crate::rest) struct KeyRequest {
    /// For people, and for the logs
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "grafana")]
    name: String,
    /// At least one of stats:read, secrets:read, findings:write, jobs:read, jobs:submit, admin. admin includes all
    #[schema(min_items = 1, example = json!(["stats:read"]))]
    scopes: Vec<String>,
    /// The sensors whose data it may see; absent: all. Not with jobs:read, jobs:submit and admin, which concern all
    #[schema(max_items = 1000)]
    sensors: Option<Vec<String>>,
    /// After this time it expires: 90s, 30m, 24h, 7d, 4w; absent: never
    #[schema(pattern = "^[0-9]+[smhdw]$", example = "90d")]
    expires_in: Option<String>,
    /// Requests per day (UTC); absent: any number
    #[schema(minimum = 1)]
    daily_quota: Option<i64>,
}

/// Create an API key
///
/// The answer is the only place where the key can be read.
#[utoipa::path(
    post,
    path = "/api/v1/keys",
    operation_id = "create_key",
    tag = "keys",
    request_body = KeyRequest,
    responses((status = 201, description = "The key", body = Created))
)]
pub(in crate::rest) async fn create(
    State(service): State<Service>,
    Extension(principal): Extension<Principal>,
    _: NoQuery,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let wish = read(body)?;
    let created = service.create_key(&wish, &principal).await?;
    let never = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, never, Json(created)))
}

/// Every wrong field is named at once, whether its form is wrong or its value.
fn read(body: Body) -> Result<Wish, Problem> {
    let mut wrong = Vec::new();
    let read = body.read(|fields| {
        let wish = Wish {
            name: fields.text("name", 64).unwrap_or_default(),
            scopes: texts(fields, "scopes"),
            sensors: texts(fields, "sensors"),
            expires_in: duration(fields, "expires_in"),
            daily_quota: Some(fields.integer("daily_quota", 1..=i64::MAX, 0)).filter(|&quota| quota > 0),
        };
        wrong = wish.check().err().map(|problem| problem.errors).unwrap_or_default();
        wish
    });
    match read {
        Ok(wish) if wrong.is_empty() => Ok(wish),
        Ok(_) => Err(Problem::invalid(wrong)),
        Err(mut problem) => {
            wrong.retain(|one| !problem.errors.iter().any(|other| other.field == one.field));
            problem.errors.extend(wrong);
            Err(Problem::invalid(problem.errors))
        }
    }
}

fn texts(fields: &mut Fields<'_>, name: &'static str) -> Vec<String> {
    let list = match fields.take(name) {
        None => return Vec::new(),
        Some(Value::Array(list)) => list,
        Some(_) => {
            fields.wrong(name, "expected a list of texts");
            return Vec::new();
        }
    };
    let texts: Vec<_> = list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
    if texts.len() < list.len() {
        fields.wrong(name, "expected a list of texts");
    }
    texts
}

/// A duration like 24h; `None` when it is absent.
pub(super) fn duration(fields: &mut Fields<'_>, name: &'static str) -> Option<Age> {
    match fields.text(name, 20)?.parse::<Age>() {
        Ok(age) => Some(age),
        Err(error) => {
            fields.wrong(name, error.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_wrong_field_of_a_key_is_named() {
        let fields = |body: Value| -> Vec<String> {
            let problem = read(Body(body)).unwrap_err();
            problem.errors.into_iter().map(|error| error.field).collect()
        };
        let wrong = json!({"name": "a b", "scopes": ["stats:read", "root"], "sensors": ["ü"], "expires_in": "soon", "daily_quota": 0, "colour": 1});
        assert_eq!(fields(wrong), ["expires_in", "daily_quota", "colour", "name", "scopes", "sensors"]);
        assert_eq!(fields(json!({})), ["name", "scopes"]);
        for scope in ["jobs:read", "jobs:submit", "admin"] {
            assert_eq!(fields(json!({"name": "n", "scopes": [scope], "sensors": ["s"]})), ["sensors"]);
        }
        let wish =
            read(Body(json!({"name": "n", "scopes": ["stats:read"], "sensors": ["s"], "expires_in": "7d"})));
        assert_eq!(wish.unwrap().expires_in, Some(Age::days(7)));
    }
}
