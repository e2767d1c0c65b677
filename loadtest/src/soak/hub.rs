//! The hub of a soak: servers and roles as processes, each of which can be killed and started again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context as _;
use servers::{DataDir, Servers, Wanted};
use store::{Store, StoreArgs};
use tokio::process::{Child, Command};

use super::jobs::Client;
use crate::generate::random::Random;

const ROLES: [&str; 6] = ["loader", "processor", "coordinator-1", "coordinator-2", "worker-1", "worker-2"];
const SERVERS: [&str; 3] = ["nats", "postgres", "redis"];

/// What a soak can stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// A role's process, killed with SIGKILL.
    Role(&'static str),
    /// A server that is stopped with a signal.
    Stopped(&'static str),
    /// A server that is killed with SIGKILL.
    Killed(&'static str),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(name) | Self::Killed(name) => write!(f, "{name} killed"),
            Self::Stopped(name) => write!(f, "{name} stopped"),
        }
    }
}

pub struct Hub {
    dir: PathBuf,
    program: PathBuf,
    sensors: u16,
    servers: BTreeMap<&'static str, (DataDir, Servers)>,
    roles: BTreeMap<&'static str, Child>,
    environment: Vec<(&'static str, String)>,
    /// REST and gRPC ports of the coordinators.
    ports: [(u16, u16); 2],
}

/// The generator, while it writes.
pub struct Load(Child);

#[derive(serde::Deserialize)]
pub struct Made {
    pub events: u64,
    pub bytes: u64,
}

impl Hub {
    /// Starts all processes in a new directory.
    pub async fn start(dir: &Path, sensors: u16) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("cowriestream");
        anyhow::ensure!(
            program.exists(),
            "{} is not built: cargo build --release -p cowriestream -p loadtest",
            program.display()
        );
        fs::create_dir_all(dir.join("logs")).with_context(|| format!("create {}", dir.display()))?;
        // Postgres may run as another user.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
        let dir = fs::canonicalize(dir)?;
        let ports = [(free_port()?, free_port()?), (free_port()?, free_port()?)];
        let mut hub = Self {
            dir,
            program,
            sensors,
            servers: BTreeMap::new(),
            roles: BTreeMap::new(),
            environment: Vec::new(),
            ports,
        };
        let started = hub.start_all().await;
        if started.is_err() {
            hub.stop().await;
        }
        started.map(|()| hub)
    }

    async fn start_all(&mut self) -> anyhow::Result<()> {
        for name in SERVERS {
            let data = DataDir::take(&self.dir.join(name))?;
            let servers = Servers::start(&data, wanted(name)).await?;
            let urls = servers.urls.clone();
            let found = [("NATS_URL", urls.nats), ("DATABASE_URL", urls.database), ("REDIS_URL", urls.redis)];
            self.environment.extend(found.into_iter().filter_map(|(name, url)| Some((name, url?))));
            self.servers.insert(name, (data, servers));
        }
        for command in ["migrate", "provision"] {
            let done = self.command(&[command]).stdin(Stdio::null()).output().await?;
            anyhow::ensure!(
                done.status.success(),
                "{command}: {}",
                boot::safe(&String::from_utf8_lossy(&done.stderr))
            );
        }
        let create = ["keys", "create", "--name", "soak", "--scopes", "admin"];
        let created = self.command(&create).stdin(Stdio::null()).output().await?;
        let said = boot::safe(&String::from_utf8_lossy(&created.stderr));
        anyhow::ensure!(created.status.success(), "create a key: {said}");
        self.environment.push(("API_KEY", String::from_utf8_lossy(&created.stdout).trim().to_owned()));
        for role in ROLES {
            self.start_role(role)?;
        }
        Ok(())
    }

    pub async fn stop(&mut self) {
        for child in self.roles.values_mut() {
            child.kill().await.ok();
        }
        for (_, servers) in self.servers.values_mut() {
            servers.stop().await;
        }
    }

