//! `jobs list`

use chrono::{DateTime, Utc};
use jobs::views::{Job, JobList};
use proto::{self as p, JobState, jobs_service_client::JobsServiceClient};

use super::{Link, plain, say_json, time, views};

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct List {
    /// Only jobs in these states: queued, in_progress, retrying, completed, failed, cancelled
    #[arg(long, value_delimiter = ',', value_name = "STATE")]
    state: Vec<jobs::State>,
    /// Only jobs of this queue
    #[arg(long, default_value = "", hide_default_value = true)]
    queue: String,
    /// Only jobs of this type
    #[arg(long = "type", default_value = "", hide_default_value = true, value_name = "TYPE")]
    job_type: String,
    /// Only jobs that this schedule made
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    schedule: String,
    /// Only jobs with this unique key
    #[arg(long, default_value = "", hide_default_value = true, value_name = "KEY")]
    unique_key: String,
    /// Only jobs that were submitted at this time or later, e.g. 2026-11-24T08:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Only jobs that were submitted before this time
    #[arg(long, value_name = "TIME")]
    to: Option<DateTime<Utc>>,
    /// Number of jobs to list, at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn list(client: &mut JobsServiceClient<Link>, args: List) -> anyhow::Result<()> {
    let request = p::ListJobsRequest {
        states: args.state.into_iter().map(|state| JobState::from(state).into()).collect(),
        queue: args.queue,
        job_type: args.job_type,
        schedule: args.schedule,
        unique_key: args.unique_key,
        from: args.from.map(p::timestamp),
        to: args.to.map(p::timestamp),
        page_size: args.limit,
        page_token: String::new(),
    };
    let answer = client.list_jobs(request).await.map_err(plain)?.into_inner();
    let jobs: Vec<Job> = views(answer.jobs)?;
    if args.json {
        let next_page_token = Some(answer.next_page_token).filter(|token| !token.is_empty());
        return say_json(&JobList { jobs, next_page_token });
    }
    boot::say!("{:<36}  {:<20}  {:<12}  {:<11}  {:>5}  CREATED", "JOB", "TYPE", "QUEUE", "STATE", "%");
    for job in jobs {
        boot::say!(
            "{:<36}  {:<20}  {:<12}  {:<11}  {:>5.1}  {}",
            job.job_id,
            boot::safe(&job.job_type),
            boot::safe(&job.queue),
            job.status.state.name(),
            job.status.progress_percent,
            time(job.created_at)
        );
    }
    Ok(())
}
