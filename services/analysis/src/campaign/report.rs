//! Turns campaigns into findings: who, when, and the evidence.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    Kind,
    grow::{Campaign, MARGIN},
    model::{Background, price},
    quiet::Overview,
    source::{Family, Source, Sources, Token},
};
use crate::{Data, Detector, Finding, Severity, finding::SessionName};

/// Most sessions that a finding names.
const MOST_SESSIONS: usize = 10_000;
/// Most entries in each list of the evidence.
const MOST_SHARED: usize = 12;
/// A token is typical of a campaign when at least one in N members has it …
const OFTEN: usize = 4;
/// … and when it is this many times as frequent there as elsewhere.
const TYPICAL_LIFT: f64 = 3.0;
/// Confidence of a campaign with the least margin: the default threshold.
const AT_MARGIN: f64 = 0.7;
/// A campaign with at least this many sources is one degree more severe.
const LARGE: usize = 50;

/// The lists in the evidence.
const LISTS: [(Family, &str); 7] = [
    (Family::Client, "clients"),
    (Family::Credential, "credentials"),
    (Family::Sequence, "command_sequences"),
    (Family::Command, "commands"),
    (Family::Artefact, "artefacts"),
    (Family::Target, "forward_targets"),
    (Family::Sensor, "sensors"),
];

/// The finding of a campaign, and what its id is made of.
pub(super) struct Draft {
    pub finding: Finding,
    pub first: SessionName,
    pub indicators: Vec<String>,
}

pub(super) struct Reporter<'a> {
    pub data: &'a Data,
    pub sources: &'a Sources,
    /// All sources, including members of campaigns.
    pub background: &'a Background,
    pub kind: Kind,
}

