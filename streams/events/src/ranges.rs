//! (being written)

/// (being written)
pub struct RangeSet;
