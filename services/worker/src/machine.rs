//! What the machine has: name, platform, memory, accelerator.

use std::{env, fs, path::Path, process::Command};

/// Longest name of a worker.
const LONGEST_NAME: usize = 64;
const GIB: f64 = (1_u64 << 30) as f64;

/// The name of the host.
pub(crate) fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().trim().to_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// The name of a host as a valid name of a worker.
pub(crate) fn worker_name(host: &str) -> String {
    host.chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' })
        .take(LONGEST_NAME)
        .collect()
}

pub(crate) fn platform() -> String {
    let os = if cfg!(target_os = "macos") { "darwin" } else { env::consts::OS };
    let arch = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{os}-{arch}")
}

pub(crate) fn is_container() -> bool {
    Path::new("/.dockerenv").exists()
        || env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        || env::var_os("container").is_some()
}

pub(crate) fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
}

pub(crate) fn accelerator() -> String {
    let found = if Path::new("/proc/driver/nvidia/version").exists() {
        "nvidia_cuda"
    } else if cfg!(all(target_os = "macos", target_arch = "aarch64")) {
        "apple_neural_engine"
    } else {
        "none"
    };
    found.to_owned()
}

/// Memory in GiB: of the machine, or of the control group if that has less.
pub(crate) fn memory_gb() -> f64 {
    match (linux_bytes(), control_group_bytes()) {
        (Some(total), Some(limit)) => total.min(limit) / GIB,
        (total, limit) => total.or(limit).or_else(darwin_bytes).map_or(1.0, |bytes| bytes / GIB),
    }
}

fn linux_bytes() -> Option<f64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1_024.0)
}

fn control_group_bytes() -> Option<f64> {
    fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}

fn darwin_bytes() -> Option<f64> {
    let out = Command::new("/usr/sbin/sysctl").args(["-n", "hw.memsize"]).output().ok()?;
    String::from_utf8(out.stdout).ok()?.trim().parse().ok()
}
