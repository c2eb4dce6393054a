//! Counts over the mesh: what is asked and told of a rate limit service that answers, does not, or answers nonsense.

use std::time::Duration;

use prost::Message;
use serde_json::{Value, json};

use crate::fixtures::{REASON, agreement, auth, configure, handshake, open, request, token, with};
use crate::frames::{BINARY, PING, TEXT, close, from_client, from_upstream, read, without_own_pings};
use crate::host::{Envoy, Fields, GrpcCall, Stream, Worker, value_of};

const TICK: Duration = Duration::from_millis(250);
const SECOND: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_millis(50);

const WITHIN: &[u8] = &[8, 1];
/// Over the limit, which is reset in 7.5 s.
const OVER: &[u8] = &[8, 2, 0x12, 12, 8, 2, 0x22, 8, 8, 7, 16, 0x80, 0xca, 0xb5, 0xee, 1];
const UNAVAILABLE: u32 = 14;

/// `RateLimitRequest`, by the protocol's own definition.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(message, repeated, tag = "2")]
    descriptors: Vec<Descriptor>,
    #[prost(uint32, tag = "3")]
    hits_addend: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Descriptor {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// A policy that asks the service, with `keys` of its own and `changes` to the rest.
fn asking(worker: &Worker, keys: Value, changes: Value) {
    let mut rule = json!({"cluster": "auth", "domain": "mesh"});
    rule.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let mut whole = json!({
        "global_rate_limit": rule,
        "liveness": {"idle_timeout": "1h", "ping_interval": "none"},
    });
    whole.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    configure(worker, whole);
}

/// The entries of a question, and its hits.
fn asked(call: &GrpcCall) -> (Vec<String>, u32) {
    let request = Request::decode(call.message.as_slice()).unwrap();
    assert_eq!(request.domain, "mesh");
    assert_eq!(request.descriptors.len(), 1);
    let entries = &request.descriptors[0].entries;
    (entries.iter().map(|entry| format!("{}={}", entry.key, entry.value)).collect(), request.hits_addend)
}

/// The only call that is under way.
fn only_call(worker: &Worker) -> GrpcCall {
    let calls = worker.grpc_calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls[0].clone()
}

fn refusal(stream: &Stream<'_>) -> Option<(u32, String)> {
    let reason = || String::from_utf8(stream.property(REASON).unwrap_or_default()).unwrap();
    stream.reply().map(|reply| (reply.status, reason()))
}

fn is_held(stream: &Stream<'_>) -> bool {
    stream.request().is_none() && stream.reply().is_none() && !stream.is_reset()
}

/// The WebSocket that `handshake` opens once the service has said yes.
fn let_in<'w>(worker: &'w Worker, handshake: &Fields) -> Stream<'w> {
    let stream = request(worker, handshake);
    worker.answer_grpc(&only_call(worker), WITHIN);
    let up = stream.request().expect("it goes up");
    stream.answered(&agreement(&up));
    stream
}

#[test]
fn a_handshake_is_held_until_the_service_says_yes() {
    Envoy::default().worker(|worker| {
        asking(worker, json!({}), json!({}));
        let stream = request(worker, &handshake());
        assert!(is_held(&stream));
        let call = only_call(worker);
        let entries = ["count=handshakes", "ip=198.51.100.7", "policy=chat"].map(str::to_owned).to_vec();
        assert_eq!((asked(&call), call.timeout), ((entries, 1), TIMEOUT));
        worker.answer_grpc(&call, WITHIN);
        let up = stream.request().expect("it goes up");
        stream.answered(&agreement(&up));
        assert_eq!(stream.client_sends(&from_client(TEXT, b"hello")), from_client(TEXT, b"hello"));
    });
}

#[test]
fn a_handshake_over_the_limit_is_told_when_to_come_back() {
    for (answer, wait) in [(OVER, "8"), (&[8, 2][..], "1")] {
        Envoy::default().worker(|worker| {
            asking(worker, json!({}), json!({}));
            let stream = request(worker, &handshake());
            worker.answer_grpc(&only_call(worker), answer);
            assert_eq!(refusal(&stream), Some((429, "global_rate".to_owned())));
            let fields = stream.reply().unwrap().fields;
            assert_eq!(value_of(&fields, "retry-after"), Some(wait.as_bytes()));
            let log = worker.log(proxy_wasm::types::LogLevel::Info).join("\n");
            let told = "rule=global_rate_limit side=client cause=\"the rate limit service says that handshakes are over the limit\"";
            assert!(log.contains(told), "{log}");
        });
    }
}

