//! First messages that wait where they are, while the host keeps what the client sends behind them.

use super::*;
use crate::rate::Outcome;

fn first() -> Vec<u8> {
    first_of(&new("ed", json!({})))
}

fn first_of(token: &str) -> Vec<u8> {
    from_client(TEXT, &first_message(token))
}

fn fetcher() -> Fetcher {
    Fetcher::new(json!({}), json!({}))
}

/// Opens a client that must bring its token.
fn enter(fetcher: &Fetcher) -> Host {
    Host::new(fetcher, &request())
}

/// Opens a client whose first message waits, with this behind it.
fn waiting(fetcher: &Fetcher, behind: &[u8]) -> Host {
    let mut host = enter(fetcher);
    host.client_sends(OPENED, &[&first()[..], behind].concat());
    assert!(host.session.is_waiting() && host.closed.is_none());
    host
}

fn behind() -> Vec<u8> {
    [
        from_client(PING, b"late"),
        from_client(TEXT, b"hello"),
        from_client(0x02, b"frag"),
        from_client(0x80, b"ment"),
    ]
    .concat()
}

impl Host {
    fn assert_nobody_has_seen_anything(&self) {
        assert_eq!(self.seen(), (vec![], vec![]));
    }

    /// Asserts that both peers were told of the end by `reason`, and of nothing else.
    fn assert_kept_out(mut self, now: Duration, reason: Reason, detailed: bool) {
        self.assert_ended(now, reason, detailed);
        assert_eq!(self.seen(), (vec![closing(reason)], vec![closing(reason)]));
    }
}

#[test]
fn a_first_message_with_a_new_key_is_let_in_once_it_is_there_and_all_behind_it_once_and_in_order() {
    let said = [first(), behind()].concat();
    for size in [1, 2, 3, 5, 8, 13, 21, said.len() - 1, said.len()] {
        // The key comes when nothing behind the message has come, or some, or all.
        for before in (first().len()..=said.len()).step_by(7).chain([said.len()]) {
            let mut fetcher = fetcher();
            let mut host = enter(&fetcher);
            host.upstream_sends(OPENED, &greeting()[..30]);
            for piece in said[..before].chunks(size) {
                host.client_sends(OPENED, piece);
            }
            host.upstream_sends(OPENED, &greeting()[30..]);
            assert!(host.session.is_waiting());
            host.assert_nobody_has_seen_anything();
            // Another document was fetched.
            host.input(OPENED + s(1), Input::Fetched);
            host.assert_nobody_has_seen_anything();

            fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED + s(1));
            host.input(OPENED + s(1), Input::Fetched);
            host.assert_goes_on();
            assert_eq!(frames(&host.client), frames(&greeting()), "{before} in pieces of {size}");
            for piece in said[before..].chunks(size) {
                host.client_sends(OPENED + s(2), piece);
            }
            host.upstream_sends(OPENED + s(2), &from_upstream(TEXT, b"more"));
            host.client_sends(OPENED + s(2), &from_client(TEXT, b"last"));
            host.assert_goes_on();
            let up = [behind(), from_client(TEXT, b"last")].concat();
            let down = [greeting(), from_upstream(TEXT, b"more")].concat();
            assert_eq!(host.seen(), (frames(&down), frames(&up)), "{before} in pieces of {size}");
            let tally = host.session.take_tally().client;
            assert_eq!((tally.consumed, tally.allowed, tally.refused), (1, 3, 0));
        }
    }
}

#[test]
fn a_first_message_ahead_of_the_101_waits_as_well() {
    for behind in [behind(), Vec::new()] {
        let mut fetcher = fetcher();
        let mut host = Host::early(&fetcher, &request(), &[first(), behind.clone()].concat());
        assert!(host.session.is_waiting());
        host.client_sends(OPENED, &from_client(TEXT, b"more"));
        host.upstream_sends(OPENED, &greeting());
        host.assert_nobody_has_seen_anything();
        fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED);
        host.input(OPENED, Input::Fetched);
        host.client_sends(OPENED, &from_client(TEXT, b"last"));
        let up = [behind, from_client(TEXT, b"more"), from_client(TEXT, b"last")].concat();
        assert_eq!(host.seen(), (frames(&greeting()), frames(&up)));
    }
}

