//! Limits by claim: which are in force, from when on, and what becomes of those before.

use super::*;
use crate::engine::{RouteFacts, Selection};
use crate::rate::slots::EntryKey;
use crate::rate::{Charged, Outcome};
use crate::session::compression_tests::Deflater;
use crate::testing::Tables;

/// Every way in which the newest token may come to be the one with these claims.
const WAYS: [Way; 4] = [Way::Handshake, Way::FirstMessage, Way::Refresh, Way::SecondRefresh];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Handshake,
    FirstMessage,
    Refresh,
    SecondRefresh,
}

fn plan(name: &str) -> Value {
    json!({ "plan": name })
}

/// Returns a tier for a plan, with these keys.
fn tier(name: &str, keys: Value) -> Value {
    let mut tier = json!({"require": [{"claim": "plan", "one_of": [name]}]});
    tier.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    tier
}

fn refresh(claims: Value) -> Vec<u8> {
    from_client(TEXT, &refresh_message(&token(claims)))
}

impl Line {
    /// Opens a line whose newest token has come in this way.
    fn by(way: Way, claims: Value, changes: Value) -> Self {
        let auth = json!({"refresh_reply": false});
        match way {
            Way::Handshake => Self::open(claims, auth, changes),
            Way::FirstMessage => {
                let mut line = Self::waiting(auth, changes);
                line.client(&from_client(TEXT, &first_message(&token(claims))));
                line
            }
            Way::Refresh | Way::SecondRefresh => {
                let mut line = Self::open(plan("other"), auth, changes);
                if way == Way::SecondRefresh {
                    line.client(&refresh(plan("pro")));
                }
                line.client(&refresh(claims));
                line
            }
        }
    }

    fn reason(&self) -> Option<Reason> {
        self.closed.map(|(reason, _)| reason)
    }
}

fn sizes() -> Value {
    let of = |len: u64| json!({ "max_message_bytes": len });
    json!({"messages": of(300), "upstream_messages": of(400), "tiers": [
        {"require": [{"claim": "plan", "one_of": ["pro"]}, {"claim": "role", "contains": "admin"}],
         "messages": of(600), "upstream_messages": of(700)},
        tier("pro", json!({"messages": of(900)})),
        tier("free", json!({"messages": of(50), "upstream_messages": of(60)})),
    ]})
}

#[test]
fn the_first_tier_whose_demands_all_hold_is_in_force_however_the_token_comes() {
    // A token itself has to fit the limits that are in force when it comes.
    let changes = |way| match way {
        Way::Handshake | Way::FirstMessage => sizes(),
        Way::Refresh | Way::SecondRefresh => {
            let mut changes = sizes();
            changes["messages"]["max_message_bytes"] = json!(800);
            changes
        }
    };
    for way in WAYS {
        let base = if matches!(way, Way::Handshake | Way::FirstMessage) { 300 } else { 800 };
        for (claims, client, upstream) in [
            (json!({"plan": "pro", "role": ["admin"]}), 600, 700),
            (plan("pro"), 900, 400),
            (plan("free"), 50, 60),
            (plan("other"), base, 400),
            (json!({"role": ["admin"]}), base, 400),
        ] {
            let what = format!("{way:?} {claims}");
            for (sender, most) in [(Peer::Client, client), (Peer::Upstream, upstream)] {
                let frame = if sender == Peer::Client { from_client } else { from_upstream };
                let mut line = Line::by(way, claims.clone(), changes(way));
                assert_eq!(line.reason(), None, "{what}");
                line.at(START, sender, &frame(BINARY, &vec![7; most]));
                let seen = line.seen();
                let passed = if sender == Peer::Client { seen.1 } else { seen.0 };
                assert_eq!(passed, [(BINARY, vec![7; most])], "{what}");
                line.at(START, sender, &frame(BINARY, &vec![7; most + 1]));
                assert_eq!(line.reason(), Some(Reason::MessageTooBig), "{what}");
            }
        }
    }
}

