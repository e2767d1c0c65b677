//! Reads the mirror. `None` means "not mirrored": the key does not exist (Redis was wiped, the job is unknown
//! or expired) or holds something else. Then Postgres has the answer.

use std::{collections::HashMap, time::Duration};

use jobs::Status;
use redis::RedisResult;
use uuid::Uuid;

use crate::{
    Changes, Error, Subscription,
    connection::{Connection, Limits},
    hash, keys,
};

const LIMITS: Limits = Limits { connect: Duration::from_secs(2), answer: Duration::from_secs(2) };
/// Statuses that one pipeline reads.
const PIPELINE: usize = 500;

/// Reads the mirror. Cheap to clone; the clones share a connection, which is opened when it is needed.
///
/// What it returns may lag behind Postgres: good enough to show, never to decide.
#[derive(Clone)]
pub struct Reader(Connection);

impl Reader {
    /// Connects when it reads.
    pub fn new(url: &str) -> Result<Self, Error> {
        Ok(Self(Connection::new(url, LIMITS)?))
    }

    /// The status of a job, if it is mirrored.
    pub async fn status(&self, job: Uuid) -> Result<Option<Status>, Error> {
        Ok(self.statuses(&[job]).await?.pop().flatten())
    }

    /// The statuses of several jobs, in their order; each if it is mirrored.
    pub async fn statuses(&self, jobs: &[Uuid]) -> Result<Vec<Option<Status>>, Error> {
        let mut statuses = Vec::with_capacity(jobs.len());
        for jobs in jobs.chunks(PIPELINE) {
            let mut pipeline = redis::pipe();
            for &job in jobs {
                pipeline.hgetall(keys::status(job));
            }
            let hashes: Vec<RedisResult<HashMap<String, String>>> =
                self.0.send(pipeline.ignore_errors()).await?;
            statuses.extend(hashes.into_iter().map(|fields| hash::status(fields.ok()?)));
        }
        Ok(statuses)
    }

    /// The jobs of a queue that have not ended, oldest first, at most `limit`. `None` while the mirror is not
    /// whole.
    pub async fn queue(&self, name: &str, limit: u32) -> Result<Option<Vec<Uuid>>, Error> {
        if limit == 0 {
            return Ok(Some(Vec::new()));
        }
        let mut pipeline = redis::pipe();
        pipeline.exists(keys::SENTINEL).zrange(keys::queue(name), 0, limit as isize - 1);
        let (whole, jobs): (RedisResult<bool>, RedisResult<Vec<String>>) =
            self.0.send(pipeline.ignore_errors()).await?;
        let (true, Ok(jobs)) = (answer(whole)?, jobs) else { return Ok(None) };
        Ok(Some(jobs.iter().filter_map(|job| Uuid::try_parse(job).ok()).collect()))
    }

    /// How many jobs of each queue have not ended. `None` for all while the mirror is not whole.
    pub async fn queue_lengths(&self, names: &[&str]) -> Result<Vec<Option<u64>>, Error> {
        let mut pipeline = redis::pipe();
        pipeline.exists(keys::SENTINEL);
        for name in names {
            pipeline.zcard(keys::queue(name));
        }
        let numbers: Vec<RedisResult<u64>> = self.0.send(pipeline.ignore_errors()).await?;
        let mut numbers = numbers.into_iter();
        let whole = numbers.next().map(answer).transpose()?.unwrap_or(0) > 0;
        Ok(numbers.map(|number| number.ok().filter(|_| whole)).collect())
    }

    /// Subscribes to the changes of all jobs. Ends when the connection is lost; changes of that time are in
    /// Postgres.
    pub async fn subscribe(&self, changes: Changes) -> Result<Subscription, Error> {
        Ok(Subscription::new(self.0.subscribe(changes.pattern()).await?))
    }
}

fn answer<T>(answer: RedisResult<T>) -> Result<T, Error> {
    answer.map_err(|error| Error::of_command(&error))
}
