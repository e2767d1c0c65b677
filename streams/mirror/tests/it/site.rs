//! A private Redis.

use redis::{FromRedisValue, aio::MultiplexedConnection};
use servers::testing::{Backend, directory};
use tempfile::TempDir;

pub struct Site {
    pub redis: Backend,
    pub url: String,
    connection: MultiplexedConnection,
    _dir: TempDir,
}

impl Site {
    pub async fn start() -> Self {
        let dir = directory();
        let redis = Backend::redis(&dir.path().join("r")).await;
        let url = redis.url();
        let connection = connect(&url).await;
        Self { redis, url, connection, _dir: dir }
    }

    /// Sends one command, words separated by spaces.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command
            .query_async(&mut self.connection.clone())
            .await
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub async fn wipe(&self) {
        let () = self.command(&["FLUSHALL"]).await;
    }

    /// Stops Redis and starts it again, empty.
    pub async fn restart(&mut self) {
        self.redis.restart(|_| ()).await;
        self.connection = connect(&self.url).await;
    }
}

async fn connect(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("read the URL");
    client.get_multiplexed_async_connection().await.expect("connect to Redis")
}
