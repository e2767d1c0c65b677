//! `workers`

use std::collections::BTreeMap;

use jobs::views::{Worker, WorkerList};
use proto::{self as p, workers_service_client::WorkersServiceClient};

use super::{Coordinator, Link, PAGE, plain, say_json, views};

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
    /// List workers; the default
    List,
    /// Remove a dead worker. Queues that only it was allowed to serve are then open to every worker
    Remove {
        /// Name of the worker
        name: String,
    },
}

/// `workers …`
pub async fn workers(args: Workers) -> anyhow::Result<()> {
    let mut client = WorkersServiceClient::new(args.coordinator.channel().await?);
    if let Some(WorkersCommand::Remove { name }) = args.command {
        client.remove_worker(p::RemoveWorkerRequest { name }).await.map_err(plain)?;
        return Ok(());
    }
    let list = every_worker(&mut client).await?;
    if args.json {
        return say_json(&list);
    }
    boot::say!("{:<24}  {:<8}  {:<13}  {:>7}  {:<13}  HAS", "WORKER", "STATUS", "TYPE", "JOBS", "PLATFORM");
    for worker in &list.workers {
        let has = &worker.capabilities;
        let served = worker.preferences.iter();
        let served = served.map(|one| {
            let exclusive = if one.exclusive { "!" } else { "" };
            format!("{}:{}{exclusive}", one.queue, one.priority)
        });
        boot::say!(
            "{:<24}  {:<8}  {:<13}  {:>7}  {:<13}  {} cores, {:.1} GiB, {}; {}",
            boot::safe(&worker.name),
            worker.status.name(),
            boot::safe(&worker.place),
            format!("{}/{}", worker.running, worker.concurrency),
            boot::safe(&worker.platform),
            has.cpu_cores,
            has.memory_gb,
            boot::safe(&has.accelerator),
            boot::safe(&served.collect::<Vec<_>>().join(" "))
        );
    }
    Ok(())
}

async fn every_worker(client: &mut WorkersServiceClient<Link>) -> anyhow::Result<WorkerList> {
    let mut list = WorkerList { workers: Vec::new(), job_routing: BTreeMap::new(), next_page_token: None };
    let mut page_token = String::new();
    loop {
        let request = p::ListWorkersRequest { page_size: PAGE, page_token };
        let answer = client.list_workers(request).await.map_err(plain)?.into_inner();
        list.workers.extend(views::<_, Worker>(answer.workers)?);
        list.job_routing.extend(answer.job_routing.into_iter().map(|(queue, names)| (queue, names.workers)));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            return Ok(list);
        }
    }
}
