//! JSON from outside, in which an object may name a field only once.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::{FieldError, shortened};

/// Most doubled names that are reported.
const MOST_REPORTED: usize = 10;

/// Reads JSON, and reports each field that an object has twice: readers of JSON do not agree which one
/// counts.
pub fn read_json(text: &[u8]) -> Result<(Value, Vec<FieldError>), serde_json::Error> {
    let mut doubled = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = Reader { path: String::new(), doubled: &mut doubled }.deserialize(&mut json)?;
    json.end()?;
    Ok((value, doubled))
}

struct Reader<'a> {
    /// The path of the value that is read, e.g. `parameters.steps`.
    path: String,
    doubled: &'a mut Vec<FieldError>,
}

impl Reader<'_> {
    fn child(&mut self, name: &str) -> Reader<'_> {
        let name = shortened(name);
        let path = if self.path.is_empty() { name } else { format!("{}.{name}", self.path) };
        Reader { path, doubled: self.doubled }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, on: bool) -> Result<Value, E> {
        Ok(on.into())
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_f64<E>(self, x: f64) -> Result<Value, E> {
        Ok(Number::from_f64(x).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut from: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = from.next_element_seed(self.child(&values.len().to_string()))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut from: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            let mut child = self.child(&name);
            if object.contains_key(&name) && child.doubled.len() < MOST_REPORTED {
                let path = std::mem::take(&mut child.path);
                child.doubled.push(FieldError::new(path, "given twice"));
            }
            let value = from.next_value_seed(child)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_field_that_is_given_twice_is_reported() {
        let text = br#"{"a": 1, "b": {"c": 1, "d": [{}, {"e": 1, "e": 1}], "c": 2}, "a": null}"#;
        let (_, doubled) = read_json(text).unwrap();
        let fields: Vec<_> = doubled.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["b.d.1.e", "b.c", "a"]);
        for bad in ["", "{", "{} {}", "nul", "\u{feff}{}", &"[".repeat(10_000)] {
            assert!(read_json(bad.as_bytes()).is_err(), "{bad:.20}");
        }
    }

    proptest! {
        #[test]
        fn other_json_is_read_as_serde_reads_it(text in r#"[\[\]{}:,"a-c0-9.eE\\ -]{0,40}"#) {
            let plain = serde_json::from_str::<Value>(&text).ok();
            let read = read_json(text.as_bytes()).ok();
            prop_assert_eq!(plain, read.map(|(value, _)| value));
        }
    }
}
