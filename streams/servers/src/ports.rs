//! Free loopback ports that stay the same over restarts while they are free; never well-known ones.

use std::{fs, net::TcpListener};

use anyhow::Context as _;

use super::DataDir;

const WELL_KNOWN: [u16; 8] = [4222, 5432, 6379, 6222, 8222, 8080, 2222, 2223];

/// The port for a purpose.
pub(super) fn port(data: &DataDir, purpose: &str) -> anyhow::Result<u16> {
    if let Some(port) = remembered(data, purpose) {
        return Ok(port);
    }
    loop {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
        let port = listener.local_addr().context("find a free port")?.port();
        if !WELL_KNOWN.contains(&port) {
            return remember(data, purpose, port);
        }
    }
}

/// The port for a purpose; `habit` if it is free and no port is stored yet.
pub(super) fn preferred(data: &DataDir, purpose: &str, habit: u16) -> anyhow::Result<u16> {
    if remembered(data, purpose).is_none() && is_free(habit) {
        return remember(data, purpose, habit);
    }
    port(data, purpose)
}

/// Whether nothing listens on the port.
pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn remembered(data: &DataDir, purpose: &str) -> Option<u16> {
    let port = fs::read_to_string(data.join(&format!("{purpose}.port"))).ok()?.trim().parse().ok()?;
    is_free(port).then_some(port)
}

fn remember(data: &DataDir, purpose: &str, port: u16) -> anyhow::Result<u16> {
    let path = data.join(&format!("{purpose}.port"));
    fs::write(&path, port.to_string()).with_context(|| format!("write {}", path.display()))?;
    Ok(port)
}
