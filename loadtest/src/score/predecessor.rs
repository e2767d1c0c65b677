//! The rules of the predecessor, for comparison only, reimplemented from their description.
//!
//! The predecessor reads addresses, countries and networks from other lookups. Here it gets the addresses.
//! Countries and networks are unknown, as in the results that it stored, so its diversity is 0 and its
//! geographic clustering is 1. It evaluates windows of a day.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use analysis::data::{Data, Session};

use super::{labelled::Labelled, ours::Group};

/// The result of the rules for a window.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Whether they report a campaign.
    pub likely: bool,
    /// The sources of the campaigns.
    pub groups: Vec<Group>,
}

/// Length of a window: a day.
const WINDOW: i64 = 86_400_000_000;
const SNOWSHOE: f64 = 0.7;
const BOTNET: f64 = 0.6;

/// Returns windows with their sessions.
pub fn windows(log: &Labelled) -> Vec<(i64, Vec<&Session>)> {
    let mut windows: BTreeMap<i64, Vec<&Session>> = BTreeMap::new();
    for session in &log.data.sessions {
        windows.entry((session.started - log.range.start) / WINDOW).or_default().push(session);
    }
    windows.into_iter().collect()
}

/// Many sources with one to five sessions each, at close times.
pub fn snowshoe(sessions: &[&Session]) -> Verdict {
    let mut sizes: BTreeMap<IpAddr, usize> = BTreeMap::new();
    sessions
        .iter()
        .filter_map(|session| session.source)
        .for_each(|source| *sizes.entry(source).or_default() += 1);
    if sizes.len() < 10 {
        return Verdict::default();
    }
    let all = sizes.len() as f64;
    let single = sizes.values().filter(|&&n| n == 1).count() as f64 / all;
    let low: Group = sizes.iter().filter(|(_, n)| **n <= 5).map(|(source, _)| *source).collect();
    let (clusters, coordination) = timing(sessions, 360.0, 5);
    let clustered = f64::from(u8::from(clusters > 0 && coordination > 0.3));
    let score = (0.4 * single + 0.2 * clustered + 0.1 * low.len() as f64 / all).min(1.0);
    Verdict { likely: (score * 1e6).round() / 1e6 >= SNOWSHOE, groups: vec![low] }
}

/// The same credentials, the same commands, at close times. Sources with the same credential or with similar
/// commands form one group.
pub fn botnet(data: &Data, sessions: &[&Session]) -> Verdict {
    let sources: BTreeSet<IpAddr> = sessions.iter().filter_map(|session| session.source).collect();
    if sessions.len() < 10 || sources.len() < 5 {
        return Verdict::default();
    }
    let mut credentials: HashMap<_, Vec<IpAddr>> = HashMap::new();
    let mut commands: BTreeMap<IpAddr, String> = BTreeMap::new();
    for session in sessions {
        let Some(source) = session.source else { continue };
        if let Some(login) = data.logins(session).iter().find(|login| login.success) {
            credentials.entry((login.username, login.password)).or_default().push(source);
        }
        let text: Vec<&str> = data.inputs(session).iter().map(|&input| data.text(input)).collect();
        if !text.is_empty() {
            commands.insert(source, text.join(" "));
        }
    }
    let reused: Vec<Vec<IpAddr>> = credentials.into_values().filter(|sources| sources.len() >= 3).collect();
    let (alike, mean) = alike(&commands);
    let (_, coordination) = timing(sessions, 1800.0, 3);
    let score = 0.4 * f64::from(u8::from(!reused.is_empty())) + 0.3 * mean + 0.2 * coordination + 0.1;
    let links =
        reused.iter().flat_map(|sources| sources.windows(2).map(|pair| (pair[0], pair[1]))).chain(alike);
    Verdict { likely: score >= BOTNET, groups: components(links) }
}

