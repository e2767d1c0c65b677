//! PgBouncer in front of Postgres.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, process::Command};

use crate::harness::{Hub, Process, Writer, eventually};

/// Starts a PgBouncer in front of the hub's Postgres. Returns it with its URL.
fn pgbouncer(hub: &Hub, mode: &str) -> (Process, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = hub.database_url.strip_prefix("postgres://").unwrap();
    let (user, rest) = url.split_once('@').unwrap();
    let (name, password) = user.split_once(':').unwrap();
    let (address, database) = rest.split_once('/').unwrap();
    let (host, server_port) = address.rsplit_once(':').unwrap();
    let file = hub.dir.path().join(format!("{mode}.ini"));
    let text = format!(
        "[databases]\n{database} = host={host} port={server_port} user={name} password={password}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
        unix_socket_dir =\nauth_type = any\npool_mode = {mode}\n"
    );
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let program = if Path::new("/usr/sbin/pgbouncer").exists() { "/usr/sbin/pgbouncer" } else { "pgbouncer" };
    let mut command = Command::new(program);
    if rustix::process::geteuid().is_root() {
        command.args(["-u", "nobody"]);
    }
    let process = Process::start(command.arg(&file), &hub.dir.path().join("pgbouncer.err"));
    let url = format!("postgres://{name}@127.0.0.1:{port}/{database}");
    eventually("PgBouncer answers", || {
        Command::new("psql").args([&url, "-Xc", "select 1"]).output().unwrap().status.success()
    });
    (process, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_works_in_session_mode_and_is_named_in_transaction_mode() {
    let hub = Hub::start().await;
    let log = hub.dir.path().join("cowrie.json");
    let mut writer = Writer::new(log.clone());
    writer.append(100);
    let path = log.to_str().unwrap();

    let (_bouncer, url) = pgbouncer(&hub, "transaction");
    for arguments in [&["migrate"][..], &["processor"], &["status"], &["verify", "--log", path]] {
        let out = hub.command(arguments).env("DATABASE_URL", &url).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(
            !out.status.success() && said.contains("PgBouncer") && said.contains("pool_mode = session"),
            "{arguments:?}: {said}"
        );
    }

    let (_bouncer, url) = pgbouncer(&hub, "session");
    let through = |arguments: &[&str]| {
        let mut command = hub.command(arguments);
        command.env("DATABASE_URL", &url);
        command
    };
    assert!(through(&["migrate"]).status().unwrap().success());
    let _processor = Process::start(&mut through(&["processor"]), &hub.dir.path().join("processor.err"));
    let _loader = hub.loader(&log);
    hub.wait_for_receipts(&log);
    let out = through(&["verify", "--sensor", "s", "--log", path]).output().unwrap();
    assert!(
        out.status.success(),
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}
