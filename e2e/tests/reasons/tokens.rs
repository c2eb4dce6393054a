//! Tokens that are refused, in a handshake or in a message.

use std::sync::LazyLock;

use postern_e2e::client::token::{edge_claims, now, tampered};
use postern_e2e::{Frame, Request, Signer, Value, json};

use crate::row::{Act, Row, by_client};

/// The issuer whose keys are fetched.
pub(crate) const ISSUER: &str = "https://auth.example.com/";

/// Its keys: one more than the signature of a token without `kid` is tried with.
pub(crate) static KEYS: LazyLock<[Signer; 5]> =
    LazyLock::new(|| ["a", "b", "c", "d", "e"].map(Signer::es256));

const INVALID: &str = "token_invalid";
const EXPIRED: &str = "the token has expired";

pub(crate) fn rows() -> Vec<Row> {
    [of_handshakes(), of_parts(), of_claims(), of_keys(), of_users(), of_messages(), of_lists()]
        .into_iter()
        .flatten()
        .collect()
}

/// A handshake with this token.
pub(crate) fn bearing(path: &str, token: &str) -> Request {
    Request::upgrade(path).header("Authorization", format!("Bearer {token}"))
}

/// A handshake with a good token.
pub(crate) fn with_token(path: &str) -> Request {
    bearing(path, &minted(&json!({})))
}

/// A token of `edge`: good, but for these claims, of which those that are null are left out.
fn minted(changes: &Value) -> String {
    Signer::edge().mint(&claims(changes))
}

fn claims(changes: &Value) -> Value {
    let mut claims = edge_claims("alice");
    let members = claims.as_object_mut().expect("an object");
    members.extend(changes.as_object().expect("an object").clone());
    members.retain(|_, value| !value.is_null());
    claims
}

/// The claims of a token of the issuer whose keys are fetched.
fn of_issuer() -> Value {
    claims(&json!({"iss": ISSUER}))
}

/// A token of an issuer whose keys do not come.
fn of_other(issuer: &str) -> String {
    Signer::es256("a").mint(&claims(&json!({"iss": issuer})))
}

/// A token of this user.
pub(crate) fn by_user(user: &str) -> String {
    minted(&json!({"sub": user}))
}

/// A first message with this token.
pub(crate) fn message(token: &str) -> Vec<u8> {
    Frame::text(&json!({"token": token}).to_string()).masked().bytes()
}

fn expired() -> String {
    minted(&json!({"exp": now() - 60}))
}

/// A token that is not valid, in a handshake.
fn invalid(token: &str, cause: &'static str) -> Row {
    let told = by_client("auth", &format!("the token is not valid: {cause}"));
    Row::new(cause, bearing("/ws/bears", token), Act::Asks, INVALID, told)
}

fn of_handshakes() -> Vec<Row> {
    let good = minted(&json!({}));
    let twice = bearing(&format!("/ws/bears?token={good}"), &good);
    let once = minted(&json!({"jti": "handshake"}));
    let poor = minted(&json!({"realm": {"tier": "tin"}}));
    let asks = |name, request, reason, told: &str| Row::new(name, request, Act::Asks, reason, told);
    vec![
        asks("no token", Request::upgrade("/ws/bears"), "token_missing", "rule=auth side=client"),
        asks("two tokens", twice, "token_ambiguous", "rule=auth side=client"),
        asks("an old token", bearing("/ws/bears", &expired()), "token_expired", &by_client("auth", EXPIRED)),
        asks(
            "a used token",
            bearing("/ws/once", &once),
            "token_replayed",
            "rule=auth.single_use side=client",
        )
        .after(bearing("/ws/once", &once)),
        asks("a claim", bearing("/ws/claims", &poor), "claims_denied", "rule=auth.require[1] side=client"),
    ]
}