/// Clusters the starts on the time axis (DBSCAN). Returns the number of clusters, and the share of starts in
/// one.
fn timing(sessions: &[&Session], eps: f64, least: usize) -> (usize, f64) {
    let mut starts: Vec<f64> = sessions.iter().map(|session| session.started as f64 / 1e6).collect();
    starts.sort_by(f64::total_cmp);
    let near = |at: f64| {
        starts.partition_point(|&other| other <= at + eps) - starts.partition_point(|&other| other < at - eps)
    };
    let cores: Vec<f64> = starts.iter().copied().filter(|&at| near(at) >= least).collect();
    let clusters =
        cores.windows(2).filter(|pair| pair[1] - pair[0] > eps).count() + usize::from(!cores.is_empty());
    let reached = |at: f64| {
        cores.partition_point(|&core| core <= at + eps) > cores.partition_point(|&core| core < at - eps)
    };
    let clustered = starts.iter().filter(|&&at| reached(at)).count();
    (clusters, clustered as f64 / starts.len().max(1) as f64)
}

/// Returns the pairs of sources with a TF-IDF cosine of at least 0.7, and the mean of all pairs.
fn alike(commands: &BTreeMap<IpAddr, String>) -> (Vec<(IpAddr, IpAddr)>, f64) {
    let words: Vec<(IpAddr, HashMap<&str, f64>)> =
        commands.iter().map(|(source, text)| (*source, counts(text))).collect();
    let mut in_how_many: HashMap<&str, f64> = HashMap::new();
    words
        .iter()
        .flat_map(|(_, counts)| counts.keys())
        .for_each(|word| *in_how_many.entry(word).or_default() += 1.0);
    let mut frequent: Vec<(&str, f64)> = in_how_many.iter().map(|(word, n)| (*word, *n)).collect();
    frequent.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let kept: HashMap<&str, f64> = frequent
        .into_iter()
        .take(1000)
        .map(|(word, n)| (word, ((1.0 + words.len() as f64) / (1.0 + n)).ln() + 1.0))
        .collect();
    let vectors: Vec<(IpAddr, HashMap<&str, f64>)> = words
        .into_iter()
        .map(|(source, counts)| {
            let weighted: HashMap<&str, f64> =
                counts.into_iter().filter_map(|(word, n)| Some((word, n * kept.get(word)?))).collect();
            let length = weighted.values().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            (source, weighted.into_iter().map(|(word, x)| (word, x / length)).collect())
        })
        .collect();
    let (mut pairs, mut sum, mut all) = (Vec::new(), 0.0, 0.0);
    for (i, (a, first)) in vectors.iter().enumerate() {
        for (b, second) in &vectors[..i] {
            let cosine: f64 = first.iter().filter_map(|(word, x)| Some(x * second.get(word)?)).sum();
            sum += cosine;
            all += 1.0;
            if cosine >= 0.7 {
                pairs.push((*a, *b));
            }
        }
    }
    (pairs, if all > 0.0 { sum / all } else { 0.0 })
}

/// Counts words of at least two letters.
fn counts(text: &str) -> HashMap<&str, f64> {
    let mut counts = HashMap::new();
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.len() > 1);
    words.for_each(|word| *counts.entry(word).or_default() += 1.0);
    counts
}

