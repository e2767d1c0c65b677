//! For the tests of several crates: private servers in a directory of their own, and helpers that wait for a
//! state.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::{DataDir, Servers, Urls, Wanted};

/// How long to wait for a state; long, for a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Servers that can be stopped, changed on disk and started again on the same ports.
pub struct Backend {
    data: DataDir,
    wanted: Wanted,
    servers: Servers,
}

impl Backend {
    /// Starts these servers with their data below `path`.
    pub async fn start(path: &Path, wanted: Wanted) -> Self {
        let data = DataDir::take(path).expect("take the data directory");
        let servers = Servers::start(&data, wanted).await.expect("start servers");
        Self { data, wanted, servers }
    }

    pub async fn nats(path: &Path) -> Self {
        Self::start(path, Wanted { nats: true, postgres: false, redis: false }).await
    }

    pub async fn postgres(path: &Path) -> Self {
        Self::start(path, Wanted { nats: false, postgres: true, redis: false }).await
    }

    pub async fn redis(path: &Path) -> Self {
        Self::start(path, Wanted { nats: false, postgres: false, redis: true }).await
    }

    /// The URL of the only server.
    pub fn url(&self) -> String {
        let urls = &self.servers.urls;
        let mut all = [&urls.nats, &urls.database, &urls.redis].into_iter().flatten();
        all.next().expect("a server was started").clone()
    }

    pub fn urls(&self) -> &Urls {
        &self.servers.urls
    }

    /// Stops the servers, lets `change` modify their data directory, and starts them again.
    pub async fn restart(&mut self, change: impl FnOnce(&Path)) {
        self.servers.stop().await;
        change(self.data.path());
        self.servers = Servers::start(&self.data, self.wanted).await.expect("start servers again");
    }

    pub async fn stop(&mut self) {
        self.servers.stop().await;
    }
}

/// A temporary directory that the database's user may enter.
pub fn directory() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("cowriestream-").tempdir().expect("make a directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open the directory");
    dir
}

/// Polls until a state is reached; panics after two minutes.
pub fn eventually(what: &str, mut there: impl FnMut() -> bool) {
    let since = Instant::now();
    while !there() {
        assert!(since.elapsed() < PATIENCE, "waited {PATIENCE:?} for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs SQL with psql; returns the rows without header, columns separated by `|`.
pub fn psql(url: &str, sql: &str) -> String {
    // psql needs more time to negotiate TLS than for the query.
    let mut command = Command::new("psql");
    command.env("PGSSLMODE", "disable").env("PGGSSENCMODE", "disable");
    let out = command
        .args([url, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
        .output()
        .expect("run psql");
    assert!(out.status.success(), "{sql}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("psql writes UTF-8")
}
