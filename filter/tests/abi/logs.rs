//! The lines of the log in both forms, and the fields of the access log.

use std::time::Duration;

use proxy_wasm::types::LogLevel;
use serde_json::{Value, json};

use crate::fixtures::{ORIGIN, and, auth, document, fields, handshake, open, request, token, with, without};
use crate::frames::{BINARY, CLOSE, TEXT, from_client, from_upstream};
use crate::host::{Envoy, Fields, Stream, Worker};

const KEY: &str = "a key for logs of tests, 32 bytes or more";

/// Every field of the access log.
const FIELDS: [&str; 11] = [
    "policy",
    "rule",
    "reason",
    "subject",
    "messages_downstream",
    "bytes_downstream",
    "messages_upstream",
    "bytes_upstream",
    "close_code",
    "closed_by",
    "duration",
];

/// Puts a policy with tokens in force, and this `log`.
fn configure(worker: &Worker, log: &Value) {
    let mut auth = auth(json!([{"header": "authorization"}]));
    // A header with line breaks would be refused.
    auth["forward"] = json!({});
    auth["require"] = json!([{"claim": "scope", "contains": "chat"}]);
    let mut document = document(json!({"auth": auth, "messages": {"max_frame_bytes": 100}}));
    document["log"] = log.clone();
    assert!(worker.configure(document.to_string().as_bytes()), "the configuration is refused");
}

/// A handshake of this user's.
fn of(worker: &Worker, subject: &str, scope: &str) -> Fields {
    let claims = json!({"sub": subject, "scope": scope, "exp": worker.now().as_secs() + 300});
    with(&handshake(), "authorization", format!("Bearer {}", token(claims)))
}

/// The fields of the access log that are set.
fn logged(stream: &Stream<'_>) -> Value {
    let set = FIELDS.iter().filter_map(|field| {
        let value = stream.property(&format!("postern.{field}"))?;
        Some(((*field).to_owned(), json!(String::from_utf8(value).unwrap())))
    });
    Value::Object(set.collect())
}

fn subject(stream: &Stream<'_>) -> String {
    logged(stream)["subject"].as_str().unwrap_or_else(|| panic!("{}", logged(stream))).to_owned()
}

/// The only line of the log that has `part`.
fn line(worker: &Worker, level: LogLevel, part: &str) -> String {
    let lines: Vec<_> = worker.log(level).into_iter().filter(|line| line.contains(part)).collect();
    assert_eq!(lines.len(), 1, "{part}: {:?}", worker.log(level));
    lines[0].clone()
}

