//! TF-IDF of texts, with the numbers of scikit-learn's `TfidfVectorizer(token_pattern=r"(?u)\b\w+\b")`:
//! smoothed idf, rows of length 1.
//!
//! Documents have weights: a document of weight w gives the same result as w equal documents.

use std::collections::HashMap;

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::{Stopped, Watch};

/// A row: features in ascending order with their values, which are positive.
pub type Row = Vec<(u32, f64)>;

/// Documents between two progress reports.
const STRIDE: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Least and greatest number of words of a feature: `(1, 3)` is single words, pairs and triples.
    pub ngrams: (usize, usize),
    pub lowercase: bool,
    /// Keep at most this many features, the most frequent first; among equals, the first by name
    /// (scikit-learn keeps any).
    pub max_features: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { ngrams: (1, 3), lowercase: false, max_features: None }
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct Tfidf {
    /// Names of features, sorted: words with a space between.
    pub vocabulary: Vec<String>,
    /// ln((1+n)/(1+df)) + 1 of each feature.
    pub idf: Vec<f64>,
    settings: Settings,
    /// Numbers of the features by the numbers of their words.
    features: HashMap<Box<[u32]>, u32>,
    words: HashMap<Box<str>, u32>,
}

/// Learns the features of documents, and returns a row for each document. Weights that are missing, negative
/// or not finite count as 0.
pub fn fit(
    documents: &[&str],
    weights: &[f64],
    settings: Settings,
    watch: &mut Watch<'_>,
) -> Result<(Tfidf, Vec<Row>), Stopped> {
    let mut counter = Counter { settings, words: HashMap::new(), ngrams: HashMap::new(), seen: Vec::new() };
    let mut rows = Vec::with_capacity(documents.len());
    let mut total = 0.0;
    for (index, document) in documents.iter().enumerate() {
        if index.is_multiple_of(STRIDE) {
            watch.at(0.9 * index as f64 / documents.len() as f64)?;
        }
        let weight = weights.get(index).copied().filter(|weight| weight.is_finite()).unwrap_or(0.0).max(0.0);
        total += weight;
        rows.push(counter.count(document, weight));
    }
    let (model, places) = counter.model(total);
    for (index, row) in rows.iter_mut().enumerate() {
        if index.is_multiple_of(STRIDE) {
            watch.at(0.9 + 0.1 * index as f64 / documents.len() as f64)?;
        }
        let kept =
            row.iter().filter_map(|&(ngram, count)| places[ngram as usize].map(|feature| (feature, count)));
        *row = model.weigh(kept.collect());
    }
    watch.at(1.0)?;
    Ok((model, rows))
}

impl Tfidf {
    /// Returns the row of a document, with the learned features.
    pub fn row(&self, document: &str) -> Row {
        // An unknown word has no number and breaks the features across it.
        let numbers: Vec<Option<u32>> =
            words(document, self.settings.lowercase, |word| self.words.get(word).copied());
        let mut counts: HashMap<u32, f64> = HashMap::new();
        let mut key = Vec::new();
        for size in sizes(self.settings, numbers.len()) {
            for window in numbers.windows(size) {
                key.clear();
                key.extend(window.iter().flatten());
                if key.len() == size
                    && let Some(&feature) = self.features.get(key.as_slice())
                {
                    *counts.entry(feature).or_default() += 1.0;
                }
            }
        }
        self.weigh(counts.into_iter().collect())
    }

    /// Turns counts of features into a row of length 1.
    fn weigh(&self, mut row: Row) -> Row {
        row.sort_unstable_by_key(|&(feature, _)| feature);
        row.iter_mut().for_each(|(feature, value)| *value *= self.idf[*feature as usize]);
        let length = row.iter().map(|(_, value)| value * value).sum::<f64>().sqrt();
        row.iter_mut().for_each(|(_, value)| *value /= length);
        row
    }
}

/// Counts of a feature over all documents.
#[derive(Clone, Copy, Default)]
struct FeatureCount {
    /// Weighted number of occurrences.
    often: f64,
    /// Weighted number of documents.
    documents: f64,
}

struct Counter {
    settings: Settings,
    words: HashMap<Box<str>, u32>,
    ngrams: HashMap<Box<[u32]>, u32>,
    seen: Vec<FeatureCount>,
}