/// Returns the connected components of the links.
fn components(links: impl Iterator<Item = (IpAddr, IpAddr)>) -> Vec<Group> {
    let mut of: HashMap<IpAddr, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (a, b) in links {
        match (of.get(&a).copied(), of.get(&b).copied()) {
            (Some(i), Some(j)) if i != j => {
                let (kept, gone) = if groups[i].len() >= groups[j].len() { (i, j) } else { (j, i) };
                let moved = std::mem::take(&mut groups[gone]);
                moved.iter().for_each(|source| _ = of.insert(*source, kept));
                groups[kept].extend(moved);
            }
            (Some(_), Some(_)) => (),
            (Some(i), None) | (None, Some(i)) => {
                groups[i].extend([a, b]);
                of.extend([(a, i), (b, i)]);
            }
            (None, None) => {
                of.extend([(a, groups.len()), (b, groups.len())]);
                groups.push([a, b].into());
            }
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// Scores each session: the number of lists it is in, then how rare its rarest command is.
pub fn longtail(data: &Data) -> Vec<f64> {
    let mut freq: HashMap<_, usize> = HashMap::new();
    data.sessions
        .iter()
        .flat_map(|session| data.inputs(session))
        .for_each(|&input| *freq.entry(input).or_default() += 1);
    let total: usize = freq.values().sum();
    let limit = (0.05 * total as f64).floor() as usize;
    let outliers = outliers(data);
    let sequences = sequences(data);
    let score = |(place, session): (usize, &Session)| {
        let rarest = data.inputs(session).iter().map(|input| freq[input]).filter(|&n| n <= limit).min();
        let rare = rarest.map_or(0.0, |n| 1.0 - n as f64 / total.max(1) as f64);
        rare + f64::from(u8::from(outliers[place])) + f64::from(u8::from(sequences[place]))
    };
    data.sessions.iter().enumerate().map(score).collect()
}

/// Noise of DBSCAN (eps 0.3, 5) over seconds, commands, logins and files, unscaled.
fn outliers(data: &Data) -> Vec<bool> {
    const EPS: f64 = 0.3;
    let point = |session: &Session| {
        [
            session.seconds,
            data.inputs(session).len() as f64,
            data.logins(session).len() as f64,
            data.files(session).len() as f64,
        ]
    };
    let points: Vec<[f64; 4]> = data.sessions.iter().map(point).collect();
    // Different counts differ by more than eps, so only equal ones are near.
    let mut lines: HashMap<[u64; 3], Vec<(f64, usize)>> = HashMap::new();
    points.iter().enumerate().for_each(|(place, p)| {
        lines.entry([p[1] as u64, p[2] as u64, p[3] as u64]).or_default().push((p[0], place))
    });
    let mut noise = vec![true; points.len()];
    for line in lines.values_mut() {
        line.sort_by(|a, b| a.0.total_cmp(&b.0));
        let near = |at: f64| {
            line.partition_point(|&(other, _)| other <= at + EPS)
                - line.partition_point(|&(other, _)| other < at - EPS)
        };
        let cores: Vec<f64> = line.iter().map(|&(at, _)| at).filter(|&at| near(at) >= 5).collect();
        let reached = |at: f64| {
            cores.partition_point(|&core| core <= at + EPS) > cores.partition_point(|&core| core < at - EPS)
        };
        line.iter().filter(|(at, _)| reached(*at)).for_each(|&(_, place)| noise[place] = false);
    }
    noise
}

/// Sessions of five commands or more whose first five are noise of DBSCAN over TF-IDF (cosine, eps 0.3, 5).
/// Terms are single words here; the predecessor's pairs and triples of words and its limit of 128 terms are
/// left out.
fn sequences(data: &Data) -> Vec<bool> {
    let mut texts: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, session) in data.sessions.iter().enumerate() {
        let inputs = data.inputs(session);
        if inputs.len() >= 5 {
            texts
                .entry(inputs[..5].iter().map(|&input| data.text(input)).collect::<Vec<_>>().join(" "))
                .or_default()
                .push(place);
        }
    }
    let words: Vec<HashMap<&str, f64>> = texts.keys().map(|text| counts(text)).collect();
    let weights: Vec<f64> = texts.values().map(|places| places.len() as f64).collect();
    let n: f64 = weights.iter().sum();
    let mut df: HashMap<&str, f64> = HashMap::new();
    words
        .iter()
        .zip(&weights)
        .for_each(|(words, weight)| words.keys().for_each(|word| *df.entry(word).or_default() += weight));
    let vectors: Vec<HashMap<&str, f64>> = words
        .iter()
        .map(|words| {
            let weighted: HashMap<&str, f64> = words
                .iter()
                .map(|(word, x)| (*word, x * (((1.0 + n) / (1.0 + df[word])).ln() + 1.0)))
                .collect();
            let length = weighted.values().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            weighted.into_iter().map(|(word, x)| (word, x / length)).collect()
        })
        .collect();
    let near = |a: &HashMap<&str, f64>, b: &HashMap<&str, f64>| {
        a.iter().filter_map(|(word, x)| Some(x * b.get(word)?)).sum::<f64>() >= 0.7
    };
    let neighbours: Vec<Vec<usize>> =
        vectors.iter().map(|a| (0..vectors.len()).filter(|&j| near(a, &vectors[j])).collect()).collect();
    let core: Vec<bool> =
        neighbours.iter().map(|near| near.iter().map(|&j| weights[j]).sum::<f64>() >= 5.0).collect();
    let mut noise = vec![false; data.sessions.len()];
    for ((near, places), &is_core) in neighbours.iter().zip(texts.values()).zip(&core) {
        if !is_core && !near.iter().any(|&j| core[j]) {
            places.iter().for_each(|&place| noise[place] = true);
        }
    }
    noise
}