/// What becomes of a call: an answer, a status, or nothing.
enum Fate {
    Answered(&'static [u8]),
    Failed(u32),
    Forgotten,
}

#[test]
fn without_an_answer_that_is_one_the_policy_decides() {
    let fates = [
        Fate::Answered(b""),
        Fate::Answered(&[8, 0]),
        Fate::Answered(b"\xff\xff\xff"),
        Fate::Answered(&[8; 100_000]),
        Fate::Failed(UNAVAILABLE),
        Fate::Failed(u32::MAX),
        Fate::Forgotten,
    ];
    for failure in ["allow", "deny"] {
        for fate in &fates {
            Envoy::default().worker(|worker| {
                asking(worker, json!({"failure": failure}), json!({}));
                let stream = request(worker, &handshake());
                let call = only_call(worker);
                match fate {
                    Fate::Answered(message) => worker.answer_grpc(&call, message),
                    Fate::Failed(status) => worker.fail_grpc(&call, *status),
                    Fate::Forgotten => {
                        worker.pass(TIMEOUT - Duration::from_millis(1));
                        assert!(is_held(&stream));
                        worker.pass(Duration::from_millis(1));
                    }
                }
                let expected = (failure == "deny").then(|| (503, "rate_limit_unavailable".to_owned()));
                assert_eq!(refusal(&stream), expected);
                assert_eq!(stream.request().is_some(), failure == "allow");
                if matches!(fate, Fate::Forgotten) {
                    worker.answer_grpc(&call, OVER);
                    assert_eq!(refusal(&stream), expected, "an answer that is too late changes nothing");
                }
            });
        }
    }
}

#[test]
fn where_envoy_makes_no_call_nobody_is_held() {
    for failure in ["allow", "deny"] {
        Envoy::default().worker(|worker| {
            worker.refuse_grpc(true);
            asking(worker, json!({"failure": failure}), json!({}));
            for _ in 0..5 {
                let stream = request(worker, &handshake());
                let expected = (failure == "deny").then(|| (503, "rate_limit_unavailable".to_owned()));
                assert_eq!(refusal(&stream), expected);
                if failure == "allow" {
                    stream.answered(&agreement(&stream.request().expect("it goes up at once")));
                }
            }
            worker.refuse_grpc(false);
            worker.pass(SECOND);
            let stream = request(worker, &handshake());
            assert!(is_held(&stream));
        });
    }
}

#[test]
fn a_service_that_is_down_is_asked_once_a_second_and_nobody_else_waits() {
    Envoy::default().worker(|worker| {
        asking(worker, json!({"failure": "deny"}), json!({}));
        let down = Some((503, "rate_limit_unavailable".to_owned()));
        for _ in 0..3 {
            let stream = request(worker, &handshake());
            worker.fail_grpc(&only_call(worker), UNAVAILABLE);
            assert_eq!(refusal(&stream), down);
        }
        for _ in 0..2 {
            for _ in 0..10 {
                assert_eq!(refusal(&request(worker, &handshake())), down, "at once");
            }
            assert!(worker.grpc_calls().is_empty());
            worker.pass(SECOND);
            let probe = request(worker, &handshake());
            assert_eq!(refusal(&request(worker, &handshake())), down, "one probe at a time");
            worker.fail_grpc(&only_call(worker), UNAVAILABLE);
            assert_eq!(refusal(&probe), down);
        }
        worker.pass(SECOND);
        let probe = request(worker, &handshake());
        worker.answer_grpc(&only_call(worker), WITHIN);
        assert!(probe.request().is_some());
        assert!(is_held(&request(worker, &handshake())), "all are asked about again");
    });
}

#[test]
fn clients_that_go_away_leave_no_call_behind() {
    Envoy::default().worker(|worker| {
        asking(worker, json!({"failure": "deny"}), json!({}));
        for _ in 0..3 {
            for _ in 0..1024 {
                request(worker, &handshake()).end();
            }
            let too_many = request(worker, &handshake());
            assert_eq!(refusal(&too_many), Some((503, "rate_limit_unavailable".to_owned())));
            // The SDK has nobody to hand these to.
            for call in worker.grpc_calls() {
                worker.answer_grpc(&call, WITHIN);
            }
            worker.pass(TIMEOUT + SECOND + TICK);
        }
        let_in(worker, &handshake());
    });
}

#[test]
fn only_what_local_rules_let_through_is_asked_about_and_it_is_charged_once() {
    Envoy::default().worker(|worker| {
        let rates = json!({"auth": auth(json!([{"header": "authorization"}])), "rates": [
            {"count": "handshakes", "per": "ip", "limit": 4, "window": "1h"},
            {"count": "handshakes", "per": "user", "limit": 2, "window": "1h"},
        ]});
        asking(worker, json!({"descriptors": ["user", "ip", "policy"]}), rates);
        assert_eq!(request(worker, &handshake()).reply().unwrap().status, 401);
        assert!(worker.grpc_calls().is_empty());
        let token = token(json!({"sub": "alice", "exp": worker.now().as_secs() + 60}));
        let bearing = with(&handshake(), "authorization", format!("Bearer {token}"));
        for _ in 0..2 {
            let stream = request(worker, &bearing);
            let call = only_call(worker);
            let entries = ["count=handshakes", "user=alice", "ip=198.51.100.7", "policy=chat"];
            assert_eq!(asked(&call).0, entries);
            worker.answer_grpc(&call, WITHIN);
            let up = stream.request().expect("it goes up");
            assert_eq!(
                value_of(&up, "x-user-id"),
                Some(&b"alice"[..]),
                "with what was found before the wait"
            );
            assert_eq!(value_of(&up, "authorization"), None);
        }
        let stream = request(worker, &bearing);
        assert_eq!(refusal(&stream), Some((429, "handshake_rate".to_owned())));
        assert!(worker.grpc_calls().is_empty());
    });
}

#[test]
fn an_ipv6_client_is_named_by_its_network() {
    Envoy::default().worker(|worker| {
        asking(worker, json!({"descriptors": ["ip"]}), json!({"client_address": {"ipv6_prefix": 56}}));
        let properties: [(&str, &[u8]); 4] = [
            ("source.address", b"[2001:db8:1:2ff:3::4]:40732"),
            ("request.protocol", b"HTTP/1.1"),
            ("connection.tls_version", b"TLSv1.3"),
            ("xds.route_name", b"chat"),
        ];
        let _stream = Stream::open(worker, &handshake(), &properties);
        assert_eq!(asked(&only_call(worker)).0, ["count=handshakes", "ip=2001:db8:1:200::/56"]);
    });
}

/// The bytes that went to the client, as frames.
fn to_client(stream: &Stream<'_>) -> Vec<crate::frames::Frame> {
    read(&without_own_pings(&stream.to_client()).0)
}

const COUNTS: &str = r#"{"counts": ["messages", "bytes"]}"#;

fn counting(worker: &Worker, failure: &str) {
    let mut keys: Value = serde_json::from_str(COUNTS).unwrap();
    keys["failure"] = json!(failure);
    asking(worker, keys, json!({}));
}

#[test]
fn what_all_connections_of_a_client_send_is_told_together_once_in_an_interval() {
    Envoy::default().worker(|worker| {
        counting(worker, "allow");
        let (one, other) = (open(worker, &handshake()), open(worker, &handshake()));
        one.client_sends(&[from_client(TEXT, b"four"), from_client(PING, b"?")].concat());
        other.client_sends(&from_client(BINARY, b"seven!!"));
        one.upstream_sends(&from_upstream(TEXT, b"is not counted"));
        assert!(worker.grpc_calls().is_empty());
        worker.pass(TICK);
        let reports: Vec<_> = worker.grpc_calls().iter().map(asked).collect();
        let entries =
            |count: &str| vec![format!("count={count}"), "ip=198.51.100.7".into(), "policy=chat".into()];
        assert_eq!(reports, [(entries("messages"), 2), (entries("bytes"), 11)]);
        worker.grpc_calls().iter().for_each(|call| worker.answer_grpc(call, WITHIN));
        one.client_sends(&from_client(TEXT, b"more"));
        worker.pass(3 * TICK);
        assert!(worker.grpc_calls().is_empty(), "the interval is a second");
        other.end();
        worker.pass(TICK);
        let reports: Vec<_> = worker.grpc_calls().iter().map(asked).collect();
        assert_eq!(reports, [(entries("messages"), 1), (entries("bytes"), 4)]);
        worker.pass(SECOND);
        assert_eq!(worker.grpc_calls().len(), 2, "nothing is told where nothing was sent");
    });
}

#[test]
fn what_a_connection_sent_last_is_told_after_its_end() {
    Envoy::default().worker(|worker| {
        counting(worker, "allow");
        let stream = open(worker, &handshake());
        stream.client_sends(&from_client(TEXT, b"bye"));
        stream.end();
        worker.pass(TICK);
        assert_eq!(worker.grpc_calls().iter().map(|call| asked(call).1).collect::<Vec<_>>(), [1, 3]);
    });
}

#[test]
fn all_connections_of_a_client_end_that_sends_too_much_and_no_others() {
    Envoy::default().worker(|worker| {
        counting(worker, "allow");
        let streams: Vec<_> = (0..40).map(|_| open(worker, &handshake())).collect();
        let properties: [(&str, &[u8]); 3] = [
            ("source.address", b"198.51.100.8:40732"),
            ("request.protocol", b"HTTP/1.1"),
            ("connection.tls_version", b"TLSv1.3"),
        ];
        let stranger = Stream::open(worker, &handshake(), &properties);
        stranger.answered(&agreement(&stranger.request().unwrap()));
        streams[0].client_sends(&from_client(TEXT, b"too much"));
        worker.pass(TICK);
        worker.answer_grpc(&worker.grpc_calls()[0], OVER);
        let late = open(worker, &handshake());
        worker.pass(TICK);
        for stream in &streams {
            assert_eq!(to_client(stream), [close(false, 1013, "global_rate")]);
        }
        assert_eq!(to_client(&late).len(), 1, "it was there when the others ended");
        assert_eq!(to_client(&stranger), []);
        let next = open(worker, &handshake());
        worker.pass(SECOND);
        assert_eq!(to_client(&next), [], "whoever comes later is counted anew");
        stranger.client_sends(&from_client(TEXT, b"too much"));
        worker.pass(SECOND);
        let of_stranger = |call: &&GrpcCall| asked(call).0[1] == "ip=198.51.100.8";
        let calls = worker.grpc_calls();
        worker.answer_grpc(calls.iter().find(of_stranger).expect("a report"), OVER);
        worker.pass(TICK);
        assert_eq!(to_client(&stranger), [close(false, 1013, "global_rate")]);
        assert_eq!(to_client(&next), [], "what was said once ends nobody twice");
    });
}

#[test]
fn a_report_that_fails_ends_connections_only_where_the_policy_says_so() {
    for failure in ["allow", "deny"] {
        Envoy::default().worker(|worker| {
            counting(worker, failure);
            let stream = open(worker, &handshake());
            stream.client_sends(&from_client(TEXT, b"hello"));
            worker.pass(TICK);
            worker.fail_grpc(&worker.grpc_calls()[0], UNAVAILABLE);
            worker.pass(TICK);
            let expected = match failure {
                "allow" => vec![],
                _ => vec![close(false, 1013, "rate_limit_unavailable")],
            };
            assert_eq!(to_client(&stream), expected);
        });
    }
}

#[test]
fn counts_that_the_service_did_not_hear_are_not_told_later() {
    Envoy::default().worker(|worker| {
        asking(worker, json!({"counts": ["messages"]}), json!({}));
        let stream = open(worker, &handshake());
        for _ in 0..5 {
            stream.client_sends(&from_client(TEXT, b"hello"));
            worker.pass(SECOND);
            if let Some(call) = worker.grpc_calls().first() {
                worker.fail_grpc(call, UNAVAILABLE);
            }
        }
        stream.client_sends(&from_client(TEXT, b"hello"));
        worker.pass(SECOND);
        assert_eq!(asked(&only_call(worker)).1, 1);
        assert_eq!(to_client(&stream), []);
    });
}

#[test]
fn more_than_one_report_can_tell_is_told_in_several() {
    Envoy::default().worker(|worker| {
        let sizes = json!({"max_frame_bytes": "8GiB", "max_message_bytes": "8GiB", "types": ["binary"], "tunnels": "pass"});
        asking(worker, json!({"counts": ["bytes"]}), json!({"messages": sizes}));
        let stream = open(worker, &handshake());
        // A frame that declares five gibibytes counts as they are declared.
        let mut header = vec![0x82, 0xff];
        header.extend((5_u64 << 30).to_be_bytes());
        header.extend([1, 2, 3, 4]);
        stream.client_sends(&header);
        worker.pass(TICK);
        let first = only_call(worker);
        assert_eq!(asked(&first).1, u32::MAX);
        worker.answer_grpc(&first, WITHIN);
        worker.pass(SECOND);
        assert_eq!(u64::from(asked(&only_call(worker)).1), (5 << 30) - u64::from(u32::MAX));
    });
}

fn single_use(from: Value) -> Value {
    let mut auth = auth(json!([from]));
    auth["single_use"] = json!(true);
    json!({ "auth": auth })
}

/// A token of alice's that opens one connection.
fn ticket(worker: &Worker, id: &str) -> String {
    token(json!({"sub": "alice", "jti": id, "exp": worker.now().as_secs() + 60}))
}

/// The base64url of the SHA-256 of `edge`, NUL, `t1`, as sha256sum and basenc tell it.
const DIGEST: &str = "n0Ybb-72p78c0E09LQmGtkvNe90xv21K5uQUrz8OTkQ";

#[test]
fn a_token_of_single_use_is_the_last_question_and_spent_by_no_other_answer_than_yes() {
    Envoy::default().worker(|worker| {
        let keys = json!({"counts": ["handshakes", "tickets"], "failure": "allow"});
        asking(worker, keys, single_use(json!({"header": "authorization"})));
        let bearing = with(&handshake(), "authorization", format!("Bearer {}", ticket(worker, "t1")));
        let unavailable = Some((503, "rate_limit_unavailable".to_owned()));
        let replayed = Some((401, "token_replayed".to_owned()));
        let ask = || {
            let stream = request(worker, &bearing);
            assert_eq!(asked(&only_call(worker)).0[0], "count=handshakes");
            worker.answer_grpc(&only_call(worker), WITHIN);
            assert_eq!(
                asked(&only_call(worker)),
                (vec!["count=tickets".into(), format!("ticket={DIGEST}")], 1)
            );
            stream
        };
        let stream = ask();
        worker.fail_grpc(&only_call(worker), UNAVAILABLE);
        assert_eq!(refusal(&stream), unavailable);
        let stream = ask();
        worker.pass(TIMEOUT);
        assert_eq!(refusal(&stream), unavailable);
        worker.fail_grpc(&only_call(worker), UNAVAILABLE);
        let stream = ask();
        worker.answer_grpc(&only_call(worker), OVER);
        assert_eq!(refusal(&stream), replayed, "it was used elsewhere");
        let stream = ask();
        worker.answer_grpc(&only_call(worker), WITHIN);
        assert!(stream.request().is_some(), "it was spent by none of these");
        let stream = request(worker, &bearing);
        worker.answer_grpc(&only_call(worker), WITHIN);
        assert_eq!(refusal(&stream), replayed);
        assert!(worker.grpc_calls().is_empty(), "what this Envoy knows it does not ask");
    });
}

#[test]
fn a_new_connection_too_many_is_refused_and_none_that_is_open_ends() {
    Envoy::default().worker(|worker| {
        asking(worker, json!({"counts": ["connections"]}), json!({}));
        let minute = Duration::from_secs(60 - worker.now().as_secs() % 60);
        let streams: Vec<_> = (0..3).map(|_| let_in(worker, &handshake())).collect();
        let stream = request(worker, &handshake());
        let entries = ["count=connections", "ip=198.51.100.7", "policy=chat"].map(str::to_owned).to_vec();
        assert_eq!(asked(&only_call(worker)), (entries.clone(), 1));
        worker.answer_grpc(&only_call(worker), OVER);
        assert_eq!(refusal(&stream), Some((429, "connection_limit".to_owned())));
        worker.pass(minute - SECOND);
        assert!(worker.grpc_calls().is_empty());
        streams[0].end();
        worker.pass(SECOND);
        let call = only_call(worker);
        assert_eq!(asked(&call), (entries.clone(), 2), "those that are open count in the new minute");
        worker.fail_grpc(&call, UNAVAILABLE);
        worker.pass(SECOND);
        let call = only_call(worker);
        assert_eq!(asked(&call), (entries, 2), "once more, since nobody heard it");
        worker.answer_grpc(&call, OVER);
        worker.pass(30 * SECOND);
        assert!(worker.grpc_calls().is_empty());
        for stream in &streams[1..] {
            assert_eq!(to_client(stream), []);
        }
    });
}

#[test]
fn a_connection_that_opens_with_a_new_minute_counts_once_in_it() {
    Envoy::default().worker(|worker| {
        asking(worker, json!({"counts": ["connections"]}), json!({}));
        let minute = Duration::from_secs(60 - worker.now().as_secs() % 60);
        let _old = [let_in(worker, &handshake()), let_in(worker, &handshake())];
        worker.pass(minute - SECOND);
        worker.pass_without_tick(SECOND);
        let _new = let_in(worker, &handshake());
        worker.pass(SECOND);
        let call = only_call(worker);
        assert_eq!(asked(&call).1, 2, "the third has been asked about in this minute");
        worker.fail_grpc(&call, UNAVAILABLE);
        worker.pass(SECOND);
        let call = only_call(worker);
        assert_eq!(asked(&call).1, 2);
        worker.answer_grpc(&call, WITHIN);
        worker.pass(60 * SECOND);
        assert_eq!(asked(&only_call(worker)).1, 3, "in the next minute it is one of those that are open");
    });
}

#[test]
fn a_minute_that_begins_while_the_service_is_down_is_told_of_once_it_is_back() {
    Envoy::default().worker(|worker| {
        asking(worker, json!({"counts": ["connections", "messages"]}), json!({}));
        let stream = let_in(worker, &handshake());
        for _ in 0..3 {
            stream.client_sends(&from_client(TEXT, b"hello"));
            worker.pass(SECOND);
            worker.fail_grpc(&only_call(worker), UNAVAILABLE);
        }
        worker.refuse_grpc(true);
        worker.pass(Duration::from_secs(60 - worker.now().as_secs() % 60));
        for _ in 0..5 {
            worker.pass(SECOND);
        }
        worker.refuse_grpc(false);
        worker.pass(2 * SECOND);
        assert_eq!(
            (asked(&only_call(worker)).0[0].as_str(), asked(&only_call(worker)).1),
            ("count=connections", 1)
        );
    });
}

#[test]
fn more_clients_than_reports_may_be_under_way_are_all_told_of_in_turn() {
    Envoy::default().worker(|worker| {
        asking(worker, json!({"counts": ["messages"]}), json!({}));
        let streams: Vec<_> = (0..200_u8)
            .map(|host| {
                let address = format!("198.51.100.{host}:40732");
                let properties: [(&str, &[u8]); 3] = [
                    ("source.address", address.as_bytes()),
                    ("request.protocol", b"HTTP/1.1"),
                    ("connection.tls_version", b"TLSv1.3"),
                ];
                let stream = Stream::open(worker, &handshake(), &properties);
                stream.answered(&agreement(&stream.request().unwrap()));
                stream.client_sends(&from_client(TEXT, b"hello"));
                stream
            })
            .collect();
        worker.pass(TICK);
        assert_eq!(worker.grpc_calls().len(), 64);
        let mut told = std::collections::BTreeSet::new();
        while let Some(call) = worker.grpc_calls().first() {
            assert!(worker.grpc_calls().len() <= 64);
            assert!(told.insert(asked(call).0), "each once");
            worker.answer_grpc(call, WITHIN);
        }
        assert_eq!(told.len(), streams.len());
    });
}

#[test]
fn a_clock_that_is_set_back_delays_no_report_and_no_answer() {
    Envoy::default().worker(|worker| {
        asking(worker, json!({"failure": "deny"}), json!({}));
        let stream = let_in(worker, &handshake());
        stream.client_sends(&from_client(TEXT, b"hello"));
        worker.pass(TICK);
        worker.answer_grpc(&only_call(worker), WITHIN);
        stream.client_sends(&from_client(TEXT, b"hello"));
        let waiting = request(worker, &handshake());
        worker.pass(Duration::from_millis(1));
        worker.set_back(3600 * SECOND);
        worker.pass(TICK);
        let reports = worker.grpc_calls().iter().filter(|call| asked(call).0[0] == "count=messages").count();
        assert_eq!(reports, 1);
        worker.pass(TICK);
        assert_eq!(refusal(&waiting), Some((503, "rate_limit_unavailable".to_owned())));
    });
}

/// A connection whose first message will have the token.
fn unauthenticated<'w>(worker: &'w Worker, count: &str) -> Stream<'w> {
    let stream = request(worker, &handshake());
    let entries = [format!("count={count}"), "ip=198.51.100.7".into(), "policy=chat".into()];
    assert_eq!(asked(&only_call(worker)).0, entries, "nobody knows the user");
    worker.answer_grpc(&only_call(worker), WITHIN);
    let up = stream.request().expect("it goes up");
    stream.answered(&agreement(&up));
    stream
}

