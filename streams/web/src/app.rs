//! The router of a service.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::header,
    middleware::{from_fn, from_fn_with_state},
    routing::get,
};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::{Code, Guard, Operations, Problem, Scope, Verify, authenticate, guard, limits, observe, openapi};

/// A route for principals with a scope. The OpenAPI document names the scope, and `codes` beside the refusals
/// that every route has.
pub fn route<S: Clone + Send + Sync + 'static>(
    scope: Scope,
    codes: &[Code],
    (schemas, mut paths, methods): UtoipaMethodRouter<S>,
) -> UtoipaMethodRouter<S> {
    for item in paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            openapi::describe(operation, scope, codes);
        }
    }
    (schemas, paths, methods.route_layer(from_fn_with_state(scope, authenticate::require)))
}

/// What every service serves: its routes, behind the checks of this crate, and its document.
pub struct App<V> {
    /// An empty document, from [`openapi::document`].
    pub document: OpenApi,
    pub guard: Guard,
    pub verify: V,
}

impl<V: Verify> App<V> {
    pub fn router<S: Clone + Send + Sync + 'static>(self, routes: OpenApiRouter<S>, state: S) -> Router {
        let (router, document) = OpenApiRouter::with_openapi(self.document).merge(routes).split_for_parts();
        let operations = Arc::new(Operations::of(&document));
        let document = document.to_json().unwrap_or_default();
        let serve_document = move || async move { ([(header::CONTENT_TYPE, "application/json")], document) };
        // The last layer is the outermost.
        router
            .route("/openapi.json", get(serve_document))
            .fallback(|| async { Problem::not_found("there is nothing here: /openapi.json lists the paths") })
            .layer(from_fn_with_state((self.verify, operations), authenticate::authenticate::<V>))
            .layer(from_fn(limits::limit))
            .layer(from_fn_with_state(self.guard, guard::guard))
            .layer(DefaultBodyLimit::max(limits::LARGEST_BODY))
            .layer(from_fn(observe::observe))
            .with_state(state)
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body as Bytes, to_bytes},
        http::{Request, Response, StatusCode},
    };
    use futures::stream;
    use serde_json::{Value, json};
    use tower::ServiceExt;
    use utoipa_axum::routes;

    use super::*;
    use crate::{Body, Granted, NoQuery, Page, Principal, Query, Wanted, sse};

    /// One key for each scope, named as the scope.
    #[derive(Clone)]
    struct Keys;

    impl Verify for Keys {
        async fn verify(&self, wanted: Wanted<'_>) -> Result<Granted, Problem> {
            let scope = wanted.credential?.and_then(Scope::read);
            let scope = scope.ok_or_else(|| Problem::new(Code::Unauthenticated, "expected a key"))?;
            let name = scope.name().to_owned();
            let (id, scopes) = (name.clone(), vec![scope]);
            let principal = Principal { id, name, scopes, sensors: None, from: wanted.from };
            Ok(Granted { principal, limits: Vec::new(), stream: None })
        }
    }

    /// List
    #[utoipa::path(get, path = "/things", params(Page), responses((status = 200, description = "A page")))]
    async fn list(query: Query) -> Result<String, Problem> {
        query.read(Page::read).map(|page| page.page_size.to_string())
    }

    /// Make
    #[utoipa::path(post, path = "/things", request_body = Value, responses((status = 200, description = "Made")))]
    async fn make(_: NoQuery, body: Body) -> Result<String, Problem> {
        body.read(|fields| fields.integer("n", 1..=9, 1).to_string())
    }

    /// Follow
    #[utoipa::path(get, path = "/events", responses((status = 200, description = "Events")))]
    async fn follow(last: sse::LastEventId) -> impl axum::response::IntoResponse {
        let id = last.0.unwrap_or_default();
        let message = sse::Message { event: "thing", id, data: "{}".into() };
        let stop = boot::CancellationToken::new();
        sse::events(stream::iter([Ok(message), Err(Problem::unavailable("away"))]), stop)
    }

    fn app() -> Router {
        let routes = OpenApiRouter::new()
            .routes(route(Scope::StatsRead, &[], routes!(list)))
            .routes(route(Scope::Admin, &[Code::Conflict, Code::InvalidState], routes!(make)))
            .routes(route(Scope::StatsRead, &[], routes!(follow)));
        let guard = Guard::new(([127, 0, 0, 1], 80).into(), &[]);
        App { document: openapi::document("test", "test"), guard, verify: Keys }.router(routes, ())
    }

    async fn send(request: Request<Bytes>) -> (Response<()>, String) {
        let (parts, body) = app().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 1 << 22).await.unwrap();
        (Response::from_parts(parts, ()), String::from_utf8(body.to_vec()).unwrap())
    }

    fn request(method: &str, path: &str, key: &str) -> axum::http::request::Builder {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        request.header("x-request-id", "mine").header("x-api-key", key)
    }

    async fn code(request: Request<Bytes>) -> String {
        let (response, body) = send(request).await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(problem["status"], response.status().as_u16());
        assert_eq!(problem["request_id"].as_str(), response.headers()["x-request-id"].to_str().ok());
        assert_eq!(problem["type"], "about:blank");
        problem["code"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn every_refusal_has_the_same_form() {
        let json = |body: String| {
            request("POST", "/things", "admin").header("content-type", "application/json").body(body.into())
        };
        let get = |path: &str, key: &str| request("GET", path, key).body(Bytes::empty());
        for (request, expected) in [
            (get("/nothing", "admin"), "not_found"),
            (get("/things", ""), "unauthenticated"),
            (get("/things", "admin"), "forbidden"),
            (get("/things?page_size=0", "stats:read"), "invalid_fields"),
            (get(&format!("/things?{}", "x".repeat(9_000)), "stats:read"), "uri_too_long"),
            (get("/things", &"x".repeat(40_000)), "headers_too_large"),
            (request("DELETE", "/things", "admin").body(Bytes::empty()), "method_not_allowed"),
            (request("POST", "/things", "admin").body("{}".into()), "unsupported_media_type"),
            (json("{".into()), "malformed"),
            (json("[]".into()), "invalid_fields"),
            (json(r#"{"n": 1, "n": 1}"#.into()), "invalid_fields"),
            (json("x".repeat(2_000_000)), "body_too_large"),
            (Request::builder().uri("/things").body(Bytes::empty()), "malformed"),
            (
                Request::builder().uri("/things").header("host", "evil.example").body(Bytes::empty()),
                "forbidden",
            ),
        ] {
            assert_eq!(code(request.unwrap()).await, expected);
        }
    }

    #[tokio::test]
    async fn a_request_id_is_taken_when_it_is_harmless() {
        let id = async |sent: &str| {
            let request =
                Request::builder().uri("/x").header("host", "localhost").header("x-request-id", sent);
            let (response, _) = send(request.body(Bytes::empty()).unwrap()).await;
            response.headers()["x-request-id"].to_str().unwrap().to_owned()
        };
        assert_eq!(id("a-1_b.c").await, "a-1_b.c");
        for sent in ["", "a b", "a\"b", &"x".repeat(65)] {
            let made = id(sent).await;
            assert!(made != sent && made.len() == 36, "{made}");
        }
    }

    #[tokio::test]
    async fn a_key_opens_the_routes_of_its_scope() {
        let page =
            send(request("GET", "/things?page_size=7", "stats:read").body(Bytes::empty()).unwrap()).await;
        assert_eq!((page.0.status(), page.1.as_str()), (StatusCode::OK, "7"));
        let bearer = Request::builder().uri("/things").header("host", "localhost");
        let bearer = bearer.header("authorization", "Bearer stats:read").body(Bytes::empty()).unwrap();
        assert_eq!(send(bearer).await.0.extensions().get::<Principal>().unwrap().name, "stats:read");
    }

    #[tokio::test]
    async fn a_stream_names_its_events_and_says_why_it_ends() {
        let request = request("GET", "/events", "stats:read").header("last-event-id", "7");
        let (response, body) = send(request.body(Bytes::empty()).unwrap()).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let events: Vec<_> = body.trim().split("\n\n").collect();
        assert_eq!(events[0], "event: thing\nid: 7\ndata: {}");
        let problem = events[1].strip_prefix("event: problem\ndata: ").unwrap();
        let problem: Value = serde_json::from_str(problem).unwrap();
        assert_eq!((&problem["code"], &problem["request_id"]), (&json!("unavailable"), &json!("mine")));
    }

    #[tokio::test]
    async fn the_document_names_scopes_and_refusals() {
        let (_, text) = send(request("GET", "/openapi.json", "admin").body(Bytes::empty()).unwrap()).await;
        let document: Value = serde_json::from_str(&text).unwrap();
        let make = &document["paths"]["/things"]["post"];
        assert_eq!(make["security"], json!([{"api_key": ["admin"]}, {"bearer": ["admin"]}]));
        let statuses: Vec<_> = make["responses"].as_object().unwrap().keys().map(String::as_str).collect();
        let expected = "200 400 401 403 408 409 413 414 415 422 429 431 500 503";
        assert_eq!(statuses.join(" "), expected);
        let conflict = "conflict: conflict; invalid_state: not possible in this state";
        assert_eq!(make["responses"]["409"]["description"], conflict);
        let schema = &make["responses"]["422"]["content"]["application/problem+json"]["schema"];
        assert_eq!(schema["$ref"], "#/components/schemas/Problem");
        assert!(document["components"]["schemas"]["Problem"]["required"].as_array().unwrap().len() == 7);
    }
}