#[test]
fn a_message_of_the_service_that_is_under_way_goes_on_under_the_limits_that_it_began_under() {
    let small = json!({"upstream_messages": {"max_message_bytes": 10, "max_frame_bytes": 10}});
    let large = json!({"upstream_messages": {"max_message_bytes": 40, "max_frame_bytes": 40}});
    let changes = json!({"tiers": [tier("free", small), tier("pro", large)]});
    let message = [from_upstream(0x01, &[b'a'; 9]), from_upstream(0x80, &[b'b'; 9])].concat();
    let next = from_upstream(TEXT, &[b'c'; 18]);
    for cut in 1..message.len() {
        // Down: what is under way may be as long as it might have been.
        let mut line = Line::open(plan("pro"), json!({"refresh_reply": false}), changes.clone());
        line.upstream(&message[..cut]);
        line.client(&refresh(plan("free")));
        line.upstream(&[&message[cut..], &next].concat());
        let mut seen = frames(&message);
        seen.push(closing(Reason::FrameTooBig));
        assert_eq!((line.seen().0, line.reason()), (seen, Some(Reason::FrameTooBig)), "cut at {cut}");
        // Up: it may not become longer.
        let mut line = Line::open(plan("free"), json!({"refresh_reply": false}), changes.clone());
        line.upstream(&message[..cut]);
        line.client(&refresh(plan("pro")));
        line.upstream(&message[cut..]);
        assert_eq!(line.reason(), Some(Reason::MessageTooBig), "cut at {cut}");
    }
    for (first, then, is_refused) in [("pro", "free", true), ("free", "pro", false)] {
        let mut line = Line::open(plan(first), json!({"refresh_reply": false}), changes.clone());
        line.client(&refresh(plan(then)));
        line.upstream(&message);
        assert_eq!(line.reason().is_some(), is_refused, "{first} {then}");
    }
}

#[test]
fn what_the_client_says_behind_a_refresh_comes_under_its_limits_at_every_split() {
    let of = |name, len: u64| tier(name, json!({"messages": {"max_message_bytes": len}}));
    let changes = json!({"tiers": [of("free", 900), of("pro", 2000)]});
    let fragments =
        [from_client(0x02, &[1; 500]), from_client(PING, b"between"), from_client(0x80, &[2; 500])].concat();
    let token = refresh_message(&token(plan("pro")));
    let (start, end) = token.split_at(30);
    let refresh_in_pieces =
        [from_client(0x01, start), from_client(PING, b"in it"), from_client(0x80, end)].concat();
    let up = [refresh_in_pieces, fragments.clone()].concat();
    let down = [refresh(plan("free")), fragments].concat();
    for size in (1..40).chain([up.len()]) {
        let mut line = Line::open(plan("free"), json!({"refresh_reply": false}), changes.clone());
        line.in_pieces(Peer::Client, size, &up);
        assert_eq!((line.reason(), line.seen().1.len()), (None, 4), "pieces of {size}");
        line.in_pieces(Peer::Client, size, &down);
        assert_eq!(line.reason(), Some(Reason::MessageTooBig), "pieces of {size}");
    }
}

fn rates(rates: &[(&str, &str, u64)]) -> Value {
    let rate = |(count, per, limit): &(&str, &str, u64)| json!({"count": count, "per": per, "limit": limit, "window": "1h"});
    rates.iter().map(rate).collect()
}

/// Returns the keys of the buckets that were asked while `act` was done.
fn asked(line: &mut Line, act: impl FnOnce(&mut Line)) -> Vec<EntryKey> {
    line.trial.tables.charged.clear();
    act(line);
    let mut keys: Vec<EntryKey> = line.trial.tables.charged.iter().map(|request| request.key).collect();
    keys.sort_by_key(|key| format!("{key:?}"));
    keys
}

fn say(line: &mut Line) {
    line.client(&from_client(BINARY, b"hello"));
}

#[test]
fn rates_of_a_tier_have_buckets_of_their_own_and_a_tier_without_has_those_of_the_policy() {
    let of_users = rates(&[("messages", "user", 10), ("messages", "ip", 10)]);
    let changes = json!({"rates": of_users, "tiers": [
        tier("pro", json!({"rates": of_users})), tier("free", json!({"rates": of_users})), tier("same", json!({})),
    ]});
    let mut all = Vec::new();
    for way in WAYS {
        let keys = ["other", "pro", "free", "same"].map(|name| {
            let mut line = Line::by(way, plan(name), changes.clone());
            asked(&mut line, say)
        });
        let [policy, pro, free, same] = &keys;
        assert!(keys.iter().all(|keys| keys.len() == 2), "{way:?}: {keys:?}");
        assert_eq!(policy, same, "{way:?}");
        let apart = |one: &[EntryKey], other: &[EntryKey]| one.iter().all(|key| !other.contains(key));
        assert!(apart(policy, pro) && apart(policy, free) && apart(pro, free), "{way:?}: {keys:?}");
        all.push(keys.clone());
    }
    all.dedup();
    assert_eq!(all.len(), 1, "a bucket is the same however the token comes");
}

