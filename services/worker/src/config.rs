//! What a worker is: from flags, from `worker-config.yaml`, and from the machine.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, bail, ensure};
use jobs::{Capabilities, Preference, WorkerSpec};
use serde::Deserialize;

use crate::Args;

/// Queues and concurrency of a kind of worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Profile {
    /// Every queue, four jobs
    #[value(name = "general")]
    General,
    /// longtail, snowshoe, botnet; eight jobs
    #[value(name = "ml_accelerated", alias = "ml-accelerated")]
    MlAccelerated,
    /// enrichment, reports; sixteen jobs
    #[value(name = "io_bound", alias = "io-bound")]
    IoBound,
}

/// The queues of the analyses.
const QUEUES: [&str; 5] = ["longtail", "snowshoe", "botnet", "enrichment", "reports"];
/// Preference of a queue that names none.
const PREFERENCE: i32 = 50;

impl Profile {
    fn queues(self) -> &'static [&'static str] {
        match self {
            Self::General => &QUEUES,
            Self::MlAccelerated => &["longtail", "snowshoe", "botnet"],
            Self::IoBound => &["enrichment", "reports"],
        }
    }

    fn concurrency(self) -> u32 {
        match self {
            Self::General => 4,
            Self::MlAccelerated => 8,
            Self::IoBound => 16,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    workers: Vec<Entry>,
}

/// An entry of the file, as in ADR 002.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    hostname: Option<String>,
    queues: Vec<QueueEntry>,
    concurrency: Option<u32>,
    #[serde(default)]
    capabilities: CapabilityEntry,
}

/// `- reports`, or `- longtail: {priority: 100, exclusive: false}`.
#[derive(Deserialize)]
#[serde(untagged)]
enum QueueEntry {
    Name(String),
    With(BTreeMap<String, QueueOptions>),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct QueueOptions {
    priority: Option<i32>,
    #[serde(default)]
    exclusive: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct CapabilityEntry {
    accelerator: Option<String>,
    memory_gb: Option<f64>,
    cpu_cores: Option<u32>,
    /// Told for people; a job asks for an accelerator and for memory.
    #[serde(rename = "gpu_memory_gb")]
    _gpu_memory_gb: Option<f64>,
}

/// Settings of a worker, checked.
pub(crate) struct Settings {
    /// What it registers as.
    pub spec: WorkerSpec,
    /// Whether its memory is what somebody configured, not what the machine has.
    pub configured_memory: bool,
}

/// What this worker is. Flags go before the file, the file before what is seen.
pub(crate) fn settings(args: &Args) -> anyhow::Result<Settings> {
    let host = host();
    let entry = match &args.config {
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
            Some(
                entry(&text, args.worker_name.as_deref(), &host)
                    .with_context(|| format!("read {}", path.display()))?,
            )
        }
        None => None,
    };
    let name = args
        .worker_name
        .clone()
        .or_else(|| entry.as_ref().map(|entry| entry.name.clone()))
        .unwrap_or_else(|| named(&host));
    let queues = match (&args.queues[..], &entry, args.profile) {
        ([], Some(entry), _) => preferences(&entry.queues)?,
        ([], None, Some(profile)) => plain(profile.queues()),
        ([], None, None) => plain(&QUEUES),
        (names, _, _) => plain(&names.iter().map(String::as_str).collect::<Vec<_>>()),
    };
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let concurrency = args
        .concurrency
        .or(entry.as_ref().and_then(|entry| entry.concurrency))
        .or(args.profile.map(Profile::concurrency))
        .unwrap_or(cores);
    let offered = entry.map(|entry| entry.capabilities).unwrap_or_default();
    let configured = args.memory_gb.or(offered.memory_gb);
    let spec = WorkerSpec {
        hostname: format!("{name}@{host}"),
        name,
        place: if containerized() { "containerized" } else { "native" }.to_owned(),
        platform: platform(),
        concurrency: i32::try_from(concurrency).unwrap_or(i32::MAX),
        queues,
        job_types: jobs::TYPES.iter().map(|(name, _)| (*name).to_owned()).collect(),
        capabilities: Capabilities {
            accelerator: args.accelerator.clone().or(offered.accelerator).unwrap_or_else(accelerator),
            memory_gb: configured.unwrap_or_else(memory_gb),
            cpu_cores: i32::try_from(args.cpu_cores.or(offered.cpu_cores).unwrap_or(cores))
                .unwrap_or(i32::MAX),
        },
    };
    ensure!(
        spec.capabilities.memory_gb != 0.0 && spec.capabilities.cpu_cores != 0,
        "settings of worker {:?}: memory_gb and cpu_cores must not be 0",
        spec.name
    );
    spec.check().map_err(|why| anyhow::anyhow!("settings of worker {:?}: {why}", spec.name))?;
    Ok(Settings { spec, configured_memory: configured.is_some() })
}

/// Reads `--retry-seconds`.
pub(crate) fn retry_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=600.0).contains(&seconds) { Ok(seconds) } else { Err("expected 0 to 600 seconds".to_owned()) }
}

