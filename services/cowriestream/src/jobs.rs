//! `jobs`, `queues`, `workers`, `schedules`: what the coordinator knows, over gRPC.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use proto::{self as p, JobState, jobs_client::JobsClient, workers_client::WorkersClient};
use serde_json::{Map, Value, json};
use tonic::transport::Channel;

use crate::hub::HubArgs;

/// Exit code when the coordinator or its database is away.
const AWAY: u8 = 3;
/// How long a job that is followed may be out of reach.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between attempts to reach it.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// A coordinator that does not answer a ping is away.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);

/// Where the coordinator is.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Coordinator {
    /// gRPC address of the coordinator
    #[arg(long, env = "GRPC_URL", value_name = "URL", global = true)]
    grpc_url: Option<String>,
    #[command(flatten)]
    hub: HubArgs,
}

impl Coordinator {
    async fn channel(&self) -> anyhow::Result<Channel> {
        let url = self.hub.address("GRPC_URL", &[("GRPC_URL", self.grpc_url.as_deref())])?;
        let endpoint = Channel::from_shared(url.clone())
            .with_context(|| format!("read GRPC_URL {url}: expected e.g. http://127.0.0.1:50051"))?;
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_ANSWER);
        let away = |error: tonic::transport::Error| {
            let cause = anyhow::Error::from(error);
            boot::Exit {
                code: AWAY,
                message: format!("connect to the coordinator at {url}: is it running? {cause:#}"),
            }
        };
        Ok(endpoint.connect().await.map_err(away)?)
    }

    async fn jobs(&self) -> anyhow::Result<JobsClient<Channel>> {
        Ok(JobsClient::new(self.channel().await?))
    }
}

/// `cowriestream jobs`
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  cowriestream jobs submit report --param time_window=7d --wait
  cowriestream jobs submit longtail_analysis --param time_window=30d --wait
  cowriestream jobs submit diagnostic --param steps=20 --param step_seconds=0.5 --priority 9
  cowriestream jobs list --state queued,in_progress
  cowriestream jobs watch 0199c0de-...

Exit codes:
  0    done; of `watch` and `submit --wait`: the job completed
  1    refused, not found, or the job failed or was cancelled
  2    the command line is wrong
  3    the coordinator or its database is away; `watch` and `--wait` try for 60 s before they give up, and the job may go on
  130  interrupted; a job that was handed in goes on")]
