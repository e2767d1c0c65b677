//! Warnings and errors of the roles' logs, with numbers replaced so that equal messages are counted together.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;
use serde::Serialize;

/// Log lines with the same text.
#[derive(Debug, Serialize)]
pub struct Line {
    pub times: u32,
    /// Role, level and message; digits are replaced by `N`.
    pub text: String,
}

impl Line {
    /// Reports a panic, or a message about loss: a soak must lose nothing.
    pub fn fault(&self) -> Option<String> {
        let wrong = ["panicked", "lost for good", "overflow"].iter().any(|word| self.text.contains(word));
        wrong.then(|| format!("{} log lines like: {}", self.times, self.text))
    }
}

/// The warnings, errors and panics of every role's log, most frequent first.
pub fn warnings(dir: &Path) -> anyhow::Result<Vec<Line>> {
    let mut found = BTreeMap::<String, u32>::new();
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "log") || !path.is_file() {
            continue;
        }
        let role = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        let wanted =
            |line: &&str| [" WARN ", " ERROR ", "error:", "panicked"].iter().any(|word| line.contains(word));
        for line in text.lines().filter(wanted) {
            *found.entry(format!("{role}: {}", kind(line))).or_default() += 1;
        }
    }
    let mut lines: Vec<_> = found.into_iter().map(|(text, times)| Line { times, text }).collect();
    lines.sort_by(|a, b| b.times.cmp(&a.times).then_with(|| a.text.cmp(&b.text)));
    Ok(lines)
}

/// A line without its time, and with each run of digits as `N`.
fn kind(line: &str) -> String {
    let line = [" WARN ", " ERROR "]
        .iter()
        .find_map(|level| line.find(level).map(|at| &line[at + 1..]))
        .unwrap_or(line);
    let mut kind = String::new();
    for c in boot::safe(line).chars().take(200) {
        match c {
            '0'..='9' if kind.ends_with('N') => (),
            '0'..='9' => kind.push('N'),
            c => kind.push(c),
        }
    }
    kind
}
