//! `worker start`, `stop` and `status`: workers on this machine, on demand, without a service manager.
//!
//! A worker started in this way locks its file as long as it lives. A process id is not enough, because ids
//! are reused; a lock ends with its holder.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// Environment variable with the file that a worker must lock.
const HOLD: &str = "COWRIESTREAM_WORKER_HOLD";
/// How long a start may take.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a stop may take: a worker drains for up to 25 s.
const STOP_LIMIT: Duration = Duration::from_secs(40);
/// Interval of polling for a state.
const LOOK: Duration = Duration::from_millis(100);
/// Lines of the log that are printed when a start fails.
const LOG_LINES: usize = 8;

/// Directory of the workers on this machine.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct RunDir {
    /// Directory of its log and its lock file; default ~/.local/state/cowriestream
    #[arg(long, env = "COWRIESTREAM_RUN_DIR", value_name = "DIR")]
    run_dir: Option<PathBuf>,
}

impl RunDir {
    fn path(&self) -> anyhow::Result<PathBuf> {
        let state = || {
            env::var_os("XDG_STATE_HOME")
                .map(PathBuf::from)
                .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")))
        };
        let path = self
            .run_dir
            .clone()
            .or_else(|| state().map(|state| state.join("cowriestream")))
            .context("no HOME: give --run-dir")?;
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        fs::canonicalize(&path).with_context(|| format!("resolve {}", path.display()))
    }

    /// The worker of this name; without a name the only one that runs.
    fn one(&self, name: Option<&str>) -> anyhow::Result<Native> {
        if let Some(name) = name {
            return Ok(Native::of(&self.path()?, name));
        }
        let mut running: Vec<_> =
            self.all()?.into_iter().filter(|native| native.process().is_some()).collect();
        match running.len() {
            0 => bail!("no running worker was started with `cowriestream worker start`"),
            1 => Ok(running.remove(0)),
            _ => bail!(
                "several workers run: name one of {}",
                running.iter().map(|native| native.name.as_str()).collect::<Vec<_>>().join(", ")
            ),
        }
    }

    fn all(&self) -> anyhow::Result<Vec<Native>> {
        let path = self.path()?;
        let entries = fs::read_dir(&path).with_context(|| format!("read {}", path.display()))?;
        let names = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".worker").map(str::to_owned));
        let mut names: Vec<_> = names.collect();
        names.sort();
        Ok(names.iter().map(|name| Native::of(&path, name)).collect())
    }
}

struct Native {
    name: String,
    file: PathBuf,
    log: PathBuf,
}

impl Native {
    fn of(run_dir: &Path, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            file: run_dir.join(format!("{name}.worker")),
            log: run_dir.join(format!("{name}.log")),
        }
    }

    /// Its process, if it lives.
    fn process(&self) -> Option<Pid> {
        let file = OpenOptions::new().write(true).open(&self.file).ok()?;
        if file.try_lock().is_ok() {
            return None;
        }
        let text = fs::read_to_string(&self.file).ok()?;
        text.lines().next()?.parse().ok().and_then(Pid::from_raw)
    }

    fn ready(&self) -> bool {
        self.process().is_some() && fs::read_to_string(&self.file).is_ok_and(|text| text.contains("ready"))
    }

    fn last_lines(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(LOG_LINES).map(boot::safe).collect();
        lines.into_iter().rev().map(|line| format!("\n  {line}")).collect()
    }
}

/// Starts a worker with the arguments after `start`, and waits until it is ready.
pub async fn start(run_dir: &RunDir, name: &str) -> anyhow::Result<()> {
    let native = Native::of(&run_dir.path()?, name);
    if let Some(process) = native.process() {
        bail!(
            "worker {name} is running already (process {}): `cowriestream worker stop {name}` stops it",
            process.as_raw_nonzero()
        );
    }
    let mut child = spawn(&native)?;
    let since = Instant::now();
    while !native.ready() {
        if let Some(status) = child.try_wait().context("check whether the worker runs")? {
            bail!(
                "worker {name} ended at once ({status}); the end of {}:{}",
                boot::quoted(&native.log),
                native.last_lines()
            );
        }
        if since.elapsed() > START_LIMIT {
            child.kill().ok();
            bail!(
                "worker {name} was not ready after {} s; the end of {}:{}",
                START_LIMIT.as_secs(),
                boot::quoted(&native.log),
                native.last_lines()
            );
        }
        tokio::time::sleep(LOOK).await;
    }
    boot::say!("worker {name} is running (process {}); its log: {}", child.id(), boot::quoted(&native.log));
    Ok(())
}