#[test]
fn a_first_message_whose_key_does_not_come_is_refused_as_it_would_be_in_a_handshake() {
    for behind in [Vec::new(), behind(), behind()[..3].to_vec()] {
        // The set is fetched without the key, then in vain, and then not at all.
        for document in [Some(Some(old_keys())), Some(None), None] {
            let mut fetcher = fetcher();
            let mut host = waiting(&fetcher, &behind);
            host.upstream_sends(OPENED, &greeting());
            let now = match document {
                Some(document) => {
                    fetcher.fetched(Kind::Keys, document.as_ref(), OPENED + s(1));
                    host.input(OPENED + s(1), Input::Fetched);
                    OPENED + s(1)
                }
                None => {
                    host.time(OPENED + PATIENCE);
                    OPENED + PATIENCE
                }
            };
            host.assert_kept_out(now, Reason::TokenInvalid, true);
        }
    }
}

#[test]
fn the_patience_of_the_source_and_not_the_time_for_the_first_message_ends_the_wait() {
    let fetcher = Fetcher::new(json!({"first_message_timeout": "1s"}), json!({}));
    let mut host = enter(&fetcher);
    assert_eq!(host.session.deadline(), Some(OPENED + s(1)));
    let now = OPENED + Duration::from_millis(999);
    host.client_sends(now, &[first(), behind()].concat());
    for seconds in [1, 2, 3] {
        assert_eq!(host.session.deadline(), Some(now + PATIENCE));
        host.time(OPENED + s(seconds));
        host.client_sends(OPENED + s(seconds), &from_client(PING, b"more"));
        host.input(OPENED + s(seconds), Input::Fetched);
        assert!(host.session.is_waiting());
        host.assert_nobody_has_seen_anything();
    }
    // Bytes that come late of the client do not put the end of the wait off.
    host.client_sends(now + PATIENCE, &from_client(PING, b"more"));
    host.time(now + PATIENCE);
    host.assert_kept_out(now + PATIENCE, Reason::TokenInvalid, true);
}

#[test]
fn what_is_wrong_beside_the_key_is_found_out_once_it_is_there() {
    for (changes, reason, detailed) in [
        (json!({"exp": START.as_secs() - 1}), Reason::TokenExpired, true),
        (json!({"scope": "mail"}), Reason::ClaimsDenied, false),
    ] {
        let mut fetcher = fetcher();
        let mut host = enter(&fetcher);
        host.client_sends(OPENED, &[first_of(&new("ed", changes)), behind()].concat());
        fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED);
        host.input(OPENED, Input::Fetched);
        host.assert_kept_out(OPENED, reason, detailed);
    }
}

#[test]
fn what_waits_counts_in_both_directions_together() {
    let changes = json!({"messages": {"max_message_bytes": "64KiB"}});
    let room = 2000 - first().len();
    let filler = |len: usize| from_client(BINARY, &vec![7; len - 6 - if len > 0x7d + 6 { 2 } else { 0 }]);
    let greeting = |len: usize| from_upstream(BINARY, &vec![7; len - 2 - if len > 0x7d + 2 { 2 } else { 0 }]);
    for (behind, greets, fits) in [
        (room, 0, true),
        (room + 1, 0, false),
        (room - 100, 100, true),
        (room - 100, 101, false),
        (room - 99, 100, false),
    ] {
        assert_eq!(filler(behind).len(), behind);
        for (size, server_first) in [(behind, true), (behind, false), (500, true), (500, false)] {
            let what = format!("{behind} behind in pieces of {size}, {greets} from the server");
            let mut fetcher = Fetcher::new(json!({}), changes.clone());
            let mut host = waiting(&fetcher, b"");
            let greets = if greets > 0 { greeting(greets) } else { Vec::new() };
            if server_first {
                host.upstream_sends(OPENED, &greets);
            }
            for piece in filler(behind).chunks(size) {
                host.client_sends(OPENED, piece);
            }
            if !server_first {
                host.upstream_sends(OPENED, &greets);
            }
            if fits {
                host.assert_nobody_has_seen_anything();
                fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED);
                host.input(OPENED, Input::Fetched);
                host.assert_goes_on();
                assert_eq!(host.seen(), (frames(&greets), frames(&filler(behind))), "{what}");
            } else {
                host.assert_kept_out(OPENED, Reason::MessageTooBig, true);
            }
        }
    }
    // The bytes come at once, and with the message that waits.
    let mut host = enter(&Fetcher::new(json!({}), changes));
    host.client_sends(OPENED, &[first(), filler(room + 1)].concat());
    host.assert_kept_out(OPENED, Reason::MessageTooBig, true);
}

