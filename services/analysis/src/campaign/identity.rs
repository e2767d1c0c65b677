//! The id of a campaign: kept from run to run while it is the same campaign.

use std::collections::HashSet;

use super::Known;

/// So many of the smaller one's sources in common, or so many together with indicators in common, make it the
/// same campaign.
const SAME_SOURCES: f64 = 0.5;
const SOME_SOURCES: f64 = 0.2;
const SAME_INDICATORS: f64 = 0.3;

/// What a campaign is recognised by.
pub(super) struct Face<'a> {
    pub sources: &'a [String],
    pub indicators: &'a [String],
    /// What is a new campaign's id made of: of its first session, which later runs have too.
    pub first: &'a (String, String),
}

/// An id for each campaign, best matches first; each known id is given once.
pub(super) fn identify(faces: &[Face<'_>], known: &[Known]) -> Vec<String> {
    let mut pairs = Vec::new();
    for (n, face) in faces.iter().enumerate() {
        let (sources, indicators) = (set(face.sources), set(face.indicators));
        for (k, old) in known.iter().enumerate() {
            let same_sources = overlap(&sources, &old.sources);
            let same_indicators = overlap(&indicators, &old.indicators);
            if same_sources >= SAME_SOURCES
                || (same_sources >= SOME_SOURCES && same_indicators >= SAME_INDICATORS)
            {
                pairs.push((same_sources + same_indicators, n, k));
            }
        }
    }
    pairs.sort_by(|one, other| other.0.total_cmp(&one.0).then((one.1, one.2).cmp(&(other.1, other.2))));
    let mut ids = vec![None; faces.len()];
    let mut used = HashSet::new();
    for (_, n, k) in pairs {
        if ids[n].is_none() && used.insert(&known[k].id) {
            ids[n] = Some(known[k].id.clone());
        }
    }
    ids.into_iter().zip(faces).map(|(id, face)| id.unwrap_or_else(|| new_id(face))).collect()
}

fn new_id(face: &Face<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"cowriestream campaign v1");
    for part in [&face.first.0, &face.first.1] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

fn set(texts: &[String]) -> HashSet<&str> {
    texts.iter().map(String::as_str).collect()
}

/// Common elements, of those of the smaller set.
fn overlap(one: &HashSet<&str>, other: &[String]) -> f64 {
    let other = set(other);
    let smaller = one.len().min(other.len());
    if smaller == 0 { 0.0 } else { one.intersection(&other).count() as f64 / smaller as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn a_campaign_that_goes_on_keeps_its_id_and_no_two_share_one() {
        let known = [Known { id: "old".into(), sources: texts(&["a", "b", "c"]), indicators: texts(&["x"]) }];
        let (grown, other) = (texts(&["b", "c", "d", "e"]), texts(&["c", "p", "q"]));
        let (first, second) = (("s".into(), "1".into()), ("s".into(), "2".into()));
        let faces = [
            Face { sources: &other, indicators: &texts(&["x"]), first: &second },
            Face { sources: &grown, indicators: &texts(&["x", "y"]), first: &first },
        ];
        let ids = identify(&faces, &known);
        assert_eq!(ids[1], "old");
        assert_eq!(ids[0].len(), 16);
        assert_ne!(identify(&faces, &[])[0], identify(&faces, &[])[1]);
    }
}
