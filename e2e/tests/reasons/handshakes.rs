//! Handshakes that are refused for what they are, and answers to them.

use postern_e2e::client::csrf::{CSRF_SECRET, mint};
use postern_e2e::client::token::now;
use postern_e2e::{Answer, Request};

use crate::row::{Act, Row, by_client, by_service};

const MALFORMED: &str = "malformed_handshake";
const INVALID_ANSWER: &str = "upstream_handshake_invalid";
const KEY: &str = "Sec-WebSocket-Key";
const VERSION: &str = "Sec-WebSocket-Version";
const PROTOCOL: &str = "Sec-WebSocket-Protocol";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
const ACCEPT: &str = "Sec-WebSocket-Accept";

pub(crate) fn rows() -> Vec<Row> {
    [of_shape(), of_policy(), of_routes(), of_csrf(), of_answers()].into_iter().flatten().collect()
}

fn refused(request: Request, reason: &'static str, rule: &str, cause: &'static str) -> Row {
    Row::new(cause, request, Act::Asks, reason, by_client(rule, cause))
}

fn of_shape() -> Vec<Row> {
    let sound = || Request::upgrade("/ws/plain");
    let malformed = |request, cause| refused(request, MALFORMED, "protocol", cause);
    let early = vec![0x82; 20_000];
    vec![
        malformed(
            sound().method("POST").header("Content-Length", "0"),
            "the method of the handshake is not the one of a handshake",
        ),
        malformed(sound().header("Content-Length", "5").body("hello"), "the handshake has a body"),
        malformed(sound().version("HTTP/1.0"), "the handshake came by HTTP/1.0"),
        malformed(sound().without(VERSION), "Sec-WebSocket-Version is missing or more than one"),
        malformed(
            sound().set(KEY, "x"),
            "Sec-WebSocket-Key is missing, more than one, or not 16 bytes in base64",
        ),
        malformed(sound().header(PROTOCOL, "a, a"), "Sec-WebSocket-Protocol is not well formed, or too long"),
        malformed(
            Request::upgrade("/ws/inflates").header(EXTENSIONS, ";"),
            "Sec-WebSocket-Extensions is not well formed",
        ),
        malformed(sound().set("Host", "a@localhost"), "Host is missing, more than one, or no host"),
        malformed(Request::upgrade("/ws/plain%2Fx"), "the path has an encoded slash").without_policy(),
        Row::new(
            "early bytes",
            Request::upgrade("/ws/mute"),
            Act::SendsEarly(early),
            MALFORMED,
            by_client("protocol", "bytes came before the handshake was answered"),
        ),
        refused(sound().set(VERSION, "8"), "version_unsupported", "protocol", "Sec-WebSocket-Version is `8`"),
        refused(sound().set("Upgrade", "foo"), "upgrade_denied", "other_upgrades", "Upgrade is `foo`"),
    ]
}

fn of_policy() -> Vec<Row> {
    let origin = |origin| Request::upgrade("/ws/pages").header("Origin", origin);
    let without_cause = |request, reason, told: &str| Row::new(reason, request, Act::Asks, reason, told);
    let seldom = || Request::upgrade("/ws/seldom");
    vec![
        refused(
            origin("https://evil.example"),
            "origin_denied",
            "origins",
            "the origin is `https://evil.example`",
        ),
        refused(
            origin("https://app.example.com").header("Origin", "https://app.example.com"),
            "origin_denied",
            "origins",
            "the origin is `https://app.example.com,https://app.example.com`",
        ),
        without_cause(Request::upgrade("/ws/pages"), "origin_missing", "rule=origins side=client"),
        without_cause(Request::upgrade("/ws/certified"), "tls_required", "rule=tls side=client"),
        without_cause(Request::get("/ws/only"), "upgrade_required", "rule=upgrade_only side=client"),
        without_cause(Request::upgrade("/ws/offers"), "subprotocol_denied", "rule=subprotocols side=client"),
        without_cause(seldom(), "handshake_rate", "rule=rates[0] side=client").after(seldom()),
    ]
}

fn of_routes() -> Vec<Row> {
    let empty = "the route's metadata make no valid policy: policies.plain.origins: has no value; write a value, or \
                 leave the key out";
    let moved = "with the changed headers Envoy takes a route under another policy; match no route on what Postern \
        changes";
    let moves = Request::upgrade("/ws/offers").header(PROTOCOL, "soap, admin");
    vec![
        Row::new("no route", Request::upgrade("/elsewhere"), Act::Asks, "no_policy", "rule=default_policy")
            .without_policy(),
        Row::new(
            "a route whose metadata are wrong",
            Request::upgrade("/ws/empty"),
            Act::Asks,
            "policy_invalid",
            format!("rule=policies cause=\"{empty}\""),
        )
        .without_policy(),
        Row::new(
            "a route of another policy",
            moves,
            Act::Asks,
            "policy_invalid",
            format!("rule=policies cause=\"{moved}\""),
        ),
    ]
}

fn of_csrf() -> Vec<Row> {
    let minted = |session: &str, issued: u64| mint(CSRF_SECRET, session, issued);
    let shown = |query: String| Request::upgrade(&format!("/ws/csrf?{query}"));
    let of = |token: &str| shown(format!("t={token}")).header("Cookie", "sid=abc");
    let good = minted("abc", now());
    let invalid = |request, cause| refused(request, "csrf_invalid", "csrf", cause);
    vec![
        refused(shown("a=1".to_owned()).header("Cookie", "sid=abc"), "csrf_missing", "csrf", "no CSRF token"),
        invalid(shown(format!("t={good}&t={good}")).header("Cookie", "sid=abc"), "more than one CSRF token"),
        invalid(of(&minted("abc", now() - 62)), "the CSRF token has expired"),
        invalid(of("x"), "the CSRF token is malformed"),
        invalid(of(&minted("abc", now() + 600)), "the CSRF token is not valid yet"),
        invalid(shown(format!("t={good}")), "no session cookie that the CSRF token could be bound to"),
        invalid(of(&minted("abd", now())), "the CSRF token is not one of this session"),
        invalid(of(&good).header("Cookie", "sid=abc"), "more than one session cookie"),
    ]
}

/// Answers that are none, by the last part of the path that they are given on.
pub(crate) fn answers() -> [(&'static str, Answer); 4] {
    let sound = Answer::switching;
    [
        ("accept", sound().without(ACCEPT).header(ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        ("extensions", sound().header(EXTENSIONS, "permessage-deflate")),
        ("protocol", sound().without("Upgrade").header("Upgrade", "h2c")),
        ("subprotocol", sound().header(PROTOCOL, "soap")),
    ]
}

fn of_answers() -> Vec<Row> {
    let causes = [
        "Sec-WebSocket-Accept does not answer the key of the handshake",
        "an extension is agreed on that was not offered so",
        "Upgrade is not `websocket`",
        "a subprotocol is chosen that was not offered",
    ];
    let of = |((name, _), cause)| {
        let request = Request::upgrade(&format!("/ws/plain/{name}"));
        Row::new(name, request, Act::Asks, INVALID_ANSWER, by_service("protocol", cause))
    };
    answers().into_iter().zip(causes).map(of).collect()
}