fn spawn(native: &Native) -> anyhow::Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&native.log)
        .with_context(|| format!("open {}", boot::quoted(&native.log)))?;
    let errors = log.try_clone().context("open the log twice")?;
    let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
    if let Some(start) = arguments.iter().position(|argument| argument == "start") {
        arguments.remove(start);
    }
    let mut command = Command::new(env::current_exe().context("find this program")?);
    command
        .args(&arguments)
        .env(HOLD, &native.file)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .process_group(0);
    let given = env::var_os("COWRIESTREAM_HEALTH_LISTEN").is_some()
        || arguments.iter().any(|argument| argument.to_string_lossy().starts_with("--health-listen"));
    if !given {
        // Several workers may run on a machine, next to an `up`.
        command.env("COWRIESTREAM_HEALTH_LISTEN", "127.0.0.1:0");
    }
    command.spawn().context("start the worker")
}

/// Asks a worker to stop: it finishes its jobs or hands them back. With `now`, kills it.
pub async fn stop(run_dir: &RunDir, name: Option<&str>, now: bool) -> anyhow::Result<()> {
    let native = run_dir.one(name)?;
    let Some(process) = native.process() else { bail!("worker {} is not running", native.name) };
    kill_process(process, if now { Signal::KILL } else { Signal::TERM }).context("signal the worker")?;
    let since = Instant::now();
    while native.process().is_some() {
        if since.elapsed() > STOP_LIMIT {
            bail!(
                "worker {} still runs after {} s; --now kills it, and other workers continue its jobs",
                native.name,
                STOP_LIMIT.as_secs()
            );
        }
        tokio::time::sleep(LOOK).await;
    }
    boot::say!("worker {} stopped", native.name);
    Ok(())
}

/// Prints the workers that were started on this machine.
pub fn status(run_dir: &RunDir, as_json: bool) -> anyhow::Result<()> {
    let all = run_dir.all()?;
    if as_json {
        let one = |native: &Native| {
            let process = native.process().map(|process| process.as_raw_nonzero().get());
            json!({ "name": native.name, "running": process.is_some(), "process": process, "log": native.log })
        };
        boot::say!("{}", json!({ "workers": all.iter().map(one).collect::<Vec<_>>() }));
        return Ok(());
    }
    if all.is_empty() {
        boot::say!("no worker was started here; see `cowriestream worker start --help`");
    }
    for native in &all {
        match native.process() {
            Some(process) => boot::say!(
                "{:<24} running, process {}; {}",
                boot::safe(&native.name),
                process.as_raw_nonzero(),
                boot::quoted(&native.log)
            ),
            None => {
                boot::say!("{:<24} not running; {}", boot::safe(&native.name), boot::quoted(&native.log))
            }
        }
    }
    Ok(())
}

/// Keeps the lock until the process exits, i.e. also while it drains after its role has ended.
static HELD: OnceLock<File> = OnceLock::new();

/// Locks the file that `start` named; does nothing when the worker was started otherwise.
pub fn hold() -> anyhow::Result<()> {
    let Some(path) = env::var_os(HOLD).map(PathBuf::from) else { return Ok(()) };
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let mut file = open.with_context(|| format!("open {}", path.display()))?;
    file.try_lock()
        .with_context(|| format!("lock {}: is another worker of this name running?", path.display()))?;
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .with_context(|| format!("write {}", path.display()))?;
    HELD.set(file).map_err(|_| anyhow::anyhow!("held twice"))
}

/// Reports to `start` that the worker is ready.
pub fn ready() -> anyhow::Result<()> {
    HELD.get().map_or(Ok(()), |mut file| writeln!(file, "ready")).context("report that the worker is ready")
}
