//! The bytes of a file, plain or compressed, as one stream of offsets.

use std::{
    fs::{File, Metadata},
    io::{self, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::Path,
};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;

/// The largest zstd window accepted, as a power of two: 8 MiB, what every decoder must support (RFC 8878).
const ZSTD_WINDOW_LOG: u32 = 23;

/// How a file is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Plain,
    Gzip,
    Bzip2,
    Zstd,
}

/// An open file at an offset of its (decompressed) stream.
pub(crate) struct Input {
    file: File,
    format: Format,
    /// Reads the decompressed stream; `None` for a plain file.
    decoder: Option<Box<dyn Read + Send + Sync>>,
    /// The archive ended before its end.
    cut: bool,
    at: u64,
}

impl Input {
    /// Opens at the start. What is in the file decides how it is read, not its name.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of(File::open(path)?)
    }

    /// The same file, whatever its name is now, opened another time, at its start. Works on Linux.
    pub fn again(&self) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        Self::open(Path::new(&format!("/proc/self/fd/{}", self.file.as_raw_fd())))
    }

    fn of(file: File) -> io::Result<Self> {
        let format = format(&file)?;
        let mut input = Self { file, format, decoder: None, cut: false, at: 0 };
        input.rewind()?;
        Ok(input)
    }

    /// Whether this is a closed archive: nothing will be added.
    pub fn compressed(&self) -> bool {
        self.format != Format::Plain
    }

    /// What `fstat` says of the open file, whatever its name is now.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Reads on; 0 at the end. An archive that was cut off ends there.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.decoder {
            None => self.file.read(into)?,
            Some(_) if self.cut => 0,
            Some(decoder) => match decoder.read(into) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(error) if error.raw_os_error().is_some() => return Err(error),
                Err(error) => {
                    tracing::warn!(offset = self.at, %error, "an archive is damaged or cut off: what came before counts");
                    self.cut = true;
                    0
                }
            },
        };
        self.at += read as u64;
        Ok(read)
    }

    /// Reads at an offset of a plain file, up to its end, without going there; nothing of an archive.
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
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
    pub fn go_to(&mut self, offset: u64) -> io::Result<()> {
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

    fn rewind(&mut self) -> io::Result<()> {
        self.decoder = None;
        self.file.seek(SeekFrom::Start(0))?;
        (self.at, self.cut) = (0, false);
        let from = BufReader::new(self.file.try_clone()?);
        self.decoder = decoder(self.format, from)?;
        Ok(())
    }
}

/// The decompressed bytes of a file, whatever it is compressed with, for whoever reads it from start to end.
pub fn decompressed(file: File) -> io::Result<(Box<dyn Read + Send + Sync>, bool)> {
    let format = format(&file)?;
    let from = BufReader::new(file.try_clone()?);
    let compressed = format != Format::Plain;
    Ok((decoder(format, from)?.unwrap_or_else(|| Box::new(file)), compressed))
}

fn format(file: &File) -> io::Result<Format> {
    let mut magic = [0; 6];
    let mut read = 0;
    while read < magic.len() {
        match file.read_at(&mut magic[read..], read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    let unread = |kind| Err(io::Error::new(io::ErrorKind::Unsupported, format!("{kind} archives are not read: decompress it, or use gzip, bzip2 or zstd")));
    match &magic[..read] {
        [0x1f, 0x8b, ..] => Ok(Format::Gzip),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Ok(Format::Bzip2),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Format::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => unread("xz"),
        [b'P', b'K', 3, 4, ..] => unread("zip"),
        [0x04, 0x22, 0x4d, 0x18, ..] => unread("lz4"),
        _ => Ok(Format::Plain),
    }
}

fn decoder(format: Format, from: BufReader<File>) -> io::Result<Option<Box<dyn Read + Send + Sync>>> {
    Ok(match format {
        Format::Plain => None,
        Format::Gzip => Some(Box::new(MultiGzDecoder::new(from))),
        Format::Bzip2 => Some(Box::new(MultiBzDecoder::new(from))),
        Format::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Some(Box::new(decoder))
        }
    })
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
