//! The headers that tell a client how much it may still ask: RateLimit-Policy and RateLimit, as in
//! draft-ietf-httpapi-ratelimit-headers.

use axum::http::{HeaderMap, HeaderValue};

/// A limit, and what is left of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit {
    pub policy: &'static str,
    /// Requests per window.
    pub quota: u64,
    pub window_seconds: u64,
    pub remaining: u64,
    /// Until there is more.
    pub reset_seconds: u64,
}

/// Adds the headers of these limits; none when there are no limits.
pub(crate) fn add(headers: &mut HeaderMap, limits: &[RateLimit]) {
    let list = |item: &dyn Fn(&RateLimit) -> String| limits.iter().map(item).collect::<Vec<_>>().join(", ");
    let policies = list(&|one| format!("\"{}\";q={};w={}", one.policy, one.quota, one.window_seconds));
    let states = list(&|one| format!("\"{}\";r={};t={}", one.policy, one.remaining, one.reset_seconds));
    for (name, text) in [("ratelimit-policy", policies), ("ratelimit", states)] {
        if let Ok(value) = HeaderValue::try_from(text)
            && !limits.is_empty()
        {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_structured_fields() {
        let limit =
            RateLimit { policy: "read", quota: 600, window_seconds: 60, remaining: 599, reset_seconds: 1 };
        let mut headers = HeaderMap::new();
        add(&mut headers, &[]);
        assert!(headers.is_empty());
        add(&mut headers, &[limit, RateLimit { policy: "day", ..limit }]);
        assert_eq!(headers["ratelimit-policy"], r#""read";q=600;w=60, "day";q=600;w=60"#);
        assert_eq!(headers["ratelimit"], r#""read";r=599;t=1, "day";r=599;t=1"#);
    }
}
