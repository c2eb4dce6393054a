//! What the filter makes of a plugin's configuration.

use prost::Message as _;
use prost_types::value::Kind;
use proxy_wasm::types::LogLevel;
use serde_json::{Value, json};

use crate::fixtures::{configure, document, handshake, open, request, websocket, with};
use crate::frames::{BINARY, from_client};
use crate::host::Envoy;

/// `google.protobuf.Struct`, in which Envoy hands a configuration over.
fn structure(object: &Value) -> prost_types::Struct {
    let fields = object.as_object().unwrap();
    prost_types::Struct { fields: fields.iter().map(|(name, field)| (name.clone(), value(field))).collect() }
}

fn value(json: &Value) -> prost_types::Value {
    let kind = match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(values) => {
            Kind::ListValue(prost_types::ListValue { values: values.iter().map(value).collect() })
        }
        Value::Object(_) => Kind::StructValue(structure(json)),
    };
    prost_types::Value { kind: Some(kind) }
}

#[test]
fn json_text_and_a_serialised_struct_are_the_same_document() {
    let sound = document(json!({"messages": {"max_message_bytes": 1, "max_frame_bytes": 1}}));
    for (form, bytes) in
        [("text", sound.to_string().into_bytes()), ("Struct", structure(&sound).encode_to_vec())]
    {
        Envoy::default().worker(|worker| {
            assert!(worker.configure(&bytes), "{form}: {:?}", worker.log(LogLevel::Error));
            assert_eq!(worker.log(LogLevel::Info).len(), 1, "{form}");
            let frame = from_client(BINARY, b"x");
            assert_eq!(websocket(worker).client_sends(&frame), frame, "{form}");
        });
    }
}

#[test]
fn a_wrong_document_is_refused_in_either_form_and_the_log_names_the_path() {
    let with_policy = |key: &str, value: Value| document(json!({ key: value }));
    let mut unknown_default = document(json!({}));
    unknown_default["default_policy"] = json!("chta");
    let cases = [
        ("a key that does not exist", with_policy("orgins", json!({})), "policies.chat.orgins: "),
        (
            "a value of the wrong type",
            with_policy("messages", json!({"max_frame_bytes": true})),
            "policies.chat.messages.max_frame_bytes: ",
        ),
        (
            "a list's element",
            with_policy(
                "rates",
                json!([{"count": "messages", "per": "connection", "limit": 0, "window": "1s"}]),
            ),
            "policies.chat.rates[0].limit: ",
        ),
        ("a policy that does not exist", unknown_default, "default_policy: "),
        ("no policy", json!({"default_policy": "deny"}), "policies: "),
    ];
    for (name, wrong, path) in cases {
        for (form, bytes) in
            [("text", wrong.to_string().into_bytes()), ("Struct", structure(&wrong).encode_to_vec())]
        {
            Envoy::default().worker(|worker| {
                assert!(!worker.configure(&bytes), "{name}, {form}");
                let log = worker.log(LogLevel::Error);
                let start = format!("postern: configuration refused: {path}");
                assert!(log.iter().any(|line| line.starts_with(&start)), "{name}, {form}: {log:?}");
            });
        }
    }
}

#[test]
fn bytes_in_no_known_form_are_refused() {
    for bytes in [&b""[..], b"policies:\n  chat: {}", b"{", b"\xff\xfe", b"{}{}", &[0x0a, 0x7f, 0x01]] {
        Envoy::default().worker(|worker| {
            assert!(!worker.configure(bytes), "{}", bytes.escape_ascii());
            assert!(!worker.log(LogLevel::Error).is_empty(), "{}", bytes.escape_ascii());
        });
    }
}

#[test]
fn a_secret_that_the_environment_does_not_have_is_named_but_never_shown() {
    let mut document = document(json!({}));
    document["providers"]["edge"]["secret"] = json!({"env": "POSTERN_SECRET_THAT_NOBODY_SETS"});
    Envoy::default().worker(|worker| {
        assert!(!worker.configure(document.to_string().as_bytes()));
        let log = worker.log(LogLevel::Error).join("\n");
        assert!(log.contains("providers.edge.secret.env: ") && log.contains("POSTERN_SECRET_THAT"), "{log}");
    });
}

#[test]
fn a_second_configuration_in_one_vm_is_for_new_streams_and_leaves_open_ones_alone() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let old = websocket(worker);
        configure(worker, json!({"origins": {"allow": ["https://new.example.com"], "missing": "deny"}}));
        let frame = from_client(BINARY, b"still here");
        assert_eq!(old.client_sends(&frame), frame);
        assert_eq!(request(worker, &handshake()).reply().map(|reply| reply.status), Some(403));
        open(worker, &with(&handshake(), "origin", "https://new.example.com"));
    });
}

#[test]
fn a_refused_configuration_leaves_the_old_one_in_force() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        assert!(!worker.configure(b"{}"));
        websocket(worker);
    });
}

#[test]
fn without_shared_data_no_limit_could_hold_so_no_configuration_is_taken() {
    Envoy::without_shared_data().worker(|worker| {
        assert!(!worker.configure(document(json!({})).to_string().as_bytes()));
        assert!(worker.log(LogLevel::Error).join("\n").contains("no shared data"));
    });
}
