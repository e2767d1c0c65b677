//! `_FILE` twins: `DATABASE_URL_FILE=/run/secrets/db` stands for `DATABASE_URL=<the file's text>`. And
//! variables by the names that they had before.

use std::{os::unix::process::CommandExt, process::Command};

use anyhow::{Context as _, bail};

/// The variables without our prefix that may come from a mounted secret.
const CONVENTIONAL: [&str; 6] = [
    "DATABASE_URL",
    "DATABASE_REPLICA_URL",
    "NATS_URL",
    "REDIS_URL",
    "GRPC_URL",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// Variables that were renamed, with the names that they have now.
const RENAMED: [(&str, &str); 2] =
    [("COWRIESTREAM_GRPC_URL", "GRPC_URL"), ("COWRIESTREAM_COORDINATOR_LISTEN", "COWRIESTREAM_REST_LISTEN")];

/// Replaces every `<NAME>_FILE` of ours by `<NAME>` with the file's text, and earlier names by the present
/// ones, by starting this program again with that environment (changing one's own is unsound). Call first in
/// `main`. An error when both are given, or the file cannot be read.
pub fn adopt_secret_files() -> anyhow::Result<()> {
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command.args(std::env::args_os().skip(1));
    let mut any = false;
    for (twin, path) in std::env::vars_os() {
        let Some(name) = twin.to_str().and_then(|twin| twin.strip_suffix("_FILE")) else { continue };
        if !(CONVENTIONAL.contains(&name) || name.starts_with("COWRIESTREAM_")) {
            continue;
        }
        if std::env::var_os(name).is_some() {
            bail!("{name} and {name}_FILE are both set: set one");
        }
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {name}_FILE={}", path.display()))?;
        command.env(name, text.trim_end()).env_remove(&twin);
        any = true;
    }
    for (earlier, present) in RENAMED {
        let Some(value) = std::env::var_os(earlier) else { continue };
        command.env_remove(earlier);
        // The present name wins.
        if std::env::var_os(present).is_none() {
            command.env(present, value);
        }
        any = true;
    }
    if any {
        return Err(command.exec()).context("start again with the secrets read");
    }
    Ok(())
}