#[test]
fn a_refresh_to_a_new_tier_has_full_buckets_and_one_that_keeps_the_tier_or_comes_back_has_what_is_left() {
    let of = |limit| json!({"rates": rates(&[("messages", "connection", limit)])});
    let mut changes = of(4);
    changes["tiers"] = json!([tier("pro", of(7)), tier("free", of(7)), tier("same", json!({}))]);
    // The messages that pass behind the refreshes, which are messages as well.
    for (first, refreshes, left) in [
        ("other", &[][..], 4),
        ("pro", &[], 7),
        ("pro", &["pro"], 6),
        ("pro", &["pro", "pro", "pro"], 4),
        ("pro", &["free"], 7),
        ("pro", &["free", "free"], 6),
        ("pro", &["free", "pro"], 6),
        ("pro", &["other"], 4),
        ("other", &["same", "other", "same"], 1),
        ("pro", &["same", "other"], 3),
    ] {
        let mut line = Line::open(plan(first), json!({"refresh_reply": false}), changes.clone());
        for name in refreshes {
            line.client(&refresh(plan(name)));
        }
        for _ in 0..left {
            assert_eq!(line.reason(), None, "{first} {refreshes:?}");
            say(&mut line);
        }
        assert_eq!((line.reason(), line.seen().1.len()), (None, left), "{first} {refreshes:?}");
        say(&mut line);
        assert_eq!(line.reason(), Some(Reason::MessageRate), "{first} {refreshes:?}");
    }
}

#[test]
fn handshakes_of_a_user_are_counted_by_the_rates_of_its_tier_and_those_of_an_address_by_the_policys() {
    let counted = |user: u64| rates(&[("handshakes", "user", user), ("handshakes", "ip", 5)]);
    let changes = json!({"rates": counted(3), "tiers": [tier("pro", json!({"rates": counted(30)})), tier("same", json!({}))]});
    let bursts = |claims: Value, by_first_message: bool| {
        let mut line = match by_first_message {
            false => Line::open(claims.clone(), json!({}), changes.clone()),
            true => Line::waiting(json!({}), changes.clone()),
        };
        if by_first_message {
            line.client(&from_client(TEXT, &first_message(&token(claims))));
        }
        line.trial.tables.charged.iter().map(|request| request.quota.identity()[2]).collect::<Vec<_>>()
    };
    for by_first_message in [false, true] {
        for (name, user) in [("pro", 30), ("same", 3), ("other", 3)] {
            assert_eq!(bursts(plan(name), by_first_message), [5, user], "{name} {by_first_message}");
        }
    }
    let mut trial = {
        let value = format!("Bearer {}", token(json!({"plan": "pro", "scope": "read"})));
        Trial::new(with_auth(&changes), with(&request(), "authorization", value.as_bytes()))
    };
    trial.outputs.clear();
    let bursts: Vec<_> = trial.tables.charged.iter().map(|request| request.quota.identity()[2]).collect();
    assert_eq!(bursts, [5, 30], "a user is counted also where the claims are not enough");
}

fn with_auth(changes: &Value) -> Value {
    let mut changes = changes.clone();
    changes["auth"] = auth(json!({}));
    changes
}

