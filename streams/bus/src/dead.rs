//! Dead letters as messages: the payload is the bytes, the headers hold everything else.

use async_nats::{HeaderMap, header::NATS_MESSAGE_ID};
use events::{Announcement, DeadId, DeadLetter, MAX_DEAD_BODY, Reason, SensorId};

use crate::{
    Bus, Subject,
    publish::{Ack, FILE, PublishError, REPLAY, SOURCE},
};

const REASON: &str = "Cowrie-Reason";
const DETAIL: &str = "Cowrie-Detail";
const LENGTH: &str = "Cowrie-Length";
const HASH: &str = "Cowrie-Hash";
const PATH: &str = "Cowrie-Path";

impl Bus {
    /// Publishes a dead letter of the file in `announce`. `attempt` above 0 means that it is published again;
    /// the message id then differs, or the duplicate window would drop it. `replaces` is the dead letter of a
    /// part of these bytes, which this one makes obsolete.
    pub async fn publish_dead(
        &self,
        dead: &DeadLetter,
        announce: &Announcement,
        attempt: u32,
        replaces: Option<DeadId>,
    ) -> Result<Ack, PublishError> {
        let mut headers = HeaderMap::new();
        // The range is part of the message id: the same bytes at another place need a receipt of their own.
        let place = blake3_hex(dead.source.to_string().as_bytes());
        headers.insert(NATS_MESSAGE_ID, format!("{}-{place}.{attempt}", dead.id()));
        headers.insert(SOURCE, dead.source.to_string());
        headers.insert(FILE, serde_json::to_string(announce).unwrap_or_default());
        headers.insert(REASON, dead.reason.as_str());
        headers.insert(DETAIL, printable(&dead.detail));
        headers.insert(LENGTH, dead.length.to_string());
        headers.insert(HASH, hex(&dead.hash));
        headers.insert(PATH, printable(&announce.path));
        if let Some(replaced) = replaces {
            headers.insert(REPLAY, replaced.to_string());
        }
        self.publish(Subject::dead(&dead.sensor), headers, dead.body.clone().into()).await
    }
}

/// Parses a delivered dead letter; `Err` says what is wrong with the message.
pub(crate) fn read(sensor: &SensorId, headers: &HeaderMap, body: &[u8]) -> Result<DeadLetter, &'static str> {
    let text = |name| headers.get(name).map(async_nats::HeaderValue::as_str);
    if body.len() > MAX_DEAD_BODY {
        return Err("body too long");
    }
    Ok(DeadLetter {
        sensor: sensor.clone(),
        reason: text(REASON).and_then(Reason::from_text).ok_or("unknown reason")?,
        detail: text(DETAIL).unwrap_or_default().to_owned(),
        body: body.to_vec(),
        length: text(LENGTH)
            .and_then(|n| n.parse().ok())
            .filter(|&n| i64::try_from(n).is_ok())
            .ok_or("no length")?,
        hash: text(HASH).and_then(unhex).ok_or("no hash")?,
        source: headers.get(SOURCE).and_then(|source| source.as_str().parse().ok()).ok_or("no source")?,
    })
}

/// Replaces control characters, because a header value cannot contain line breaks.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(1000).collect()
}

fn blake3_hex(bytes: &[u8]) -> String {
    hex(&blake3::hash(bytes).as_bytes()[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(text).ok().map(|hash| *hash.as_bytes())
}
