//! The result of `verify`.

use std::io::{self, Write};

use boot::safe;
use serde::Serialize;

/// Counts, and the names of everything that does not agree.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub files: u64,
    pub bytes: u64,
    pub lines: u64,
    pub events: u64,
    pub event_bytes: u64,
    pub dead_bytes: u64,
    pub skipped_bytes: u64,
    pub dropped_bytes: u64,
    pub unfinished_bytes: u64,
    pub sessions: u64,
    /// Events that the database refused and that are stored as dead letters.
    pub rejected: u64,
    /// Events outside of --since and --until.
    pub outside: u64,
    /// Events stored under the id that version 1 of the repair gave to lines that end with a carriage return.
    pub earlier: u64,
    /// Lines that are not yet committed, but on their way.
    pub not_committed: Lines,
    /// Lines that are missing because they are not committed.
    pub stuck: u64,
    /// Lines that were committed while `verify` ran and were too many to be compared.
    pub committed_meanwhile: u64,
    /// Days of earlier events that the windows do not have yet.
    pub window_days_to_add: i64,
    /// Sessions whose features are not computed yet.
    pub features_to_add: u64,
    missing: Names,
    extra: Names,
    wrong: Names,
    unfinished: Names,
    /// Files that cannot be read, or not to their ends. The content of the rest is unknown.
    unread: Names,
    older: Names,
    elsewhere: Names,
    #[serde(skip)]
    show: usize,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Lines {
    pub lines: u64,
    pub bytes: u64,
}

#[derive(Debug, Default, Serialize)]
struct Names {
    count: u64,
    names: Vec<String>,
    /// Number of entries that are not among the names.
    #[serde(skip)]
    more: u64,
}

impl Names {
    fn add(&mut self, name: String, count: u64, show: usize) {
        self.count += count;
        if self.names.len() < show {
            self.names.push(name);
        } else {
            self.more += 1;
        }
    }

    fn print(&self, kind: &str, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{kind}: {}", self.count)?;
        for name in &self.names {
            writeln!(out, "  {}", safe(name))?;
        }
        if self.more > 0 {
            writeln!(out, "  … and {} more", self.more)?;
        }
        Ok(())
    }
}

impl Report {
    pub fn new(show: usize) -> Self {
        Self { show, ..Self::default() }
    }

    pub fn missing(&mut self, name: String) {
        self.missing.add(name, 1, self.show);
    }

    pub fn extra(&mut self, name: String) {
        self.extra.add(name, 1, self.show);
    }

    pub fn wrong(&mut self, name: String) {
        self.wrong.add(name, 1, self.show);
    }

    pub fn unfinished(&mut self, name: String) {
        self.unfinished.add(name, 1, self.show);
    }

    /// Stored events that are older than the oldest event of the files: their logs were deleted.
    pub fn older(&mut self, name: String, events: u64) {
        self.older.add(name, events, self.show);
    }

    /// Stored events from other files of the sensor.
    pub fn elsewhere(&mut self, name: String, events: u64) {
        self.elsewhere.add(name, events, self.show);
    }

    /// A file that cannot be read, or not to its end.
    pub fn unread(&mut self, name: String) {
        self.unread.add(name, 1, self.show);
    }

    pub fn agrees(&self) -> bool {
        self.missing.count + self.extra.count + self.wrong.count + self.unread.count == 0
    }

    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            boot::say!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        let mut text = Vec::new();
        self.write(&mut text)?;
        boot::write_bytes(&text);
        Ok(())
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "{} files, {} lines, {} events, {} sessions",
            self.files, self.lines, self.events, self.sessions
        )?;
        writeln!(
            out,
            "{} bytes = {} in events + {} in dead letters + {} skipped + {} dropped + {} unfinished",
            self.bytes,
            self.event_bytes,
            self.dead_bytes,
            self.skipped_bytes,
            self.dropped_bytes,
            self.unfinished_bytes
        )?;
        for (kind, names) in [
            ("missing", &self.missing),
            ("extra", &self.extra),
            ("wrong", &self.wrong),
            ("unfinished", &self.unfinished),
            ("unread", &self.unread),
        ] {
            names.print(kind, out)?;
        }
        let lines = &self.not_committed;
        writeln!(out, "not yet committed: {} lines, {} bytes", lines.lines, lines.bytes)?;
        for (kind, names) in
            [("older than the oldest file", &self.older), ("from other files", &self.elsewhere)]
        {
            if names.count > 0 {
                names.print(kind, out)?;
            }
        }
        self.print_notes(out)?;
        let clean = match lines.lines {
            0 => "clean: the database holds exactly what is in the files",
            _ => {
                "clean: the database holds exactly what is in the files, except lines that are not yet committed"
            }
        };
        writeln!(out, "{}", if self.agrees() { clean } else { "NOT CLEAN" })?;
        Ok(())
    }

    fn print_notes(&self, out: &mut impl Write) -> io::Result<()> {
        let notes = [
            (
                self.stuck,
                "lines are not committed, and there is no progress: is a loader running on these files, and a processor? See `cowriestream status`",
            ),
            (self.outside, "events are outside of --since and --until and were not compared"),
            (
                self.earlier,
                "events are stored under the identity of an earlier version, with the carriage return of their lines",
            ),
            (
                self.committed_meanwhile,
                "lines were committed meanwhile and were not compared: run verify again",
            ),
        ];
        for (count, note) in notes.into_iter().filter(|(count, _)| *count > 0) {
            writeln!(out, "{count} {note}")?;
        }
        if self.window_days_to_add > 0 {
            writeln!(
                out,
                "not verified: windows of {} days of earlier events, which are still being added",
                self.window_days_to_add
            )?;
        }
        if self.features_to_add > 0 {
            writeln!(
                out,
                "not verified: features of {} sessions, which are not computed yet (`cowriestream backfill`)",
                self.features_to_add
            )?;
        }
        Ok(())
    }
}
