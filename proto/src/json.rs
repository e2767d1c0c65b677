//! JSON values and times in protobuf.

use chrono::{DateTime, Utc};
use prost_types::{ListValue, Struct, Timestamp, Value as Proto, value::Kind};
use serde_json::{Map, Number, Value};

/// Deepest nesting of an object.
const DEEPEST: usize = 32;

pub fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos().cast_signed() }
}

/// `None` for a time that no calendar has.
pub fn time(at: &Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at.seconds, at.nanos.try_into().ok()?)
}

/// `None` for an object that is nested deeper than 32.
pub fn object_of(object: Struct) -> Option<Map<String, Value>> {
    object_at(object, 0)
}

fn object_at(object: Struct, depth: usize) -> Option<Map<String, Value>> {
    object.fields.into_iter().map(|(name, value)| Some((name, value_at(value, depth)?))).collect()
}

/// `Struct` holds doubles only: whole numbers become integers again.
fn value_at(value: Proto, depth: usize) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    Some(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(on)) => on.into(),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::NumberValue(x)) if x.fract() == 0.0 && x.abs() < 9e15 => (x as i64).into(),
        // JSON has no NaN and no infinity: as text they are refused like any other text.
        Some(Kind::NumberValue(x)) => Number::from_f64(x).map_or_else(|| x.to_string().into(), Value::Number),
        Some(Kind::ListValue(list)) => {
            let values = list.values.into_iter().map(|one| value_at(one, depth + 1));
            Value::Array(values.collect::<Option<_>>()?)
        }
        Some(Kind::StructValue(object)) => Value::Object(object_at(object, depth + 1)?),
    })
}

pub fn struct_of(object: Map<String, Value>) -> Struct {
    Struct { fields: object.into_iter().map(|(name, value)| (name, proto_of(value))).collect() }
}

fn proto_of(value: Value) -> Proto {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(on) => Kind::BoolValue(on),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(some) => Kind::ListValue(ListValue { values: some.into_iter().map(proto_of).collect() }),
        Value::Object(object) => Kind::StructValue(struct_of(object)),
    };
    Proto { kind: Some(kind) }
}

/// The fields of a value that is an object.
pub(crate) fn as_struct(value: Value) -> Option<Struct> {
    match value {
        Value::Object(object) => Some(struct_of(object)),
        _ => None,
    }
}
