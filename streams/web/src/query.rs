//! The parameters of a query string.

use std::{collections::BTreeMap, ops::RangeInclusive, str::FromStr};

use axum::{extract::FromRequestParts, http::request::Parts};
use chrono::{DateTime, Utc};
use fields::FieldError;

use crate::{Code, Problem};

/// Longest value that an error quotes.
const QUOTED: usize = 60;

/// The query string of a request, not yet read.
pub struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(pairs)| Self(pairs))
            .map_err(|_| Problem::new(Code::Malformed, "the query string cannot be read"))
    }
}

impl Query {
    /// Parameters as a client sent them, for tests of endpoints.
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// Reads the parameters. Every wrong and every unknown one is reported at once.
    pub fn read<T>(self, read: impl FnOnce(&mut Params) -> T) -> Result<T, Problem> {
        let mut params = Params::default();
        for (name, value) in self.0 {
            params.values.entry(name).or_default().push(value);
        }
        let value = read(&mut params);
        params.end().map(|()| value)
    }
}

/// A request without parameters: any parameter is refused.
pub struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Query::from_request_parts(parts, state).await?.read(|_| Self)
    }
}

/// Parameters, taken one by one. An empty value counts as absent.
#[derive(Default)]
pub struct Params {
    values: BTreeMap<String, Vec<String>>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl Params {
    pub fn wrong(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError { field: name.into(), message: message.into() });
    }

    pub fn text(&mut self, name: &'static str) -> Option<String> {
        let mut values = self.take(name).into_iter();
        let first = values.next();
        if values.next().is_some() {
            self.wrong(name, "given several times");
        }
        first
    }

    /// `[A-Za-z0-9_-]{1,64}`
    pub fn name(&mut self, name: &'static str) -> Option<String> {
        let text = self.text(name)?;
        if fields::Name::is_valid(&text) {
            return Some(text);
        }
        self.wrong(name, "expected letters, digits, _ and -, at most 64");
        None
    }

    pub fn integer(&mut self, name: &'static str, allowed: RangeInclusive<i64>) -> Option<i64> {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|number| allowed.contains(number));
        if number.is_none() {
            let (first, last) = (allowed.start(), allowed.end());
            self.wrong(
                name,
                format!("expected a whole number from {first} to {last}, got {}", quoted(&text)),
            );
        }
        number
    }

    /// A time in RFC 3339.
    pub fn time(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        let time = DateTime::parse_from_rfc3339(&text).map(|time| time.to_utc());
        let time = time.ok().filter(|&time| fields::is_time(time));
        if time.is_none() {
            self.wrong(name, format!("expected a time like 2026-11-24T08:00:00Z, got {}", quoted(&text)));
        }
        time
    }

    /// Several values: separated by commas, or the parameter several times.
    pub fn words<T: FromStr<Err = String>>(&mut self, name: &'static str) -> Vec<T> {
        let mut words = Vec::new();
        for text in self.take(name) {
            for word in text.split(',').filter(|word| !word.is_empty()) {
                match word.parse() {
                    Ok(word) => words.push(word),
                    Err(why) => self.wrong(name, why),
                }
            }
        }
        words
    }

    fn take(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let mut values = self.values.remove(name).unwrap_or_default();
        values.retain(|value| !value.is_empty());
        values
    }

    fn end(mut self) -> Result<(), Problem> {
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        for (name, _) in std::mem::take(&mut self.values).into_iter().take(10) {
            let name: String = name.chars().take(QUOTED).collect();
            self.wrong(&name, format!("unknown parameter; known: {known}"));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }
}

fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(QUOTED).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(text: &str, read: impl FnOnce(&mut Params) -> T) -> Result<T, Vec<String>> {
        let uri = format!("/?{text}").parse().unwrap();
        let axum::extract::Query(pairs) = axum::extract::Query::try_from_uri(&uri).unwrap();
        Query(pairs).read(read).map_err(|problem| {
            problem.errors.into_iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
        })
    }

    #[test]
    fn every_wrong_parameter_is_reported_at_once() {
        let wrong = read("n=11&name=a.b&two=1&two=2&state=queued,x&nonsense=1", |params| {
            params.integer("n", 1..=10);
            params.name("name");
            params.text("two");
            params.words::<jobs::State>("state");
        });
        assert_eq!(
            wrong.unwrap_err(),
            [
                "n: expected a whole number from 1 to 10, got \"11\"",
                "name: expected letters, digits, _ and -, at most 64",
                "two: given several times",
                "state: unknown state \"x\"; known: queued, in_progress, retrying, completed, failed, cancelled",
                "nonsense: unknown parameter; known: n, name, two, state",
            ]
        );
    }

    #[test]
    fn words_may_be_separated_or_repeated_and_an_empty_value_is_absent() {
        let both = read("state=queued,failed&state=cancelled&n=", |params| {
            (params.words::<jobs::State>("state").len(), params.integer("n", 1..=10))
        });
        assert_eq!(both, Ok((3, None)));
    }
}
