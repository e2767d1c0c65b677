//! Emerging patterns: patterns with clearly more sources recently than before.
//!
//! Each pattern is counted as distinct sources per slot of four hours. The counts in the last seventh of the
//! window and before are compared by the conditional test of two Poisson rates (Przyborowski & Wilenski
//! 1940). The counts of all patterns are the exposure, so that a busy day makes nothing emerge. Counts are
//! divided by their earlier dispersion, so that patterns which always come in bursts do not emerge either.
//! The p-values are adjusted for the number of patterns (Benjamini & Hochberg 1995).

use std::collections::BTreeMap;

use super::part::{Part, PatternCount, PatternKind};
use crate::statistics::{benjamini_hochberg, ln_two_rates};

/// The recent part is one in N of the window.
const LATELY: i64 = 7;
/// Least number of recent slots.
const LEAST_SLOTS: i64 = 1;
/// Least number of earlier slots, so that there is something to compare with.
const LEAST_BEFORE: i64 = 5;
/// Least number of recent source-slots (distinct sources, added over the slots) of a pattern.
const LEAST_SOURCES: u32 = 3;
/// Largest false discovery rate of the reported patterns.
const Q: f64 = 0.01;
/// Least ratio of the recent frequency to the earlier one.
const LIFT: f64 = 3.0;

pub(super) struct Emerging<'a> {
    pub kind: PatternKind,
    pub text: &'a str,
    pub sessions: u64,
    /// Recent and earlier source-slots.
    pub lately: u32,
    pub before: u32,
    /// Recent source-slots expected from its earlier share.
    pub expected: f64,
    pub dispersion: f64,
    pub q: f64,
}

impl Emerging<'_> {
    /// 0.7 for the largest q that is reported, 0.95 for 1e-10.
    pub fn confidence(&self) -> f64 {
        1.0 - 0.3 * (self.q / Q).clamp(0.0, 1.0).powf(0.1)
    }
}

/// Returns emerging patterns, most significant first, and the number of patterns compared.
pub(super) fn emerging(all: &Part) -> (Vec<Emerging<'_>>, usize) {
    let (Some((&first, _)), Some((&last, _))) = (all.slots.first_key_value(), all.slots.last_key_value())
    else {
        return (Vec::new(), 0);
    };
    let slots = last - first + 1;
    let lately = (slots / LATELY).max(LEAST_SLOTS);
    if slots - lately < LEAST_BEFORE {
        return (Vec::new(), 0);
    }
    let from = last - lately + 1;
    let exposure = |slots: &BTreeMap<i64, u32>| (sum(slots, from..=last), sum(slots, first..=from - 1));
    let (now, before) = exposure(&all.slots);
    let mut compared = Vec::new();
    let mut ln_p = Vec::new();
    for ((kind, text), seen) in &all.patterns {
        let (sources, sources_before) = exposure(&seen.slots);
        if sources < LEAST_SOURCES || before == 0 {
            continue;
        }
        let dispersion = dispersion(seen, &all.slots, first..from);
        let scaled = |count: u32| (f64::from(count) / dispersion).round() as u64;
        ln_p.push(ln_two_rates(scaled(sources), f64::from(now), scaled(sources_before), f64::from(before)));
        let expected = f64::from(sources_before) * f64::from(now) / f64::from(before);
        compared.push(Emerging {
            kind: *kind,
            text,
            sessions: seen.sessions,
            lately: sources,
            before: sources_before,
            expected,
            dispersion,
            q: 1.0,
        });
    }
    let q = benjamini_hochberg(&ln_p.iter().map(|ln_p| ln_p.exp()).collect::<Vec<_>>());
    let tested = compared.len();
    compared.iter_mut().zip(q).for_each(|(one, q)| one.q = q);
    compared.retain(|one| one.q <= Q && f64::from(one.lately) >= LIFT * one.expected.max(1.0));
    compared.sort_by(|one, other| {
        one.q
            .total_cmp(&other.q)
            .then_with(|| other.lately.cmp(&one.lately))
            .then_with(|| (one.kind, one.text).cmp(&(other.kind, other.text)))
    });
    (compared, tested)
}

fn sum(slots: &BTreeMap<i64, u32>, range: std::ops::RangeInclusive<i64>) -> u32 {
    if range.is_empty() { 0 } else { slots.range(range).map(|(_, count)| count).sum() }
}

/// Pearson's χ² of the earlier counts, Σ (observed − expected)² / expected, divided by its degrees of
/// freedom; expected is the pattern's share of the slot's activity. At least 1, the value of a Poisson
/// process.
fn dispersion(seen: &PatternCount, all: &BTreeMap<i64, u32>, before: std::ops::Range<i64>) -> f64 {
    let active: Vec<(i64, f64)> = all
        .range(before)
        .filter(|(_, count)| **count > 0)
        .map(|(&slot, &count)| (slot, f64::from(count)))
        .collect();
    let observed = |slot: &i64| f64::from(seen.slots.get(slot).copied().unwrap_or(0));
    let (mine, total): (f64, f64) =
        active.iter().fold((0.0, 0.0), |(mine, total), (slot, count)| (mine + observed(slot), total + count));
    if mine == 0.0 || active.len() < 2 {
        return 1.0;
    }
    let pearson: f64 = active
        .iter()
        .map(|(slot, count)| (observed(slot) - mine / total * count).powi(2) / (mine / total * count))
        .sum();
    (pearson / (active.len() - 1) as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(patterns: &[(&str, &[u32])], activity: &[u32]) -> Part {
        let slots = |counts: &[u32]| {
            counts
                .iter()
                .zip(0..)
                .filter(|(count, _)| **count > 0)
                .map(|(&count, slot)| (slot, count))
                .collect()
        };
        let seen = |counts: &[u32]| PatternCount {
            sessions: counts.iter().map(|&count| u64::from(count)).sum(),
            slots: slots(counts),
        };
        let patterns = patterns
            .iter()
            .map(|(text, counts)| ((PatternKind::Command, (*text).to_owned()), seen(counts)))
            .collect();
        Part { slots: slots(activity), patterns, ..Part::default() }
    }

    #[test]
    fn what_is_new_emerges_and_what_a_busy_day_or_a_burst_brings_does_not() {
        let activity: Vec<u32> = (0..14).map(|slot| if slot < 12 { 100 } else { 300 }).collect();
        let steady: Vec<u32> = activity.iter().map(|count| count / 10).collect();
        let new: Vec<u32> = (0..14).map(|slot| if slot < 12 { 0 } else { 12 }).collect();
        let bursts: Vec<u32> = (0..14).map(|slot| if slot % 6 == 1 { 40 } else { 0 }).collect();
        let part = part(&[("steady", &steady), ("new", &new), ("bursts", &bursts)], &activity);
        let (found, compared) = emerging(&part);
        assert_eq!((found.iter().map(|one| one.text).collect::<Vec<_>>(), compared), (vec!["new"], 3));
        assert!(found[0].q < 1e-6);
    }
}
