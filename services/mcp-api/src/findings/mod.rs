//! Findings: a page of them, one of them, and what people say about them.

pub(crate) mod list;
pub(crate) mod show;
