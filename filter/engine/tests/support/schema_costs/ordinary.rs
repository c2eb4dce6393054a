//! Schemas and messages as services have them, as long as the others: none of them may run out of work.

use serde_json::{Value, json};

use super::Expected::Valid;
use super::text::{array, filled, object, string};
use super::{LONGEST, Pair, pair};

pub(super) fn pairs() -> Vec<Pair> {
    let order = |number: usize| {
        format!(
            "{{\"id\":\"8f14e45f-ceea-467f-ab2d-{number:012}\",\"side\":\"buy\",\"price\":{number}.25,\"size\":10}}"
        )
    };
    let point = |number: usize| format!("[{}.{number:06},51.{number:06}]", number % 180);
    let call = |number: usize| {
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"say\",\"params\":[\"hi\"]}}")
    };
    let event = |number: usize| {
        format!("{{\"kind\":\"kind{}\",\"at\":{number},\"value{}\":\"x\"}}", number % 10, number % 10)
    };
    let price = |number: usize| {
        let at = |cents: usize| format!("{}.{:02}", cents / 100, cents % 100);
        format!("{{\"symbol\":\"S{number}\",\"bid\":{},\"ask\":{}}}", at(number * 7), at(number * 7 + 3))
    };
    let member = |number: usize| format!("\"user-{number:04}\":{{\"name\":\"Zoë\",\"roles\":[\"a\",\"b\"]}}");
    let reply = |number: usize| {
        format!("{{\"text\":\"reply {number}\",\"replies\":[{{\"text\":\"yes\",\"replies\":[]}}]}}")
    };
    let line = filled("[", point, ",", "]", LONGEST - 80);
    let replies = filled("[", reply, ",", "]", LONGEST - 40);
    vec![
        pair(
            "ordinary-chat",
            Valid,
            chat(),
            format!("{{\"type\":\"say\",\"text\":{}}}", shorter(&string("日本", ""))),
        ),
        pair("ordinary-orders", Valid, orders(), array(order)),
        pair(
            "ordinary-line",
            Valid,
            line_string(),
            format!("{{\"type\":\"LineString\",\"coordinates\":{line}}}"),
        ),
        pair("ordinary-calls", Valid, calls(), array(call)),
        pair("ordinary-events", Valid, events(), array(event)),
        pair("ordinary-prices", Valid, prices(), array(price)),
        pair("ordinary-members", Valid, members(), object(member)),
        pair("ordinary-replies", Valid, tree(), format!("{{\"text\":\"first\",\"replies\":{replies}}}")),
    ]
}

/// Takes some characters from the middle of a string, so that there is room for more around it.
fn shorter(string: &str) -> String {
    let characters: Vec<char> = string.chars().collect();
    let (start, end) = characters.split_at(characters.len() / 2);
    start.iter().chain(&end[30..]).collect()
}

fn chat() -> Value {
    json!({
        "type": "object", "required": ["type"], "additionalProperties": false,
        "properties": {
            "type": {"enum": ["join", "say", "leave"]}, "room": {"type": "string", "pattern": "^[a-z0-9-]{1,64}$"},
            "text": {"type": "string", "minLength": 1, "maxLength": 65536},
        },
    })
}

fn orders() -> Value {
    json!({
        "type": "array", "uniqueItems": true, "items": {"$ref": "#/$defs/order"},
        "$defs": {"order": {
            "type": "object", "required": ["id", "side", "price", "size"], "unevaluatedProperties": false,
            "properties": {
                "id": {"type": "string", "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
                "side": {"enum": ["buy", "sell"]},
                "price": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.01},
                "size": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
            },
        }},
    })
}

fn line_string() -> Value {
    let number = |most: u32| json!({"type": "number", "minimum": -f64::from(most), "maximum": most});
    let position =
        json!({"type": "array", "prefixItems": [number(180), number(90)], "items": false, "minItems": 2});
    json!({"oneOf": [
        {"properties": {"type": {"const": "Point"}, "coordinates": position}},
        {"properties": {"type": {"const": "LineString"}, "coordinates": {"type": "array", "items": position}}},
    ]})
}

fn calls() -> Value {
    let id = json!({"type": ["string", "integer", "null"]});
    json!({
        "oneOf": [{"$ref": "#/$defs/call"}, {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/call"}}],
        "$defs": {"call": {
            "type": "object", "required": ["jsonrpc", "method"],
            "properties": {
                "jsonrpc": {"const": "2.0"}, "id": id, "method": {"type": "string", "pattern": "^[A-Za-z_.]+$"},
                "params": {"type": ["array", "object"]},
            },
            "additionalProperties": false,
        }},
    })
}

/// Ten kinds of events, as generators write them.
fn events() -> Value {
    let kind = |number: usize| {
        json!({
            "type": "object", "required": ["kind", "at"], "unevaluatedProperties": false,
            "properties": {
                "kind": {"const": format!("kind{number}")}, "at": {"type": "integer"},
                (format!("value{number}")): {"type": "string", "maxLength": 100},
            },
        })
    };
    json!({"type": "array", "items": {"oneOf": (0..10).map(kind).collect::<Vec<_>>()}})
}

fn prices() -> Value {
    let price = json!({"type": "number", "minimum": 0, "multipleOf": 0.01});
    json!({"type": "array", "items": {
        "type": "object", "required": ["symbol", "bid", "ask"], "additionalProperties": false,
        "properties": {"symbol": {"type": "string", "pattern": "^[A-Z0-9]{1,12}$"}, "bid": price, "ask": price},
    }})
}

fn members() -> Value {
    json!({
        "type": "object", "propertyNames": {"pattern": "^[a-z]+-[0-9]{4}$"},
        "patternProperties": {"^user-": {
            "type": "object", "properties": {
                "name": {"type": "string", "minLength": 1},
                "roles": {"type": "array", "uniqueItems": true, "items": {"enum": ["a", "b", "c"]}},
            },
            "dependentRequired": {"roles": ["name"]},
        }},
        "additionalProperties": false,
    })
}

fn tree() -> Value {
    json!({
        "$id": "https://example.com/comment", "$dynamicAnchor": "comment", "type": "object", "required": ["text"],
        "properties": {
            "text": {"type": "string"}, "replies": {"type": "array", "items": {"$dynamicRef": "#comment"}},
        },
        "unevaluatedProperties": false,
    })
}
