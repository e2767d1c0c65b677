//! Standard output that cannot be written.

use std::{
    fs::File,
    process::{Command, Stdio},
};

use crate::{
    harness::{Hub, PROGRAM, Writer},
    office::Office,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_could_not_be_written_is_no_success_and_a_closed_pipe_is_quiet() {
    let hub = Hub::start().await;
    let log = hub.dir.path().join("cowrie.json");
    let mut writer = Writer::new(log.clone());
    writer.append(160);
    let (_processor, _loader) = (hub.processor(&[]), hub.loader(&log));
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &[]);
    hub.wait_for_events(writer.events);
    hub.wait_for_receipts(&log);
    let dead = hub.psql("select replace(dead_id::text, '-', '') from dead_letters limit 1").trim().to_owned();
    let job = office.submit(&["report"]);
    let path = log.to_str().unwrap();
    let listings: &[&[&str]] = &[
        &["status"],
        &["status", "--json"],
        &["dead-letters", "list"],
        &["dead-letters", "list", "--json"],
        &["dead-letters", "show", &dead],
        &["dead-letters", "show", "--raw", &dead],
        &["findings", "list"],
        &["jobs", "list"],
        &["jobs", "show", &job],
        &["jobs", "show", "--json", &job],
        &["workers"],
        &["queues"],
        &["schedules"],
        &["rules"],
        &["analyse", "botnet", "--log", path],
        &["analyse", "botnet", "--log", path, "--json"],
        &["verify", "--sensor", "s", "--log", path],
        &["verify", "--sensor", "s", "--log", path, "--json"],
        &["tail", "--since", "2023-01-01T00:00:00Z", "--no-follow"],
        &["backfill", "--json"],
        &["--help"],
        &["--version"],
        &["jobs", "--help"],
    ];
    for arguments in listings {
        let full = office
            .command(arguments)
            .stdout(File::options().write(true).open("/dev/full").unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&full.stderr);
        assert!(
            !full.status.success() && said.contains("No space left"),
            "{arguments:?}: {:?} {said}",
            full.status
        );
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        let quiet =
            office.command(arguments).env("COWRIESTREAM_LOG", "warn").stdout(closed).output().unwrap();
        assert!(
            quiet.status.success() && quiet.stderr.is_empty() || arguments[0] == "analyse",
            "{arguments:?}: {}",
            String::from_utf8_lossy(&quiet.stderr)
        );
        assert!(quiet.status.success(), "{arguments:?}");
    }
    // An error cannot be printed either: still no panic.
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let status = Command::new(PROGRAM)
        .args(["jobs", "list"])
        .current_dir("/")
        .env_remove("GRPC_URL")
        .stdout(full())
        .stderr(full())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_several_lines_is_readable() {
    let hub = Hub::start().await;
    hub.psql("create function refuse() returns event_trigger language plpgsql as $$ begin raise exception E'first line\\nsecond \\x1b[31m line\\nerror: third'; end $$");
    hub.psql("create event trigger refuse on ddl_command_start execute function refuse()");
    hub.psql("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)");
    let out = hub.command(&["migrate"]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        !out.status.success() && said.contains("first line\n  second \\u{1b}[31m line\n  error: third"),
        "{said}"
    );
    assert!(!said.contains("\\u{a}"), "{said}");
}
