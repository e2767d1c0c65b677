//! Which files belong to a sensor: paths with their rotated siblings, and globs.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use events::SensorId;

/// `--log [SENSOR=]PATH|GLOB`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogSpec {
    /// The sensor, when the argument names one.
    pub sensor: Option<SensorId>,
    /// A path, or a pattern with `*`, `?`, `[…]` or `**`.
    pub pattern: String,
}

impl std::str::FromStr for LogSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        // A path may hold `=`: only what reads as a sensor id before the first one names a sensor.
        let named = text.split_once('=').and_then(|(name, rest)| Some((name.parse().ok()?, rest)));
        let (sensor, pattern) = named.map_or((None, text), |(sensor, rest)| (Some(sensor), rest));
        if pattern.is_empty() {
            bail!("expected [SENSOR=]PATH or a glob pattern");
        }
        glob::Pattern::new(pattern).with_context(|| format!("{pattern:?} is no glob pattern"))?;
        Ok(Self { sensor, pattern: pattern.to_owned() })
    }
}

/// A file found for a sensor.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it lies.
    pub path: PathBuf,
    /// What `stat` says.
    pub meta: Metadata,
    /// Named by the user or matched by the pattern, not a rotated sibling: Cowrie may be writing it.
    pub live: bool,
}

/// Groups specifications by sensor; one without a name belongs to `default`.
pub fn by_sensor(specs: &[LogSpec], default: Option<&SensorId>) -> anyhow::Result<BTreeMap<SensorId, Vec<String>>> {
    let mut sensors = BTreeMap::<SensorId, Vec<String>>::new();
    for spec in specs {
        let sensor = spec.sensor.as_ref().or(default);
        let sensor = sensor.with_context(|| format!("--log {}: no sensor; give --sensor NAME or SENSOR=PATH", spec.pattern))?;
        sensors.entry(sensor.clone()).or_default().push(spec.pattern.clone());
    }
    Ok(sensors)
}

/// Finds the files of these patterns now: each (device, inode) once, oldest change first.
pub fn discover(patterns: &[String]) -> anyhow::Result<Vec<Found>> {
    let mut found = BTreeMap::<(u64, u64), Found>::new();
    for pattern in patterns {
        for path in matches(pattern)? {
            add(&mut found, path.clone(), true);
            for sibling in siblings(&path) {
                add(&mut found, sibling, false);
            }
        }
    }
    let mut files: Vec<_> = found.into_values().collect();
    files.sort_by_key(|file| (file.meta.mtime(), file.meta.mtime_nsec(), file.path.clone()));
    Ok(files)
}

/// Directories to watch for these patterns.
pub fn directories(patterns: &[String]) -> Vec<PathBuf> {
    let parent = |path: &Path| path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let mut directories: Vec<_> = patterns.iter().filter(|pattern| !is_glob(pattern)).map(|pattern| parent(Path::new(pattern))).collect();
    directories.extend(discover(patterns).unwrap_or_default().iter().map(|file| parent(&file.path)));
    directories.sort();
    directories.dedup();
    directories
}

/// An error that names every pattern which matches nothing: a typing mistake must not look like success.
pub fn check(patterns: &[String]) -> anyhow::Result<()> {
    for pattern in patterns {
        if Path::new(pattern).is_dir() {
            bail!("{pattern} is a directory: name the log in it, e.g. {0}/cowrie.json, or a pattern like '{0}/*.json*'", pattern.trim_end_matches('/'));
        }
        if discover(std::slice::from_ref(pattern))?.is_empty() {
            bail!("{pattern}: no such file");
        }
    }
    Ok(())
}

fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

fn matches(pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    // A file may have such characters in its name.
    if !is_glob(pattern) || Path::new(pattern).exists() {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    let paths = glob::glob(pattern).with_context(|| format!("{pattern:?} is no glob pattern"))?;
    Ok(paths.filter_map(Result::ok).collect())
}

fn add(found: &mut BTreeMap<(u64, u64), Found>, path: PathBuf, live: bool) {
    let Ok(meta) = fs::metadata(&path) else { return };
    if !meta.is_file() {
        return;
    }
    let key = (meta.dev(), meta.ino());
    // A pattern like *.json* matches rotated siblings of what it matches, too.
    let live = live && found.get(&key).is_none_or(|file| file.live);
    found.insert(key, Found { path, meta, live });
}

/// Files beside `path` whose name starts with its name and `.` or `-`: `cowrie.json.2024-06-06`, `cowrie.json.1.gz`, `cowrie.json-20240606`.
fn siblings(path: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return Vec::new() };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let rotated = |other: &str| {
        let rest = other.strip_prefix(name).unwrap_or_default();
        rest.starts_with(['.', '-']) && !["~", ".swp", ".swo", ".tmp", ".lock", ".part"].iter().any(|end| other.ends_with(end))
    };
    entries.filter_map(Result::ok).filter(|entry| entry.file_name().to_str().is_some_and(rotated)).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_the_file_and_its_rotated_siblings() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "cowrie.json",
            "cowrie.json.2024-06-06",
            "cowrie.json.1.gz",
            "cowrie.json-20240606",
            "cowrie.json.swp",
            "cowrie.json~",
            "cowrie.log",
            ".cowrie.json.swp",
        ];
        names.iter().for_each(|name| fs::write(dir.path().join(name), name).unwrap());
        let pattern = dir.path().join("cowrie.json").to_string_lossy().into_owned();
        let mut found: Vec<_> = discover(&[pattern]).unwrap().iter().map(|f| (f.path.file_name().unwrap().to_string_lossy().into_owned(), f.live)).collect();
        found.sort();
        let expected = [("cowrie.json", true), ("cowrie.json-20240606", false), ("cowrie.json.1.gz", false), ("cowrie.json.2024-06-06", false)];
        assert_eq!(found, expected.map(|(name, live)| (name.to_owned(), live)));
    }

    #[test]
    fn only_a_sensor_id_before_the_equals_sign_names_a_sensor() {
        let spec = |text: &str| text.parse::<LogSpec>().map(|s| (s.sensor.map(String::from), s.pattern)).ok();
        assert_eq!(spec("fra-1=/a/b"), Some((Some("fra-1".into()), "/a/b".into())));
        assert_eq!(spec("/a/x=1/b"), Some((None, "/a/x=1/b".into())));
        assert_eq!(spec("fra-1="), None);
    }
}
