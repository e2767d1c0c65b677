//! What `verify` found.

use std::io::Write;

use boot::safe;
use serde::Serialize;

/// Counts, and names of what does not agree.
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
    /// Events that the database refused and that stand among the dead letters.
    pub rejected: u64,
    /// Days of earlier events that the windows still lack.
    pub window_days_to_add: i64,
    /// Sessions whose features are still to be computed.
    pub features_to_add: u64,
    missing: Names,
    extra: Names,
    wrong: Names,
    unfinished: Names,
    /// Files that cannot be read, or not to their ends: nobody knows what the rest holds.
    unread: Names,
    #[serde(skip)]
    show: usize,
}

#[derive(Debug, Default, Serialize)]
struct Names {
    count: u64,
    names: Vec<String>,
}

impl Names {
    fn add(&mut self, name: String, show: usize) {
        self.count += 1;
        if self.names.len() < show {
            self.names.push(name);
        }
    }
}

impl Report {
    pub fn new(show: usize) -> Self {
        Self { show, ..Self::default() }
    }

    pub fn missing(&mut self, name: String) {
        self.missing.add(name, self.show);
    }

    pub fn extra(&mut self, name: String) {
        self.extra.add(name, self.show);
    }

    pub fn wrong(&mut self, name: String) {
        self.wrong.add(name, self.show);
    }

    pub fn unfinished(&mut self, name: String) {
        self.unfinished.add(name, self.show);
    }

    pub fn unread(&mut self, name: String) {
        self.unread.add(name, self.show);
    }

    pub fn agrees(&self) -> bool {
        self.missing.count + self.extra.count + self.wrong.count + self.unread.count == 0
    }

    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
            return Ok(());
        }
        writeln!(out, "{} files, {} lines, {} events, {} sessions", self.files, self.lines, self.events, self.sessions)?;
        writeln!(
            out,
            "{} bytes = {} in events + {} in dead letters + {} skipped + {} dropped + {} unfinished",
            self.bytes, self.event_bytes, self.dead_bytes, self.skipped_bytes, self.dropped_bytes, self.unfinished_bytes
        )?;
        for (kind, names) in
            [("missing", &self.missing), ("extra", &self.extra), ("wrong", &self.wrong), ("unfinished", &self.unfinished), ("unread", &self.unread)]
        {
            writeln!(out, "{kind}: {}", names.count)?;
            for name in &names.names {
                writeln!(out, "  {}", safe(name))?;
            }
            if names.count > names.names.len() as u64 {
                writeln!(out, "  … and {} more", names.count - names.names.len() as u64)?;
            }
        }
        if self.window_days_to_add > 0 {
            writeln!(out, "not looked at: windows of {} days of earlier events, which are still being added", self.window_days_to_add)?;
        }
        if self.features_to_add > 0 {
            writeln!(out, "not looked at: features of {} sessions, which are still to be computed (`cowriestream backfill`)", self.features_to_add)?;
        }
        writeln!(out, "{}", if self.agrees() { "clean: the database holds exactly what the files say" } else { "NOT CLEAN" })?;
        Ok(())
    }
}
