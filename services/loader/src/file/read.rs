//! Reads a file, chunk by chunk and line by line.

use std::io;

use events::line::Item;

use super::LogFile;

impl LogFile {
    /// Reads the next bytes; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reading.touch();
        if !self.reading.has_unparsed() {
            self.open()?;
        }
        self.reading.read(buffer)
    }

    /// Bytes were read: the end was not reached, and the file is not committed as a whole.
    pub fn begin_chunk(&mut self) {
        self.reading.resume();
        self.disk.set_incomplete();
        self.trouble.clear_error();
    }

    /// Takes the next item from the front of `chunk`; `None` when the chunk is used up.
    pub fn next_item(&mut self, chunk: &mut &[u8]) -> Option<Item> {
        self.reading.next_item(chunk)
    }

    /// Keeps bytes that were read for the next `read`.
    pub fn keep_unparsed(&mut self, chunk: &[u8]) {
        self.reading.keep(chunk);
    }

    /// Skips the hole of a sparse file that begins where reading is.
    pub fn skip_hole(&mut self) -> Option<Item> {
        self.reading.skip_hole()
    }

    /// The file may have grown.
    pub fn look_again(&mut self) {
        if self.reading.is_open() && !self.reading.is_archive() {
            self.reading.set_ready(true);
        }
    }

    pub fn end_reached(&mut self) {
        self.reading.end_reached();
        self.trouble.clear_error();
        let damage = self.reading.input().and_then(|input| input.damage().map(str::to_owned));
        if self.trouble.set_damage(damage) {
            tracing::warn!(
                path = %self.path().display(),
                offset = self.reading.offset(),
                damage = self.trouble.damage(),
                "an archive is damaged or cut off; the lines before the damage were read"
            );
        }
    }

    /// Records why the file cannot be read. It is retried at the next scan. In `once` mode, and for an
    /// unsupported format, it is retried only after the file changed.
    pub fn unreadable(&mut self, error: &io::Error, once: bool) {
        let unsupported = error.kind() == io::ErrorKind::Unsupported;
        if unsupported && self.reading.offset() > 0 {
            // The start was read: the rest counts as damaged.
            tracing::warn!(
                path = %self.path().display(), %error,
                "could not read the rest of an archive: unsupported"
            );
            self.reading.stop();
            self.trouble.set_damage(Some(error.to_string()));
            return;
        }
        self.reading.set_ready(false);
        let missing = error.kind() == io::ErrorKind::NotFound;
        let is_refused = unsupported || (once && !missing && !boot::is_descriptor_shortage(error));
        let is_new = self.trouble.fail(error.to_string(), is_refused);
        if is_refused && is_new {
            tracing::warn!(
                path = %self.path().display(), %error,
                "could not read a log; will not retry until it changes"
            );
        } else if is_new && !missing {
            tracing::warn!(path = %self.path().display(), %error, "could not read a log; will retry");
        }
    }
}
