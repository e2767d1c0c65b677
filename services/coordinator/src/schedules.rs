//! Jobs at times.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta, Utc};
use fields::{FieldError, Name};
use jobs::{Cron, Request};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Failure, Lease, Schedule, Store};
use uuid::Uuid;

use crate::{desk::Desk, problem::Problem};

/// Most firings made good at once; what was missed before is skipped.
const MOST_MISSED: usize = 1_000;
/// A firing that is so late was missed: no coordinator was there for it.
const MISSED_AFTER: TimeDelta = TimeDelta::seconds(60);
/// Schedules taken at once.
const AT_ONCE: i64 = 64;
/// Firings of one schedule that are made at once; what is left of it comes after the others that are due.
const FIRINGS: usize = 16;
/// How long schedules fire before the coordinator's other duties have their turn.
const SLICE: Duration = Duration::from_secs(1);
/// When a schedule that cannot fire is looked at again.
const PARKED: TimeDelta = TimeDelta::hours(1);

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
                let what: Vec<_> =
                    errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
                bail!("{}: schedule {name:?}: {}", path.display(), what.join("; "));
            }
        };
    }
    store::keep_schedules_of_file(&mut transaction, &names).await?;
    transaction.commit().await.map_err(Failure::from)?;
    Ok(())
}

fn checked(
    name: String,
    cron: String,
    job: Value,
    catch_up: bool,
    from_file: bool,
) -> Result<Schedule, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut wrong = |field: &str, message: String| errors.push(FieldError::new(field, message));
    if !Name::is_valid(&name) {
        wrong("name", Name::EXPECTED.into());
    }
    let next_at =
        Cron::parse(&cron).and_then(|cron| cron.next(Utc::now()).ok_or_else(|| "never fires".into()));
    if let Err(why) = &next_at {
        wrong("cron", format!("{:?}: {why}", cron.chars().take(100).collect::<String>()));
    }
    for field in ["idempotency_key", "not_before", "deadline"] {
        if job.get(field).is_some_and(|value| !value.is_null()) {
            wrong(&format!("job.{field}"), "a schedule sets it at each firing".into());
        }
    }
    if let Err(more) = Request::read(job.clone(), Utc::now()) {
        errors.extend(
            more.into_iter().map(|error| FieldError { field: format!("job.{}", error.field), ..error }),
        );
    }
    match next_at {
        Ok(next_at) if errors.is_empty() => {
            Ok(Schedule { name, cron, job, catch_up, from_file, next_at, last_at: None, error: None })
        }
        _ => Err(errors),
    }
}

/// The firings of a schedule that are to be made good now, oldest first. Counted backwards, so that a long
/// absence costs nothing.
fn due(cron: &Cron, schedule: &Schedule, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let oldest = if schedule.catch_up { schedule.next_at } else { schedule.next_at.max(now - MISSED_AFTER) };
    let mut due = Vec::new();
    let mut before = now;
    while let Some(at) = cron.previous(before, oldest).filter(|_| due.len() < MOST_MISSED) {
        due.push(at);
        before = at - TimeDelta::seconds(1);
    }
    if due.last().is_none_or(|&first| first > schedule.next_at) {
        tracing::warn!(schedule = schedule.name, since = %schedule.next_at, "skipped firings that nobody was there for");
    }
    due.reverse();
    due
}

