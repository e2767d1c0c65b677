//! The duty that copies the status of jobs from Postgres to the mirror in Redis. No job waits for it.

mod batch;
mod pause;

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use anyhow::Context as _;
use boot::{CancellationToken, Duty};
use bytes::Bytes;
use futures::StreamExt;
use jobs::{State, Status};
use mirror::Writer;
use store::jobs::JobEvent;
use uuid::Uuid;

use crate::{metrics, service::Service};
use pause::Pause;

/// How often Postgres is read for states that no message announced, and for rows that appeared late.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Wait before states are read, so that one read finds those of several messages.
const GATHER: Duration = Duration::from_millis(20);
/// Rows of `job_events` that are read again before the newest: a transaction may commit rows late.
const LOOK_BACK: i64 = 2_000;
/// Rows read at once.
const ROWS: i64 = 2_000;
/// Messages read at once.
const MESSAGES: usize = 1_000;
/// Jobs of one step of a rebuild.
const REBUILD_ROWS: i64 = 500;
/// Between attempts while Redis is away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Writes the mirror until stop. When Redis is away, only the mirror waits.
pub(crate) async fn write(
    writer: Writer,
    service: Service,
    days: u32,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let duty = Duty::new("write the mirror in Redis");
    let mut rebuilds = Pause::default();
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            outcome = follow(&writer, &service, days, &mut rebuilds, &duty) => outcome,
        };
        duty.report(outcome);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(RETRY_PAUSE) => (),
        }
    }
}

/// Copies until something fails.
async fn follow(
    writer: &Writer,
    service: &Service,
    days: u32,
    rebuilds: &mut Pause,
    duty: &Duty,
) -> anyhow::Result<()> {
    let mut live = service.bus.follow_jobs().await?.ready_chunks(MESSAGES);
    let mut connection = service.store.connection().await?;
    let newest = store::jobs::newest_event(&mut connection).await?;
    drop(connection);
    let mut copy = Copy {
        service,
        writer,
        days,
        newest,
        looked: newest,
        written: BTreeSet::new(),
        incomplete: true,
        refusal: None,
    };
    let mut look = tokio::time::interval(POLL_INTERVAL);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(some) = live.next() => {
                if copy.messages(&some).await? {
                    tokio::time::sleep(GATHER).await;
                    copy.states(copy.newest).await?;
                }
            }
            () = service.changed.notified() => {
                tokio::time::sleep(GATHER).await;
                copy.states(copy.newest).await?;
            }
            _ = look.tick() => {
                copy.repair(rebuilds).await?;
                copy.late_states().await?;
                duty.report(copy.refused());
            }
        }
    }
}

struct Copy<'a> {
    service: &'a Service,
    writer: &'a Writer,
    /// Days that the status of an ended job is kept.
    days: u32,
    /// The newest row that was written.
    newest: i64,
    /// The newest row when late rows were last read.
    looked: i64,
    /// Rows that were written, as far back as late rows are read.
    written: BTreeSet<i64>,
    /// A status could not be written since the last rebuild, or a key with others was replaced.
    incomplete: bool,
    /// The last refusal since the last rebuild that succeeded.
    refusal: Option<mirror::Error>,
}

