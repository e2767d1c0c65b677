//! What Cowrie, logrotate and administrators do to a log.

use std::{fs, io::Write, path::Path, process::Command};

use super::cowrie::Cowrie;

/// Something that happens to a log while it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Case {
    Growth,
    MidnightRename,
    NameTaken,
    RenamedUnderWriter,
    CopyTruncate,
    CopyTruncateGzip,
    TwoSchemes,
    RestartTruncates,
    DeletedRecreated,
    SymlinkSwap,
    TornAtMidnight,
    Glued,
    PowerOff,
    KilledMidLine,
    Archives,
    OldDir,
    DateExtension,
    SymlinkWriterStays,
    DeletedWriterStays,
}

impl Case {
    pub const ALL: [Self; 19] = [
        Self::Growth,
        Self::MidnightRename,
        Self::NameTaken,
        Self::RenamedUnderWriter,
        Self::CopyTruncate,
        Self::CopyTruncateGzip,
        Self::TwoSchemes,
        Self::RestartTruncates,
        Self::DeletedRecreated,
        Self::SymlinkSwap,
        Self::TornAtMidnight,
        Self::Glued,
        Self::PowerOff,
        Self::KilledMidLine,
        Self::Archives,
        Self::OldDir,
        Self::DateExtension,
        Self::SymlinkWriterStays,
        Self::DeletedWriterStays,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Growth => "torn writes, no rotation",
            Self::MidnightRename => "renamed at midnight",
            Self::NameTaken => "rotated name is taken",
            Self::RenamedUnderWriter => "renamed by logrotate, writer stays",
            Self::CopyTruncate => "logrotate copytruncate (NUL hole)",
            Self::CopyTruncateGzip => "copytruncate + gzip, numbers shift",
            Self::TwoSchemes => "midnight rename + logrotate",
            Self::RestartTruncates => "truncated at each restart",
            Self::DeletedRecreated => "deleted and created again",
            Self::SymlinkSwap => "symbolic link swapped",
            Self::TornAtMidnight => "event torn over two files",
            Self::Glued => "event glued to a broken one",
            Self::PowerOff => "NUL bytes after a power-off",
            Self::KilledMidLine => "Cowrie killed mid-line, then rotated",
            Self::Archives => "gzip, bzip2, zstd archives appear",
            Self::OldDir => "logrotate olddir, writer stays",
            Self::DateExtension => "logrotate dateext + extension, writer stays",
            Self::SymlinkWriterStays => "symbolic link swapped, writer stays",
            Self::DeletedWriterStays => "deleted, writer stays",
        }
    }

    /// Whether it destroys or hides unread bytes. Everything must be delivered before, because no shipper
    /// could read it afterwards.
    pub fn destroys(self) -> bool {
        matches!(self, Self::RestartTruncates | Self::DeletedRecreated | Self::SymlinkSwap) || self.hides()
    }

    /// Whether the log is a symbolic link.
    pub fn is_linked(self) -> bool {
        matches!(self, Self::SymlinkSwap | Self::SymlinkWriterStays)
    }

    /// Whether events are where no pattern finds them: `verify` reads only the other files.
    pub fn hides(self) -> bool {
        matches!(
            self,
            Self::OldDir | Self::DateExtension | Self::SymlinkWriterStays | Self::DeletedWriterStays
        )
    }

    /// Number of dead letters that each occurrence causes.
    pub fn dead_letters(self) -> u64 {
        u64::from(matches!(self, Self::Glued | Self::KilledMidLine))
    }

    /// Makes it happen for the `n`th time.
    pub fn happen(self, cowrie: &mut Cowrie, n: u64) {
        let directory = cowrie.path.parent().unwrap().to_owned();
        let dated = format!("cowrie.json.2026-01-{:02}", n + 1);
        match self {
            Self::Growth => (),
            Self::MidnightRename => cowrie.rotate(&dated),
            Self::NameTaken => {
                let taken = directory.join("cowrie.json.2026-01-01");
                if !taken.exists() {
                    fs::write(taken, cowrie.event() + "\n").unwrap();
                }
                cowrie.rotate("cowrie.json.2026-01-01");
            }
            Self::RenamedUnderWriter => {
                logrotate(&directory, "");
                // It continues to write to the renamed file until it is restarted.
                cowrie.write_events(20);
                cowrie.reopen();
            }
            Self::CopyTruncate => logrotate(&directory, "copytruncate"),
            Self::CopyTruncateGzip => logrotate(&directory, "copytruncate\ncompress"),
            Self::TwoSchemes if n.is_multiple_of(2) => cowrie.rotate(&dated),
            Self::TwoSchemes => logrotate(&directory, "copytruncate\ncompress\ndelaycompress"),
            Self::RestartTruncates => cowrie.truncate(),
            Self::DeletedRecreated => {
                fs::remove_file(&cowrie.path).unwrap();
                cowrie.reopen();
            }
            Self::SymlinkSwap => {
                // The old file stays where it was, and its last events may be unread.
                cowrie.write_events(5);
                swap_link(cowrie, &directory, n);
                cowrie.reopen();
            }
            Self::TornAtMidnight => {
                let line = cowrie.event() + "\n";
                let (head, tail) = line.split_at(1 + cowrie.dice.roll(line.len() as u64 - 2) as usize);
                cowrie.write(head);
                cowrie.rotate(&dated);
                cowrie.write_torn(tail);
            }
            Self::Glued => cowrie.write_torn(&format!(
                r#"{{"eventid":"cowrie.login.success","username":"root","n":"{n}","password":"#
            )),
            Self::PowerOff => {
                let nuls = 1 + cowrie.dice.roll(5000) as usize;
                cowrie.write(vec![0; nuls]);
            }
            Self::KilledMidLine => {
                cowrie.write(format!(r#"{{"eventid":"cowrie.command.input","input":"{n}","sess"#));
                cowrie.rotate(&dated);
            }
            Self::Archives => archive(cowrie, &directory, n),
            Self::OldDir | Self::DateExtension | Self::SymlinkWriterStays | Self::DeletedWriterStays => {
                self.leave(cowrie, &directory, n)
            }
        }
    }

    /// Moves the log out of the pattern. Its writer continues until the next round, when it is restarted. A
    /// file that was moved before the loader saw it under its old name could not be found.
    fn leave(self, cowrie: &mut Cowrie, directory: &Path, n: u64) {
        if !n.is_multiple_of(2) {
            return cowrie.reopen();
        }
        match self {
            Self::OldDir => {
                fs::create_dir_all(directory.join("old/archive")).unwrap();
                logrotate(directory, "olddir old/archive");
            }
            Self::DateExtension => {
                logrotate(directory, "dateext\nextension .json");
                // Only one file of a day can have the name, so an administrator moves it away.
                let dated = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
                let dated = dated
                    .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("cowrie-"))
                    .collect::<Vec<_>>();
                dated
                    .iter()
                    .for_each(|path| fs::rename(path, directory.join(format!("kept-{n}.json"))).unwrap());
            }
            Self::SymlinkWriterStays => swap_link(cowrie, directory, n),
            _ => fs::remove_file(&cowrie.path).unwrap(),
        }
    }
}

