//! Longtail: what is rare, odd or new in a time range.
//!
//! Sessions are summarised in parts, one for each UTC day ([`Part`]). Parts add up, and everything else is a
//! function of their sum. So a cached day need not be read again, and gives the same outcome.

mod cached;
mod emerging;
mod findings;
mod model;
mod part;
mod payload;
mod score;
mod shape;

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Data, Finding, Stopped, Watch, autoencoder::Device, data::Session, finding::SessionName};
pub use model::Model;
use model::Training;
pub use part::{Part, PatternKind};
use score::Scores;
pub use shape::Shape;

/// Version of parts and models; cached ones of another version are ignored.
pub const VERSION: i16 = 1;
/// Sessions with at least this score are in [`Outcome::scores`].
pub const ODD: f64 = 0.5;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Parameters {
    /// Results with at least this score become findings, in [0, 1].
    pub threshold: f64,
    pub seed: u64,
    /// Most findings of each detector, highest scores first; the summary has the counts.
    pub most_findings: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { threshold: 0.7, seed: 1, most_findings: 200 }
    }
}

/// Parts in order of time, each with its span of session starts in microseconds since 1970. All spans are
/// whole UTC days, except the first and the last.
pub type Parts<'a> = [(Range<i64>, &'a Part)];

#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// Most confident first.
    pub findings: Vec<Finding>,
    /// Counts, and how they were computed: a JSON object.
    pub summary: Value,
    /// The model that was used, for the cache. `None` without sessions.
    pub model: Option<Model>,
    /// Sessions with a score of at least [`ODD`].
    pub scores: Vec<(SessionName, f64)>,
    /// The score of every form; see [`form`].
    pub forms: BTreeMap<FormName, f64>,
}

/// The form of a session: its shape and its sequence of commands. Sessions of one form get the same score.
pub type FormName = (Shape, Option<[u8; 16]>);

pub fn form(data: &Data, session: &Session) -> FormName {
    (Shape::of(data.vector(session)), data.sequence(session).map(|sequence| sequence.fingerprint))
}

/// Analyses the parts. Uses the cached model that fits their training days, or trains one. The outcome does
/// not depend on whether parts or model came from a cache.
pub fn analyse(
    parts: &Parts<'_>,
    known: Vec<Model>,
    parameters: &Parameters,
    device: &Device,
    watch: &mut Watch<'_>,
) -> Result<Outcome, Stopped> {
    watch.phase("putting days together", 0.1)?;
    let mut all = Part::default();
    for (n, (_, part)) in parts.iter().enumerate() {
        watch.at(n as f64 / parts.len() as f64)?;
        all.merge(part);
    }
    let training = Training::of(parts);
    let (emerging, compared) = emerging::emerging(&all);
    watch.phase("training", 0.35)?;
    let id = training.id(parameters.seed);
    let model = match known.into_iter().find(|model| model.id() == id) {
        Some(model) => model,
        None => training.train(parameters.seed, device, watch)?,
    };
    let scores = Scores::of(&all, &emerging, &model, parameters.seed, device, watch)?;
    watch.phase("findings", 1.0)?;
    let found = findings::Found::of(&all, &scores, &emerging, parameters);
    let summary = json!({
        "sessions": all.sessions,
        "sessions_with_commands": all.typing,
        "distinct_shapes": scores.shapes.len(),
        "distinct_forms": scores.forms.len(),
        "distinct_sequences": scores.sequences.len(),
        "distinct_commands": scores.commands.len(),
        "detections": found.counts,
        "patterns_compared": compared,
        "payloads_left_out": all.payloads_left_out,
        "passwords": found.passwords,
        "model": { "id": model.id(), "trained_on_sessions": training.sessions(), "whole_window": training.whole_window, "drift": training.drift },
    });
    let forms = scores.forms.iter().map(|form| ((form.shape.clone(), form.sequence), form.score)).collect();
    let odd = scores.forms.iter().filter(|form| form.score >= ODD);
    let scores = odd
        .flat_map(|form| form.form.examples.iter().map(|example| (example.name.clone(), form.score)))
        .collect();
    watch.at(1.0)?;
    Ok(Outcome {
        findings: found.findings,
        summary,
        model: (all.sessions > 0).then_some(model),
        scores,
        forms,
    })
}
