//! Campaigns: groups run by one operator are found, groups that only look alike are not.

use std::net::{IpAddr, Ipv4Addr};

use analysis::{
    Data, DataBuilder, Finding,
    campaign::{self, Earlier, Kind, Parameters, shared_credentials},
    data::Row,
};
use events::features::LENGTH;

use crate::{Random, unwatched};

const HOUR: i64 = 3_600_000_000;
const DAYS: i64 = 7;

/// A visit of a source, which tests modify.
#[derive(Clone, Default)]
struct Visit {
    at: i64,
    client: String,
    logins: Vec<(String, String)>,
    inputs: Vec<String>,
    files: Vec<String>,
    urls: Vec<String>,
    targets: Vec<String>,
    keys: Vec<String>,
}

/// A log under construction: visits by source.
struct Log {
    random: Random,
    visits: Vec<(IpAddr, Visit)>,
    sources: u32,
}

impl Log {
    /// Adds sources from many networks that try common passwords with common clients at their own times; some
    /// run commands.
    fn ordinary(sources: usize, seed: u64) -> Self {
        let mut log = Self { random: Random::new(seed), visits: Vec::new(), sources: 0 };
        for _ in 0..sources {
            log.add(|log| {
                // Skewed like real logs: most sources try the same few.
                let common = log.random.below(60).min(log.random.below(60));
                let logins = vec![("root".to_owned(), format!("p{common}"))];
                let inputs = if log.random.below(6) == 0 {
                    vec![format!("cat /proc/{}", log.random.below(5))]
                } else {
                    Vec::new()
                };
                vec![Visit { at: log.moment(), client: log.client(), logins, inputs, ..Visit::default() }]
            });
        }
        log
    }

    /// Adds a source from a network of its own, with its visits.
    fn add(&mut self, visits: impl FnOnce(&mut Self) -> Vec<Visit>) -> IpAddr {
        let visits = visits(self);
        self.sources += 1;
        // No two sources share a /16.
        let source = IpAddr::from(Ipv4Addr::from_bits((self.sources % 0xd000 + 0x0a00) << 16 | 7));
        self.visits.extend(visits.into_iter().map(|visit| (source, visit)));
        source
    }

    /// Adds sources that each visit once, at their own time with a common client; `change` modifies the
    /// visit.
    fn several(&mut self, count: usize, mut change: impl FnMut(&mut Self, usize, &mut Visit)) -> Vec<IpAddr> {
        let one = |log: &mut Self, n| {
            let mut visit = Visit { at: log.moment(), client: log.client(), ..Visit::default() };
            change(log, n, &mut visit);
            vec![visit]
        };
        let mut one = one;
        (0..count).map(|n| self.add(|log| one(log, n))).collect()
    }

    fn moment(&mut self) -> i64 {
        (self.random.unit() * (DAYS * 24 * HOUR) as f64) as i64
    }

    /// A time within thirty hours in the middle of the range.
    fn soon(&mut self) -> i64 {
        HOUR * 50 + (self.random.unit() * (30 * HOUR) as f64) as i64
    }

    fn client(&mut self) -> String {
        format!("SSH-2.0-c{}", self.random.below(5))
    }

    fn data(&self) -> Data {
        let mut builder = DataBuilder::default();
        for (n, (source, visit)) in self.visits.iter().enumerate() {
            fn texts(list: &[String]) -> Vec<&str> {
                list.iter().map(String::as_str).collect()
            }
            let commands = visit.inputs.join("\n");
            let mut fingerprint = [0; 16];
            fingerprint.copy_from_slice(&blake3::hash(commands.as_bytes()).as_bytes()[..16]);
            builder.push(&Row {
                sensor: "s",
                session: &format!("{n:08x}"),
                source: Some(*source),
                started: visit.at,
                client: Some(&visit.client),
                logins: visit
                    .logins
                    .iter()
                    .map(|(user, password)| (user.as_str(), Some(password.as_str()), false))
                    .collect(),
                sequence: (!visit.inputs.is_empty()).then_some((
                    fingerprint,
                    visit.inputs.len(),
                    commands.as_str(),
                )),
                inputs: texts(&visit.inputs),
                files: texts(&visit.files),
                urls: texts(&visit.urls),
                targets: texts(&visit.targets),
                keys: texts(&visit.keys),
                vector: &[0.0; LENGTH],
                ..Row::default()
            });
        }
        builder.build()
    }

    fn found(&self) -> Vec<Finding> {
        self.found_with(&Earlier::default())
    }

    fn found_with(&self, earlier: &Earlier) -> Vec<Finding> {
        let detect = |watch: &mut analysis::Watch<'_>| {
            campaign::detect(
                Kind::Botnet,
                &self.data(),
                0..DAYS * 24 * HOUR,
                earlier,
                &Parameters::default(),
                watch,
            )
        };
        unwatched(detect).findings
    }
}

/// Whether a finding has exactly these sources.
fn are_found(findings: &[Finding], sources: &[IpAddr]) -> bool {
    let mut wanted: Vec<String> = sources.iter().map(ToString::to_string).collect();
    wanted.sort();
    findings.iter().any(|finding| {
        let mut found = finding.sources.clone();
        found.sort();
        found == wanted
    })
}