#[test]
fn a_session_lasts_as_its_tier_says_from_the_handshake_on() {
    let of = |name, longest: &str| tier(name, json!({ "max_session": longest }));
    let changes = json!({"liveness": {"ping_interval": "none", "idle_timeout": "1h"},
        "tiers": [of("long", "200s"), of("short", "50s"), of("endless", "none"), tier("same", json!({}))]});
    // What the refresh, after 60 seconds, brings, and when the session ends.
    for (way, first, then, end) in [
        (Way::Handshake, "other", None, Some(100)),
        (Way::Handshake, "long", None, Some(200)),
        (Way::FirstMessage, "short", None, Some(50)),
        (Way::FirstMessage, "endless", None, None),
        (Way::Handshake, "other", Some("long"), Some(200)),
        (Way::FirstMessage, "long", Some("same"), Some(100)),
        (Way::Handshake, "other", Some("endless"), None),
        (Way::Handshake, "endless", Some("other"), Some(100)),
        (Way::Handshake, "long", Some("short"), Some(60)),
    ] {
        let what = format!("{way:?} {first} {then:?}");
        let auth = json!({"max_session": "100s", "refresh_reply": false});
        let claims = |name: &str| json!({"plan": name, "exp": START.as_secs() + 3000});
        let mut line = match way {
            Way::FirstMessage => Line::waiting(auth, changes.clone()),
            _ => Line::open(claims(first), auth, changes.clone()),
        };
        if way == Way::FirstMessage {
            line.at(START + SECOND, Peer::Client, &from_client(TEXT, &first_message(&token(claims(first)))));
        }
        if let Some(name) = then {
            line.time(START + 49 * SECOND);
            line.at(START + 60 * SECOND, Peer::Client, &refresh(claims(name)));
        }
        if let Some(seconds) = end {
            if seconds != 60 {
                line.time(START + seconds * SECOND - Duration::from_nanos(1));
            }
            assert_eq!(line.reason(), None, "{what}");
            line.time(START + seconds * SECOND);
            assert_eq!(line.reason(), Some(Reason::SessionLimit), "{what}");
        } else {
            line.time(START + 2000 * SECOND);
            assert_eq!(line.reason(), None, "{what}");
        }
    }
}

#[test]
fn a_connection_ends_by_its_part_of_the_jitter_sooner_and_a_tier_cuts_that() {
    let of = |name, longest: &str| tier(name, json!({ "max_session": longest }));
    let changes = json!({"liveness": {"ping_interval": "none", "idle_timeout": "1h"},
        "tiers": [of("short", "10s"), of("endless", "none")]});
    let auth = json!({"max_session": "100s", "max_session_jitter": "40s", "refresh_reply": false});
    const ALL: u32 = u32::MAX;
    // The randomness, the tier that a refresh brings, and when the session ends, in milliseconds.
    for (jitter_part, tier, end) in [
        (0, "other", 100_000),
        (1 << 30, "other", 90_000),
        (1 << 31, "other", 80_000),
        (ALL, "other", 60_001),
        (0, "short", 10_000),
        (1 << 31, "short", 5_000),
        (ALL, "short", 1),
    ] {
        let claims = json!({"plan": tier, "exp": START.as_secs() + 3000});
        let mut head = with(&request(), "authorization", format!("Bearer {}", token(claims)).as_bytes());
        head.entropy.session = jitter_part.to_be_bytes();
        let mut line = Line::new(auth.clone(), changes.clone(), head, &[]);
        line.time(START + Duration::from_millis(end - 1));
        assert_eq!(line.reason(), None, "{jitter_part} {tier}");
        line.time(START + Duration::from_millis(end));
        assert_eq!(line.reason(), Some(Reason::SessionLimit), "{jitter_part} {tier}");
    }
}

#[test]
fn rules_on_content_come_and_go_with_the_tier_in_both_directions() {
    let strict = json!({"max_json_depth": 1});
    let strict = json!({"messages": strict, "upstream_messages": strict});
    let changes = json!({"tiers": [tier("strict", strict)]});
    for sender in [Peer::Client, Peer::Upstream] {
        let frame = if sender == Peer::Client { from_client } else { from_upstream };
        let (flat, deep) = (frame(TEXT, b"[1]"), frame(TEXT, b"[[1]]"));
        for way in WAYS {
            let mut line = Line::by(way, plan("strict"), changes.clone());
            line.at(START, sender, &[&flat[..], &deep].concat());
            assert_eq!(line.reason(), Some(Reason::JsonTooDeep), "{way:?} {sender:?}");
            let mut line = Line::by(way, plan("other"), changes.clone());
            line.at(START, sender, &[&flat[..], &deep].concat());
            assert_eq!(line.reason(), None, "{way:?} {sender:?}");
        }
        // What has begun is judged by the rules that it began under, though they are none.
        let (begin, end) = (frame(0x01, b"[[1"), frame(0x80, b"]]"));
        if sender == Peer::Upstream {
            let mut line = Line::open(plan("other"), json!({"refresh_reply": false}), changes.clone());
            line.upstream(&begin);
            line.client(&refresh(plan("strict")));
            line.upstream(&end);
            assert_eq!((line.reason(), line.seen().0.len()), (None, 2));
            line.upstream(&[&begin[..], &end].concat());
            assert_eq!((line.reason(), line.seen().0.len()), (Some(Reason::JsonTooDeep), 3));
            let mut line = Line::open(plan("strict"), json!({"refresh_reply": false}), changes.clone());
            line.upstream(&begin);
            line.client(&refresh(plan("other")));
            line.upstream(&end);
            assert_eq!(line.reason(), Some(Reason::JsonTooDeep));
        }
    }
}