/// Hands in the jobs of what is due, for a limited time; whether more may be due. A firing is a job by its
/// idempotency key, so it is made once, whichever coordinator makes it, and however often.
pub(crate) async fn fire(desk: &Desk, lease: &Lease) -> Result<bool, Failure> {
    let until = Instant::now() + SLICE;
    while fire_some(desk, lease).await? {
        if Instant::now() >= until {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Fires some of the schedules that are due; whether more may be due.
///
/// No connection is held while jobs are submitted: a submission takes one too, and the pool may have a single
/// one.
async fn fire_some(desk: &Desk, lease: &Lease) -> Result<bool, Failure> {
    let mut transaction = desk.store.begin().await?;
    if !store::still_holds(&mut transaction, lease).await? {
        return Ok(false);
    }
    let due = store::due_schedules(&mut transaction, AT_ONCE).await?;
    transaction.rollback().await.map_err(Failure::from)?;
    if due.is_empty() {
        return Ok(false);
    }
    let fire = |schedule: Schedule| async move { Some((schedule.next_at, fire_one(desk, schedule).await?)) };
    let fired = futures::future::join_all(due.into_iter().map(fire)).await;
    let away = fired.iter().any(Option::is_none);
    let fired: Vec<_> = fired.into_iter().flatten().collect();
    let mut transaction = desk.store.begin().await?;
    if !store::still_holds(&mut transaction, lease).await? {
        return Ok(false);
    }
    store::schedules_fired(&mut transaction, &fired).await?;
    transaction.commit().await.map_err(Failure::from)?;
    match away {
        true => Err(Failure::Retry(anyhow::anyhow!("the database took only some of the jobs of schedules"))),
        false => Ok(true),
    }
}

/// The schedule as it is after its firings; `None` when the database did not take all of them.
async fn fire_one(desk: &Desk, mut schedule: Schedule) -> Option<Schedule> {
    // The database says that it is due; our clock may be behind.
    let now = Utc::now().max(schedule.next_at);
    let cron = Cron::parse(&schedule.cron);
    let mut due = cron.as_ref().map(|cron| due(cron, &schedule, now)).unwrap_or_default();
    let later = due.split_off(due.len().min(FIRINGS));
    let outcomes = futures::future::join_all(due.iter().map(|&at| hand_in(desk, &schedule, now, at))).await;
    schedule.error = None;
    for (at, outcome) in due.iter().zip(outcomes) {
        schedule.last_at = Some(now);
        match outcome {
            Err(Problem::Away(_)) => return None,
            Err(problem) => {
                tracing::error!(
                    schedule = schedule.name,
                    problem = problem.detail(),
                    "a schedule's job was refused"
                );
                schedule.error = Some(format!("its job was refused: {}", problem.detail()));
            }
            Ok((job_id, created)) => {
                tracing::info!(schedule = schedule.name, %at, %job_id, created, "a schedule fired")
            }
        }
    }
    let next = cron.and_then(|cron| {
        later.first().copied().or_else(|| cron.next(now)).ok_or_else(|| "never fires again".into())
    });
    schedule.next_at = next.unwrap_or_else(|why| {
        tracing::error!(
            schedule = schedule.name,
            cron = schedule.cron,
            why,
            "a schedule cannot fire: replace or delete it"
        );
        schedule.error = Some(format!("cannot fire: {why}"));
        now + PARKED
    });
    Some(schedule)
}

async fn hand_in(
    desk: &Desk,
    schedule: &Schedule,
    now: DateTime<Utc>,
    at: DateTime<Utc>,
) -> Result<(Uuid, bool), Problem> {
    let mut body = schedule.job.clone();
    if let Some(body) = body.as_object_mut() {
        body.insert(
            "idempotency_key".into(),
            json!(format!("schedule:{}:{}", schedule.name, at.timestamp())),
        );
    }
    let request = Request::read(body, now).map_err(Problem::Invalid)?;
    desk.hand_in(request, Some(schedule.name.clone()), None).await
}

impl Desk {
    /// Every schedule, by name.
    pub async fn schedules(&self) -> Result<Vec<Schedule>, Problem> {
        let mut connection = self.connection().await?;
        Ok(store::schedules(&mut connection).await?)
    }

    /// Creates or replaces a schedule.
    pub async fn put_schedule(
        &self,
        name: String,
        cron: String,
        job: Value,
        catch_up: bool,
    ) -> Result<Schedule, Problem> {
        let schedule = checked(name, cron, job, catch_up, false).map_err(Problem::Invalid)?;
        let mut connection = self.connection().await?;
        Ok(store::put_schedule(&mut connection, &schedule).await?)
    }

    /// Deletes a schedule.
    pub async fn delete_schedule(&self, name: &str) -> Result<(), Problem> {
        if !Name::is_valid(name) {
            return Err(Problem::field("name", Name::EXPECTED));
        }
        let mut connection = self.connection().await?;
        match store::delete_schedule(&mut connection, name).await? {
            true => Ok(()),
            false => Err(Problem::NotFound(format!(
                "there is no schedule {:?}",
                name.chars().take(64).collect::<String>()
            ))),
        }
    }
}
