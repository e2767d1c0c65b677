//! The results as a table and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::rates::{Measured, Part};

/// A bare publisher slower than this share of its own best makes the run void.
const BARE_SHARE: f64 = 0.6;

/// A value beside its reference.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub what: &'static str,
    pub value: f64,
    /// Unit of the value and of its reference.
    pub unit: &'static str,
    /// Name and value of the reference, measured in the same run.
    pub reference: Option<(&'static str, f64)>,
    /// The budget of this value.
    pub budget: &'static str,
    /// Whether the budget is met.
    pub met: Option<bool>,
}

impl Row {
    /// A value without a reference or a budget.
    pub fn plain(what: &'static str, value: f64, unit: &'static str) -> Self {
        Self { what, value, unit, reference: None, budget: "", met: None }
    }

    /// Sets the budget, and whether it is met.
    pub fn budget(self, budget: &'static str, met: bool) -> Self {
        Self { budget, met: Some(met), ..self }
    }

    /// Sets the reference, measured in the same run.
    pub fn beside(self, what: &'static str, value: f64) -> Self {
        Self { reference: Some((what, value)), ..self }
    }

    fn ratio(&self) -> Option<f64> {
        self.reference.map(|(_, value)| self.value / value)
    }

    fn met(self, budget: &'static str, met: impl Fn(f64) -> bool) -> Self {
        let met = self.ratio().is_some_and(met);
        self.budget(budget, met)
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub setting: BTreeMap<&'static str, String>,
    pub rows: Vec<Row>,
    /// Why the run is void; empty when it is not.
    pub void: Vec<String>,
}

/// Returns the rates as rows: medians over the rounds.
pub fn rates(measured: &[(Part, Measured)], events: usize) -> Vec<Row> {
    let rates = |part: Part| -> Vec<f64> {
        let mine = measured.iter().filter(|(which, _)| *which == part);
        mine.map(|(_, measured)| events as f64 / measured.took.as_secs_f64()).collect()
    };
    let per_cpu = |part: Part, seconds: fn(&Measured) -> f64| {
        median(
            measured
                .iter()
                .filter(|(which, _)| *which == part)
                .map(|(_, measured)| events as f64 / seconds(measured))
                .collect(),
        )
    };
    let rate = |what, part| median(rates(part)).map(|rate| Row::plain(what, rate, "events/s"));
    let publish = rate("bare publish", Part::Publish);
    let insert = rate("bare insert", Part::Insert);
    let beside = |row: Option<Row>, reference: &Option<Row>| {
        row.map(|row| match reference {
            Some(reference) => row.beside(reference.what, reference.value),
            None => row,
        })
    };
    let load = beside(rate("loader: file to acknowledged", Part::Load), &publish)
        .map(|row| row.met("≥ 80 % of bare", |ratio| ratio >= 0.8));
    let process = beside(rate("processor: stream to committed", Part::Process), &insert)
        .map(|row| row.met("≥ 45 % of bare", |ratio| ratio >= 0.45));
    let without = beside(rate("processor, without windows", Part::ProcessWithoutPanes), &insert)
        .map(|row| row.met("≥ 50 % of bare", |ratio| ratio >= 0.5));
    let whole = beside(rate("both: file to committed", Part::Whole), &insert)
        .map(|row| row.met("≥ 50 % of bare", |ratio| ratio >= 0.5));
    let loader = per_cpu(Part::Load, |measured| measured.cpu.ours)
        .map(|rate| Row::plain("loader, publishing included", rate, "events per CPU-second"));
    let loader = loader.map(|row| {
        let met = row.value >= 100_000.0;
        row.budget("≥ 100 k without publishing", met)
    });
    let all = per_cpu(Part::Whole, |measured| measured.cpu.total());
    let all = all.map(|rate| {
        Row::plain("both, NATS and Postgres included", rate, "events per CPU-second")
            .beside("cowrieprocessor, published", 1331.0)
    });
    [publish, load, loader, insert, process, without, whole, all].into_iter().flatten().collect()
}

/// Returns why the rates must not be used.
pub fn void(
    measured: &[(Part, Measured)],
    events: usize,
    remembered: Option<f64>,
    busy: &[f64],
) -> Vec<String> {
    let bare = measured
        .iter()
        .filter(|(part, _)| *part == Part::Publish)
        .map(|(_, measured)| events as f64 / measured.took.as_secs_f64());
    let (worst, best) = bare.fold((f64::MAX, remembered.unwrap_or_default()), |(worst, best), rate| {
        (worst.min(rate), best.max(rate))
    });
    let mut why = Vec::new();
    if worst < BARE_SHARE * best {
        why.push(format!("the bare publisher reached {worst:.0} events/s; its best is {best:.0}"));
    }
    let most = busy.iter().copied().fold(0.0, f64::max);
    if most > 0.2 {
        why.push(format!("the machine was {:.0} % busy while nothing of this run was running", 100.0 * most));
    }
    why
}

impl Report {
    /// Prints the table, or JSON.
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            boot::say!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        for (name, value) in &self.setting {
            boot::say!("{name}: {value}");
        }
        boot::say!("");
        for row in &self.rows {
            let reference =
                row.reference.map_or_else(String::new, |(what, value)| format!("{what} {}", number(value)));
            let ratio = row.ratio().map_or_else(String::new, |ratio| {
                if ratio < 3.0 { format!("{:.0} %", 100.0 * ratio) } else { format!("{ratio:.0} ×") }
            });
            let met = row.met.map_or("", |met| if met { "met" } else { "MISSED" });
            boot::say!(
                "{:<34} {:>9} {:<21}  {reference:<34} {ratio:>7}  {:<28} {met}",
                row.what,
                number(row.value),
                row.unit,
                row.budget
            );
        }
        for why in &self.void {
            boot::say!("VOID: {why}");
        }
        Ok(())
    }
}

fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// Returns the median, or `None` without values.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Returns the smallest value that this share of the values does not exceed, or `None` without values.
pub fn quantile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}
