//! Turns the results of longtail into findings that a person can check.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::{
    Parameters,
    emerging::Emerging,
    part::{CarriedPayload, Example, Form, Part, PatternKind, bounded},
    payload::Payload,
    score::{FormScore, SCORERS, Scores, SequenceScore},
    shape::names,
};
use crate::{Detector, Finding, Severity, finding::credential};

/// Below this number of sessions nothing is reported: everything would be rare.
const LEAST_SESSIONS: u64 = 20;
/// Most features that a finding names.
const MOST_FEATURES: usize = 5;
/// Most commands that a finding of a group lists.
const MOST_COMMANDS: usize = 20;
/// Most characters of a command in a title.
const TITLE: usize = 80;
/// Most passwords in each list.
const MOST_PASSWORDS: usize = 20;

pub(super) struct Found {
    pub findings: Vec<Finding>,
    pub counts: Value,
    pub passwords: Value,
}

impl Found {
    pub fn of(all: &Part, scores: &Scores<'_>, emerging: &[Emerging<'_>], parameters: &Parameters) -> Self {
        let reporter = Reporter::of(all, scores, parameters.threshold);
        let carriers = reporter.carriers(emerging);
        let detectors: [(&str, Vec<Finding>); 5] = [
            ("rare_commands", reporter.rare_commands()),
            ("anomalous_sequences", reporter.anomalous_sequences()),
            ("outlier_sessions", reporter.outlier_sessions()),
            (
                "emerging_patterns",
                emerging.iter().map(|one| reporter.emerging_pattern(one, &carriers)).collect(),
            ),
            ("high_entropy_payloads", reporter.payloads()),
        ];
        let counts =
            detectors.iter().map(|(name, findings)| ((*name).to_owned(), json!(findings.len()))).collect();
        let by_confidence = |one: &Finding, other: &Finding| {
            other
                .confidence
                .total_cmp(&one.confidence)
                .then_with(|| other.severity.cmp(&one.severity))
                .then_with(|| (one.rule.name(), &one.key).cmp(&(other.rule.name(), &other.key)))
        };
        let mut findings = Vec::new();
        for (_, mut found) in detectors {
            found.retain(|finding| finding.confidence >= parameters.threshold);
            found.sort_by(by_confidence);
            found.truncate(parameters.most_findings);
            findings.extend(found);
        }
        findings.sort_by(by_confidence);
        Self { findings, counts: Value::Object(counts), passwords: reporter.passwords(emerging) }
    }
}

struct Reporter<'a> {
    all: &'a Part,
    scores: &'a Scores<'a>,
    threshold: f64,
    names: Vec<String>,
    /// The median of each element.
    usual: Vec<f64>,
    /// The forms of each sequence.
    forms: BTreeMap<[u8; 16], Vec<&'a Form>>,
}

impl<'a> Reporter<'a> {
    fn of(all: &'a Part, scores: &'a Scores<'a>, threshold: f64) -> Self {
        let mut forms = BTreeMap::<[u8; 16], Vec<&Form>>::new();
        for ((_, sequence), form) in &all.forms {
            if let Some(sequence) = sequence {
                forms.entry(*sequence).or_default().push(form);
            }
        }
        Self { all, scores, threshold, names: names(), usual: usual(all, scores), forms }
    }

    /// Reports commands that few sessions typed, grouped by identical sets of sessions.
    fn rare_commands(&self) -> Vec<Finding> {
        let typing = self.all.typing;
        if typing < LEAST_SESSIONS {
            return Vec::new();
        }
        let odd = |sessions: u64| (typing as f64 / sessions.max(1) as f64).ln() / (typing as f64).ln();
        let mut typed_in = BTreeMap::<String, Vec<[u8; 16]>>::new();
        for fingerprint in self.scores.sequences.keys() {
            let Some(typed) = self.all.sequences.get(fingerprint) else { continue };
            for line in typed.commands.lines().map(bounded) {
                let sessions = self.scores.commands.get(line.as_ref()).copied().unwrap_or(1);
                if odd(sessions) >= self.threshold {
                    let sequences = typed_in.entry(line.into_owned()).or_default();
                    if sequences.last() != Some(fingerprint) {
                        sequences.push(*fingerprint);
                    }
                }
            }
        }
        let mut groups = BTreeMap::<Vec<[u8; 16]>, Vec<String>>::new();
        typed_in
            .into_iter()
            .for_each(|(command, sequences)| groups.entry(sequences).or_default().push(command));
        groups.into_iter().map(|(sequences, commands)| self.rare_group(&sequences, &commands, odd)).collect()
    }

