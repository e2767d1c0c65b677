//! A private `nats-server` that can be killed, restarted, and lose its store.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bus::{Bus, BusArgs, topology::TopologyArgs};

pub struct Broker {
    directory: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Broker {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = Self { directory, port: 0, child: None };
        broker.spawn("-1");
        while broker.port == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            broker.port = port_in(broker.directory.path()).unwrap_or_default();
        }
        broker
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub async fn connect(&self) -> Bus {
        let args = BusArgs { nats_url: Some(self.url()), nats_creds: None };
        Bus::connect(&args, "test").await.unwrap()
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the broker runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again on the same port and store.
    pub fn restart(&mut self) {
        let port = self.port.to_string();
        self.spawn(&port);
    }

    /// Deletes its store; it must not run.
    pub fn forget(&self) {
        assert!(self.child.is_none());
        fs::remove_dir_all(self.store()).unwrap();
    }

    /// Copies its store; it must not run.
    pub fn copy(&self) -> tempfile::TempDir {
        assert!(self.child.is_none());
        let copy = tempfile::tempdir().unwrap();
        copy_tree(&self.store(), copy.path());
        copy
    }

    /// Replaces its store by a copy; it must not run.
    pub fn restore(&self, copy: &tempfile::TempDir) {
        self.forget();
        copy_tree(copy.path(), &self.store());
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn spawn(&mut self, port: &str) {
        let mut command = Command::new(program());
        command.args(["-a", "127.0.0.1", "-p", port, "-js", "-sd"]).arg(self.store());
        command.arg("--ports_file_dir").arg(self.directory.path());
        self.child = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// The topology that the tests provision.
pub fn topology() -> TopologyArgs {
    TopologyArgs { replicas: 1, events_max_bytes: 1 << 30, ack_wait_seconds: 5 }
}

fn port_in(directory: &Path) -> Option<u16> {
    let ports = fs::read_dir(directory)
        .ok()?
        .filter_map(Result::ok)
        .find(|entry| entry.path().extension().is_some_and(|end| end == "ports"))?;
    let json: serde_json::Value = serde_json::from_slice(&fs::read(ports.path()).ok()?).ok()?;
    json["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
}

fn program() -> PathBuf {
    if let Some(given) = env::var_os("COWRIESTREAM_NATS_SERVER") {
        return given.into();
    }
    let home =
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".local/share/cowriestream/tools");
    let tools = env::var_os("COWRIESTREAM_TOOLS").map_or_else(home, PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let places = std::iter::once(tools.join("bin"))
        .chain(env::split_paths(&path))
        .map(|place| place.join("nats-server"));
    places
        .into_iter()
        .find(|program| program.is_file())
        .expect("nats-server is installed: run tools/install, or set COWRIESTREAM_NATS_SERVER")
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
