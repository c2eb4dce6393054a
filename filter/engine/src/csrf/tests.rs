use serde_json::{Value, json};

use super::*;
use crate::engine::{Engine, RouteFacts, Selection};
use crate::http::headers::{Field, HeaderEdit};
use crate::session::{Input, Output, Session};
use crate::testing::{SECRET, Tables, engine, request, with, without};

const NOW: Duration = Duration::from_secs(1_800_000_000);
const LIFETIME: Duration = Duration::from_secs(3600);

fn key() -> CsrfKey {
    CsrfKey::new(SECRET.as_bytes()).unwrap()
}

/// Returns `<issued>.<proof>` made by hand, for any text in the place of the number.
fn by_hand(issued: &str, session: &str) -> String {
    let token = key().mint(b"", Duration::ZERO);
    assert!(token.starts_with("0."));
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let text = format!("{issued}.{session}");
    // HS256 is HMAC-SHA256 in base64url (RFC 7518 §3.2), by another way than the one under test.
    let proof = jsonwebtoken::crypto::sign(text.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
    format!("{issued}.{}", proof.unwrap())
}

#[test]
fn a_token_is_what_the_language_says_so_that_applications_can_mint_it() {
    // The token was made by OpenSSL: printf 1800000000.abc
    // openssl dgst -sha256 -hmac "$SECRET" -binary
    // basenc --base64url
    assert_eq!(key().mint(b"abc", NOW), "1800000000.eV0sJ7Fdt3PnqJkfl6jCCXvg-F2P3g875WyYV5Hbsv8");
    assert_eq!(key().mint(b"abc", NOW + Duration::from_millis(999)), by_hand("1800000000", "abc"));
    assert_eq!(key().mint(b"", Duration::ZERO), by_hand("0", ""));
}

#[test]
fn a_token_holds_for_its_session_and_its_lifetime_and_for_no_other() {
    let verify =
        |token: &str, session: &[u8], now: Duration| key().verify(token.as_bytes(), session, LIFETIME, now);
    let token = by_hand("1800000000", "abc");
    let second = Duration::from_secs(1);
    let last = NOW + LIFETIME - Duration::from_nanos(1);
    for now in [NOW, last, NOW - Duration::from_secs(30)] {
        assert_eq!(verify(&token, b"abc", now), Ok(()), "{now:?}");
    }
    for (now, error) in [
        (NOW + LIFETIME, CsrfError::Expired),
        (Duration::MAX, CsrfError::Expired),
        (NOW - Duration::from_secs(30) - Duration::from_nanos(1), CsrfError::Future),
        (Duration::ZERO, CsrfError::Future),
    ] {
        assert_eq!(verify(&token, b"abc", now), Err(error), "{now:?}");
    }
    for session in [&b"abd"[..], b"ab", b"abcd", b"ABC", b"0.abc", b"\xff"] {
        assert_eq!(verify(&token, session, NOW), Err(CsrfError::Proof), "{session:?}");
    }
    let another = CsrfKey::new(b"another secret of thirty-two bytes or more").unwrap();
    assert_eq!(verify(&another.mint(b"abc", NOW), b"abc", NOW), Err(CsrfError::Proof));
    let later = token.replacen("1800000000", "1800000001", 1);
    assert_eq!(verify(&later, b"abc", NOW + second), Err(CsrfError::Proof));
}

#[test]
fn what_is_no_token_is_malformed_and_nothing_of_it_is_believed() {
    let proof = by_hand("1800000000", "abc").split_once('.').unwrap().1.to_owned();
    let tokens = [
        String::new(),
        ".".to_owned(),
        "1800000000".to_owned(),
        "1800000000.".to_owned(),
        format!(".{proof}"),
        format!("{proof}.1800000000"),
        format!("1800000000.{proof}="),
        format!("1800000000.{proof}.{proof}"),
        format!("1800000000.{proof}A"),
        format!("1800000000.{}", proof.chars().skip(1).collect::<String>()),
        format!("1800000000.{}", proof.replace(['-', '_'], "+") + "+"),
        format!(" 1800000000.{proof}"),
        format!("1800000000 .{proof}"),
        by_hand("-1800000000", "abc"),
        by_hand("+1800000000", "abc"),
        by_hand("1.8e9", "abc"),
        by_hand("0x6b49d200", "abc"),
        by_hand("\u{0661}", "abc"),
        by_hand("18446744073709551616", "abc"),
        by_hand(&"0".repeat(21), "abc"),
        "9".repeat(100_000),
    ];
    for token in &tokens {
        let verified = key().verify(token.as_bytes(), b"abc", LIFETIME, NOW);
        assert_eq!(verified, Err(CsrfError::Form), "{}", token.chars().take(80).collect::<String>());
    }
    for cut in 0..by_hand("1800000000", "abc").len() {
        let token = by_hand("1800000000", "abc");
        assert!(key().verify(&token.as_bytes()[..cut], b"abc", LIFETIME, NOW).is_err(), "{cut}");
    }
    for i in 0..256 {
        let mut token = by_hand("1800000000", "abc").into_bytes();
        let at = i % token.len();
        token[at] = token[at].wrapping_add(u8::try_from(i / 2 + 1).unwrap());
        assert!(key().verify(&token, b"abc", LIFETIME, NOW).is_err(), "{:?}", token.escape_ascii());
    }
    let end_of_time = by_hand("18446744073709551615", "abc");
    let verified = key().verify(end_of_time.as_bytes(), b"abc", LIFETIME, NOW);
    assert_eq!(verified, Err(CsrfError::Future));
}

#[test]
fn nothing_shows_in_debug() {
    let guarded = policy(json!({}));
    let shown = format!("{:?} {:?}", key(), guarded);
    assert!(!shown.contains(SECRET) && !shown.contains(&format!("{:?}", SECRET.as_bytes())), "{shown}");
    let page = plain(&guarded, &[("cookie", "sid=abc")]);
    assert!(!format!("{page:?}").contains("abc"));
}

fn policy(changes: Value) -> Engine {
    let mut csrf = json!({
        "secret": {"inline": SECRET}, "session_cookie": "sid", "from": {"query": "csrf_token"},
        "issue": {"cookie": "__Host-csrf"},
    });
    for (key, value) in changes.as_object().unwrap() {
        csrf[key] = value.clone();
    }
    engine(json!({"csrf": csrf}))
}

/// Returns a session that has let an ordinary request with these fields go up.
fn plain(engine: &Engine, fields: &[(&str, &str)]) -> Box<Session> {
    let base = without(&request(), "upgrade");
    let head = fields.iter().fold(base, |head, (name, value)| with(&head, name, value.as_bytes()));
    let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else {
        panic!("the policy judges every request");
    };
    session.handle(Input::Request(head), &mut Tables::default(), NOW);
    assert_eq!(session.poll_output(), Some(Output::Admit(Vec::new())));
    session
}

/// Returns the cookies that Postern sets on a response with these fields.
fn issued(session: &mut Session, fields: &[(&str, &str)]) -> Vec<HeaderEdit> {
    let fields: Vec<Field> = fields.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
    session.handle(Input::Response(fields), &mut Tables::default(), NOW);
    match session.poll_output() {
        Some(Output::AdmitResponse(edits)) => edits,
        other => panic!("{other:?}"),
    }
}

fn cookie_for(session: &str) -> Vec<HeaderEdit> {
    let token = by_hand("1800000000", session);
    let cookie = format!("__Host-csrf={token}; Path=/; Secure; SameSite=Strict");
    vec![HeaderEdit::Add("set-cookie".to_owned(), cookie.into_bytes())]
}

const HTML: [(&str, &str); 2] = [(":status", "200"), ("content-type", "text/html; charset=utf-8")];

#[test]
fn a_page_is_given_a_token_for_the_session_that_the_browser_then_has() {
    let engine = policy(json!({}));
    let dead = "sid=old; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    // A case is the request's cookies, those that the response sets, and the session of the token.
    let cases: [(&[&str], &[&str], Option<&str>); 15] = [
        (&["a=1; sid=abc; b=2"], &[], Some("abc")),
        (&["sid=\"abc\""], &[], Some("abc")),
        (&[], &["sid=new; HttpOnly"], Some("new")),
        (&["sid=old"], &["sid=new; HttpOnly"], Some("new")),
        (&["sid=old"], &["other=1", "sid=\"new\""], Some("new")),
        (&["sid=old"], &["sid=first", "sid=new"], Some("new")),
        (&["sid=old"], &["sid2=new"], Some("old")),
        (&["sid=old"], &["sid=; Max-Age=0"], None),
        (&["sid=old"], &[dead], None),
        (&["sid=old"], &["sid="], None),
        (&["sid=old"], &["sid=new", dead], None),
        (&["sid=abc"], &["__Host-csrf=of the application; Path=/; Secure"], None),
        (&["sid=one; sid=two"], &[], None),
        (&["sid="], &[], None),
        (&[], &[], None),
    ];
    for (sent, set, session) in cases {
        let sent: Vec<_> = sent.iter().map(|value| ("cookie", *value)).collect();
        let set = set.iter().map(|value| ("set-cookie", *value));
        let response: Vec<_> = HTML.into_iter().chain(set).collect();
        let edits = issued(&mut plain(&engine, &sent), &response);
        assert_eq!(edits, session.map(cookie_for).unwrap_or_default(), "{sent:?} {response:?}");
    }
}

#[test]
fn only_a_page_is_given_a_token() {
    let engine = policy(json!({}));
    let html = "text/html";
    let cases: [(&[(&str, &str)], bool); 9] = [
        (&[(":status", "200"), ("content-type", html)], true),
        (&[(":status", "200"), ("content-type", "Text/HTML ;charset=utf-8")], true),
        (&[(":status", "200"), ("content-type", "text/htmlx")], false),
        (&[(":status", "200"), ("content-type", "application/json")], false),
        (&[(":status", "200"), ("content-type", html), ("content-type", html)], false),
        (&[(":status", "200")], false),
        (&[(":status", "304"), ("content-type", html)], false),
        (&[(":status", "404"), ("content-type", html)], false),
        (&[(":status", "302"), ("content-type", html)], false),
    ];
    for (response, is_given) in cases {
        let edits = issued(&mut plain(&engine, &[("cookie", "sid=abc")]), response);
        assert_eq!(!edits.is_empty(), is_given, "{response:?}");
    }
}

#[test]
fn a_policy_that_issues_nothing_reads_no_response() {
    for (issue, reads) in [(json!({"cookie": "__Host-csrf"}), true), (json!("none"), false)] {
        let engine = policy(json!({ "issue": issue }));
        let mut session = plain(&engine, &[("cookie", "sid=abc")]);
        assert_eq!(session.reads_response(), reads, "{issue}");
        assert_eq!(!issued(&mut session, &HTML).is_empty(), reads, "{issue}");
        assert!(!session.reads_response(), "once");
    }
}
