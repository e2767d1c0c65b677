//! Reading a JSON object from outside field by field, so that everything that is wrong is said at once.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

/// What is wrong with a field.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Its path: `parameters.steps`.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

/// The fields of an object, taken one by one; what nobody took is unknown.
pub struct Fields<'a> {
    object: Map<String, Value>,
    prefix: &'static str,
    errors: &'a mut Vec<FieldError>,
    known: Vec<&'static str>,
}

/// Whether a time can be written as RFC 3339 and stored: of the years 1 to 9999. Another offset than UTC can
/// move it out of them.
pub fn is_time(time: DateTime<Utc>) -> bool {
    (1..=9_999).contains(&time.year())
}

/// Longest text of an error that quotes a value.
const QUOTED: usize = 60;

impl<'a> Fields<'a> {
    /// Of a value, which must be an object or absent. `prefix` goes before the names in errors:
    /// `parameters.`.
    pub fn of(value: Value, prefix: &'static str, errors: &'a mut Vec<FieldError>) -> Self {
        let object = match value {
            Value::Object(object) => object,
            Value::Null => Map::new(),
            other => {
                let field = if prefix.is_empty() { "body" } else { prefix.trim_end_matches('.') };
                errors.push(FieldError {
                    field: field.into(),
                    message: format!("expected an object, got {}", quoted(&other)),
                });
                Map::new()
            }
        };
        Self { object, prefix, errors, known: Vec::new() }
    }

    /// Notes that a field is wrong.
    pub fn wrong(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError { field: format!("{}{name}", self.prefix), message: message.into() });
    }

    /// Any value; `None` when absent or null.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.object.remove(name).filter(|value| !value.is_null())
    }

    /// A whole number. One with a fraction of zero counts: protobuf's Struct knows no others.
    pub fn integer(&mut self, name: &'static str, allowed: RangeInclusive<i64>, default: i64) -> i64 {
        let Some(value) = self.take(name) else { return default };
        let whole = value
            .as_i64()
            .or_else(|| value.as_f64().filter(|x| x.fract() == 0.0 && x.abs() < 9e15).map(|x| x as i64));
        match whole.filter(|n| allowed.contains(n)) {
            Some(n) => n,
            None => {
                self.wrong(
                    name,
                    format!(
                        "expected a whole number from {} to {}, got {}",
                        allowed.start(),
                        allowed.end(),
                        quoted(&value)
                    ),
                );
                default
            }
        }
    }

    /// A number.
    pub fn number(&mut self, name: &'static str, allowed: RangeInclusive<f64>, default: f64) -> f64 {
        let Some(value) = self.take(name) else { return default };
        match value.as_f64().filter(|x| allowed.contains(x)) {
            Some(x) => x,
            None => {
                self.wrong(
                    name,
                    format!(
                        "expected a number from {} to {}, got {}",
                        allowed.start(),
                        allowed.end(),
                        quoted(&value)
                    ),
                );
                default
            }
        }
    }

    /// True or false.
    pub fn flag(&mut self, name: &'static str, default: bool) -> bool {
        let Some(value) = self.take(name) else { return default };
        value.as_bool().unwrap_or_else(|| {
            self.wrong(name, format!("expected true or false, got {}", quoted(&value)));
            default
        })
    }

    /// A text of 1 to `most` characters without control characters; an empty one counts as absent.
    pub fn text(&mut self, name: &'static str, most: usize) -> Option<String> {
        let value = self.take(name)?;
        match value.as_str() {
            Some("") => None,
            Some(text) if text.chars().count() <= most && !text.chars().any(char::is_control) => {
                Some(text.to_owned())
            }
            _ => {
                self.wrong(
                    name,
                    format!(
                        "expected text of at most {most} characters without control characters, got {}",
                        quoted(&value)
                    ),
                );
                None
            }
        }
    }

    /// One of some words.
    pub fn one_of(&mut self, name: &'static str, words: &[&'static str]) -> Option<&'static str> {
        let value = self.take(name)?;
        let found = words.iter().find(|word| value.as_str() == Some(word)).copied();
        if found.is_none() {
            self.wrong(name, format!("expected one of {}, got {}", words.join(", "), quoted(&value)));
        }
        found
    }

    /// A time as in RFC 3339.
    pub fn time(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        let value = self.take(name)?;
        let time = value
            .as_str()
            .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
            .map(|time| time.to_utc())
            .filter(|&time| is_time(time));
        if time.is_none() {
            self.wrong(name, format!("expected a time like 2026-11-24T08:00:00Z, got {}", quoted(&value)));
        }
        time
    }

    /// A span of time: a number and m, h, d or w. Returns seconds.
    pub fn span(
        &mut self,
        name: &'static str,
        allowed: RangeInclusive<i64>,
        default: &'static str,
    ) -> (String, i64) {
        let value = self.take(name).unwrap_or_else(|| default.into());
        match value.as_str().and_then(seconds).filter(|s| allowed.contains(s)) {
            Some(s) => (value.as_str().unwrap_or_default().to_owned(), s),
            None => {
                let message = format!(
                    "expected a span like 30m, 24h, 7d or 4w, of 1m to {}d, got {}",
                    allowed.end() / 86_400,
                    quoted(&value)
                );
                self.wrong(name, message);
                (default.to_owned(), seconds(default).unwrap_or_default())
            }
        }
    }

    /// Notes what nobody took.
    pub fn end(mut self) {
        for (name, _) in std::mem::take(&mut self.object).into_iter().take(10) {
            let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
            self.wrong(&shortened(&name), format!("unknown field; known: {known}"));
        }
    }
}

/// Seconds of `30m`, `24h`, `7d`, `4w`.
fn seconds(text: &str) -> Option<i64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let scale = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<i64>().ok()?.checked_mul(scale)
}

/// A value as it may stand in an error.
fn quoted(value: &Value) -> String {
    shortened(&value.to_string())
}

fn shortened(text: &str) -> String {
    let safe: String = text
        .chars()
        .take(QUOTED)
        .flat_map(|c| if c.is_control() { c.escape_unicode().collect() } else { vec![c] })
        .collect();
    if text.chars().count() > QUOTED { format!("{safe}…") } else { safe }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let mut errors = Vec::new();
        let mut fields = Fields::of(
            json!({"n": 1.5, "w": "7y", "t": "a\u{7}", "x": 1, "ok": 3.0}),
            "parameters.",
            &mut errors,
        );
        assert_eq!(fields.integer("n", 0..=9, 2), 2);
        assert_eq!(fields.integer("ok", 0..=9, 2), 3);
        assert_eq!(fields.span("w", 60..=86_400, "24h").1, 86_400);
        assert_eq!(fields.text("t", 5), None);
        fields.end();
        let said: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
        assert_eq!(
            said,
            [
                "parameters.n: expected a whole number from 0 to 9, got 1.5",
                "parameters.w: expected a span like 30m, 24h, 7d or 4w, of 1m to 1d, got \"7y\"",
                "parameters.t: expected text of at most 5 characters without control characters, got \"a\\u0007\"",
                "parameters.x: unknown field; known: n, ok, w, t",
            ]
        );
    }

    #[test]
    fn spans_do_not_overflow() {
        assert_eq!(seconds("9223372036854775807w"), None);
        assert_eq!(seconds("+7d"), None);
        assert_eq!(seconds("é"), None);
        assert_eq!(seconds(""), None);
        assert_eq!(seconds("7d"), Some(604_800));
    }
}
