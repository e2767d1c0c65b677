//! Submits jobs during a soak through the command line, as a user would.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use boot::Tasks;
use tokio::process::Command;

const PAUSE: Duration = Duration::from_secs(2);
/// A submission that takes longer counts as refused.
const LIMIT: Duration = Duration::from_secs(30);
/// The jobs, submitted in turn.
const JOBS: [&[&str]; 4] = [
    &["report", "--param", "time_window=24h"],
    &["diagnostic", "--param", "steps=20", "--param", "step_seconds=0.2"],
    &["snowshoe_detection", "--param", "time_window=24h"],
    &["longtail_analysis", "--param", "time_window=24h"],
];

#[derive(Clone)]
pub struct Client {
    pub program: PathBuf,
    pub environment: Vec<(&'static str, String)>,
    /// gRPC addresses of the coordinators.
    pub urls: [String; 2],
}

impl Client {
    /// Returns a command that calls one of the coordinators.
    pub fn command(&self, which: usize, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())));
        command.env("GRPC_URL", &self.urls[which % 2]).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Submits one job and returns its id.
    async fn submit(&self, n: usize) -> Option<String> {
        let key = format!("soak-{n}");
        let arguments =
            [&["jobs", "submit", "--json", "--idempotency-key", &key], JOBS[n % JOBS.len()]].concat();
        let done = tokio::time::timeout(LIMIT, self.command(n, &arguments).output()).await.ok()?.ok()?;
        let answer: serde_json::Value = serde_json::from_slice(&done.stdout).ok()?;
        Some(answer.get("job_id")?.as_str()?.to_owned())
    }
}

/// Submits a job every two seconds until it is finished.
pub struct Submitter {
    accepted: Arc<Mutex<Vec<String>>>,
    refused: Arc<AtomicU32>,
    tasks: Tasks,
}

impl Submitter {
    pub fn start(client: Client, tasks: &Tasks) -> Self {
        let (accepted, refused) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU32::new(0)));
        let (ids, failures, stop) = (accepted.clone(), refused.clone(), tasks.stop());
        tasks.spawn("submit jobs", async move {
            for n in 0.. {
                match client.submit(n).await {
                    Some(id) => {
                        ids.lock().map_err(|_| anyhow::anyhow!("the list of jobs is poisoned"))?.push(id)
                    }
                    None => _ = failures.fetch_add(1, Ordering::Relaxed),
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(PAUSE) => (),
                }
            }
            Ok(())
        });
        Self { accepted, refused, tasks: tasks.clone() }
    }

    /// Ids of the jobs that were accepted so far.
    pub fn accepted(&self) -> Vec<String> {
        self.accepted.lock().map(|ids| ids.clone()).unwrap_or_default()
    }

    /// Submissions that failed so far.
    pub fn refused(&self) -> u32 {
        self.refused.load(Ordering::Relaxed)
    }

    pub async fn finish(&mut self) {
        self.tasks.stop().cancel();
        self.tasks.ended().await;
    }
}
