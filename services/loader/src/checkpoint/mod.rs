//! The durable checkpoint: up to which offset each file is committed. It is readable JSON. Where it is
//! missing or damaged, the logs are read again.

mod writer;

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use bus::Repairs;
use events::{EventId, FileId, Fingerprint, SensorId};
use serde::{Deserialize, Serialize};

pub(crate) use writer::CheckpointWriter;

/// Version of the file's layout.
const VERSION: u32 = 1;

/// The checkpoint of one sensor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub version: u32,
    pub sensor: SensorId,
    /// State of EVENTS and DEAD when last queried.
    pub streams: [Option<StreamSeen>; 2],
    pub files: Vec<FilePoint>,
}

/// A stream as the loader last saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct StreamSeen {
    /// Creation time, nanoseconds since 1970.
    pub created: i64,
    /// The highest sequence with which the broker acknowledged a message of this loader.
    pub high: u64,
}

/// How far a file is committed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct FilePoint {
    pub file_id: FileId,
    pub path: String,
    pub device: u64,
    pub inode: u64,
    pub generation: u32,
    pub fingerprint: Fingerprint,
    /// The file is an archive: offsets refer to its decompressed stream.
    pub compressed: bool,
    /// Everything before this offset is committed. A line starts here.
    pub position: u64,
    /// The path with symbolic links resolved.
    #[serde(default)]
    pub real_path: String,
    /// The largest size seen; 0 for an archive.
    #[serde(default)]
    pub extent: u64,
    /// Everything before this offset was published.
    pub published: u64,
    /// The bytes of the file can no longer be read.
    pub gone: bool,
    /// No pattern matches it any more: it is followed by its identity.
    #[serde(default)]
    pub unlisted: bool,
    #[serde(default)]
    pub repairs: Repairs,
    /// The last committed line.
    pub last_line: Option<LastLine>,
    /// Size and modification time when the whole file had been committed. An unchanged file need not be
    /// opened.
    pub complete: Option<Stamp>,
    /// Why an archive could be read only in part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// A line: where it is, and a hash of its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LastLine {
    pub start: u64,
    pub end: u64,
    /// The event id of the line's bytes, also if the line is not an event.
    pub hash: EventId,
}

/// Size and modification time of a file on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub size: u64,
    pub mtime_ns: i128,
}

impl Stamp {
    pub fn of(meta: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            size: meta.len(),
            mtime_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
        }
    }
}

/// Whether the checkpoint may become accessible without a change of settings (disk full, no descriptor).
pub(crate) fn may_pass(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
        || boot::is_descriptor_shortage(error)
}

/// The checkpoint's file. A lock ensures that one process uses it.
pub(crate) struct CheckpointFile {
    path: PathBuf,
    _lock: File,
}

impl CheckpointFile {
    /// Locks the checkpoint; fails when another loader holds the lock.
    pub fn take(directory: &Path, sensor: &SensorId) -> anyhow::Result<Self> {
        fs::create_dir_all(directory)
            .with_context(|| format!("create state directory {}", directory.display()))?;
        let lock_path = directory.join(format!("{sensor}.lock"));
        let lock = File::create(&lock_path).with_context(|| format!("open {}", lock_path.display()))?;
        if lock.try_lock().is_err() {
            anyhow::bail!(
                "another loader of sensor {sensor} uses {}: stop it, or give another --state-dir",
                boot::quoted(directory)
            );
        }
        Ok(Self { path: directory.join(format!("{sensor}.json")), _lock: lock })
    }

    /// Reads the checkpoint. One that cannot be parsed is renamed, and all logs are read again (Postgres
    /// ignores the duplicates).
    pub fn load(&self, sensor: &SensorId) -> anyhow::Result<Option<Checkpoint>> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("read checkpoint {}", self.path.display()));
            }
        };
        match read(&text, sensor) {
            Ok(checkpoint) => Ok(Some(checkpoint)),
            Err(why) => {
                let aside = self.path.with_extension("json.damaged");
                tracing::warn!(
                    checkpoint = %self.path.display(), why, aside = %aside.display(),
                    "could not parse the checkpoint; reading the logs again"
                );
                fs::rename(&self.path, &aside)
                    .with_context(|| format!("put {} aside", self.path.display()))?;
                Ok(None)
            }
        }
    }

    /// Replaces the file atomically: after a crash either the old or the new checkpoint is complete.
    pub fn save(&self, checkpoint: &Checkpoint) -> anyhow::Result<()> {
        let write = || -> std::io::Result<()> {
            let new = self.path.with_extension("json.new");
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec_pretty(checkpoint)?)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            self.path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
        };
        write().with_context(|| format!("write checkpoint {}", self.path.display()))
    }
}

/// Parses a checkpoint; `Err` says what is wrong with it.
fn read(text: &[u8], sensor: &SensorId) -> Result<Checkpoint, String> {
    let checkpoint: Checkpoint = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if checkpoint.version != VERSION {
        return Err(format!("version {}, expected {VERSION}", checkpoint.version));
    }
    if checkpoint.sensor != *sensor {
        return Err(format!("it belongs to sensor {}", checkpoint.sensor));
    }
    Ok(checkpoint)
}

impl Checkpoint {
    pub fn new(sensor: SensorId) -> Self {
        Self { version: VERSION, sensor, streams: [None; 2], files: Vec::new() }
    }
}

/// Fuzz target: parses any bytes as a checkpoint; one that parses must survive being written and parsed
/// again.
pub fn fuzz(bytes: &[u8]) {
    let Ok(sensor) = "s".parse::<SensorId>() else { return };
    if let Ok(checkpoint) = read(bytes, &sensor) {
        let again =
            serde_json::to_vec(&checkpoint).map_err(drop).and_then(|text| read(&text, &sensor).map_err(drop));
        assert!(
            again.as_ref() == Ok(&checkpoint),
            "a checkpoint changed when it was written and parsed again"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_checkpoint_is_put_aside_and_one_loader_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let sensor: SensorId = "s".parse().unwrap();
        let file = CheckpointFile::take(dir.path(), &sensor).unwrap();
        assert!(CheckpointFile::take(dir.path(), &sensor).is_err());
        assert_eq!(file.load(&sensor).unwrap(), None);
        file.save(&Checkpoint::new(sensor.clone())).unwrap();
        assert_eq!(file.load(&sensor).unwrap(), Some(Checkpoint::new(sensor.clone())));
        for damaged in [
            "",
            "{",
            r#"{"version":2,"sensor":"s","streams":[null,null],"files":[]}"#,
            r#"{"version":1,"sensor":"t","streams":[null,null],"files":[]}"#,
        ] {
            fs::write(dir.path().join("s.json"), damaged).unwrap();
            assert_eq!(file.load(&sensor).unwrap(), None, "{damaged}");
        }
    }
}