impl Copy<'_> {
    /// Writes the whole mirror again when it is not whole and a rebuild is allowed now.
    async fn repair(&mut self, rebuilds: &mut Pause) -> anyhow::Result<()> {
        let whole = self.writer.is_whole().await?;
        if (whole && !self.incomplete) || !rebuilds.may_start() {
            return Ok(());
        }
        if !whole {
            tracing::warn!("Redis has no whole mirror (new, wiped, or its keys were evicted): writing it");
        }
        ::metrics::counter!(metrics::MIRROR_REBUILDS).increment(1);
        self.incomplete = false;
        let mut after = Uuid::nil();
        loop {
            let mut connection = self.service.store.connection().await?;
            let kept = f64::from(self.days) * 86_400.0;
            let some = store::jobs::mirrored(&mut connection, after, kept, REBUILD_ROWS).await?;
            drop(connection);
            let Some(last) = some.last() else { break };
            after = last.status.job_id;
            self.write(&some, false).await?;
        }
        if self.incomplete {
            return Ok(());
        }
        match self.writer.mark_whole(boot::now()).await {
            Ok(()) => {
                self.refusal = None;
                tracing::info!("the mirror in Redis is whole");
            }
            Err(error @ mirror::Error::Refused(_)) => self.refuse(error),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Writes the states in Postgres after a row that the mirror lacks.
    async fn states(&mut self, mut after: i64) -> anyhow::Result<()> {
        loop {
            let mut connection = self.service.store.connection().await?;
            let mut ids = store::jobs::event_ids(&mut connection, after, ROWS).await?;
            let (count, Some(&last)) = (ids.len() as i64, ids.last()) else { return Ok(()) };
            ids.retain(|id| !self.written.contains(id));
            let new =
                if ids.is_empty() { Vec::new() } else { store::jobs::events(&mut connection, &ids).await? };
            drop(connection);
            after = last;
            self.newest = self.newest.max(last);
            self.write(&new, false).await?;
            self.written.extend(ids);
            if count < ROWS {
                return Ok(());
            }
        }
    }

    /// Reads again the states since the last call and some before: ids are assigned before the commit, so a
    /// row may appear behind newer ones.
    async fn late_states(&mut self) -> anyhow::Result<()> {
        let from = self.looked - LOOK_BACK;
        self.states(from).await?;
        self.looked = self.newest;
        self.written = self.written.split_off(&(self.looked - LOOK_BACK));
        Ok(())
    }

    /// Writes the newest progress of each job. Returns whether there were messages about states, which are
    /// read from Postgres.
    async fn messages(&mut self, messages: &[Bytes]) -> anyhow::Result<bool> {
        let (mut progress, mut states) = (HashMap::new(), false);
        for status in messages.iter().filter_map(|message| serde_json::from_slice::<Status>(message).ok()) {
            if status.state != State::InProgress || status.current_step.is_none() {
                states = true;
            } else {
                progress.insert(status.job_id, batch::progress(status));
            }
        }
        self.write(&progress.into_values().collect::<Vec<_>>(), true).await?;
        Ok(states)
    }

    async fn write(&mut self, mut all: &[JobEvent], progress: bool) -> anyhow::Result<()> {
        while !all.is_empty() {
            let (some, rest) = all.split_at(batch::length(all));
            all = rest;
            let results = self.results(some).await?;
            let entries: Vec<_> = some.iter().map(|one| batch::entry(one, &results, progress)).collect();
            let written = self.writer.write(&entries).await.context("write statuses")?;
            ::metrics::counter!(metrics::MIRROR_STATUSES).increment(written.new as u64);
            ::metrics::counter!(metrics::MIRROR_REFUSED).increment(written.refused as u64);
            if let Some(reason) = written.reason {
                self.refuse(reason);
            }
            for job_id in written.replaced {
                // The old content of the key is lost, for example the other jobs of the queue.
                self.incomplete = true;
                tracing::warn!(%job_id, "replaced a key of the mirror that had another type");
            }
        }
        Ok(())
    }

    /// The results of the jobs that have one.
    async fn results(&self, events: &[JobEvent]) -> anyhow::Result<HashMap<Uuid, serde_json::Value>> {
        let with_result: Vec<_> =
            events.iter().filter(|one| one.result_bytes > 0).map(|one| one.status.job_id).collect();
        if with_result.is_empty() {
            return Ok(HashMap::new());
        }
        let mut connection = self.service.store.connection().await?;
        Ok(store::jobs::results(&mut connection, &with_result).await?.into_iter().collect())
    }

    fn refuse(&mut self, reason: mirror::Error) {
        self.incomplete = true;
        self.refusal = Some(reason);
    }

    /// The outcome of the duty: a refusal lasts until the mirror was rebuilt.
    fn refused(&self) -> anyhow::Result<()> {
        match &self.refusal {
            Some(reason) => Err(anyhow::Error::from(reason.clone())
                .context("Redis refused statuses: the mirror is not whole")),
            None => Ok(()),
        }
    }
}