#[test]
fn no_more_waits_with_the_host_than_any_host_holds() {
    let auth = json!({"max_unauthenticated_bytes": "1MiB"});
    let fetcher = Fetcher::new(auth, json!({}));
    let mut host = waiting(&fetcher, &[0x82, 0xfe, 0xff, 0xff]);
    host.client_sends(OPENED, &vec![0; 16 * 1024 - 4]);
    assert!(host.session.is_waiting());
    host.client_sends(OPENED, b"\0");
    host.assert_kept_out(OPENED, Reason::MessageTooBig, true);
}

#[test]
fn a_client_that_closes_while_it_waits_is_heard_and_nothing_else_of_it() {
    let bye = [&1000_u16.to_be_bytes()[..], b"bye"].concat();
    let said = [behind(), first(), from_client(CLOSE, &bye)].concat();
    for size in [1, 2, 7, 100, said.len()] {
        for fetch in [true, false] {
            let mut fetcher = Fetcher::new(json!({"max_unauthenticated_bytes": 4000}), json!({}));
            let mut host = waiting(&fetcher, b"");
            host.upstream_sends(OPENED, &greeting());
            for piece in said.chunks(size) {
                host.assert_nobody_has_seen_anything();
                host.client_sends(OPENED, piece);
            }
            assert!(!host.session.is_waiting());
            if fetch {
                fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED);
                host.input(OPENED, Input::Fetched);
                host.client_sends(OPENED, &from_client(TEXT, b"late"));
            }
            host.upstream_sends(OPENED, &[greeting(), from_upstream(CLOSE, &bye)].concat());
            let ended = vec![(CLOSE, bye.clone())];
            assert_eq!((host.seen(), host.closed), ((ended.clone(), ended), None), "pieces of {size}");
            host.time(OPENED + s(5));
            assert!(host.is_reset);
        }
    }
}

#[test]
fn a_server_that_closes_while_a_client_waits_ends_it() {
    let bye = 1000_u16.to_be_bytes();
    for size in [1, 3, 1000] {
        let mut fetcher = fetcher();
        let mut host = waiting(&fetcher, &behind());
        for piece in [greeting(), from_upstream(CLOSE, &bye)].concat().chunks(size) {
            host.upstream_sends(OPENED, piece);
        }
        assert!(!host.session.is_waiting());
        fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED);
        host.input(OPENED, Input::Fetched);
        host.client_sends(OPENED, &[behind(), from_client(CLOSE, &bye)].concat());
        let ended = vec![(CLOSE, bye.to_vec())];
        assert_eq!((host.seen(), host.closed), ((ended.clone(), ended), None), "pieces of {size}");
    }
}

#[test]
fn what_a_client_that_waits_sends_within_the_close_of_the_server_goes_no_further() {
    let bye = 1000_u16.to_be_bytes();
    let (close, answer) = (from_upstream(CLOSE, &bye), from_client(CLOSE, &bye));
    for cut in 1..close.len() {
        for (size, more) in [(4, &b""[..]), (3, &from_client(TEXT, b"late")), (100, b"")] {
            let mut host = waiting(&fetcher(), &behind());
            host.upstream_sends(OPENED, &close[..cut]);
            for piece in [more, &answer].concat().chunks(size) {
                host.client_sends(OPENED, piece);
            }
            host.upstream_sends(OPENED, &close[cut..]);
            let ended = vec![(CLOSE, bye.to_vec())];
            assert_eq!((host.seen(), host.closed), ((ended.clone(), ended), None), "cut at {cut}");
        }
    }
}

