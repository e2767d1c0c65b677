//! Continues with a file of the checkpoint.

use std::{fs, path::Path};

use bus::Repairs;
use events::SensorId;

use super::{LogFile, content::same_content};
use crate::{
    checkpoint::{FilePoint, StreamSeen},
    input::Input,
    logs::Found,
};

impl LogFile {
    /// A file of the checkpoint. If its content is still the same, reading continues at the committed offset.
    /// Otherwise it is a new generation, read from its start.
    pub fn resume(found: &Found, point: &FilePoint, sensor: &SensorId) -> Self {
        let mut file = Self::new(found, point.generation);
        file.identity.resume(point);
        file.reading.set_archive(point.compressed);
        file.start_at(point, point.repairs);
        if point.complete == Some(file.disk.stamp()) {
            file.trouble.resume(point.damage.clone(), point.position.saturating_sub(1));
            file.disk.set_complete(file.disk.stamp());
            file.reading.rest();
            // Bytes after the last message (blank, NUL, dropped) were read, too.
            file.disk.set_largest_size(point.position);
            return file;
        }
        // A file that cannot be read now is checked later, when it can be read.
        let same = Input::open(&found.path).and_then(|mut input| same_content(&mut input, point, sensor));
        if same.unwrap_or(true) {
            return file;
        }
        tracing::info!(
            path = %found.path.display(),
            "the content of the file differs from the last checkpoint; reading it from the start"
        );
        Self::new(found, point.generation + 1)
    }

    /// A file of the checkpoint that no pattern matches any more, found at `path`.
    pub fn resume_unlisted(path: &Path, point: &FilePoint, sensor: &SensorId) -> Option<Self> {
        let found = Found { path: path.to_owned(), meta: fs::metadata(path).ok()?, live: false };
        let mut file = Self::resume(&found, point, sensor);
        if file.identity.generation() != point.generation
            || file.identity.inode() != (point.device, point.inode)
        {
            return None;
        }
        // If a pattern matched it when the checkpoint was written, and it was not moved, then the patterns
        // were changed.
        file.fate.leave_patterns(!point.unlisted && path == Path::new(&point.path));
        let is_held_by_process = path.starts_with("/proc");
        if !is_held_by_process {
            tracing::info!(
                from = point.path, to = %path.display(),
                "no pattern matches the log any more; following it"
            );
        }
        file.reopen_at(path).ok()?;
        file.reading.set_ready(!file.disk.is_complete());
        file.identity.set_path(point.path.clone().into());
        if is_held_by_process {
            file.identity.set_real_path(point.real_path.clone().into());
        }
        Some(file)
    }

    /// A file of the checkpoint whose bytes can no longer be read. Its published part may still be
    /// committed.
    pub fn lost(point: &FilePoint, found: &Found, streams: &[Option<StreamSeen>; 2]) -> Option<Self> {
        if point.published.max(point.extent) <= point.position {
            return None;
        }
        let mut file = Self::new(found, point.generation);
        file.identity.resume_lost(point);
        file.start_at(point, Repairs::default());
        file.progress.add_lost(point.published, streams.map(|seen| seen.map_or(0, |seen| seen.high)));
        file.disk.set_largest_size(point.extent);
        if point.extent > point.published && point.complete.is_none() {
            file.fate.lose_bytes(point.extent);
        }
        file.become_gone();
        Some(file)
    }

    fn start_at(&mut self, point: &FilePoint, repairs: Repairs) {
        self.progress.start_at(point.position, point.last_line, repairs);
        self.reading.start_at(point.position);
    }
}
