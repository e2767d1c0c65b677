//! `jobs show`

use jobs::{Status, views::JobDetail};
use proto::{self as p, jobs_service_client::JobsServiceClient};
use serde_json::Value;

use super::{Link, plain, say_json, time, view};

pub(super) async fn show(
    client: &mut JobsServiceClient<Link>,
    job_id: &str,
    json: bool,
) -> anyhow::Result<()> {
    let request = p::GetJobRequest { job_id: job_id.to_owned() };
    let detail: JobDetail = view(client.get_job(request).await.map_err(plain)?.into_inner().job)?;
    if json {
        return say_json(&detail);
    }
    for (name, value) in lines(&detail).iter().filter(|(_, value)| !value.is_empty()) {
        boot::say!("{name:<10}  {}", boot::safe_lines(value));
    }
    let Some(result) = detail.job.result else { return Ok(()) };
    match result.get("markdown").and_then(Value::as_str) {
        Some(text) => boot::say!("\n{}", text.lines().map(boot::safe).collect::<Vec<_>>().join("\n")),
        None => boot::say!("result      {}", boot::safe(&result.to_string())),
    }
    Ok(())
}

fn lines(detail: &JobDetail) -> Vec<(&'static str, String)> {
    let job = &detail.job;
    let status = &job.status;
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let step = or_empty(&status.current_step);
    let error = status.error.as_ref().map(|error| format!("{}: {}", error.kind, error.message));
    vec![
        ("job", job.job_id.to_string()),
        ("type", job.job_type.clone()),
        ("queue", job.queue.clone()),
        ("parameters", job.parameters.to_string()),
        ("priority", job.priority.to_string()),
        ("created", time(job.created_at)),
        ("state", status.state.to_string()),
        ("progress", format!("{:.1} % {step}", status.progress_percent)),
        ("attempt", attempt(detail)),
        ("next", status.next_attempt_at.map(time).unwrap_or_default()),
        ("worker", or_empty(&status.worker)),
        ("waits for", or_empty(&detail.waits_for)),
        ("qualified", detail.qualified_workers.join(", ")),
        ("schedule", or_empty(&job.schedule)),
        ("error", error.unwrap_or_default()),
    ]
}

fn attempt(detail: &JobDetail) -> String {
    let Status { attempt, uncounted_attempts, attempts_left, .. } = &detail.job.status;
    let uncounted = match uncounted_attempts {
        0 => String::new(),
        _ => format!(", {uncounted_attempts} of them not counted"),
    };
    format!("{attempt}{uncounted}; {attempts_left} left")
}
