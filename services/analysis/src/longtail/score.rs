//! Scores how odd each form of session is, by combining several scorers.
//!
//! Each scorer orders the forms. Its oddness is ln(1/p) / ln n, where p is the share of the n sessions with
//! at least the same score: 0 for the most ordinary, 1 for the oddest single session. So scorers of any scale
//! can be combined, and a threshold means the same for each: 0.7 is one session in 125 if the window has a
//! thousand sessions, one in 3 000 if it has a hundred thousand.

use std::collections::{BTreeMap, HashMap};

use ndarray::Array2;

use super::{
    emerging::Emerging,
    model::{Model, rows},
    part::{Form, Part, PatternKind, bounded},
    shape::Shape,
};
use crate::{
    Stopped, Watch,
    autoencoder::Device,
    dbscan::{self, Clustering, Dense, Sparse},
    forest::{self, Forest},
    tfidf,
};

/// Shapes nearer than this are neighbours: about one count twice as large, or a time 2.7 times as long.
const NEAR: f64 = 1.0;
/// Sequences are neighbours when the cosine similarity of their TF-IDF vectors is at least 0.7.
pub(super) const ALIKE: f64 = 0.3;
/// A group of at least this many sessions is ordinary.
const ORDINARY: f64 = 5.0;
/// Weight of the highest scorer; the second highest has the rest.
const FIRST: f64 = 0.7;
/// Number of rarest commands that determine the rarity of a sequence.
const RAREST: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scorer {
    /// Distance to the nearest ordinary session (a core point of DBSCAN; Ester et al. 1996).
    Density,
    /// Isolation forest (Liu et al. 2008).
    Isolation,
    /// Reconstruction error of the autoencoder.
    Reconstruction,
    /// Distance of the sequence of commands to the nearest ordinary one.
    Sequence,
    /// How few sessions typed its rarest commands.
    Commands,
    /// How clearly one of its commands emerges.
    Emerging,
}

pub(super) const SCORERS: [Scorer; 6] = [
    Scorer::Density,
    Scorer::Isolation,
    Scorer::Reconstruction,
    Scorer::Sequence,
    Scorer::Commands,
    Scorer::Emerging,
];

impl Scorer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Density => "density",
            Self::Isolation => "isolation_forest",
            Self::Reconstruction => "autoencoder",
            Self::Sequence => "sequence_density",
            Self::Commands => "rare_commands",
            Self::Emerging => "emerging_command",
        }
    }
}

/// A sequence with its scores.
pub(super) struct SequenceScore {
    pub fingerprint: [u8; 16],
    pub sessions: u64,
    /// Cosine distance to the nearest ordinary sequence; 0 if it is ordinary itself.
    pub distance: f64,
    pub nearest: Option<[u8; 16]>,
    /// Mean ln(1/share) of its rarest commands.
    pub rarity: f64,
    /// Highest confidence of its emerging commands; 0 without one.
    pub emerging: f64,
    /// ln(1/p) / ln n among the sessions with commands.
    pub oddness: f64,
}

/// A form with its scores.
pub(super) struct FormScore<'a> {
    pub shape: &'a Shape,
    pub sequence: Option<[u8; 16]>,
    pub form: &'a Form,
    /// Oddness by each of [`SCORERS`].
    pub oddness: [f64; SCORERS.len()],
    pub score: f64,
    /// Index into [`Scores::shapes`].
    pub place: usize,
}

pub(super) struct Scores<'a> {
    pub shapes: Vec<&'a Shape>,
    /// Squared reconstruction error of each element of each shape.
    pub errors: Array2<f32>,
    /// The nearest ordinary shape; `None` for an ordinary one.
    pub nearest: Vec<Option<(usize, f64)>>,
    pub forms: Vec<FormScore<'a>>,
    pub sequences: BTreeMap<[u8; 16], SequenceScore>,
    /// Number of sessions that typed each command.
    pub commands: HashMap<&'a str, u64>,
}

