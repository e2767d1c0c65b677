//! The configuration of all streams, consumers and buckets.

use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::jetstream::{
    ErrorCode, consumer, kv,
    stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
};

use crate::Bus;

/// Every event: the repaired line.
pub const EVENTS: &str = "EVENTS";
/// Dead letters.
pub const DEAD: &str = "DEAD";
/// One summary per closed session.
pub const SESSIONS: &str = "SESSIONS";
/// Findings of analyses and live signals.
pub const FINDINGS: &str = "FINDINGS";
/// Permits to look for work.
pub const JOBS: &str = "JOBS";
/// Status and progress of jobs.
pub const STATUS: &str = "STATUS";
/// The key-value bucket of the loaders' heartbeats.
pub const LOADERS: &str = "loaders";
/// The durable consumer of the processor, on EVENTS and on DEAD.
pub const PROCESSOR: &str = "processor";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings of the topology.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct TopologyArgs {
    /// Copies of each stream: 1, or 3 on a cluster
    #[arg(long, env = "COWRIESTREAM_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5), value_name = "N")]
    pub replicas: u8,
    /// Size limit of EVENTS; the oldest events are deleted first (loaders publish again what Postgres lacks)
    #[arg(long, env = "COWRIESTREAM_EVENTS_MAX_BYTES", default_value_t = 4 << 30, value_parser = clap::value_parser!(i64).range(1 << 20..), value_name = "BYTES")]
    pub events_max_bytes: i64,
    /// How long the processor may take to acknowledge before an event is delivered again
    #[arg(long, env = "COWRIESTREAM_ACK_WAIT_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub ack_wait_seconds: u64,
}

fn streams(args: &TopologyArgs) -> [Config; 6] {
    let limits = |name: &str, subjects: &[&str], max_age| Config {
        name: name.into(),
        subjects: subjects.iter().map(|&s| s.into()).collect(),
        retention: RetentionPolicy::Limits,
        max_age,
        max_bytes: -1,
        discard: DiscardPolicy::Old,
        storage: StorageType::File,
        num_replicas: args.replicas.into(),
        // Short, because its memory grows with the rate. Postgres detects duplicates in any case.
        duplicate_window: Duration::from_secs(30),
        ..Config::default()
    };
    [
        Config { max_bytes: args.events_max_bytes, ..limits(EVENTS, &["cowrie.events.>"], 7 * DAY) },
        limits(DEAD, &["cowrie.dead.*"], 30 * DAY),
        limits(SESSIONS, &["cowrie.sessions.*"], 7 * DAY),
        limits(FINDINGS, &["cowrie.findings.>"], 90 * DAY),
        Config { retention: RetentionPolicy::WorkQueue, ..limits(JOBS, &["cowrie.jobs.*"], Duration::ZERO) },
        Config {
            max_messages_per_subject: 64,
            ..limits(STATUS, &["cowrie.status.*", "cowrie.progress.*"], 7 * DAY)
        },
    ]
}

fn processor(args: &TopologyArgs) -> consumer::pull::Config {
    consumer::pull::Config {
        durable_name: Some(PROCESSOR.into()),
        ack_policy: consumer::AckPolicy::Explicit,
        // Above the statement timeout of 30 s.
        ack_wait: Duration::from_secs(args.ack_wait_seconds),
        max_ack_pending: 50_000,
        max_deliver: -1,
        deliver_policy: consumer::DeliverPolicy::All,
        ..Default::default()
    }
}

impl Bus {
    /// Creates or updates every stream, consumer and bucket; idempotent. Fails on a server older than 2.10.
    pub async fn provision(&self, args: &TopologyArgs) -> anyhow::Result<()> {
        self.check_server()?;
        for config in streams(args) {
            let name = config.name.clone();
            self.jetstream
                .create_or_update_stream(config)
                .await
                .with_context(|| format!("provision stream {name}"))?;
        }
        let bucket = kv::Config {
            bucket: LOADERS.into(),
            history: 1,
            num_replicas: args.replicas.into(),
            ..Default::default()
        };
        self.jetstream.create_or_update_key_value(bucket).await.context("provision bucket loaders")?;
        for stream in [EVENTS, DEAD] {
            self.provision_consumer(stream, processor(args)).await?;
        }
        Ok(())
    }

    /// Deletes the processor's consumer of a stream and creates it again, delivering from `seq`.
    pub async fn reset_consumer(&self, stream: &str, seq: u64, args: &TopologyArgs) -> anyhow::Result<()> {
        if let Err(error) = self.jetstream.delete_consumer_from_stream(PROCESSOR, stream).await {
            tracing::debug!(stream, %error, "could not delete the consumer before a reset");
        }
        let deliver_policy = match seq {
            0 | 1 => consumer::DeliverPolicy::All,
            start_sequence => consumer::DeliverPolicy::ByStartSequence { start_sequence },
        };
        let config = consumer::pull::Config { deliver_policy, ..processor(args) };
        self.jetstream
            .create_consumer_on_stream(config, stream)
            .await
            .with_context(|| format!("reset consumer of {stream} to {seq}"))?;
        Ok(())
    }

    /// Creates or updates a consumer. An existing one keeps its position: the server refuses to change where
    /// it started.
    async fn provision_consumer(
        &self,
        stream: &str,
        mut config: consumer::pull::Config,
    ) -> anyhow::Result<()> {
        let existing: Result<consumer::Consumer<consumer::pull::Config>, _> =
            self.jetstream.get_consumer_from_stream(PROCESSOR, stream).await;
        if let Ok(existing) = existing {
            config.deliver_policy = existing.cached_info().config.deliver_policy;
        }
        match self.jetstream.create_consumer_on_stream(config, stream).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("provision consumer {PROCESSOR} of {stream}")),
        }
    }

    fn check_server(&self) -> anyhow::Result<()> {
        let info = self.client.server_info();
        let mut parts = info.version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let version = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if version < (2, 10) {
            bail!("NATS server {} is too old: 2.10 or newer is needed", info.version);
        }
        Ok(())
    }
}

/// Whether a server error says that a consumer or stream does not exist.
pub(crate) fn is_missing(code: ErrorCode) -> bool {
    code == ErrorCode::CONSUMER_NOT_FOUND || code == ErrorCode::STREAM_NOT_FOUND
}
