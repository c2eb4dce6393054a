use postern_config::{Encoding, FirstMessage, JsonPointer};

use super::*;
use crate::http::headers::Field;

fn fields(pairs: &[(&str, &[u8])]) -> Vec<Field> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect()
}

fn prefixed(prefix: &str) -> Carrier {
    Carrier::Subprotocol { prefix: prefix.to_owned(), encoding: Encoding::Plain }
}

fn first_message(pointer: &str) -> Carrier {
    let pointer = JsonPointer::new(pointer).unwrap();
    Carrier::FirstMessage(FirstMessage { pointer, prefix: String::new(), greeting: false })
}

/// Returns the tokens and edits that `carriers` give in a request of these fields.
fn extracted(pairs: &[(&str, &[u8])], carriers: &[Carrier]) -> (Vec<Vec<u8>>, Vec<HeaderEdit>) {
    let fields = fields(pairs);
    let found = extract(Headers::new(&fields), carriers, false);
    (found.candidates.into_iter().map(|c| c.token).collect(), found.edits)
}

/// One field before, the tokens in it, and the field afterwards: `None` if it is gone, and the field itself
/// if it is untouched.
type Row<'r> = (&'r [u8], &'r [&'r [u8]], Option<&'r [u8]>);

#[track_caller]
fn check_field(name: &str, carriers: &[Carrier], rows: &[Row<'_>]) {
    for (value, tokens, left) in rows {
        let edits = match left {
            Some(left) if left == value => vec![],
            Some(left) => vec![HeaderEdit::Set(name.into(), left.to_vec())],
            None => vec![HeaderEdit::Remove(name.into())],
        };
        let (found, asked) = extracted(&[(name, value)], carriers);
        assert_eq!(found, *tokens, "tokens of {:?}", value.escape_ascii().to_string());
        assert_eq!(asked, edits, "edits of {:?}", value.escape_ascii().to_string());
    }
}

#[test]
fn only_the_scheme_bearer_is_a_token_in_authorization() {
    let digest = &b"Digest username=\"Bearer x\", realm=\"r\""[..];
    check_field(
        "authorization",
        &[Carrier::Header("authorization".into())],
        &[
            (b"Bearer abc", &[b"abc"], None),
            (b"bearer abc", &[b"abc"], None),
            (b"BEARER   abc ", &[b"abc"], None),
            (b"Bearer", &[b""], None),
            (b"Bearer ", &[b""], None),
            (b"Bearer\tabc", &[b"\tabc"], None),
            (b"Bearer a b", &[b"a b"], None),
            (b"Bearer \xff\xfe", &[b"\xff\xfe"], None),
            (b"Basic abc", &[], Some(b"Basic abc")),
            (digest, &[], Some(digest)),
            (b"Bearerabc", &[], Some(b"Bearerabc")),
            (b"", &[], Some(b"")),
            (b"\xff\xfe\xfd\xfc\xfb\xfa\xf9", &[], Some(b"\xff\xfe\xfd\xfc\xfb\xfa\xf9")),
        ],
    );
}

#[test]
fn a_token_does_not_hide_behind_other_credentials_in_one_field() {
    check_field(
        "authorization",
        &[Carrier::Header("authorization".into())],
        &[
            (b"Basic abc,Bearer def", &[b"def"], Some(b"Basic abc")),
            (b"Basic abc, bearer def", &[b"def"], Some(b"Basic abc")),
            (b"Bearer a,Bearer b", &[b"a", b"b"], None),
            (b"Bearer a,Basic b", &[b"a,Basic b"], None),
            (b"Bearer a,b", &[b"a,b"], None),
            (b"Bearer,Bearer", &[b"", b""], None),
        ],
    );
}

#[test]
fn credentials_of_other_schemes_stay_beside_a_token() {
    let request: &[(&str, &[u8])] = &[
        ("Authorization", b"Basic abc"),
        ("authorization", b"Bearer def"),
        ("authorization", b"Negotiate ghi"),
    ];
    let (tokens, edits) = extracted(request, &[Carrier::Header("authorization".into())]);
    assert_eq!(tokens, [b"def"]);
    assert_eq!(edits, [HeaderEdit::Set("authorization".into(), b"Basic abc, Negotiate ghi".to_vec())]);
}

#[test]
fn another_header_is_the_tokens_own_with_or_without_a_scheme() {
    check_field(
        "x-token",
        &[Carrier::Header("x-token".into())],
        &[
            (b"abc", &[b"abc"], None),
            (b" Bearer abc ", &[b"abc"], None),
            (b"Basic abc", &[b"Basic abc"], None),
            (b"", &[b""], None),
            (b"\xff", &[b"\xff"], None),
        ],
    );
}

#[test]
fn a_query_parameter_goes_and_every_other_byte_of_the_path_stays() {
    check_field(
        ":path",
        &[Carrier::Query("access_token".into())],
        &[
            (b"/ws?access_token=abc", &[b"abc"], Some(b"/ws")),
            (b"/ws?a=1&access_token=abc&b=%20", &[b"abc"], Some(b"/ws?a=1&b=%20")),
            (b"/ws?access_token=abc&a=%7e+//..", &[b"abc"], Some(b"/ws?a=%7e+//..")),
            (b"/ws?a&&access_token=abc&", &[b"abc"], Some(b"/ws?a&&")),
            (b"/%ff\xff?x=\xff&access_token=a", &[b"a"], Some(b"/%ff\xff?x=\xff")),
            (b"/ws?access%5Ftoken=abc", &[b"abc"], Some(b"/ws")),
            (b"/ws?%61ccess_toke%6e=abc", &[b"abc"], Some(b"/ws")),
            (b"/ws?access_token=a%2eb%2Ec", &[b"a.b.c"], Some(b"/ws")),
            (b"/ws?access_token=a+b%ff%", &[b"a b\xff%"], Some(b"/ws")),
            (b"/ws?access_token=a=b?c", &[b"a=b?c"], Some(b"/ws")),
            (b"/ws?access_token", &[b""], Some(b"/ws")),
            (b"/ws?access_token=", &[b""], Some(b"/ws")),
            (b"/ws?access_token=a&access_token=a", &[b"a", b"a"], Some(b"/ws")),
            (b"/ws?a=1&access_token=a&b=2&access%5ftoken=b", &[b"a", b"b"], Some(b"/ws?a=1&b=2")),
            (b"/access_token=abc", &[], Some(b"/access_token=abc")),
            (b"/ws?", &[], Some(b"/ws?")),
            (b"/ws?Access_Token=a", &[], Some(b"/ws?Access_Token=a")),
            (b"/ws?xaccess_token=a", &[], Some(b"/ws?xaccess_token=a")),
            (b"/ws?x=access_token=a", &[], Some(b"/ws?x=access_token=a")),
            (b"/ws?access%255Ftoken=a", &[], Some(b"/ws?access%255Ftoken=a")),
            (b"", &[], Some(b"")),
        ],
    );
}

#[test]
fn a_parameter_with_a_blank_in_its_name_is_found_in_both_of_its_forms() {
    check_field(
        ":path",
        &[Carrier::Query("my token".into())],
        &[
            (b"/?my+token=a", &[b"a"], Some(b"/")),
            (b"/?my%20token=a", &[b"a"], Some(b"/")),
            (b"/?my%2Btoken=a", &[], Some(b"/?my%2Btoken=a")),
        ],
    );
}

#[test]
fn parameters_of_several_names_are_removed_without_looking_at_carriers() {
    let names = ["access_token", "t"];
    for (path, left) in [
        (&b"/?t=1&a=2&access%5Ftoken=3&t"[..], Some(&b"/?a=2"[..])),
        (b"/?t=", Some(b"/")),
        (b"/?a=t", None),
        (b"/t", None),
        (b"", None),
    ] {
        for field in [":path", "x-envoy-original-path"] {
            let edits = without_parameters(Headers::new(&fields(&[(field, path)])), &names);
            let expected = left.map(|left| HeaderEdit::Set(field.into(), left.to_vec()));
            assert_eq!(edits, Vec::from_iter(expected), "{path:?}");
        }
    }
}

#[test]
fn a_path_that_was_kept_loses_its_tokens_and_brings_none() {
    const KEPT: &str = "x-envoy-original-path";
    let carriers = [Carrier::Query("t".into())];
    let set = |name: &str, value: &[u8]| HeaderEdit::Set(name.into(), value.to_vec());
    let both =
        extracted(&[(":path", b"/ws?t=abc&a=1"), ("X-Envoy-Original-Path", b"/?a=1&t=abc")], &carriers);
    assert_eq!(both, (vec![b"abc".to_vec()], vec![set(":path", b"/ws?a=1"), set(KEPT, b"/?a=1")]));
    let kept = extracted(&[(":path", b"/ws"), (KEPT, b"/?t=abc")], &carriers);
    assert_eq!(kept, (vec![], vec![set(KEPT, b"/")]));
    let twice =
        extracted(&[(":path", b"/ws"), (KEPT, b"/a?b"), (KEPT, b"/?t=abc"), (KEPT, b"/?t=def")], &carriers);
    assert_eq!(twice, (vec![], vec![set(KEPT, b"/")]));
    assert_eq!(extracted(&[(":path", b"/ws"), (KEPT, b"/?a=1")], &carriers), (vec![], vec![]));
}

#[test]
fn a_cookie_is_taken_out_from_among_the_others() {
    check_field(
        "cookie",
        &[Carrier::Cookie("ws".into())],
        &[
            (b"ws=abc", &[b"abc"], None),
            (b"a=1; ws=abc; b=2", &[b"abc"], Some(b"a=1; b=2")),
            (b"ws=abc; a=1;b=\"2\";  c", &[b"abc"], Some(b"a=1;b=\"2\";  c")),
            (b"a=1; ws=abc", &[b"abc"], Some(b"a=1")),
            (b"ws=\"abc\"", &[b"abc"], None),
            (b"ws=\"abc", &[b"\"abc"], None),
            (b"ws=\"", &[b"\""], None),
            (b"ws=a=b", &[b"a=b"], None),
            (b" ws = abc ", &[b"abc"], None),
            (b"ws=", &[b""], None),
            (b"ws", &[b""], None),
            (b"ws=a; x=1; ws=a", &[b"a", b"a"], Some(b"x=1")),
            (b"x=\xff; ws=\xff", &[b"\xff"], Some(b"x=\xff")),
            (b"WS=abc", &[], Some(b"WS=abc")),
            (b"xws=abc; x=ws=abc", &[], Some(b"xws=abc; x=ws=abc")),
            (b"", &[], Some(b"")),
            (b";;=;", &[], Some(b";;=;")),
        ],
    );
}

#[test]
fn several_cookie_fields_are_one_list() {
    let request: &[(&str, &[u8])] = &[("cookie", b"a=1"), ("Cookie", b"ws=x"), ("cookie", b"b=2; ws=y; c=3")];
    let (tokens, edits) = extracted(request, &[Carrier::Cookie("ws".into())]);
    assert_eq!(tokens, [b"x", b"y"]);
    assert_eq!(edits, [HeaderEdit::Set("cookie".into(), b"a=1; b=2; c=3".to_vec())]);
}

#[test]
fn only_the_item_with_the_prefix_leaves_the_offered_subprotocols() {
    check_field(
        "sec-websocket-protocol",
        &[prefixed("bearer.")],
        &[
            (b"chat.v2, bearer.abc", &[b"abc"], Some(b"chat.v2")),
            (b"bearer.a.b.c,chat.v2,chat.v1", &[b"a.b.c"], Some(b"chat.v2, chat.v1")),
            (b"bearer.abc", &[b"abc"], None),
            (b"bearer.", &[b""], None),
            (b"bearer.a, x, bearer.a", &[b"a", b"a"], Some(b"x")),
            (b"bearer.\xff, \xff", &[b"\xff"], Some(b"\xff")),
            (b"bearer, Bearer.abc", &[], Some(b"bearer, Bearer.abc")),
            (b"", &[], Some(b"")),
        ],
    );
    let two: &[(&str, &[u8])] =
        &[("sec-websocket-protocol", b"b, bearer.x"), ("Sec-WebSocket-Protocol", b"a")];
    let (tokens, edits) = extracted(two, &[prefixed("bearer.")]);
    assert_eq!(tokens, [b"x"]);
    assert_eq!(edits, [HeaderEdit::Set("sec-websocket-protocol".into(), b"b, a".to_vec())]);
}

/// Returns one carrier of each kind.
fn every_carrier() -> Vec<Carrier> {
    vec![
        Carrier::Cookie("ws".into()),
        Carrier::Query("t".into()),
        prefixed("bearer."),
        first_message("/token"),
        Carrier::Header("authorization".into()),
    ]
}

const EVERYWHERE: &[(&str, &[u8])] = &[
    (":path", b"/ws?t=q"),
    ("authorization", b"Bearer h"),
    ("cookie", b"ws=c"),
    ("sec-websocket-protocol", b"bearer.s"),
];

#[test]
fn tokens_leave_every_carrier_even_when_there_are_too_many() {
    let (tokens, edits) = extracted(EVERYWHERE, &every_carrier());
    assert_eq!(tokens, [b"c", b"q", b"s", b"h"], "in the order of the carriers");
    assert_eq!(edits.len(), 4);
    let left = |edit: &HeaderEdit| match edit {
        HeaderEdit::Remove(_) => None,
        HeaderEdit::Add(name, value) | HeaderEdit::Set(name, value) => Some((name.clone(), value.clone())),
    };
    assert_eq!(edits.iter().filter_map(left).collect::<Vec<_>>(), [(":path".into(), b"/ws".to_vec())]);
}

#[test]
fn keep_token_finds_tokens_and_takes_nothing_out() {
    let (carriers, fields) = (every_carrier(), fields(EVERYWHERE));
    let kept = extract(Headers::new(&fields), &carriers, true);
    assert_eq!((kept.candidates.len(), kept.edits), (4, vec![]));
}

#[test]
fn a_carrier_that_is_not_configured_is_left_alone() {
    let elsewhere = [Carrier::Header("x-token".into()), first_message("/t")];
    assert_eq!(extracted(EVERYWHERE, &elsewhere), (vec![], vec![]));
}

#[test]
fn a_carrier_that_is_listed_twice_finds_a_token_once() {
    let twice: Vec<_> = every_carrier().into_iter().chain(every_carrier()).collect();
    assert_eq!(extracted(EVERYWHERE, &twice), extracted(EVERYWHERE, &every_carrier()));
}

#[test]
fn two_tokens_are_ambiguous_even_when_they_are_equal_or_empty() {
    let carrier = Carrier::Cookie("ws".into());
    let candidate = |token: &[u8]| Candidate { carrier: &carrier, token: token.to_vec() };
    assert_eq!(Presence::of([]), Presence::Missing);
    assert_eq!(Presence::of([candidate(b"")]), Presence::Token(candidate(b"")));
    for tokens in [[b"a", b"b"], [b"a", b"a"]] {
        assert_eq!(Presence::of(tokens.map(|t| candidate(t))), Presence::Ambiguous);
    }
    assert_eq!(Presence::of([candidate(b""), candidate(b"")]), Presence::Ambiguous);
    let everywhere = extracted(EVERYWHERE, &every_carrier()).0;
    assert_eq!(Presence::of(everywhere.iter().map(|t| candidate(t))), Presence::Ambiguous);
}

#[test]
fn debug_shows_no_token() {
    let carrier = Carrier::Cookie("ws".into());
    let shown = format!("{:?}", Candidate { carrier: &carrier, token: b"s3cr3t".to_vec() });
    assert!(!shown.contains("s3cr3t") && !shown.contains("115"), "{shown}");
}

#[test]
fn a_token_does_not_hide_behind_a_semicolon() {
    let fields = [(":path".to_owned(), b"/chat?access_token=a&x=1;access_token=b;y".to_vec())];
    let carriers = [Carrier::Query("access_token".to_owned())];
    let found = extract(Headers::new(&fields), &carriers, false);
    assert_eq!(found.candidates.len(), 2);
    assert_eq!(found.edits, [HeaderEdit::Set(":path".to_owned(), b"/chat?x=1;y".to_vec())]);
}

#[test]
fn the_item_behind_a_name_is_a_token_and_goes_with_it() {
    check_field(
        "sec-websocket-protocol",
        &[Carrier::SubprotocolPair("bearer".into()), prefixed("t.")],
        &[
            (b"bearer, abc", &[b"abc"], None),
            (b"chat.v2, bearer, abc, chat.v1", &[b"abc"], Some(b"chat.v2, chat.v1")),
            (b"chat.v2,bearer", &[b""], Some(b"chat.v2")),
            (b"bearer, bearer", &[b"bearer"], None),
            (b"bearer, t.abc", &[b"t.abc"], None),
            (b"bearer, a, b", &[b"a"], Some(b"b")),
            (b"bearer, a, bearer, b", &[b"a", b"b"], None),
            (b"t.a, bearer, b", &[b"b", b"a"], None),
            (b"Bearer, abc", &[], Some(b"Bearer, abc")),
            (b"bearers, abc", &[], Some(b"bearers, abc")),
        ],
    );
    // The list may be in two fields.
    let two: &[(&str, &[u8])] =
        &[("sec-websocket-protocol", b"a, bearer"), ("Sec-WebSocket-Protocol", b"x, b")];
    let (tokens, edits) = extracted(two, &[Carrier::SubprotocolPair("bearer".into())]);
    assert_eq!(tokens, [b"x"]);
    assert_eq!(edits, [HeaderEdit::Set("sec-websocket-protocol".into(), b"a, b".to_vec())]);
}

#[test]
fn what_is_no_base64url_behind_a_prefix_is_no_token_and_still_stands_for_one() {
    let carrier = Carrier::Subprotocol { prefix: "b64.".to_owned(), encoding: Encoding::Base64url };
    check_field(
        "sec-websocket-protocol",
        &[carrier],
        &[
            (b"b64.ZTMwLmUzMC5lMzA", &[b"e30.e30.e30"], None),
            (b"chat, b64.QmVhcmVyIGUzMC5lMzAuZTMw", &[b"e30.e30.e30"], Some(b"chat")),
            (b"b64.e30.e30.e30", &[b""], None),
            (b"b64.ZTMwLmUzMC5lMzA=", &[b""], None),
            (b"b64.ZTMw+/", &[b""], None),
            (b"b64.", &[b""], None),
        ],
    );
}

#[test]
fn the_scheme_bearer_is_taken_off_in_every_carrier_and_once() {
    let carriers =
        [Carrier::Cookie("t".into()), Carrier::Query("t".into()), Carrier::Header("x-token".into())];
    let cases: [(&str, &[u8]); 3] =
        [("cookie", b"t=Bearer  abc"), (":path", b"/ws?t=bearer%20+abc"), ("x-token", b"BEARER abc")];
    for (field, value) in cases {
        assert_eq!(extracted(&[(field, value)], &carriers).0, [b"abc"], "{field}");
    }
    assert_eq!(extracted(&[("cookie", b"t=Bearer Bearer abc")], &carriers).0, [b"Bearer abc"]);
}