impl<'a> Scores<'a> {
    pub fn of(
        all: &'a Part,
        emerging: &[Emerging<'_>],
        model: &Model,
        seed: u64,
        device: &Device,
        watch: &mut Watch<'_>,
    ) -> Result<Self, Stopped> {
        let mut weights = BTreeMap::<&Shape, u64>::new();
        all.forms.iter().for_each(|((shape, _), form)| *weights.entry(shape).or_default() += form.sessions);
        let shapes: Vec<&Shape> = weights.keys().copied().collect();
        let places: HashMap<&Shape, usize> =
            shapes.iter().enumerate().map(|(place, shape)| (*shape, place)).collect();
        let sessions: Vec<f64> = weights.values().map(|&sessions| sessions as f64).collect();
        let numbers = rows(shapes.iter().copied());
        watch.phase("isolation forest", 0.45)?;
        let isolation =
            Forest::train(&numbers, &sessions, forest::Settings { seed, ..Default::default() }, watch)?
                .scores(&numbers, watch)?;
        watch.phase("autoencoder", 0.5)?;
        let (total_errors, errors) = model.network.errors(&numbers, device, watch)?;
        watch.phase("density of sessions", 0.75)?;
        let dense = Dense::new(&numbers);
        let clustering =
            dense.cluster(&sessions, dbscan::Settings { eps: NEAR, min_samples: ORDINARY }, watch)?;
        let nearest = nearest(&clustering, watch, |row| dense.nearest_core(&clustering, row))?;
        watch.phase("density of sequences", 0.95)?;
        let commands: HashMap<&str, u64> = all
            .patterns
            .iter()
            .filter(|((kind, _), _)| *kind == PatternKind::Command)
            .map(|((_, text), seen)| (text.as_str(), seen.sessions))
            .collect();
        let emerging = emerging
            .iter()
            .filter(|one| one.kind == PatternKind::Command)
            .map(|one| (one.text, one.confidence()))
            .collect();
        let sequences = sequences(all, &commands, &emerging, watch)?;
        let of_sequence = |name: Option<[u8; 16]>, what: fn(&SequenceScore) -> f64| {
            name.and_then(|name| sequences.get(&name)).map_or(0.0, what)
        };
        let raw = |scorer: Scorer, place: usize, sequence: Option<[u8; 16]>| match scorer {
            Scorer::Density => nearest[place].map_or(0.0, |(_, distance)| distance),
            Scorer::Isolation => isolation[place],
            Scorer::Reconstruction => f64::from(total_errors[place]),
            Scorer::Sequence => of_sequence(sequence, |sequence| sequence.distance),
            Scorer::Commands => of_sequence(sequence, |sequence| sequence.rarity),
            Scorer::Emerging => of_sequence(sequence, |sequence| sequence.emerging),
        };
        let mut forms: Vec<FormScore<'_>> = all
            .forms
            .iter()
            .map(|((shape, sequence), form)| FormScore {
                shape,
                sequence: *sequence,
                form,
                oddness: [0.0; SCORERS.len()],
                score: 0.0,
                place: places[shape],
            })
            .collect();
        for (n, scorer) in SCORERS.into_iter().enumerate() {
            let scored: Vec<(f64, u64)> = forms
                .iter()
                .map(|form| (raw(scorer, form.place, form.sequence), form.form.sessions))
                .collect();
            forms.iter_mut().zip(oddness(&scored)).for_each(|(form, oddness)| form.oddness[n] = oddness);
        }
        forms.iter_mut().for_each(|form| form.score = together(form.oddness));
        watch.at(1.0)?;
        Ok(Self { shapes, errors, nearest, forms, sequences, commands })
    }
}

/// Combines several scorers: mostly the highest, and the second highest. A single scorer may err, and the
/// scorers need not all agree, because each detects another kind of oddness. (Of seven combinations, this one
/// had the highest average precision on tuning seeds.)
fn together(mut oddness: [f64; SCORERS.len()]) -> f64 {
    oddness.sort_by(f64::total_cmp);
    FIRST * oddness[SCORERS.len() - 1] + (1.0 - FIRST) * oddness[SCORERS.len() - 2]
}

/// Returns ln(1/p) / ln n for each of (score, sessions); p is the share of the n sessions with at least its
/// score.
pub(super) fn oddness(scored: &[(f64, u64)]) -> Vec<f64> {
    let total: u64 = scored.iter().map(|(_, sessions)| sessions).sum();
    let mut order: Vec<usize> = (0..scored.len()).collect();
    order.sort_by(|&one, &other| scored[other].0.total_cmp(&scored[one].0));
    let mut odd = vec![0.0; scored.len()];
    let (mut before, mut at) = (0, 0);
    while at < order.len() {
        let same = order[at..]
            .iter()
            .take_while(|&&index| scored[index].0.total_cmp(&scored[order[at]].0).is_eq())
            .count();
        let with: u64 = before + order[at..at + same].iter().map(|&index| scored[index].1).sum::<u64>();
        let value = if total < 2 || with == 0 {
            0.0
        } else {
            ((total as f64 / with as f64).ln() / (total as f64).ln()).clamp(0.0, 1.0)
        };
        order[at..at + same].iter().for_each(|&index| odd[index] = value);
        (before, at) = (with, at + same);
    }
    odd
}

/// Returns, for each row that is not ordinary, the nearest ordinary row.
fn nearest(
    clustering: &Clustering,
    watch: &mut Watch<'_>,
    of: impl Fn(usize) -> Option<(usize, f64)>,
) -> Result<Vec<Option<(usize, f64)>>, Stopped> {
    let mut nearest = vec![None; clustering.labels.len()];
    for (row, label) in clustering.labels.iter().enumerate() {
        if *label < 0 {
            watch.at(0.99)?;
            // When no row is ordinary, all are equally odd.
            nearest[row] = of(row);
        }
    }
    Ok(nearest)
}

fn sequences(
    all: &Part,
    commands: &HashMap<&str, u64>,
    emerging: &HashMap<&str, f64>,
    watch: &mut Watch<'_>,
) -> Result<BTreeMap<[u8; 16], SequenceScore>, Stopped> {
    let mut sessions = BTreeMap::<[u8; 16], u64>::new();
    for ((_, sequence), form) in &all.forms {
        if let Some(sequence) = sequence {
            *sessions.entry(*sequence).or_default() += form.sessions;
        }
    }
    let typed: Vec<(&[u8; 16], &str)> = sessions
        .keys()
        .filter_map(|name| all.sequences.get_key_value(name))
        .map(|(name, typed)| (name, typed.commands.as_str()))
        .collect();
    let documents: Vec<&str> = typed.iter().map(|(_, commands)| *commands).collect();
    let weights: Vec<f64> = typed.iter().map(|(name, _)| sessions[*name] as f64).collect();
    let (_, vectors) = tfidf::fit(&documents, &weights, tfidf::Settings::default(), watch)?;
    let sparse = Sparse::new(&vectors);
    let clustering =
        sparse.cluster(&weights, dbscan::Settings { eps: ALIKE, min_samples: ORDINARY }, watch)?;
    let nearest = nearest(&clustering, watch, |row| sparse.nearest_core(&clustering, row))?;
    let mut scored: Vec<SequenceScore> = typed
        .iter()
        .enumerate()
        .map(|(row, (name, commands_of))| SequenceScore {
            fingerprint: **name,
            sessions: sessions[*name],
            // A sequence that shares no term with an ordinary one has the largest distance.
            distance: if clustering.labels[row] >= 0 {
                0.0
            } else {
                nearest[row].map_or(1.0, |(_, distance)| distance)
            },
            nearest: nearest[row].map(|(row, _)| *typed[row].0),
            rarity: rarity(commands_of, commands, all.typing),
            emerging: commands_of
                .lines()
                .filter_map(|line| emerging.get(bounded(line).as_ref()))
                .copied()
                .fold(0.0, f64::max),
            oddness: 0.0,
        })
        .collect();
    let odd = oddness(&scored.iter().map(|one| (one.distance, one.sessions)).collect::<Vec<_>>());
    scored.iter_mut().zip(odd).for_each(|(one, odd)| one.oddness = odd);
    Ok(scored.into_iter().map(|one| (one.fingerprint, one)).collect())
}

/// Mean ln(1/share) of the rarest commands of a sequence; shares are of the sessions with commands.
fn rarity(sequence: &str, commands: &HashMap<&str, u64>, typing: u64) -> f64 {
    let mut surprise: Vec<f64> = sequence
        .lines()
        .map(|line| {
            (typing.max(1) as f64 / commands.get(bounded(line).as_ref()).copied().unwrap_or(1).max(1) as f64)
                .ln()
        })
        .collect();
    surprise.sort_by(|one, other| other.total_cmp(one));
    surprise.dedup();
    let rarest = surprise.len().min(RAREST);
    if rarest == 0 { 0.0 } else { surprise[..rarest].iter().sum::<f64>() / rarest as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oddest_single_session_is_1_and_what_all_are_like_is_0() {
        let odd = oddness(&[(0.0, 900), (5.0, 1), (1.0, 99)]);
        assert_eq!((odd[0], odd[1]), (0.0, 1.0));
        assert!((odd[2] - (10.0_f64).ln() / (1000.0_f64).ln()).abs() < 1e-12);
        assert_eq!(oddness(&[(3.0, 1)]), [0.0]);
        assert_eq!(oddness(&[]), [0.0; 0]);
        assert_eq!(oddness(&[(f64::NAN, 1), (f64::NAN, 1)]).len(), 2);
    }
}
