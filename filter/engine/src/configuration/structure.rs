//! Conversion from `google.protobuf.Struct`, in which Envoy keeps what operators write, to JSON.

use prost_types::value::Kind;
use serde_json::Value;

/// Returns the object that a Struct stands for.
pub(crate) fn object(object: prost_types::Struct) -> Value {
    Value::Object(object.fields.into_iter().map(|(name, field)| (name, value(field))).collect())
}

/// Converts a value. Nesting is bounded: the protobuf decoder has refused what is deeper than a hundred
/// messages.
fn value(value: prost_types::Value) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::NumberValue(number)) => number_value(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::StructValue(inner)) => object(inner),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(self::value).collect()),
    }
}

/// Converts a number. JSON has no word for an infinite one; null is refused wherever a number is asked for.
fn number_value(number: f64) -> Value {
    serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)
}
