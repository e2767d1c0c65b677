//! `jobs watch`

use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use jobs::{State, Status};
use proto::{self as p, jobs_service_client::JobsServiceClient};

use super::{Link, may_pass, plain, say_json};

/// How long a job that is followed may be out of reach.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between attempts to reach it.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// A job that is followed.
struct Watch<'a> {
    client: &'a mut JobsServiceClient<Link>,
    job_id: &'a str,
    json: bool,
    bar: ProgressBar,
    last: Option<Status>,
    away_since: Option<Instant>,
}

/// Follows a job; an error when it does not complete. Reconnects for up to 60 s when the connection breaks,
/// because a break says nothing about the job.
pub(super) async fn watch(
    client: &mut JobsServiceClient<Link>,
    job_id: &str,
    json: bool,
) -> anyhow::Result<()> {
    let bar = ProgressBar::new(1_000);
    bar.set_style(ProgressStyle::with_template("{prefix:11} {bar:30} {msg}")?);
    let mut watch = Watch { client, job_id, json, bar, last: None, away_since: None };
    loop {
        match watch.follow().await {
            Ok(ended) => return watch.end(ended),
            Err(broken) => watch.pause(broken).await?,
        }
    }
}

impl Watch<'_> {
    /// Shows each status after the last one; returns the final one.
    async fn follow(&mut self) -> Result<Status, tonic::Status> {
        let after_version = self.last.as_ref().map_or(0, |status| status.version);
        let request = p::WatchJobRequest { job_id: self.job_id.to_owned(), after_version };
        let mut statuses = self.client.watch_job(request).await?.into_inner();
        self.away_since = None;
        while let Some(answer) = statuses.message().await? {
            let status = Status::try_from(answer.status.unwrap_or_default());
            let status = status.map_err(tonic::Status::invalid_argument)?;
            self.show(&status);
            self.last = Some(status);
        }
        // A final status is not the last one if the job was retried: the coordinator ends the stream.
        let ended = self.last.clone().filter(|last| last.state.is_final());
        ended.ok_or_else(|| tonic::Status::unavailable("the stream ended before the job did"))
    }

    /// Waits before the next attempt; an error when there is to be none.
    async fn pause(&mut self, broken: tonic::Status) -> anyhow::Result<()> {
        if !may_pass(&broken) {
            return Err(plain(broken));
        }
        let since = *self.away_since.get_or_insert_with(|| {
            let why = boot::safe(broken.message());
            let text = format!("the coordinator is away ({why}); trying for {} s", PATIENCE.as_secs());
            self.bar.suspend(|| boot::complain(&text));
            Instant::now()
        });
        if since.elapsed() >= PATIENCE {
            let job_id = self.job_id;
            return Err(plain(broken).context(format!("job {job_id} may go on, but could not be followed")));
        }
        tokio::time::sleep(RETRY_PAUSE).await;
        Ok(())
    }

    fn show(&self, status: &Status) {
        if self.json {
            // A status is always JSON.
            let _ = say_json(status);
            return;
        }
        let left = status.estimated_completion.map(|at| (at - boot::now()).num_seconds());
        let left = left.filter(|&left| left > 0).map_or(String::new(), |left| format!(", {left} s left"));
        let counts = match (status.sessions_processed, status.total_sessions) {
            (done, Some(total)) if total > 0 => format!(" {}/{total}", done.unwrap_or_default()),
            _ => String::new(),
        };
        let step = boot::safe_up_to(status.current_step.as_deref().unwrap_or_default(), 60);
        self.bar.set_prefix(status.state.name());
        self.bar.set_position((status.progress_percent * 10.0) as u64);
        self.bar.set_message(format!("{:.0} %{counts} {step}{left}", status.progress_percent));
        if self.bar.is_hidden() && self.last.as_ref().is_none_or(|last| last.state != status.state) {
            boot::complain(status.state.name());
        }
    }

    fn end(self, status: Status) -> anyhow::Result<()> {
        self.bar.abandon();
        if status.state == State::Completed {
            return Ok(());
        }
        let why = status.error.map_or(String::new(), |error| format!("{}: {}", error.kind, error.message));
        bail!("job {} {}: {why}", self.job_id, status.state)
    }
}
