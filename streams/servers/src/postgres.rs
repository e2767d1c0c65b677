//! A private PostgreSQL server. It refuses to run as root; then another user runs it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    DataDir, binaries, passable, ports,
    process::Command,
    users::{self, User},
};

/// Candidates for the user if this process runs as root.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// The user who runs it, if it is not the current one.
pub(super) fn user() -> anyhow::Result<Option<User>> {
    users::instead_of_root(&USERS, None)
}

/// The command that runs it, and its URL. Creates the cluster at the first start.
pub(super) async fn prepare(data: &DataDir) -> anyhow::Result<(Command, String)> {
    let bin = binaries::postgres()?;
    let folder = data.folder("postgres")?;
    let user = user()?;
    if let Some((uid, gid)) = user {
        if !passable(data.path()) {
            bail!(
                "Postgres must not run as root and runs as user {uid}, which may not enter {}: give a --data-dir whose parent directories other users may enter (e.g. /var/lib/cowriestream), or run as another user",
                boot::quoted(data.path())
            );
        }
        chown(&folder, Some(uid), Some(gid))
            .with_context(|| format!("give {} to user {uid}", folder.display()))?;
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
        .context("set permissions of the database directory")?;
    let secret = data.secret("postgres")?;
    if !folder.join("PG_VERSION").exists() {
        create(data, &bin, &folder, user, &secret).await?;
    }
    let port = ports::port(data, "postgres")?;
    let settings = [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".into(),
        "unix_socket_directories=".into(),
        "shared_buffers=256MB".into(),
        "max_wal_size=2GB".into(),
        "max_connections=100".into(),
        "wal_compression=on".into(),
        // A transaction takes locks on the partition of every day it writes to.
        "max_locks_per_transaction=256".into(),
    ];
    let mut arguments = vec!["-D".into(), folder.clone().into()];
    arguments.extend(settings.into_iter().flat_map(|setting| ["-c".into(), setting.into()]));
    let probe = Box::new(move || Box::pin(answers(port)) as _);
    let command = Command {
        name: "Postgres",
        program: bin.join("postgres"),
        arguments,
        folder,
        user,
        stop_signal: Signal::INT,
        probe,
        asked: false,
    };
    Ok((command, format!("postgres://cowriestream:{secret}@127.0.0.1:{port}/postgres")))
}

async fn create(
    data: &DataDir,
    bin: &Path,
    folder: &Path,
    user: Option<User>,
    secret: &str,
) -> anyhow::Result<()> {
    tracing::info!("creating the database, only at the first start");
    // Remove what an interrupted initdb left behind.
    for entry in folder.read_dir().context("read the database directory")?.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
            .with_context(|| format!("remove {}", path.display()))?;
    }
    let password = password_file(data, user, secret)?;
    let mut initdb = tokio::process::Command::new(bin.join("initdb"));
    initdb.arg("-D").arg(folder).args([
        "-U",
        "cowriestream",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    ]);
    initdb.arg("--pwfile").arg(&password).current_dir("/");
    if let Some((uid, gid)) = user {
        initdb.uid(uid).gid(gid);
    }
    let out = initdb.output().await.context("run initdb")?;
    fs::remove_file(&password).ok();
    if !out.status.success() {
        bail!("initdb failed:\n{}", boot::safe(&String::from_utf8_lossy(&out.stderr)));
    }
    Ok(())
}

fn password_file(data: &DataDir, user: Option<User>, secret: &str) -> anyhow::Result<PathBuf> {
    let path = data.write_private("postgres.initial", secret)?;
    if let Some((uid, gid)) = user {
        chown(&path, Some(uid), Some(gid)).context("give the password file to the database's user")?;
    }
    Ok(path)
}

/// Whether the server accepts connections. It answers a startup packet with a request for a password then,
/// and with an error of class 57 before.
async fn answers(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let body = b"\x00\x03\x00\x00user\0cowriestream\0database\0postgres\0\0";
        let length = u32::try_from(body.len() + 4).unwrap_or_default().to_be_bytes();
        stream.write_all(&[length.as_slice(), body.as_slice()].concat()).await?;
        std::io::Result::Ok(stream.read_u8().await? == b'R')
    };
    tokio::time::timeout(std::time::Duration::from_secs(2), ask)
        .await
        .is_ok_and(|answer| answer.unwrap_or(false))
}
