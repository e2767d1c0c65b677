//! How long it takes.
