//! A connection that is opened when it is needed and replaced when it breaks.

use std::{sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, FromRedisValue, IntoConnectionInfo as _, Pipeline, RedisResult,
    aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use tokio::{sync::Mutex, time::Instant};

use crate::Error;

/// After a failure, further callers are refused at once for this long: none of them waits for a dead server.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How long a caller waits.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub connect: Duration,
    pub answer: Duration,
}

/// Cheap to clone; the clones share one connection.
#[derive(Clone)]
pub(crate) struct Connection {
    client: Client,
    limits: Limits,
    slot: Arc<Mutex<Slot>>,
}

#[derive(Default)]
struct Slot {
    open: Option<MultiplexedConnection>,
    /// Number of connections that were opened: a failure closes the connection that it happened on, and not
    /// its successor.
    generation: u64,
    /// The last failure, and the end of the pause after it.
    failed: Option<(Error, Instant)>,
}

impl Connection {
    /// Reads the URL; connects to nothing yet.
    pub fn new(url: &str, limits: Limits) -> Result<Self, Error> {
        let invalid = |error: redis::RedisError| Error::InvalidUrl(error.to_string());
        let info = url.into_connection_info().map_err(invalid)?;
        // Two small writes in a row must not wait for an acknowledgement in between.
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = Client::open(info).map_err(invalid)?;
        Ok(Self { client, limits, slot: Arc::default() })
    }

    /// Sends commands and returns their answers.
    pub async fn send<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Error> {
        let (mut connection, generation) = self.open().await?;
        let answer: RedisResult<T> = commands.query_async(&mut connection).await;
        match answer.map_err(|error| Error::of_command(&error)) {
            Err(error @ Error::Away(_)) => {
                self.close(generation, &error).await;
                Err(error)
            }
            answer => answer,
        }
    }

    /// A separate connection for subscriptions.
    pub async fn subscribe(&self, pattern: &str) -> Result<redis::aio::PubSubStream, Error> {
        let open = async {
            let mut pubsub = self.client.get_async_pubsub().await?;
            pubsub.psubscribe(pattern).await?;
            Ok(pubsub.into_on_message())
        };
        match tokio::time::timeout(self.limits.connect, open).await {
            Ok(opened) => opened.map_err(|error: redis::RedisError| Error::Away(error.to_string())),
            Err(_) => Err(Error::Away(format!("no subscription within {:?}", self.limits.connect))),
        }
    }

    async fn open(&self) -> Result<(MultiplexedConnection, u64), Error> {
        let mut slot = self.slot.lock().await;
        if let Some(connection) = &slot.open {
            return Ok((connection.clone(), slot.generation));
        }
        if let Some((error, until)) = &slot.failed
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.limits.connect))
            .set_response_timeout(Some(self.limits.answer));
        match self.client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => {
                slot.generation += 1;
                slot.open = Some(connection.clone());
                Ok((connection, slot.generation))
            }
            Err(error) => {
                let error = Error::Away(error.to_string());
                slot.failed = Some((error.clone(), Instant::now() + RETRY_PAUSE));
                Err(error)
            }
        }
    }

    async fn close(&self, generation: u64, error: &Error) {
        let mut slot = self.slot.lock().await;
        if slot.generation == generation {
            slot.open = None;
            slot.failed = Some((error.clone(), Instant::now() + RETRY_PAUSE));
        }
    }
}