    fn rare_group(&self, sequences: &[[u8; 16]], commands: &[String], odd: impl Fn(u64) -> f64) -> Finding {
        let sessions = self.scores.commands.get(commands[0].as_str()).copied().unwrap_or(1);
        let examples = self.examples_of(sequences);
        let evidence = json!({
            "commands": commands.iter().take(MOST_COMMANDS).collect::<Vec<_>>(),
            "rare_commands": commands.len(),
            "sessions": sessions,
            "sessions_with_commands": self.all.typing,
            "formula": "ln(sessions_with_commands / sessions) / ln(sessions_with_commands)",
        });
        let more =
            if commands.len() > 1 { format!(" and {} more", commands.len() - 1) } else { String::new() };
        let title =
            format!("{} of {} sessions typed `{}`{more}", sessions, self.all.typing, short(&commands[0]));
        self.finding(
            Detector::RareCommand,
            commands[0].clone(),
            title,
            Severity::Low,
            odd(sessions),
            evidence,
            &examples,
        )
    }

    /// Reports sequences that are far from every ordinary sequence.
    fn anomalous_sequences(&self) -> Vec<Finding> {
        if self.all.typing < LEAST_SESSIONS {
            return Vec::new();
        }
        let odd =
            self.scores.sequences.values().filter(|one| one.distance > 0.0 && one.oddness >= self.threshold);
        odd.map(|one| self.anomalous_sequence(one)).collect()
    }

    fn anomalous_sequence(&self, one: &SequenceScore) -> Finding {
        let typed = self.all.sequences.get(&one.fingerprint);
        let commands: Vec<&str> =
            typed.map(|typed| typed.commands.lines().take(MOST_COMMANDS).collect()).unwrap_or_default();
        let evidence = json!({
            "commands": commands,
            "length": typed.map(|typed| typed.length),
            "sessions": one.sessions,
            "cosine_distance": one.distance,
            "ordinary_below": super::score::ALIKE,
            "nearest_normal": one.nearest.and_then(|nearest| self.sequence_example(nearest)),
            "detectors": ["tfidf_dbscan"],
        });
        let title = format!(
            "a sequence of {} commands like no usual one: `{}`",
            typed.map_or(0, |typed| typed.length),
            short(commands.first().copied().unwrap_or_default())
        );
        self.finding(
            Detector::AnomalousSequence,
            hex(&one.fingerprint),
            title,
            Severity::Medium,
            one.oddness,
            evidence,
            &self.examples_of(&[one.fingerprint]),
        )
    }

    fn sequence_example(&self, fingerprint: [u8; 16]) -> Option<Value> {
        let typed = self.all.sequences.get(&fingerprint)?;
        let (sensor, session) =
            self.examples_of(&[fingerprint]).first().map(|example| example.name.clone())?;
        let sessions = self.scores.sequences.get(&fingerprint).map(|one| one.sessions);
        Some(
            json!({ "sensor": sensor, "session": session, "sessions": sessions, "commands": typed.commands.lines().take(MOST_COMMANDS).collect::<Vec<_>>() }),
        )
    }

    /// Reports sessions with a high combined score.
    fn outlier_sessions(&self) -> Vec<Finding> {
        if self.all.sessions < LEAST_SESSIONS {
            return Vec::new();
        }
        self.scores
            .forms
            .iter()
            .filter(|form| form.score >= self.threshold)
            .map(|form| self.outlier(form))
            .collect()
    }