fn object(line: &str) -> Value {
    assert!(line.starts_with("{\"postern\":\"") && line.ends_with('}') && !line.contains('\n'), "{line}");
    let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert!(object["time"].as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')), "{line}");
    object
}

#[test]
fn a_line_of_text_tells_address_origin_and_user_behind_what_it_always_told() {
    Envoy::default().worker(|worker| {
        configure(worker, &json!({}));
        let denied = request(worker, &of(worker, "alice", "none"));
        let told = line(worker, LogLevel::Info, "postern: refused");
        let expected = format!(
            "postern: refused policy=chat reason=claims_denied request=0a1b2c3d-0000-4000-8000-00000000abcd \
             rule=auth.require[0] side=client address=198.51.100.7 origin=\"{ORIGIN}\" subject={}",
            subject(&denied)
        );
        assert_eq!(told, expected);

        let stream = open(worker, &of(worker, "bob", "chat"));
        stream.client_sends(&from_client(BINARY, &[0; 101]));
        stream.end();
        let told = line(worker, LogLevel::Info, "postern: closed");
        let end = format!(
            "cause=\"the bytes of a frame are 101, and 100 may be\" address=198.51.100.7 origin=\"{ORIGIN}\" \
             subject={}",
            subject(&stream)
        );
        assert!(told.ends_with(&end), "{told}");
    });
}

#[test]
fn every_line_is_one_object_where_json_is_asked_for() {
    Envoy::default().worker(|worker| {
        configure(worker, &json!({"format": "json", "refusals_per_second": 2}));
        let configured = object(&line(worker, LogLevel::Info, "configured"));
        assert_eq!(
            (&configured["postern"], &configured["policies"]),
            (&json!("configured"), &json!(["chat"]))
        );

        let denied = request(worker, &of(worker, "alice", "none"));
        let refused = object(&line(worker, LogLevel::Info, "\"refused\""));
        let mut expected = json!({
            "postern": "refused", "policy": "chat", "rule": "auth.require[0]", "reason": "claims_denied",
            "cause": null, "side": "client", "request_id": "0a1b2c3d-0000-4000-8000-00000000abcd",
            "address": "198.51.100.7", "origin": ORIGIN, "subject": subject(&denied),
        });
        expected["time"] = refused["time"].clone();
        assert_eq!(refused, expected);

        let bob = of(worker, "bob", "chat");
        let stream = open(worker, &bob);
        stream.client_sends(&from_client(BINARY, &[0; 101]));
        let closed = object(&line(worker, LogLevel::Info, "\"closed\""));
        assert_eq!(closed["cause"], "the bytes of a frame are 101, and 100 may be");
        assert_eq!(closed["rule"], "messages.max_frame_bytes");

        request(worker, &of(worker, "alice", "none"));
        worker.pass(Duration::from_secs(2));
        let suppressed = object(&line(worker, LogLevel::Info, "suppressed"));
        assert_eq!((&suppressed["policy"], &suppressed["count"]), (&json!("chat"), &json!(1)));
        for level in [LogLevel::Info, LogLevel::Warn, LogLevel::Error] {
            worker.log(level).iter().for_each(|line| drop(object(line)));
        }
    });
}

#[test]
fn the_problems_of_a_configuration_read_as_it_asks_whichever_is_in_force() {
    Envoy::default().worker(|worker| {
        configure(worker, &json!({}));
        let mut wrong = document(json!({"tls": "maybe"}));
        wrong["log"] = json!({"format": "json"});
        assert!(!worker.configure(wrong.to_string().as_bytes()));
        let told = object(&line(worker, LogLevel::Error, "configuration_refused"));
        assert!(told["message"].as_str().unwrap().starts_with("policies.chat.tls: "), "{told}");
        request(worker, &without(&handshake(), "origin"));
        line(worker, LogLevel::Info, "postern: refused policy=chat reason=origin_missing");
    });
}

#[test]
fn a_user_has_one_hash_on_all_workers_and_with_a_key_on_all_envoys_and_versions_of_a_policy() {
    let hashes = |log: Value| {
        let see = |log: Value| {
            move |worker: &Worker| {
                configure(worker, &log);
                ["alice", "bob"].map(|name| subject(&request(worker, &of(worker, name, "none"))))
            }
        };
        let [one, other] = Envoy::default().workers([see(log.clone()), see(log)]);
        assert_eq!(one, other);
        assert_ne!(one[0], one[1]);
        assert!(one.iter().all(|hash| hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit())));
        one
    };
    assert_ne!(hashes(json!({})), hashes(json!({})), "an Envoy without a key has a random one");
    let with_key = |key: &str| hashes(json!({"subject_key": {"inline": key}}));
    assert_eq!(with_key(KEY), with_key(KEY));
    assert_ne!(with_key(KEY), with_key(&KEY.to_uppercase()));
}

#[test]
fn the_access_log_has_nothing_of_an_open_socket_and_all_of_one_that_ended() {
    Envoy::default().worker(|worker| {
        configure(worker, &json!({}));
        let stream = open(worker, &of(worker, "alice", "chat"));
        for _ in 0..3 {
            stream.client_sends(&from_client(TEXT, b"hello"));
            stream.upstream_sends(&from_upstream(BINARY, &[0; 700]));
            worker.pass(Duration::from_millis(500));
        }
        stream.upstream_sends(&from_upstream(TEXT, b"bye"));
        assert_eq!(logged(&stream), json!({}), "a field costs nothing before the end");
        stream.client_sends(&from_client(CLOSE, b"\x0f\xa0"));
        stream.upstream_sends(&from_upstream(CLOSE, b"\x03\xe8"));
        stream.end();
        let hash = subject(&stream);
        let expected = json!({
            "policy": "chat", "subject": hash, "messages_downstream": "3", "bytes_downstream": "15",
            "messages_upstream": "4", "bytes_upstream": "2103", "close_code": "4000", "closed_by": "client",
            "duration": "1500",
        });
        assert_eq!(logged(&stream), expected);
    });
}

