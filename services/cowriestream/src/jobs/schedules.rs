//! `schedules`

use jobs::views::{Schedule, ScheduleList};
use proto::{self as p, schedules_service_client::SchedulesServiceClient};

use super::{Coordinator, Link, PAGE, parameters, plain, say_json, time, view, views};

/// `cowriestream schedules`
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  cowriestream schedules put weekly-report '0 6 * * 1' report --param time_window=7d
  cowriestream schedules delete weekly-report")]
pub struct Schedules {
    #[command(flatten)]
    coordinator: Coordinator,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<SchedulesCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum SchedulesCommand {
    /// List schedules; the default
    List,
    /// Create or replace a schedule
    Put {
        /// Name of the schedule
        name: String,
        /// Cron expression in UTC: five fields, or six with seconds first; docs/JOBS.md describes the fields
        cron: String,
        /// Type of the job: `cowriestream jobs types` lists them
        #[arg(value_name = "TYPE")]
        job_type: String,
        /// Parameter of the job: name=value. May be given several times; `cowriestream jobs types TYPE` lists
        /// the parameters
        #[arg(long = "param", value_name = "NAME=VALUE")]
        params: Vec<String>,
        /// Fire later for each time that was missed while no coordinator ran
        #[arg(long)]
        catch_up: bool,
    },
    /// Delete a schedule; the jobs that it made stay
    Delete {
        /// Name of the schedule
        name: String,
    },
}

/// `schedules …`
pub async fn schedules(args: Schedules) -> anyhow::Result<()> {
    let mut client = SchedulesServiceClient::new(args.coordinator.channel().await?);
    match args.command {
        Some(SchedulesCommand::Put { name, cron, job_type, params, catch_up }) => {
            let parameters = Some(p::struct_of(parameters(&params)?));
            let job = Some(p::SubmitJobRequest { job_type, parameters, ..Default::default() });
            let schedule = Some(p::Schedule { name, cron, job, catch_up, ..Default::default() });
            let answer = client.put_schedule(p::PutScheduleRequest { schedule }).await.map_err(plain)?;
            let stored: Schedule = view(answer.into_inner().schedule)?;
            match args.json {
                true => say_json(&stored)?,
                false => boot::say!("next at {}", time(stored.next_at)),
            }
        }
        Some(SchedulesCommand::Delete { name }) => {
            client.delete_schedule(p::DeleteScheduleRequest { name }).await.map_err(plain)?;
        }
        None | Some(SchedulesCommand::List) => {
            let schedules = every_schedule(&mut client).await?;
            if args.json {
                return say_json(&ScheduleList { schedules, next_page_token: None });
            }
            show(&schedules);
        }
    }
    Ok(())
}

async fn every_schedule(client: &mut SchedulesServiceClient<Link>) -> anyhow::Result<Vec<Schedule>> {
    let (mut schedules, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = p::ListSchedulesRequest { page_size: PAGE, page_token };
        let answer = client.list_schedules(request).await.map_err(plain)?.into_inner();
        schedules.extend(views::<_, Schedule>(answer.schedules)?);
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            return Ok(schedules);
        }
    }
}

fn show(schedules: &[Schedule]) {
    boot::say!("{:<24}  {:<16}  {:<20}  {:<20}  LAST", "SCHEDULE", "CRON", "TYPE", "NEXT");
    for schedule in schedules {
        boot::say!(
            "{:<24}  {:<16}  {:<20}  {:<20}  {}",
            boot::safe(&schedule.name),
            boot::safe(&schedule.cron),
            boot::safe(schedule.job["job_type"].as_str().unwrap_or_default()),
            time(schedule.next_at),
            schedule.last_at.map(time).unwrap_or_default()
        );
    }
}