    fn outlier(&self, form: &FormScore<'_>) -> Finding {
        let detectors: serde_json::Map<_, _> = SCORERS
            .iter()
            .zip(form.oddness)
            .filter(|(_, odd)| *odd > 0.0)
            .map(|(scorer, odd)| (scorer.name().to_owned(), json!(odd)))
            .collect();
        let features = self.features(form);
        let typed = form.sequence.and_then(|sequence| self.all.sequences.get(&sequence));
        let evidence = json!({
            "detectors": detectors,
            "features": features,
            "sessions": form.form.sessions,
            "commands": typed.map(|typed| typed.commands.lines().take(MOST_COMMANDS).collect::<Vec<_>>()),
            "nearest_normal": self.nearest_normal(form),
        });
        let why: Vec<String> = features
            .iter()
            .take(3)
            .filter_map(|feature| feature["name"].as_str())
            .map(|name| name.replace('_', " "))
            .collect();
        let title = format!("a session unlike the others: {}", why.join(", "));
        let mut key = blake3::Hasher::new();
        key.update(form.shape.levels()).update(form.sequence.as_ref().map_or(&[][..], |sequence| sequence));
        let touched = ["downloads", "uploads", "files"]
            .iter()
            .any(|name| self.place(name).is_some_and(|place| form.shape.levels()[place] > 0));
        let severity = match (touched, form.sequence.is_some()) {
            (true, _) => Severity::High,
            (false, true) => Severity::Medium,
            (false, false) => Severity::Low,
        };
        let examples: Vec<&Example> = form.form.examples.iter().collect();
        let mut finding = self.finding(
            Detector::OutlierSession,
            key.finalize().to_hex()[..32].to_owned(),
            title,
            severity,
            form.score,
            evidence,
            &examples,
        );
        finding.last_seen = finding.last_seen.max(form.form.last);
        finding
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|one| one == name)
    }

    /// Returns the elements with the largest reconstruction errors, with their usual values.
    fn features(&self, form: &FormScore<'_>) -> Vec<Value> {
        let errors = self.scores.errors.row(form.place);
        let total: f32 = errors.sum();
        let mut order: Vec<usize> = (0..errors.len()).collect();
        order.sort_by(|&one, &other| errors[other].total_cmp(&errors[one]));
        let feature = |place: usize| json!({ "name": self.names[place], "value": round(form.shape.value(place)), "usual": round(self.usual[place]), "share_of_error": round(f64::from(errors[place] / total.max(f32::MIN_POSITIVE))) });
        order.into_iter().take(MOST_FEATURES).filter(|&place| errors[place] > 0.0).map(feature).collect()
    }

    /// Returns the nearest ordinary session, and how this one differs.
    fn nearest_normal(&self, form: &FormScore<'_>) -> Option<Value> {
        let (place, distance) = self.scores.nearest[form.place]?;
        let shape = self.scores.shapes[place];
        let example = self.scores.forms.iter().find(|one| one.place == place)?.form.examples.first()?;
        let differs: Vec<Value> = (0..self.names.len())
            .filter(|&n| form.shape.levels()[n] != shape.levels()[n])
            .map(|n| json!({ "name": self.names[n], "value": round(form.shape.value(n)), "theirs": round(shape.value(n)) }))
            .collect();
        Some(
            json!({ "sensor": example.name.0, "session": example.name.1, "distance": round(distance), "differs": differs }),
        )
    }

    fn emerging_pattern(&self, one: &Emerging<'_>, carriers: &HashMap<&str, Vec<[u8; 16]>>) -> Finding {
        let (kind, value) = match one.kind {
            PatternKind::Command => ("command", json!(one.text)),
            PatternKind::Credential => ("credential", json!(joined(one.text))),
            PatternKind::Client => ("client", json!(one.text)),
            PatternKind::File => ("file", json!(one.text)),
            PatternKind::Host => ("host", json!(one.text)),
        };
        let shown = if one.kind == PatternKind::Credential {
            String::new()
        } else {
            format!(" `{}`", short(one.text))
        };
        let times = if one.before == 0 {
            "new".to_owned()
        } else {
            format!("{:.0} times as frequent as before", f64::from(one.lately) / one.expected.max(0.1))
        };
        let title = format!("{times}: {kind}{shown}");
        let evidence = json!({
            kind: value, "sessions": one.sessions, "sources_lately": one.lately, "sources_before": one.before, "expected_lately": round(one.expected),
            "dispersion": round(one.dispersion), "q": one.q, "counted": "distinct sources of slots of four hours", "test": "two Poisson rates, Benjamini-Hochberg",
        });
        let carried_by = carriers.get(one.text).filter(|_| one.kind == PatternKind::Command);
        let examples = carried_by.map(|sequences| self.examples_of(sequences)).unwrap_or_default();
        let severity = if matches!(one.kind, PatternKind::File | PatternKind::Host) {
            Severity::High
        } else {
            Severity::Medium
        };
        let confidence = one.confidence();
        let key = if one.kind == PatternKind::Credential {
            format!("credential:{}", &blake3::hash(one.text.as_bytes()).to_hex()[..32])
        } else {
            format!("{kind}:{}", one.text)
        };
        let mut finding =
            self.finding(Detector::EmergingPattern, key, title, severity, confidence, evidence, &examples);
        if examples.is_empty() {
            self.times(one, &mut finding);
        }
        finding
    }

    /// Sets the times from the slots, because the sessions are not at hand.
    fn times(&self, one: &Emerging<'_>, finding: &mut Finding) {
        let seen = self.all.patterns.get(&(one.kind, one.text.to_owned())).map(|seen| &seen.slots);
        if let Some((first, last)) = seen.and_then(|slots| slots.keys().next().zip(slots.keys().next_back()))
        {
            (finding.first_seen, finding.last_seen) =
                (first.saturating_mul(super::part::SLOT), (last + 1).saturating_mul(super::part::SLOT) - 1);
        }
    }

    /// Returns the sequences that contain each emerging command. All sequences are read once: three sources
    /// can make many commands emerge.
    fn carriers<'b>(&self, emerging: &[Emerging<'b>]) -> HashMap<&'b str, Vec<[u8; 16]>> {
        let commands = emerging.iter().filter(|one| one.kind == PatternKind::Command);
        let mut carriers: HashMap<&str, Vec<[u8; 16]>> = commands.map(|one| (one.text, Vec::new())).collect();
        for fingerprint in self.scores.sequences.keys() {
            let Some(typed) = self.all.sequences.get(fingerprint) else { continue };
            for line in typed.commands.lines().map(bounded) {
                if let Some(sequences) =
                    carriers.get_mut(line.as_ref()).filter(|sequences| sequences.last() != Some(fingerprint))
                {
                    sequences.push(*fingerprint);
                }
            }
        }
        carriers
    }

    /// Reports payloads that are random or of a known type, and that few sessions carry.
    fn payloads(&self) -> Vec<Finding> {
        if self.all.typing < LEAST_SESSIONS {
            return Vec::new();
        }
        let carried: Vec<(&[u8; 16], &CarriedPayload)> = self.all.payloads.iter().collect();
        let rare = |sessions: u64| {
            ((self.all.typing.max(2) as f64 / sessions.max(1) as f64).ln()
                / (self.all.typing.max(2) as f64).ln())
            .clamp(0.0, 1.0)
        };
        let confidence = |payload: &Payload, sessions: u64| {
            0.5 * (if payload.looks_like.is_some() { 1.0 } else { payload.randomness }) + 0.5 * rare(sessions)
        };
        let report = |(name, carried): (&[u8; 16], &CarriedPayload)| {
            let payload = &carried.payload;
            let looks = payload.looks_like.as_deref().unwrap_or("bytes");
            let title = format!(
                "{} {looks} of {} bytes in a command: `{}`",
                encoding(payload),
                payload.length,
                short(&payload.preview)
            );
            let evidence = json!({ "payload": payload, "sessions": carried.sessions, "entropy_bits_per_byte": round(payload.entropy), "detectors": ["payload_entropy"] });
            let severity = if payload.looks_like.is_some() { Severity::High } else { Severity::Medium };
            let examples: Vec<&Example> = carried.examples.iter().collect();
            let mut finding = self.finding(
                Detector::HighEntropyPayload,
                hex(name),
                title,
                severity,
                confidence(payload, carried.sessions),
                evidence,
                &examples,
            );
            finding.last_seen = finding.last_seen.max(carried.last);
            finding
        };
        carried.into_iter().map(report).collect()
    }

    /// Password intelligence: which passwords are tried, by how many sources, which are new, and how often
    /// they equal the user name.
    fn passwords(&self, emerging: &[Emerging<'_>]) -> Value {
        let mut passwords = BTreeMap::<&str, (u64, u64)>::new();
        let mut credentials = 0_u64;
        for ((kind, text), seen) in &self.all.patterns {
            if let (PatternKind::Credential, Some((_, password))) = (kind, text.split_once('\n')) {
                let entry = passwords.entry(password).or_default();
                entry.0 += seen.sessions;
                entry.1 += seen.slots.values().map(|&sources| u64::from(sources)).sum::<u64>();
                credentials += 1;
            }
        }
        let mut top: Vec<_> = passwords.iter().collect();
        top.sort_by(|one, other| other.1.1.cmp(&one.1.1).then_with(|| one.0.cmp(other.0)));
        let new = emerging.iter().filter(|one| one.kind == PatternKind::Credential).take(MOST_PASSWORDS);
        json!({
            "attempts": self.all.logins,
            "distinct_passwords": passwords.len(),
            "distinct_credentials": credentials,
            "password_is_username_share": if self.all.logins == 0 { 0.0 } else { self.all.password_is_username as f64 / self.all.logins as f64 },
            "tried_once_share": if passwords.is_empty() { 0.0 } else { passwords.values().filter(|seen| seen.0 == 1).count() as f64 / passwords.len() as f64 },
            "top": top.into_iter().take(MOST_PASSWORDS).map(|(password, seen)| json!({ "password": password, "sessions": seen.0, "source_slots": seen.1 })).collect::<Vec<_>>(),
            "emerging": new.map(|one| json!({ "credential": joined(one.text), "sources_lately": one.lately, "sources_before": one.before, "q": one.q })).collect::<Vec<_>>(),
        })
    }

    fn examples_of(&self, sequences: &[[u8; 16]]) -> Vec<&'a Example> {
        let mut examples: Vec<&Example> = sequences
            .iter()
            .filter_map(|sequence| self.forms.get(sequence))
            .flatten()
            .flat_map(|form| &form.examples)
            .collect();
        examples.sort();
        examples.truncate(super::part::MOST_EXAMPLES);
        examples
    }

    #[allow(clippy::too_many_arguments, reason = "a finding has as many fields, and all callers give all")]
    fn finding(
        &self,
        detector: Detector,
        key: String,
        title: String,
        severity: Severity,
        confidence: f64,
        evidence: Value,
        examples: &[&Example],
    ) -> Finding {
        let mut sources: Vec<String> =
            examples.iter().map(|example| example.source.clone()).filter(|source| source != "?").collect();
        sources.sort();
        sources.dedup();
        let sensors: std::collections::BTreeSet<&str> =
            examples.iter().map(|example| example.name.0.as_str()).collect();
        Finding {
            kind: ::findings::Kind::Longtail,
            rule: detector.into(),
            key,
            title,
            severity,
            confidence: confidence.clamp(0.0, 1.0),
            first_seen: examples.iter().map(|example| example.started).min().unwrap_or_default(),
            last_seen: examples.iter().map(|example| example.started).max().unwrap_or_default(),
            sensor: if sensors.len() == 1 {
                sensors.first().map(|sensor| (*sensor).to_owned())
            } else {
                None
            },
            evidence,
            sources,
            sessions: examples.iter().map(|example| example.name.clone()).collect(),
        }
    }
}

