//! Postgres: migrations, and one file per noun. The only crate that uses sqlx.
//!
//! **Invariant**: events are inserted and never changed. Everything else is derived, and updated only from
//! the rows that an insert returned as new, in the same transaction. A transaction locks rows in one order:
//! events, sessions, command sequences, features, dead letters, findings, outbox, sensors, deliveries, loader
//! files; within a table by key. Panes are only inserted, which needs no row locks.

mod claims;
mod connect;
mod credentials;
mod data_set;
mod dead_letters;
mod deliveries;
mod events;
mod failure;
mod features;
mod files;
mod findings;
mod job_changes;
mod jobs;
mod leases;
mod longtail;
mod outbox;
mod panes;
mod positions;
mod recount;
mod rollup;
mod schedules;
mod sensors;
mod sessions;
mod signals;
mod status;
pub mod verify;
mod windows;
mod workers;

pub use claims::{
    Claimed, End, Outcome, Progress, cancelled_jobs, claim_jobs, diagnostic_step, end_jobs, holds_job,
    renew_jobs, set_checkpoint, set_progress, starving_jobs, sweep_jobs,
};
pub use connect::{Membership, Store, StoreArgs, unhurried};
pub use credentials::{credential_sources_before, sources_before};
pub use data_set::{DataPlace, DataRange, DataSequence, DataSession, DayDigest, data_sessions, day_digests};
pub use dead_letters::{
    DeadLetterRow, dead_letter, dead_letters, insert_dead_letters, limit_dead_letters, resolve_dead_letters,
};
pub use deliveries::{Delivery, add_deliveries};
pub use events::{StoredEvent, insert_events, stored_earlier};
pub use failure::Failure;
pub use features::{
    BackfillPlace, FeatureDifferences, SessionKey, backfill_features, delete_features, feature_differences,
    features_progress, insert_features, orphaned_features, refresh_features, restart_backfill, sessions_left,
};
pub use files::{FileReceipt, committed_of, merge_receipts};
pub use findings::{
    FindingFilter, KnownCampaign, StoredFinding, Upserted, findings_like, known_campaigns, list_findings,
    upsert_findings,
};
pub use job_changes::job_changes;
pub use jobs::{
    Job, JobEvent, JobFilter, NewJob, Submitted, cancel_job, forget_jobs, job, job_event_ids, job_events,
    job_results, job_states, list_jobs, mirrored_jobs, newest_job_event, retry_job, submit_jobs,
};
pub use leases::{Lease, still_holds};
pub use longtail::{
    LongtailPart, forget_longtail, longtail_models, longtail_parts, put_longtail_model, put_longtail_part,
    replace_longtail_scores,
};
pub use outbox::{
    Queued, forget_published, lock_places, lock_relay, mark_published, queue_lost, queued, waiting,
};
pub use panes::{Grain, PaneRow, add_panes, insert_panes};
pub use positions::{Position, position, record_position};
pub use recount::{backfill_day, backfill_left, pane_differences, recountable_days};
pub use rollup::{Visit, drop_oldest, due_visits, end_visit, visit};
pub use schedules::{
    Schedule, delete_schedule, due_schedules, keep_schedules_of_file, put_schedule, schedules,
    schedules_fired,
};
pub use sensors::{merge_sensors, newest_events};
pub use sessions::{MergedSession, close_idle, merge_sessions};
pub use signals::{
    Mark, crossing, end_episodes, end_episodes_of, first_event, live_sensors, mark_signals, open_episode,
    prolong_episode, take_marks,
};
/// A transaction, or a connection outside one.
pub use sqlx::PgConnection as Connection;
pub use status::{SensorStatus, WindowStatus, sensor_status, window_status};

pub use windows::{Measure, Window, window_features, window_series, window_top};
pub use workers::{
    Queue, Removed, Worker, beat_worker, forget_worker, pause_queue, queues, register_worker, remove_worker,
    workers,
};

pub type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;
