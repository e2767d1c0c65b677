//! Keeps web pages out. A browser sends requests for any page that it shows, also to addresses that only this
//! machine reaches. So a request must name a host that is served here (else a page reads answers by DNS
//! rebinding) and must not come from a page of another site. `limits` refuses bodies that are not JSON: a page
//! cannot send JSON to another site without asking first.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{Code, Problem};

/// The hosts that are served.
#[derive(Clone)]
pub struct Guard {
    listen: IpAddr,
    allowed: Arc<[String]>,
}

impl Guard {
    /// Serves loopback names and addresses, the listen address, and the hosts in `allowed` (`host` or
    /// `host:port`).
    pub fn new(listen: SocketAddr, allowed: &[String]) -> Self {
        Self {
            listen: listen.ip().to_canonical(),
            allowed: allowed.iter().map(|host| host.trim().to_ascii_lowercase()).collect(),
        }
    }

    fn serves(&self, authority: &Authority) -> bool {
        let host = authority.host().to_ascii_lowercase();
        let host = host.trim_end_matches('.');
        if host == "localhost" || host.ends_with(".localhost") {
            return true;
        }
        match host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .map(|address| address.to_canonical())
        {
            // DNS rebinding needs a name. An address is only refused when it cannot be ours.
            Ok(address)
                if address.is_loopback() || self.listen.is_unspecified() || address == self.listen =>
            {
                true
            }
            _ => self.allows(host, authority),
        }
    }

    fn allows(&self, host: &str, authority: &Authority) -> bool {
        let with_port = authority.port_u16().map(|port| format!("{host}:{port}"));
        self.allowed.iter().any(|one| one == host || Some(one) == with_port.as_ref())
    }

    /// Whether a page of this origin may use what is served as `host`: it was served from here itself, or is
    /// allowed with its port.
    fn serves_page(&self, origin: &str, host: &Authority) -> bool {
        let Some(authority) = origin.split_once("://").and_then(|(_, rest)| authority(rest)) else {
            return false;
        };
        let same_port = authority.port_u16() == host.port_u16();
        let explicitly = self.allowed.iter().any(|one| *one == authority.as_str().to_ascii_lowercase());
        explicitly || (same_port && self.serves(&authority))
    }

    fn refuse(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let malformed = |why: &str| Problem::new(Code::Malformed, why);
        let forbidden = |why: String| Problem::new(Code::Forbidden, why);
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(malformed("expected one Host header"));
        };
        let host = host.to_str().ok().and_then(authority);
        let host = host.ok_or_else(|| malformed("the Host header cannot be read"))?;
        for asked in [Some(&host), uri.authority()].into_iter().flatten() {
            if !self.serves(asked) {
                let name = asked.host().chars().take(100).collect::<String>();
                return Err(forbidden(format!(
                    "host {name:?} is not served here; COWRIESTREAM_ALLOWED_HOSTS names further hosts"
                )));
            }
        }
        for origin in headers.get_all(header::ORIGIN) {
            if !origin.to_str().is_ok_and(|origin| self.serves_page(origin, &host)) {
                return Err(forbidden("a web page of another site must not use this interface".into()));
            }
        }
        // Browsers send this header with every request, also with those that have no Origin.
        let site = headers.get("sec-fetch-site").map(|site| site.to_str().unwrap_or_default());
        if !method.is_safe()
            && !headers.contains_key(header::ORIGIN)
            && site.is_some_and(|site| !matches!(site, "same-origin" | "none"))
        {
            return Err(forbidden("a web page of another site must not change anything here".into()));
        }
        Ok(())
    }
}

fn authority(text: &str) -> Option<Authority> {
    text.parse::<Authority>()
        .ok()
        .filter(|authority| !authority.as_str().contains('@') && !authority.host().is_empty())
}

/// Refuses requests of web pages.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.refuse(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(guard: &Guard, method: &str, headers: &[(&str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap());
        }
        guard.refuse(&method.parse().unwrap(), &"/api/v1/jobs".parse().unwrap(), &map).is_err()
    }

    #[test]
    fn only_hosts_that_are_served_are_answered() {
        let local = Guard::new(
            "127.0.0.1:8082".parse().unwrap(),
            &["hub.example".into(), "proxy.example:8443".into()],
        );
        for host in [
            "localhost:8082",
            "LOCALHOST",
            "localhost.",
            "127.0.0.1:1",
            "127.1.2.3",
            "[::1]:8082",
            "hub.example",
            "Hub.Example:80",
            "proxy.example:8443",
        ] {
            assert!(!refused(&local, "GET", &[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "hub.example.evil",
            "192.0.2.7",
            "proxy.example",
            "proxy.example:1",
            "localhost@evil.example",
            "",
            "[::2]",
            "2130706433",
        ] {
            assert!(refused(&local, "GET", &[("host", host)]), "{host}");
        }
        assert!(
            refused(&local, "GET", &[])
                && refused(&local, "GET", &[("host", "localhost"), ("host", "localhost")])
        );
        let anywhere = Guard::new("0.0.0.0:8082".parse().unwrap(), &[]);
        assert!(
            !refused(&anywhere, "GET", &[("host", "192.0.2.7:8082")])
                && refused(&anywhere, "GET", &[("host", "evil.example")])
        );
        let one = Guard::new("192.0.2.7:8082".parse().unwrap(), &[]);
        assert!(
            !refused(&one, "GET", &[("host", "192.0.2.7:8082")])
                && refused(&one, "GET", &[("host", "192.0.2.8:8082")])
        );
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let guard =
            Guard::new("127.0.0.1:8082".parse().unwrap(), &["hub.example".into(), "ui.example:3000".into()]);
        let from = |host: &str, origin: &str| refused(&guard, "POST", &[("host", host), ("origin", origin)]);
        for (host, origin) in [
            ("localhost:8082", "http://localhost:8082"),
            ("127.0.0.1:8082", "http://localhost:8082"),
            ("hub.example", "https://hub.example"),
            ("localhost:8082", "http://ui.example:3000"),
        ] {
            assert!(!from(host, origin), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "",
            "http://localhost:3000",
            "http://localhost",
            "http://evil.example:8082",
            "http://localhost:8082@evil.example",
            "file://",
        ] {
            assert!(from("localhost:8082", origin), "{origin}");
        }
        // An old form, without Origin.
        for (site, is) in [("cross-site", true), ("same-site", true), ("same-origin", false), ("none", false)]
        {
            assert_eq!(
                refused(&guard, "POST", &[("host", "localhost:8082"), ("sec-fetch-site", site)]),
                is,
                "{site}"
            );
        }
        // A link in another page.
        assert!(!refused(&guard, "GET", &[("host", "localhost:8082"), ("sec-fetch-site", "cross-site")]));
    }
}
