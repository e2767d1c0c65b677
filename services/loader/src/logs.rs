//! Finds the files of a sensor: paths with their rotated siblings, and globs.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use events::SensorId;

/// `--log [SENSOR=]PATH|GLOB`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogSpec {
    /// The sensor, if the argument names one.
    pub sensor: Option<SensorId>,
    /// A path, or a pattern with `*`, `?`, `[…]` or `**`.
    pub pattern: String,
}

impl std::str::FromStr for LogSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        // A path may contain `=`. The part before the first `=` names a sensor only if it is a valid sensor
        // id and the whole argument is not an existing path.
        let named = Some(text).filter(|text| !Path::new(text).exists());
        let named = named
            .and_then(|text| text.split_once('='))
            .and_then(|(name, rest)| Some((name.parse().ok()?, rest)));
        let (sensor, pattern) = named.map_or((None, text), |(sensor, rest)| (Some(sensor), rest));
        if pattern.is_empty() {
            bail!("expected [SENSOR=]PATH or a glob pattern");
        }
        if !is_path(pattern) {
            glob::Pattern::new(pattern).with_context(|| {
                format!("{pattern:?} is not a glob pattern (write [[] for a [ that is part of a name)")
            })?;
        }
        Ok(Self { sensor, pattern: pattern.to_owned() })
    }
}

/// A file found for a sensor.
#[derive(Clone, Debug)]
pub struct Found {
    pub path: PathBuf,
    pub meta: Metadata,
    /// Named by the user or matched by the pattern, not a rotated sibling: Cowrie may be writing it.
    pub live: bool,
}

impl Found {
    /// Whether the file name says that the file is compressed.
    pub(crate) fn is_archive(&self) -> bool {
        let is_known = |end: &OsStr| ["gz", "bz2", "zst"].iter().any(|known| end.eq_ignore_ascii_case(known));
        self.path.extension().is_some_and(is_known)
    }
}

/// Groups the arguments by sensor; one without a sensor belongs to `default`.
pub fn by_sensor(
    specs: &[LogSpec],
    default: Option<&SensorId>,
) -> anyhow::Result<BTreeMap<SensorId, Vec<String>>> {
    let mut sensors = BTreeMap::<SensorId, Vec<String>>::new();
    for spec in specs {
        let sensor = spec.sensor.as_ref().or(default);
        let sensor = sensor.with_context(|| {
            format!("--log {}: no sensor; give --sensor NAME or SENSOR=PATH", spec.pattern)
        })?;
        sensors.entry(sensor.clone()).or_default().push(spec.pattern.clone());
    }
    Ok(sensors)
}

/// The folders in which a pattern without a sensor finds a live log of the same name; empty when it is only
/// one. Probably each of them belongs to a sensor of its own.
fn folders_of_one_name(spec: &LogSpec) -> Vec<PathBuf> {
    if spec.sensor.is_some() || is_path(&spec.pattern) {
        return Vec::new();
    }
    let mut folders = BTreeMap::<OsString, BTreeSet<PathBuf>>::new();
    for found in discover(std::slice::from_ref(&spec.pattern)).unwrap_or_default() {
        if let Some(name) = found.path.file_name().filter(|_| found.live) {
            folders.entry(name.to_owned()).or_default().insert(directory(&found.path));
        }
    }
    let several = folders.into_values().find(|folders| folders.len() > 1);
    several.unwrap_or_default().into_iter().collect()
}

/// Warns when one pattern makes one sensor of logs that are probably those of several.
pub(crate) fn warn_of_folders(specs: &[LogSpec], sensor: Option<&SensorId>) {
    for spec in specs {
        let folders = folders_of_one_name(spec);
        if let ([first, second, ..], Some(sensor)) = (&folders[..], sensor) {
            tracing::warn!(
                pattern = spec.pattern, %sensor, folders = folders.len(),
                first = %first.display(), second = %second.display(),
                "logs of several folders become one sensor; if each folder is a sensor, name each of them: \
                 --log SENSOR=PATH"
            );
        }
    }
}

