//! Standard output, and what becomes of a write that fails.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
    sync::OnceLock,
};

/// The first write that failed: nothing is printed after it.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line, unless an earlier one could not be printed. Use [`crate::say!`].
#[doc(hidden)]
pub fn write_line(line: fmt::Arguments<'_>) {
    write_bytes(format!("{line}\n").as_bytes());
}

/// Prints bytes as they are, unless something earlier could not be printed.
pub fn write_bytes(bytes: &[u8]) {
    if FAILED.get().is_some() {
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        // Only the first one is kept.
        let _ = FAILED.set(error);
    }
}

/// An error when output was lost: a script must not take half of it for the whole. A reader that went away
/// has seen enough.
pub fn finish() -> anyhow::Result<()> {
    match FAILED.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::anyhow!("write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}
