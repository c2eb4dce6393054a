//! Requests that are made to hurt. A panic ends the process that the tests are, so that none
//! happens is part of every test here.

use std::time::{Duration, Instant};

use proxy_wasm::types::LogLevel;
use serde_json::json;

use crate::fixtures::{
    PROPERTIES, agreement, and, auth, configure, handshake, open, request, token_for, with, without,
};
use crate::host::{Envoy, Stream, Worker};

/// Every header that any rule reads.
const HEADERS: [&str; 17] = [
    ":method",
    ":path",
    ":authority",
    "host",
    "upgrade",
    "connection",
    "content-length",
    "transfer-encoding",
    "origin",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "authorization",
    "cookie",
    "x-forwarded-proto",
    "x-request-id",
];

/// A policy that reads all of them.
fn configure_everything(worker: &Worker) {
    let from = json!([
        {"header": "authorization"}, {"header": "x-token"}, {"query": "access_token"},
        {"cookie": "ws_token"}, {"subprotocol": "bearer."},
    ]);
    let rates = json!([
        {"count": "handshakes", "per": "ip", "limit": 100_000, "window": "1h"},
        {"count": "handshakes", "per": "user", "limit": 100_000, "window": "1h"},
    ]);
    configure(
        worker,
        json!({
            "tls": "forwarded", "auth": auth(from), "rates": rates,
            "subprotocols": {"allow": ["chat.v2"]},
        }),
    );
}

#[test]
fn however_often_one_is_refused_the_log_grows_by_so_many_lines_a_second_and_all_are_counted() {
    let second = Duration::from_secs(1);
    Envoy::default().worker(|worker| {
        let mut document = crate::fixtures::document(json!({}));
        document["log"] = json!({"refusals_per_second": 20});
        assert!(worker.configure(document.to_string().as_bytes()));
        let refused = |times: u32| {
            for _ in 0..times {
                assert!(request(worker, &without(&handshake(), "origin")).reply().is_some());
            }
        };
        let lines = |part: &str| {
            worker.log(LogLevel::Info).into_iter().filter(|line| line.contains(part)).collect::<Vec<_>>()
        };
        let (told, counted) = ("postern: refused policy=chat", "postern: suppressed");
        refused(50);
        assert_eq!((lines(told).len(), lines(counted).len()), (20, 0));
        worker.pass(second);
        assert_eq!(lines(counted), ["postern: suppressed policy=chat count=30"]);
        refused(21);
        worker.pass(second / 4);
        assert_eq!((lines(told).len(), lines(counted).len()), (40, 1), "once a second");
        worker.pass(second);
        assert_eq!(lines(counted)[1], "postern: suppressed policy=chat count=1");
        refused(1);
        worker.pass(second);
        assert_eq!((lines(told).len(), lines(counted).len()), (41, 2));
        let name = "postern_handshakes.policy=chat;.result=refused;.reason=origin_missing;";
        assert_eq!(worker.metrics().get(name), Some(&72));
    });
}

/// The next client is served as if nothing had been.
fn the_next_is_served(worker: &Worker, after: &str) {
    let sound = with(&handshake(), "authorization", format!("Bearer {}", token_for(worker, 300)));
    let stream = request(worker, &sound);
    assert!(stream.request().is_some(), "after {after}: {:?}", stream.reply());
}

#[test]
fn a_value_that_is_not_text_is_refused_cleanly_in_every_header_and_the_next_request_served() {
    let values: [&[u8]; 6] =
        [b"\xff", b"\xc3\x28", b"a\xffb, c\xfe", b"Bearer \xff.\xff.\xff", b"\x80=\x81; \xff", b""];
    Envoy::default().worker(|worker| {
        configure_everything(worker);
        for header in HEADERS.into_iter().chain(["x-token", "x-user-id"]) {
            for value in values {
                let name = format!("{header}: {}", value.escape_ascii());
                // A sound token, so that the refusal, if there is one, is this header's.
                let sound = with(&handshake(), "authorization", format!("Bearer {}", token_for(worker, 300)));
                let stream = request(worker, &with(&sound, header, value));
                let replied = stream.reply().map(|reply| reply.status);
                assert!(matches!(replied, None | Some(400 | 401 | 403 | 426)), "{name}: {replied:?}");
                assert_eq!(stream.request().is_none(), replied.is_some(), "{name}");
                stream.end();
                the_next_is_served(worker, &name);
            }
        }
    });
}

