//! Where a message came from: files and byte ranges, as in the header `Cowrie-Source`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{FileId, Fingerprint};

/// The byte ranges that a message covers, by file. Usually one range of one file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Source {
    /// Each file with its ranges (start inclusive, end exclusive; bytes of the decompressed stream).
    pub files: Vec<(FileId, Vec<(u64, u64)>)>,
}

impl Source {
    pub fn one(file: FileId, start: u64, end: u64) -> Self {
        Self { files: vec![(file, vec![(start, end)])] }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (file, ranges)) in self.files.iter().enumerate() {
            write!(f, "{}{file} ", if n == 0 { "" } else { "; " })?;
            for (n, (start, end)) in ranges.iter().enumerate() {
                write!(f, "{}{start}-{end}", if n == 0 { "" } else { "," })?;
            }
        }
        Ok(())
    }
}

/// A `Cowrie-Source` header that cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("not a source: expected `<file id> <start>-<end>,…; …`")]
pub struct BadSource;

impl FromStr for Source {
    type Err = BadSource;

    fn from_str(text: &str) -> Result<Self, BadSource> {
        let files = text.split("; ").map(file).collect::<Option<Vec<_>>>().ok_or(BadSource)?;
        Ok(Self { files })
    }
}

fn file(text: &str) -> Option<(FileId, Vec<(u64, u64)>)> {
    let (file, ranges) = text.split_once(' ')?;
    let ranges = ranges.split(',').map(range).collect::<Option<Vec<_>>>()?;
    Some((file.parse().ok()?, ranges))
}

fn range(text: &str) -> Option<(u64, u64)> {
    let (start, end) = text.split_once('-')?;
    let (start, end) = (start.parse().ok()?, end.parse().ok()?);
    // Postgres uses signed 64-bit integers.
    (start < end && end <= i64::MAX as u64).then_some((start, end))
}

/// What a file id is made of. Sent in the header `Cowrie-File`, once each time the file is opened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Announcement {
    pub file_id: FileId,
    pub path: String,
    pub device: u64,
    pub inode: u64,
    /// Number of truncations seen of this inode.
    pub generation: u32,
    /// Fingerprint of its first complete line.
    pub fingerprint: Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_reads_back_from_its_text() {
        let (a, b) = (FileId([1; 16]), FileId([2; 16]));
        let stitched = Source { files: vec![(a, vec![(5, 9)]), (b, vec![(0, 4), (10, 12)])] };
        assert_eq!(stitched.to_string().parse::<Source>().unwrap(), stitched);
        for bad in [
            "",
            "x",
            "01010101010101010101010101010101 ",
            "01010101010101010101010101010101 5-5",
            "01010101010101010101010101010101 0-9223372036854775808",
        ] {
            assert!(bad.parse::<Source>().is_err(), "{bad}");
        }
    }
}
