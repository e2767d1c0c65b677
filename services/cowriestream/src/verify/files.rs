//! Which files of the database a file on disk is.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use events::{FileId, Fingerprint, MAX_DEAD_BODY, MAX_LINE, SensorId};
use store::{Connection, verify as db};

use super::lines::Line;

/// A file on disk, and what the database knows it as.
pub(super) struct Found {
    path: PathBuf,
    device: u64,
    inode: u64,
    start: Option<Fingerprint>,
    length: u64,
    /// Each with the offset up to which it was this file; without one where it is this very file.
    pub known: Vec<(FileId, Option<u64>)>,
}

impl Found {
    pub fn start(path: &Path) -> anyhow::Result<Self> {
        let meta = fs::metadata(path).context("look at the file")?;
        let path = fs::canonicalize(path).context("resolve the path")?;
        Ok(Self { path, device: meta.dev(), inode: meta.ino(), start: None, length: 0, known: Vec::new() })
    }

    /// Bytes read so far, of the decompressed stream.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn saw(&mut self, line: &Line) {
        self.length = line.offset + line.length;
        if self.start.is_none() && !line.is_blank() {
            let head = if line.bytes.len() > MAX_LINE { MAX_DEAD_BODY } else { line.bytes.len() };
            self.start = Some(Fingerprint::of(&line.bytes[..head]));
        }
    }

    /// The same inode and first line; else the same first line; else what was last read at this path.
    pub async fn resolve(&mut self, on: &mut Connection, sensor: &SensorId) -> anyhow::Result<()> {
        let path = self.path.to_string_lossy();
        let all = db::known_files(on, sensor, &path, self.device, self.inode, self.start).await?;
        let exact: Vec<_> = all.iter().filter(|known| known.same_inode).map(|known| (known.file, None)).collect();
        let copies: Vec<_> = all
            .iter()
            .filter(|known| known.same_start)
            // A copy may hold less, or more, than what was read: only the common part can be judged.
            .map(|known| (known.file, (!known.same_path).then_some(self.length)))
            .collect();
        let newest_here = all.iter().find(|known| known.same_path).map(|known| (known.file, None));
        self.known = match (exact.is_empty(), copies.is_empty()) {
            (false, _) => exact,
            (true, false) => copies,
            (true, true) => newest_here.into_iter().collect(),
        };
        Ok(())
    }
}
