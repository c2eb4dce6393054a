//! Refreshes that wait beside the connection, which goes on under its old token.

use super::*;

const EXP: u64 = 1_800_000_000 + 500;

fn refresh(token: &str) -> Vec<u8> {
    from_client(TEXT, &refresh_message(token))
}

fn new_refresh(changes: Value) -> Vec<u8> {
    let mut longer = json!({"exp": EXP});
    merge(&mut longer, changes);
    refresh(&new("ed", longer))
}

fn fetcher() -> Fetcher {
    Fetcher::new(json!({}), json!({}))
}

#[test]
fn a_refresh_with_a_new_key_is_granted_and_answered_once_the_key_is_there() {
    for reply in [true, false] {
        let mut fetcher = Fetcher::new(json!({"refresh_reply": reply}), json!({}));
        let mut host = Host::open(&fetcher, json!({}));
        let hello = from_client(TEXT, b"hello");
        host.client_sends(OPENED, &[new_refresh(json!({})), hello.clone()].concat());
        assert!(host.session.is_waiting());
        assert_eq!(host.session.take_tally().client.consumed, 1);
        host.upstream_sends(OPENED + s(1), &from_upstream(TEXT, b"news"));
        let (client, upstream) = host.seen();
        assert_eq!(client, [(TEXT, b"news".to_vec())], "both sides speak, and there is no answer yet");
        assert_eq!(upstream, frames(&hello), "the token goes no further");

        // Another document was fetched.
        host.input(OPENED + s(1), Input::Fetched);
        assert!(host.session.is_waiting());
        fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED + s(1));
        host.input(OPENED + s(1), Input::Fetched);
        host.assert_goes_on();
        let answers = if reply { vec![accepted(499)] } else { Vec::new() };
        assert_eq!(host.seen().0[1..], answers);

        // The new token holds, and nothing else is left of the wait.
        host.time(OPENED + s(301));
        host.assert_goes_on();
        host.time(Duration::from_secs(EXP) - Duration::from_nanos(1));
        host.assert_goes_on();
        host.time(Duration::from_secs(EXP));
        host.assert_ended(Duration::from_secs(EXP), Reason::TokenExpired, false);
    }
}

#[test]
fn a_refresh_whose_key_does_not_come_is_refused_as_it_would_be_in_a_handshake() {
    // The set is fetched without the key, then in vain, and then not at all.
    for document in [Some(Some(old_keys())), Some(None), None] {
        let mut fetcher = fetcher();
        let mut host = Host::open(&fetcher, json!({}));
        host.client_sends(OPENED, &new_refresh(json!({})));
        assert_eq!(host.session.deadline(), Some(OPENED + PATIENCE));
        let now = match document {
            Some(document) => {
                fetcher.fetched(Kind::Keys, document.as_ref(), OPENED + s(1));
                host.input(OPENED + s(1), Input::Fetched);
                OPENED + s(1)
            }
            None => {
                host.time(OPENED + PATIENCE - Duration::from_nanos(1));
                assert!(host.session.is_waiting());
                host.time(OPENED + PATIENCE);
                OPENED + PATIENCE
            }
        };
        host.assert_ended(now, Reason::TokenInvalid, true);
    }
}

#[test]
fn a_refresh_without_any_keys_is_refused_for_that() {
    let mut fetcher = fetcher();
    let mut host = Host::open(&fetcher, json!({"exp": START.as_secs() + 100_000}));
    // The keys at hand have gone stale.
    let now = FETCHED + Duration::from_secs(24 * 3600);
    host.client_sends(now, &refresh(&old(json!({"exp": now.as_secs() + 100}))));
    assert!(host.session.is_waiting());
    fetcher.fetched(Kind::Keys, None, now);
    host.input(now + s(1), Input::Fetched);
    host.assert_ended(now + s(1), Reason::KeysUnavailable, true);
}

#[test]
fn a_wait_is_not_made_longer_by_what_is_fetched_meanwhile() {
    let fetcher = fetcher();
    let mut host = Host::open(&fetcher, json!({}));
    host.client_sends(OPENED, &new_refresh(json!({})));
    for seconds in [1, 2] {
        host.input(OPENED + s(seconds), Input::Fetched);
        assert_eq!(host.session.deadline(), Some(OPENED + PATIENCE));
    }
    host.input(OPENED + PATIENCE, Input::Fetched);
    host.assert_ended(OPENED + PATIENCE, Reason::TokenInvalid, true);
}

#[test]
fn what_is_wrong_beside_the_key_is_found_out_once_it_is_there() {
    for (changes, reason, detailed) in [
        (json!({"exp": START.as_secs() - 1}), Reason::TokenExpired, true),
        (json!({"sub": "bob"}), Reason::SubjectChanged, false),
        (json!({"scope": "mail"}), Reason::ClaimsDenied, false),
    ] {
        let mut fetcher = fetcher();
        let mut host = Host::open(&fetcher, json!({}));
        host.client_sends(OPENED, &new_refresh(changes));
        fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED);
        host.input(OPENED, Input::Fetched);
        host.assert_ended(OPENED, reason, detailed);
    }
}