#[test]
fn a_token_that_waits_is_not_judged_anew_for_every_chunk() {
    let mut fetcher = fetcher();
    let mut host = waiting(&fetcher, b"");
    fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED);
    for byte in behind() {
        host.client_sends(OPENED, &[byte]);
        host.assert_nobody_has_seen_anything();
    }
    host.input(OPENED, Input::Fetched);
    host.assert_goes_on();
    assert_eq!(host.seen().1, frames(&behind()));
}

#[test]
fn an_end_by_time_while_a_client_waits_is_told_to_both_sides() {
    for behind in [Vec::new(), behind(), behind()[..3].to_vec()] {
        let fetcher = fetcher();
        let mut host = waiting(&fetcher, &behind);
        host.upstream_sends(OPENED, &greeting());
        host.input(OPENED, Input::Drain(OPENED + s(1)));
        host.time(OPENED + s(1));
        assert_eq!(host.seen().1, [closing(Reason::Drain)], "it need not wait for the client");
        host.assert_kept_out(OPENED + s(1), Reason::Drain, false);
    }
}

#[test]
fn a_client_is_not_asked_whether_it_is_there_while_its_answer_would_wait() {
    let changes = json!({"liveness": {"idle_timeout": "1h", "ping_interval": "1s", "pong_timeout": "500ms"}});
    let mut fetcher = Fetcher::new(json!({"first_message_timeout": "10s"}), changes);
    let mut host = enter(&fetcher);
    host.time(OPENED + s(1));
    assert_eq!(host.client[0], PING);
    let asked = std::mem::take(&mut host.client);
    let pong = from_client(PONG, &asked[2..]);
    host.client_sends(OPENED + s(1), &[first(), pong].concat());
    for step in 1..10 {
        host.time(OPENED + s(1) + Duration::from_millis(250) * step);
    }
    assert!(host.session.is_waiting());
    assert_eq!(host.client, b"");
    fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED + s(3));
    host.input(OPENED + s(3), Input::Fetched);
    host.assert_goes_on();
    assert_eq!(host.seen(), (vec![], vec![]), "the answer goes no further");
    host.time(OPENED + s(9));
    assert_eq!(host.client[0], PING);
}

#[test]
fn nor_is_it_asked_behind_what_the_server_says() {
    let changes = json!({"liveness": {"idle_timeout": "1h", "ping_interval": "1s", "pong_timeout": "500ms"}});
    let mut fetcher = Fetcher::new(json!({}), changes);
    let mut host = waiting(&fetcher, b"");
    let now = OPENED + Duration::from_millis(1100);
    host.upstream_sends(now, &from_upstream(TEXT, b"welcome"));
    assert_eq!(host.client, b"");
    host.time(now + s(1));
    fetcher.fetched(Kind::Keys, Some(&issuer_keys()), now + s(1));
    host.input(now + s(1), Input::Fetched);
    host.assert_goes_on();
    assert_eq!(host.seen().0, [(TEXT, b"welcome".to_vec())]);
}

#[test]
fn a_first_message_that_waits_is_a_sign_of_life() {
    let changes = json!({"liveness": {"idle_timeout": "5s", "ping_interval": "none"}});
    for behind in [Vec::new(), behind()] {
        let mut fetcher = Fetcher::new(json!({}), changes.clone());
        let mut host = enter(&fetcher);
        host.client_sends(OPENED + s(4), &[first(), behind].concat());
        host.time(OPENED + s(6));
        assert!(host.session.is_waiting());
        fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED + s(6));
        host.input(OPENED + s(6), Input::Fetched);
        host.time(OPENED + s(9) - Duration::from_nanos(1));
        host.assert_goes_on();
        host.time(OPENED + s(11));
        assert_eq!(host.closed, Some((Reason::IdleTimeout, false)));
    }
}

