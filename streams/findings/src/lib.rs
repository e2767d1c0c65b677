//! A finding of a live rule or of an analysis: its identity, its revision, and its one JSON form.
//!
//! **Invariant**: pure. No password leaves through [`Finding::message`] or [`Finding::public_json`]: the
//! dimension or the detector decides what of a key is hidden, never a name that a user chose.

mod finding;
mod kind;
mod message;
mod redaction;
mod rule;
mod severity;
#[cfg(test)]
mod tests;

pub use finding::{Finding, SessionName};
pub use kind::Kind;
pub use redaction::public;
pub use rule::{Detector, Rule};
pub use severity::Severity;
