//! Measures `cowrie-loader` as a process of its own: memory, a quiet sensor, an unchanged file, and a small
//! machine.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use boot::Tasks;
use bytes::Bytes;
use tokio::process::{Child, Command};

use super::{Args, cpu, rates, report::Row, site::Site};

const MIB: f64 = 1024.0 * 1024.0;
/// How long an idle loader is observed.
const QUIET: Duration = Duration::from_secs(20);
/// The limits of a small sensor: a quarter of a processor, in microseconds of each 100 ms, and memory in
/// bytes.
const QUOTA: u32 = 25_000;
const MEMORY: u64 = 64 << 20;
/// Events per second that it must keep up with, and for how many seconds.
const EDGE_RATE: u64 = 200;
const EDGE_SECONDS: u64 = 30;

/// Measures everything. `lines` must have at least as many lines as the log.
pub async fn measure(
    site: &Site,
    args: &Args,
    tasks: &Tasks,
    log: &Path,
    lines: &[Bytes],
) -> anyhow::Result<Vec<Row>> {
    let working = tasks.detached();
    processor::start(&args.processor, site.parts(&args.topology, &working)).await?;
    let mut rows = backlog(site, log, lines.len()).await?;
    rows.extend(unchanged(site, log).await?);
    rows.extend(small(site, lines).await?);
    working.stop().cancel();
    working.ended().await;
    Ok(rows)
}

/// Measures a backlog at full rate, and then an idle loader.
async fn backlog(site: &Site, log: &Path, events: usize) -> anyhow::Result<Vec<Row>> {
    let mut loader = start(site, log, "backlog", false, None)?;
    let pid = loader.id().context("the loader ended")?;
    rates::committed(&site.store, events).await?;
    let full = cpu::memory(pid, "VmHWM").context("read the loader's memory")? as f64 / MIB;
    // Wait for the last receipts and the checkpoint.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (spent, read) = (cpu::seconds(pid), cpu::read_bytes(pid));
    tokio::time::sleep(QUIET).await;
    let share = 100.0 * (cpu::seconds(pid) - spent) / QUIET.as_secs_f64();
    let read = cpu::read_bytes(pid).zip(read).map_or(f64::NAN, |(after, before)| (after - before) as f64);
    let idle = cpu::memory(pid, "VmRSS").context("read the loader's memory")? as f64 / MIB;
    stop(&mut loader).await?;
    // Start a new loader beside a file that is completely committed.
    let mut fresh = start(site, log, "backlog", false, None)?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let start_idle = cpu::memory(fresh.id().context("the loader ended")?, "VmRSS")
        .context("read the loader's memory")? as f64
        / MIB;
    stop(&mut fresh).await?;
    Ok(vec![
        Row::plain("loader memory, backlog at full rate", full, "MiB, peak")
            .budget("≤ 64 MB", full * MIB <= 64e6),
        Row::plain("loader memory, idle", start_idle, "MiB").budget("≤ 30 MB", start_idle * MIB <= 30e6),
        Row::plain("loader memory, idle after backlog", idle, "MiB"),
        Row::plain("loader, idle", share, "% of one CPU").budget("≤ 0.5 %", share <= 0.5),
        Row::plain("loader, idle: read in 20 s", read, "bytes, log included"),
    ])
}

/// Gives the loader the same file again.
async fn unchanged(site: &Site, log: &Path) -> anyhow::Result<Vec<Row>> {
    let size = fs::metadata(log)?.len() as f64 / MIB;
    let once = async |state: &str| -> anyhow::Result<(f64, f64)> {
        let (cpu, started) = (cpu::waited_children(), Instant::now());
        let status = start(site, log, state, true, None)?.wait().await?;
        anyhow::ensure!(status.success(), "the loader failed: {status}");
        Ok((cpu::waited_children() - cpu, started.elapsed().as_secs_f64()))
    };
    let (spent, took) = once("backlog").await?;
    Ok(vec![
        Row::plain("an unchanged file given again", spent, "CPU-s")
            .beside("cowrieprocessor, 80 MB", 33.0)
            .budget("no work", spent <= 0.1),
        Row::plain("  its size", size, "MiB"),
        Row::plain("  wall time", took, "s"),
    ])
}