#[test]
fn a_few_sources_that_share_something_unique_are_a_campaign() {
    type Change = fn(&mut Visit);
    let cases: [(&str, Change); 3] = [
        ("a key that is offered", |visit| visit.keys = vec!["SHA256:theirs".into()]),
        ("a target that they forward to", |visit| visit.targets = vec!["mail.theirs.example:465".into()]),
        ("a file", |visit| visit.files = vec!["5f".repeat(32)]),
    ];
    for (what, change) in cases {
        let mut log = Log::ordinary(1_000, 1);
        // A target may be shared by chance, a hash or a key not. So a target needs more sources.
        let sources = if what.contains("target") { 12 } else { 6 };
        let theirs = log.several(sources, |log, _, visit| {
            visit.at = log.soon();
            change(visit);
        });
        let found = log.found();
        let sizes: Vec<usize> = found.iter().map(|finding| finding.sources.len()).collect();
        assert!(are_found(&found, &theirs), "{what}: {sizes:?}");
    }
}

#[test]
fn files_of_their_own_do_not_hide_the_host_that_droppers_share() {
    let mut log = Log::ordinary(1_000, 2);
    let theirs = log.several(6, |log, n, visit| {
        visit.at = log.soon();
        visit.urls = vec!["http://theirs.example.net/x".into()];
        visit.files = (0..4).map(|more| format!("{:064x}", n * 10 + more + 1)).collect();
    });
    assert!(are_found(&log.found(), &theirs));
}

/// Adds sources that try factory defaults which few others in this log try: two or three out of five each.
fn guessers(log: &mut Log, count: usize, known: [(&str, &str); 5]) -> Vec<IpAddr> {
    log.several(count, |log, _, visit| {
        let first = log.random.below(5);
        visit.logins = (0..4)
            .map(|more| known[(first + more * (1 + first % 2)) % 5])
            .map(|(user, password)| (user.to_owned(), password.to_owned()))
            .collect();
        visit.at = HOUR * 40 + (log.random.unit() * (60 * HOUR) as f64) as i64;
    })
}

const DEFAULTS: [(&str, &str); 5] =
    [("root", "xc3511"), ("root", "vizxv"), ("admin", "7ujMko0admin"), ("root", "klv123"), ("ubnt", "ubnt")];
const SECRETS: [(&str, &str); 5] =
    [("root", "s-17"), ("root", "s-29"), ("adm7", "s-3"), ("root", "s-41"), ("svc9", "s-5")];

#[test]
fn unrelated_sources_that_try_rare_defaults_are_no_campaign() {
    let mut log = Log::ordinary(400, 3);
    guessers(&mut log, 30, DEFAULTS);
    assert_eq!(log.found().iter().map(|finding| &finding.title).collect::<Vec<_>>(), Vec::<&String>::new());
    // The same sources with credentials that nobody else knows are a campaign.
    let mut log = Log::ordinary(400, 3);
    let theirs = guessers(&mut log, 30, SECRETS);
    assert!(log.found().iter().any(|finding| finding.sources.len() * 10 >= theirs.len() * 8));
}

#[test]
fn credentials_that_many_tried_before_do_not_tie_sources() {
    let mut log = Log::ordinary(400, 3);
    guessers(&mut log, 30, SECRETS);
    let asked = shared_credentials(&log.data(), 1_000);
    assert!(
        SECRETS.iter().all(|(user, password)| asked.contains(&((*user).to_owned(), (*password).to_owned())))
    );
    let credentials = asked.into_iter().map(|credential| (credential, 300)).collect();
    let earlier = Earlier { sources: 10_000, credentials, ..Earlier::default() };
    assert_eq!(
        log.found_with(&earlier).iter().map(|finding| &finding.title).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
}

#[test]
fn a_key_of_a_few_sources_is_found_among_others_that_try_the_same_defaults() {
    let mut log = Log::ordinary(600, 4);
    let mut key = Vec::new();
    for source in guessers(&mut log, 40, DEFAULTS).into_iter().take(5) {
        log.visits
            .iter_mut()
            .filter(|(of, _)| *of == source)
            .for_each(|(_, visit)| visit.keys = vec!["SHA256:theirs".into()]);
        key.push(source);
    }
    assert!(are_found(&log.found(), &key));
}

#[test]
fn the_hash_of_an_empty_file_is_no_artefact_and_no_indicator() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned();
    let newline = "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b".to_owned();
    let mut log = Log::ordinary(600, 6);
    log.several(8, |log, _, visit| {
        visit.at = log.soon();
        visit.files = vec![empty.clone(), newline.clone()];
    });
    assert_eq!(log.found().iter().map(|finding| &finding.title).collect::<Vec<_>>(), Vec::<&String>::new());
    let theirs = log.several(6, |log, _, visit| {
        visit.at = log.soon();
        visit.files = vec![empty.clone(), newline.clone(), "5f".repeat(32)];
    });
    let found = log.found();
    assert!(are_found(&found, &theirs));
    assert!(found.iter().all(|finding| !finding.evidence.to_string().contains(&empty)
        && !finding.evidence.to_string().contains(&newline)));
}