#[test]
fn sixty_kilobytes_in_any_header_are_judged_like_any_other_value() {
    let lists: [&[u8]; 6] = [b"a", b"a,", b"a=b; ", b"&a=b", b"Bearer a.b.c,", b"%25/"];
    Envoy::default().worker(|worker| {
        configure_everything(worker);
        for header in HEADERS {
            for item in lists {
                let value = item.repeat(60 * 1024 / item.len());
                let stream = request(worker, &with(&handshake(), header, value));
                assert!(stream.reply().is_some(), "{header}: {}…", item.escape_ascii());
            }
            the_next_is_served(worker, header);
        }
    });
}

#[test]
fn a_list_of_ten_thousand_items_costs_no_header_more_than_another() {
    let items: String = (0..10_000).map(|i| format!("v{i},")).collect();
    Envoy::default().worker(|worker| {
        configure_everything(worker);
        let mut costs = Vec::new();
        for header in HEADERS {
            let list = with(&handshake(), header, &items);
            // The least of several runs, since a busy machine adds to some of them.
            let least = (0..30).map(|_| {
                let start = Instant::now();
                request(worker, &list).end();
                start.elapsed()
            });
            costs.push((least.min(), header));
        }
        costs.sort();
        // Comparing every item with every other one costs hundreds of times as much.
        let (most, next) = (costs[costs.len() - 1], costs[costs.len() - 2]);
        assert!(most.0 < next.0.map(|cost| 100 * cost), "{most:?}, and then {next:?}");
        the_next_is_served(worker, "lists");
    });
}

#[test]
fn a_field_that_may_occur_once_is_refused_twice_even_with_equal_values() {
    Envoy::default().worker(|worker| {
        configure_everything(worker);
        let sound = with(&handshake(), "authorization", format!("Bearer {}", token_for(worker, 300)));
        for header in [":method", "sec-websocket-key", "sec-websocket-version", "origin", "authorization"] {
            let value = crate::host::value_of(&sound, header).unwrap().to_vec();
            let stream = request(worker, &and(&sound, header, value));
            assert!(stream.reply().is_some(), "{header}");
        }
        the_next_is_served(worker, "duplicates");
    });
}

#[test]
fn a_response_that_is_not_text_is_refused_or_passed_but_never_trusted() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let sound = agreement(&handshake());
        for header in ["upgrade", "connection", "sec-websocket-accept", "sec-websocket-protocol"] {
            let stream = request(worker, &handshake());
            stream.answered(&with(&sound, header, b"\xff\x00"));
            assert_eq!(stream.reply().map(|reply| reply.status), Some(502), "{header}");
        }
        let stream = request(worker, &handshake());
        stream.answered(&with(&sound, ":status", b"\xff"));
        assert!(stream.reply().is_none());
        worker.pass(Duration::from_millis(250));
        assert!(worker.metrics().keys().all(|name| !name.starts_with("postern_connections")));
    });
}

#[test]
fn a_plain_request_with_hostile_fields_still_passes_untouched() {
    Envoy::default().worker(|worker| {
        configure_everything(worker);
        let plain: Vec<_> = HEADERS
            .iter()
            .filter(|name| !["upgrade", ":method"].contains(name))
            .map(|name| ((*name).to_owned(), b"\xff\x01".to_vec()))
            .chain([(":method".to_owned(), b"GET".to_vec())])
            .collect();
        assert_eq!(request(worker, &plain).request(), Some(plain));
    });
}

#[test]
fn properties_full_of_junk_change_nothing_but_what_they_say() {
    let names =
        ["source.address", "request.protocol", "xds.route_name", "xds.route_metadata", "connection.id"];
    Envoy::default().worker(|worker| {
        configure(worker, json!({"tls": "optional"}));
        for name in names {
            for junk in [&b""[..], b"\x00", b"\xff\xff\xff\xff", &[b'['; 4096]] {
                let properties: Vec<_> =
                    PROPERTIES.into_iter().filter(|(n, _)| *n != name).chain([(name, junk)]).collect();
                let stream = Stream::open(worker, &handshake(), &properties);
                let refused = stream.reply().map(|reply| reply.status);
                let cannot_be_read = name == "xds.route_metadata" && !junk.is_empty();
                assert_eq!(refused.is_some(), cannot_be_read, "{name}: {refused:?}");
            }
        }
        open(worker, &handshake());
    });
}
