//! What a client sends ahead of the 101.

use serde_json::json;

use crate::fixtures::{REASON, agreement, configure, fields, handshake, request};
use crate::frames::{BINARY, close, from_client, read};
use crate::host::Envoy;

#[test]
fn early_bytes_wait_for_the_101_and_are_judged_then() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = request(worker, &handshake());
        let message = from_client(BINARY, b"too early");
        for byte in message.chunks(4) {
            assert_eq!(stream.client_sends(byte), b"", "nothing goes up before the 101");
        }
        stream.answered(&agreement(&handshake()));
        assert_eq!(stream.to_upstream(), message);
        assert_eq!(stream.client_sends(&message), message);
    });
}

#[test]
fn a_frame_that_begins_too_early_goes_on_in_any_pieces() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = request(worker, &handshake());
        let message = from_client(BINARY, &[7; 1000]);
        let mut pieces = message.chunks(100);
        stream.client_sends(pieces.next().unwrap());
        stream.answered(&agreement(&handshake()));
        assert_eq!(stream.to_upstream(), message[..100]);
        for piece in pieces {
            assert_eq!(stream.client_sends(piece), piece);
        }
    });
}

#[test]
fn early_bytes_that_are_no_frame_end_the_connection_at_the_101() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = request(worker, &handshake());
        stream.client_sends(b"GET /admin HTTP/1.1\r\n\r\n");
        stream.answered(&agreement(&handshake()));
        assert_eq!(read(&stream.to_upstream()), [close(true, 1002, "protocol_error")]);
        assert_eq!(read(&stream.to_client()), [close(false, 1002, "protocol_error")]);
    });
}

#[test]
fn early_bytes_never_reach_an_upstream_that_declines() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = request(worker, &handshake());
        stream.client_sends(b"GET /admin HTTP/1.1\r\n\r\n");
        stream.answered(&fields(&[(":status", "200")]));
        assert_eq!(stream.to_upstream(), b"");
    });
}

#[test]
fn more_early_bytes_than_sixteen_kibibytes_are_refused_and_none_goes_up() {
    for (name, chunks, refused) in [
        ("just as many", vec![16 * 1024], false),
        ("in pieces", vec![8 * 1024, 8 * 1024], false),
        ("one more", vec![16 * 1024 + 1], true),
        ("one more in the last piece", vec![16 * 1024, 1], true),
    ] {
        Envoy::default().worker(|worker| {
            configure(worker, json!({}));
            let stream = request(worker, &handshake());
            for len in chunks {
                stream.client_sends(&vec![0; len]);
            }
            assert_eq!(stream.reply().map(|reply| reply.status), refused.then_some(400), "{name}");
            let reason = refused.then(|| b"malformed_handshake".to_vec());
            assert_eq!(stream.property(REASON), reason, "{name}");
            assert_eq!(stream.to_upstream(), b"", "{name}");
        });
    }
}
