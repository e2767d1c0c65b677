//! Jobs at times.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use chrono::{DateTime, SubsecRound, Utc};
use croner::{
    Cron,
    parser::{CronParser, Seconds},
};
use jobs::{FieldError, Request, is_name};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Failure, Lease, Schedule, Store};

use crate::{desk::Desk, problem::Problem};

/// Most firings made good at once; what was missed before is skipped.
const MOST_MISSED: usize = 1_000;
/// A firing that is so late was missed: no coordinator was there for it.
const MISSED_AFTER: chrono::TimeDelta = chrono::TimeDelta::seconds(60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schedules: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    cron: String,
    job: Value,
    #[serde(default)]
    catch_up: bool,
}

/// Makes the schedules of a file those of the database; those of an earlier file that stand there no more go.
pub(crate) async fn load(store: &Store, path: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let file: File = serde_yaml_ng::from_str(&text).with_context(|| format!("read {}", path.display()))?;
    let mut transaction = store.begin().await?;
    let names: Vec<_> = file.schedules.iter().map(|entry| entry.name.clone()).collect();
    for entry in file.schedules {
        let name = entry.name.clone();
        match checked(entry.name, entry.cron, entry.job, entry.catch_up, true) {
            Ok(schedule) => store::put_schedule(&mut transaction, &schedule).await?,
            Err(errors) => {
                let what: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
                bail!("{}: schedule {name:?}: {}", path.display(), what.join("; "));
            }
        };
    }
    store::keep_schedules_of_file(&mut transaction, &names).await?;
    transaction.commit().await.map_err(Failure::from)?;
    Ok(())
}

fn checked(name: String, cron: String, job: Value, catch_up: bool, from_file: bool) -> Result<Schedule, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut wrong = |field: &str, message: String| errors.push(FieldError { field: field.into(), message });
    if !is_name(&name) {
        wrong("name", "expected letters, digits, _ and -, at most 64".into());
    }
    let next_at = next(&cron, Utc::now());
    if let Err(why) = &next_at {
        wrong("cron", why.clone());
    }
    for field in ["idempotency_key", "not_before", "deadline"] {
        if job.get(field).is_some_and(|value| !value.is_null()) {
            wrong(&format!("job.{field}"), "a schedule sets it at each firing".into());
        }
    }
    if let Err(more) = Request::read(job.clone(), Utc::now()) {
        errors.extend(more.into_iter().map(|error| FieldError { field: format!("job.{}", error.field), ..error }));
    }
    match next_at {
        Ok(next_at) if errors.is_empty() => Ok(Schedule { name, cron, job, catch_up, from_file, next_at, last_at: None }),
        _ => Err(errors),
    }
}

/// The first firing after a moment. Five fields, or six with seconds first; UTC.
fn next(cron: &str, after: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    // Whole seconds: an occurrence has the fraction of what it is looked for from.
    parse(cron)?.find_next_occurrence(&after.trunc_subsecs(0), false).map_err(|error| format!("{:?} never fires: {error}", short(cron)))
}

fn parse(cron: &str) -> Result<Cron, String> {
    CronParser::builder().seconds(Seconds::Optional).build().parse(cron).map_err(|error| format!("{:?}: {error}", short(cron)))
}

fn short(cron: &str) -> String {
    cron.chars().take(100).collect()
}

/// The firings of a schedule that are to be made good now, oldest first. Counted backwards, so that a long absence costs nothing.
fn due(schedule: &Schedule, now: DateTime<Utc>) -> Result<Vec<DateTime<Utc>>, String> {
    let parsed = parse(&schedule.cron)?;
    let oldest = if schedule.catch_up { schedule.next_at } else { schedule.next_at.max(now - MISSED_AFTER) };
    let mut due = Vec::new();
    let mut before = now.trunc_subsecs(0);
    while due.len() < MOST_MISSED {
        match parsed.find_previous_occurrence(&before, due.is_empty()) {
            Ok(at) if at >= oldest => (due.push(at), before = at),
            _ => break,
        };
    }
    if due.last().is_none_or(|&first| first > schedule.next_at) {
        tracing::warn!(schedule = schedule.name, since = %schedule.next_at, "skipped firings that nobody was there for");
    }
    due.reverse();
    Ok(due)
}

/// Hands in the jobs of what is due. A firing is a job by its idempotency key, so it is made once, whoever makes it, and however often.
pub(crate) async fn fire(desk: &Desk, lease: &Lease) -> Result<(), Failure> {
    loop {
        let mut transaction = desk.store.begin().await?;
        if !store::still_holds(&mut transaction, lease).await? {
            return Ok(());
        }
        let Some(schedule) = store::due_schedule(&mut transaction).await? else { return Ok(()) };
        // No connection is held while jobs are handed in: that takes one too, and a pool may have a single one.
        transaction.rollback().await.map_err(Failure::from)?;
        // The database says that it is due; our clock may be behind.
        let now = Utc::now().max(schedule.next_at);
        let upcoming = next(&schedule.cron, now).map_err(|why| Failure::Reject(anyhow::anyhow!(why)))?;
        for at in due(&schedule, now).map_err(|why| Failure::Reject(anyhow::anyhow!(why)))? {
            let mut body = schedule.job.clone();
            if let Some(body) = body.as_object_mut() {
                body.insert("idempotency_key".into(), json!(format!("schedule:{}:{}", schedule.name, at.timestamp())));
            }
            let outcome = match Request::read(body, now) {
                Ok(request) => desk.hand_in(request, Some(schedule.name.clone()), None).await,
                Err(errors) => Err(Problem::Invalid(errors)),
            };
            match outcome {
                Err(Problem::Away(why)) => return Err(Failure::Retry(anyhow::anyhow!(why))),
                Err(problem) => tracing::error!(schedule = schedule.name, ?problem, "a schedule's job was refused"),
                Ok((job_id, created)) => tracing::info!(schedule = schedule.name, %at, %job_id, created, "a schedule fired"),
            }
        }
        let mut transaction = desk.store.begin().await?;
        if !store::still_holds(&mut transaction, lease).await? {
            return Ok(());
        }
        // Whoever replaced it meanwhile decided when it fires next.
        let due = store::due_schedule(&mut transaction).await?;
        if due.is_some_and(|due| (&due.name, &due.cron, due.next_at) == (&schedule.name, &schedule.cron, schedule.next_at)) {
            store::schedule_fired(&mut transaction, &schedule.name, now, upcoming).await?;
        }
        transaction.commit().await.map_err(Failure::from)?;
    }
}

impl Desk {
    /// Every schedule, by name.
    pub async fn schedules(&self) -> Result<Vec<Schedule>, Problem> {
        let mut connection = self.store.connection().await?;
        Ok(store::schedules(&mut connection).await?)
    }

    /// Creates or replaces a schedule.
    pub async fn put_schedule(&self, name: String, cron: String, job: Value, catch_up: bool) -> Result<Schedule, Problem> {
        let schedule = checked(name, cron, job, catch_up, false).map_err(Problem::Invalid)?;
        let mut connection = self.store.connection().await?;
        Ok(store::put_schedule(&mut connection, &schedule).await?)
    }

    /// Deletes a schedule.
    pub async fn delete_schedule(&self, name: &str) -> Result<(), Problem> {
        let mut connection = self.store.connection().await?;
        match store::delete_schedule(&mut connection, name).await? {
            true => Ok(()),
            false => Err(Problem::NotFound(format!("there is no schedule {:?}", name.chars().take(64).collect::<String>()))),
        }
    }
}