#[test]
fn a_user_who_is_known_by_the_first_message_is_asked_about_then() {
    let keys = json!({"descriptors": ["user", "ip", "policy"], "failure": "deny"});
    let by_message = || json!({"auth": auth(json!([{"first_message": "/token"}]))});
    let fates = [
        (Fate::Answered(WITHIN), None),
        (Fate::Answered(OVER), Some("global_rate")),
        (Fate::Failed(UNAVAILABLE), Some("rate_limit_unavailable")),
        (Fate::Forgotten, Some("rate_limit_unavailable")),
    ];
    for (fate, reason) in fates {
        Envoy::default().worker(|worker| {
            asking(worker, keys.clone(), by_message());
            let stream = unauthenticated(worker, "handshakes");
            stream.upstream_sends(&from_upstream(TEXT, b"hello"));
            let first = json!({"token": ticket(worker, "t1")}).to_string();
            stream.client_sends(&from_client(TEXT, first.as_bytes()));
            let next = from_client(TEXT, b"behind it");
            stream.client_sends(&next);
            assert_eq!((stream.to_upstream(), stream.to_client()), (vec![], vec![]), "both wait");
            let call = only_call(worker);
            let entries = ["count=handshakes", "user=alice", "ip=198.51.100.7", "policy=chat"];
            assert_eq!(asked(&call).0, entries);
            match fate {
                Fate::Answered(message) => worker.answer_grpc(&call, message),
                Fate::Failed(status) => worker.fail_grpc(&call, status),
                Fate::Forgotten => worker.pass(TIMEOUT + TICK),
            }
            match reason {
                None => {
                    assert_eq!(stream.to_upstream(), next);
                    assert_eq!(to_client(&stream)[0].payload, b"hello");
                    worker.pass(TICK);
                    let report = asked(&only_call(worker));
                    let entries = ["count=messages", "user=alice", "ip=198.51.100.7", "policy=chat"];
                    assert_eq!(
                        report,
                        (entries.map(str::to_owned).to_vec(), 2),
                        "the first message counts too"
                    );
                }
                Some(reason) => assert_eq!(to_client(&stream), [close(false, 1013, reason)]),
            }
        });
    }
}