#[test]
fn the_user_is_charged_once_after_the_wait() {
    let rates = json!({"rates": [{"count": "handshakes", "per": "user", "limit": 3, "window": "1h"}]});
    for refused in [false, true] {
        let mut fetcher = Fetcher::new(json!({"single_use": true}), rates.clone());
        let mut host = waiting(&fetcher, &behind());
        if refused {
            host.charge = Outcome::Charged(Charged::Wait(SECOND));
        }
        host.input(OPENED, Input::Fetched);
        assert_eq!(host.charges, 0);
        fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED);
        host.input(OPENED, Input::Fetched);
        assert_eq!(host.charges, 1);
        if refused {
            host.assert_kept_out(OPENED, Reason::HandshakeRate, false);
        } else {
            host.assert_goes_on();
            assert_eq!(host.seen().1, frames(&behind()));
        }
    }
}

#[test]
fn a_refresh_behind_a_first_message_that_waits_is_a_refresh() {
    let mut fetcher = fetcher();
    let longer = new("ed", json!({"exp": START.as_secs() + 500}));
    let mut host = waiting(&fetcher, &from_client(TEXT, &refresh_message(&longer)));
    fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED);
    host.input(OPENED, Input::Fetched);
    host.assert_goes_on();
    assert_eq!(host.seen(), (vec![accepted(500)], vec![]));

    // A message by a key that was not fetched with the other is waited for as well, or not at all.
    let mut host = waiting(&Fetcher::new(json!({}), json!({})), b"");
    host.client_sends(OPENED, &from_client(TEXT, &refresh_message(&new("never", json!({})))));
    host.time(OPENED + PATIENCE);
    host.assert_kept_out(OPENED + PATIENCE, Reason::TokenInvalid, true);
}

#[test]
fn no_debug_text_shows_a_token_that_waits() {
    let fetcher = fetcher();
    let host = waiting(&fetcher, &behind());
    let shown = format!("{:?}", host.session);
    assert!(!shown.contains("eyJ") && !shown.contains("alice"), "{shown}");
}

#[test]
fn a_first_message_waits_no_longer_for_a_clock_that_is_set_back() {
    let mut host = waiting(&fetcher(), &behind());
    let now = OPENED - s(3600);
    host.input(now, Input::SetBack(s(3600)));
    assert_eq!(host.session.deadline(), Some(now + PATIENCE));
    host.time(now + PATIENCE);
    host.assert_kept_out(now + PATIENCE, Reason::TokenInvalid, true);
}

#[test]
fn a_first_message_that_is_kept_waits_for_its_key_and_goes_on_before_all_behind_it() {
    let said = [first(), behind()].concat();
    for size in [1, 5, 21, said.len()] {
        for before in [first().len(), first().len() + 9, said.len()] {
            let mut fetcher = Fetcher::new(json!({"keep_token": true}), json!({}));
            let mut host = enter(&fetcher);
            said[..before].chunks(size).for_each(|piece| host.client_sends(OPENED, piece));
            host.upstream_sends(OPENED, &greeting());
            assert!(host.session.is_waiting());
            host.assert_nobody_has_seen_anything();
            assert!(host.session.held() >= first().len() as u64, "what waits is counted");
            fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED + s(1));
            host.input(OPENED + s(1), Input::Fetched);
            said[before..].chunks(size).for_each(|piece| host.client_sends(OPENED + s(2), piece));
            assert_eq!(host.seen(), (frames(&greeting()), frames(&said)), "{before} in pieces of {size}");
        }
    }
    // A message whose key does not come goes nowhere.
    let mut fetcher = Fetcher::new(json!({"keep_token": true}), json!({}));
    let mut host = waiting(&fetcher, &behind());
    fetcher.fetched(Kind::Keys, Some(&old_keys()), OPENED + s(1));
    host.input(OPENED + s(1), Input::Fetched);
    host.assert_kept_out(OPENED + s(1), Reason::TokenInvalid, true);
}