    /// Stops one part, chosen at random.
    pub async fn stop_one(&mut self, random: &mut Random) -> anyhow::Result<Part> {
        let choice = random.below(ROLES.len() + SERVERS.len());
        let part = match ROLES.get(choice) {
            Some(role) => Part::Role(role),
            None if random.chance(0.5) => Part::Killed(SERVERS[choice - ROLES.len()]),
            None => Part::Stopped(SERVERS[choice - ROLES.len()]),
        };
        match part {
            Part::Role(role) => self
                .roles
                .get_mut(role)
                .context("the role runs")?
                .kill()
                .await
                .with_context(|| format!("kill {role}"))?,
            Part::Killed(name) => {
                let (_, servers) = self.servers.get_mut(name).context("the server runs")?;
                for (_, pid) in servers.processes() {
                    Command::new("kill").args(["-9", &pid.to_string()]).status().await.context("run kill")?;
                }
                servers.stop().await;
            }
            Part::Stopped(name) => self.servers.get_mut(name).context("the server runs")?.1.stop().await,
        }
        Ok(part)
    }

    /// Starts a stopped part again.
    pub async fn start_again(&mut self, part: Part) -> anyhow::Result<()> {
        match part {
            Part::Role(role) => self.start_role(role),
            Part::Killed(name) | Part::Stopped(name) => {
                let (data, servers) = self.servers.get_mut(name).context("the server is known")?;
                *servers = Servers::start(data, wanted(name))
                    .await
                    .with_context(|| format!("start {name} again"))?;
                Ok(())
            }
        }
    }

    /// The processes of the roles and servers, by name.
    pub fn processes(&self) -> Vec<(&'static str, u32)> {
        let roles = self.roles.iter().filter_map(|(name, child)| Some((*name, child.id()?)));
        let servers = self
            .servers
            .iter()
            .flat_map(|(name, (_, servers))| servers.processes().into_iter().map(|(_, pid)| (*name, pid)));
        roles.chain(servers).collect()
    }

    /// A client that submits jobs.
    pub fn client(&self) -> Client {
        let urls = self.ports.map(|(_, grpc)| format!("http://127.0.0.1:{grpc}"));
        Client { program: self.program.clone(), environment: self.environment.clone(), urls }
    }

    /// Stores a schedule that fires every five seconds.
    pub async fn schedule(&self) -> anyhow::Result<()> {
        let arguments = [
            "schedules",
            "put",
            "soak",
            "*/5 * * * * *",
            "diagnostic",
            "--param",
            "steps=2",
            "--param",
            "step_seconds=0.2",
        ];
        let stored = || async {
            Ok::<_, anyhow::Error>(self.client().command(0, &arguments).output().await?.status.success())
        };
        let started = std::time::Instant::now();
        while !stored().await? {
            anyhow::ensure!(started.elapsed() < super::SETTLE, "the coordinator takes no schedule");
            tokio::time::sleep(super::LOOK).await;
        }
        Ok(())
    }

