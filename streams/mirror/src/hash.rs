//! A status as the fields of a Redis hash: text as it is, everything else as JSON, absent values left out.

use std::collections::HashMap;

use jobs::Status;
use serde::{
    Deserialize as _, Deserializer,
    de::{IntoDeserializer, Visitor, value::MapDeserializer},
    forward_to_deserialize_any,
};
use serde_json::{Error, Value, json};

/// The fields to write.
pub(crate) fn fields(status: &Status) -> Vec<(String, String)> {
    let Value::Object(object) = json!(status) else { return Vec::new() };
    let text = |value: Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    object.into_iter().filter_map(|(name, value)| text(value).map(|value| (name, value))).collect()
}

/// The status in these fields. `None` if they are none, e.g. because the key does not exist.
pub(crate) fn status(fields: HashMap<String, String>) -> Option<Status> {
    let fields = fields.into_iter().map(|(name, text)| (name, Field(text)));
    Status::deserialize(MapDeserializer::new(fields)).ok()
}

/// The text of a field. Only the type that is wanted shows how to read it: a worker may be named `5`.
struct Field(String);

impl IntoDeserializer<'_, Error> for Field {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Types that are written as JSON.
macro_rules! as_json {
    ($($deserialize:ident)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            serde_json::from_str::<Value>(&self.0)?.$deserialize(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Field {
    type Error = Error;

    as_json! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_seq
        deserialize_map
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        serde_json::from_str::<Value>(&self.0)?.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use jobs::State;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    prop_compose! {
        fn any_status()(
            (id, state, percent) in (any::<u128>(), 0..State::ALL.len(), 0u8..=200),
            step in proptest::option::of(".{0,12}"),
            (processed, total) in (proptest::option::of(any::<i64>()), proptest::option::of(any::<i64>())),
            (completion, updated) in (proptest::option::of(1i64..4_000_000_000), 1i64..4_000_000_000),
            worker in proptest::option::of("[0-9a-z{\\[-]{1,8}"),
            error in proptest::option::of((".{0,8}", ".{0,20}")),
            (attempt, version) in (0..9i32, 1..i64::MAX),
        ) -> Status {
            let time = |seconds| chrono::DateTime::from_timestamp(seconds, 0);
            let status = json!({
                "job_id": Uuid::from_u128(id),
                "state": State::ALL[state],
                "progress_percent": f64::from(percent) / 2.0,
                "current_step": step,
                "sessions_processed": processed,
                "total_sessions": total,
                "estimated_completion": completion.and_then(time),
                "worker": worker,
                "attempt": attempt,
                "uncounted_attempts": attempt,
                "attempts_left": attempt,
                "next_attempt_at": completion.and_then(time),
                "error": error.map(|(kind, message)| json!({"type": kind, "message": message})),
                "updated_at": time(updated),
                "version": version,
            });
            serde_json::from_value(status).unwrap()
        }
    }

    proptest! {
        #[test]
        fn a_status_that_is_written_is_read_back(written in any_status()) {
            let hash = fields(&written).into_iter().collect();
            prop_assert_eq!(status(hash), Some(written));
        }
    }

    #[test]
    fn fields_of_something_else_are_no_status() {
        assert_eq!(status(HashMap::new()), None);
        assert_eq!(status(HashMap::from([("state".into(), "queued".into())])), None);
        assert_eq!(status(HashMap::from([("version".into(), "x".into())])), None);
    }
}