/// The files that a scan of the directories found.
#[derive(Default)]
pub(crate) struct Listing {
    /// Each (device, inode) once, oldest modification first.
    pub files: Vec<Found>,
    /// Directories and files that could not be read now, and why. Files there are not necessarily gone.
    unseen: BTreeMap<PathBuf, String>,
}

impl Listing {
    /// Whether a file may exist although it is not listed.
    pub fn hides(&self, path: &Path) -> bool {
        self.unseen.keys().any(|unseen| path.starts_with(unseen))
    }

    /// Warns of each path that cannot be read, once, and reports when it can be read again. `known` are the
    /// paths of the last scan.
    pub fn report_unseen(&self, known: &mut BTreeSet<PathBuf>) {
        for (path, error) in &self.unseen {
            if known.insert(path.clone()) {
                tracing::warn!(path = %path.display(), error, "could not look for logs here; will retry");
            }
        }
        known.retain(|path| {
            let is_unseen = self.unseen.contains_key(path);
            if !is_unseen {
                tracing::info!(path = %path.display(), "can look for logs here again");
            }
            is_unseen
        });
    }

    fn unseen(&mut self, path: &Path, error: &io::Error) {
        let dangling = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
        if !dangling && !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            self.unseen.insert(path.to_owned(), error.to_string());
        }
    }
}

/// Finds the files that these patterns match now: each (device, inode) once, oldest modification first.
pub fn discover(patterns: &[String]) -> anyhow::Result<Vec<Found>> {
    Ok(list(patterns)?.files)
}

/// Finds the files that these patterns match now. Reads each directory once, and calls `stat` once per file.
pub(crate) fn list(patterns: &[String]) -> anyhow::Result<Listing> {
    let mut listing = Listing::default();
    let mut named = BTreeSet::new();
    for pattern in patterns {
        named.extend(matches(pattern, &mut listing)?);
    }
    let mut paths: BTreeMap<PathBuf, bool> = named.iter().map(|path| (path.clone(), true)).collect();
    let mut names = BTreeMap::<PathBuf, Vec<String>>::new();
    for path in &named {
        let (directory, Some(name)) = (directory(path), path.file_name().and_then(|name| name.to_str()))
        else {
            continue;
        };
        let names = names.entry(directory.clone()).or_insert_with(|| names_in(&directory, &mut listing));
        // A pattern like *.json* also matches rotated siblings of its matches. These are not live.
        paths.extend(siblings(name, names).map(|sibling| (path.with_file_name(sibling), false)));
    }
    let mut found = HashMap::<(u64, u64), Found>::with_capacity(paths.len());
    for (path, live) in paths {
        match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => {
                let inode = (meta.dev(), meta.ino());
                let live = live && found.get(&inode).is_none_or(|file| file.live);
                found.insert(inode, Found { path, meta, live });
            }
            Ok(_) => (),
            Err(error) => listing.unseen(&path, &error),
        }
    }
    listing.files = found.into_values().collect();
    listing.files.sort_by(|a, b| {
        (a.meta.mtime(), a.meta.mtime_nsec(), &a.path).cmp(&(b.meta.mtime(), b.meta.mtime_nsec(), &b.path))
    });
    Ok(listing)
}

/// Directories to watch for these patterns.
pub fn directories(patterns: &[String]) -> Vec<PathBuf> {
    let mut directories: Vec<_> = patterns
        .iter()
        .filter(|pattern| is_path(pattern))
        .map(|pattern| directory(Path::new(pattern)))
        .collect();
    directories.extend(discover(patterns).unwrap_or_default().iter().map(|file| directory(&file.path)));
    directories.sort();
    directories.dedup();
    directories
}

/// Fails if a directory was given instead of a log.
pub fn refuse_directories(patterns: &[String]) -> anyhow::Result<()> {
    match patterns.iter().find(|pattern| Path::new(pattern).is_dir()) {
        None => Ok(()),
        Some(pattern) => {
            bail!(
                "{pattern} is a directory: name the log in it, e.g. {0}/cowrie.json, or a pattern like \
                 '{0}/*.json*'",
                pattern.trim_end_matches('/')
            )
        }
    }
}

