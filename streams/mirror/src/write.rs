//! Writes statuses: hash, Celery's result, stream, queue, and the messages on the channels.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs::Status;
use redis::{RedisError, RedisResult, Script, ScriptInvocation};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Error, celery,
    connection::{Connection, Limits},
    hash, keys,
};

const LIMITS: Limits = Limits { connect: Duration::from_secs(2), answer: Duration::from_secs(5) };
/// Most entries of a job's stream.
const STREAM_LENGTH: usize = 1_000;
/// The status of a job that waits for weeks must not expire.
const OPEN_DAYS: u32 = 400;
const DAY_SECONDS: u32 = 86_400;

/// A status to write.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub status: &'a Status,
    /// The result of a completed job.
    pub result: Option<&'a Value>,
    pub change: Change<'a>,
}

/// What changed.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// The state; so the job enters the set of its queue, or leaves it.
    State { queue: &'a str, created_at: DateTime<Utc> },
    /// The progress within a state.
    Progress,
}

/// What happened to the statuses of one call.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Statuses that are new in Redis. The others were stored already, or newer ones were.
    pub new: usize,
    /// Statuses that Redis refused, and the first reason. The mirror lacks them.
    pub refused: usize,
    pub reason: Option<Error>,
    /// Jobs with a key of another type, which was replaced. Its content is lost: the other jobs of a queue,
    /// say.
    pub replaced: Vec<Uuid>,
}

pub struct Writer {
    connection: Connection,
    script: Script,
    ended_days: u32,
}

impl Writer {
    /// Connects when it writes. The status of an ended job expires after `ended_days`.
    pub fn new(url: &str, ended_days: u32) -> Result<Self, Error> {
        let connection = Connection::new(url, LIMITS)?;
        Ok(Self { connection, script: Script::new(include_str!("write.lua")), ended_days })
    }

    /// Whether the mirror was once written completely and has not been wiped since.
    pub async fn is_whole(&self) -> Result<bool, Error> {
        let (exists,) = self.connection.send(redis::pipe().exists(keys::SENTINEL)).await?;
        Ok(exists)
    }

    /// Records that the mirror was written completely.
    pub async fn mark_whole(&self, now: DateTime<Utc>) -> Result<(), Error> {
        self.connection.send(redis::pipe().set(keys::SENTINEL, now.to_rfc3339()).ignore()).await
    }

    /// Writes and publishes statuses in one pipeline. A status that Redis refuses does not stop the others.
    pub async fn write(&self, entries: &[Entry<'_>]) -> Result<Written, Error> {
        let mut pipeline = redis::pipe();
        // Each time, because Redis may have been restarted; the script is short.
        pipeline.load_script(&self.script).ignore();
        for entry in entries {
            pipeline.invoke_script(&self.invocation(entry));
        }
        let answers: Vec<RedisResult<i64>> = self.connection.send(pipeline.ignore_errors()).await?;
        let mut written = Written::default();
        for (entry, answer) in entries.iter().zip(answers) {
            written.count(entry.status.job_id, answer);
        }
        Ok(written)
    }

    /// The keys and arguments, in the order in which the script names them.
    fn invocation(&self, entry: &Entry<'_>) -> ScriptInvocation<'_> {
        let Entry { status, result, change } = *entry;
        let job = status.job_id;
        let ended = status.state.is_final();
        let days = if ended { self.ended_days } else { OPEN_DAYS };
        let (queue, submitted_at) = match change {
            Change::State { queue, created_at } => (queue, created_at.timestamp_micros()),
            Change::Progress => ("", 0),
        };
        let change = match change {
            Change::Progress => "progress",
            Change::State { .. } if ended => "ended",
            Change::State { .. } => "waiting",
        };
        let mut call = self.script.prepare_invoke();
        call.key(keys::status(job)).key(keys::celery(job)).key(keys::events(job)).key(keys::queue(queue));
        call.arg(status.version).arg(days * DAY_SECONDS).arg(change);
        call.arg(job.to_string()).arg(submitted_at as f64 / 1e6);
        call.arg(json!(status).to_string()).arg(celery::meta(status, result).to_string());
        call.arg(keys::progress(job)).arg(STREAM_LENGTH);
        for (name, value) in hash::fields(status) {
            call.arg(name).arg(value);
        }
        call
    }
}

impl Written {
    fn count(&mut self, job: Uuid, answer: Result<i64, RedisError>) {
        match answer {
            Ok(0) => (),
            Ok(code) => {
                self.new += 1;
                if code == 2 {
                    self.replaced.push(job);
                }
            }
            Err(error) => {
                self.refused += 1;
                self.reason.get_or_insert_with(|| Error::of_command(&error));
            }
        }
    }
}
