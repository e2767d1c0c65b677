//! (being written)

/// (being written)
pub struct LineReader;