#[test]
fn claims_by_message_are_those_of_the_newest_token_by_the_lines_of_its_tier() {
    let line_of = |kind: &str, role: &str| json!({"when": {"/type": kind}, "require": [{"claim": "role", "one_of": [role]}]});
    let changes = json!({
        "messages": {"allow": [line_of("ban", "owner")]},
        "tiers": [tier("pro", json!({"messages": {"allow": [line_of("kick", "owner"), line_of("ban", "moderator")]}}))],
    });
    let message = |kind: &str| from_client(TEXT, json!({ "type": kind }).to_string().as_bytes());
    for way in WAYS {
        for (claims, kind, is_allowed) in [
            (json!({"plan": "pro", "role": "moderator"}), "kick", false),
            (json!({"plan": "pro", "role": "moderator"}), "ban", true),
            (json!({"plan": "pro", "role": "owner"}), "kick", true),
            (json!({"plan": "pro", "role": "owner"}), "ban", false),
            (json!({"plan": "other", "role": "owner"}), "ban", true),
            (json!({"plan": "other", "role": "moderator"}), "kick", true),
            (json!({"plan": "other", "role": "moderator"}), "ban", false),
        ] {
            let mut line = Line::by(way, claims.clone(), changes.clone());
            line.client(&message(kind));
            let expected = (!is_allowed).then_some(Reason::ClaimsDenied);
            assert_eq!(line.reason(), expected, "{way:?} {claims} {kind}");
        }
    }
}

#[test]
fn a_first_message_that_is_kept_is_judged_by_the_limits_that_it_began_under() {
    let deep = |depth: u64| json!({"max_json_depth": depth});
    let claims = json!({"scope": "chat", "plan": "pro"});
    for (policy, of_tier, reason) in [(2, 1, None), (1, 2, Some(Reason::JsonTooDeep))] {
        let changes =
            json!({"messages": deep(policy), "tiers": [tier("pro", json!({"messages": deep(of_tier)}))]});
        let mut line = Line::waiting(json!({"keep_token": true}), changes);
        let message = json!({"token": token(claims.clone()), "more": [1]}).to_string();
        line.client(&from_client(TEXT, message.as_bytes()));
        assert_eq!(line.reason(), reason);
        if reason.is_none() {
            assert_eq!(line.seen().1, [(TEXT, message.into_bytes())]);
            line.client(&from_client(TEXT, b"[[1]]"));
            assert_eq!(line.reason(), Some(Reason::JsonTooDeep), "the next comes under the tier's");
        }
    }
}

#[test]
fn the_backlog_of_a_tier_counts_what_was_unread_under_another_limit_and_not_what_went_without_any() {
    let limit = |bytes: u64| json!({"backpressure": {"max_backlog_bytes": bytes}});
    let none = json!({"backpressure": "none"});
    let said = |len| from_upstream(BINARY, &vec![7; len]);
    // The policy's limit, that of the tier, what goes before the refresh and behind it, and whether that is too much.
    for (policy, of_tier, before, behind, is_too_much) in [
        (none.clone(), limit(1000), 5000, 900, false),
        (none.clone(), limit(1000), 5000, 1100, true),
        (limit(2000), limit(1000), 900, 200, true),
        (limit(1000), limit(2000), 900, 900, false),
        (limit(1000), limit(2000), 900, 1200, true),
        (limit(1000), none, 900, 5000, false),
    ] {
        let mut changes = policy.clone();
        changes["tiers"] = json!([tier("pro", of_tier.clone())]);
        let mut line = Line::open(plan("other"), json!({"refresh_reply": false}), changes);
        line.upstream(&said(before));
        line.client(&refresh(plan("pro")));
        line.upstream(&said(behind));
        let expected = is_too_much.then_some(Reason::BacklogExceeded);
        assert_eq!(line.reason(), expected, "{policy} {of_tier} {before} {behind}");
    }
}

