//! Heartbeats of the loaders, in the bucket `loaders`. Readers age them themselves: expiry sends no event.

use anyhow::Context as _;
use events::{FileId, SensorId};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::{Bus, topology};

/// What a loader says of itself every few seconds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Heartbeat {
    /// The loader's program version.
    pub version: String,
    /// Wall clock, milliseconds since 1970.
    pub at_ms: i64,
    /// `reading`, `waiting`, `paused` (no broker), `degraded` (see `trouble`), `stopped`.
    pub state: String,
    /// Its files that are not yet wholly committed, and the live ones.
    pub files: Vec<FileBeat>,
    /// Bytes on disk that are not yet committed.
    pub lag_bytes: u64,
    /// Since it started: events published.
    pub events: u64,
    /// Since it started: dead letters published.
    pub dead_letters: u64,
    /// Since it started: bytes of events, of dead letters, and skipped (blank, NUL).
    pub event_bytes: u64,
    /// See `event_bytes`.
    pub dead_bytes: u64,
    /// See `event_bytes`.
    pub skipped_bytes: u64,
    /// Since it started: events that the sensor is configured to drop, and their bytes.
    pub dropped: u64,
    /// See `dropped`.
    pub dropped_bytes: u64,
    /// Since it started: messages published again on evidence.
    pub republished: u64,
    /// Since it started: bytes that could not be read again.
    pub gap_bytes: u64,
    /// Time of the last event read, microseconds since 1970.
    pub last_event_at: Option<i64>,
    /// Archives that are damaged or cut off.
    pub damaged: u64,
    /// Files that cannot be read.
    pub unreadable: u64,
    /// Why the checkpoint cannot be written now.
    pub trouble: Option<String>,
}

/// What was repaired in a file, since it was first read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Repairs {
    /// Bytes of blank lines and NUL holes that were skipped.
    pub skipped_bytes: u64,
    /// Lines on which events were glued to something else.
    pub glued: u64,
    /// Events put together from this file and its neighbour.
    pub stitched: u64,
    /// Arrays that were expanded.
    pub arrays: u64,
    /// Last lines that were taken without a newline.
    pub unfinished: u64,
}

/// One file in a heartbeat.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FileBeat {
    /// Where it lies.
    pub path: String,
    /// Its id, once it has a complete line.
    pub file_id: Option<FileId>,
    /// Truncations seen.
    pub generation: u32,
    /// Size in bytes (of the decompressed stream as far as known).
    pub size: u64,
    /// Bytes read.
    pub read: u64,
    /// Bytes committed, from the start without a gap.
    pub committed: u64,
    /// What was repaired in it.
    pub repairs: Repairs,
    /// Why it is not read, or not read to its end.
    pub problem: Option<String>,
}

impl Bus {
    /// Writes a heartbeat.
    pub async fn heartbeat(&self, sensor: &SensorId, beat: &Heartbeat) -> anyhow::Result<()> {
        let bucket = self.jetstream.get_key_value(topology::LOADERS).await.context("open bucket loaders")?;
        let payload = serde_json::to_vec(beat).context("write a heartbeat")?;
        bucket.put(sensor.as_str(), payload.into()).await.context("put a heartbeat")?;
        Ok(())
    }

    /// The last heartbeat of every sensor.
    pub async fn heartbeats(&self) -> anyhow::Result<Vec<(SensorId, Heartbeat)>> {
        let bucket = self.jetstream.get_key_value(topology::LOADERS).await.context("open bucket loaders")?;
        let keys: Vec<String> =
            bucket.keys().await.context("list loaders")?.try_collect().await.context("list loaders")?;
        let mut beats = Vec::with_capacity(keys.len());
        for key in keys {
            let value = bucket.get(&key).await.context("read a heartbeat")?;
            if let (Ok(sensor), Some(beat)) =
                (key.parse(), value.and_then(|v| serde_json::from_slice(&v).ok()))
            {
                beats.push((sensor, beat));
            }
        }
        Ok(beats)
    }
}
