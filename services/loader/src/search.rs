//! Searches for files by device and inode.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    os::unix::fs::{DirEntryExt, MetadataExt},
    path::{Path, PathBuf},
};

use crate::checkpoint::FilePoint;

/// Directory entries checked in one search, at most.
const SEARCH_ENTRIES: usize = 50_000;
/// Depth of the search below the directory where a file was.
const SEARCH_DEPTH: u32 = 3;

/// The path of a file in the checkpoint, if the file is still there.
pub(crate) fn last_path(point: &FilePoint) -> Option<PathBuf> {
    let same = |path: &&String| {
        fs::metadata(path).is_ok_and(|meta| (meta.dev(), meta.ino()) == (point.device, point.inode))
    };
    // Its own name first: this distinguishes a changed pattern from a moved file.
    [&point.path, &point.real_path].into_iter().find(same).map(PathBuf::from)
}

/// Finds files by device and inode: below the directories where they were, and in the directories next to
/// those.
pub(crate) fn find<'a>(
    wanted: &BTreeSet<(u64, u64)>,
    last_paths: impl Iterator<Item = &'a Path>,
) -> BTreeMap<(u64, u64), PathBuf> {
    let mut found = BTreeMap::new();
    if wanted.is_empty() {
        return found;
    }
    let mut queue = VecDeque::new();
    let directories: BTreeSet<_> =
        last_paths.filter_map(Path::parent).filter(|directory| directory.is_absolute()).collect();
    for directory in directories {
        queue.push_back((directory.to_owned(), SEARCH_DEPTH));
        queue.extend(directory.parent().map(|above| (above.to_owned(), 1)));
    }
    let (mut visited, mut left) = (BTreeSet::new(), SEARCH_ENTRIES);
    while let Some((directory, depth)) = queue.pop_front() {
        if left == 0 || found.len() == wanted.len() || !visited.insert((directory.clone(), depth)) {
            continue;
        }
        for entry in fs::read_dir(&directory).into_iter().flatten().filter_map(Result::ok).take(left) {
            left -= 1;
            let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if directory && depth > 0 {
                queue.push_back((entry.path(), depth - 1));
            }
            if !directory && wanted.iter().any(|&(_, inode)| inode == entry.ino()) {
                let at = entry
                    .metadata()
                    .ok()
                    .filter(fs::Metadata::is_file)
                    .map(|meta| (meta.dev(), meta.ino()))
                    .filter(|at| wanted.contains(at));
                found.extend(at.map(|at| (at, entry.path())));
            }
        }
    }
    found
}

/// Finds a deleted file that its writer still has open, where the system permits it: same user or root, same
/// PID namespace.
pub(crate) fn held_by_process(point: &FilePoint) -> Option<PathBuf> {
    let mine = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|meta| (meta.dev(), meta.ino()) == (point.device, point.inode))
    };
    let numbered =
        |entry: &fs::DirEntry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok).filter(numbered);
    processes
        .filter_map(|process| fs::read_dir(process.path().join("fd")).ok())
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(mine)
}
