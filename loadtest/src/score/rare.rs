//! A simple baseline: sources that share one rare indicator are a group.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use analysis::{
    Data,
    data::Session,
    indicator::{Indicator, host, indicators},
};

use super::ours::Group;

/// Least number of sources of a group.
const LEAST: usize = 3;
/// An indicator that more than one in [`RARE`] sources has is not rare.
const RARE: usize = 4;
/// SHA-256 of the empty file and of a newline.
const NOTHING: [&str; 2] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b",
];

/// Returns the sources of each rare indicator. Of groups with a Jaccard index of at least 0.5, only the
/// largest is returned.
pub fn groups(data: &Data) -> Vec<Group> {
    let mut holders: BTreeMap<String, Group> = BTreeMap::new();
    let mut all = BTreeSet::<IpAddr>::new();
    for session in &data.sessions {
        let Some(source) = session.source else { continue };
        all.insert(source);
        for indicator in of(data, session) {
            holders.entry(indicator).or_default().insert(source);
        }
    }
    let mut groups: Vec<Group> = holders
        .into_values()
        .filter(|group| group.len() >= LEAST && RARE * group.len() <= all.len())
        .collect();
    groups.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    let mut kept: Vec<Group> = Vec::new();
    for group in groups {
        let same = |known: &Group| {
            let both = known.intersection(&group).count();
            2 * both >= known.len() + group.len() - both
        };
        if !kept.iter().any(same) {
            kept.push(group);
        }
    }
    kept
}

/// The client's algorithms, files, hosts, keys left and offered, and forward targets of a session.
fn of(data: &Data, session: &Session) -> Vec<String> {
    let mut found: Vec<String> =
        session.hassh.iter().map(|&hassh| format!("hassh {}", data.text(hassh))).collect();
    found.extend(
        data.files(session)
            .iter()
            .map(|&file| data.text(file))
            .filter(|file| !NOTHING.contains(file))
            .map(str::to_owned),
    );
    found.extend(data.urls(session).iter().filter_map(|&url| host(data.text(url))).map(str::to_owned));
    found.extend(data.keys(session).iter().map(|&key| format!("offered {}", data.text(key))));
    found.extend(data.targets(session).iter().map(|&target| format!("target {}", data.text(target))));
    for &input in data.inputs(session) {
        found.extend(indicators(data.text(input)).into_iter().filter_map(|indicator| match indicator {
            Indicator::Key(key) => Some(key.to_owned()),
            Indicator::Host(host) => Some(host.to_owned()),
            Indicator::Url(_) => None,
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use analysis::{DataBuilder, data::Row};

    use super::*;

    #[test]
    fn sources_with_one_rare_indicator_are_a_group_and_what_everybody_has_is_none() {
        let mut builder = DataBuilder::default();
        let mine: Vec<IpAddr> = (0..20).map(|n| IpAddr::from(Ipv4Addr::from_bits(0xc000_0200 + n))).collect();
        for (n, &source) in mine.iter().enumerate() {
            let files = if n < 4 { vec!["aa", NOTHING[0]] } else { vec![NOTHING[0]] };
            let targets = if n < 5 { vec!["ya.ru:80"] } else { Vec::new() };
            builder.push(&Row {
                session: &n.to_string(),
                source: Some(source),
                hassh: Some("everybody's"),
                files,
                targets,
                ..Row::default()
            });
        }
        assert_eq!(groups(&builder.build()), [mine[..5].iter().copied().collect::<Group>()]);
    }
}
