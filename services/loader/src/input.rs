//! The bytes of a file, plain or gzip, as one stream of offsets.

use std::{
    fs::{File, Metadata},
    io::{self, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

/// An open file at an offset of its (decompressed) stream.
pub(crate) struct Input {
    kind: Kind,
    at: u64,
}

enum Kind {
    Plain(File),
    /// The decoder, and whether the stream was cut off.
    Gzip(Box<MultiGzDecoder<BufReader<File>>>, bool),
}

impl Input {
    /// Opens at the start.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut magic = [0; 2];
        let gzip = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
        file.seek(SeekFrom::Start(0))?;
        let kind = if gzip { Kind::Gzip(Box::new(MultiGzDecoder::new(BufReader::new(file))), false) } else { Kind::Plain(file) };
        Ok(Self { kind, at: 0 })
    }

    /// Whether this is a closed archive: nothing will be added.
    pub fn compressed(&self) -> bool {
        matches!(self.kind, Kind::Gzip(..))
    }

    /// What `fstat` says of the open file, whatever its name is now.
    pub fn metadata(&self) -> io::Result<Metadata> {
        match &self.kind {
            Kind::Plain(file) => file.metadata(),
            Kind::Gzip(decoder, _) => decoder.get_ref().get_ref().metadata(),
        }
    }

    /// Reads on; 0 at the end. An archive that was cut off ends there.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.kind {
            Kind::Plain(file) => file.read(into)?,
            Kind::Gzip(_, true) => 0,
            Kind::Gzip(decoder, cut) => match decoder.read(into) {
                Ok(read) => read,
                Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
                    tracing::warn!(offset = self.at, %error, "an archive is damaged or cut off: what came before counts");
                    *cut = true;
                    0
                }
                Err(error) => return Err(error),
            },
        };
        self.at += read as u64;
        Ok(read)
    }

    /// Reads at an offset of a plain file, up to its end, without going there; nothing of an archive.
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let Kind::Plain(file) = &self.kind else { return Ok(0) };
        let mut done = 0;
        while done < into.len() {
            match file.read_at(&mut into[done..], offset + done as u64) {
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
        if let Kind::Plain(file) = &mut self.kind {
            file.seek(SeekFrom::Start(offset))?;
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
        if let Kind::Gzip(decoder, cut) = &mut self.kind {
            let mut file = decoder.get_ref().get_ref().try_clone()?;
            file.seek(SeekFrom::Start(0))?;
            **decoder = MultiGzDecoder::new(BufReader::new(file));
            *cut = false;
        }
        self.at = 0;
        Ok(())
    }
}
