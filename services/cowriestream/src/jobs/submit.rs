//! `jobs submit`

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use proto::{self as p, jobs_service_client::JobsServiceClient};
use serde_json::json;

use super::{Link, parameters, plain, say_json, show, watch};

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Submit {
    /// Type of the job: `cowriestream jobs types` lists them
    #[arg(value_name = "TYPE")]
    job_type: String,
    /// Parameter of the job: name=value; the value is JSON if it can be read as JSON, else text. May be given
    /// several times; `cowriestream jobs types TYPE` lists the parameters
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Priority, from 1 (starts last) to 10 (starts first); default: 5
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    priority: u32,
    /// Time limit of one attempt, in seconds; default: 3600
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "SECONDS")]
    timeout: u32,
    /// Attempts before the job fails for good; default: 3
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    max_attempts: u32,
    /// Queue of the job; default: the queue of its type
    #[arg(long, default_value = "", hide_default_value = true)]
    queue: String,
    /// Idempotency key: the same submission with the same key returns the first job
    #[arg(long, default_value = "", hide_default_value = true, value_name = "KEY")]
    idempotency_key: String,
    /// Unique key: while a job with this key waits or runs, that job is returned instead of a new one
    #[arg(long, default_value = "", hide_default_value = true, value_name = "KEY")]
    unique_key: String,
    /// The job does not start before this time, e.g. 2026-11-24T08:00:00Z
    #[arg(long, value_name = "TIME")]
    not_before: Option<DateTime<Utc>>,
    /// The job fails if it has not started by this time
    #[arg(long, value_name = "TIME")]
    deadline: Option<DateTime<Utc>>,
    /// Memory that a worker must have to run the job, in GiB
    #[arg(long, default_value_t = 0.0, hide_default_value = true, value_name = "GIB")]
    min_memory_gb: f64,
    /// CPU cores that a worker must have to run the job
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    min_cpu_cores: u32,
    /// Accelerator that a worker must have to run the job; of several, one is enough
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    accelerator: Vec<String>,
    /// Trace that the job continues: a W3C traceparent, e.g. of the event that caused the job
    #[arg(long, value_name = "TRACEPARENT")]
    traceparent: Option<String>,
    /// Follow the job until it ends; exit with 1 if it fails, with 3 if the coordinator stays away
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn submit(client: &mut JobsServiceClient<Link>, args: Submit) -> anyhow::Result<()> {
    let (json, wait) = (args.json, args.wait);
    let traceparent = args.traceparent.clone();
    let mut request = tonic::Request::new(request(args)?);
    if let Some(traceparent) = &traceparent {
        let example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let value = traceparent
            .parse()
            .with_context(|| format!("--traceparent {traceparent:?}: expected e.g. {example}"))?;
        request.metadata_mut().insert("traceparent", value);
    }
    let answer = client.submit_job(request).await.map_err(plain)?.into_inner();
    match (json, wait) {
        (true, _) => say_json(&json!({ "job_id": answer.job_id, "created": answer.created }))?,
        (false, false) => boot::say!("{}{}", answer.job_id, if answer.created { "" } else { " (was there)" }),
        (false, true) => (),
    }
    if wait {
        watch::watch(client, &answer.job_id, json).await?;
        return show::show(client, &answer.job_id, json).await;
    }
    Ok(())
}

fn request(args: Submit) -> anyhow::Result<p::SubmitJobRequest> {
    Ok(p::SubmitJobRequest {
        job_type: args.job_type,
        parameters: Some(p::struct_of(parameters(&args.params)?)),
        priority: args.priority,
        timeout_seconds: args.timeout,
        max_attempts: args.max_attempts,
        requirements: Some(p::Requirements {
            min_memory_gb: args.min_memory_gb,
            min_cpu_cores: args.min_cpu_cores,
            accelerator: args.accelerator,
        }),
        idempotency_key: args.idempotency_key,
        unique_key: args.unique_key,
        queue: args.queue,
        not_before: args.not_before.map(p::timestamp),
        deadline: args.deadline.map(p::timestamp),
    })
}
