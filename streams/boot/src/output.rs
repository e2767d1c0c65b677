//! Standard output, and the handling of a write that fails.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
    sync::OnceLock,
};

/// The first write error. Nothing is printed after it.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line, unless an earlier write failed. Use [`crate::say!`].
#[doc(hidden)]
pub fn write_line(line: fmt::Arguments<'_>) {
    write_bytes(format!("{line}\n").as_bytes());
}

/// Prints bytes unchanged, unless an earlier write failed.
pub fn write_bytes(bytes: &[u8]) {
    if FAILED.get().is_some() {
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        // Only the first error is stored.
        let _ = FAILED.set(error);
    }
}

/// Fails when output was lost, so that a script does not take half of it for the whole. A reader that closed
/// the pipe is not an error.
pub fn finish() -> anyhow::Result<()> {
    match FAILED.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::anyhow!("write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}
