//! Services that answer no Pings: what waits for the client goes all the same, and at once.

use super::*;

const KIB: usize = 1024;

/// Returns `count` messages of the service's, of `size` bytes each.
fn messages(count: usize, size: usize) -> Vec<u8> {
    from_upstream(BINARY, &vec![7; size]).repeat(count)
}

#[test]
fn what_a_service_says_first_goes_with_the_token_however_it_comes() {
    let first = from_client(TEXT, &first_message(&token(json!({}))));
    for (count, size) in [(10, 6_000), (390, 1_000), (1, 400 * KIB), (3, 100)] {
        let said = messages(count, size);
        for piece in [997, 6_004, 16 * KIB, 64 * KIB, said.len()] {
            for seconds in [0, 1, 20] {
                let mut line = Line::waiting(
                    json!({"max_unauthenticated_bytes": "512KiB", "first_message_timeout": "1m"}),
                    json!({}),
                );
                line.in_pieces(Peer::Upstream, piece, &said);
                for second in 0..seconds {
                    line.time(START + second * SECOND);
                }
                line.at(START + seconds * SECOND, Peer::Client, &first);
                assert!(frames(&line.client) == frames(&said), "{count} of {size} in pieces of {piece}");
            }
        }
    }
}

#[test]
fn what_the_client_is_told_goes_at_once_however_much_the_service_said_before() {
    let refresh = from_client(TEXT, &refresh_message(&token(json!({"exp": START.as_secs() + 500}))));
    for (count, size) in [(10, 6_000), (390, 1_000), (1, 400 * KIB)] {
        let said = messages(count, size);
        for piece in [6_004, 16 * KIB, 64 * KIB, said.len()] {
            let liveness = json!({"liveness": {"idle_timeout": "1h", "ping_interval": "none"}});
            let mut line = Line::open(json!({}), json!({"expiry_notice": "60s"}), liveness);
            line.in_pieces(Peer::Upstream, piece, &said);
            for second in 0..20 {
                line.time(START + second * SECOND);
            }
            let before = line.client.len();
            line.at(START + 20 * SECOND, Peer::Client, &refresh);
            let told = frames(&line.client[before..]);
            assert_eq!(told.len(), 1, "{count} of {size} in pieces of {piece}: {told:?}");
            assert_eq!(told[0], accepted(480));
            line.time(START + 440 * SECOND);
            let told = frames(&line.client[before..]);
            assert_eq!(told.get(1), Some(&expiring(60)), "{count} of {size} in pieces of {piece}");
        }
    }
}