impl Counter {
    /// Counts the features of a document. Returns their numbers with the number of occurrences.
    fn count(&mut self, document: &str, weight: f64) -> Row {
        let known = &mut self.words;
        let numbers: Vec<u32> = words(document, self.settings.lowercase, |word| {
            if let Some(&number) = known.get(word) {
                return number;
            }
            let number = known.len() as u32;
            known.insert(word.into(), number);
            number
        });
        let mut found = Vec::new();
        for size in sizes(self.settings, numbers.len()) {
            for window in numbers.windows(size) {
                let next = self.seen.len() as u32;
                let number = match self.ngrams.get(window) {
                    Some(&number) => number,
                    None => {
                        self.ngrams.insert(window.into(), next);
                        self.seen.push(FeatureCount::default());
                        next
                    }
                };
                found.push(number);
            }
        }
        found.sort_unstable();
        let row: Row = found.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as f64)).collect();
        for &(ngram, count) in &row {
            let seen = &mut self.seen[ngram as usize];
            seen.often += weight * count;
            seen.documents += weight;
        }
        row
    }

    /// Returns the model, and the new number of each counted feature.
    fn model(self, total: f64) -> (Tfidf, Vec<Option<u32>>) {
        let mut spelled = vec![""; self.words.len()];
        self.words.iter().for_each(|(word, &number)| spelled[number as usize] = word);
        let name =
            |ngram: &[u32]| ngram.iter().map(|&word| spelled[word as usize]).collect::<Vec<_>>().join(" ");
        // Features that occur only in documents of weight 0 are dropped.
        let mut kept: Vec<(String, Box<[u32]>, u32)> = Vec::new();
        for (ngram, number) in self.ngrams {
            if self.seen[number as usize].documents > 0.0 {
                kept.push((name(&ngram), ngram, number));
            }
        }
        kept.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if let Some(most) = self.settings.max_features {
            kept.sort_by(|a, b| self.seen[b.2 as usize].often.total_cmp(&self.seen[a.2 as usize].often));
            kept.truncate(most);
            kept.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        }
        let mut model = Tfidf {
            vocabulary: Vec::new(),
            idf: Vec::new(),
            settings: self.settings,
            features: HashMap::new(),
            words: HashMap::new(),
        };
        let mut places = vec![None; self.seen.len()];
        for (feature, (name, ngram, number)) in (0..).zip(kept) {
            places[number as usize] = Some(feature);
            model.idf.push(((1.0 + total) / (1.0 + self.seen[number as usize].documents)).ln() + 1.0);
            for &word in &ngram {
                model.words.entry(spelled[word as usize].into()).or_insert(word);
            }
            model.vocabulary.push(name);
            model.features.insert(ngram, feature);
        }
        (model, places)
    }
}

/// Returns the numbers of words that features of a document with this many words have.
fn sizes(settings: Settings, words: usize) -> std::ops::RangeInclusive<usize> {
    settings.ngrams.0.max(1)..=settings.ngrams.1.min(words)
}

/// Returns what Python's `\w+` finds, as numbers.
fn words<T>(document: &str, lowercase: bool, number: impl FnMut(&str) -> T) -> Vec<T> {
    let lowered = if lowercase { document.to_lowercase() } else { String::new() };
    let document = if lowercase { &lowered } else { document };
    document.split(|character| !is_word(character)).filter(|word| !word.is_empty()).map(number).collect()
}

/// Python's `\w`: letters, numbers and the underscore; no marks, unlike Rust's `is_alphanumeric`.
fn is_word(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric() || character == '_';
    }
    matches!(character.general_category_group(), GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(documents: &[&str], weights: &[f64], settings: Settings) -> (Tfidf, Vec<Row>) {
        let mut tell = |_: &str, _: f64| true;
        fit(documents, weights, settings, &mut Watch::new(&mut tell)).unwrap()
    }

    #[test]
    fn features_are_words_pairs_and_triples() {
        let (model, rows) = fitted(&["cd /tmp; ls", "ls"], &[1.0, 1.0], Settings::default());
        assert_eq!(model.vocabulary, ["cd", "cd tmp", "cd tmp ls", "ls", "tmp", "tmp ls"]);
        assert_eq!(rows[1], [(3, 1.0)]);
        assert!((model.idf[3] - 1.0).abs() < 1e-12);
        assert!((model.idf[0] - (1.5_f64.ln() + 1.0)).abs() < 1e-12);
    }

    #[test]
    fn a_document_learned_from_has_the_same_row_again() {
        let documents = ["uname -a; cat /proc/cpuinfo", "wget x; sh x; wget x; sh x", "", "uname -a"];
        let (model, rows) = fitted(
            &documents,
            &[3.0, 1.0, 2.0, 1.0],
            Settings { max_features: Some(7), ..Settings::default() },
        );
        assert_eq!(documents.map(|document| model.row(document)).to_vec(), rows);
        assert!(model.row("never seen").is_empty());
    }

    #[test]
    fn the_most_frequent_features_are_kept_and_of_equals_the_first_by_name() {
        let settings = Settings { ngrams: (1, 1), max_features: Some(2), ..Settings::default() };
        assert_eq!(fitted(&["d c b a", "b"], &[1.0, 1.0], settings).0.vocabulary, ["a", "b"]);
        assert_eq!(fitted(&["d c b a", "b"], &[0.5, 0.0], settings).0.vocabulary, ["a", "b"]);
    }

    #[test]
    fn a_mark_is_no_part_of_a_word() {
        assert_eq!(
            fitted(&["a\u{301}b _x9 ⓐ é ½"], &[1.0], Settings { ngrams: (1, 1), ..Settings::default() })
                .0
                .vocabulary,
            ["_x9", "a", "b", "½", "é"]
        );
    }

    #[test]
    fn no_documents_make_no_features() {
        let (model, rows) = fitted(&[], &[], Settings::default());
        assert!(model.vocabulary.is_empty() && rows.is_empty());
        assert!(fitted(&["a"], &[f64::NAN], Settings::default()).1[0].is_empty());
    }
}
