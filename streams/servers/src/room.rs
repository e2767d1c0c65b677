//! Checks whether the disk of the data directory has room for the servers.

use std::{path::Path, time::Duration};

use rustix::fs::StatVfsMountFlags;

/// With less free space, a server may fail to start: Postgres writes its WAL in files of 16 MiB.
const NEEDED_BYTES: u64 = 32 << 20;
/// Pause between two checks.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether there is room, as far as the system reports it.
pub(super) fn is_there(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).map_or(true, |disk| {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        free >= NEEDED_BYTES && !disk.f_flag.contains(StatVfsMountFlags::RDONLY)
    })
}

pub(super) async fn wait_for(folder: &Path, server: &'static str) {
    tracing::warn!(server, data = %folder.display(), "a server no longer works, and the disk is full or read-only; waiting for free space to start it again");
    while !is_there(folder) {
        tokio::time::sleep(PAUSE).await;
    }
}
