//! `queues`

use jobs::views::{Queue, QueueList, QueuePaused};
use proto::{self as p, queues_service_client::QueuesServiceClient};

use super::{Coordinator, Link, PAGE, plain, say_json};

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
    /// List queues; the default
    List,
    /// Pause a queue: no more of its jobs start, running jobs go on
    Pause {
        /// Name of the queue
        queue: String,
    },
    /// Resume a queue: its jobs start again
    Resume {
        /// Name of the queue
        queue: String,
    },
}

/// `queues …`
pub async fn queues(args: Queues) -> anyhow::Result<()> {
    let mut client = QueuesServiceClient::new(args.coordinator.channel().await?);
    match args.command {
        Some(QueuesCommand::Pause { queue }) => {
            let request = p::PauseQueueRequest { queue: queue.clone() };
            client.pause_queue(request).await.map_err(plain)?;
            say_paused(queue, true, args.json)?;
        }
        Some(QueuesCommand::Resume { queue }) => {
            let request = p::ResumeQueueRequest { queue: queue.clone() };
            client.resume_queue(request).await.map_err(plain)?;
            say_paused(queue, false, args.json)?;
        }
        None | Some(QueuesCommand::List) => {
            let queues = every_queue(&mut client).await?;
            if args.json {
                return say_json(&QueueList { queues, next_page_token: None });
            }
            show(&queues);
        }
    }
    Ok(())
}

fn say_paused(queue: String, paused: bool, json: bool) -> anyhow::Result<()> {
    if json { say_json(&QueuePaused { queue, paused }) } else { Ok(()) }
}

async fn every_queue(client: &mut QueuesServiceClient<Link>) -> anyhow::Result<Vec<Queue>> {
    let (mut queues, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = p::ListQueuesRequest { page_size: PAGE, page_token };
        let answer = client.list_queues(request).await.map_err(plain)?.into_inner();
        queues.extend(answer.queues.into_iter().map(Queue::from));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            return Ok(queues);
        }
    }
}

fn show(queues: &[Queue]) {
    boot::say!("{:<20}  {:>8}  {:>8}  NOTE", "QUEUE", "WAITING", "RUNNING");
    for queue in queues {
        let mut notes: Vec<_> = queue.paused.then(|| "paused".to_owned()).into_iter().collect();
        if !queue.exclusive_to.is_empty() {
            notes.push(format!("only for {}", queue.exclusive_to.join(", ")));
        }
        boot::say!(
            "{:<20}  {:>8}  {:>8}  {}",
            boot::safe(&queue.name),
            queue.waiting,
            queue.running,
            boot::safe(&notes.join("; "))
        );
    }
}
