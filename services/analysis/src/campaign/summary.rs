//! The summary of a run. It has the fields of the predecessor's summary, so that its readers keep working.
//! Values that the predecessor computed wrongly are now right: docs/SNOWSHOE.md lists the differences.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Value, json};

use super::{
    Kind,
    grow::Campaign,
    quiet::is_quiet,
    report::round,
    source::{Family, Source, Sources},
};
use crate::{Data, Finding};

/// Most addresses in each list.
const MOST_LISTED: usize = 100;
/// A source with at most this many sessions is of low volume.
const LOW_VOLUME: usize = 5;
/// Two sources act at the same time when session starts of both lie within this many microseconds (six
/// minutes) of each other.
const NEAR: u64 = 360_000_000;
const COORDINATED: f64 = 0.3;
/// A credential that at least this many sources used counts as reused.
const REUSED: u32 = 3;

/// `findings` are the reported findings, `campaigns` the campaigns behind them.
pub(super) fn summary(
    kind: Kind,
    data: &Data,
    sources: &Sources,
    campaigns: &[&Campaign],
    findings: &[Finding],
) -> Value {
    let members: Vec<&Source> = campaigns
        .iter()
        .flat_map(|campaign| &campaign.members)
        .map(|&member| &sources.all[member as usize])
        .collect();
    let confidence = findings.iter().map(|finding| finding.confidence).fold(0.0, f64::max);
    let timing = timing(data, &members);
    let coordinated = timing["time_coordination_score"].as_f64().is_some_and(|score| score > COORDINATED);
    let spread = spread(&members);
    let mut summary = json!({
        "campaigns": findings.len(),
        "sources_in_campaigns": members.len(),
        "coordinated_timing": coordinated,
        "recommendation": recommendation(findings.len(), confidence),
        "analysis_metadata": { "total_sessions": data.sessions.len(), "unique_ips": sources.all.len() },
    });
    let own = match kind {
        Kind::Snowshoe => json!({
            "is_likely_snowshoe": !findings.is_empty(),
            "confidence_score": round(confidence),
            "single_attempt_ips": listed(members.iter().filter(|source| source.sessions.len() == 1)),
            "low_volume_ips": listed(members.iter().filter(|source| (2..=LOW_VOLUME).contains(&source.sessions.len()))),
            "geographic_spread": spread,
            "indicators": { "volume": volume(data, sources), "timing": timing, "geographic": { "network_diversity": spread }, "behavioral": behaviour(data, &members) },
        }),
        Kind::Botnet => json!({
            "is_likely_botnet": !findings.is_empty(),
            "coordination_score": round(confidence),
            "credential_reuse_ips": listed(sharing(&members, Family::Credential, REUSED)),
            "similar_command_ips": listed(sharing(&members, Family::Sequence, 2)),
            "geographic_clustering": spread.map(|spread| round(1.0 - spread)),
            "indicators": { "credentials": { "reused_by": sharing(&members, Family::Credential, REUSED).count() },
                "commands": { "same_sequence": sharing(&members, Family::Sequence, 2).count() }, "timing": timing, "geographic": { "network_diversity": spread } },
        }),
    };
    if let (Some(summary), Value::Object(own)) = (summary.as_object_mut(), own) {
        summary.extend(own);
    }
    summary
}

fn recommendation(campaigns: usize, confidence: f64) -> String {
    match campaigns {
        0 => "no campaign found".into(),
        1 => format!(
            "one campaign found, confidence {confidence:.2}: read its evidence, block its sources together"
        ),
        many => format!(
            "{many} campaigns found, the highest confidence is {confidence:.2}: read their evidence, block each one's sources together"
        ),
    }
}

fn listed<'a>(sources: impl Iterator<Item = &'a &'a Source>) -> Vec<String> {
    sources.take(MOST_LISTED).map(|source| source.address.to_string()).collect()
}

/// Counts all sources, in campaigns or not.
fn volume(data: &Data, sources: &Sources) -> Value {
    let total = sources.all.len();
    let count = |wanted: &dyn Fn(&Source) -> bool| sources.all.iter().filter(|source| wanted(source)).count();
    let (single, low, quiet) = (
        count(&|source| source.sessions.len() == 1),
        count(&|source| (2..=LOW_VOLUME).contains(&source.sessions.len())),
        count(&|source| is_quiet(data, source)),
    );
    let ratio = |part: usize| if total == 0 { 0.0 } else { part as f64 / total as f64 };
    json!({ "single_attempt_ips": single, "low_volume_ips": low, "quiet_ips": quiet, "single_attempt_ratio": ratio(single), "low_volume_ratio": ratio(single + low), "total_ips": total })
}

/// Counts the members' sessions that began near a session of another member.
fn timing(data: &Data, members: &[&Source]) -> Value {
    let mut starts: Vec<(i64, usize)> = members
        .iter()
        .enumerate()
        .flat_map(|(n, source)| source.sessions.iter().map(move |&index| (index, n)))
        .map(|(index, n)| (data.sessions[index as usize].started, n))
        .collect();
    starts.sort_unstable();
    let near = |one: &(i64, usize), other: &(i64, usize)| one.1 != other.1 && one.0.abs_diff(other.0) <= NEAR;
    let together = (0..starts.len())
        .filter(|&n| {
            n.checked_sub(1).is_some_and(|before| near(&starts[before], &starts[n]))
                || starts.get(n + 1).is_some_and(|after| near(after, &starts[n]))
        })
        .count();
    let score = if starts.is_empty() { 0.0 } else { together as f64 / starts.len() as f64 };
    json!({ "time_coordination_score": score, "clustered_points": together, "total_points": starts.len() })
}

/// Distinct /16 (/32) networks divided by sources, in (0, 1]. Countries and ASNs come with enrichment.
fn spread(members: &[&Source]) -> Option<f64> {
    let regions: BTreeSet<_> = members.iter().flat_map(|source| source.of(Family::Region)).collect();
    (!members.is_empty()).then(|| regions.len() as f64 / members.len() as f64)
}

fn behaviour(data: &Data, members: &[&Source]) -> Value {
    let durations: Vec<f64> = members
        .iter()
        .flat_map(|source| &source.sessions)
        .map(|&index| data.sessions[index as usize].seconds)
        .collect();
    let count = durations.len().max(1) as f64;
    let mean = durations.iter().sum::<f64>() / count;
    let variance = durations.iter().map(|seconds| (seconds - mean).powi(2)).sum::<f64>() / count;
    json!({ "avg_session_duration": mean, "duration_variance": variance })
}

/// Returns the members that share a token of a family with enough others.
fn sharing<'a>(
    members: &'a [&'a Source],
    family: Family,
    enough: u32,
) -> impl Iterator<Item = &'a &'a Source> {
    let mut counts = BTreeMap::<u32, u32>::new();
    members
        .iter()
        .flat_map(|source| source.of(family))
        .for_each(|&token| *counts.entry(token).or_default() += 1);
    let shared: HashSet<u32> =
        counts.into_iter().filter(|(_, count)| *count >= enough).map(|(token, _)| token).collect();
    members.iter().filter(move |source| source.of(family).iter().any(|token| shared.contains(token)))
}
