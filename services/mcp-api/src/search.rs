//! What a text may name: an address, a network, a file, a fingerprint, a session, a user name, a command, a
//! target, a credential, a finding.

use chrono::{DateTime, Utc};
use events::Dimension;
use serde::Serialize;
use store::{
    Connection,
    statistics::{self, Over},
};
use utoipa::ToSchema;
use uuid::Uuid;
use web::{Principal, Problem};

use crate::{Api, network, problem::failed, redact::sees_secrets};

/// Longest text that is searched.
pub(crate) const LONGEST: usize = 1_000;

/// What a text names
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct SearchResult {
    /// Only what was seen in the range; sessions and findings of any time
    pub matches: Vec<Match>,
}

/// Something that a text names
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Match {
    /// ip, network, file, hassh, session, username, password, credential, command, client_version, forward or
    /// finding
    #[schema(example = "ip")]
    pub kind: String,
    pub key: String,
    /// The path that shows it; null where there is none
    #[schema(required = true, example = "/api/v1/ips/203.0.113.7")]
    pub path: Option<String>,
    /// Log lines in the range
    pub events: i64,
    #[schema(required = true)]
    pub first_seen: Option<DateTime<Utc>>,
    #[schema(required = true)]
    pub last_seen: Option<DateTime<Utc>>,
}

/// A path segment, percent-encoded.
fn segment(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

/// What the text may be: kind, dimension, key, and the start of the path.
fn candidates(who: &Principal, text: &str) -> Vec<(&'static str, Dimension, String, Option<&'static str>)> {
    let hex = |length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut all = Vec::new();
    if let Some((first, last)) = network::read(text) {
        match network::pane_key(text) {
            Some(key) => all.push(("network", Dimension::SrcNet, key, Some("networks"))),
            None if first == last => all.push(("ip", Dimension::SrcIp, first.to_string(), Some("ips"))),
            None => (),
        }
    }
    if hex(64) {
        all.push(("file", Dimension::Download, text.to_ascii_lowercase(), Some("files")));
    }
    if hex(32) {
        all.push(("hassh", Dimension::Hassh, text.to_ascii_lowercase(), Some("hassh")));
    }
    all.push(("username", Dimension::Username, text.into(), Some("usernames")));
    let command = events::normal::normalise(text).into_owned();
    all.push(("command", Dimension::Command, command, Some("commands")));
    all.push(("client_version", Dimension::ClientVersion, text.into(), None));
    all.push(("forward", Dimension::Forward, text.into(), Some("forwards")));
    if sees_secrets(who) {
        all.push(("password", Dimension::Password, text.into(), None));
        if text.contains(':') {
            all.push(("credential", Dimension::Credential, text.into(), None));
        }
    }
    all
}

impl Api {
    /// What a text names. A key that is limited to sensors finds only sessions of these.
    pub(crate) async fn search(
        &self,
        who: &Principal,
        text: &str,
        over: &Over,
    ) -> Result<SearchResult, Problem> {
        let mut connection = self.connection().await?;
        let on = &mut *connection;
        let mut matches = Vec::new();
        if over.sensors.is_none() {
            for (kind, dimension, key, path) in candidates(who, text) {
                let window = statistics::things::figures(on, dimension, &key, over).await.map_err(failed)?;
                if window.events > 0 {
                    matches.push(Match {
                        kind: kind.into(),
                        path: path.map(|path| format!("/api/v1/{path}/{}", segment(&key))),
                        key,
                        events: window.events,
                        first_seen: window.first_seen,
                        last_seen: window.last_seen,
                    });
                }
            }
        }
        sessions(on, text, over, &mut matches).await?;
        if let Ok(id) = Uuid::try_parse(text) {
            finding(on, id, over, &mut matches).await?;
        }
        Ok(SearchResult { matches })
    }
}

async fn sessions(
    on: &mut Connection,
    text: &str,
    over: &Over,
    matches: &mut Vec<Match>,
) -> Result<(), Problem> {
    let rows = statistics::sessions::with_id(on, text).await.map_err(failed)?;
    let seen =
        rows.into_iter().filter(|row| over.sensors.as_ref().is_none_or(|all| all.contains(&row.sensor)));
    matches.extend(seen.map(|row| Match {
        kind: "session".into(),
        path: Some(format!("/api/v1/sessions/{}/{}", row.sensor, segment(&row.session))),
        key: row.session,
        events: row.event_count,
        first_seen: row.started_at,
        last_seen: row.ended_at,
    }));
    Ok(())
}

async fn finding(
    on: &mut Connection,
    id: Uuid,
    over: &Over,
    matches: &mut Vec<Match>,
) -> Result<(), Problem> {
    let row = statistics::findings::get(on, id).await.map_err(failed)?;
    let sensors = over.sensors.as_ref();
    let seen = row.filter(|row| {
        sensors.is_none_or(|all| row.sensor.as_ref().is_some_and(|sensor| all.contains(sensor)))
    });
    matches.extend(seen.map(|row| Match {
        kind: "finding".into(),
        key: id.to_string(),
        path: Some(format!("/api/v1/findings/{id}")),
        events: 0,
        first_seen: row.first_seen,
        last_seen: row.last_seen,
    }));
    Ok(())
}
