//! Conversion from `google.protobuf.Struct`, in which Envoy keeps what operators write, to JSON.

use prost_types::value::Kind;
use serde_json::{Map, Value};

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

/// Returns the Struct that stands for an object. A number is a double there.
pub(crate) fn of_object(object: &Map<String, Value>) -> prost_types::Struct {
    let fields = object.iter().map(|(name, member)| (name.clone(), of_value(member)));
    prost_types::Struct { fields: fields.collect() }
}

fn of_value(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => number.as_f64().map_or(Kind::NullValue(0), Kind::NumberValue),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(values) => {
            Kind::ListValue(prost_types::ListValue { values: values.iter().map(of_value).collect() })
        }
        Value::Object(members) => Kind::StructValue(of_object(members)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// Converts a number. JSON has no word for an infinite one; null is refused wherever a number is asked for.
fn number_value(number: f64) -> Value {
    serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number)
}
