//! `jobs`, `queues`, `workers`, `schedules`: commands that ask the coordinator over gRPC. With `--json` they
//! print the views that REST answers with.

mod credential;
mod list;
mod queues;
mod schedules;
mod show;
mod submit;
mod types;
mod watch;
mod workers;

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use jobs::Status;
use proto::{self as p, jobs_service_client::JobsServiceClient};
use serde::Serialize;
use serde_json::{Map, Value};
use tonic::{service::interceptor::InterceptedService, transport::Channel};

use self::{credential::ApiKey, list::List, submit::Submit, types::Types};
pub use self::{
    queues::{Queues, queues},
    schedules::{Schedules, schedules},
    workers::{Workers, workers},
};
use crate::{hub::HubArgs, secret::Secret};

/// Exit code when the coordinator or its database is away.
const AWAY: u8 = 3;
/// A coordinator that does not answer a ping is away.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(5);
/// Items of a page, where a command reads every page.
const PAGE: u32 = 1_000;

/// Where the coordinator is.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Coordinator {
    /// gRPC address of the coordinator
    #[arg(long, env = "GRPC_URL", value_name = "URL", global = true)]
    grpc_url: Option<String>,
    /// Key for the coordinator: csk_…
    #[arg(long, env = "API_KEY", value_name = "KEY", global = true, hide_env_values = true)]
    api_key: Option<Secret>,
    #[command(flatten)]
    hub: HubArgs,
}

/// A connection that sends the key with each call.
type Link = InterceptedService<Channel, ApiKey>;

impl Coordinator {
    async fn channel(&self) -> anyhow::Result<Link> {
        let given = [("GRPC_URL", self.grpc_url.as_deref())];
        let url = self.hub.address("GRPC_URL", &given)?;
        let key = self.api_key.as_ref().map(Secret::reveal);
        let key = ApiKey::new(self.hub.secret("API_KEY", key, &given, &url).as_deref())?;
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
        let channel = endpoint.connect().await.map_err(away)?;
        Ok(InterceptedService::new(channel, key))
    }

    async fn jobs(&self) -> anyhow::Result<JobsServiceClient<Link>> {
        Ok(JobsServiceClient::new(self.channel().await?))
    }
}

/// `cowriestream jobs`
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  cowriestream jobs types report
  cowriestream jobs submit report --param time_window=7d --wait
  cowriestream jobs submit longtail_analysis --param time_window=30d --wait
  cowriestream jobs submit diagnostic --param steps=20 --param step_seconds=0.5 --priority 9
  cowriestream jobs list --state queued,in_progress
  cowriestream jobs watch 0199c0de-...

Exit codes:
  0    success; for `watch` and `submit --wait`: the job completed
  1    the request was refused, the job was not found, it failed or it was cancelled
  2    the command line is wrong
  3    the coordinator or its database is away; `watch` and `--wait` try for 60 s first, and the job may still run
  130  interrupted; a submitted job goes on")]
pub struct Jobs {
    #[command(flatten)]
    coordinator: Coordinator,
    #[command(subcommand)]
    command: JobsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum JobsCommand {
    /// Submit a job
    Submit(Box<Submit>),
    /// List the types of jobs, or show the parameters of one
    Types(Types),
    /// List jobs, newest first
    List(List),
    /// Show a job: its status, its result, which workers can run it and why it waits
    Show(One),
    /// Follow a job to its end, with a progress bar
    Watch(One),
    /// Cancel a waiting or running job
    Cancel(One),
    /// Run a failed or cancelled job again, from its last checkpoint
    Retry(One),
}

#[derive(Debug, clap::Args)]
#[group(skip)]
struct One {
    /// Id of the job
    #[arg(value_name = "ID")]
    job_id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `jobs …`
pub async fn jobs(args: Jobs) -> anyhow::Result<()> {
    // The types are part of the program: no coordinator is needed.
    if let JobsCommand::Types(args) = args.command {
        return types::types(&args);
    }
    let mut client = args.coordinator.jobs().await?;
    match args.command {
        JobsCommand::Types(args) => types::types(&args),
        JobsCommand::Submit(args) => submit::submit(&mut client, *args).await,
        JobsCommand::List(args) => list::list(&mut client, args).await,
        JobsCommand::Show(one) => show::show(&mut client, &one.job_id, one.json).await,
        JobsCommand::Watch(one) => watch::watch(&mut client, &one.job_id, one.json).await,
        JobsCommand::Cancel(one) => {
            let answer =
                client.cancel_job(p::CancelJobRequest { job_id: one.job_id }).await.map_err(plain)?;
            say_state(&view(answer.into_inner().status)?, one.json)
        }
        JobsCommand::Retry(one) => {
            let answer = client.retry_job(p::RetryJobRequest { job_id: one.job_id }).await.map_err(plain)?;
            say_state(&view(answer.into_inner().status)?, one.json)
        }
    }
}

fn say_state(status: &Status, json: bool) -> anyhow::Result<()> {
    match json {
        true => say_json(status)?,
        false => boot::say!("{} {}", status.job_id, status.state),
    }
    Ok(())
}

fn say_json(view: &impl Serialize) -> anyhow::Result<()> {
    boot::say!("{}", serde_json::to_string(view)?);
    Ok(())
}

/// The view of a message.
fn view<M: Default, V: TryFrom<M, Error = String>>(message: Option<M>) -> anyhow::Result<V> {
    V::try_from(message.unwrap_or_default())
        .map_err(anyhow::Error::msg)
        .context("read the answer of the coordinator")
}

fn views<M: Default, V: TryFrom<M, Error = String>>(messages: Vec<M>) -> anyhow::Result<Vec<V>> {
    messages.into_iter().map(|message| view(Some(message))).collect()
}

/// `NAME=VALUE`, where the value is JSON when it can be read so, else text.
fn parameters(params: &[String]) -> anyhow::Result<Map<String, Value>> {
    let read = |param: &String| -> anyhow::Result<(String, Value)> {
        let (name, value) =
            param.split_once('=').with_context(|| format!("--param {param}: expected NAME=VALUE"))?;
        Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))))
    };
    let mut object = Map::new();
    for pair in params.iter().map(read) {
        let (name, value) = pair?;
        anyhow::ensure!(!object.contains_key(&name), "--param {name}: given twice");
        object.insert(name, value);
    }
    Ok(object)
}

/// The message of a status, without its code.
fn plain(status: tonic::Status) -> anyhow::Error {
    if status.code() == tonic::Code::Unauthenticated {
        return anyhow::anyhow!(
            "{}. The key comes from --api-key, API_KEY, or the file env of the data directory",
            status.message()
        );
    }
    match may_pass(&status) {
        true => boot::Exit { code: AWAY, message: status.message().to_owned() }.into(),
        false => anyhow::anyhow!("{}", status.message()),
    }
}

/// Whether the error is not about the request: the coordinator, the network or the database is away.
fn may_pass(status: &tonic::Status) -> bool {
    use tonic::Code::{
        Aborted, Cancelled, DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown,
    };
    matches!(
        status.code(),
        Aborted | Cancelled | DeadlineExceeded | Internal | ResourceExhausted | Unavailable | Unknown
    )
}

/// A time for people: RFC 3339, whole seconds.
fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