/// Fails if a pattern matches nothing, and names the first one: a typing mistake must not look like success.
pub fn check(patterns: &[String]) -> anyhow::Result<()> {
    refuse_directories(patterns)?;
    for pattern in patterns {
        if discover(std::slice::from_ref(pattern))?.is_empty() {
            match fs::metadata(pattern) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => bail!("{pattern}: {error}"),
                Ok(_) => bail!("{pattern} is not a regular file"),
                Err(_) => bail!("{pattern}: no such file"),
            }
        }
    }
    Ok(())
}

/// Whether this is the path of one file and not a glob pattern. It is a path if it has no glob characters, if
/// a file of exactly this name exists, if only its directory has glob characters and exists, or if it has a
/// single `[` that makes it an invalid pattern.
fn is_path(pattern: &str) -> bool {
    let path = Path::new(pattern);
    let has_magic = |text: &str| text.contains(['*', '?', '[']);
    let name_has_magic = path.file_name().is_none_or(|name| has_magic(&name.to_string_lossy()));
    let lone_bracket = || !pattern.contains(['*', '?']) && glob::Pattern::new(pattern).is_err();
    !has_magic(pattern) || path.exists() || (!name_has_magic && directory(path).is_dir()) || lone_bracket()
}

fn matches(pattern: &str, listing: &mut Listing) -> anyhow::Result<Vec<PathBuf>> {
    if is_path(pattern) {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    let mut paths = Vec::new();
    for path in glob::glob(pattern).with_context(|| format!("{pattern:?} is not a glob pattern"))? {
        match path {
            Ok(path) => paths.push(path),
            Err(error) => listing.unseen(error.path(), error.error()),
        }
    }
    Ok(paths)
}

fn directory(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// The names in a directory, sorted.
fn names_in(directory: &Path, listing: &mut Listing) -> Vec<String> {
    let mut names = Vec::new();
    let entries = fs::read_dir(directory).map_err(|error| listing.unseen(directory, &error));
    for entry in entries.into_iter().flatten() {
        match entry {
            Ok(entry) => names.extend(entry.file_name().into_string().ok()),
            Err(error) => listing.unseen(directory, &error),
        }
    }
    names.sort_unstable();
    names
}

/// Selects the names that start with `name` and `.` or `-`, e.g. `cowrie.json.2024-06-06`,
/// `cowrie.json.1.gz`, `cowrie.json-20240606`.
fn siblings<'a>(name: &'a str, names: &'a [String]) -> impl Iterator<Item = &'a String> {
    let first = names.partition_point(|other| other.as_str() < name);
    let same_start = names[first..].iter().take_while(move |other| other.starts_with(name));
    same_start.filter(|other| {
        let rest = &other[name.len()..];
        rest.starts_with(['.', '-'])
            && !["~", ".swp", ".swo", ".tmp", ".lock", ".part"].iter().any(|end| other.ends_with(end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_over_the_folders_of_several_sensors_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        for (folder, name) in [("a", "cowrie.json"), ("a", "cowrie.json.1"), ("b", "cowrie.json"), ("c", "x")]
        {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
            fs::write(dir.path().join(folder).join(name), name).unwrap();
        }
        let folders = |spec: String| {
            let folders = folders_of_one_name(&spec.parse().unwrap());
            folders.iter().map(|path| path.strip_prefix(dir.path()).unwrap().to_owned()).collect::<Vec<_>>()
        };
        let at = |pattern: &str| format!("{}/{pattern}", dir.path().display());
        assert_eq!(folders(at("**/cowrie.json")), [Path::new("a"), Path::new("b")]);
        assert!(folders(at("a/cowrie.json*")).is_empty(), "the folder of one sensor");
        assert!(folders(at("a/cowrie.json")).is_empty());
        assert!(folders(format!("fra={}", at("**/cowrie.json"))).is_empty(), "the sensor is named");
    }

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
        let mut found: Vec<_> = discover(&[pattern])
            .unwrap()
            .iter()
            .map(|f| (f.path.file_name().unwrap().to_string_lossy().into_owned(), f.live))
            .collect();
        found.sort();
        let expected = [
            ("cowrie.json", true),
            ("cowrie.json-20240606", false),
            ("cowrie.json.1.gz", false),
            ("cowrie.json.2024-06-06", false),
        ];
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
