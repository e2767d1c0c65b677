//! Sessions: a page of them, all of them as text, one of them with its events.

pub(crate) mod export;
pub(crate) mod list;
pub(crate) mod show;