/// Measures a live log on a quarter of a processor and 64 MB.
async fn small(site: &Site, lines: &[Bytes]) -> anyhow::Result<Vec<Row>> {
    let Some(group) = Group::create() else {
        return Ok(vec![Row::plain("edge: not measured, no writable cgroup", f64::NAN, "")]);
    };
    let log = site.dir.join("edge.json");
    fs::write(&log, b"")?;
    let mut loader = start(site, &log, "edge", false, Some(&group))?;
    let pid = loader.id().context("the loader ended")?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = rates::count(&site.store).await?;
    let (mut written, mut most) = (0_u64, 0_u64);
    let mut file = fs::OpenOptions::new().append(true).open(&log)?;
    let mut due = tokio::time::interval(Duration::from_micros(1_000_000 / EDGE_RATE));
    for (n, line) in lines.iter().take((EDGE_RATE * EDGE_SECONDS) as usize).enumerate() {
        due.tick().await;
        // The lines must differ from those of the backlog.
        let text = String::from_utf8_lossy(line).replacen('{', &format!("{{\"edge\":{n},"), 1);
        file.write_all(format!("{text}\n").as_bytes())?;
        written += 1;
        if written.is_multiple_of(EDGE_RATE) {
            most = most.max(written.saturating_sub((rates::count(&site.store).await? - before) as u64));
        }
    }
    let ended = Instant::now();
    rates::committed(&site.store, before as usize + written as usize).await?;
    let rest = ended.elapsed().as_secs_f64() * 1e3;
    let memory = cpu::memory(pid, "VmHWM").context("read the loader's memory")? as f64 / MIB;
    stop(&mut loader).await?;
    Ok(vec![
        Row::plain("edge, 0.25 CPU and 64 MB, 200/s: behind", most as f64, "events at most")
            .budget("keeps up", most <= EDGE_RATE),
        Row::plain("  last line to committed", rest, "ms"),
        Row::plain("  memory", memory, "MiB, peak").budget("≤ 64 MB", memory * MIB <= 64e6),
    ])
}

fn start(site: &Site, log: &Path, state: &str, once: bool, group: Option<&Group>) -> anyhow::Result<Child> {
    let program = std::env::current_exe()?.with_file_name("cowrie-loader");
    anyhow::ensure!(
        program.exists(),
        "{} is not built: run loadtest/bench, or cargo build --release -p loader",
        program.display()
    );
    let mut command = match group {
        Some(group) => {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("{} exec \"$0\" \"$@\"", group.joins())]).arg(&program);
            command
        }
        None => Command::new(&program),
    };
    command
        .args(["--sensor", "bench", "--log"])
        .arg(log)
        .arg("--state-dir")
        .arg(site.dir.join(format!("state-{state}")));
    command.args(if once { ["--once"].as_slice() } else { &[] });
    command
        .env("NATS_URL", &site.nats_url)
        .env("COWRIESTREAM_HEALTH_LISTEN", "127.0.0.1:0")
        .env("COWRIESTREAM_LOG", "warn");
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn()?)
}

/// Asks a process to stop and waits for its end.
pub async fn stop(process: &mut Child) -> anyhow::Result<()> {
    let pid = process.id().context("a process ended by itself")?;
    Command::new("kill").arg(pid.to_string()).status().await?;
    anyhow::ensure!(process.wait().await?.success(), "a process failed");
    Ok(())
}

/// A control group of the kernel, version 1 or 2, with the limits of a small machine.
struct Group(Vec<PathBuf>);

impl Group {
    fn create() -> Option<Self> {
        let (root, name) =
            (Path::new("/sys/fs/cgroup"), format!("cowriestream-bench-{}", std::process::id()));
        let group = if root.join("cgroup.controllers").exists() {
            let group = Self(vec![root.join(name)]);
            let limits = [("cpu.max", format!("{QUOTA} 100000")), ("memory.max", MEMORY.to_string())];
            group.limit(&limits).then_some(group)?
        } else {
            let group = Self(vec![root.join("cpu").join(&name), root.join("memory").join(&name)]);
            let limits =
                [("cpu.cfs_quota_us", QUOTA.to_string()), ("memory.limit_in_bytes", MEMORY.to_string())];
            group.limit(&limits).then_some(group)?
        };
        Some(group)
    }

    /// Sets each limit in the first directory that has it. Returns whether all are set.
    fn limit(&self, limits: &[(&str, String)]) -> bool {
        self.0.iter().all(|dir| fs::create_dir(dir).is_ok())
            && limits.iter().all(|(name, value)| {
                self.0.iter().any(|dir| dir.join(name).exists() && fs::write(dir.join(name), value).is_ok())
            })
    }

    /// Shell commands with which a process joins the group.
    fn joins(&self) -> String {
        self.0
            .iter()
            .map(|dir| format!("echo $$ > {}/cgroup.procs &&", dir.display()))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for dir in &self.0 {
            fs::remove_dir(dir).ok();
        }
    }
}
