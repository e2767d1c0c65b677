//! Measures Celery in the same way: `loadtest/celery_peer.py`, with a Redis that persists its data.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context as _;
use serde::Deserialize;
use servers::{DataDir, Servers, Wanted};
use tokio::process::Command;

use super::Delays;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/celery_peer.py");

/// The output of the script.
#[derive(Debug, Deserialize)]
pub struct Celery {
    /// Tasks per second, from the first call until the last result was stored.
    pub rate: f64,
    /// Calls per second, until the last call returned.
    pub submission: f64,
    /// Milliseconds from the call until the task's code ran, on an idle worker.
    pub start: Delays,
    pub setting: String,
}

pub struct Peer(OsString);

impl Peer {
    /// Reads `COWRIESTREAM_TEST_PYTHON`.
    pub fn of_environment() -> Option<Self> {
        std::env::var_os("COWRIESTREAM_TEST_PYTHON").filter(|python| !python.is_empty()).map(Self)
    }

    /// Measures with a fresh Redis.
    pub async fn measure(&self, dir: &Path, tasks: usize) -> anyhow::Result<Celery> {
        fs::create_dir_all(dir)?;
        let data = DataDir::take(dir)?;
        let mut redis = Servers::start(&data, Wanted { nats: false, postgres: false, redis: true }).await?;
        let measured = self.run(&redis.urls.redis.clone().unwrap_or_default(), tasks).await;
        redis.stop().await;
        fs::remove_dir_all(dir)?;
        measured
    }

    async fn run(&self, redis_url: &str, tasks: usize) -> anyhow::Result<Celery> {
        keep(redis_url).await.context("have Redis keep what it is given")?;
        let mut command = Command::new(&self.0);
        command.arg(PathBuf::from(SCRIPT)).args(["--tasks", &tasks.to_string()]);
        command.env("CELERY_PEER_REDIS", redis_url).env("PYTHONDONTWRITEBYTECODE", "1");
        let out = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .output()
            .await
            .context("run COWRIESTREAM_TEST_PYTHON")?;
        anyhow::ensure!(
            out.status.success(),
            "celery_peer.py failed: {}",
            boot::safe(&String::from_utf8_lossy(&out.stderr))
        );
        serde_json::from_slice(&out.stdout).context("read what celery_peer.py says")
    }
}

/// Makes Redis write to disk within a second: weaker than a commit, but the strictest setting in common use.
async fn keep(redis_url: &str) -> anyhow::Result<()> {
    let mut connection = redis::Client::open(redis_url)?.get_multiplexed_async_connection().await?;
    for (name, value) in [("appendfsync", "everysec"), ("appendonly", "yes")] {
        redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec_async(&mut connection).await?;
    }
    Ok(())
}
