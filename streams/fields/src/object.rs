//! A JSON object from outside, read field by field, so that one answer names every wrong field.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Utc};
use serde_json::{Map, Value};

use crate::{Age, FieldError, Name, quoted, shortened};

/// The fields of an object, taken one by one. A field that was not taken before [`Fields::end`] is unknown.
pub struct Fields<'a> {
    object: Map<String, Value>,
    prefix: &'static str,
    errors: &'a mut Vec<FieldError>,
    known: Vec<&'static str>,
}

/// Whether a time can be written as RFC 3339 and stored: its year in UTC is 1 to 9999.
pub fn is_time(time: DateTime<Utc>) -> bool {
    (1..=9_999).contains(&time.year())
}

impl<'a> Fields<'a> {
    /// Reads a value, which must be an object or null. Errors name a field with `prefix` before it, e.g.
    /// `parameters.`.
    pub fn of(value: Value, prefix: &'static str, errors: &'a mut Vec<FieldError>) -> Self {
        let object = match value {
            Value::Object(object) => object,
            Value::Null => Map::new(),
            other => {
                let field = if prefix.is_empty() { "body" } else { prefix.trim_end_matches('.') };
                errors.push(FieldError::new(field, format!("expected an object, got {}", quoted(&other))));
                Map::new()
            }
        };
        Self { object, prefix, errors, known: Vec::new() }
    }

    /// Reports a wrong field.
    pub fn wrong(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError::new(format!("{}{name}", self.prefix), message));
    }

    /// Takes any value; `None` when it is absent or null.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.object.remove(name).filter(|value| !value.is_null())
    }

    /// A whole number; `3.0` is one too, because protobuf's Struct has only doubles.
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

    pub fn number(&mut self, name: &'static str, allowed: RangeInclusive<f64>, default: f64) -> f64 {
        let Some(value) = self.take(name) else { return default };
        match value.as_f64().filter(|x| allowed.contains(x)) {
            // Turns -0.0 into 0.0.
            Some(x) => x + 0.0,
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

    pub fn one_of(&mut self, name: &'static str, words: &[&'static str]) -> Option<&'static str> {
        let value = self.take(name)?;
        let found = words.iter().find(|word| value.as_str() == Some(word)).copied();
        if found.is_none() {
            self.wrong(name, format!("expected one of {}, got {}", words.join(", "), quoted(&value)));
        }
        found
    }

    /// A time in RFC 3339.
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

    /// A name: `[A-Za-z0-9_-]{1,64}`; an empty text counts as absent.
    pub fn name(&mut self, name: &'static str) -> Option<Name> {
        let value = self.take(name).filter(|value| value.as_str() != Some(""))?;
        let read = value.as_str().and_then(|text| text.parse().ok());
        if read.is_none() {
            self.wrong(name, format!("{}, got {}", Name::EXPECTED, quoted(&value)));
        }
        read
    }

    /// The length of a window, in whole minutes: the text as the request has it, and the length. `default`
    /// must be valid.
    pub fn window(
        &mut self,
        name: &'static str,
        allowed: RangeInclusive<Age>,
        default: &'static str,
    ) -> (String, Age) {
        let text = match self.take(name) {
            None => default.to_owned(),
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
        };
        match Age::window(&text, &allowed) {
            Ok(age) => (text, age),
            Err(error) => {
                self.wrong(name, error.to_string());
                (default.to_owned(), default.parse().unwrap_or(*allowed.start()))
            }
        }
    }

    /// Reports the fields that were not taken.
    pub fn end(mut self) {
        for (name, _) in std::mem::take(&mut self.object).into_iter().take(10) {
            let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
            self.wrong(&shortened(&name), format!("unknown field; known: {known}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_wrong_field_is_reported() {
        let mut errors = Vec::new();
        let mut fields = Fields::of(
            json!({"n": 1.5, "w": "7y", "t": "a\u{7}", "x": 1, "ok": 3.0, "q": "a.b", "p": "fast_1"}),
            "parameters.",
            &mut errors,
        );
        assert_eq!(fields.integer("n", 0..=9, 2), 2);
        assert_eq!(fields.integer("ok", 0..=9, 2), 3);
        let (text, age) = fields.window("w", Age::minutes(1)..=Age::days(1), "24h");
        assert_eq!((text.as_str(), age.seconds()), ("24h", 86_400));
        assert_eq!(fields.text("t", 5), None);
        assert_eq!((fields.name("q"), fields.name("p")), (None, "fast_1".parse().ok()));
        fields.end();
        let said: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
        assert_eq!(
            said,
            [
                "parameters.n: expected a whole number from 0 to 9, got 1.5",
                "parameters.w: expected a duration like 30m, 24h, 7d or 4w, from 1m to 1d, in whole minutes, got \"7y\"",
                "parameters.t: expected text of at most 5 characters without control characters, got \"a\\u0007\"",
                "parameters.q: expected letters, digits, _ and -, at most 64, got \"a.b\"",
                "parameters.x: unknown field; known: n, ok, w, t, q, p",
            ]
        );
    }
}