#[test]
fn the_access_log_tells_a_refusal_from_a_close_and_both_from_a_socket_that_was_cut() {
    Envoy::default().worker(|worker| {
        configure(worker, &json!({}));
        let refused = request(worker, &with(&handshake(), "origin", "https://evil.example"));
        let expected = json!({"policy": "chat", "rule": "origins", "reason": "origin_denied"});
        assert_eq!(logged(&refused), expected);

        let passed = json!({
            "messages_downstream": "0", "bytes_downstream": "0", "messages_upstream": "0", "bytes_upstream": "0",
            "duration": "0", "policy": "chat",
        });
        let bob = of(worker, "bob", "chat");
        let closed = open(worker, &bob);
        closed.client_sends(&from_client(BINARY, &[0; 101]));
        closed.end();
        let mut expected = passed.clone();
        expected["rule"] = json!("messages.max_frame_bytes");
        expected["reason"] = json!("frame_too_big");
        (expected["close_code"], expected["closed_by"]) = (json!("1009"), json!("postern"));
        expected["subject"] = json!(subject(&closed));
        assert_eq!(logged(&closed), expected);

        let cut = open(worker, &bob);
        cut.end();
        let mut expected = passed;
        expected["subject"] = json!(subject(&closed));
        assert_eq!(logged(&cut), expected, "nobody has said that it ends");

        let declined = request(worker, &bob);
        declined.answered(&fields(&[(":status", "404")]));
        declined.end();
        assert_eq!(logged(&declined), json!({"policy": "chat", "subject": subject(&closed)}));

        let page = request(worker, &without(&handshake(), "upgrade"));
        page.answered(&fields(&[(":status", "200")]));
        page.end();
        assert_eq!(logged(&page), json!({}));
    });
}

#[test]
fn a_stream_to_which_no_policy_applies_tells_whence_it_came() {
    Envoy::default().worker(|worker| {
        let mut document = document(json!({}));
        document["default_policy"] = json!("deny");
        assert!(worker.configure(document.to_string().as_bytes()));
        let refused = request(worker, &handshake());
        let expected = json!({"policy": "none", "rule": "default_policy", "reason": "no_policy"});
        assert_eq!(logged(&refused), expected);
        let told = line(worker, LogLevel::Info, "postern: refused policy=none");
        assert!(
            told.ends_with(&format!(" rule=default_policy address=198.51.100.7 origin=\"{ORIGIN}\"")),
            "{told}"
        );
    });
}

#[test]
fn what_a_client_wrote_forges_no_line_fills_none_and_brings_no_token() {
    let forged = b"https://x\"}\r\n{\"postern\":\"closed\"} \x1b[2K\xff";
    for format in ["text", "json"] {
        Envoy::default().worker(|worker| {
            configure(worker, &json!({"format": format}));
            let hostile = [
                with(&handshake(), "origin", forged),
                with(&handshake(), "origin", [b'a'; 5000]),
                and(&handshake(), "origin", forged),
                with(&of(worker, "alice\"\n\x1b[2K", "none"), ":path", "/chat?a=\"\n{\"postern\":1}"),
            ];
            for hostile in &hostile {
                request(worker, hostile).end();
            }
            let closed = open(worker, &of(worker, "\"}\n{\"postern\":\"refused\"}", "chat"));
            closed.client_sends(&from_client(BINARY, &[0; 101]));
            closed.end();
            let lines = worker.log(LogLevel::Info);
            assert_eq!(lines.len(), 1 + hostile.len() + 1, "{lines:?}");
            for line in &lines {
                assert!(line.len() < 1000 && line.bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{line}");
                assert!(!line.contains("eyJ") && !line.contains("alice"), "{line}");
                assert_eq!(format == "json", line.starts_with("{\"postern\":\""), "{line}");
                if format == "json" {
                    object(line);
                }
            }
        });
    }
}
