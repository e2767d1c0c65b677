//! Heartbeats of the loaders, in the bucket `loaders`. Readers compute the age themselves, because expiry
//! sends no event.

use anyhow::Context as _;
use events::{FileId, SensorId};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::{Bus, topology};

/// What a loader reports about itself every few seconds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Heartbeat {
    pub version: String,
    /// Wall clock, milliseconds since 1970.
    pub at_ms: i64,
    /// `reading`, `waiting`, `paused` (streams missing), `degraded` (see `trouble`), `stopped`.
    pub state: String,
    /// The live files, those not yet wholly committed, and those with a problem.
    pub files: Vec<FileBeat>,
    /// Bytes on disk that are not yet committed.
    pub lag_bytes: u64,
    /// Since the start: events published.
    pub events: u64,
    /// Since the start: dead letters published.
    pub dead_letters: u64,
    /// Since the start: bytes of events, of dead letters, and skipped (blank, NUL).
    pub event_bytes: u64,
    pub dead_bytes: u64,
    pub skipped_bytes: u64,
    /// Since the start: events dropped by `--drop`, and their bytes.
    pub dropped: u64,
    pub dropped_bytes: u64,
    /// Since the start: messages published again.
    pub republished: u64,
    /// Since the start: bytes that were lost.
    pub gap_bytes: u64,
    /// Time of the last event read, microseconds since 1970.
    pub last_event_at: Option<i64>,
    /// Archives that are damaged or cut off.
    pub damaged: u64,
    pub unreadable: u64,
    /// Why the checkpoint cannot be written now.
    pub trouble: Option<String>,
}

/// Repairs in a file, since it was first read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Repairs {
    /// Bytes of blank lines and NUL holes that were skipped.
    pub skipped_bytes: u64,
    /// Lines on which events were glued to other text.
    pub glued: u64,
    /// Events stitched from this file and its neighbour.
    pub stitched: u64,
    pub arrays: u64,
    /// Last lines that were taken without a newline.
    pub unfinished: u64,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FileBeat {
    pub path: String,
    /// The file id; `None` before the first line is complete.
    pub file_id: Option<FileId>,
    pub generation: u32,
    /// Size in bytes (of the decompressed stream as far as known).
    pub size: u64,
    pub read: u64,
    /// Length of the committed prefix in bytes.
    pub committed: u64,
    pub repairs: Repairs,
    /// Why the file cannot be read, or not to its end.
    pub problem: Option<String>,
}

impl Bus {
    pub async fn heartbeat(&self, sensor: &SensorId, beat: &Heartbeat) -> anyhow::Result<()> {
        let bucket = self.jetstream.get_key_value(topology::LOADERS).await.context("open bucket loaders")?;
        let payload = serde_json::to_vec(beat).context("write a heartbeat")?;
        bucket.put(sensor.as_str(), payload.into()).await.context("put a heartbeat")?;
        Ok(())
    }

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