fn entry(text: &str, name: Option<&str>, host: &str) -> anyhow::Result<Entry> {
    let file: File = serde_yaml_ng::from_str(text)?;
    let names: Vec<_> = file.workers.iter().map(|entry| entry.name.clone()).collect();
    for (n, name) in names.iter().enumerate() {
        ensure!(!names[..n].contains(name), "two workers are named {name:?}");
    }
    let ours = |entry: &Entry| match name {
        Some(name) => entry.name == name,
        None => entry.hostname.as_deref() == Some(host) || entry.name == host,
    };
    match file.workers.into_iter().find(ours) {
        Some(entry) => Ok(entry),
        None => bail!("no worker is named {:?}; there are: {}", name.unwrap_or(host), names.join(", ")),
    }
}

fn preferences(entries: &[QueueEntry]) -> anyhow::Result<Vec<Preference>> {
    let mut all = Vec::new();
    for entry in entries {
        match entry {
            QueueEntry::Name(name) => all.extend(plain(&[name])),
            QueueEntry::With(queues) => all.extend(queues.iter().map(|(queue, options)| Preference {
                queue: queue.clone(),
                priority: options.priority.unwrap_or(PREFERENCE),
                exclusive: options.exclusive,
            })),
        }
    }
    Ok(all)
}

fn plain(queues: &[&str]) -> Vec<Preference> {
    queues
        .iter()
        .map(|queue| Preference { queue: (*queue).to_owned(), priority: PREFERENCE, exclusive: false })
        .collect()
}

fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().trim().to_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// A host's name as a worker's.
fn named(host: &str) -> String {
    host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).take(64).collect()
}

fn platform() -> String {
    let os = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{os}-{arch}")
}

fn containerized() -> bool {
    std::path::Path::new("/.dockerenv").exists()
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        || std::env::var_os("container").is_some()
}

/// Of a Mac, in bytes.
fn darwin_memory() -> Option<f64> {
    let out = std::process::Command::new("/usr/sbin/sysctl").args(["-n", "hw.memsize"]).output().ok()?;
    String::from_utf8(out.stdout).ok()?.trim().parse().ok()
}

fn accelerator() -> String {
    let found = if std::path::Path::new("/proc/driver/nvidia/version").exists() {
        "nvidia_cuda"
    } else if cfg!(all(target_os = "macos", target_arch = "aarch64")) {
        "apple_neural_engine"
    } else {
        "none"
    };
    found.to_owned()
}

/// Of the machine, or of the control group that limits us, in GiB.
fn memory_gb() -> f64 {
    const GIB: f64 = (1_u64 << 30) as f64;
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0 / GIB)
    });
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<f64>().ok())
        .map(|bytes| bytes / GIB);
    match (total, limit) {
        (Some(total), Some(limit)) => total.min(limit),
        (total, limit) => total.or(limit).or_else(|| darwin_memory().map(|bytes| bytes / GIB)).unwrap_or(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADR: &str = "
workers:
  - name: m4-ml-worker
    hostname: m4-mac
    queues:
      - longtail:
          priority: 100  # Prefer this worker for longtail jobs
          exclusive: false
      - reports
    capabilities:
      accelerator: apple_neural_engine
      memory_gb: 16
      cpu_cores: 10
  - name: cloud-gpu-worker
    hostname: aws-instance-1
    queues:
      - deep_learning:
          priority: 100
          exclusive: true
    capabilities:
      accelerator: nvidia_cuda
      gpu_memory_gb: 24
";

    #[test]
    fn the_file_of_the_adr_is_read() {
        let found = entry(ADR, Some("m4-ml-worker"), "elsewhere").unwrap();
        let queues = preferences(&found.queues).unwrap();
        assert_eq!(queues[0], Preference { queue: "longtail".into(), priority: 100, exclusive: false });
        assert_eq!(queues[1], Preference { queue: "reports".into(), priority: 50, exclusive: false });
        assert_eq!(found.capabilities.accelerator.as_deref(), Some("apple_neural_engine"));
        assert_eq!(entry(ADR, None, "aws-instance-1").unwrap().name, "cloud-gpu-worker");
    }

    #[test]
    fn who_is_not_in_the_file_is_told_who_is() {
        let error = entry(ADR, Some("x"), "h").err().unwrap().to_string();
        assert_eq!(error, "no worker is named \"x\"; there are: m4-ml-worker, cloud-gpu-worker");
        assert!(
            entry("workers: [{name: a, queues: [], colour: red}]", Some("a"), "h")
                .err()
                .unwrap()
                .to_string()
                .contains("colour")
        );
        let twice = "workers: [{name: a, queues: [x]}, {name: b, queues: [x]}, {name: a, queues: [y]}]";
        assert_eq!(entry(twice, Some("b"), "h").err().unwrap().to_string(), "two workers are named \"a\"");
    }
}