pub struct Jobs {
    #[command(flatten)]
    coordinator: Coordinator,
    #[command(subcommand)]
    command: JobsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum JobsCommand {
    /// Hand in a job
    Submit(Box<Submit>),
    /// List jobs, newest first
    List(List),
    /// Show a job: its status, its result, who could run it and why it waits
    Show(One),
    /// Follow a job to its end, with a progress bar
    Watch(One),
    /// Cancel a job that waits or runs
    Cancel(One),
    /// Run a failed or cancelled job again, from its last checkpoint
    Retry(One),
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct Submit {
    /// report, longtail_analysis, snowshoe_detection, botnet_coordination, diagnostic
    #[arg(value_name = "TYPE")]
    job_type: String,
    /// A parameter: name=value; the value is JSON when it can be read so, else text. May be given several
    /// times
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// 1 (last) to 10 (first)
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    priority: u32,
    /// Most seconds of one attempt
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "SECONDS")]
    timeout: u32,
    /// Attempts before it is given up
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    max_attempts: u32,
    /// Another queue than the type's own
    #[arg(long, default_value = "", hide_default_value = true)]
    queue: String,
    /// The same key again is the same job
    #[arg(long, default_value = "", hide_default_value = true, value_name = "KEY")]
    idempotency_key: String,
    /// No second job with it while one waits or runs
    #[arg(long, default_value = "", hide_default_value = true, value_name = "KEY")]
    unique_key: String,
    /// Not started before, as 2026-11-24T08:00:00Z
    #[arg(long, value_name = "TIME")]
    not_before: Option<DateTime<Utc>>,
    /// Given up when not started by then
    #[arg(long, value_name = "TIME")]
    deadline: Option<DateTime<Utc>>,
    /// Memory that its worker must have, in GiB
    #[arg(long, default_value_t = 0.0, hide_default_value = true, value_name = "GIB")]
    min_memory_gb: f64,
    /// Cores that its worker must have
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    min_cpu_cores: u32,
    /// An accelerator that its worker must have; one of several
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    accelerator: Vec<String>,
    /// Continue this trace: a W3C traceparent, e.g. of the event that it is a reaction to
    #[arg(long, value_name = "TRACEPARENT")]
    traceparent: Option<String>,
    /// Follow it to its end; exit 1 when it fails, 3 when it can be followed no longer
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct List {
    /// Only in these states: queued, in_progress, retrying, completed, failed, cancelled
    #[arg(long, value_delimiter = ',', value_name = "STATE")]
    state: Vec<jobs::State>,
    /// Only of this queue
    #[arg(long, default_value = "", hide_default_value = true)]
    queue: String,
    /// Only of this type
    #[arg(long = "type", default_value = "", hide_default_value = true, value_name = "TYPE")]
    job_type: String,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct One {
    /// The job's id
    #[arg(value_name = "ID")]
    job_id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `jobs …`; whether it went well.
pub async fn jobs(args: Jobs) -> anyhow::Result<()> {
    let mut client = args.coordinator.jobs().await?;
    match args.command {
        JobsCommand::Submit(submit) => self::submit(&mut client, *submit).await,
        JobsCommand::List(list) => self::list(&mut client, list).await,
        JobsCommand::Show(one) => show(&mut client, one).await,
        JobsCommand::Watch(one) => watch(&mut client, &one.job_id, one.json).await,
        JobsCommand::Cancel(one) => {
            let status = client
                .cancel(p::CancelRequest { job_id: one.job_id })
                .await
                .map_err(plain)?
                .into_inner()
                .status;
            tell(status.unwrap_or_default(), one.json);
            Ok(())
        }
        JobsCommand::Retry(one) => {
            let status = client
                .retry(p::RetryRequest { job_id: one.job_id })
                .await
                .map_err(plain)?
                .into_inner()
                .status;
            tell(status.unwrap_or_default(), one.json);
            Ok(())
        }
    }
}

/// The message of a status, without the wrapping.
fn plain(status: tonic::Status) -> anyhow::Error {
    match may_pass(&status) {
        true => boot::Exit { code: AWAY, message: status.message().to_owned() }.into(),
        false => anyhow::anyhow!("{}", status.message()),
    }
}

/// Whether it says nothing about the request: the coordinator, the way to it, or its database is away.
fn may_pass(status: &tonic::Status) -> bool {
    use tonic::Code::{
        Aborted, Cancelled, DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown,
    };
    matches!(
        status.code(),
        Aborted | Cancelled | DeadlineExceeded | Internal | ResourceExhausted | Unavailable | Unknown
    )
}

async fn submit(client: &mut JobsClient<Channel>, submit: Submit) -> anyhow::Result<()> {
    let mut parameters = Map::new();
    for param in &submit.params {
        let (name, value) =
            param.split_once('=').with_context(|| format!("--param {param}: expected NAME=VALUE"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        parameters.insert(name.to_owned(), value);
    }
    let time =
        |at: Option<DateTime<Utc>>| at.map(|at| prost_types::Timestamp { seconds: at.timestamp(), nanos: 0 });
    let mut request = tonic::Request::new(p::SubmitRequest {
        job_type: submit.job_type,
        parameters: Some(proto_struct(parameters)),
        priority: submit.priority,
        timeout_seconds: submit.timeout,
        max_attempts: submit.max_attempts,
        requirements: Some(p::Requirements {
            min_memory_gb: submit.min_memory_gb,
            min_cpu_cores: submit.min_cpu_cores,
            accelerator: submit.accelerator,
        }),
        idempotency_key: submit.idempotency_key,
        unique_key: submit.unique_key,
        queue: submit.queue,
        not_before: time(submit.not_before),
        deadline: time(submit.deadline),
    });
    if let Some(traceparent) = &submit.traceparent {
        let value = traceparent
            .parse()
            .with_context(|| format!("--traceparent {traceparent:?}: expected e.g. 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))?;
        request.metadata_mut().insert("traceparent", value);
    }
    let answer = client.submit(request).await.map_err(plain)?.into_inner();
    match (submit.json, submit.wait) {
        (true, _) => boot::say!("{}", json!({ "job_id": answer.job_id, "created": answer.created })),
        (false, false) => boot::say!("{}{}", answer.job_id, if answer.created { "" } else { " (was there)" }),
        (false, true) => (),
    }
    if submit.wait {
        watch(client, &answer.job_id, submit.json).await?;
        return show(client, One { job_id: answer.job_id, json: submit.json }).await;
    }
    Ok(())
}

async fn list(client: &mut JobsClient<Channel>, list: List) -> anyhow::Result<()> {
    let number = |state: &jobs::State| {
        JobState::from_str_name(&format!("JOB_STATE_{}", state.name().to_uppercase())).map_or(0, i32::from)
    };
    let request = p::ListRequest {
        states: list.state.iter().map(number).collect(),
        queue: list.queue,
        job_type: list.job_type,
        page_size: list.limit,
        page_token: String::new(),
    };
    let jobs = client.list(request).await.map_err(plain)?.into_inner().jobs;
    if list.json {
        boot::say!("{}", Value::Array(jobs.into_iter().map(job_json).collect()));
        return Ok(());
    }
    boot::say!("{:<36}  {:<20}  {:<12}  {:<11}  {:>5}  CREATED", "JOB", "TYPE", "QUEUE", "STATE", "%");
    for job in jobs {
        let status = job.status.clone().unwrap_or_default();
        let created = job.created_at.map(time).unwrap_or_default();
        boot::say!(
            "{:<36}  {:<20}  {:<12}  {:<11}  {:>5.1}  {created}",
            job.job_id,
            boot::safe(&job.job_type),
            boot::safe(&job.queue),
            state(status.state),
            status.progress_percent
        );
    }
    Ok(())
}

async fn show(client: &mut JobsClient<Channel>, one: One) -> anyhow::Result<()> {
    let job = client
        .get(p::GetRequest { job_id: one.job_id })
        .await
        .map_err(plain)?
        .into_inner()
        .job
        .unwrap_or_default();
    if one.json {
        boot::say!("{}", job_json(job));
        return Ok(());
    }
    let status = job.status.clone().unwrap_or_default();
    let mut lines = vec![
        ("job", job.job_id.clone()),
        ("type", job.job_type.clone()),
        ("queue", job.queue.clone()),
        (
            "parameters",
            job.parameters.map(|one| Value::Object(json_object(one)).to_string()).unwrap_or_default(),
        ),
        ("priority", job.priority.to_string()),
        ("created", job.created_at.map(time).unwrap_or_default()),
        ("state", state(status.state).to_owned()),
        ("progress", format!("{:.1} % {}", status.progress_percent, status.current_step)),
        ("attempt", format!("{} of {}", status.attempt, job.max_attempts)),
        ("worker", status.worker.clone()),
        ("waits for", job.waits_for.clone()),
        ("qualified", job.qualified_workers.join(", ")),
        ("schedule", job.schedule.clone()),
    ];
    if let Some(error) = &status.error {
        lines.push(("error", format!("{}: {}", error.r#type, error.message)));
    }
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        boot::say!("{name:<10}  {}", boot::safe_lines(value));
    }
    if let Some(mut result) = job.result.map(json_object) {
        let markdown = result.remove("markdown");
        match markdown.as_ref().and_then(Value::as_str) {
            Some(text) => boot::say!("\n{}", text.lines().map(boot::safe).collect::<Vec<_>>().join("\n")),
            None => boot::say!("result      {}", boot::safe(&Value::Object(result).to_string())),
        }
    }
    Ok(())
}

/// Follows a job; an error when it does not complete. A break of the connection is bridged for [`PATIENCE`]:
/// nothing is known of the job then.
async fn watch(client: &mut JobsClient<Channel>, job_id: &str, json: bool) -> anyhow::Result<()> {
    let bar = ProgressBar::new(1_000);
    bar.set_style(ProgressStyle::with_template("{prefix:11} {bar:30} {msg}")?);
    let mut last = p::JobStatus::default();
    let mut away_since = None::<Instant>;
    while !is_final(last.state) {
        let Err(broken) = follow(client, job_id, &mut last, &mut away_since, |status, before| {
            display(&bar, json, status, before)
        })
        .await
        else {
            continue;
        };
        if !may_pass(&broken) {
            return Err(plain(broken));
        }
        let since = match away_since {
            Some(since) => since,
            None => {
                bar.suspend(|| {
                    eprintln!(
                        "the coordinator is away ({}); trying for {} s",
                        boot::safe(broken.message()),
                        PATIENCE.as_secs()
                    )
                });
                *away_since.insert(Instant::now())
            }
        };
        if since.elapsed() >= PATIENCE {
            return Err(plain(broken).context(format!("job {job_id} may go on, but could not be followed")));
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    bar.abandon();
    match JobState::try_from(last.state) {
        Ok(JobState::Completed) => Ok(()),
        _ => bail!(
            "job {job_id} {}: {}",
            state(last.state),
            last.error.map_or(String::new(), |error| format!("{}: {}", error.r#type, error.message))
        ),
    }
}

fn is_final(state: i32) -> bool {
    matches!(JobState::try_from(state), Ok(JobState::Completed | JobState::Failed | JobState::Cancelled))
}

/// Shows what comes after the last status, until the final one or until the stream breaks.
async fn follow(
    client: &mut JobsClient<Channel>,
    job_id: &str,
    last: &mut p::JobStatus,
    away_since: &mut Option<Instant>,
    mut display: impl FnMut(&p::JobStatus, &p::JobStatus),
) -> Result<(), tonic::Status> {
    let request = p::WatchRequest { job_id: job_id.to_owned(), after_version: last.version };
    let mut statuses = client.watch(request).await?.into_inner();
    *away_since = None;
    while let Some(answer) = statuses.message().await? {
        let status = answer.status.unwrap_or_default();
        display(&status, last);
        *last = status;
    }
    if is_final(last.state) {
        Ok(())
    } else {
        Err(tonic::Status::unavailable("the stream ended before the job did"))
    }
}

fn display(bar: &ProgressBar, json: bool, status: &p::JobStatus, before: &p::JobStatus) {
    if json {
        boot::say!("{}", status_json(status));
        return;
    }
    let left =
        status.estimated_completion.map(|at| at.seconds - Utc::now().timestamp()).filter(|left| *left > 0);
    let left = left.map_or(String::new(), |left| format!(", {left} s left"));
    let counts = if status.total_sessions > 0 {
        format!(" {}/{}", status.sessions_processed, status.total_sessions)
    } else {
        String::new()
    };
    bar.set_prefix(state(status.state));
    bar.set_position((status.progress_percent * 10.0) as u64);
    bar.set_message(format!(
        "{:.0} %{counts} {}{left}",
        status.progress_percent,
        boot::safe_up_to(&status.current_step, 60)
    ));
    if bar.is_hidden() && status.state != before.state {
        eprintln!("{}", state(status.state));
    }
}

fn tell(status: p::JobStatus, json: bool) {
    match json {
        true => boot::say!("{}", status_json(&status)),
        false => boot::say!("{} {}", status.job_id, state(status.state)),
    }
}

/// `cowriestream queues`
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Queues {
    #[command(flatten)]
    coordinator: Coordinator,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<QueuesCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum QueuesCommand {
    /// List queues (also without a command)
    List,
    /// Start no more jobs of a queue; those that run go on
    Pause {
        /// The queue
        queue: String,
    },
    /// Start jobs of a queue again
    Resume {
        /// The queue
        queue: String,
    },
}

/// `queues …`
pub async fn queues(args: Queues) -> anyhow::Result<()> {
    let mut client = args.coordinator.jobs().await?;
    match args.command {
        Some(QueuesCommand::Pause { queue }) => {
            client.pause_queue(p::PauseQueueRequest { queue }).await.map_err(plain)?;
        }
        Some(QueuesCommand::Resume { queue }) => {
            client.resume_queue(p::ResumeQueueRequest { queue }).await.map_err(plain)?;
        }
        None | Some(QueuesCommand::List) => {
            let queues =
                client.list_queues(p::ListQueuesRequest {}).await.map_err(plain)?.into_inner().queues;
            if args.json {
                let one = |queue: &p::Queue| json!({ "name": queue.name, "paused": queue.paused, "waiting": queue.waiting, "running": queue.running, "exclusive_to": queue.exclusive_to });
                boot::say!("{}", Value::Array(queues.iter().map(one).collect()));
                return Ok(());
            }
            boot::say!("{:<20}  {:>8}  {:>8}  NOTE", "QUEUE", "WAITING", "RUNNING");
            for queue in queues {
                let mut notes: Vec<_> = queue.paused.then(|| "paused".to_owned()).into_iter().collect();
                notes.extend(
                    (!queue.exclusive_to.is_empty())
                        .then(|| format!("only for {}", queue.exclusive_to.join(", "))),
                );
                boot::say!(
                    "{:<20}  {:>8}  {:>8}  {}",
                    boot::safe(&queue.name),
                    queue.waiting,
                    queue.running,
                    boot::safe(&notes.join("; "))
                );
            }
        }
    }
    Ok(())
}

/// `cowriestream workers`
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Workers {
    #[command(flatten)]
    coordinator: Coordinator,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<WorkersCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum WorkersCommand {
    /// List workers (also without a command)
    List,
    /// Remove a dead worker; queues that were exclusive to it alone are open to every worker again
    Remove {
        /// Its name
        name: String,
    },
}

/// `workers …`
pub async fn workers(args: Workers) -> anyhow::Result<()> {
    let mut client = WorkersClient::new(args.coordinator.channel().await?);
    if let Some(WorkersCommand::Remove { name }) = args.command {
        client.remove(p::RemoveWorkerRequest { name }).await.map_err(plain)?;
        return Ok(());
    }
    let answer = client.list(p::ListWorkersRequest {}).await.map_err(plain)?.into_inner();
    if args.json {
        let worker = |worker: &p::Worker| {
            let has = worker.capabilities.clone().unwrap_or_default();
            json!({
                "worker_id": worker.worker_id, "name": worker.name, "hostname": worker.hostname, "type": worker.r#type, "status": worker.status,
                "queues": worker.queues.iter().map(|served| &served.queue).collect::<Vec<_>>(), "concurrency": worker.concurrency,
                "running": worker.running, "platform": worker.platform,
                "capabilities": { "accelerator": has.accelerator, "memory_gb": has.memory_gb, "cpu_cores": has.cpu_cores },
            })
        };
        let routing: Map<_, _> =
            answer.job_routing.iter().map(|(queue, names)| (queue.clone(), json!(names.workers))).collect();
        boot::say!(
            "{}",
            json!({ "workers": answer.workers.iter().map(worker).collect::<Vec<_>>(), "job_routing": routing })
        );
        return Ok(());
    }
    boot::say!("{:<24}  {:<8}  {:<13}  {:>7}  {:<13}  HAS", "WORKER", "STATUS", "TYPE", "JOBS", "PLATFORM");
    for worker in &answer.workers {
        let has = worker.capabilities.clone().unwrap_or_default();
        let queues: Vec<_> = worker
            .queues
            .iter()
            .map(|served| {
                format!("{}:{}{}", served.queue, served.priority, if served.exclusive { "!" } else { "" })
            })
            .collect();
        boot::say!(
            "{:<24}  {:<8}  {:<13}  {:>7}  {:<13}  {} cores, {:.1} GiB, {}; {}",
            boot::safe(&worker.name),
            worker.status,
            boot::safe(&worker.r#type),
            format!("{}/{}", worker.running, worker.concurrency),
            boot::safe(&worker.platform),
            has.cpu_cores,
            has.memory_gb,
            boot::safe(&has.accelerator),
            boot::safe(&queues.join(" "))
        );
    }
    Ok(())
}

/// `cowriestream schedules`
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  cowriestream schedules put weekly-report '0 6 * * 1' report --param time_window=7d
  cowriestream schedules delete weekly-report")]
pub struct Schedules {
    #[command(flatten)]
    coordinator: Coordinator,
    #[command(subcommand)]
    command: Option<SchedulesCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum SchedulesCommand {
    /// List schedules (also without a command)
    List,
    /// Create or replace a schedule
    Put {
        /// Its name
        name: String,
        /// Cron expression of five fields, or six with seconds first; UTC. docs/JOBS.md says what a field may
        /// be
        cron: String,
        /// Type of the job
        #[arg(value_name = "TYPE")]
        job_type: String,
        /// A parameter: name=value
        #[arg(long = "param", value_name = "NAME=VALUE")]
        params: Vec<String>,
        /// Make good each firing that nobody was there for
        #[arg(long)]
        catch_up: bool,
    },
    /// Delete a schedule; jobs it made stay
    Delete {
        /// Its name
        name: String,
    },
}

/// `schedules …`
pub async fn schedules(args: Schedules) -> anyhow::Result<()> {
    let mut client = args.coordinator.jobs().await?;
    match args.command {
        Some(SchedulesCommand::Put { name, cron, job_type, params, catch_up }) => {
            let mut parameters = Map::new();
            for param in &params {
                let (name, value) =
                    param.split_once('=').with_context(|| format!("--param {param}: expected NAME=VALUE"))?;
                parameters.insert(
                    name.to_owned(),
                    serde_json::from_str(value).unwrap_or_else(|_| Value::from(value)),
                );
            }
            let job = p::SubmitRequest {
                job_type,
                parameters: Some(proto_struct(parameters)),
                ..Default::default()
            };
            let schedule = p::Schedule { name, cron, job: Some(job), catch_up, ..Default::default() };
            let stored = client
                .put_schedule(p::PutScheduleRequest { schedule: Some(schedule) })
                .await
                .map_err(plain)?
                .into_inner()
                .schedule
                .unwrap_or_default();
            boot::say!("next at {}", stored.next_at.map(time).unwrap_or_default());
        }
        Some(SchedulesCommand::Delete { name }) => {
            client.delete_schedule(p::DeleteScheduleRequest { name }).await.map_err(plain)?;
        }
        None | Some(SchedulesCommand::List) => {
            let schedules = client
                .list_schedules(p::ListSchedulesRequest {})
                .await
                .map_err(plain)?
                .into_inner()
                .schedules;
            boot::say!("{:<24}  {:<16}  {:<20}  {:<20}  LAST", "SCHEDULE", "CRON", "TYPE", "NEXT");
            for schedule in schedules {
                let kind = schedule.job.map(|job| job.job_type).unwrap_or_default();
                let [next, last] =
                    [schedule.next_at, schedule.last_at].map(|at| at.map(time).unwrap_or_default());
                boot::say!(
                    "{:<24}  {:<16}  {:<20}  {next:<20}  {last}",
                    boot::safe(&schedule.name),
                    boot::safe(&schedule.cron),
                    boot::safe(&kind)
                );
            }
        }
    }
    Ok(())
}

fn state(number: i32) -> &'static str {
    match JobState::try_from(number) {
        Ok(JobState::Queued) => "queued",
        Ok(JobState::InProgress) => "in_progress",
        Ok(JobState::Retrying) => "retrying",
        Ok(JobState::Completed) => "completed",
        Ok(JobState::Failed) => "failed",
        Ok(JobState::Cancelled) => "cancelled",
        _ => "unknown",
    }
}

fn time(at: prost_types::Timestamp) -> String {
    DateTime::from_timestamp(at.seconds, 0)
        .map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default()
}

fn status_json(status: &p::JobStatus) -> Value {
    json!({
        "job_id": status.job_id, "state": state(status.state), "progress_percent": status.progress_percent, "current_step": status.current_step,
        "sessions_processed": status.sessions_processed, "total_sessions": status.total_sessions,
        "estimated_completion": status.estimated_completion.map(time), "worker": status.worker, "attempt": status.attempt,
        "error": status.error.as_ref().map(|error| json!({ "type": error.r#type, "message": error.message })),
        "updated_at": status.updated_at.map(time), "version": status.version,
    })
}

fn job_json(job: p::Job) -> Value {
    json!({
        "job_id": job.job_id, "job_type": job.job_type, "queue": job.queue, "parameters": job.parameters.map(json_object), "priority": job.priority,
        "created_at": job.created_at.map(time), "timeout_seconds": job.timeout_seconds, "max_attempts": job.max_attempts,
        "not_before": job.not_before.map(time), "deadline": job.deadline.map(time), "idempotency_key": job.idempotency_key,
        "unique_key": job.unique_key, "schedule": job.schedule, "status": job.status.as_ref().map(status_json), "result": job.result.map(json_object),
        "waits_for": job.waits_for, "qualified_workers": job.qualified_workers,
    })
}

fn json_object(object: prost_types::Struct) -> Map<String, Value> {
    object.fields.into_iter().map(|(name, value)| (name, json_value(value))).collect()
}

fn json_value(value: prost_types::Value) -> Value {
    use prost_types::value::Kind;
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(on)) => on.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::NumberValue(x)) if x.fract() == 0.0 && x.abs() < 9e15 => (x as i64).into(),
        Some(Kind::NumberValue(x)) => json!(x),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json_value).collect(),
        Some(Kind::StructValue(object)) => Value::Object(json_object(object)),
    }
}

fn proto_struct(object: Map<String, Value>) -> prost_types::Struct {
    prost_types::Struct {
        fields: object.into_iter().map(|(name, value)| (name, proto_value(value))).collect(),
    }
}

fn proto_value(value: Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(on) => Kind::BoolValue(on),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(some) => {
            Kind::ListValue(prost_types::ListValue { values: some.into_iter().map(proto_value).collect() })
        }
        Value::Object(object) => Kind::StructValue(proto_struct(object)),
    };
    prost_types::Value { kind: Some(kind) }
}
