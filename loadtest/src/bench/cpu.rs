//! Processor time and memory of processes, from `/proc`.

use std::{collections::HashMap, fs, ops::Sub};

/// The kernel's unit of processor time, in seconds (`USER_HZ` is 100 on every Linux).
const TICK: f64 = 0.01;

/// Processor seconds spent so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// This process.
    pub ours: f64,
    /// The NATS server.
    pub nats: f64,
    /// Postgres with all its processes.
    pub postgres: f64,
}

impl Cpu {
    /// All together.
    pub fn total(self) -> f64 {
        self.ours + self.nats + self.postgres
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { ours: self.ours - earlier.ours, nats: self.nats - earlier.nats, postgres: self.postgres - earlier.postgres }
    }
}

/// Processor seconds of a process and its descendants, those included that ended and were waited for.
pub fn seconds(pid: u32) -> f64 {
    let mut children = HashMap::<u32, Vec<u32>>::new();
    let mut spent = HashMap::new();
    for id in fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        let Some((parent, ticks)) = stat(id) else { continue };
        children.entry(parent).or_default().push(id);
        spent.insert(id, ticks);
    }
    let mut sum = 0;
    let mut todo = vec![pid];
    while let Some(id) = todo.pop() {
        sum += spent.get(&id).copied().unwrap_or_default();
        todo.extend(children.get(&id).into_iter().flatten());
    }
    sum as f64 * TICK
}

/// Parent, and ticks of the process and of its children that were waited for.
fn stat(pid: u32) -> Option<(u32, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything.
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some((fields.get(1)?.parse().ok()?, ticks))
}

/// A figure of `/proc/PID/status`, in bytes: `VmRSS`, `VmHWM`.
pub fn memory(pid: u32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Busy and all processor time of the machine so far, in ticks; time stolen by other machines counts as busy.
pub fn machine() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<u64> = text.lines().next()?.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
    let all: u64 = fields.iter().sum();
    Some((all - fields.get(3)? - fields.get(4)?, all))
}