    pub fn load(&self, rate: f64, seed: u64) -> anyhow::Result<Load> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["generate", "--live", "--json", "--out"]).arg(self.dir.join("logs"));
        command.args([
            "--sensors",
            &self.sensors.to_string(),
            "--rate",
            &rate.to_string(),
            "--seed",
            &seed.to_string(),
        ]);
        Ok(Load(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()?,
        ))
    }

    /// Size of all logs in bytes.
    pub fn log_bytes(&self) -> anyhow::Result<i64> {
        let mut sum = 0;
        for directory in fs::read_dir(self.dir.join("logs"))? {
            for file in fs::read_dir(directory?.path())? {
                sum += i64::try_from(file?.metadata()?.len())?;
            }
        }
        Ok(sum)
    }

    /// Number of committed bytes of the logs.
    pub async fn committed_bytes(&self) -> anyhow::Result<i64> {
        let sql =
            "select coalesce(sum(upper(r) - lower(r)), 0)::bigint from loader_files, unnest(committed) as r";
        let store = self.store().await?;
        let mut connection = store.connection().await?;
        Ok(sqlx::query_scalar(sql).fetch_one(&mut *connection).await?)
    }

    /// Jobs that are not completed, with their states.
    pub async fn jobs_not_completed(&self) -> anyhow::Result<Vec<(String, String)>> {
        // The schedule continues to submit: jobs of the last seconds may still run.
        let sql = "select job_id::text, state::text from jobs where state::text <> 'completed' and (schedule is null or created_at < now() - interval '60 seconds')";
        let store = self.store().await?;
        let mut connection = store.connection().await?;
        Ok(sqlx::query_as(sql).fetch_all(&mut *connection).await?)
    }

    /// All job ids, and the number of scheduled jobs.
    pub async fn jobs(&self) -> anyhow::Result<(BTreeSet<String>, i64)> {
        let store = self.store().await?;
        let mut connection = store.connection().await?;
        let ids: Vec<String> =
            sqlx::query_scalar("select job_id::text from jobs").fetch_all(&mut *connection).await?;
        let scheduled = sqlx::query_scalar("select count(*) from jobs where schedule is not null")
            .fetch_one(&mut *connection)
            .await?;
        Ok((ids.into_iter().collect(), scheduled))
    }

    /// Runs `verify`; an error contains its output.
    pub async fn verify(&self) -> anyhow::Result<()> {
        let logs = self.logs();
        let arguments: Vec<&str> =
            ["verify"].into_iter().chain(logs.iter().flat_map(|log| ["--log", log.as_str()])).collect();
        let done = self.command(&arguments).stdin(Stdio::null()).output().await?;
        let text = String::from_utf8_lossy(&done.stdout);
        anyhow::ensure!(
            done.status.success(),
            "verify: {}",
            text.lines().take(40).map(boot::safe).collect::<Vec<_>>().join("\n")
        );
        Ok(())
    }

    async fn store(&self) -> anyhow::Result<Store> {
        let database_url =
            self.environment.iter().find(|(name, _)| *name == "DATABASE_URL").map(|(_, url)| url.clone());
        Store::connect(&StoreArgs { database_url, database_connections: 1 }).await
    }

    fn logs(&self) -> Vec<String> {
        let width = 2;
        (1..=self.sensors)
            .map(|n| {
                format!(
                    "sensor-{n:0width$}={}",
                    self.dir.join(format!("logs/sensor-{n:0width$}/cowrie.json")).display()
                )
            })
            .collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())))
            .current_dir(&self.dir);
        command
            .env("COWRIESTREAM_HEALTH_LISTEN", "127.0.0.1:0")
            .env("COWRIESTREAM_LOG", "info")
            .env("NO_COLOR", "1");
        command
    }

    fn start_role(&mut self, role: &'static str) -> anyhow::Result<()> {
        let logs = self.logs();
        let state = self.dir.join("state").display().to_string();
        let arguments: Vec<&str> = match role {
            "loader" => ["loader", "--state-dir", &state]
                .into_iter()
                .chain(logs.iter().flat_map(|log| ["--log", log.as_str()]))
                .collect(),
            "processor" => vec!["processor"],
            "coordinator-1" | "coordinator-2" => vec!["coordinator"],
            name => vec!["worker", "--name", name, "--concurrency", "4"],
        };
        let mut command = self.command(&arguments);
        let (rest, grpc) = self.ports[usize::from(role == "coordinator-2")];
        command
            .env("COWRIESTREAM_REST_LISTEN", format!("127.0.0.1:{rest}"))
            .env("COWRIESTREAM_GRPC_LISTEN", format!("127.0.0.1:{grpc}"));
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.dir.join(format!("{role}.log")))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {role}"))?;
        self.roles.insert(role, child);
        Ok(())
    }
}

impl Load {
    /// Stops the generator and returns its summary.
    pub async fn finish(&mut self) -> anyhow::Result<Made> {
        use tokio::io::AsyncReadExt as _;
        let pid = self.0.id().context("the generator ended by itself")?;
        Command::new("kill").args(["-TERM", &pid.to_string()]).status().await.context("run kill")?;
        let mut text = String::new();
        self.0.stdout.take().context("the generator's output was read")?.read_to_string(&mut text).await?;
        serde_json::from_str(text.trim()).with_context(|| format!("read the generator's summary {text:?}"))
    }
}

fn wanted(name: &str) -> Wanted {
    Wanted { nats: name == "nats", postgres: name == "postgres", redis: name == "redis" }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?.local_addr()?.port())
}