#[test]
fn a_first_message_is_charged_once_however_many_questions_it_brings() {
    Envoy::default().worker(|worker| {
        let keys = json!({"descriptors": ["user"], "counts": ["handshakes", "tickets"]});
        let mut changes = single_use(json!({"first_message": "/token"}));
        changes["rates"] = json!([{"count": "handshakes", "per": "user", "limit": 2, "window": "1h"}]);
        asking(worker, keys, changes);
        for (id, expected) in [("t1", None), ("t1", Some("token_replayed")), ("t2", Some("handshake_rate"))] {
            let stream = let_in(worker, &handshake());
            let first = json!({"token": ticket(worker, id)}).to_string();
            stream.client_sends(&from_client(TEXT, first.as_bytes()));
            while let Some(call) = worker.grpc_calls().first() {
                worker.answer_grpc(call, WITHIN);
            }
            match expected {
                None => assert_eq!(stream.client_sends(&from_client(TEXT, b"x")), from_client(TEXT, b"x")),
                Some("token_replayed") => {
                    assert_eq!(to_client(&stream), [close(false, 3000, "token_replayed")]);
                }
                Some(reason) => assert_eq!(to_client(&stream), [close(false, 1013, reason)]),
            }
        }
    });
}

#[test]
fn a_first_message_waits_for_no_answer_longer_than_each_may_take() {
    Envoy::default().worker(|worker| {
        let keys = json!({"descriptors": ["user"], "counts": ["handshakes", "tickets"], "timeout": "2s"});
        asking(worker, keys, single_use(json!({"first_message": "/token"})));
        let stream = let_in(worker, &handshake());
        let first = json!({"token": ticket(worker, "t1")}).to_string();
        stream.client_sends(&from_client(TEXT, first.as_bytes()));
        worker.pass(SECOND);
        worker.answer_grpc(&only_call(worker), WITHIN);
        worker.pass(SECOND + TICK);
        assert_eq!(to_client(&stream), [], "the second question has two seconds of its own");
        worker.pass(SECOND);
        assert_eq!(to_client(&stream), [close(false, 1013, "rate_limit_unavailable")]);
    });
}

