//! A writer that behaves like Cowrie's log observer: at its own offset, without `O_APPEND`, unbuffered, one
//! event in several writes.

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Deterministic pseudorandom numbers (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

pub struct Cowrie {
    pub path: PathBuf,
    file: File,
    at: u64,
    next: u64,
    pub dice: Dice,
    /// Every event written so far, as Cowrie wrote it: the expected result.
    pub written: Vec<String>,
}

impl Cowrie {
    pub fn new(path: &Path, seed: u64) -> Self {
        Self {
            path: path.to_owned(),
            file: open(path),
            at: 0,
            next: 0,
            dice: Dice(seed),
            written: Vec::new(),
        }
    }

    /// The next event, as one line without its newline.
    pub fn event(&mut self) -> String {
        self.next += 1;
        let (n, session) = (self.next, self.next / 7);
        let padding = "x".repeat(self.dice.roll(300) as usize);
        let line = format!(
            r#"{{"eventid":"cowrie.command.input","input":"echo {n} {padding}","sensor":"","session":"{session:012x}","src_ip":"198.51.100.{}","timestamp":"2026-01-{:02}T{:02}:{:02}:{:02}.{:06}Z"}}"#,
            n % 250,
            1 + n / 86_400 % 28,
            n / 3600 % 24,
            n / 60 % 60,
            n % 60,
            n % 1_000_000
        );
        self.written.push(line.clone());
        line
    }

    /// Writes some events, each in up to eight pieces.
    pub fn write_events(&mut self, count: u64) {
        for _ in 0..count {
            let line = self.event() + "\n";
            self.write_torn(&line);
        }
    }

    /// Writes text in pieces that end at random places.
    pub fn write_torn(&mut self, text: &str) {
        let mut rest = text;
        for _ in 0..self.dice.roll(8) {
            let (piece, behind) = rest.split_at(self.dice.roll(rest.len() as u64 + 1) as usize);
            self.write(piece);
            rest = behind;
        }
        self.write(rest);
    }

    pub fn write(&mut self, text: impl AsRef<[u8]>) {
        self.file.write_all_at(text.as_ref(), self.at).unwrap();
        self.at += text.as_ref().len() as u64;
    }

    /// Renames the log, unless the name is taken, and opens a new one, as Cowrie does at midnight.
    pub fn rotate(&mut self, name: &str) {
        let to = self.path.with_file_name(name);
        if !to.exists() {
            fs::rename(&self.path, to).unwrap();
        }
        self.reopen();
    }

    /// Restarts in rotating mode: appends to the existing file.
    pub fn reopen(&mut self) {
        self.file = open(&self.path);
        self.at = self.file.seek(SeekFrom::End(0)).unwrap();
    }

    /// Restarts in plain mode (2.7.0 to 3.0.12): truncates the existing file.
    pub fn truncate(&mut self) {
        self.file.set_len(0).unwrap();
        self.at = 0;
    }
}

fn open(path: &Path) -> File {
    File::options().create(true).truncate(false).read(true).write(true).open(path).unwrap()
}
