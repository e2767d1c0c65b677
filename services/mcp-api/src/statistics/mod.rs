//! Figures over a range.

pub(crate) mod commands;
pub(crate) mod credentials;
pub(crate) mod downloads;
pub(crate) mod figures;
pub(crate) mod overview;
pub(crate) mod sensors;
pub(crate) mod sessions;
pub(crate) mod threats;
pub(crate) mod timeline;
pub(crate) mod top;
