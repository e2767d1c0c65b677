//! Longtail: what is rare, odd or new in a time range.
//!
//! Sessions are gathered into parts, one for each UTC day ([`Part`]); parts add up, and everything else is a
//! function of their sum. So days that were gathered before need not be looked at again, and the outcome is
//! the same as if they had been.

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

/// Of parts and models: a cached one of another version is of no use.
pub const VERSION: i16 = 1;
/// Sessions with at least this score are in [`Outcome::scores`].
pub const ODD: f64 = 0.5;

/// What may be chosen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Parameters {
    /// From which score on something is a finding, in [0, 1].
    pub threshold: f64,
    /// Of everything random.
    pub seed: u64,
    /// Of each detector, the first so many by score; the summary has the counts.
    pub most_findings: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { threshold: 0.7, seed: 1, most_findings: 200 }
    }
}

/// Parts in the order of time, each with the span of starts that it is of, in microseconds since 1970: whole
/// UTC days but for the first and the last.
pub type Parts<'a> = [(Range<i64>, &'a Part)];

/// What came out.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// Sorted: most confident first.
    pub findings: Vec<Finding>,
    /// Counts, and how it was done: a JSON object.
    pub summary: Value,
    /// The model that was used; keep it. `None` without sessions.
    pub model: Option<Model>,
    /// The sessions that are at all odd: score of at least [`ODD`].
    pub scores: Vec<(SessionName, f64)>,
    /// The score of every form there is; see [`form`].
    pub forms: BTreeMap<FormName, f64>,
}

/// Sessions of one form, the same shape and the same sequence of commands, are as good as the same.
pub type FormName = (Shape, Option<[u8; 16]>);

/// The form of a session.
pub fn form(data: &Data, session: &Session) -> FormName {
    (Shape::of(data.vector(session)), data.sequence(session).map(|sequence| sequence.fingerprint))
}

/// Analyses what the parts are of. Of the models that are known the one that these parts want is used;
/// without it, it is trained. The outcome depends neither on which parts came from a cache nor on whether the
/// model did.
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
