//! Secrets from files: `DATABASE_URL_FILE=/run/secrets/db` sets `DATABASE_URL` to the content of the file.
//! Also maps renamed variables to their current names.

use std::{os::unix::process::CommandExt, process::Command};

use anyhow::{Context as _, bail};

/// Variables without our prefix that may come from a mounted secret.
const CONVENTIONAL: [&str; 7] = [
    "API_KEY",
    "DATABASE_URL",
    "DATABASE_REPLICA_URL",
    "NATS_URL",
    "REDIS_URL",
    "GRPC_URL",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// Renamed variables: the earlier name and the current one.
const RENAMED: [(&str, &str); 2] =
    [("COWRIESTREAM_GRPC_URL", "GRPC_URL"), ("COWRIESTREAM_COORDINATOR_LISTEN", "COWRIESTREAM_REST_LISTEN")];

/// Replaces every `<NAME>_FILE` of ours by `<NAME>` with the content of the file, and earlier names by
/// current ones. For that it executes this program again with the new environment, because changing the
/// environment of a running process is unsound. Call first in `main`. Fails if both variables are set or the
/// file cannot be read.
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
            bail!("{name} and {name}_FILE are both set: set only one");
        }
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {name}_FILE={}", path.display()))?;
        command.env(name, text.trim_end()).env_remove(&twin);
        any = true;
    }
    for (earlier, present) in RENAMED {
        let Some(value) = std::env::var_os(earlier) else { continue };
        command.env_remove(earlier);
        // The current name has precedence.
        if std::env::var_os(present).is_none() {
            command.env(present, value);
        }
        any = true;
    }
    if any {
        return Err(command.exec()).context("execute this program again with the secrets");
    }
    Ok(())
}
