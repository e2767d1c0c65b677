//! `loadtest speed`: measures time and memory of the analyses, beside scikit-learn on the same vectors, with
//! one process for each measurement.

mod made;
mod ours;

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use anyhow::Context as _;
use boot::Tasks;
use clap::ValueEnum as _;
use tokio::process::Command;

use crate::score::{
    peer::Peer,
    table::{Table, number},
};
use ours::{Took, What};

/// `loadtest speed`
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Numbers of sessions: a thousand per day up to 90 days, then more per day
    #[arg(long, value_delimiter = ',', default_value = "1000,7000,30000,100000,1000000")]
    sessions: Vec<usize>,
    /// Time limit of each measurement, in seconds
    #[arg(long, default_value_t = 900)]
    limit: u64,
    /// Only our analyses
    #[arg(long)]
    alone: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Generate the data set with this many sessions, for the other measurements
    #[arg(long, hide = true, requires = "dir")]
    make: Option<usize>,
    /// Measure this, in this process
    #[arg(long, hide = true, requires = "dir")]
    measure: Option<What>,
    /// Directory of the data set
    #[arg(long, hide = true)]
    dir: Option<PathBuf>,
}

const PEERS: [&str; 4] = ["isolation-forest", "dbscan-plain", "lof", "hdbscan-labels"];

pub async fn run(args: Args, tasks: Tasks) -> anyhow::Result<()> {
    if let (Some(sessions), Some(dir)) = (args.make, &args.dir) {
        return made::make(dir, sessions, (sessions / 1000).clamp(1, 90));
    }
    if let (Some(what), Some(dir)) = (args.measure, &args.dir) {
        boot::say!("{}", serde_json::to_string(&ours::measure(what, dir)?)?);
        return Ok(());
    }
    let dir = std::env::temp_dir().join(format!("cowriestream-speed-{}", std::process::id()));
    let caption = format!(
        "From the data set in memory to the outcome; {}. Peak: of the process, data set included. Incremental: the last day, when the parts of all days before and the model are known. \
         scikit-learn: reading and scaling the vectors not counted in CPU, but in peak; one thread.",
        crate::bench::cpu::description()
    );
    let mut table = Table::new(
        &caption,
        ["", "sessions", "differ", "wall s", "CPU s", "peak MB", "data MB"].map(str::to_owned),
    );
    for &sessions in &args.sessions {
        fs::create_dir_all(&dir)?;
        let stop = tasks.stop();
        let measured = tokio::select! {
            measured = one(&args, sessions, &dir, &mut table) => measured,
            () = stop.cancelled() => Err(anyhow::anyhow!("stopped")),
        };
        fs::remove_dir_all(&dir)?;
        // Print what was measured, even if the rest failed.
        if let Err(error) = measured {
            tracing::error!("{error:#}");
            break;
        }
    }
    if args.json {
        boot::say!("{}", serde_json::to_string(&table)?)
    } else {
        table.print()
    }
    Ok(())
}

async fn one(args: &Args, sessions: usize, dir: &std::path::Path, table: &mut Table) -> anyhow::Result<()> {
    tracing::info!("make {sessions} sessions");
    child(args, dir, &["--make", &sessions.to_string()])
        .await?
        .context("make the data set within the limit")?;
    for what in What::value_variants() {
        let name = what.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        tracing::info!("{name}, {sessions} sessions");
        let took = child(args, dir, &["--measure", &name])
            .await?
            .map(|out| serde_json::from_slice::<Took>(&out))
            .transpose()?;
        table.row(match took {
            Some(took) => [
                format!("ours, {name}"),
                took.n.to_string(),
                took.unique.map_or_else(String::new, |unique| unique.to_string()),
                number(took.wall),
                number(took.cpu),
                format!("{:.0}", took.peak_mb),
                format!("{:.0}", took.data_mb),
            ],
            None => gave_up(&format!("ours, {name}"), sessions, args.limit),
        });
    }
    let Some(peer) = Peer::of_environment().filter(|_| !args.alone) else { return Ok(()) };
    let mut beyond = false;
    for name in PEERS {
        tracing::info!("{name}, {sessions} sessions");
        let took = peer.measure_within(dir, sessions, name, Duration::from_secs(args.limit)).await?;
        beyond |= took.is_none();
        table.row(match took {
            Some(took) => {
                let of = |key: &str| took[name][key].as_f64().unwrap_or(0.0);
                [
                    format!("scikit-learn, {name}"),
                    sessions.to_string(),
                    String::new(),
                    number(of("wall")),
                    number(of("cpu")),
                    format!("{:.0}", of("peak_mb")),
                    String::new(),
                ]
            }
            None => gave_up(&format!("scikit-learn, {name}"), sessions, args.limit),
        });
    }
    if beyond {
        tracing::info!("some of scikit-learn did not end in {} s or had no memory", args.limit);
    }
    Ok(())
}

fn gave_up(name: &str, sessions: usize, limit: u64) -> [String; 7] {
    [
        name.to_owned(),
        sessions.to_string(),
        String::new(),
        format!("over {limit}, or no memory"),
        "-".to_owned(),
        "-".to_owned(),
        String::new(),
    ]
}

/// Runs this program again with other arguments. Returns `None` when it takes too long.
async fn child(args: &Args, dir: &std::path::Path, with: &[&str]) -> anyhow::Result<Option<Vec<u8>>> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--log-level", "warn", "speed", "--dir"])
        .arg(dir)
        .args(with)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let Ok(out) = tokio::time::timeout(Duration::from_secs(args.limit), command.output()).await else {
        return Ok(None);
    };
    let out = out.context("run this program again")?;
    anyhow::ensure!(
        out.status.success(),
        "the measurement failed: {}",
        boot::safe(&String::from_utf8_lossy(&out.stderr))
    );
    Ok(Some(out.stdout))
}
