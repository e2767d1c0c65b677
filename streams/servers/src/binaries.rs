//! Finds the programs of the servers.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::bail;

/// `nats-server`
pub(super) fn nats() -> anyhow::Result<PathBuf> {
    let places = [tools().join("bin/nats-server")];
    find(
        "COWRIESTREAM_NATS_SERVER",
        &["nats-server"],
        &places,
        "NATS server 2.10 or newer",
        "nats.io/download; macOS: brew install nats-server",
    )
}

/// `redis-server`, or `valkey-server`
pub(super) fn redis() -> anyhow::Result<PathBuf> {
    find(
        "COWRIESTREAM_REDIS_SERVER",
        &["redis-server", "valkey-server"],
        &[],
        "Redis 6 or newer, or Valkey",
        "Debian, Ubuntu: apt-get install redis-server; macOS: brew install redis",
    )
}

/// The directory with `initdb` and `postgres`.
pub(super) fn postgres() -> anyhow::Result<PathBuf> {
    if let Some(given) = env::var_os("COWRIESTREAM_POSTGRES_BIN") {
        let given = PathBuf::from(given);
        if given.join("initdb").exists() {
            return Ok(given);
        }
        bail!("COWRIESTREAM_POSTGRES_BIN={}: no initdb there", boot::quoted(&given));
    }
    let mut places: Vec<_> =
        glob("/usr/lib/postgresql").into_iter().map(|version| version.join("bin")).collect();
    places.sort_by_key(|bin| {
        std::cmp::Reverse(bin.parent().and_then(|v| v.file_name()?.to_str()?.parse::<u32>().ok()))
    });
    places.extend(path());
    places.extend(
        [
            "/usr/pgsql-18/bin",
            "/usr/pgsql-17/bin",
            "/usr/pgsql-16/bin",
            "/opt/homebrew/opt/postgresql@17/bin",
        ]
        .map(PathBuf::from),
    );
    match places.into_iter().find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists()) {
        Some(bin) => Ok(bin),
        None => bail!(
            "PostgreSQL 15 or newer (the server) is not installed: install it (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17), or set COWRIESTREAM_POSTGRES_BIN to the directory of initdb, or DATABASE_URL to a running server"
        ),
    }
}

/// Programs that the system lacks may be installed here.
fn tools() -> PathBuf {
    let home =
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".local/share/cowriestream/tools");
    env::var_os("COWRIESTREAM_TOOLS").map_or_else(home, PathBuf::from)
}

/// `setpriv`, which starts a program so that it ends when this process does.
pub(super) fn setpriv() -> Option<PathBuf> {
    ["/usr/bin/setpriv", "/bin/setpriv"].map(PathBuf::from).into_iter().find(|path| path.exists())
}

/// The first program on `PATH` with one of these names.
pub(super) fn on_path(names: &[&str]) -> Option<PathBuf> {
    path()
        .into_iter()
        .flat_map(|directory| names.iter().map(move |name| directory.join(name)).collect::<Vec<_>>())
        .find(|program| program.is_file())
}

fn find(
    variable: &str,
    names: &[&str],
    places: &[PathBuf],
    what: &str,
    packages: &str,
) -> anyhow::Result<PathBuf> {
    if let Some(given) = env::var_os(variable) {
        let given = PathBuf::from(given);
        if given.is_file() {
            return Ok(given);
        }
        bail!("{variable}={}: no such file", boot::quoted(&given));
    }
    match places.iter().find(|program| program.is_file()).cloned().or_else(|| on_path(names)) {
        Some(program) => Ok(program),
        None => bail!(
            "{what} is not installed: install it ({packages}), or set {variable} to the program, or give the URL of a running server"
        ),
    }
}

fn path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

fn glob(directory: &str) -> Vec<PathBuf> {
    let entries = Path::new(directory).read_dir().into_iter().flatten();
    entries.filter_map(Result::ok).map(|entry| entry.path()).collect()
}
