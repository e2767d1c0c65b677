//! Values from outside, read and validated: JSON, the fields of a request, durations, names, pages and
//! cursors.
//!
//! **Invariant**: pure, and no input makes it panic. Every wrong field of a request is reported, not only the
//! first. A value of a type of this crate is valid.

mod age;
mod json;
mod name;
mod object;
mod page;

use serde::Serialize;
use serde_json::Value;

pub use age::{Age, AgeError};
pub use json::read_json;
pub use name::{Name, NameError};
pub use object::{Fields, is_time};
pub use page::{Cursor, PageSize};

/// A field that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// The path of the field, e.g. `parameters.steps`.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl FieldError {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Most characters of a value that an error quotes.
const QUOTED: usize = 60;

/// A JSON value as an error quotes it.
fn quoted(value: &Value) -> String {
    shortened(&value.to_string())
}

/// The beginning of a text, without control characters.
fn shortened(text: &str) -> String {
    let safe: String = text
        .chars()
        .take(QUOTED)
        .flat_map(|c| if c.is_control() { c.escape_unicode().collect() } else { vec![c] })
        .collect();
    if text.chars().count() > QUOTED { format!("{safe}…") } else { safe }
}
