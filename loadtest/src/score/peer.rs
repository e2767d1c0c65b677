//! Runs scikit-learn on the same data: `loadtest/sk_peer.py`.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    net::IpAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use analysis::data::Data;
use anyhow::Context as _;

use super::{labelled::Labelled, ours::Group};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sk_peer.py");
pub const SCORES: [&str; 8] = [
    "isolation-forest",
    "isolation-forest+commands",
    "lof",
    "lof+commands",
    "hdbscan",
    "dbscan-0.3",
    "dbscan-1",
    "dbscan-1+commands",
];
pub const LABELS: [&str; 3] = ["dbscan-labels-0.5", "dbscan-labels-1", "hdbscan-labels"];

#[derive(Clone, Debug)]
pub struct Peer(OsString);

impl Peer {
    /// Reads `COWRIESTREAM_TEST_PYTHON`.
    pub fn of_environment() -> Option<Self> {
        std::env::var_os("COWRIESTREAM_TEST_PYTHON").filter(|python| !python.is_empty()).map(Self)
    }

    /// Returns the score of each session by each of [`SCORES`], from the vectors that our analyses use.
    pub fn scores(&self, data: &Data) -> anyhow::Result<Vec<Vec<f64>>> {
        let rows: Vec<&[f32]> = data.sessions.iter().map(|session| data.vector(session)).collect();
        self.run(&rows, &commands(data), &SCORES)
    }

    /// Returns groups of sources by each of [`LABELS`]. Features are the mean vector of a source's sessions,
    /// their number, the number of sensors, the first time and the duration.
    pub fn groups(&self, log: &Labelled) -> anyhow::Result<Vec<Vec<Group>>> {
        let sources = by_source(log);
        let rows: Vec<&[f32]> = sources.values().map(Vec::as_slice).collect();
        let names: Vec<IpAddr> = sources.keys().copied().collect();
        let labels = self.run(&rows, "", &LABELS)?;
        let groups = |labels: Vec<f64>| -> Vec<Group> {
            let mut groups: BTreeMap<i64, Group> = BTreeMap::new();
            for (label, name) in labels.into_iter().zip(&names).filter(|(label, _)| *label >= 0.0) {
                groups.entry(label as i64).or_default().insert(*name);
            }
            groups.into_values().collect()
        };
        Ok(labels.into_iter().map(groups).collect())
    }

    fn run(&self, rows: &[&[f32]], commands: &str, methods: &[&str]) -> anyhow::Result<Vec<Vec<f64>>> {
        let dir = std::env::temp_dir().join(format!("cowriestream-score-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        write(&dir, rows, commands)?;
        let ran = self.measure(&dir, rows.len(), &methods.join(","));
        let out = ran.and_then(|_| fs::read(dir.join("out")).context("read what sk_peer.py made"));
        fs::remove_dir_all(&dir)?;
        let values: Vec<f64> = out?
            .chunks_exact(8)
            .filter_map(|bytes| Some(f64::from_le_bytes(bytes.try_into().ok()?)))
            .collect();
        anyhow::ensure!(
            values.len() == rows.len() * methods.len(),
            "sk_peer.py made {} values of {}",
            values.len(),
            rows.len() * methods.len()
        );
        Ok(values.chunks(rows.len().max(1)).map(<[f64]>::to_vec).collect())
    }

    /// Runs the script on the files of [`write`] and returns its output.
    fn measure(&self, dir: &Path, rows: usize, methods: &str) -> anyhow::Result<serde_json::Value> {
        let out = self.command(dir, rows, methods).output().context("run COWRIESTREAM_TEST_PYTHON")?;
        anyhow::ensure!(
            out.status.success(),
            "sk_peer.py failed: {}",
            boot::safe(&String::from_utf8_lossy(&out.stderr))
        );
        serde_json::from_slice(&out.stdout).context("read what sk_peer.py says")
    }

    /// Like `measure`; `None` when the script takes too long or runs out of memory.
    pub async fn measure_within(
        &self,
        dir: &Path,
        rows: usize,
        method: &str,
        limit: Duration,
    ) -> anyhow::Result<Option<serde_json::Value>> {
        let mut command = tokio::process::Command::from(self.command(dir, rows, method));
        let Ok(out) = tokio::time::timeout(limit, command.kill_on_drop(true).output()).await else {
            return Ok(None);
        };
        let out = out.context("run COWRIESTREAM_TEST_PYTHON")?;
        if !out.status.success() {
            tracing::warn!("{method} ended early: {}", boot::safe(&String::from_utf8_lossy(&out.stderr)));
            return Ok(None);
        }
        serde_json::from_slice(&out.stdout).context("read what sk_peer.py says").map(Some)
    }

    fn command(&self, dir: &Path, rows: usize, methods: &str) -> Command {
        let mut command = Command::new(&self.0);
        command.arg(SCRIPT).arg("--dir").arg(dir).args(["--rows", &rows.to_string(), "--methods", methods]);
        for threads in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(threads, "1");
        }
        command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Writes the files that the script reads.
pub fn write(dir: &Path, rows: &[&[f32]], commands: &str) -> anyhow::Result<()> {
    let bytes: Vec<u8> =
        rows.iter().flat_map(|row| row.iter().flat_map(|value| value.to_le_bytes())).collect();
    fs::write(dir.join("vectors"), bytes)?;
    fs::write(dir.join("commands"), commands)?;
    Ok(())
}

/// Normalised commands, a line for each session.
pub fn commands(data: &Data) -> String {
    let of = |session| {
        data.sequence(session).map_or(String::new(), |sequence| sequence.commands.replace(['\n', '\r'], " "))
    };
    data.sessions.iter().map(of).collect::<Vec<_>>().join("\n")
}

fn by_source(log: &Labelled) -> BTreeMap<IpAddr, Vec<f32>> {
    let mut of: BTreeMap<IpAddr, Vec<&analysis::data::Session>> = BTreeMap::new();
    log.data
        .sessions
        .iter()
        .filter_map(|session| Some((session.source?, session)))
        .for_each(|(source, session)| of.entry(source).or_default().push(session));
    let vector = |sessions: Vec<&analysis::data::Session>| {
        let n = sessions.len() as f32;
        let mut sum: Vec<f32> = vec![0.0; log.data.vector(sessions[0]).len()];
        sessions.iter().for_each(|session| {
            sum.iter_mut().zip(log.data.vector(session)).for_each(|(sum, value)| *sum += value / n)
        });
        let sensors: std::collections::HashSet<_> = sessions.iter().map(|session| session.sensor).collect();
        let days = |micros: i64| micros as f32 / 86_400e6;
        let (first, last) = (sessions[0].started, sessions[sessions.len() - 1].started);
        sum.extend([
            n.ln_1p(),
            (sensors.len() as f32).ln_1p(),
            days(first - log.range.start),
            days(last - first),
        ]);
        sum
    };
    of.into_iter().map(|(source, sessions)| (source, vector(sessions))).collect()
}
