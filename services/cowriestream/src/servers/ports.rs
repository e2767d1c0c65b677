//! Free loopback ports, the same from start to start while they are free; never a well-known one.

use std::{fs, net::TcpListener};

use anyhow::Context as _;

use super::DataDir;

const WELL_KNOWN: [u16; 6] = [4222, 5432, 6379, 6222, 8222, 8080];

/// The port for a purpose.
pub(super) fn port(data: &DataDir, purpose: &str) -> anyhow::Result<u16> {
    let path = data.join(&format!("{purpose}.port"));
    let remembered = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    if let Some(port) = remembered.filter(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
        return Ok(port);
    }
    loop {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
        let port = listener.local_addr().context("find a free port")?.port();
        if !WELL_KNOWN.contains(&port) {
            fs::write(&path, port.to_string()).with_context(|| format!("write {}", path.display()))?;
            return Ok(port);
        }
    }
}
