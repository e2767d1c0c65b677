//! Processor time and memory of processes, from `/proc`.

use std::{collections::HashMap, fs, ops::Sub};

/// The kernel's unit of processor time, in seconds (`USER_HZ` is 100 on every Linux).
const TICK: f64 = 0.01;

/// Processor seconds used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// This process, without the servers.
    pub ours: f64,
    pub nats: f64,
    /// Postgres with all of its processes.
    pub postgres: f64,
}

impl Cpu {
    pub fn total(self) -> f64 {
        self.ours + self.nats + self.postgres
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            ours: self.ours - earlier.ours,
            nats: self.nats - earlier.nats,
            postgres: self.postgres - earlier.postgres,
        }
    }
}

/// Processor seconds of a process and its descendants, including those that ended and were waited for.
pub fn seconds(pid: u32) -> f64 {
    let mut children = HashMap::<u32, Vec<u32>>::new();
    let mut spent = HashMap::new();
    for id in fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    {
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

/// Returns the parent, and the ticks of the process and of its children that were waited for.
fn stat(pid: u32) -> Option<(u32, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets and may contain anything.
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some((fields.get(1)?.parse().ok()?, ticks))
}

/// A value of `/proc/PID/status` (`VmRSS`, `VmHWM`), in bytes.
pub fn memory(pid: u32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Busy and total processor time of the machine so far, in ticks. Time stolen by other virtual machines
/// counts as busy.
fn machine() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<u64> = text
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let all: u64 = fields.iter().sum();
    Some((all - fields.get(3)? - fields.get(4)?, all))
}

/// Bytes that a process has read so far; `None` where the kernel does not report it.
pub fn read_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("rchar: "))?.trim().parse().ok()
}

/// Processor seconds of the children of this process that ended.
pub fn waited_children() -> f64 {
    let Ok(text) = fs::read_to_string("/proc/self/stat") else { return 0.0 };
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace().skip(13).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() as f64 * TICK
}

/// The share of the machine that is busy during one second, 0 to 1.
pub async fn busy() -> Option<f64> {
    let before = machine()?;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let after = machine()?;
    Some((after.0 - before.0) as f64 / (after.1 - before.1).max(1) as f64)
}

/// Processor, number of cores and kernel.
pub fn description() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |name| name.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}
