//! `jobs submit`

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use proto::{self as p, jobs_service_client::JobsServiceClient};
use serde_json::json;

use super::{Link, parameters, plain, say_json, show, watch};

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Submit {
    /// The type of the job: `cowriestream jobs types` lists them
    #[arg(value_name = "TYPE")]
    job_type: String,
    /// A parameter: name=value; the value is JSON if it can be read as JSON, else text. May be given several
    /// times; `cowriestream jobs types TYPE` lists the parameters
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
