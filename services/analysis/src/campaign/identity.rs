//! Keeps the id of a campaign from run to run while it is the same campaign.

use std::collections::HashSet;

use super::Known;

/// Two campaigns are the same when they share at least this part of the smaller one's sources …
const SAME_SOURCES: f64 = 0.5;
/// … or at least this part of the sources, and [`SAME_INDICATORS`] of the indicators.
const SOME_SOURCES: f64 = 0.2;
const SAME_INDICATORS: f64 = 0.3;

/// The properties that identify a campaign.
pub(super) struct Identity<'a> {
    pub sources: &'a [String],
    pub indicators: &'a [String],
    /// (sensor, session) of the first session; a new campaign's id is its hash. Later runs see the same
    /// session.
    pub first: &'a (String, String),
}

/// Returns an id for each campaign, best matches first. Each known id is given once.
pub(super) fn identify(identities: &[Identity<'_>], known: &[Known]) -> Vec<String> {
    let mut pairs = Vec::new();
    for (n, identity) in identities.iter().enumerate() {
        let (sources, indicators) = (set(identity.sources), set(identity.indicators));
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
    let mut ids = vec![None; identities.len()];
    let mut used = HashSet::new();
    for (_, n, k) in pairs {
        if ids[n].is_none() && used.insert(&known[k].id) {
            ids[n] = Some(known[k].id.clone());
        }
    }
    ids.into_iter().zip(identities).map(|(id, identity)| id.unwrap_or_else(|| new_id(identity))).collect()
}

fn new_id(identity: &Identity<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"cowriestream campaign v1");
    for part in [&identity.first.0, &identity.first.1] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

fn set(texts: &[String]) -> HashSet<&str> {
    texts.iter().map(String::as_str).collect()
}

/// The share of the smaller set that both sets contain.
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
        let identities = [
            Identity { sources: &other, indicators: &texts(&["x"]), first: &second },
            Identity { sources: &grown, indicators: &texts(&["x", "y"]), first: &first },
        ];
        let ids = identify(&identities, &known);
        assert_eq!(ids[1], "old");
        assert_eq!(ids[0].len(), 16);
        assert_ne!(identify(&identities, &[])[0], identify(&identities, &[])[1]);
    }
}
