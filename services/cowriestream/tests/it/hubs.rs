//! Which hub a command uses.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use rustix::process::Signal;

use crate::harness::{PROGRAM, Process, directory, env_of, eventually};

const NAMES: [&str; 7] = [
    "API_KEY",
    "DATABASE_URL",
    "NATS_URL",
    "GRPC_URL",
    "COWRIESTREAM_GRPC_URL",
    "COWRIESTREAM_DATA_DIR",
    "REDIS_URL",
];

fn command(within: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(PROGRAM);
    for name in NAMES {
        command.env_remove(name);
    }
    command.args(arguments).envs(environment.iter().copied()).current_dir(within).output().unwrap()
}

/// Runs a command that must fail, and returns its error.
fn refused(within: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let out = command(within, arguments, environment);
    assert!(!out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn names(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not named: {text}");
    }
}

#[test]
fn a_command_uses_the_hub_that_was_named_and_no_other() {
    let dir = directory();
    let (empty, of_b) = (dir.path().join("no hub"), dir.path().join("b"));
    fs::create_dir_all(of_b.join(".cowriestream")).unwrap();
    fs::create_dir(&empty).unwrap();
    let list = ["jobs", "list"];

    for (arguments, name) in [
        (&list[..], "GRPC_URL"),
        (&["workers"], "GRPC_URL"),
        (&["findings", "list"], "DATABASE_URL"),
        (&["tail"], "NATS_URL"),
    ] {
        names(&refused(&empty, arguments, &[]), &["found no hub", name, ".cowriestream/env", "--data-dir"]);
    }
    names(&refused(&empty, &["jobs", "--data-dir", "not here", "list"], &[]), &["'not here/env'"]);

    // Nothing listens on ports this low.
    let [a, b, c] = [1, 2, 3].map(|port| format!("http://127.0.0.1:{port}"));
    fs::write(
        of_b.join(".cowriestream/env"),
        format!("DATABASE_URL='postgres://x@127.0.0.1:2/b'\nNATS_URL='nats://127.0.0.1:2'\nGRPC_URL='{b}'\n"),
    )
    .unwrap();
    names(&refused(&of_b, &list, &[]), &[&b]);
    names(&refused(&of_b, &list, &[("GRPC_URL", &a)]), &[&a]);
    names(&refused(&of_b, &list, &[("COWRIESTREAM_GRPC_URL", &a)]), &[&a]);
    names(&refused(&of_b, &["jobs", "list", "--grpc-url", &c], &[("GRPC_URL", &a)]), &[&c]);
    names(
        &refused(dir.path(), &["jobs", "list", "--data-dir", "b/.cowriestream"], &[("GRPC_URL", &a)]),
        &[&b],
    );

    // Addresses of one hub are not completed with those of another.
    for arguments in [&list[..], &["status"], &["jobs", "submit", "report"]] {
        let text = refused(&of_b, arguments, &[("NATS_URL", "nats://127.0.0.1:1")]);
        names(&text, &[".cowriestream/env is of another hub", "NATS_URL differs", "--data-dir"]);
    }
    names(
        &refused(
            &of_b,
            &["jobs", "list", "--data-dir", ".cowriestream"],
            &[("NATS_URL", "nats://127.0.0.1:1")],
        ),
        &[&b],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_with_the_environment_of_up_reach_it_from_any_directory() {
    let dir = directory();
    let (data, elsewhere) = (dir.path().join("my hub"), dir.path().join("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    let errors = dir.path().join("up.err");
    let mut command_of_up = Command::new(PROGRAM);
    for name in NAMES {
        command_of_up.env_remove(name);
    }
    command_of_up.args(["up", "--data-dir", data.to_str().unwrap()]);
    let mut up = Process::start(&mut command_of_up, &errors);
    let ready = |times: usize| {
        eventually("up is ready", || {
            fs::read_to_string(&errors).is_ok_and(|text| text.matches("ready:").count() == times)
        });
    };
    ready(1);
    let text = fs::read_to_string(&errors).unwrap();
    let hint = text.split_once("ready: `").unwrap().1.split_once('`').unwrap().0;
    let script = format!(
        "{hint} && cd elsewhere && {PROGRAM} jobs submit report --json && {PROGRAM} jobs list && {PROGRAM} status --json"
    );
    let mut shell = Command::new("bash");
    for name in NAMES {
        shell.env_remove(name);
    }
    let out = shell.args(["-c", &script]).current_dir(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{hint}: {said}{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(crate::harness::psql(&env_of(&data, "DATABASE_URL"), "select count(*) from jobs").trim(), "1");

    // Another hub's coordinator does not get the key of this one.
    let key = env_of(&data, "API_KEY");
    let other = [("GRPC_URL", "http://127.0.0.1:1")];
    names(&refused(dir.path(), &["jobs", "--data-dir", "none", "list"], &other), &["127.0.0.1:1"]);
    let url = env_of(&data, "GRPC_URL");
    names(
        &refused(dir.path(), &["jobs", "--data-dir", "none", "list"], &[("GRPC_URL", &url)]),
        &["no valid credential", "API_KEY"],
    );
    let wrong = [("GRPC_URL", url.as_str()), ("API_KEY", "csk_x")];
    names(&refused(dir.path(), &["jobs", "--data-dir", "none", "list"], &wrong), &["no valid credential"]);

    up.signal(Signal::TERM);
    assert!(up.end());
    // The key is private, never printed, and used again.
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(data.join("env")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(key.starts_with("csk_"));
    let mut up = Process::start(&mut command_of_up, &errors);
    ready(2);
    assert_eq!(env_of(&data, "API_KEY"), key);
    assert!(!fs::read_to_string(&errors).unwrap().contains(&key[13..]));
    up.signal(Signal::TERM);
    assert!(up.end());
    names(
        &refused(dir.path(), &["jobs", "--data-dir", "my hub", "list"], &[]),
        &["has ended", "'my hub/env'"],
    );
}
