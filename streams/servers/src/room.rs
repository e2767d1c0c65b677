//! Whether the disk of the data directory has room for the servers to work.

use std::{path::Path, time::Duration};

use rustix::fs::StatVfsMountFlags;

/// With less than this a server may not start: Postgres writes its log in files of 16 MiB.
const NEEDED_BYTES: u64 = 32 << 20;
/// Before it is looked at again.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether there is room, as far as the system tells.
pub(super) fn is_there(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).map_or(true, |disk| {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        free >= NEEDED_BYTES && !disk.f_flag.contains(StatVfsMountFlags::RDONLY)
    })
}

/// Waits for it.
pub(super) async fn wait_for(folder: &Path, server: &'static str) {
    tracing::warn!(server, data = %folder.display(), "a server no longer works, and the disk is full or read-only: waiting for room to start it again");
    while !is_there(folder) {
        tokio::time::sleep(PAUSE).await;
    }
}
