//! Decompression. An archive holds one or more members (gzip, bzip2 streams, zstd frames); they are decoded
//! one after the other as one stream of bytes.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::FileExt,
    sync::Arc,
};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;

/// The largest zstd window accepted, as a power of two: 8 MiB, what every decoder must support (RFC 8878).
const ZSTD_WINDOW_LOG: u32 = 23;

/// How a file is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Plain,
    /// `.gz`
    Gzip,
    /// `.bz2`
    Bzip2,
    /// `.zst`
    Zstd,
}

impl Format {
    /// Detects the format by the first bytes of the file; the name does not count. An unsupported archive
    /// format is an error that names the format.
    pub fn of(file: &File) -> io::Result<Self> {
        let mut magic = [0; 6];
        let mut read = 0;
        while read < magic.len() {
            match file.read_at(&mut magic[read..], read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        let unsupported = |kind| {
            Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{kind} archives are not read: decompress it, or use gzip, bzip2 or zstd"),
            ))
        };
        match &magic[..read] {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Ok(Self::Bzip2),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => unsupported("xz"),
            [b'P', b'K', 3, 4, ..] => unsupported("zip"),
            [0x04, 0x22, 0x4d, 0x18, ..] => unsupported("lz4"),
            _ => Ok(Self::Plain),
        }
    }

    /// Whether a member may start with this byte.
    fn starts_with(self, byte: u8) -> bool {
        match self {
            Self::Plain => false,
            Self::Gzip => byte == 0x1f,
            Self::Bzip2 => byte == b'B',
            Self::Zstd => byte == 0x28 || (0x50..=0x5f).contains(&byte),
        }
    }
}

/// The compressed bytes. The decoder shares the descriptor of the file that it reads.
type Raw = BufReader<Arc<File>>;

enum Member {
    Gzip(Box<GzDecoder<Raw>>),
    Bzip2(Box<BzDecoder<Raw>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Raw>>),
}

impl Member {
    fn start(format: Format, raw: Raw) -> io::Result<Option<Self>> {
        Ok(match format {
            Format::Plain => None,
            Format::Gzip => Some(Self::Gzip(Box::new(GzDecoder::new(raw)))),
            Format::Bzip2 => Some(Self::Bzip2(Box::new(BzDecoder::new(raw)))),
            Format::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(raw)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Some(Self::Zstd(Box::new(decoder)))
            }
        })
    }

    fn into_raw(self) -> Raw {
        match self {
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Bzip2(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }
}

impl Read for Member {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(into),
            Self::Bzip2(decoder) => decoder.read(into),
            Self::Zstd(decoder) => decoder.read(into).map_err(unsupported_window),
        }
    }
}

/// The decoder of a whole archive.
pub(crate) struct Decoder {
    format: Format,
    /// `None` after the last member.
    member: Option<Member>,
}

impl Decoder {
    /// Decodes from the current offset of the file; `None` for a plain file.
    pub fn start(format: Format, file: Arc<File>) -> io::Result<Option<Self>> {
        Ok(Member::start(format, BufReader::new(file))?.map(|member| Self { format, member: Some(member) }))
    }

    /// Whether `error` comes from the archive's content, not from reading the file.
    pub fn is_damage(error: &io::Error) -> bool {
        error.raw_os_error().is_none()
            && !matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::Unsupported)
    }
}

impl Read for Decoder {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            match member.read(into)? {
                0 => {
                    let raw = self.member.take().map(Member::into_raw);
                    self.member = raw.map_or(Ok(None), |raw| next_member(self.format, raw))?;
                }
                read => return Ok(read),
            }
        }
        Ok(0)
    }
}

/// Starts the next member, if there is one. NUL bytes at the end of the file are padding, as in `gzip`.
fn next_member(format: Format, mut raw: Raw) -> io::Result<Option<Member>> {
    let mut padded = false;
    loop {
        let buffer = raw.fill_buf()?;
        let padding = buffer.iter().take_while(|&&byte| byte == 0).count();
        match buffer.first() {
            None => return Ok(None),
            Some(0) => {
                raw.consume(padding);
                padded = true;
            }
            Some(&byte) if !padded && format.starts_with(byte) => return Member::start(format, raw),
            Some(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the archive is followed by bytes that are not part of any archive",
                ));
            }
        }
    }
}

/// Replaces zstd's error about a window that is too large by one that says what to do.
fn unsupported_window(error: io::Error) -> io::Error {
    if !error.to_string().contains("too much memory") {
        return error;
    }
    let mebibytes = (1 << ZSTD_WINDOW_LOG) >> 20;
    let text = format!(
        "zstd archives with a window over {mebibytes} MiB (`zstd --long`, `--ultra`) are not read: \
         decompress it, or compress it with `zstd -19`"
    );
    io::Error::new(io::ErrorKind::Unsupported, text)
}