#[test]
fn openings_of_other_protocols_are_looked_for_as_the_tier_says_where_a_side_has_not_spoken() {
    const BANNER: &[u8] = b"SSH-2.0-OpenSSH_9.6\r\n";
    for (policy, of_tier, is_denied) in [("deny", "pass", false), ("pass", "deny", true)] {
        let changes = json!({"messages": {"tunnels": policy}, "tiers": [tier("pro", json!({"messages": {"tunnels": of_tier}}))]});
        for sender in [Peer::Client, Peer::Upstream] {
            let frame = if sender == Peer::Client { from_client } else { from_upstream };
            let banner = frame(BINARY, BANNER);
            for way in WAYS {
                let mut line = Line::by(way, plan("pro"), changes.clone());
                line.at(START, sender, &banner);
                let expected = is_denied.then_some(Reason::TunnelDetected);
                assert_eq!(line.reason(), expected, "{policy} {way:?} {sender:?}");
            }
            let mut line = Line::open(plan("other"), json!({"refresh_reply": false}), changes.clone());
            line.at(
                START,
                sender,
                &frame(
                    BINARY,
                    b"\x01\x02 nothing of that kind, and long enough to know that it is not, whatever comes",
                ),
            );
            line.client(&refresh(plan("pro")));
            line.at(START, sender, &banner);
            assert_eq!(line.reason(), None, "{policy} {sender:?}: it has spoken");
        }
    }
}

#[test]
fn chunks_that_pass_unread_come_under_the_newest_limits_too() {
    let of = |name, len: u64| tier(name, json!({"upstream_messages": {"max_frame_bytes": len}}));
    let changes =
        json!({"rates": [], "messages": {"tunnels": "pass"}, "tiers": [of("free", 10), of("pro", 20)]});
    let mut line = Line::open(plan("pro"), json!({"refresh_reply": false}), changes);
    let said = from_upstream(BINARY, &[7; 20]);
    assert!(line.trial.session.pass_plain(Peer::Upstream, &mut &said[..]).unwrap());
    line.client(&refresh(plan("free")));
    assert!(!line.trial.session.pass_plain(Peer::Upstream, &mut &said[..]).unwrap());
    line.upstream(&said);
    assert_eq!(line.reason(), Some(Reason::FrameTooBig));
}

#[test]
fn a_bucket_that_is_empty_refuses_the_user_of_one_tier_alone() {
    let of_users = rates(&[("messages", "user", 10)]);
    let changes = json!({"rates": of_users, "tiers": [tier("pro", json!({"rates": of_users}))]});
    let mut line = Line::open(plan("other"), json!({"refresh_reply": false}), changes);
    let keys = asked(&mut line, say);
    let empty = Outcome::Charged(Charged::Wait(SECOND));
    line.trial.tables =
        Tables {
            charge: Box::new(move |_, request| {
                if keys.contains(&request.key) { empty } else { Outcome::Charged(Charged::Taken) }
            }),
            ..Tables::default()
        };
    line.trial.tables.charged.clear();
    assert_eq!(line.reason(), None);
    say(&mut line);
    assert_eq!(line.reason(), Some(Reason::MessageRate));
}

#[test]
fn text_is_proved_where_the_newest_tier_says_so() {
    for (policy, of_tier) in [(false, true), (true, false)] {
        let utf8 = |is_proved: bool| json!({"messages": {"utf8": is_proved}, "upstream_messages": {"utf8": is_proved}});
        let mut changes = utf8(policy);
        changes["tiers"] = json!([tier("pro", utf8(of_tier))]);
        for sender in [Peer::Client, Peer::Upstream] {
            let frame = if sender == Peer::Client { from_client } else { from_upstream };
            for way in WAYS {
                let mut line = Line::by(way, plan("pro"), changes.clone());
                line.at(START, sender, &frame(TEXT, b"\xff"));
                let expected = of_tier.then_some(Reason::InvalidUtf8);
                assert_eq!(line.reason(), expected, "{of_tier} {way:?} {sender:?}");
            }
        }
    }
}

