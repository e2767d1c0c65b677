//! The bytes of a file, plain or compressed, as one stream of offsets.

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

/// How long a command waits for a file descriptor.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it waits before it tries again.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens a file for a command; waits, for a limited time, while too many files are open.
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
    /// Reads the decompressed stream; `None` for a plain file.
    decoder: Option<Decoder>,
    damage: Option<String>,
    at: u64,
    _open: Open,
}

impl Input {
    /// Opens at the start. What is in the file decides how it is read, not its name.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of(File::open(path)?)
    }

    /// Where the open file lies now, whatever it was opened as; `None` when it was deleted or the system does
    /// not say. Works on Linux.
    pub(crate) fn place(&self) -> Option<PathBuf> {
        use std::os::fd::AsRawFd;
        let path = std::fs::read_link(format!("/proc/self/fd/{}", self.file.as_raw_fd())).ok()?;
        // A name that has gone is shown with " (deleted)" behind it.
        let (there, mine) = (std::fs::metadata(&path).ok()?, self.metadata().ok()?);
        ((there.dev(), there.ino()) == (mine.dev(), mine.ino())).then_some(path)
    }

    /// Reads an open file from its start.
    pub fn of(file: File) -> io::Result<Self> {
        let file = Arc::new(file);
        let format = Format::of(&file)?;
        let mut input = Self { file, format, decoder: None, damage: None, at: 0, _open: Open::count() };
        input.rewind()?;
        Ok(input)
    }

    /// The same for a command that has nothing else to do: waits, for a limited time, while too many files
    /// are open.
    pub fn open_patiently(path: &Path) -> io::Result<Self> {
        Self::of(open_patiently(path)?)
    }

    /// The same file, whatever its name is now, opened another time, at its start. Works on Linux.
    pub(crate) fn again(&self) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        Self::open(Path::new(&format!("/proc/self/fd/{}", self.file.as_raw_fd())))
    }

    /// Whether this is a closed archive: nothing will be added.
    pub fn compressed(&self) -> bool {
        self.format != Format::Plain
    }

    /// Why the archive could not be read further than it was: it is damaged or cut off.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// What `fstat` says of the open file, whatever its name is now.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Reads at an offset of a plain file, up to its end, without going there; nothing of an archive.
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

    /// Goes to an offset; in an archive by reading up to it.
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

    /// Goes over a hole of a plain file, if there is one at this offset; returns how many NUL bytes it stands
    /// for.
    pub fn skip_hole(&mut self) -> io::Result<u64> {
        if self.compressed() {
            return Ok(0);
        }
        // The size is read first: what a writer adds meanwhile lies behind it.
        let size = self.file.metadata()?.len();
        let data = match rustix::fs::seek(&*self.file, rustix::fs::SeekFrom::Data(self.at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => size,
            // Not every file system knows its holes.
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
    /// Reads on; 0 at the end. A damaged archive ends where the damage begins: [`Input::damage`] tells.
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

/// Reads a file of any content: resumed at an offset it must give what it gives in one piece.
pub fn fuzz(path: &Path, at: u64) {
    /// No archive of the fuzzer's is worth more.
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
