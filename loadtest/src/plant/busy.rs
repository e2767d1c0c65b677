//! Busy days: several times as many attackers as usual, who are unrelated.

use std::ops::Range;

use crate::generate::{Plan, kind::Kind};

use super::{
    campaign::tries,
    credentials::{Credential, common, popular},
    ground::{DAY, Ground, HOUR, Visit, common_client, someone, unnamed_client},
    log::stream,
};

/// Returns spans of days, apart from each other where there is room, with the factor on the number of
/// attackers.
pub fn days(plan: &Plan, end: i64, wanted: usize) -> Vec<(Range<i64>, f64)> {
    let mut random = stream(plan.seed, 1);
    let all = (end.saturating_sub(plan.start) / DAY as i64).max(1) as usize;
    let mut days: Vec<usize> = Vec::new();
    while days.len() < wanted.min(all) {
        let day = random.below(all);
        if !days.contains(&day) {
            days.push(day);
        }
    }
    days.sort_unstable();
    let span = |day: usize| {
        plan.start + day as i64 * DAY as i64..(plan.start + (day as i64 + 1) * DAY as i64).min(end)
    };
    days.into_iter().map(|day| (span(day), random.between(2.0, 5.0))).collect()
}

/// Plants unrelated addresses that try the most common credentials, each at its own pace.
pub fn crowd(ground: &mut Ground<'_>, span: Range<i64>) {
    let mut random = ground.stream();
    let long = (span.end - span.start) as f64;
    for _ in 0..60 + random.below(400) {
        let client =
            if random.chance(0.8) { common_client(&mut random) } else { unnamed_client(&mut random) };
        let mut who = someone(ground.stream(), ground.address(), client, "".into());
        let sessions = 1 + random.below(8).min(random.below(8));
        let pause = random.lognormal(0.5 * HOUR, 1.2);
        let mut at = span.start as f64 + random.unit() * long;
        let only = random.chance(0.6).then(|| random.below(ground.sensors.len()));
        for _ in 0..sessions {
            let sensor = only.unwrap_or_else(|| random.below(ground.sensors.len()));
            let right = random.chance(0.25);
            let credentials: Vec<Credential> = (0..1 + random.below(3))
                .map(|_| if random.chance(0.6) { popular(&mut random) } else { common(&mut random) })
                .collect();
            let visit = Visit {
                at: at as i64,
                sensor,
                kind: if right { Kind::Enter } else { Kind::Guess },
                seconds: None,
            };
            if span.contains(&visit.at) {
                ground.visit(&mut who, &visit, |script| tries(script, credentials, right));
            }
            at += random.exponential(pause);
        }
        ground.truth.crowd.push(who.source.to_string());
    }
}