#[test]
fn compressed_messages_are_inflated_up_to_the_limit_of_the_newest_tier() {
    let extension = |value: &str| ("sec-websocket-extensions".to_owned(), value.as_bytes().to_vec());
    let of = |plan, len: u64| tier(plan, json!({"messages": {"max_message_bytes": len}}));
    let changes = json!({"compression": "inspect", "tiers": [of("free", 1000), of("pro", 3000)]});
    let message = Deflater::new().message(&[b'a'; 2000]);
    assert!(message.len() < 100);
    for (before, after, passes) in [("free", "pro", true), ("pro", "free", false), ("pro", "pro", true)] {
        let bearer = format!("Bearer {}", token(plan(before)));
        let mut head = with(&request(), "authorization", bearer.as_bytes());
        head.fields.push(extension("permessage-deflate"));
        let answer = [extension("permessage-deflate; client_no_context_takeover")];
        let mut line = Line::new(json!({"refresh_reply": false}), changes.clone(), head, &answer);
        line.client(&refresh(plan(after)));
        line.client(&from_client(0xc1, &message));
        let expected = (!passes).then_some(Reason::MessageTooBig);
        assert_eq!(line.reason(), expected, "{before} {after}");
    }
}

#[test]
fn a_session_whose_clock_was_set_back_lasts_as_long_by_another_tier_too() {
    let changes = json!({"liveness": {"ping_interval": "none", "idle_timeout": "1h"},
        "tiers": [tier("pro", json!({"max_session": "100s"}))]});
    let claims = |plan: &str| json!({"plan": plan, "exp": START.as_secs() + 3000});
    let mut line = Line::open(claims("other"), json!({"refresh_reply": false}), changes);
    line.trial.input(Input::SetBack(50 * SECOND), START - 50 * SECOND);
    line.at(START - 40 * SECOND, Peer::Client, &refresh(claims("pro")));
    line.time(START + 50 * SECOND - Duration::from_nanos(1));
    assert_eq!(line.reason(), None);
    line.time(START + 50 * SECOND);
    assert_eq!(line.reason(), Some(Reason::SessionLimit));
}

#[test]
fn a_client_is_asked_what_it_has_read_where_its_tier_bounds_that_though_silent_ones_are_not() {
    const MARK: &[u8] = b"postern:";
    let bounded = json!({"backpressure": {"max_backlog_bytes": 1000}});
    let quiet = json!({"ping_interval": "none"});
    for (policy, of_tier, is_asked) in
        [(json!({}), bounded.clone(), true), (bounded, json!({"backpressure": "none"}), false)]
    {
        let mut changes = policy;
        (changes["liveness"], changes["tiers"]) = (quiet.clone(), json!([tier("pro", of_tier)]));
        let mut line = Line::open(plan("other"), json!({"refresh_reply": false}), changes);
        line.client(&refresh(plan("pro")));
        line.upstream(&from_upstream(BINARY, &[7; 300]));
        line.time(START + SECOND);
        let has_asked = line.client.windows(MARK.len()).any(|window| window == MARK);
        assert_eq!(has_asked, is_asked);
    }
}

#[test]
fn refusals_of_a_user_are_counted_by_the_rates_of_its_tier_and_those_of_an_address_by_the_policys() {
    let counted = |user: u64, ip: u64| rates(&[("refusals", "user", user), ("refusals", "ip", ip)]);
    let changes = json!({"rates": counted(3, 5), "messages": {"max_frame_bytes": 1000}, "tiers": [
        tier("pro", json!({"rates": counted(30, 50)})), tier("same", json!({})),
    ]});
    let tokens = |line: &Line| {
        let mut bursts: Vec<u64> =
            line.trial.tables.charged.iter().map(|request| request.quota.identity()[2]).collect();
        bursts.sort_unstable();
        bursts
    };
    for way in WAYS {
        for (name, user) in [("pro", 30), ("same", 3), ("other", 3)] {
            let mut line = Line::by(way, plan(name), changes.clone());
            line.client(&from_client(BINARY, &[7; 1001]));
            assert_eq!(line.reason(), Some(Reason::FrameTooBig), "{way:?} {name}");
            let mut expected = vec![5, user];
            expected.sort_unstable();
            assert_eq!(tokens(&line), expected, "{way:?} {name}");
        }
    }
    let looked = |trial: &Trial| -> Vec<u64> {
        trial.tables.looked.iter().map(|request| request.quota.identity()[2]).collect()
    };
    for (name, user) in [("pro", 30), ("same", 3)] {
        let line = Line::open(plan(name), json!({}), changes.clone());
        assert_eq!(looked(&line.trial), [5, user], "{name}: what is looked at");
        let mut line = Line::waiting(json!({}), changes.clone());
        let denied = json!({"plan": name, "scope": "read"});
        line.client(&from_client(TEXT, &first_message(&token(denied))));
        assert_eq!(line.reason(), Some(Reason::ClaimsDenied));
        let mut expected = vec![5, user];
        expected.sort_unstable();
        assert_eq!(tokens(&line), expected, "{name}: a user is charged also where the claims are not enough");
    }
}

