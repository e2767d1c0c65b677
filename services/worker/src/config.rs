//! The settings of a worker: flags, then `worker-config.yaml`, then what the machine has.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, bail, ensure};
use jobs::{Capabilities, Preference, WorkerSpec};
use serde::Deserialize;

use crate::{
    args::{Args, Profile, QUEUES},
    machine,
};

/// Priority of a queue without one.
const PREFERENCE: i32 = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    workers: Vec<Entry>,
}

/// A worker in the file.
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
    /// For people only: a job requests an accelerator and memory.
    #[serde(rename = "gpu_memory_gb")]
    _gpu_memory_gb: Option<f64>,
}

/// Valid settings of a worker.
pub(crate) struct Settings {
    /// What it registers.
    pub spec: WorkerSpec,
    /// Whether the size of its memory is a setting, not what was detected.
    pub is_memory_configured: bool,
}

/// Reads the settings. A flag overrides the file, and the file overrides what is detected.
pub(crate) fn settings(args: &Args) -> anyhow::Result<Settings> {
    let host = machine::host();
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
        .unwrap_or_else(|| machine::worker_name(&host));
    let queues = match (&args.queues[..], &entry, args.profile) {
        ([], Some(entry), _) => preferences(&entry.queues)?,
        ([], None, Some(profile)) => plain(profile.queues()),
        ([], None, None) => plain(&QUEUES),
        (names, _, _) => plain(&names.iter().map(String::as_str).collect::<Vec<_>>()),
    };
    let cores = machine::cores();
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
        place: if machine::is_container() { "containerized" } else { "native" }.to_owned(),
        platform: machine::platform(),
        concurrency: i32::try_from(concurrency).unwrap_or(i32::MAX),
        queues,
        job_types: jobs::TYPES.iter().map(|known| known.name.to_owned()).collect(),
        capabilities: Capabilities {
            accelerator: args
                .accelerator
                .clone()
                .or(offered.accelerator)
                .unwrap_or_else(machine::accelerator),
            memory_gb: configured.unwrap_or_else(machine::memory_gb),
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
    Ok(Settings { spec, is_memory_configured: configured.is_some() })
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

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
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
    fn a_file_with_workers_is_read() {
        let found = entry(FILE, Some("m4-ml-worker"), "elsewhere").unwrap();
        let queues = preferences(&found.queues).unwrap();
        assert_eq!(queues[0], Preference { queue: "longtail".into(), priority: 100, exclusive: false });
        assert_eq!(queues[1], Preference { queue: "reports".into(), priority: 50, exclusive: false });
        assert_eq!(found.capabilities.accelerator.as_deref(), Some("apple_neural_engine"));
        assert_eq!(entry(FILE, None, "aws-instance-1").unwrap().name, "cloud-gpu-worker");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_names() {
        let error = entry(FILE, Some("x"), "h").err().unwrap().to_string();
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
