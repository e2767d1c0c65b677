//! The access check of each request.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::StreamExt;

use crate::{
    Code, Granted, Operations, Principal, Problem, Scope, StreamPlace, Verify, access::Wanted, rate_limit,
};

/// Puts the principal into the extensions of the request and of the answer.
pub(crate) async fn authenticate<V: Verify>(
    State((verify, operations)): State<(V, Arc<Operations>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let operation = operations.of_request(request.method(), path);
    let from = peer(&request);
    let wanted = Wanted { credential: credential(request.headers()), operation: &operation, from };
    let Granted { principal, limits, stream } = match verify.verify(wanted).await {
        Ok(granted) => granted,
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(principal.clone());
    let mut response = next.run(request).await;
    response.extensions_mut().insert(principal);
    rate_limit::add(response.headers_mut(), &limits);
    match stream {
        Some(place) if is_event_stream(&response) => limited(response, place),
        _ => response,
    }
}

/// The address of the client.
pub fn peer<B>(request: &axum::http::Request<B>) -> Option<IpAddr> {
    request.extensions().get::<boot::Peer>().map(|peer| peer.0.ip().to_canonical())
}

/// The key of a request: `X-API-Key: KEY` or `Authorization: Bearer KEY`. An empty one is none: the client's
/// variable was not set. X-API-Key comes first, because a proxy may use Authorization for itself.
pub fn credential(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let unreadable =
        || Problem::new(Code::Unauthenticated, "expected X-API-Key: KEY or Authorization: Bearer KEY");
    let single = |name: header::HeaderName| {
        let mut values = headers.get_all(name).iter();
        let first = values.next();
        // Two parts of a system could each believe another one.
        if values.any(|value| Some(value) != first) {
            return Err(unreadable());
        }
        first.map(|value| value.to_str().map(str::trim).map_err(|_| unreadable())).transpose()
    };
    let own = single(header::HeaderName::from_static("x-api-key"))?;
    if let Some(key) = own.filter(|key| !key.is_empty()) {
        return Ok(Some(key));
    }
    let Some(value) = single(header::AUTHORIZATION)?.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let (scheme, key) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unreadable());
    }
    Ok(Some(key.trim()).filter(|key| !key.is_empty()))
}

fn is_event_stream(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

/// A stream that holds its place, and ends with a problem when the key stops being valid.
fn limited(response: Response, place: Arc<StreamPlace>) -> Response {
    let problem = Problem::new(Code::Unauthenticated, "the key is no longer valid");
    let data = serde_json::to_string(&problem.body()).unwrap_or_default();
    let last = Bytes::from(format!("event: problem\ndata: {data}\n\n"));
    let (parts, body) = response.into_parts();
    let (ended, over) = (place.ended.clone().cancelled_owned(), place.ended.clone());
    let end = futures::stream::iter([()]).filter_map(move |()| {
        std::future::ready(over.is_cancelled().then(|| Ok::<_, axum::Error>(last.clone())))
    });
    let chunks = body.into_data_stream().take_until(ended).chain(end).map(move |chunk| {
        // Held for as long as the stream.
        let _place = &place;
        chunk
    });
    Response::from_parts(parts, Body::from_stream(chunks))
}

/// Refuses a principal without the scope. The check before has done so already; this one also holds when that one
/// does not know the route.
pub(crate) async fn require(State(scope): State<Scope>, request: Request, next: Next) -> Response {
    let principal = request.extensions().get::<Principal>();
    let allowed = principal.map_or_else(
        || Err(Problem::new(Code::Unauthenticated, "no credential was checked")),
        |principal| principal.require(scope),
    );
    match allowed {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &[u8])]) -> Result<Option<String>, Code> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = name.parse::<header::HeaderName>().unwrap();
            map.append(name, header::HeaderValue::from_bytes(value).unwrap());
        }
        credential(&map).map(|key| key.map(str::to_owned)).map_err(|problem| problem.code)
    }

    #[test]
    fn a_key_is_read_from_either_header() {
        for (headers, key) in [
            (&[][..], None),
            (&[("x-api-key", &b""[..])], None),
            (&[("authorization", b"")], None),
            (&[("authorization", b"Bearer")], None),
            (&[("authorization", b"Bearer  ")], None),
            (&[("x-api-key", b" k ")], Some("k")),
            (&[("authorization", b"bEARER k")], Some("k")),
            (&[("x-api-key", b"k"), ("x-api-key", b"k")], Some("k")),
            (&[("x-api-key", b"k"), ("authorization", b"Basic dTpw")], Some("k")),
            (&[("x-api-key", b""), ("authorization", b"Bearer k")], Some("k")),
        ] {
            assert_eq!(read(headers), Ok(key.map(str::to_owned)), "{headers:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        for headers in [
            &[("authorization", &b"Basic dTpw"[..])][..],
            &[("authorization", b"csk_AbCd1234_x")],
            &[("authorization", b"Bearer\tk")],
            &[("authorization", b"Bearer k"), ("authorization", b"Bearer l")],
            &[("x-api-key", b"k"), ("x-api-key", b"l")],
            &[("x-api-key", b"\xff")],
            &[("authorization", b"Bearer \xc3\xa9")],
        ] {
            assert_eq!(read(headers), Err(Code::Unauthenticated), "{headers:?}");
        }
    }
}
