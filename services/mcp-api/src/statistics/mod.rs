//! Figures over a range.

pub(crate) mod figures;
pub(crate) mod overview;
pub(crate) mod timeline;