#[test]
fn a_refresh_that_no_key_can_help_is_refused_at_once() {
    let fetcher = fetcher();
    for message in [refresh("nonsense"), refresh(&old(json!({"sub": "bob"})))] {
        let mut host = Host::open(&fetcher, json!({}));
        host.client_sends(OPENED, &message);
        assert!(host.closed.is_some() && !host.session.is_waiting());
    }
}

#[test]
fn the_old_token_ends_the_connection_at_its_time_while_a_refresh_waits() {
    for seconds in [1, 2, 3] {
        let mut fetcher = fetcher();
        let mut host = Host::open(&fetcher, json!({"exp": START.as_secs() + seconds}));
        host.client_sends(OPENED, &new_refresh(json!({})));
        let end = OPENED + s(seconds).min(PATIENCE);
        assert_eq!(host.session.deadline(), Some(end));
        if seconds < 3 {
            // Both have passed when the timer comes: the first of them counts.
            host.time(end + s(5));
            host.assert_ended(end + s(5), Reason::TokenExpired, false);
            fetcher.fetched(Kind::Keys, Some(&issuer_keys()), end);
            host.input(end, Input::Fetched);
            assert_eq!(host.seen().0.len(), 1, "it is over");
        } else {
            host.time(end);
            host.assert_ended(end, Reason::TokenInvalid, true);
        }
    }
}

#[test]
fn of_two_refreshes_the_first_is_judged_before_the_second() {
    // The key is there by the second refresh: both hold, and the last notice answers both.
    let mut fetcher_a = fetcher();
    let mut host = Host::open(&fetcher_a, json!({}));
    host.client_sends(OPENED, &new_refresh(json!({})));
    fetcher_a.fetched(Kind::Keys, Some(&issuer_keys()), OPENED);
    host.client_sends(OPENED, &new_refresh(json!({"exp": EXP + 100})));
    host.assert_goes_on();
    assert_eq!(host.seen().0, [accepted(600)]);
    host.input(OPENED, Input::Fetched);
    assert_eq!(host.seen().0.len(), 1);

    // The first refresh turns out to be bad: the second comes too late.
    let mut fetcher_b = fetcher();
    let mut host = Host::open(&fetcher_b, json!({}));
    host.client_sends(OPENED, &new_refresh(json!({"sub": "bob"})));
    fetcher_b.fetched(Kind::Keys, Some(&issuer_keys()), OPENED);
    host.client_sends(OPENED, &new_refresh(json!({})));
    host.assert_ended(OPENED, Reason::SubjectChanged, false);
}

#[test]
fn a_second_refresh_takes_the_place_of_one_that_waits() {
    // The second is by a key that is there: the first is forgotten, whatever it was.
    let mut fetcher_a = fetcher();
    let mut host = Host::open(&fetcher_a, json!({}));
    host.client_sends(OPENED, &new_refresh(json!({"sub": "bob"})));
    host.client_sends(OPENED + s(1), &from_client(TEXT, b"{\"auth\":{}}"));
    assert!(host.session.is_waiting(), "that is none");
    host.client_sends(OPENED + s(1), &refresh(&old(json!({"exp": EXP + 50}))));
    host.assert_goes_on();
    assert!(!host.session.is_waiting());
    assert_eq!(host.seen().0.len(), 1, "the second is answered");
    fetcher_a.fetched(Kind::Keys, Some(&issuer_keys()), OPENED + s(2));
    host.input(OPENED + s(2), Input::Fetched);
    host.assert_goes_on();

    // The second is by the same key: it waits no longer than the first would have.
    let fetcher_b = fetcher();
    let mut host = Host::open(&fetcher_b, json!({}));
    for seconds in [0, 1, 2] {
        host.client_sends(OPENED + s(seconds), &new_refresh(json!({})));
        assert!(host.session.is_waiting());
    }
    assert_eq!(host.session.deadline(), Some(OPENED + PATIENCE));
    host.time(OPENED + PATIENCE);
    host.assert_ended(OPENED + PATIENCE, Reason::TokenInvalid, true);
}

#[test]
fn a_refresh_is_held_against_the_list_that_is_there_with_its_key() {
    let revocation = json!({"revocation": {"cluster": "auth", "path": "/revoked.json"}});
    let mut fetcher = Fetcher::new(revocation, json!({}));
    fetcher.fetched(Kind::Revocation, Some(&json!({})), OPENED);
    let mut host = Host::open(&fetcher, json!({}));
    host.client_sends(OPENED, &new_refresh(json!({"jti": "t2"})));
    fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED);
    fetcher.fetched(Kind::Revocation, Some(&json!({"jti": ["t2"]})), OPENED + s(10));
    host.input(OPENED + s(2), Input::Fetched);
    host.assert_ended(OPENED + s(2), Reason::TokenRevoked, false);
}