/// Returns the weighted median of each element.
fn usual(all: &Part, scores: &Scores<'_>) -> Vec<f64> {
    let width = scores.errors.ncols();
    let median = |n: usize| {
        let mut levels = BTreeMap::<u8, (u64, f64)>::new();
        for ((shape, _), form) in &all.forms {
            let entry = levels.entry(shape.levels()[n]).or_insert_with(|| (0, shape.value(n)));
            entry.0 += form.sessions;
        }
        let mut below = 0;
        levels
            .into_values()
            .find(|(sessions, _)| {
                below += sessions;
                below * 2 >= all.sessions
            })
            .map_or(0.0, |(_, value)| value)
    };
    (0..width).map(median).collect()
}

/// Joins a credential, whose parts are on two lines.
fn joined(text: &str) -> String {
    text.split_once('\n')
        .map_or_else(|| text.to_owned(), |(username, password)| credential(username, password))
}

fn encoding(payload: &Payload) -> &'static str {
    match payload.encoding {
        super::payload::Encoding::Base64 => "base64",
        super::payload::Encoding::Hex => "hexadecimal",
        super::payload::Encoding::Escapes => "escaped",
    }
}

fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= TITLE {
        line.to_owned()
    } else {
        line.chars().take(TITLE).chain(['…']).collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Rounds to three decimal places.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