impl Reporter<'_> {
    /// Builds the finding of a campaign, without its id.
    pub fn draft(&self, campaign: &Campaign, overview: &Overview) -> Option<Draft> {
        let members: Vec<&Source> =
            campaign.members.iter().map(|&member| &self.sources.all[member as usize]).collect();
        let sessions = &overview.sessions;
        let (first, last) = (
            &self.data.sessions[*sessions.first()? as usize],
            &self.data.sessions[*sessions.last()? as usize],
        );
        let counts = counts(&members);
        let indicators = self.indicators(&counts, members.len());
        let sensors: BTreeSet<&str> =
            sessions.iter().map(|&index| self.data.text(self.data.sessions[index as usize].sensor)).collect();
        let families: Map<_, _> = Family::ALL
            .iter()
            .filter(|&&family| campaign.evidence[family as usize] != 0.0)
            .map(|&family| (family.name().into(), json!(round(campaign.evidence[family as usize]))))
            .collect();
        let mut evidence = json!({
            "members": members.len(),
            "sessions": sessions.len(),
            "sensors": sensors.len(),
            "nats_by_family": families,
            "price": round(price(self.sources.all.len(), members.len())),
            "margin": round(campaign.margin),
            "shared": self.shared(&counts, members.len()),
            "networks": self.networks(&members),
            "indicators": indicators,
        });
        if let (Some(evidence), Value::Object(more)) = (evidence.as_object_mut(), overview.evidence.clone()) {
            evidence.extend(more);
        }
        let first_name = self.data.name(first);
        let finding = Finding {
            kind: self.kind.into(),
            rule: Detector::Campaign.into(),
            key: String::new(),
            title: self.title(
                campaign,
                sessions.len(),
                sensors.len(),
                last.started.saturating_sub(first.started),
            ),
            severity: self.severity(&members),
            confidence: confidence(campaign.margin),
            first_seen: first.started,
            last_seen: last.started,
            sensor: (sensors.len() == 1).then(|| sensors.iter().copied().collect()),
            evidence,
            sources: members.iter().map(|source| source.address.to_string()).collect(),
            sessions: sessions
                .iter()
                .take(MOST_SESSIONS)
                .map(|&index| self.data.name(&self.data.sessions[index as usize]))
                .collect(),
        };
        Some(Draft { finding, first: first_name, indicators })
    }

    fn title(&self, campaign: &Campaign, sessions: usize, sensors: usize, span: i64) -> String {
        let mut families: Vec<Family> =
            Family::ALL.iter().copied().filter(|&family| campaign.evidence[family as usize] >= 1.0).collect();
        families.sort_by(|&one, &other| {
            campaign.evidence[other as usize].total_cmp(&campaign.evidence[one as usize])
        });
        let shared: Vec<String> =
            families.iter().take(4).map(|family| family.name().replace('_', " ")).collect();
        let quiet = if self.kind == Kind::Snowshoe { "quiet " } else { "" };
        format!(
            "{} {quiet}sources act together: {sessions} sessions on {sensors} sensor{} over {:.1} days; in common: {}",
            campaign.members.len(),
            if sensors == 1 { "" } else { "s" },
            span as f64 / 86_400e6,
            shared.join(", ")
        )
    }

    /// The severity follows from what the sources achieved: nothing, a login, or an action. It is one degree
    /// higher for many sources.
    fn severity(&self, members: &[&Source]) -> Severity {
        let sessions = || {
            members
                .iter()
                .flat_map(|source| &source.sessions)
                .map(|&index| &self.data.sessions[index as usize])
        };
        let acted =
            sessions().any(|session| session.sequence.is_some() || !self.data.files(session).is_empty());
        let entered = sessions().any(|session| self.data.logins(session).iter().any(|login| login.success));
        match (acted, entered, members.len() >= LARGE) {
            (true, _, true) => Severity::Critical,
            (true, _, false) => Severity::High,
            (false, true, true) => Severity::High,
            (false, true, false) | (false, false, true) => Severity::Medium,
            (false, false, false) => Severity::Low,
        }
    }

    /// Returns the tokens that are typical of the campaign, strongest first.
    fn telling(
        &self,
        counts: &BTreeMap<Token, u32>,
        members: usize,
        family: Family,
    ) -> Vec<(Token, u32, u32)> {
        let all = self.sources.all.len().max(1) as f64;
        let mut telling: Vec<(f64, Token, u32, u32)> = counts
            .iter()
            .filter(|(token, count)| {
                self.sources.families[**token as usize] == family
                    && **count as usize * OFTEN >= members
                    && **count > 1
            })
            .map(|(&token, &count)| {
                let elsewhere = self.background.count(token).saturating_sub(count);
                let lift = (f64::from(count) / members as f64) / ((f64::from(elsewhere) + 0.5) / all);
                (f64::from(count) * lift.ln(), token, count, elsewhere)
            })
            .filter(|(strength, _, count, _)| *strength >= f64::from(*count) * TYPICAL_LIFT.ln())
            .collect();
        telling.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        telling
            .into_iter()
            .take(MOST_SHARED)
            .map(|(_, token, count, elsewhere)| (token, count, elsewhere))
            .collect()
    }

    fn shared(&self, counts: &BTreeMap<Token, u32>, members: usize) -> Value {
        let list = |family| -> Vec<Value> {
            let entry = |(token, count, elsewhere)| json!({ "value": self.sources.label(self.data, token), "members": count, "others": elsewhere });
            self.telling(counts, members, family).into_iter().map(entry).collect()
        };
        Value::Object(
            LISTS
                .iter()
                .map(|&(family, name)| (name.into(), list(family).into()))
                .filter(|(_, list): &(_, Value)| list.as_array().is_some_and(|list| !list.is_empty()))
                .collect(),
        )
    }

    /// Returns what others may look for. Credentials and commands are hashed: they are long, and passwords
    /// must not be readable by everybody.
    fn indicators(&self, counts: &BTreeMap<Token, u32>, members: usize) -> Vec<String> {
        let mut indicators = Vec::new();
        for (family, prefix) in [
            (Family::Artefact, ""),
            (Family::Target, "forward:"),
            (Family::Client, "client:"),
            (Family::Sequence, "sequence:"),
            (Family::Credential, "credential:"),
        ] {
            for (token, _, _) in self.telling(counts, members, family) {
                let label = self.sources.label(self.data, token);
                let hashed = matches!(family, Family::Sequence | Family::Credential);
                indicators.push(if hashed {
                    format!("{prefix}{}", &blake3::hash(label.as_bytes()).to_hex()[..16])
                } else {
                    format!("{prefix}{label}")
                });
            }
        }
        indicators
    }

    /// Returns the networks that contain several members.
    fn networks(&self, members: &[&Source]) -> Value {
        let mut nets = BTreeMap::<String, usize>::new();
        for source in members {
            let net = match source.address {
                std::net::IpAddr::V4(v4) => {
                    let [a, b, c, _] = v4.octets();
                    format!("{a}.{b}.{c}.0/24")
                }
                std::net::IpAddr::V6(v6) => {
                    let [a, b, c, ..] = v6.segments();
                    format!("{a:x}:{b:x}:{c:x}::/48")
                }
            };
            *nets.entry(net).or_default() += 1;
        }
        let distinct = nets.len();
        let mut several: Vec<_> = nets.into_iter().filter(|(_, count)| *count > 1).collect();
        several.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        json!({ "distinct": distinct, "several": several.into_iter().take(MOST_SHARED).map(|(net, count)| json!({ "net": net, "members": count })).collect::<Vec<_>>() })
    }
}

fn counts(members: &[&Source]) -> BTreeMap<Token, u32> {
    let mut counts = BTreeMap::new();
    members
        .iter()
        .flat_map(|source| &source.tokens)
        .for_each(|&token| *counts.entry(token).or_default() += 1);
    counts
}

/// Maps the margin to [0, 1): the default threshold at the least margin, 0.9 at a little more than four times
/// it, never 1.
fn confidence(margin: f64) -> f64 {
    let half = MARGIN * (1.0 - AT_MARGIN) / AT_MARGIN;
    let margin = margin.max(0.0);
    margin / (margin + half)
}

/// Rounds to hundredths: more digits would only look exact.
pub(super) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Formats a day since 1970 as `2024-03-01`.
pub(super) fn date(day: i64) -> String {
    chrono::DateTime::from_timestamp(day.saturating_mul(86_400), 0)
        .map_or_else(|| day.to_string(), |at| at.format("%Y-%m-%d").to_string())
}