fn of_parts() -> Vec<Row> {
    let whole = minted(&json!({}));
    let edge = Signer::edge();
    let headed = |header: Value| edge.sign_parts(&header.to_string(), &claims(&json!({})).to_string());
    let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    vec![
        invalid(&tampered::algorithm_none(&whole), "algorithm not allowed"),
        invalid(&headed(json!({"alg": "HS256", "crit": ["x"]})), "demands an extension"),
        invalid(&whole.replace('.', ".="), "not base64url"),
        invalid(&whole.replacen('.', "..", 1), "not three parts"),
        invalid(&tampered::header(&whole, "[]"), "malformed header"),
        invalid(
            &tampered::header(&whole, r#"{"alg":"HS256","alg":"HS256"}"#),
            "ambiguous JSON: a member occurs twice",
        ),
        invalid(&edge.sign_text("[]"), "malformed payload"),
        invalid(&edge.sign_text(r#"{"iss":"edge""#), "malformed payload"),
        invalid(&edge.sign_text(&deep), "ambiguous JSON: nested too deeply"),
        invalid(&tampered::signature(&whole), "wrong signature"),
        invalid(&minted(&json!({"padding": "x".repeat(9000)})), "too long"),
    ]
}

fn of_claims() -> Vec<Row> {
    let changed = |changes: Value| minted(&changes);
    vec![
        invalid(&changed(json!({"iss": "nobody"})), "unknown issuer"),
        invalid(&changed(json!({"aud": "mail"})), "meant for another audience, by its claim `aud`"),
        invalid(
            &changed(json!({"aud": null})),
            "its claim `aud`, which should say whom it is for, is absent",
        ),
        invalid(&changed(json!({"exp": "soon"})), "its claim `exp` has the wrong type"),
        invalid(&changed(json!({"exp": null})), "no expiry"),
        invalid(&changed(json!({"nbf": now() + 600})), "not valid yet"),
        invalid(
            &changed(json!({"sub": " alice"})),
            "a forwarded claim has a blank or an invisible character at an end",
        ),
        Row {
            request: bearing("/ws/once", &changed(json!({"jti": null}))),
            policy: "once".to_owned(),
            ..invalid("", "no token id")
        },
    ]
}

/// Tokens whose keys are fetched, and keys that cannot be.
fn of_keys() -> Vec<Row> {
    let mismatch = KEYS[0].sign_parts(r#"{"alg":"RS256","kid":"a"}"#, &of_issuer().to_string());
    let nameless = Signer::es256("a").without_kid().mint(&of_issuer());
    let lost = of_other("lost");
    let unavailable = "rule=auth cause=\"the keys of the token's provider are not at hand\"";
    vec![
        invalid(&mismatch, "no key fits the algorithm"),
        invalid(&nameless, "too many keys fit a token without a key id"),
        invalid(&Signer::es256("f").mint(&of_issuer()), "unknown key id"),
        invalid(&Signer::es256("a").mint(&of_issuer()), "wrong signature"),
        Row::new("no keys", bearing("/ws/lost", &lost), Act::Asks, "keys_unavailable", unavailable),
        Row::new(
            "no keys, in a message",
            Request::upgrade("/ws/first"),
            Act::Sends(message(&lost)),
            "keys_unavailable",
            unavailable,
        ),
        Row::new(
            "guesses",
            Request::upgrade("/ws/bears"),
            Act::Guesses(KEYS[0].mint(&of_issuer())),
            "handshake_rate",
            by_client("auth", "too many tokens from this address had wrong signatures"),
        ),
    ]
}

/// A user has one handshake, by whichever carrier.
fn of_users() -> Vec<Row> {
    let by = |user: &str| minted(&json!({"sub": user}));
    let handshake = |user: &str| bearing("/ws/users", &by(user));
    let told = "rule=rates[0] side=client";
    vec![
        Row::new("bob again", handshake("bob"), Act::Asks, "handshake_rate", told).after(handshake("bob")),
        Row::new(
            "carol again, in a message",
            Request::upgrade("/ws/users"),
            Act::Sends(message(&by("carol"))),
            "handshake_rate",
            told,
        )
        .after(handshake("carol")),
    ]
}

fn of_messages() -> Vec<Row> {
    let sends = |name, path: &str, bytes, reason, told: String| {
        Row::new(name, Request::upgrade(path), Act::Sends(bytes), reason, told)
    };
    let renews = |name, token: &str, reason, told: String| {
        Row::new(name, with_token("/ws/renews"), Act::Sends(message(token)), reason, told)
    };
    let text = |text: &str| Frame::text(text).masked().bytes();
    let once = minted(&json!({"jti": "message"}));
    let no_signature = by_client("auth", "the token is not valid: wrong signature");
    let (auth, twice) = ("rule=auth side=client".to_owned(), r#"{"token":"a","token":"b"}"#);
    vec![
        sends("no JSON", "/ws/first", text("hello"), "token_missing", auth),
        sends(
            "an old token, first",
            "/ws/first",
            message(&expired()),
            "token_expired",
            by_client("auth", EXPIRED),
        ),
        sends(
            "two tokens in a message",
            "/ws/first",
            text(twice),
            INVALID,
            by_client("auth", "the token is not valid: ambiguous JSON: a member occurs twice"),
        ),
        sends(
            "a long message before a token",
            "/ws/first",
            text(&"x".repeat(17_000)),
            "message_too_big",
            by_client(
                "auth.max_unauthenticated_bytes",
                "the bytes before a token is accepted are 17008, and 16384 may be",
            ),
        ),
        sends(
            "a used token, first",
            "/ws/once",
            message(&once),
            "token_replayed",
            "rule=auth.single_use side=client".to_owned(),
        )
        .after(bearing("/ws/once", &once)),
        sends(
            "a claim, first",
            "/ws/claims",
            message(&minted(&json!({"scope": "mail"}))),
            "claims_denied",
            "rule=auth.require[0] side=client".to_owned(),
        ),
        renews(
            "another user",
            &minted(&json!({"sub": "mallory"})),
            "subject_changed",
            "rule=auth.refresh side=client".to_owned(),
        ),
        renews("a forged renewal", &tampered::signature(&minted(&json!({}))), INVALID, no_signature),
    ]
}

fn of_lists() -> Vec<Row> {
    let named = |id: &str| bearing("/ws/listed", &minted(&json!({"jti": id})));
    let told = "rule=auth.revocation side=client";
    vec![
        Row::new("a revoked token", named("gone"), Act::Asks, "token_revoked", told),
        Row::new("a token revoked later", named("going"), Act::IsRevoked("going"), "token_revoked", told),
        Row::new(
            "no list",
            with_token("/ws/unlisted"),
            Act::Asks,
            "revocation_unavailable",
            "rule=auth.revocation",
        ),
    ]
}
