//! Runs one of our analyses in this process, from the data set in memory to its findings.

use std::{fs, ops::Range, path::Path, time::Instant};

use analysis::{
    Data, Watch, arrow,
    autoencoder::Device,
    campaign::{self, Kind},
    longtail::{self, Part},
};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::bench::cpu;

use super::made::by_day;

const DAY: i64 = 86_400_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Longtail, from nothing
    Longtail,
    /// Longtail of one more day, with all earlier days cached
    Incremental,
    /// Snowshoe
    Snowshoe,
    /// Botnet
    Botnet,
}

/// The result of a measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Took {
    /// Elapsed seconds.
    pub wall: f64,
    /// CPU seconds of all threads.
    pub cpu: f64,
    /// Peak memory of the process, data set included, in MB.
    pub peak_mb: f64,
    /// Memory of the process before the analysis, with the data set loaded, in MB.
    pub data_mb: f64,
    pub n: usize,
    /// Number of distinct sessions, where the analysis reports it.
    pub unique: Option<u64>,
}

/// Reads the data set that [`super::made::make`] wrote, and measures.
pub fn measure(what: What, dir: &Path) -> anyhow::Result<Took> {
    let data = arrow::read(&fs::read(dir.join("data"))?)?;
    let n = data.sessions.len();
    anyhow::ensure!(n > 0, "the data set is empty");
    let range = data.sessions[0].started..data.sessions[n - 1].started + 1;
    match what {
        What::Longtail => {
            let days = by_day(&data);
            drop(data);
            timed(n, || {
                all_days(&days.into_iter().collect::<Vec<_>>(), Vec::new())
                    .map(|(_, _, outcome)| outcome.summary["distinct_forms"].as_u64())
            })
        }
        What::Incremental => {
            let mut days: Vec<(i64, Data)> = by_day(&data).into_iter().collect();
            drop(data);
            let last = days.pop().context("have a day")?;
            let (parts, model, _) = all_days(&days, Vec::new())?;
            let cached: Vec<(Range<i64>, Vec<u8>)> =
                parts.iter().map(|(range, part)| (range.clone(), part.to_bytes())).collect();
            drop((days, parts));
            timed(n, || one_more(&cached, &last, model))
        }
        What::Snowshoe | What::Botnet => timed(n, || {
            let kind = if what == What::Snowshoe { Kind::Snowshoe } else { Kind::Botnet };
            let mut tell = |_: &str, _: f64| true;
            campaign::detect(
                kind,
                &data,
                range,
                &campaign::Earlier::default(),
                &campaign::Parameters::default(),
                &mut Watch::new(&mut tell),
            )?;
            Ok(None)
        }),
    }
}

type Days = (Vec<(Range<i64>, Part)>, Vec<longtail::Model>, longtail::Outcome);

fn all_days(days: &[(i64, Data)], known: Vec<longtail::Model>) -> anyhow::Result<Days> {
    let mut tell = |_: &str, _: f64| true;
    let mut watch = Watch::new(&mut tell);
    let parts = days
        .iter()
        .map(|(at, data)| Ok((*at..at + DAY, Part::of(data, &mut watch)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (models, outcome) = analyse(&parts, known)?;
    Ok((parts, models, outcome))
}

fn one_more(
    cached: &[(Range<i64>, Vec<u8>)],
    (at, data): &(i64, Data),
    known: Vec<longtail::Model>,
) -> anyhow::Result<Option<u64>> {
    let mut tell = |_: &str, _: f64| true;
    let read = |(range, bytes): &(Range<i64>, Vec<u8>)| Some((range.clone(), Part::from_bytes(bytes)?));
    let mut parts: Vec<(Range<i64>, Part)> =
        cached.iter().map(read).collect::<Option<_>>().context("read a part again")?;
    parts.push((*at..at + DAY, Part::of(data, &mut Watch::new(&mut tell))?));
    Ok(analyse(&parts, known)?.1.summary["distinct_forms"].as_u64())
}

fn analyse(
    parts: &[(Range<i64>, Part)],
    known: Vec<longtail::Model>,
) -> anyhow::Result<(Vec<longtail::Model>, longtail::Outcome)> {
    let mut tell = |_: &str, _: f64| true;
    let borrowed: Vec<(Range<i64>, &Part)> =
        parts.iter().map(|(range, part)| (range.clone(), part)).collect();
    let (parameters, device) = (longtail::Parameters::default(), Device::open()?);
    let outcome = longtail::analyse(&borrowed, known, &parameters, &device, &mut Watch::new(&mut tell))?;
    Ok((outcome.model.iter().cloned().collect(), outcome))
}

fn timed(n: usize, run: impl FnOnce() -> anyhow::Result<Option<u64>>) -> anyhow::Result<Took> {
    let me = std::process::id();
    // Reset the peak: the highest value so far was reached while the data set was read.
    fs::write("/proc/self/clear_refs", "5").context("forget the peak of memory")?;
    let mb = |name: &str| cpu::memory(me, name).unwrap_or(0) as f64 / 1e6;
    let (data_mb, before, began) = (mb("VmRSS"), cpu::seconds(me), Instant::now());
    let unique = run()?;
    Ok(Took {
        wall: began.elapsed().as_secs_f64(),
        cpu: cpu::seconds(me) - before,
        peak_mb: mb("VmHWM"),
        data_mb,
        n,
        unique,
    })
}
