//! Writes and rotates the log file of a sensor like Cowrie: when the next day begins, the file is renamed for
//! the day of its last line.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{cowrie::Cowrie, time::date};

/// Bytes buffered for a file that is not live.
const BUFFER: usize = 64 * 1024;

/// `cowrie.json` of one sensor.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    cowrie: Cowrie,
    live: bool,
    file: File,
    buffer: Vec<u8>,
    day: Option<(i32, u32, u32)>,
}

impl Log {
    /// Opens the log in this directory, which is created if missing. A live log is written without delay.
    pub fn open(directory: &Path, cowrie: Cowrie, live: bool) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join("cowrie.json");
        let file = create(&path, live)?;
        Ok(Self { path, cowrie, live, file, buffer: Vec::new(), day: None })
    }

    /// Writes one line at its time, in microseconds since 1970.
    pub fn write(&mut self, at: i64, line: &[u8]) -> io::Result<()> {
        let day = date(at);
        if let Some(last) = self.day.replace(day)
            && last != day
        {
            self.rotate(last)?;
        }
        self.buffer.extend_from_slice(line);
        self.buffer.push(b'\n');
        if self.live {
            return self.at_once();
        }
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes a live line: with one write, or in old versions with one for each token.
    fn at_once(&mut self) -> io::Result<()> {
        if self.cowrie.writes_lines() {
            return self.flush();
        }
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            let (token, after) = rest.split_at(token(rest));
            self.file.write_all(token)?;
            rest = after;
        }
        self.buffer.clear();
        Ok(())
    }

    /// Rotates like Twisted's `DailyLogFile`: not at all when the new name exists.
    fn rotate(&mut self, last: (i32, u32, u32)) -> io::Result<()> {
        self.flush()?;
        let named = self.path.with_file_name(format!("cowrie.json.{}", self.cowrie.suffix(last)));
        if named.exists() {
            return Ok(());
        }
        fs::rename(&self.path, named)?;
        self.file = create(&self.path, self.live)?;
        Ok(())
    }
}

/// Opens or creates the file. A live log continues an existing one.
fn create(path: &Path, live: bool) -> io::Result<File> {
    let mut options = File::options();
    if live {
        options.append(true).create(true)
    } else {
        options.write(true).create_new(true)
    };
    options.open(path)
}

/// The length of the first piece that Python's encoder writes on its own: a text, a sign with its space, or a
/// number.
fn token(rest: &[u8]) -> usize {
    let until = |stop: &dyn Fn(u8) -> bool| rest.iter().position(|&c| stop(c)).unwrap_or(rest.len());
    match rest[0] {
        b'"' => {
            let mut escaped = false;
            let end = rest[1..].iter().position(|&c| {
                let ends = c == b'"' && !escaped;
                escaped = c == b'\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |end| end + 2)
        }
        b',' | b':' if rest.get(1) == Some(&b' ') => 2,
        b'{' | b'}' | b'[' | b']' | b',' | b':' | b'\n' => 1,
        _ => until(&|c| matches!(c, b',' | b'}' | b']' | b'\n')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_into_the_tokens_of_python() {
        let mut rest = br#"{"a": "x\"\\", "b": 1.5, "c": []}"#.as_slice();
        let mut tokens = Vec::new();
        while !rest.is_empty() {
            let (first, after) = rest.split_at(token(rest));
            tokens.push(std::str::from_utf8(first).unwrap());
            rest = after;
        }
        assert_eq!(
            tokens,
            [
                "{",
                "\"a\"",
                ": ",
                r#""x\"\\""#,
                ", ",
                "\"b\"",
                ": ",
                "1.5",
                ", ",
                "\"c\"",
                ": ",
                "[",
                "]",
                "}"
            ]
        );
    }
}
