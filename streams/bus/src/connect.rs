//! The connection to the NATS server.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use async_nats::{
    ConnectErrorKind, ConnectOptions, ServerAddr,
    connection::State,
    jetstream::{self, ErrorCode, context::GetStreamErrorKind},
};
use boot::Duty;

use crate::observe::Observer;

/// How long a publish acknowledgement may take before the message is published again.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// Outstanding acknowledgements on one connection, at most. Publishing fails at this limit instead of
/// waiting. The publishers of a process share the connection: if one waited while it held acknowledgements
/// that nobody polls, all of them would stop. So each publisher has a limit of its own, far below this one.
const MAX_ACKS: usize = 1 << 20;

/// How to connect to the broker.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct BusArgs {
    /// NATS server, e.g. nats://127.0.0.1:4222 (several: comma separated)
    #[arg(long, env = "NATS_URL", value_name = "URL", hide_env_values = true)]
    pub nats_url: Option<String>,
    /// NATS credentials file (JWT and seed)
    #[arg(long, env = "NATS_CREDS", value_name = "FILE")]
    pub nats_creds: Option<PathBuf>,
}

/// A connection that reconnects by itself. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
    /// Reports whether the status of jobs can be published.
    pub(crate) job_news: Arc<Duty>,
}

/// The state of a stream at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamFacts {
    /// Creation time, nanoseconds since 1970. A different time means a different stream.
    pub created: i64,
    /// The lowest sequence that is still stored.
    pub first_seq: u64,
    pub last_seq: u64,
    pub messages: u64,
    pub bytes: u64,
}

impl Bus {
    /// Connects as `name` (shown in the server's connection list). Retries the first connection for up to 10
    /// s.
    pub async fn connect(args: &BusArgs, name: &str) -> anyhow::Result<Self> {
        let url = args
            .nats_url
            .as_deref()
            .context("NATS_URL (or --nats-url) is not set: expected e.g. nats://127.0.0.1:4222")?;
        let observer = Observer::default();
        let mut options = ConnectOptions::new()
            .name(format!("cowriestream {name}"))
            .connection_timeout(Duration::from_secs(5))
            .ping_interval(Duration::from_secs(10))
            .max_reconnects(None)
            .reconnect_delay_callback(|attempt| Duration::from_millis((50 << attempt.min(6)).min(2000)))
            .event_callback(move |event| {
                observer.report(&event);
                std::future::ready(())
            });
        if let Some(file) = &args.nats_creds {
            options = options
                .credentials_file(file)
                .await
                .with_context(|| format!("read NATS credentials {}", file.display()))?;
        }
        let servers = addresses(url)?;
        options = with_login(options, &servers);
        let mut last_error = None;
        let connecting = async {
            loop {
                match options.clone().connect(servers.clone()).await {
                    Ok(client) => return Ok(client),
                    Err(error) if error.kind() == ConnectErrorKind::AuthorizationViolation => {
                        return Err(error);
                    }
                    Err(error) => {
                        last_error = Some(error);
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            }
        };
        let connected = tokio::time::timeout(Duration::from_secs(10), connecting).await;
        let client = connected
            .with_context(|| {
                let why = last_error.map_or_else(|| "no answer".into(), |error| error.to_string());
                format!("connect to NATS at {}: {why}, for 10 s; is it running?", without_secrets(url))
            })?
            .with_context(|| format!("log in to NATS at {}", without_secrets(url)))?;
        let jetstream = jetstream::ContextBuilder::new()
            .ack_timeout(ACK_TIMEOUT)
            .max_ack_inflight(MAX_ACKS)
            .backpressure_on_inflight(false)
            .build(client.clone());
        Ok(Self { client, jetstream, job_news: Arc::new(Duty::new("publish the status of jobs")) })
    }

    /// Whether the connection is up now.
    pub fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Whether the server and its JetStream answer now. For `/readyz`; the caller limits the time.
    pub async fn answers(&self) -> bool {
        self.connected() && self.jetstream.query_account().await.is_ok()
    }

    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// Number of connections so far. Messages in flight on an earlier connection may be lost.
    pub fn connections(&self) -> u64 {
        self.client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Waits until everything written so far was sent to the server.
    pub async fn flush(&self) -> anyhow::Result<()> {
        self.client.flush().await.context("flush the NATS connection")
    }

    /// The state of the stream `EVENTS`; `None` when it does not exist.
    pub async fn events_stream(&self) -> anyhow::Result<Option<StreamFacts>> {
        self.stream(crate::topology::EVENTS).await
    }

    /// The state of the stream `DEAD`; `None` when it does not exist.
    pub async fn dead_stream(&self) -> anyhow::Result<Option<StreamFacts>> {
        self.stream(crate::topology::DEAD).await
    }

    /// The state of a stream; `None` when it does not exist.
    pub async fn stream(&self, name: &str) -> anyhow::Result<Option<StreamFacts>> {
        let found = self.jetstream.get_stream(name).await;
        let stream = match found {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(why) if why.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    return Ok(None);
                }
                _ => return Err(error).with_context(|| format!("look up stream {name}")),
            },
        };
        let info = stream.cached_info();
        Ok(Some(StreamFacts {
            created: nanos(info.created),
            first_seq: info.state.first_sequence,
            last_seq: info.state.last_sequence,
            messages: info.state.messages,
            bytes: info.state.bytes,
        }))
    }
}

/// Nanoseconds since 1970; fits until 2262.
pub(crate) fn nanos(time: async_nats::datetime::DateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos()).unwrap_or_default()
}

fn addresses(url: &str) -> anyhow::Result<Vec<ServerAddr>> {
    let one = |text: &str| {
        text.trim().parse().with_context(|| {
            format!("read NATS_URL {}: expected e.g. nats://127.0.0.1:4222", without_secrets(text))
        })
    };
    url.split(',').map(one).collect()
}

/// Takes user, password or token from the URL, because the client does not.
fn with_login(options: ConnectOptions, servers: &[ServerAddr]) -> ConnectOptions {
    let Some(server) = servers.iter().find(|server| server.has_user_pass()) else { return options };
    match (server.username().map(decoded), server.password().map(decoded)) {
        (Some(user), Some(password)) => options.user_and_password(user, password),
        (Some(token), None) => options.token(token),
        (None, _) => options,
    }
}

/// Decodes `%XX` in a part of a URL.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match hex.filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn without_secrets(url: &str) -> String {
    let host = |one: &str| one.rsplit('@').next().unwrap_or_default().to_owned();
    url.split(',').map(host).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_login_in_a_url_may_be_escaped() {
        assert_eq!(super::decoded("p%40ss%2fw%"), "p@ss/w%");
        assert_eq!(super::without_secrets("nats://u:p@a:1,nats://b:2"), "a:1,nats://b:2");
    }
}
