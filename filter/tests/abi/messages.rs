//! Tokens in messages: what waits with the host and what goes on by itself.

use proxy_wasm::types::LogLevel;
use serde_json::{Value, json};

use crate::fixtures::{
    REASON, agreement, auth, configure, handshake, open, request, token_for, websocket, with,
};
use crate::frames::{PING, TEXT, close, from_client, from_upstream, read};
use crate::host::{Envoy, Stream, Worker};

fn first_message(worker: &Worker) -> Vec<u8> {
    from_client(TEXT, json!({"token": token_for(worker, 60)}).to_string().as_bytes())
}

/// Both carriers, and refreshes.
fn policy() -> Value {
    let mut auth = auth(json!([{"header": "authorization"}, {"first_message": "/token"}]));
    auth["refresh"] = json!("/auth/token");
    json!({ "auth": auth })
}

/// What the client is told, but for own Pings.
fn told(stream: &Stream<'_>) -> Vec<(u8, Vec<u8>)> {
    let frames = read(&stream.to_client()).into_iter().filter(|frame| frame.opcode != PING);
    frames.map(|frame| (frame.opcode, frame.payload)).collect()
}

#[test]
fn what_the_server_said_goes_on_with_the_first_message_wherever_its_bytes_are_cut() {
    let said = [from_upstream(TEXT, b"welcome"), from_upstream(TEXT, b"to the chat")].concat();
    for cut in 0..=said.len() {
        Envoy::default().worker(|worker| {
            configure(worker, policy());
            let stream = websocket(worker);
            for piece in said[..cut].chunks(5) {
                assert_eq!(stream.upstream_sends(piece), b"");
            }
            assert_eq!(stream.client_sends(&first_message(worker)), b"");
            // But for a header, and the first bytes of what may be an opening.
            let at_once = stream.to_client();
            assert!(said[..cut].starts_with(&at_once) && cut - at_once.len() < 6, "cut at {cut}");
            for piece in said[cut..].chunks(5) {
                stream.upstream_sends(piece);
            }
            let whole = [(TEXT, b"welcome".to_vec()), (TEXT, b"to the chat".to_vec())];
            assert_eq!(told(&stream), whole, "cut at {cut}");
            let hello = from_client(TEXT, b"hello");
            assert_eq!(stream.client_sends(&hello), hello);
        });
    }
}

#[test]
fn what_the_server_said_goes_ahead_of_the_close_also_where_buckets_are_asked_between() {
    Envoy::default().worker(|worker| {
        let mut policy = policy();
        policy["rates"] = json!([{"count": "messages", "per": "ip", "limit": 9, "window": "1h"}]);
        configure(worker, policy);
        let stream = websocket(worker);
        stream.upstream_sends(&from_upstream(TEXT, b"welcome"));
        let bad = json!({"auth": {"token": "a.bad.token"}}).to_string();
        stream.client_sends(&[first_message(worker), from_client(TEXT, bad.as_bytes())].concat());
        let refused = (0x8, close(false, 3000, "token_invalid").payload);
        assert_eq!(told(&stream), [(TEXT, b"welcome".to_vec()), refused]);
    });
}

#[test]
fn a_first_message_ahead_of_the_101_is_heard_after_it() {
    Envoy::default().worker(|worker| {
        configure(worker, policy());
        let stream = request(worker, &handshake());
        let hello = from_client(TEXT, b"hello");
        stream.client_sends(&[first_message(worker), hello.clone()].concat());
        stream.answered(&agreement(&handshake()));
        assert_eq!(stream.to_upstream(), hello);
        stream.upstream_sends(&from_upstream(TEXT, b"welcome"));
        assert_eq!(told(&stream), [(TEXT, b"welcome".to_vec())]);
    });
}

#[test]
fn a_host_that_keeps_what_waited_costs_the_connection() {
    Envoy::default().worker(|worker| {
        configure(worker, policy());
        let stream = websocket(worker);
        stream.upstream_sends(&from_upstream(TEXT, b"welcome"));
        stream.hide_response_body();
        stream.client_sends(&first_message(worker));
        assert!(stream.is_reset());
    });
}

#[test]
fn a_refresh_is_answered_on_a_stream_that_is_parked_and_the_next_data_goes_on() {
    Envoy::default().worker(|worker| {
        configure(worker, policy());
        let value = format!("Bearer {}", token_for(worker, 60));
        let stream = open(worker, &with(&handshake(), "authorization", value));
        let refresh = json!({"auth": {"token": token_for(worker, 300)}}).to_string();
        for _ in 0..3 {
            assert_eq!(stream.client_sends(&from_client(TEXT, refresh.as_bytes())), b"");
            stream.upstream_sends(&from_upstream(TEXT, b"data"));
        }
        let accepted = br#"{"postern":"token_accepted","expires_in":300}"#.to_vec();
        let turn = [(TEXT, accepted), (TEXT, b"data".to_vec())];
        assert_eq!(told(&stream), [&turn[..], &turn, &turn].concat());
    });
}

#[test]
fn a_bad_token_is_told_of_in_the_log_with_what_was_wrong_and_without_the_token() {
    Envoy::default().worker(|worker| {
        configure(worker, policy());
        let stream = websocket(worker);
        stream.client_sends(&from_client(TEXT, br#"{"token":"a.secret.token"}"#));
        assert_eq!(told(&stream), [(0x8, close(false, 3000, "token_invalid").payload)]);
        assert_eq!(stream.property(REASON), Some(b"token_invalid".to_vec()));
        let log = worker.log(LogLevel::Info).join("\n");
        assert!(log.contains("reason=token_invalid") && log.contains("cause="), "{log}");
        assert!(!log.contains("secret"), "{log}");
    });
}
