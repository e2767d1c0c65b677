//! Which file it is: its paths, its inode, its generation, and the file id made of its first line.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use events::{Announcement, FileId, Fingerprint, line::Item};

use super::content::content;
use crate::{checkpoint::FilePoint, input::Input, logs::Found};

/// The identity of one generation of one inode.
pub(crate) struct Identity {
    path: PathBuf,
    /// The path with symbolic links resolved.
    real_path: PathBuf,
    device: u64,
    inode: u64,
    /// Each truncation starts a new generation.
    generation: u32,
    /// Known once the first line is complete.
    id: Option<(FileId, Fingerprint)>,
    /// The id was made of a part of the first line. It is made again when the whole line is read.
    is_provisional: bool,
    /// The announcement was published since the file was opened.
    is_announced: bool,
}

impl Identity {
    pub(super) fn new(found: &Found, generation: u32) -> Self {
        Self {
            path: found.path.clone(),
            real_path: fs::canonicalize(&found.path).unwrap_or_else(|_| found.path.clone()),
            device: found.meta.dev(),
            inode: found.meta.ino(),
            generation,
            id: None,
            is_provisional: false,
            is_announced: false,
        }
    }

    /// Sets the file id of the checkpoint.
    pub(super) fn resume(&mut self, point: &FilePoint) {
        self.id = Some((point.file_id, point.fingerprint));
    }

    /// Sets the paths, the inode and the file id of the checkpoint.
    pub(super) fn resume_lost(&mut self, point: &FilePoint) {
        self.resume(point);
        (self.path, self.real_path) = (point.path.clone().into(), point.real_path.clone().into());
        (self.device, self.inode) = (point.device, point.inode);
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn real_path(&self) -> &Path {
        &self.real_path
    }

    /// Device and inode.
    pub fn inode(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    pub fn generation(&self) -> u32 {
        self.generation
    }

    pub fn id(&self) -> Option<FileId> {
        self.id.map(|(id, _)| id)
    }

    /// The hash of the first line.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.id.map(|(_, fingerprint)| fingerprint)
    }

    pub fn is_same_inode(&self, meta: &Metadata) -> bool {
        (meta.dev(), meta.ino()) == self.inode()
    }

    /// Returns the file id. The first line that is not blank determines it.
    pub fn identify(&mut self, item: &Item) -> Option<FileId> {
        if !matches!(item, Item::Skipped { .. }) && self.id.is_none() {
            self.identify_by(Fingerprint::of(content(item)));
        }
        self.id()
    }

    /// Returns the file id. A file of which not even the first line was read gets the id of an empty line.
    pub(super) fn identify_unread(&mut self) -> FileId {
        match self.id() {
            Some(id) => id,
            None => self.identify_by(Fingerprint::of(b"")),
        }
    }

    fn identify_by(&mut self, fingerprint: Fingerprint) -> FileId {
        let id = FileId::of(self.device, self.inode, self.generation, &fingerprint);
        self.id = Some((id, fingerprint));
        id
    }

    pub(super) fn set_provisional(&mut self, is_provisional: bool) {
        self.is_provisional = is_provisional;
    }

    /// Forgets a file id that was made of a part of the first line. Returns whether it did.
    pub(super) fn drop_provisional(&mut self) -> bool {
        let dropped = std::mem::take(&mut self.is_provisional);
        if dropped {
            (self.id, self.is_announced) = (None, false);
        }
        dropped
    }

    /// A scan found the file under another path.
    pub(super) fn rename(&mut self, path: &Path) {
        self.path = path.to_owned();
        self.move_to(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()));
    }

    /// The file was moved. The next message announces the new path.
    pub(super) fn move_to(&mut self, real_path: PathBuf) {
        self.real_path = real_path;
        self.is_announced = false;
    }

    pub(super) fn set_path(&mut self, path: PathBuf) {
        self.path = path;
    }

    pub(super) fn set_real_path(&mut self, real_path: PathBuf) {
        self.real_path = real_path;
    }

    /// The next message announces the file again.
    pub(super) fn announce_again(&mut self) {
        self.is_announced = false;
    }

    /// The announcement of the file. If the file is not listed, another file may have its path now.
    pub(super) fn announcement(&self, is_listed: bool) -> Option<Announcement> {
        let (file_id, fingerprint) = self.id?;
        let path = if is_listed { fs::canonicalize(&self.path).ok() } else { None };
        Some(Announcement {
            file_id,
            path: path.as_ref().unwrap_or(&self.real_path).to_string_lossy().into_owned(),
            device: self.device,
            inode: self.inode,
            generation: self.generation,
            fingerprint,
        })
    }

    /// The announcement that goes with the first message after the file was opened.
    pub(super) fn take_announcement(&mut self, is_listed: bool) -> Option<Announcement> {
        let is_announced = std::mem::replace(&mut self.is_announced, true);
        if is_announced { None } else { self.announcement(is_listed) }
    }

    /// Opens the file at its start, by its path or its last known real path, if that is still the same file.
    pub(super) fn open(&self) -> io::Result<Input> {
        self.open_at(&self.path).or_else(|error| {
            if self.real_path == self.path { Err(error) } else { self.open_at(&self.real_path) }
        })
    }

    /// Opens the file at `path`, if that is this file.
    pub(super) fn open_at(&self, path: &Path) -> io::Result<Input> {
        let input = Input::open(path)?;
        if !self.is_same_inode(&input.metadata()?) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "another file has this name now"));
        }
        Ok(input)
    }

    /// The file's metadata, if one of its paths still leads to it.
    pub(super) fn metadata(&self) -> Option<Metadata> {
        let mine = |path: &PathBuf| fs::metadata(path).ok().filter(|meta| self.is_same_inode(meta));
        mine(&self.path).or_else(|| mine(&self.real_path))
    }
}
