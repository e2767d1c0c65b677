//! The connection.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use async_nats::{
    ConnectErrorKind, ConnectOptions, Event, ServerAddr,
    connection::State,
    jetstream::{self, ErrorCode, context::GetStreamErrorKind},
};

/// How long a publish acknowledgement may take before the message is published again.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// Acknowledgements outstanding on one connection, in messages. Publishing fails at this limit and never
/// waits at it: the publishers of a process share the connection, and one that waited for room while it held
/// acknowledgements that nobody polls would stop all of them. So each publisher has a limit of its own, far
/// below this one.
const MAX_ACKS: usize = 1 << 20;

/// Where the broker is.
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

/// A connection that heals itself. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
}

/// A stream at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamFacts {
    /// Creation time, nanoseconds since 1970: another value is another stream.
    pub created: i64,
    /// The lowest sequence still held.
    pub first_seq: u64,
    /// The last sequence assigned.
    pub last_seq: u64,
    /// Messages held.
    pub messages: u64,
    /// Bytes held.
    pub bytes: u64,
}

impl Bus {
    /// Connects as `name` (shown in the server's connection list). Waits up to 10 s for a first connection,
    /// retrying.
    pub async fn connect(args: &BusArgs, name: &str) -> anyhow::Result<Self> {
        let url = args
            .nats_url
            .as_deref()
            .context("NATS_URL (or --nats-url) is not set: expected e.g. nats://127.0.0.1:4222")?;
        let mut options = ConnectOptions::new()
            .name(format!("cowriestream {name}"))
            .connection_timeout(Duration::from_secs(5))
            .ping_interval(Duration::from_secs(10))
            .max_reconnects(None)
            .reconnect_delay_callback(|attempt| Duration::from_millis((50 << attempt.min(6)).min(2000)))
            .event_callback(|event| async move { report(&event) });
        if let Some(file) = &args.nats_creds {
            options = options
                .credentials_file(file)
                .await
                .with_context(|| format!("read NATS credentials {}", file.display()))?;
        }
        let servers = addresses(url)?;
        options = with_login(options, &servers);
        let connecting = async {
            loop {
                match options.clone().connect(servers.clone()).await {
                    Ok(client) => return Ok(client),
                    Err(error) if error.kind() == ConnectErrorKind::AuthorizationViolation => {
                        return Err(error);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "broker not reachable yet");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            }
        };
        let client = tokio::time::timeout(Duration::from_secs(10), connecting)
            .await
            .with_context(|| {
                format!("connect to NATS at {}: no answer within 10 s; is it running?", without_secrets(url))
            })?
            .with_context(|| format!("log in to NATS at {}", without_secrets(url)))?;
        let jetstream = jetstream::ContextBuilder::new()
            .ack_timeout(ACK_TIMEOUT)
            .max_ack_inflight(MAX_ACKS)
            .backpressure_on_inflight(false)
            .build(client.clone());
        Ok(Self { client, jetstream })
    }

    /// Whether the connection stands at this moment.
    pub fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Whether the server and its JetStream answer now. For `/readyz`; the caller limits the time.
    pub async fn answers(&self) -> bool {
        self.connected() && self.jetstream.query_account().await.is_ok()
    }

    /// The version of the server.
    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// How many connections there have been: what was on its way in an earlier one may have vanished.
    pub fn connections(&self) -> u64 {
        self.client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Waits until everything written so far has left for the server.
    pub async fn flush(&self) -> anyhow::Result<()> {
        self.client.flush().await.context("flush the NATS connection")
    }

    /// The stream `EVENTS` at this moment; `None` when it does not exist.
    pub async fn events_stream(&self) -> anyhow::Result<Option<StreamFacts>> {
        self.stream(crate::topology::EVENTS).await
    }

    /// The stream `DEAD` at this moment; `None` when it does not exist.
    pub async fn dead_stream(&self) -> anyhow::Result<Option<StreamFacts>> {
        self.stream(crate::topology::DEAD).await
    }

    /// A stream at this moment; `None` when it does not exist.
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

/// The client does not take user, password or token from the URL by itself.
fn with_login(options: ConnectOptions, servers: &[ServerAddr]) -> ConnectOptions {
    let Some(server) = servers.iter().find(|server| server.has_user_pass()) else { return options };
    match (server.username().map(decoded), server.password().map(decoded)) {
        (Some(user), Some(password)) => options.user_and_password(user, password),
        (Some(token), None) => options.token(token),
        (None, _) => options,
    }
}

/// A part of a URL with `%XX` undone.
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

/// The URL without user, password or token.
fn without_secrets(url: &str) -> String {
    let host = |one: &str| one.rsplit('@').next().unwrap_or_default().to_owned();
    url.split(',').map(host).collect::<Vec<_>>().join(",")
}

fn report(event: &Event) {
    match event {
        Event::Connected => tracing::debug!("broker connected"),
        Event::Disconnected => tracing::warn!("broker connection lost, reconnecting"),
        Event::Closed => tracing::debug!("broker connection closed"),
        other => tracing::debug!(event = %other, "broker"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_login_in_a_url_may_be_escaped() {
        assert_eq!(super::decoded("p%40ss%2fw%"), "p@ss/w%");
        assert_eq!(super::without_secrets("nats://u:p@a:1,nats://b:2"), "a:1,nats://b:2");
    }
}
