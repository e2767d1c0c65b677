//! Cron schedules.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta, Utc};
use fields::{FieldError, Name};
use jobs::{
    Cron, Request,
    views::{self, ScheduleList},
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Failure, Lease, Store, jobs::schedules::Schedule};
use uuid::Uuid;
use web::{Code, Page, Problem};

use crate::{
    problem::failed,
    service::{Service, not_a_name},
    views::schedule as view,
};

/// Most missed firings of one schedule that are made up for; earlier ones are skipped.
const MOST_MISSED: usize = 1_000;
/// A firing this late was missed: no coordinator ran when it was due.
const MISSED_AFTER: TimeDelta = TimeDelta::seconds(60);
/// Schedules that fire in one round.
const BATCH: i64 = 64;
/// Firings of one schedule in one round; its further firings come after the other schedules.
const FIRINGS: usize = 16;
/// How long schedules fire before the coordinator's other duties run.
const SLICE: Duration = Duration::from_secs(1);
/// A schedule that cannot fire is looked at again after this time.
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

/// Stores the schedules of a file, and deletes those that came from an earlier file and are not in this one.
pub(crate) async fn load(store: &Store, path: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let file: File = serde_yaml_ng::from_str(&text).with_context(|| format!("read {}", path.display()))?;
    let mut transaction = store.begin().await?;
    let names: Vec<_> = file.schedules.iter().map(|entry| entry.name.clone()).collect();
    for entry in file.schedules {
        let name = entry.name.clone();
        match checked(entry.name, entry.cron, entry.job, entry.catch_up, true) {
            Ok(schedule) => store::jobs::schedules::put(&mut transaction, &schedule).await?,
            Err(errors) => {
                let what: Vec<_> =
                    errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
                bail!("{}: schedule {name:?}: {}", path.display(), what.join("; "));
            }
        };
    }
    store::jobs::schedules::keep_of_file(&mut transaction, &names).await?;
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
        Cron::parse(&cron).and_then(|cron| cron.next(boot::now()).ok_or_else(|| "never fires".into()));
    if let Err(why) = &next_at {
        wrong("cron", format!("{:?}: {why}", cron.chars().take(100).collect::<String>()));
    }
    for field in ["idempotency_key", "not_before", "deadline"] {
        if job.get(field).is_some_and(|value| !value.is_null()) {
            wrong(&format!("job.{field}"), "a schedule sets it at each firing".into());
        }
    }
    if let Err(more) = Request::read(job.clone(), boot::now()) {
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

/// The firings of a schedule that are due now, oldest first. Counted backwards, so that a long outage costs
/// nothing.
fn due(cron: &Cron, schedule: &Schedule, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let oldest = if schedule.catch_up { schedule.next_at } else { schedule.next_at.max(now - MISSED_AFTER) };
    let mut due = Vec::new();
    let mut before = now;
    while let Some(at) = cron.previous(before, oldest).filter(|_| due.len() < MOST_MISSED) {
        due.push(at);
        before = at - TimeDelta::seconds(1);
    }
    if due.last().is_none_or(|&first| first > schedule.next_at) {
        tracing::warn!(schedule = schedule.name, since = %schedule.next_at, "skipped firings that were missed while no coordinator ran");
    }
    due.reverse();
    due
}

/// Submits the jobs of schedules that are due, for a limited time; returns whether more may be due. The
/// idempotency key of a firing makes it one job, however many coordinators submit it, and however often.
pub(crate) async fn fire(service: &Service, lease: &Lease) -> Result<bool, Failure> {
    let until = Instant::now() + SLICE;
    while fire_some(service, lease).await? {
        if Instant::now() >= until {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Fires some of the schedules that are due; returns whether more may be due.
///
/// Holds no connection while jobs are submitted: a submission takes a connection too, and the pool may have
/// only one.
async fn fire_some(service: &Service, lease: &Lease) -> Result<bool, Failure> {
    let mut transaction = service.store.begin().await?;
    if !store::still_holds(&mut transaction, lease).await? {
        return Ok(false);
    }
    let due = store::jobs::schedules::due(&mut transaction, BATCH).await?;
    transaction.rollback().await.map_err(Failure::from)?;
    if due.is_empty() {
        return Ok(false);
    }
    let fire =
        |schedule: Schedule| async move { Some((schedule.next_at, fire_one(service, schedule).await?)) };
    let fired = futures::future::join_all(due.into_iter().map(fire)).await;
    let away = fired.iter().any(Option::is_none);
    let fired: Vec<_> = fired.into_iter().flatten().collect();
    let mut transaction = service.store.begin().await?;
    if !store::still_holds(&mut transaction, lease).await? {
        return Ok(false);
    }
    store::jobs::schedules::fired(&mut transaction, &fired).await?;
    transaction.commit().await.map_err(Failure::from)?;
    match away {
        true => Err(Failure::Retry(anyhow::anyhow!("the database took only some of the jobs of schedules"))),
        false => Ok(true),
    }
}

/// The schedule after its firings; `None` when the database did not take all of them.
async fn fire_one(service: &Service, mut schedule: Schedule) -> Option<Schedule> {
    // The schedule is due by the database's clock; the clock here may be behind.
    let now = boot::now().max(schedule.next_at);
    let cron = Cron::parse(&schedule.cron);
    let mut due = cron.as_ref().map(|cron| due(cron, &schedule, now)).unwrap_or_default();
    let later = due.split_off(due.len().min(FIRINGS));
    let outcomes = futures::future::join_all(due.iter().map(|&at| submit(service, &schedule, now, at))).await;
    schedule.error = None;
    for (at, outcome) in due.iter().zip(outcomes) {
        schedule.last_at = Some(now);
        match outcome {
            Err(problem) if problem.code == Code::Unavailable => return None,
            Err(problem) => {
                tracing::error!(
                    schedule = schedule.name,
                    problem = problem.detail,
                    "a schedule's job was refused"
                );
                schedule.error = Some(format!("its job was refused: {}", problem.detail));
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

async fn submit(
    service: &Service,
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
    let request = Request::read(body, now).map_err(Problem::invalid)?;
    service.submit_request(request, Some(schedule.name.clone()), None).await
}

impl Service {
    pub(crate) async fn schedules(&self, page: &Page) -> Result<ScheduleList, Problem> {
        let mut connection = self.connection().await?;
        let schedules = store::jobs::schedules::list(&mut connection).await.map_err(failed)?;
        let (schedules, next_page_token) = page.cut(schedules, |schedule| schedule.name.clone());
        Ok(ScheduleList { schedules: schedules.into_iter().map(view).collect(), next_page_token })
    }

    pub(crate) async fn schedule(&self, name: &str) -> Result<views::Schedule, Problem> {
        if !Name::is_valid(name) {
            return Err(not_a_name("name"));
        }
        let mut connection = self.connection().await?;
        let schedules = store::jobs::schedules::list(&mut connection).await.map_err(failed)?;
        let found = schedules.into_iter().find(|schedule| schedule.name == name);
        found.map(view).ok_or_else(|| no_schedule(name))
    }

    /// Creates or replaces a schedule.
    pub(crate) async fn put_schedule(
        &self,
        name: String,
        cron: String,
        job: Value,
        catch_up: bool,
    ) -> Result<views::Schedule, Problem> {
        let schedule = checked(name, cron, job, catch_up, false).map_err(Problem::invalid)?;
        let mut connection = self.connection().await?;
        store::jobs::schedules::put(&mut connection, &schedule).await.map(view).map_err(failed)
    }

    pub(crate) async fn delete_schedule(&self, name: &str) -> Result<(), Problem> {
        if !Name::is_valid(name) {
            return Err(not_a_name("name"));
        }
        let mut connection = self.connection().await?;
        match store::jobs::schedules::delete(&mut connection, name).await.map_err(failed)? {
            true => Ok(()),
            false => Err(no_schedule(name)),
        }
    }
}

fn no_schedule(name: &str) -> Problem {
    Problem::not_found(format!("there is no schedule {name}"))
}