#[test]
fn a_service_that_goes_and_comes_is_told_of_and_counted() {
    const CALLS: &str = "postern_rate_limit_calls.cluster=auth;.count=handshakes;.result=";
    Envoy::default().worker(|worker| {
        asking(worker, json!({}), json!({}));
        for _ in 0..3 {
            let _stream = request(worker, &handshake());
            worker.fail_grpc(&only_call(worker), UNAVAILABLE);
        }
        for _ in 0..4 {
            let _stream = request(worker, &handshake());
        }
        worker.pass(SECOND);
        for answer in [WITHIN, OVER] {
            let _stream = request(worker, &handshake());
            worker.answer_grpc(&only_call(worker), answer);
        }
        worker.pass(TICK);
        let metrics = worker.metrics();
        let count = |name: String| metrics.get(&name).copied();
        for (result, times) in [("failed", 3), ("within", 1), ("over", 1)] {
            assert_eq!(count(format!("{CALLS}{result};")), Some(times), "{result}");
        }
        assert_eq!(count("postern_rate_limit_unasked.cluster=auth;".into()), Some(4));
        let down = "postern: rate limit service down cluster=auth: it does not answer";
        assert_eq!(worker.log(proxy_wasm::types::LogLevel::Warn), [down]);
        let up = "postern: rate limit service up cluster=auth: it answers again";
        assert!(worker.log(proxy_wasm::types::LogLevel::Info).iter().any(|line| line == up));
    });
}

#[test]
fn a_handshake_that_waited_for_keys_is_asked_about_with_them() {
    Envoy::default().worker(|worker| {
        let list = json!({"cluster": "auth", "path": "/revoked.json"});
        let mut auth = auth(json!([{"header": "authorization"}]));
        auth["revocation"] = list;
        asking(worker, json!({}), json!({"auth": auth}));
        let bearing = with(&handshake(), "authorization", format!("Bearer {}", ticket(worker, "t1")));
        let stream = request(worker, &bearing);
        assert!(is_held(&stream) && worker.grpc_calls().is_empty());
        worker.pass(TICK);
        worker.answer(&worker.calls()[0], "200", b"{}");
        assert!(is_held(&stream));
        worker.answer_grpc(&only_call(worker), WITHIN);
        assert!(stream.request().is_some());
    });
}
