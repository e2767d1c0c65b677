//! Real logs, if available: how well normalising maps the runs of one attack to one sequence.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
#![allow(clippy::print_stdout, reason = "what a test measured")]

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::Instant,
};

use events::normal::{normalise, sequence_fingerprint};

/// Next to the checkout, never part of it.
fn samples() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/samples");
    let place = std::env::var_os("COWRIESTREAM_SAMPLES").map_or(beside, PathBuf::from);
    place.join("EXPECTED.json").exists().then(|| fs::canonicalize(place).unwrap())
}

fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).unwrap();
    match path.extension().and_then(|end| end.to_str()) {
        Some("gz") => flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes).ok()?,
        Some("bz2" | "zst") => return None,
        _ => { file }.read_to_end(&mut bytes).unwrap(),
    };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The commands of each session; copies of a log count once.
fn sessions(samples: &Path) -> Vec<Vec<String>> {
    let expected: serde_json::Value =
        serde_json::from_slice(&fs::read(samples.join("EXPECTED.json")).unwrap()).unwrap();
    let (mut seen, mut sessions) = (HashSet::new(), BTreeMap::<String, Vec<String>>::new());
    for file in expected["files"].as_array().unwrap() {
        let Some(text) = text(&samples.join(file["stored"].as_str().unwrap())) else { continue };
        for line in text.lines().filter(|line| line.contains("cowrie.command.input")) {
            let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            if event["eventid"] == "cowrie.command.input" && seen.insert(line.to_owned()) {
                let (Some(session), Some(input)) = (event["session"].as_str(), event["input"].as_str())
                else {
                    continue;
                };
                sessions.entry(session.to_owned()).or_default().push(input.to_owned());
            }
        }
    }
    sessions.into_values().collect()
}

fn distinct<T: std::hash::Hash + Eq>(of: impl Iterator<Item = T>) -> usize {
    of.collect::<HashSet<_>>().len()
}

#[test]
fn attacks_of_the_samples_collapse() {
    let Some(samples) = samples() else { return println!("no samples beside the checkout: skipped") };
    let sessions = sessions(&samples);
    let commands: Vec<&str> = sessions.iter().flatten().map(String::as_str).collect();

    // A session with a single word says little. Sessions whose commands contain one of these are attacks.
    let attack = |session: &&Vec<String>| {
        ["http", "tftp", "ssh-rsa", "passwd", "busybox"].iter().any(|sign| session.concat().contains(sign))
    };
    let attacks: Vec<_> = sessions.iter().filter(attack).collect();
    let sequences = distinct(sessions.iter());
    let normal_sequences =
        distinct(sessions.iter().map(|session| sequence_fingerprint(session.iter().map(String::as_str))));
    let attack_sequences = distinct(attacks.iter());
    let normal_attacks =
        distinct(attacks.iter().map(|session| sequence_fingerprint(session.iter().map(String::as_str))));
    let (raw, normal) =
        (distinct(commands.iter()), distinct(commands.iter().map(|command| normalise(command))));
    let bytes: usize = commands.iter().map(|command| command.len()).sum();
    let began = Instant::now();
    let kept: usize = commands.iter().map(|command| normalise(command).len()).sum();
    let speed = bytes as f64 / began.elapsed().as_secs_f64() / 1e6;
    println!(
        "{} sessions with commands: {sequences} distinct sequences, {normal_sequences} normalised",
        sessions.len()
    );
    println!(
        "{} of them attacks: {attack_sequences} distinct sequences, {normal_attacks} normalised",
        attacks.len()
    );
    println!(
        "{} commands: {raw} distinct, {normal} normalised; {bytes} bytes to {kept}, {speed:.0} MB/s",
        commands.len()
    );

    for command in commands {
        assert_eq!(normalise(&normalise(command)), normalise(command));
    }
    assert!(normal_sequences * 10 <= sequences * 9 && normal * 10 <= raw * 9);
    assert!(normal_attacks * 10 <= attack_sequences * 7);
}
