//! File descriptors: how many this process may have open.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit is not raised above this: child processes inherit it, and some programs iterate over all
/// possible descriptors.
const MOST: u64 = 524_288;

/// Raises the soft limit of open files to the hard limit. Debian, Ubuntu and systemd start a process with
/// 1024, whatever the hard limit is. Call first in `main`. If the system refuses, the limit stays as it is,
/// see [`descriptor_limit`].
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(MOST, |hard| hard.min(MOST));
    if limit.current.is_some_and(|soft| soft < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).ok();
    }
}

/// Number of files and sockets that this process may have open at once.
pub fn descriptor_limit() -> usize {
    let soft = getrlimit(Resource::Nofile).current.unwrap_or(MOST).min(MOST);
    usize::try_from(soft).unwrap_or(usize::MAX)
}

/// Whether an operation failed because this process or the system has too many files open. It may succeed
/// later.
pub fn is_descriptor_shortage(error: &io::Error) -> bool {
    let shortage = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE].map(rustix::io::Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| shortage.contains(&code))
}
