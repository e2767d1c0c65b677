//! Reads a file, plain or compressed, as one stream of bytes with offsets.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    archive::{Decoder, Format},
    descriptors::Open,
};

/// How long a command waits for a free file descriptor.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens a file for a command. While too many files are open, it retries for a limited time.
pub fn open_patiently(path: &Path) -> io::Result<File> {
    let since = Instant::now();
    loop {
        match File::open(path) {
            Err(error) if boot::is_descriptor_shortage(&error) && since.elapsed() < PATIENCE => {
                std::thread::sleep(PAUSE)
            }
            other => return other,
        }
    }
}

/// An open log, plain or compressed, at an offset of its (decompressed) stream. It uses one file descriptor.
pub struct Input {
    file: Arc<File>,
    format: Format,
    /// Decompresses the file; `None` for a plain file.
    decoder: Option<Decoder>,
    damage: Option<String>,
    at: u64,
    _open: Open,
}

impl Input {
    /// Opens a file at its start. The content decides how it is decompressed, not the name.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of(File::open(path)?)
    }

    /// The current path of the open file; `None` when it was deleted or the system does not report it. Linux
    /// only.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        use std::os::fd::AsRawFd;
        let path = std::fs::read_link(format!("/proc/self/fd/{}", self.file.as_raw_fd())).ok()?;
        // Linux appends " (deleted)" to the name of a deleted file.
        let (found, mine) = (std::fs::metadata(&path).ok()?, self.metadata().ok()?);
        ((found.dev(), found.ino()) == (mine.dev(), mine.ino())).then_some(path)
    }

    /// Reads an open file from its start.
    pub fn of(file: File) -> io::Result<Self> {
        let file = Arc::new(file);
        let format = Format::of(&file)?;
        let mut input = Self { file, format, decoder: None, damage: None, at: 0, _open: Open::count() };
        input.rewind()?;
        Ok(input)
    }

    /// The same for a command that does nothing else. While too many files are open, it retries for a limited
    /// time.
    pub fn open_patiently(path: &Path) -> io::Result<Self> {
        Self::of(open_patiently(path)?)
    }

    /// Opens the same file once more, at its start, whatever its name is now. Linux only.
    pub(crate) fn again(&self) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        Self::open(Path::new(&format!("/proc/self/fd/{}", self.file.as_raw_fd())))
    }

    /// Whether this is an archive. Nothing is appended to an archive.
    pub fn compressed(&self) -> bool {
        self.format != Format::Plain
    }

    /// Why the archive could not be read to its end: it is damaged or cut off.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// `fstat` of the open file, whatever its name is now.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Reads a plain file at an offset, up to its end, without moving the position. Reads nothing from an
    /// archive.
    pub(crate) fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.compressed() {
            return Ok(0);
        }
        let mut done = 0;
        while done < into.len() {
            match self.file.read_at(&mut into[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Moves to an offset; in an archive by decompressing up to it.
    pub(crate) fn go_to(&mut self, offset: u64) -> io::Result<()> {
        if !self.compressed() {
            self.file.seek(SeekFrom::Start(offset))?;
            self.at = offset;
            return Ok(());
        }
        if offset < self.at {
            self.rewind()?;
        }
        let mut scratch = vec![0; 1 << 16];
        while self.at < offset {
            let most = scratch.len().min(usize::try_from(offset - self.at).unwrap_or(usize::MAX));
            if self.read(&mut scratch[..most])? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Skips a hole of a plain file that starts at the current position; returns its length in bytes.
    pub fn skip_hole(&mut self) -> io::Result<u64> {
        if self.compressed() {
            return Ok(0);
        }
        // The size is read first: bytes that are appended meanwhile lie beyond it.
        let size = self.file.metadata()?.len();
        let data = match rustix::fs::seek(&*self.file, rustix::fs::SeekFrom::Data(self.at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => size,
            // Not every file system reports holes.
            Err(_) => self.at,
        };
        let skipped = data.saturating_sub(self.at);
        self.go_to(self.at + skipped)?;
        Ok(skipped)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.decoder = None;
        self.file.seek(SeekFrom::Start(0))?;
        (self.at, self.damage) = (0, None);
        self.decoder = Decoder::start(self.format, self.file.clone())?;
        Ok(())
    }
}

impl Read for Input {
    /// Reads on; 0 at the end. A damaged archive ends where the damage begins, see [`Input::damage`].
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == 0 && self.decoder.is_none() {
            // The file may have been empty when it was opened.
            self.format = Format::of(&self.file)?;
            self.decoder = Decoder::start(self.format, self.file.clone())?;
        }
        let read = match &mut self.decoder {
            None => self.file.read(into)?,
            Some(_) if self.damage.is_some() => 0,
            Some(decoder) => match decoder.read(into) {
                Ok(read) => read,
                Err(error) if Decoder::is_damage(&error) => {
                    self.damage = Some(error.to_string());
                    0
                }
                Err(error) => return Err(error),
            },
        };
        self.at += read as u64;
        Ok(read)
    }
}

/// Fuzz target: reading a file from an offset must give the same bytes as reading it whole.
pub fn fuzz(path: &Path, at: u64) {
    /// Enough for every archive that the fuzzer makes.
    const MOST: usize = 1 << 20;
    let read = |from: u64| -> io::Result<Vec<u8>> {
        let mut input = Input::open(path)?;
        input.go_to(from)?;
        let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
        while all.len() < MOST {
            match input.read(&mut buffer)? {
                0 => break,
                read => all.extend_from_slice(&buffer[..read]),
            }
        }
        Ok(all)
    };
    if let (Ok(whole), Ok(rest)) = (read(0), read(at)) {
        let expected = whole.get(usize::try_from(at).unwrap_or(usize::MAX)..).unwrap_or_default();
        let common = expected.len().min(rest.len());
        assert_eq!(expected[..common], rest[..common], "a resumed archive differs");
    }
}
