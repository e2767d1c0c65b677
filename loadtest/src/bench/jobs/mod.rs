//! Measures jobs: time to start, empty jobs per second, and delay of their progress. Measures Celery with the
//! same empty task, in turns.

mod celery;
mod office;
mod ours;

use std::{collections::BTreeMap, path::Path};

use boot::Tasks;

use super::{
    Args, cpu,
    report::{Row, median, quantile},
    site::Site,
};
use celery::{Celery, Peer};
use office::Office;
use ours::{Fresh, Idle, Rate};

/// One delay in milliseconds per measurement.
type Delays = Vec<f64>;

/// One round of our jobs.
struct Ours {
    idle: Idle,
    rate: Rate,
    fresh: Fresh,
}

/// Measures rounds of Celery and of our jobs in turns, each with fresh servers.
pub async fn measure(
    dir: &Path,
    args: &Args,
    tasks: &Tasks,
    setting: &mut BTreeMap<&'static str, String>,
    busy: &mut Vec<f64>,
) -> anyhow::Result<Vec<Row>> {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        if let Some(peer) = Peer::of_environment() {
            busy.extend(cpu::busy().await);
            let one = peer.measure(&dir.join("celery"), args.jobs).await?;
            tracing::info!(
                "round {round}, Celery: {:.0} jobs/s, submission {:.0}/s",
                one.rate,
                one.submission
            );
            setting.insert("Celery", one.setting.clone());
            theirs.push(one);
        }
        busy.extend(cpu::busy().await);
        let site = Site::start(dir, &args.topology).await?;
        setting.extend(site.versions().await?);
        let one = round_of_ours(&site, args, tasks).await;
        site.stop().await?;
        let one = one?;
        tracing::info!(
            "round {round}, ours: {:.0} jobs/s, submission {:.0}/s; CPU-ms per job: {}",
            one.rate.rate,
            one.rate.submission,
            one.rate.cpu
        );
        ours.push(one);
    }
    setting.insert(
        "jobs",
        format!(
            "{} empty ones by {} calls at once, worker concurrency {}",
            args.jobs,
            ours::CALLS,
            office::CONCURRENCY
        ),
    );
    let mut rows = starts(&ours, &theirs);
    rows.extend(rates(&ours, &theirs));
    rows.extend(freshness(&ours));
    Ok(rows)
}

async fn round_of_ours(site: &Site, args: &Args, tasks: &Tasks) -> anyhow::Result<Ours> {
    let office = Office::open(site).await?;
    let measured = async {
        let idle = ours::idle(&office, site).await?;
        let rate = ours::rate(&office, site, tasks, args.jobs).await?;
        Ok(Ours { idle, rate, fresh: ours::freshness(&office, tasks).await? })
    };
    let measured: anyhow::Result<Ours> = measured.await;
    let closed = office.close().await;
    let measured = measured?;
    closed?;
    Ok(measured)
}

/// Returns the median over the rounds of a quantile of each round.
fn over<'a, T: 'a>(rounds: &'a [T], share: f64, delays: impl Fn(&'a T) -> &'a Delays) -> Option<f64> {
    median(rounds.iter().filter_map(|round| quantile(delays(round).clone(), share)).collect())
}

fn middle<T>(rounds: &[T], of: impl Fn(&T) -> f64) -> Option<f64> {
    median(rounds.iter().map(of).collect())
}

fn beside(row: Row, what: &'static str, value: Option<f64>) -> Row {
    match value {
        Some(value) => row.beside(what, value),
        None => row,
    }
}

fn starts(ours: &[Ours], theirs: &[Celery]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, seen, celery, share) in [
        ("job submit to start, idle, p50", "job submit to seen started, p50", "Celery, p50", 0.5),
        ("job submit to start, idle, p99", "job submit to seen started, p99", "Celery, p99", 0.99),
    ] {
        let start = over(ours, share, |round| &round.idle.start).unwrap_or(f64::MAX);
        let row = beside(Row::plain(what, start, "ms"), celery, over(theirs, share, |round| &round.start));
        rows.push(if share > 0.9 { row.budget("≤ 50 ms", start <= 50.0) } else { row });
        rows.push(Row::plain(
            seen,
            over(ours, share, |round| &round.idle.seen).unwrap_or(f64::MAX),
            "ms, by a gRPC watcher",
        ));
    }
    rows
}

fn rates(ours: &[Ours], theirs: &[Celery]) -> Vec<Row> {
    let rate = middle(ours, |round| round.rate.rate).unwrap_or_default();
    let celery = middle(theirs, |round| round.rate);
    let whole = beside(Row::plain("durable empty jobs, end to end", rate, "jobs/s"), "Celery", celery);
    let submission = Row::plain(
        "  submission alone",
        middle(ours, |round| round.rate.submission).unwrap_or_default(),
        "jobs/s",
    );
    let submission = beside(submission, "Celery", middle(theirs, |round| round.submission));
    match celery {
        Some(celery) => vec![
            whole.budget("≥ 1 000/s and ≥ 2 × Celery", rate >= 1_000.0 && rate >= 2.0 * celery),
            submission,
        ],
        None => {
            let why = Row::plain("Celery: not measured, COWRIESTREAM_TEST_PYTHON is not set", f64::NAN, "");
            vec![whole.budget("≥ 1 000/s", rate >= 1_000.0), submission, why]
        }
    }
}

fn freshness(ours: &[Ours]) -> Vec<Row> {
    let row = |what, share, delays: fn(&Ours) -> &Delays| {
        Row::plain(what, over(ours, share, delays).unwrap_or(f64::MAX), "ms")
    };
    vec![
        row("progress to a gRPC watcher, p50", 0.5, |round| &round.fresh.grpc),
        row("progress to a gRPC watcher, p99", 0.99, |round| &round.fresh.grpc),
        row("progress to a Redis channel, p50", 0.5, |round| &round.fresh.redis),
        row("progress to a Redis channel, p99", 0.99, |round| &round.fresh.redis),
    ]
}