#[test]
fn buckets_of_an_address_are_the_policys_in_every_tier() {
    let counted = rates(&[("refusals", "ip", 5), ("handshakes", "ip", 6), ("messages", "ip", 7)]);
    let changes = json!({"rates": counted, "messages": {"max_frame_bytes": 1000},
        "tiers": [tier("pro", json!({"rates": rates(&[("messages", "ip", 7)])}))]});
    let keys = |name: &str| {
        let mut line = Line::open(plan(name), json!({}), changes.clone());
        say(&mut line);
        line.client(&from_client(BINARY, &[7; 1001]));
        assert_eq!(line.reason(), Some(Reason::FrameTooBig));
        let charged = &line.trial.tables.charged;
        let of = |burst: u64| charged.iter().find(|request| request.quota.identity()[2] == burst);
        [5, 6, 7].map(|burst| of(burst).map(|request| request.key))
    };
    let ([refusals, handshakes, messages], of_pro) = (keys("other"), keys("pro"));
    assert_eq!((refusals, handshakes), (of_pro[0], of_pro[1]));
    assert!(refusals.is_some() && messages != of_pro[2]);
}

#[test]
fn a_users_connections_are_capped_as_the_tier_says_that_they_begin_in() {
    let changes = json!({"connections": {"per_user": 2}, "tiers": [
        tier("pro", json!({"connections": {"per_user": 3}})), tier("free", json!({"connections": {"per_user": 1}})),
        tier("any", json!({"connections": {"per_user": "none"}})),
    ]});
    let engine = crate::testing::engine(with_auth(&changes));
    let by_handshake = |name: &str, tables: &mut Tables| {
        let bearer = format!("Bearer {}", token(plan(name)));
        let head = with(&request(), "authorization", bearer.as_bytes());
        let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else { panic!() };
        session.handle(Input::Request(head), tables, START);
        std::iter::from_fn(|| session.poll_output()).any(|output| matches!(output, Output::Admit(_)))
    };
    let by_first_message = |name: &str, tables: &mut Tables| {
        let mut line = Line::waiting(json!({}), changes.clone());
        std::mem::swap(&mut line.trial.tables, tables);
        line.client(&from_client(TEXT, &first_message(&token(plan(name)))));
        std::mem::swap(&mut line.trial.tables, tables);
        line.reason() != Some(Reason::ConnectionLimit)
    };
    let ways: [&dyn Fn(&str, &mut Tables) -> bool; 2] = [&by_handshake, &by_first_message];
    for is_let_in in ways {
        for (name, most) in [("pro", 3), ("other", 2), ("free", 1), ("any", 5)] {
            let mut tables = Tables::default();
            let let_in = (0..5).filter(|_| is_let_in(name, &mut tables)).count();
            assert_eq!(let_in, most, "{name}");
        }
        let mut tables = Tables::default();
        let let_in = ["pro", "free", "other", "other", "pro", "pro"].map(|name| is_let_in(name, &mut tables));
        assert_eq!(let_in, [true, false, true, false, true, false], "all of a user count together");
    }
}

#[test]
fn to_change_between_tiers_is_no_way_to_full_buckets_of_the_connection() {
    let rates = json!([{"count": "messages", "per": "connection", "limit": 4, "window": "1h"}]);
    let changes = json!({"rates": rates, "tiers": [
        tier("pro", json!({ "rates": rates })), tier("free", json!({ "rates": rates })),
    ]});
    for (way, plans) in [
        (Way::Handshake, vec!["pro", "free"]),
        (Way::FirstMessage, vec!["pro", "free"]),
        (Way::Handshake, vec!["other", "pro", "free"]),
        (Way::Handshake, vec!["other", "pro"]),
    ] {
        let mut line = Line::by(way, plan(plans[0]), changes.clone());
        let mut sent = 0;
        while line.reason().is_none() && sent < 50 {
            line.client(&from_client(TEXT, b"{}"));
            sent += 1;
            let next = plans[sent % plans.len()];
            line.client(&refresh(plan(next)));
        }
        // Each message costs one, and so does the token behind it.
        assert_eq!(
            (line.reason(), sent),
            (Some(Reason::MessageRate), 2 * plans.len() + 1),
            "{way:?} {plans:?}"
        );
    }
}