#[test]
fn a_list_that_names_the_old_token_ends_the_connection_while_a_refresh_waits() {
    let revocation = json!({"revocation": {"cluster": "auth", "path": "/revoked.json"}});
    let mut fetcher = Fetcher::new(revocation, json!({}));
    fetcher.fetched(Kind::Revocation, Some(&json!({})), OPENED);
    let mut host = Host::open(&fetcher, json!({}));
    host.client_sends(OPENED, &new_refresh(json!({"jti": "t2"})));
    fetcher.fetched(Kind::Revocation, Some(&json!({"jti": ["t1"]})), OPENED + s(10));
    host.input(OPENED + s(1), Input::Fetched);
    host.assert_ended(OPENED + s(1), Reason::TokenRevoked, false);
}

#[test]
fn whoever_closes_while_a_refresh_waits_is_not_bothered_with_it() {
    let mut fetcher = fetcher();
    let mut host = Host::open(&fetcher, json!({}));
    let bye = 1000_u16.to_be_bytes();
    host.client_sends(OPENED, &[new_refresh(json!({})), from_client(CLOSE, &bye)].concat());
    assert!(!host.session.is_waiting());
    fetcher.fetched(Kind::Keys, None, OPENED);
    host.input(OPENED, Input::Fetched);
    host.upstream_sends(OPENED, &from_upstream(CLOSE, &bye));
    let ended = vec![(CLOSE, bye.to_vec())];
    assert_eq!((host.seen(), host.closed), ((ended.clone(), ended), None));
    host.time(OPENED + s(5));
    assert!(host.is_reset);
}

#[test]
fn no_debug_text_shows_a_token_that_waits() {
    let fetcher = fetcher();
    let mut host = Host::open(&fetcher, json!({}));
    host.client_sends(OPENED, &new_refresh(json!({})));
    assert!(host.session.is_waiting());
    let shown = format!("{:?}", host.session);
    assert!(!shown.contains("eyJ") && !shown.contains("alice"), "{shown}");
}

#[test]
fn a_refresh_waits_no_longer_for_a_clock_that_is_set_back() {
    let mut host = Host::open(&fetcher(), json!({}));
    host.client_sends(OPENED, &new_refresh(json!({})));
    let now = OPENED - s(3600);
    host.input(now, Input::SetBack(s(3600)));
    assert!(host.session.is_waiting());
    host.time(now + PATIENCE);
    host.assert_ended(now + PATIENCE, Reason::TokenInvalid, true);
}

#[test]
fn a_clients_message_that_is_under_way_when_the_token_is_good_goes_on_under_the_limits_that_it_began_under() {
    let of = |plan, len: u64, depth: u64| {
        let messages = json!({"max_frame_bytes": 2000, "max_message_bytes": len, "max_json_depth": depth});
        let rates = json!([{"count": "bytes", "per": "connection", "limit": 4 * len, "window": "1h"}]);
        json!({"require": [{"claim": "plan", "one_of": [plan]}], "messages": messages, "rates": rates})
    };
    // The larger tier allows what the smaller does not: length, nesting, and bytes in an hour.
    let changes = json!({"tiers": [of("free", 2000, 1), of("pro", 4000, 2)]});
    let deep = |len: usize| format!("[[{}1]]", " ".repeat(len - 5)).into_bytes();
    let text = deep(3000);
    let (start, end) = text.split_at(1500);
    let message = [from_client(0x01, start), from_client(PING, b"in it"), from_client(0x80, end)].concat();
    for cut in [1, 5, 800, 1507, 1508, 1512, 1520, message.len() - 1] {
        for (before, after, passes) in [("pro", "free", true), ("free", "pro", false)] {
            let mut fetcher = fetcher_of(&changes);
            let mut host = Host::open(&fetcher, json!({"plan": before}));
            host.client_sends(OPENED, &[&new_refresh(json!({"plan": after}))[..], &message[..cut]].concat());
            fetcher.fetched(Kind::Keys, Some(&issuer_keys()), OPENED + s(1));
            host.input(OPENED + s(1), Input::Fetched);
            assert!(!host.session.is_waiting());
            host.client_sends(OPENED + s(2), &message[cut..]);
            let what = format!("{before} {after} cut at {cut}");
            assert_eq!(host.closed.is_none(), passes, "{what}");
            if passes {
                assert_eq!(host.seen().1.len(), 3, "{what}");
                host.client_sends(OPENED + s(3), &from_client(TEXT, &deep(10)));
                assert_eq!(host.closed.map(|(reason, _)| reason), Some(Reason::JsonTooDeep), "{what}");
            }
        }
    }
}

fn fetcher_of(changes: &Value) -> Fetcher {
    Fetcher::new(json!({}), changes.clone())
}
