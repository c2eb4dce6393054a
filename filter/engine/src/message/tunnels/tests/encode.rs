//! As much of MessagePack, CBOR, protobuf, MQTT and BER as small messages need.

/// A value that is written in a binary format.
#[derive(Clone)]
pub(super) enum Value {
    Number(u16),
    Text(&'static str),
    Bytes(Vec<u8>),
    Float(f64),
    Bool(bool),
    List(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
}

/// MessagePack, in the shortest form.
pub(super) fn message_pack(value: &Value) -> Vec<u8> {
    let head = |short: u8, most: usize, longer: u8, len: usize| {
        if len <= most {
            vec![short | len as u8]
        } else {
            [&[longer], &(len as u16).to_be_bytes()[..]].concat()
        }
    };
    match value {
        Value::Number(number @ 0..0x80) => vec![*number as u8],
        Value::Number(number) => [&[0xcd], &number.to_be_bytes()[..]].concat(),
        Value::Text(text) => [&head(0xa0, 31, 0xda, text.len())[..], text.as_bytes()].concat(),
        Value::Bytes(bytes) => [&[0xc5], &(bytes.len() as u16).to_be_bytes()[..], bytes].concat(),
        Value::Float(float) => [&[0xcb], &float.to_be_bytes()[..]].concat(),
        Value::Bool(bool) => vec![0xc2 | u8::from(*bool)],
        Value::List(values) => {
            [head(0x90, 15, 0xdc, values.len()), values.iter().flat_map(message_pack).collect()].concat()
        }
        Value::Map(members) => {
            let member = |(name, value): &(&'static str, Value)| {
                [message_pack(&Value::Text(name)), message_pack(value)].concat()
            };
            [head(0x80, 15, 0xde, members.len()), members.iter().flat_map(member).collect()].concat()
        }
    }
}

/// CBOR (RFC 8949 §3), in the shortest form.
pub(super) fn cbor(value: &Value) -> Vec<u8> {
    let head = |major: u8, number: usize| match number {
        0..24 => vec![major << 5 | number as u8],
        24..256 => vec![major << 5 | 24, number as u8],
        _ => [&[major << 5 | 25], &(number as u16).to_be_bytes()[..]].concat(),
    };
    match value {
        Value::Number(number) => head(0, usize::from(*number)),
        Value::Text(text) => [&head(3, text.len())[..], text.as_bytes()].concat(),
        Value::Bytes(bytes) => [&head(2, bytes.len())[..], bytes].concat(),
        Value::Float(float) => [&[0xfb], &float.to_be_bytes()[..]].concat(),
        Value::Bool(bool) => vec![0xf4 | u8::from(*bool)],
        Value::List(values) => [head(4, values.len()), values.iter().flat_map(cbor).collect()].concat(),
        Value::Map(members) => {
            let member =
                |(name, value): &(&'static str, Value)| [cbor(&Value::Text(name)), cbor(value)].concat();
            [head(5, members.len()), members.iter().flat_map(member).collect()].concat()
        }
    }
}

/// Protobuf, with the members of a map as fields 1 and on.
pub(super) fn protobuf(value: &Value) -> Vec<u8> {
    let varint = |mut number: usize| {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    let delimited =
        |field: usize, bytes: &[u8]| [&varint(field << 3 | 2)[..], &varint(bytes.len()), bytes].concat();
    let write = |field: usize, value: &Value| match value {
        Value::Number(number) => [varint(field << 3), varint(usize::from(*number))].concat(),
        Value::Bool(bool) => [varint(field << 3), varint(usize::from(*bool))].concat(),
        Value::Float(float) => [&varint(field << 3 | 1)[..], &float.to_le_bytes()].concat(),
        Value::Text(text) => delimited(field, text.as_bytes()),
        Value::Bytes(bytes) => delimited(field, bytes),
        nested @ (Value::List(_) | Value::Map(_)) => delimited(field, &protobuf(nested)),
    };
    match value {
        Value::Map(members) => {
            (1..).zip(members).flat_map(|(field, (_, value))| write(field, value)).collect()
        }
        Value::List(values) => values.iter().flat_map(|value| write(1, value)).collect(),
        other => write(1, other),
    }
}

/// BSON (bsonspec.org), of a map.
pub(super) fn bson(value: &Value) -> Vec<u8> {
    let cstring = |text: &str| [text.as_bytes(), &[0]].concat();
    let string = |text: &str| [&(text.len() as u32 + 1).to_le_bytes()[..], &cstring(text)].concat();
    let element = |name: &str, value: &Value| {
        let (kind, bytes) = match value {
            Value::Number(number) => (0x10, u32::from(*number).to_le_bytes().to_vec()),
            Value::Float(float) => (0x01, float.to_le_bytes().to_vec()),
            Value::Text(text) => (0x02, string(text)),
            Value::Bool(bool) => (0x08, vec![u8::from(*bool)]),
            Value::Bytes(bytes) => (0x05, [&(bytes.len() as u32).to_le_bytes()[..], &[0], bytes].concat()),
            nested @ Value::Map(_) => (0x03, bson(nested)),
            nested @ Value::List(_) => (0x04, bson(nested)),
        };
        [vec![kind], cstring(name), bytes].concat()
    };
    let elements: Vec<u8> = match value {
        Value::Map(members) => members.iter().flat_map(|(name, value)| element(name, value)).collect(),
        Value::List(values) => {
            (0..).zip(values).flat_map(|(at, value)| element(&at.to_string(), value)).collect()
        }
        other => element("value", other),
    };
    [&(elements.len() as u32 + 5).to_le_bytes()[..], &elements, &[0]].concat()
}

/// A value in BER with a tag (X.690).
pub(super) fn ber(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let head = if len < 0x80 { vec![tag, len as u8] } else { vec![tag, 0x82, (len >> 8) as u8, len as u8] };
    [head, content.to_vec()].concat()
}

/// A packet of MQTT, whose remaining length is less than 128 (MQTT 3.1.1 §2.2.3).
pub(super) fn mqtt(kind: u8, rest: &[u8]) -> Vec<u8> {
    assert!(rest.len() < 128);
    [&[kind, rest.len() as u8], rest].concat()
}
