//! Real logs, 2017 to 2026, if available: totals, values, and a second reading that changes nothing.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use events::normal::{normalise, sequence_fingerprint};

use crate::harness::{Hub, PROGRAM, directory, dump, provenance, psql, with_database};

/// Beside the checkout; the samples are never part of it.
fn samples() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/samples");
    let place = std::env::var_os("COWRIESTREAM_SAMPLES").map_or(beside, PathBuf::from);
    place.join("EXPECTED.json").exists().then(|| fs::canonicalize(place).unwrap())
}

fn once(data: &Path, files: &[PathBuf]) -> serde_json::Value {
    let mut command = Command::new(PROGRAM);
    command.args(["up", "--once", "--json", "--data-dir"]).arg(data);
    files.iter().for_each(|file| {
        command.arg("--log").arg(file);
    });
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn every_sample_is_stored_once_with_every_value_and_read_again_without_a_change() {
    let Some(samples) = samples() else { return println!("no samples beside the checkout: skipped") };
    let expected: serde_json::Value =
        serde_json::from_slice(&fs::read(samples.join("EXPECTED.json")).unwrap()).unwrap();
    let files: Vec<PathBuf> = expected["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| samples.join(file["stored"].as_str().unwrap()))
        .collect();
    let (dir, totals) = (directory(), &expected["totals"]);
    let data = dir.path().join("data");

    let read = once(&data, &files);
    let number = |name: &str| read[name].as_u64().unwrap();
    assert_eq!(number("bytes"), totals["raw_bytes"].as_u64().unwrap());
    assert_eq!(number("bytes"), number("event_bytes") + number("dead_bytes") + number("skipped_bytes"));
    assert_eq!(number("events"), totals["events_recovered"].as_u64().unwrap());
    let first = with_database(&data, |url| {
        assert_eq!(psql(url, "select count(*) from events").trim(), totals["distinct_events"].to_string());
        assert_eq!(
            psql(url, "select count(*) from sessions").trim(),
            totals["distinct_sessions"].to_string()
        );
        for (eventid, count) in totals["distinct_eventids"].as_object().unwrap() {
            assert_eq!(
                psql(url, &format!("select count(*) from events where eventid = '{eventid}'")).trim(),
                count.to_string(),
                "{eventid}"
            );
        }
        oracle(url, &files);
        verify(url, &files);
        windows(url);
        dump(url) + &provenance(url)
    });

    // The checkpoint and the broker's store are gone: everything is read and published again, and no row
    // changes.
    for gone in ["loader", "nats"] {
        fs::remove_dir_all(data.join(gone)).unwrap();
    }
    let again = once(&data, &files);
    assert_eq!(again["bytes"], read["bytes"]);
    let second = with_database(&data, |url| dump(url) + &provenance(url));
    assert!(first == second, "a row changed");

    // With the checkpoint, nothing is read at all.
    assert_eq!(once(&data, &files)["bytes"].as_u64(), Some(0));
}

/// Compares windows of every dimension with a recomputation, and prints how far normalising reduces the
/// commands.
fn windows(url: &str) {
    let typed = psql(
        url,
        "select coalesce(json_agg(json_build_array(sensor || session, payload ->> 'input') order by ts, event_id), '[]') from events
        where eventid = 'cowrie.command.input' and jsonb_typeof(payload -> 'input') = 'string'",
    );
    let typed: Vec<(String, String)> = serde_json::from_str(&typed).unwrap();
    let commands: BTreeSet<String> = typed.iter().map(|(_, command)| command.clone()).collect();
    let normal: BTreeSet<_> = commands.iter().map(|command| normalise(command)).collect();
    let mut sessions = BTreeMap::<&str, (Vec<&str>, Vec<Cow<'_, str>>)>::new();
    for (session, command) in &typed {
        let (raw, normal) = sessions.entry(session).or_default();
        raw.push(command);
        normal.push(normalise(command));
    }
    let raw: BTreeSet<_> = sessions.values().map(|(raw, _)| raw).collect();
    let normalised: BTreeSet<_> =
        sessions.values().map(|(_, normal)| sequence_fingerprint(normal.iter().map(AsRef::as_ref))).collect();
    println!("{} commands: {} distinct, {} normalised", typed.len(), commands.len(), normal.len());
    println!(
        "{} sessions with commands: {} distinct sequences, {} normalised",
        sessions.len(),
        raw.len(),
        normalised.len()
    );
    assert!(normal.len() < commands.len() && normalised.len() < raw.len());
    let compared = crate::windows::compare(url, &commands.into_iter().collect::<Vec<_>>(), 1);
    println!("windows compared with a recomputation: {compared:?}");
    assert!(compared.values().sum::<u64>() >= 200, "{compared:?}");
}

fn verify(url: &str, files: &[PathBuf]) {
    let mut command = Command::new(PROGRAM);
    command.arg("verify").env("DATABASE_URL", url);
    files.iter().for_each(|file| {
        command.arg("--log").arg(file);
    });
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}

/// 407 real five-minute snapshots of a live log, including its rename at midnight. The loader that reads them
/// is killed now and then.
#[tokio::test(flavor = "multi_thread")]
async fn the_real_growth_of_a_log_is_followed() {
    let Some(samples) = samples() else { return println!("no samples beside the checkout: skipped") };
    let snapshots = fs::read_to_string(samples.join("replay/snapshots.csv")).unwrap();
    let hub = Hub::start().await;
    let log = hub.dir.path().join("cowrie.json");
    let (_processor, mut loader) = (hub.processor(&[]), Some(hub.loader(&log)));
    let (mut name, mut whole, mut written, mut lines) = (String::new(), Vec::new(), 0, BTreeSet::new());
    for (n, snapshot) in snapshots.lines().skip(1).enumerate() {
        let fields: Vec<_> = snapshot.split(',').collect();
        if fields[0] != name {
            if !name.is_empty() {
                fs::rename(&log, log.with_file_name(format!("cowrie.json.day{n}"))).unwrap();
            }
            name = fields[0].to_owned();
            whole = read_all(&samples.join(&name));
            written = 0;
        }
        let size: usize = fields[2].parse().unwrap();
        let mut file = fs::File::options().create(true).append(true).open(&log).unwrap();
        file.write_all(&whole[written..size]).unwrap();
        written = size;
        let complete = whole[..size].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        lines.extend(
            whole[..complete].split(|&b| b == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec),
        );
        match n % 30 {
            7 => loader = None,
            11 => loader = Some(hub.loader(&log)),
            _ => std::thread::sleep(Duration::from_millis(3)),
        }
    }
    let _loader = loader.unwrap_or_else(|| hub.loader(&log));
    hub.wait_for_events(lines.len() as i64);
    hub.assert_verified(&log);
}

fn read_all(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut from = loader::Input::open(path).unwrap();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Compares every column with a recomputation from the files by an independent program.
fn oracle(url: &str, files: &[PathBuf]) {
    let Some(python) = std::env::var_os("COWRIESTREAM_TEST_PYTHON") else {
        return println!("COWRIESTREAM_TEST_PYTHON is not set: the columns are not compared");
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle.py");
    let out = Command::new(python)
        .arg(script)
        .args(["--database-url", url, "--sensor", "local"])
        .args(files)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    print!("{}", String::from_utf8_lossy(&out.stdout));
}
