//! Which hub a command speaks to. In this order: its flags, the environment, the `env` that `up` wrote into
//! its data directory.
//!
//! **Invariant**: all addresses of a command belong to one hub. Where the environment (or a flag) says
//! something else than `env`, that file describes another hub, and nothing is taken from it, unless
//! `--data-dir` was given. There is no default address.

use std::{
    collections::HashMap,
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::bail;

/// The addresses that say which hub it is.
const ADDRESSES: [&str; 3] = ["DATABASE_URL", "NATS_URL", "GRPC_URL"];

/// The data directory that is looked into.
const DEFAULT: &str = ".cowriestream";

/// Where addresses that are not given are looked for.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct HubArgs {
    /// Data directory of a running `cowriestream up`: addresses that no flag gives are read from it. Without
    /// it, from the environment, then from .cowriestream
    #[arg(long, env = "COWRIESTREAM_DATA_DIR", value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
}

impl HubArgs {
    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.as_deref().unwrap_or(Path::new(DEFAULT))
    }

    /// The address `name`. `given`: what flags or the environment say of it and of the other addresses of the
    /// command.
    pub fn address(&self, name: &str, given: &[(&str, Option<&str>)]) -> anyhow::Result<String> {
        let from_environment = environment(name);
        let own = given
            .iter()
            .find(|(other, _)| *other == name)
            .and_then(|(_, value)| *value)
            .filter(|value| !value.is_empty());
        if let Some(flag) = own.filter(|own| Some(*own) != from_environment.as_deref()) {
            return Ok(flag.to_owned());
        }
        let asked_for = self.is_asked_for();
        let written = self.written();
        // A data directory in which no `up` ever ran names no hub; `load` keeps its checkpoint there.
        if let Some(value) = from_environment.filter(|_| !asked_for || written.is_none()) {
            return Ok(value);
        }
        if let (false, Some(written)) = (asked_for, &written)
            && let Some(other) = contradiction(written, given)
        {
            bail!(
                "{name} is not set, and {} is of another hub: its {other} differs from the one that is set. Set {name}, unset {other}, or give --data-dir",
                self.file()
            );
        }
        let Some(value) =
            written.as_ref().and_then(|written| written.get(name)).filter(|value| !value.is_empty())
        else {
            let flag = format!("--{}", name.to_lowercase().replace('_', "-"));
            let why = if written.is_some() { "names none" } else { "cannot be read" };
            bail!(
                "found no hub: {flag} and {name} are not set, and {} {why}. Is `cowriestream up` running with that --data-dir?",
                self.file()
            );
        };
        // Its coordinator ended with it, and another hub may listen there now.
        if name == "GRPC_URL" && self.has_ended() {
            bail!(
                "found no hub: {name} is not set, and the `cowriestream up` that wrote {} has ended: start it, or give another --data-dir",
                self.file()
            );
        }
        Ok(value.clone())
    }

    /// A secret for the server at `url`, which is the value of the only address in `given`. From the flag, then
    /// from the environment, then from `env`; that file's secret goes only to the server that the file names.
    pub fn secret(
        &self,
        name: &str,
        flag: Option<&str>,
        given: &[(&str, Option<&str>)],
        url: &str,
    ) -> Option<String> {
        let from_environment = environment(name);
        let flag = flag.filter(|value| !value.is_empty());
        // clap gives the variable as if it were a flag.
        if let Some(flag) = flag.filter(|flag| Some(*flag) != from_environment.as_deref()) {
            return Some(flag.to_owned());
        }
        let plain = |url: &str| url.trim_end_matches('/').to_owned();
        let written = self.written().filter(|written| {
            given.iter().all(|(other, _)| written.get(*other).is_some_and(|one| plain(one) == plain(url)))
        });
        let stored = written.and_then(|written| written.get(name).filter(|value| !value.is_empty()).cloned());
        match self.is_asked_for() {
            true => stored.or(from_environment),
            false => from_environment.or(stored),
        }
    }

    /// Whether a flag names the data directory.
    fn is_asked_for(&self) -> bool {
        self.data_dir.is_some() && self.data_dir != env::var_os("COWRIESTREAM_DATA_DIR").map(PathBuf::from)
    }

    fn file(&self) -> String {
        boot::quoted(&self.data_dir().join("env"))
    }

    fn written(&self) -> Option<HashMap<String, String>> {
        let text = fs::read_to_string(self.data_dir().join("env")).ok()?;
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Some(pairs.map(|(name, value)| (name.trim().to_owned(), unquoted(value.trim()))).collect())
    }

    /// Whether the process that wrote `env` has ended; not, when that cannot be found out.
    fn has_ended(&self) -> bool {
        File::open(self.data_dir().join("lock")).is_ok_and(|lock| lock.try_lock_shared().is_ok())
    }
}

/// A variable that is set and not empty.
fn environment(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// An address that is given and differs from the one written.
fn contradiction(written: &HashMap<String, String>, given: &[(&str, Option<&str>)]) -> Option<&'static str> {
    let plain = |url: &str| url.trim_end_matches('/').to_owned();
    let differs = |name: &str| {
        let flag =
            given.iter().find(|(other, _)| *other == name).and_then(|(_, value)| value.map(str::to_owned));
        let given = flag.or_else(|| environment(name)).filter(|value| !value.is_empty());
        given.zip(written.get(name)).is_some_and(|(given, written)| plain(&given) != plain(written))
    };
    ADDRESSES.into_iter().find(|name| differs(name))
}

/// The value of a line of `env`: text between apostrophes, in which `'\''` stands for one.
fn unquoted(value: &str) -> String {
    match value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')) {
        Some(inner) => inner.replace(r"'\''", "'"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_as_it_was_written() {
        assert_eq!(unquoted(r"'postgres://u:it'\''s@h/d'"), "postgres://u:it's@h/d");
        assert_eq!(unquoted("plain"), "plain");
    }
}