/// Points the symbolic link to another, empty file.
fn swap_link(cowrie: &Cowrie, directory: &Path, n: u64) {
    let (target, link) = (directory.join(format!("log-{n}")), directory.join("new"));
    fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    fs::rename(&link, &cowrie.path).unwrap();
}

/// Runs the real logrotate, as a package or an administrator configures it.
fn logrotate(directory: &Path, how: &str) {
    let config = directory.join("logrotate.conf");
    let user = if rustix::process::geteuid().is_root() { "su root root" } else { "" };
    fs::write(&config, format!("{}/cowrie.json {{\n{user}\nrotate 30\n{how}\n}}\n", directory.display()))
        .unwrap();
    let state = directory.join("logrotate.state");
    let out = Command::new("logrotate")
        .arg("-f")
        .arg("-s")
        .arg(state)
        .arg(config)
        .env("PATH", path())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// Programs of the system may not be on an ordinary user's path.
pub fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Moves an old, compressed log here from another place.
fn archive(cowrie: &mut Cowrie, directory: &Path, n: u64) {
    let text: String = (0..50).map(|_| cowrie.event() + "\n").collect();
    let (bytes, end) = match n % 3 {
        0 => {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            to.write_all(text.as_bytes()).unwrap();
            (to.finish().unwrap(), "gz")
        }
        1 => {
            let mut to = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            to.write_all(text.as_bytes()).unwrap();
            (to.finish().unwrap(), "bz2")
        }
        _ => (zstd::encode_all(text.as_bytes(), 1).unwrap(), "zst"),
    };
    let part = directory.join("part");
    fs::write(&part, bytes).unwrap();
    fs::rename(part, directory.join(format!("cowrie.json.2025-01-{:02}.{end}", n + 1))).unwrap();
}
