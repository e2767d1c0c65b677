use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

fn generate(out: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["generate", "--json", "--out"])
        .arg(out)
        .args(args)
        .output()
        .unwrap()
}

fn lines(out: &Path) -> usize {
    fs::read_dir(out)
        .unwrap()
        .map(|sensor| fs::read_to_string(sensor.unwrap().path().join("cowrie.json")).unwrap().lines().count())
        .sum()
}

#[test]
fn files_hold_what_the_summary_says_and_are_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("logs");
    let made = generate(&out, &["--events", "3000", "--sensors", "4"]);
    let summary: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(
        (summary["events"].as_u64(), summary["sensors"].as_u64(), lines(&out)),
        (Some(3000), Some(4), 3000)
    );
    let again = generate(&out, &["--events", "1"]);
    assert!(
        !again.status.success() && String::from_utf8_lossy(&again.stderr).contains("name a new directory")
    );
    assert_eq!(lines(&out), 3000);
}

#[test]
fn a_live_log_has_the_present_time_and_goes_on_where_it_ended() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path();
    for all in [200, 400] {
        let before = boot::now().timestamp_micros();
        let made = generate(out, &["--live", "--rate", "2000", "--events", "200"]);
        let summary: Value = serde_json::from_slice(&made.stdout).unwrap();
        let first = events::time::read(summary["first"].as_str().unwrap()).unwrap();
        assert!(first >= before && first < boot::now().timestamp_micros());
        assert_eq!(lines(out), all);
    }
}

#[test]
fn planted_attacks_come_with_the_truth_about_them() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("logs");
    let refused = generate(&out, &["--plant", "snowshoe=1"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--days"));
    let made = generate(&out, &["--days", "1", "--rate", "0.05", "--plant", "snowshoe=1,odd=2"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let truth: Value = serde_json::from_slice(&fs::read(out.join("truth.json")).unwrap()).unwrap();
    assert_eq!(
        (truth["campaigns"][0]["id"].as_str(), truth["anomalies"].as_array().map(Vec::len)),
        (Some("snowshoe-1"), Some(2))
    );
}
