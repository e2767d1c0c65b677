//! Maps a file on disk to the files of the database, and to their committed ranges.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context as _;
use events::{FileId, Fingerprint, MAX_DEAD_BODY, MAX_LINE, RangeSet, SensorId};
use store::{Connection, verify as db};

use super::lines::Line;

/// How a file of the database matches a file on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Likeness {
    /// The same first line, and the same inode or path.
    Same,
    /// The same first line at another place. A copy may have less than was read, or more: only the common
    /// part can be compared.
    Copy,
    /// The same path with another first line: the file was edited, or it is a new one.
    Path {
        /// The inode is also the same.
        same_inode: bool,
    },
}

/// A file on disk, and its matches in the database.
pub(super) struct Found {
    path: PathBuf,
    device: u64,
    inode: u64,
    pub written: SystemTime,
    start: Option<Fingerprint>,
    pub length: u64,
    /// The files of the database that match it best.
    pub known: Vec<(FileId, Likeness)>,
    /// All files of the database that start with the same line.
    pub related: Vec<FileId>,
    committed: RangeSet,
}

impl Found {
    /// Takes an open file, because the path may lead to another file later.
    pub fn start(path: &Path, file: &File) -> anyhow::Result<Self> {
        let meta = file.metadata().context("read the metadata of the file")?;
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let written = meta.modified().context("read the metadata of the file")?;
        Ok(Self {
            path,
            device: meta.dev(),
            inode: meta.ino(),
            written,
            start: None,
            length: 0,
            known: Vec::new(),
            related: Vec::new(),
            committed: RangeSet::default(),
        })
    }

    /// Bytes read so far, of the decompressed stream.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn place(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Its path when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line. Returns true for the first line that is not blank: from then on the file can be found in
    /// the database.
    pub fn add_line(&mut self, line: &Line) -> bool {
        self.length = line.offset + line.length;
        let first = self.start.is_none() && !line.is_blank();
        if first {
            let head = if line.bytes.len() > MAX_LINE { MAX_DEAD_BODY } else { line.bytes.len() };
            self.start = Some(Fingerprint::of(&line.bytes[..head]));
        }
        first
    }

    /// Finds the file by the same inode and first line; otherwise by the same first line; otherwise the file
    /// last read at this path.
    pub async fn resolve(&mut self, on: &mut Connection, sensor: &SensorId) -> anyhow::Result<()> {
        let path = self.path.to_string_lossy();
        let all = db::known_files(on, sensor, &path, self.device, self.inode, self.start).await?;
        let like = |known: &db::KnownFile| match known {
            db::KnownFile { same_start: true, same_inode: true, .. } => Likeness::Same,
            db::KnownFile { same_start: true, same_path: true, .. } => Likeness::Same,
            db::KnownFile { same_start: true, .. } => Likeness::Copy,
            db::KnownFile { same_inode, .. } => Likeness::Path { same_inode: *same_inode },
        };
        let exact: Vec<_> = all.iter().filter(|known| known.same_start && known.same_inode).collect();
        let copies: Vec<_> = all.iter().filter(|known| known.same_start).collect();
        let here: Vec<_> = all.iter().filter(|known| known.same_path).take(1).collect();
        // The newest generation of this file is the one on disk. With several copies, what any of them has is
        // committed. A file with another content at this path proves nothing about this one.
        let committed = if exact.is_empty() { &copies[..] } else { &exact[..1] };
        self.committed = RangeSet::default();
        committed
            .iter()
            .flat_map(|known| &known.committed)
            .for_each(|&(start, end)| self.committed.insert(start, end));
        self.related = copies.iter().map(|known| known.file).collect();
        let chosen = [exact, copies, here].into_iter().find(|some| !some.is_empty()).unwrap_or_default();
        self.known = chosen.iter().map(|known| (known.file, like(known))).collect();
        Ok(())
    }

    /// Whether the whole range is committed.
    pub fn is_committed(&self, start: u64, end: u64) -> bool {
        self.committed.contains(start, end)
    }

    /// Whether any byte after `offset` is committed.
    pub fn is_committed_after(&self, offset: u64) -> bool {
        self.committed.to_vec().last().is_some_and(|&(_, end)| end > offset)
    }
}
