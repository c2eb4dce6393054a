//! Tokens made to be accepted by mistake (RFC 8725), each with the cause for which it is refused: on two workers, with
//! the signatures verified by Envoy where it can.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use postern_e2e::client::token::tampered::{self, parts, resigned, signature_of};
use postern_e2e::client::token::{EDGE_SECRET, edge_claims, jwks, now};
use postern_e2e::scene::document;
use postern_e2e::{Attack, ControlPair, Request, Response, Scene, Shared, Signer, Value, json};

const ISSUER: &str = "https://auth.example.com/";

const ALGORITHM: &str = "the token is not valid: algorithm not allowed";
const AUDIENCE: &str = "the token is not valid: meant for another audience, by its claim `aud`";
const DEEP: &str = "the token is not valid: ambiguous JSON: nested too deeply";
const ENCODING: &str = "the token is not valid: not base64url";
const EXPIRED: &str = "the token has expired";
const EXTENSION: &str = "the token is not valid: demands an extension";
const HEADER: &str = "the token is not valid: malformed header";
const ISSUER_UNKNOWN: &str = "the token is not valid: unknown issuer";
const KEY_MISMATCH: &str = "the token is not valid: no key fits the algorithm";
const KEY_UNKNOWN: &str = "the token is not valid: unknown key id";
const NO_AUDIENCE: &str =
    "the token is not valid: its claim `aud`, which should say whom it is for, is absent";
const NO_EXPIRY: &str = "the token is not valid: no expiry";
const NOT_YET: &str = "the token is not valid: not valid yet";
const PAYLOAD: &str = "the token is not valid: malformed payload";
const SHAPE: &str = "the token is not valid: not three parts";
const SIGNATURE: &str = "the token is not valid: wrong signature";
const TOO_LONG: &str = "the token is not valid: too long";
const TWICE: &str = "the token is not valid: ambiguous JSON: a member occurs twice";

/// The words of the log on a claim of the wrong type.
macro_rules! wrong_type {
    ($claim:literal) => {
        concat!("the token is not valid: its claim `", $claim, "` has the wrong type")
    };
}

/// A genuine token of RFC 7515 A.4, under an algorithm that no provider may have.
const ES512: &str = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.\
    AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZC\
    PEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";

/// A try: the name of the mistake, the token, and the reason why it is refused.
type Try = (&'static str, String, &'static str);

/// The issuer's keys, `rsa`, `p256`, `p384` and `ed`, and those of a stranger under the same names.
struct Keys {
    rsa: Signer,
    p256: Signer,
    p384: Signer,
    ed: Signer,
    strange: [Signer; 4],
}

impl Keys {
    fn fresh() -> Self {
        let [rsa, p256, p384, ed] = Self::four();
        Self { rsa, p256, p384, ed, strange: Self::four() }
    }

    fn four() -> [Signer; 4] {
        [Signer::rs256("rsa"), Signer::es256("p256"), Signer::es384("p384"), Signer::eddsa("ed")]
    }

    /// Returns the issuer's key set. Its RSA key serves every algorithm of RSA.
    fn jwks(&self) -> Value {
        let mut set = jwks(&[&self.rsa, &self.p256, &self.p384, &self.ed]);
        set["keys"][0].as_object_mut().expect("a key").remove("alg");
        set
    }

    fn scene(&self) -> Scene {
        let providers = json!({
            "main": {
                "issuer": ISSUER, "audiences": ["chat"], "jwks": {"inline": self.jwks()},
                "algorithms": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"],
            },
            "edge": {
                "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
                "secret": {"env": "POSTERN_EDGE_SECRET"},
            },
        });
        let auth = json!({"auth": {"providers": ["main", "edge"], "from": [{"header": "authorization"}]}});
        Scene::new()
            .document(document(providers, json!({"chat": auth})))
            // The limit leaves room for as many lines as these tests may cause in a second.
            .configured(|whole| whole["log"] = json!({"refusals_per_second": 1000}))
            .workers(2)
    }

    /// Signs a token like the issuer's own, with this text as its header.
    fn with_header(&self, header: &str) -> String {
        self.p256.sign_parts(header, &claims(json!({})).to_string())
    }

    /// Signs a token like the issuer's own, with this text as its payload.
    fn with_payload(&self, payload: &str) -> String {
        self.p256.sign_text(payload)
    }

    /// Signs a token like the issuer's own, with these claims changed.
    fn with_claims(&self, changes: Value) -> String {
        self.rsa.mint(&claims(changes))
    }
}

static KEYS: LazyLock<Keys> = LazyLock::new(Keys::fresh);
static PAIR: Shared<ControlPair> = Shared::new(|| KEYS.scene());

/// Returns the claims of a good token with some of them changed; null takes a claim out.
fn claims(changes: Value) -> Value {
    let (mut claims, Value::Object(changes)) = (edge_claims("alice"), changes) else { return Value::Null };
    claims["iss"] = json!(ISSUER);
    for (name, value) in changes {
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(&name);
        } else {
            claims[name] = value;
        }
    }
    claims
}

/// Returns the text of good claims with these members written before them.
fn claims_behind(members: &str) -> String {
    claims(json!({})).to_string().replacen('{', &format!("{{{members},"), 1)
}

fn bearing(token: &str) -> Request {
    Request::upgrade("/ws/chat").header("Authorization", format!("Bearer {token}"))
}

/// Asserts that every try is refused by Postern alone, for its own reason.
async fn all_refused(keys: &Keys, pair: &ControlPair, tries: Vec<Try>) {
    for signer in [&keys.rsa, &keys.p256, &keys.p384, &keys.ed] {
        let good = bearing(&signer.mint(&claims(json!({}))));
        assert_eq!(pair.guarded.ask(&good).await.status, 101, "{signer:?}");
    }
    for (name, token, cause) in tries {
        let reason = if cause == EXPIRED { "token_expired" } else { "token_invalid" };
        let attack = Attack { name, request: bearing(&token), policy: "chat", status: 401, reason };
        let response = pair.assert_refused(&attack).await;
        assert_eq!(detail(pair, &response).await, cause, "{name}");
    }
    assert_eq!(pair.guarded.envoy().stats().await.sum("postern_verification_fallbacks", &[]), 0.0);
}

/// Returns the detail of a refusal, which only the log has.
async fn detail(pair: &ControlPair, response: &Response) -> String {
    let instance = response.json()["instance"].as_str().expect("an instance").replacen("urn:uuid:", "", 1);
    let line = pair.guarded.envoy().logged(&instance).await.pop().expect("a line");
    line.split_once("cause=\"").and_then(|(_, rest)| rest.split_once('"')).expect("a cause").0.to_owned()
}

#[tokio::test]
async fn no_token_chooses_how_it_is_verified_or_brings_its_own_key() {
    let (keys, pair) = (&*KEYS, PAIR.alone().await);
    let good = keys.p256.mint(&claims(json!({})));
    let unsigned = |header: &str| tampered::unsigned(&tampered::header(&good, header));
    let as_secret = |secret: &str| Signer::hs256(secret).mint(&claims(json!({})));
    let rsa = |algorithm| keys.rsa.clone().with_algorithm(algorithm).mint(&claims(json!({})));
    // Makes a token with the signature of one algorithm under the name of another.
    let renamed = |from, to: &str| {
        let text = json!({"alg": to, "kid": "rsa"}).to_string();
        keys.rsa.clone().with_algorithm(from).sign_parts(&text, &claims(json!({})).to_string())
    };
    let [strange_rsa, strange_p256, strange_p384, strange_ed] = &keys.strange;
    let strange = |header: Value| strange_rsa.sign_parts(&header.to_string(), &claims(json!({})).to_string());
    let header = |text: &str| keys.with_header(text);
    let jwk = keys.rsa.jwk();
    let tries = vec![
        ("none", unsigned(r#"{"alg":"none"}"#), ALGORITHM),
        ("None", unsigned(r#"{"alg":"None"}"#), ALGORITHM),
        ("NONE", unsigned(r#"{"alg":"NONE"}"#), ALGORITHM),
        ("nOnE, signed", header(r#"{"alg":"nOnE"}"#), ALGORITHM),
        ("none, escaped", header(r#"{"alg":"\u006eone"}"#), ALGORITHM),
        ("none, then blank", header(r#"{"alg":"none "}"#), ALGORITHM),
        ("none, and a kid", unsigned(r#"{"alg":"none","kid":"p256"}"#), ALGORITHM),
        ("an empty algorithm", header(r#"{"alg":""}"#), ALGORITHM),
        ("no algorithm", header(r#"{"typ":"JWT"}"#), ALGORITHM),
        ("an algorithm of null", header(r#"{"alg":null}"#), HEADER),
        ("a list of algorithms", header(r#"{"alg":["ES256"]}"#), HEADER),
        ("an algorithm in lower case", header(r#"{"alg":"es256"}"#), ALGORITHM),
        ("an algorithm under an upper-case name", header(r#"{"ALG":"ES256"}"#), ALGORITHM),
        ("ES512 of RFC 7515", ES512.to_owned(), ALGORITHM),
        ("ES256K", header(r#"{"alg":"ES256K"}"#), ALGORITHM),
        ("an algorithm of encryption", header(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#), ALGORITHM),
        ("the public key in PEM as a secret", as_secret(keys.rsa.public_pem()), ALGORITHM),
        ("the public key's JWK as a secret", as_secret(&jwk.to_string()), ALGORITHM),
        ("the modulus as a secret", as_secret(jwk["n"].as_str().unwrap_or_default()), ALGORITHM),
        ("another provider's secret", as_secret(EDGE_SECRET), ALGORITHM),
        ("a public key for a secret's issuer", keys.with_claims(json!({"iss": "edge"})), ALGORITHM),
        (
            "an unsigned token of a secret's issuer",
            tampered::unsigned(&Signer::edge().mint(&edge_claims("a"))),
            SIGNATURE,
        ),
        ("an empty secret", Signer::hs256("").mint(&edge_claims("alice")), SIGNATURE),
        ("RS256 as PS256", renamed(Algorithm::RS256, "PS256"), SIGNATURE),
        ("PS256 as RS256", renamed(Algorithm::PS256, "RS256"), SIGNATURE),
        ("RS256 as RS384", renamed(Algorithm::RS256, "RS384"), SIGNATURE),
        ("RS512 as RS256", renamed(Algorithm::RS512, "RS256"), SIGNATURE),
        ("PS384 as PS512", renamed(Algorithm::PS384, "PS512"), SIGNATURE),
        ("ES256 by an RSA key", header(r#"{"alg":"ES256","kid":"rsa"}"#), KEY_MISMATCH),
        ("RS256 by an EC key", header(r#"{"alg":"RS256","kid":"p256"}"#), KEY_MISMATCH),
        ("ES384 by a key of P-256", header(r#"{"alg":"ES384","kid":"p256"}"#), KEY_MISMATCH),
        ("EdDSA by an EC key", header(r#"{"alg":"EdDSA","kid":"p256"}"#), KEY_MISMATCH),
        ("a critical parameter", header(r#"{"alg":"ES256","crit":["exp"],"exp":1}"#), EXTENSION),
        ("no critical parameter", header(r#"{"alg":"ES256","crit":[]}"#), EXTENSION),
        ("critical null", header(r#"{"alg":"ES256","crit":null}"#), EXTENSION),
        ("b64 false", header(r#"{"alg":"ES256","b64":false,"crit":["b64"]}"#), EXTENSION),
        ("b64 true", header(r#"{"alg":"ES256","b64":true}"#), EXTENSION),
        ("its own jwk", strange(json!({"alg": "RS256", "jwk": strange_rsa.jwk()})), SIGNATURE),
        (
            "its own jwk under our kid",
            strange(json!({"alg": "RS256", "kid": "rsa", "jwk": strange_rsa.jwk()})),
            SIGNATURE,
        ),
        ("its own jku", strange(json!({"alg": "RS256", "jku": "https://evil.example/jwks.json"})), SIGNATURE),
        (
            "its own jku and kid",
            strange(json!({"alg": "RS256", "kid": "evil", "jku": "https://evil.example/"})),
            KEY_UNKNOWN,
        ),
        ("its own x5u", strange(json!({"alg": "RS256", "x5u": "https://evil.example/cert.pem"})), SIGNATURE),
        ("its own x5c", strange(json!({"alg": "RS256", "x5c": ["MIIB"]})), SIGNATURE),
        ("a stranger's RSA key", strange_rsa.mint(&claims(json!({}))), SIGNATURE),
        (
            "a stranger's RSA key, PSS",
            strange_rsa.clone().with_algorithm(Algorithm::PS512).mint(&claims(json!({}))),
            SIGNATURE,
        ),
        ("a stranger's P-256 key", strange_p256.mint(&claims(json!({}))), SIGNATURE),
        ("a stranger's P-384 key", strange_p384.mint(&claims(json!({}))), SIGNATURE),
        ("a stranger's Ed25519 key", strange_ed.mint(&claims(json!({}))), SIGNATURE),
        ("a stranger's key, expired", strange_rsa.mint(&claims(json!({"exp": 1}))), SIGNATURE),
        ("a kid that is a path", header(r#"{"alg":"ES256","kid":"../../dev/null"}"#), KEY_UNKNOWN),
        ("a kid that is SQL", header(r#"{"alg":"ES256","kid":"x' UNION SELECT 'k"}"#), KEY_UNKNOWN),
        ("a kid in another case", header(r#"{"alg":"ES256","kid":"P256"}"#), KEY_UNKNOWN),
        ("a kid with a NUL", header(r#"{"alg":"ES256","kid":"p256\u0000"}"#), KEY_UNKNOWN),
        ("an empty kid", header(r#"{"alg":"ES256","kid":""}"#), KEY_UNKNOWN),
        ("a kid of null", header(r#"{"alg":"ES256","kid":null}"#), HEADER),
        ("a kid that is a number", header(r#"{"alg":"ES256","kid":0}"#), HEADER),
        ("a kid that is an object", header(r#"{"alg":"ES256","kid":{"p256":1}}"#), HEADER),
        ("two algorithms", header(r#"{"alg":"none","alg":"ES256"}"#), TWICE),
        ("two algorithms, one escaped", header(r#"{"alg":"ES256","\u0061lg":"none"}"#), TWICE),
        ("two kids", header(r#"{"alg":"ES256","kid":"p256","kid":"rsa"}"#), TWICE),
        (
            "a changed header",
            tampered::header(&rsa(Algorithm::RS256), r#"{"alg":"RS256","typ":"at+jwt"}"#),
            SIGNATURE,
        ),
    ];
    all_refused(keys, &pair, tries).await;
}

#[tokio::test]
async fn no_signature_but_the_issuers_verifies() {
    let (keys, pair) = (&*KEYS, PAIR.alone().await);
    let [rs256, es256, es384, eddsa] =
        [&keys.rsa, &keys.p256, &keys.p384, &keys.ed].map(|signer| signer.mint(&claims(json!({}))));
    let [rsa, p256, p384, ed] = [&rs256, &es256, &es384, &eddsa].map(|token| signature_of(token));
    let (r, s) = p256.split_at(32);
    let (r384, s384) = p384.split_at(48);
    // The numbers of a signature are below the order of the curve (SEC 2 §2.4.2, §2.5.1).
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let order384 = hex(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    );
    let bob = claims(json!({"sub": "bob"}));
    let tries = vec![
        ("no RSA signature", tampered::unsigned(&rs256), SIGNATURE),
        ("no ECDSA signature", tampered::unsigned(&es256), SIGNATURE),
        ("no EdDSA signature", tampered::unsigned(&eddsa), SIGNATURE),
        ("one byte of RSA", resigned(&rs256, [1]), SIGNATURE),
        ("one byte of ECDSA", resigned(&es256, [1]), SIGNATURE),
        ("one byte of EdDSA", resigned(&eddsa, [1]), SIGNATURE),
        ("one bit of RSA", tampered::signature(&rs256), SIGNATURE),
        ("one bit of P-256", tampered::signature(&es256), SIGNATURE),
        ("one bit of P-384", tampered::signature(&es384), SIGNATURE),
        ("one bit of EdDSA", tampered::signature(&eddsa), SIGNATURE),
        ("a zero for RSA", resigned(&rs256, [0; 256]), SIGNATURE),
        ("a one for RSA", resigned(&rs256, [&[0; 255][..], &[1]].concat()), SIGNATURE),
        ("the largest for RSA", resigned(&rs256, [0xff; 256]), SIGNATURE),
        ("RSA, a byte less", resigned(&rs256, &rsa[1..]), SIGNATURE),
        ("RSA, a zero before", resigned(&rs256, [&[0][..], &rsa].concat()), SIGNATURE),
        ("RSA, a zero behind", resigned(&rs256, [&rsa[..], &[0]].concat()), SIGNATURE),
        ("RSA, twice", resigned(&rs256, rsa.repeat(2)), SIGNATURE),
        ("zeros for P-256", resigned(&es256, [0; 64]), SIGNATURE),
        ("zeros for P-384", resigned(&es384, [0; 96]), SIGNATURE),
        ("P-256 without r", resigned(&es256, [&[0; 32], s].concat()), SIGNATURE),
        ("P-256 without s", resigned(&es256, [r, &[0; 32]].concat()), SIGNATURE),
        ("P-384 without r", resigned(&es384, [&[0; 48], s384].concat()), SIGNATURE),
        ("P-384 without s", resigned(&es384, [r384, &[0; 48]].concat()), SIGNATURE),
        ("r is the order of P-256", resigned(&es256, [&order, s].concat()), SIGNATURE),
        ("s is the order of P-256", resigned(&es256, [r, &order].concat()), SIGNATURE),
        ("r is the order of P-384", resigned(&es384, [&order384, s384].concat()), SIGNATURE),
        ("s is the order of P-384", resigned(&es384, [r384, &order384].concat()), SIGNATURE),
        ("r and s beyond all", resigned(&es256, [0xff; 64]), SIGNATURE),
        ("s and r", resigned(&es256, [s, r].concat()), SIGNATURE),
        ("P-256 in DER", resigned(&es256, der(r, s)), SIGNATURE),
        ("P-384 in DER", resigned(&es384, der(r384, s384)), SIGNATURE),
        ("P-256, a byte less", resigned(&es256, &p256[1..]), SIGNATURE),
        ("P-256, a byte more", resigned(&es256, [&p256[..], &[0]].concat()), SIGNATURE),
        ("P-256 in numbers of P-384", resigned(&es256, [&[0; 16], r, &[0; 16], s].concat()), SIGNATURE),
        ("P-256 with a one as s", resigned(&es256, [r, &[0; 31], &[1]].concat()), SIGNATURE),
        ("zeros for EdDSA", resigned(&eddsa, [0; 64]), SIGNATURE),
        ("EdDSA, a byte more", resigned(&eddsa, [&ed[..], &[0]].concat()), SIGNATURE),
        ("EdDSA with the unit for a point", resigned(&eddsa, [&[1][..], &[0; 63]].concat()), SIGNATURE),
        ("RSA of other claims", tampered::claims(&rs256, &bob), SIGNATURE),
        ("P-256 of other claims", tampered::claims(&es256, &bob), SIGNATURE),
        ("P-384 of other claims", tampered::claims(&es384, &bob), SIGNATURE),
        ("EdDSA of other claims", tampered::claims(&eddsa, &bob), SIGNATURE),
        ("a signature of another token", resigned(&es256, signature_of(&keys.p256.mint(&bob))), SIGNATURE),
    ];
    all_refused(keys, &pair, tries).await;
}

/// Writes an ECDSA signature as a SEQUENCE of two INTEGERs, which X.509 and Envoy expect and a JWS does not
/// have.
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let digits: Vec<u8> = number.iter().copied().skip_while(|&byte| byte == 0).collect();
        let sign = if digits[0] > 0x7f { &[0][..] } else { &[] };
        let length = u8::try_from(sign.len() + digits.len()).expect("a short number");
        [&[2, length], sign, &digits].concat()
    };
    let numbers = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(numbers.len()).expect("two short numbers")][..], &numbers].concat()
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits"))
        .collect()
}

#[tokio::test]
async fn no_form_but_three_parts_of_base64url_and_plain_json_is_a_token() {
    let (keys, pair) = (&*KEYS, PAIR.alone().await);
    let token = keys.ed.mint(&claims(json!({})));
    let [header, payload, signature] = parts(&token);
    // 64 bytes leave four bits of the last digit unused.
    let loose_bits = format!("{}B", &token[..token.len() - 1]);
    let deep = |depth: usize| format!(r#""x":{}{}"#, "[".repeat(depth), "]".repeat(depth));
    let with = |payload: &str| keys.with_payload(payload);
    let behind = |members: &str| keys.with_payload(&claims_behind(members));
    let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let json_form = json!({"payload": payload, "protected": header, "signature": signature});
    let tries = vec![
        ("nothing but a scheme", String::new(), SHAPE),
        ("one part", header.to_owned(), SHAPE),
        ("two parts", format!("{header}.{payload}"), SHAPE),
        ("four parts", format!("{token}.{signature}"), SHAPE),
        ("five parts, encrypted", format!("{token}.AAAA.AAAA"), SHAPE),
        ("a dot behind", format!("{token}."), SHAPE),
        ("a dot before", format!(".{token}"), SHAPE),
        ("a dot more between", token.replacen('.', "..", 1), SHAPE),
        ("dots alone", "..".to_owned(), HEADER),
        ("no header", format!(".{payload}.{signature}"), HEADER),
        ("no payload", format!("{header}..{signature}"), PAYLOAD),
        ("the JSON serialisation", json_form.to_string(), SHAPE),
        ("percent encoding", token.replace('.', "%2E"), SHAPE),
        ("another part first", format!("{payload}.{header}.{signature}"), ALGORITHM),
        ("padding of the header", format!("{header}=.{payload}.{signature}"), ENCODING),
        ("padding of the payload", format!("{header}.{payload}==.{signature}"), ENCODING),
        ("padding of the signature", format!("{token}=="), ENCODING),
        ("a blank within", format!("{header}.{payload} .{signature}"), ENCODING),
        ("a tab within", format!("{header}.\t{payload}.{signature}"), ENCODING),
        ("the scheme twice", format!("Bearer {token}"), ENCODING),
        ("the standard alphabet", format!("{header}.{payload}.+/{signature}"), ENCODING),
        ("bits that do not count", loose_bits, ENCODING),
        ("beyond ASCII", format!("{token}é"), ENCODING),
        ("a quoted token", format!("\"{token}\""), ENCODING),
        ("a list of tokens", format!("{token},{token}"), SHAPE),
        ("cut short", token[..token.len() - 2].to_owned(), SIGNATURE),
        ("too long", behind(&format!(r#""x":"{}""#, "x".repeat(8 * 1024))), TOO_LONG),
        ("too many dots", ".".repeat(10_000), TOO_LONG),
        ("a header that is a list", keys.with_header(r#"["alg","ES256"]"#), HEADER),
        ("a header that is text", keys.with_header(r#""ES256""#), HEADER),
        ("a header behind a byte order mark", keys.with_header("\u{feff}{\"alg\":\"ES256\"}"), HEADER),
        ("two headers", keys.with_header(r#"{"alg":"ES256"}{}"#), HEADER),
        ("a header that is no JSON", keys.with_header("{alg:ES256}"), HEADER),
        ("a deep header", keys.with_header(&format!(r#"{{"alg":"ES256",{}}}"#, deep(32))), DEEP),
        ("a deep payload", behind(&deep(32)), DEEP),
        ("an abyss", with(&"[".repeat(3000)), DEEP),
        ("two subjects", behind(r#""sub":"root""#), TWICE),
        ("two expiries, one escaped", behind(r#""e\u0078p":9e9"#), TWICE),
        ("two issuers", behind(r#""iss":"edge""#), TWICE),
        ("two of one name within", behind(r#""realm":{"tier":1,"tier":2}"#), TWICE),
        ("a payload that is a list", with("[]"), PAYLOAD),
        ("a payload that is a number", with("1"), PAYLOAD),
        ("a payload of null", with("null"), PAYLOAD),
        ("an empty payload", with(""), PAYLOAD),
        ("a token in a token", with(&token), PAYLOAD),
        ("a comma at the end", with(r#"{"iss":"edge",}"#), PAYLOAD),
        (
            "an expiry beyond a double",
            with(&claims(json!({"exp": null})).to_string().replacen('{', r#"{"exp":1e999,"#, 1)),
            PAYLOAD,
        ),
        (
            "an expiry that is infinite",
            with(&claims(json!({"exp": null})).to_string().replacen('{', r#"{"exp":Infinity,"#, 1)),
            PAYLOAD,
        ),
        (
            "an expiry in hexadecimal",
            with(&claims(json!({"exp": null})).to_string().replacen('{', r#"{"exp":0xffffffff,"#, 1)),
            PAYLOAD,
        ),
        ("a lone surrogate", behind(r#""x":"\ud800""#), PAYLOAD),
        ("bare text as a payload", format!("{header}.{}.{signature}", encoded("alice")), PAYLOAD),
    ];
    all_refused(keys, &pair, tries).await;
}

#[tokio::test]
async fn no_claim_of_another_type_or_time_or_for_somebody_else_passes() {
    let (keys, pair) = (&*KEYS, PAIR.alone().await);
    let with = |changes: Value| keys.with_claims(changes);
    let null = |name: &str| {
        let members = format!(r#""{name}":null"#);
        let text = claims(json!({ name: null })).to_string().replacen('{', &format!("{{{members},"), 1);
        keys.with_payload(&text)
    };
    let tries = vec![
        ("no expiry", with(json!({"exp": null})), NO_EXPIRY),
        ("an expiry of null", null("exp"), wrong_type!("exp")),
        ("an expiry as text", with(json!({"exp": "99999999999"})), wrong_type!("exp")),
        ("an expiry that is true", with(json!({"exp": true})), wrong_type!("exp")),
        ("a list of expiries", with(json!({"exp": [99_999_999_999_u64]})), wrong_type!("exp")),
        ("an expiry that is an object", with(json!({"exp": {"$gt": 0}})), wrong_type!("exp")),
        ("expired", with(json!({"exp": now() - 60})), EXPIRED),
        ("expired by a fraction", with(json!({"exp": now() as f64 - 60.5})), EXPIRED),
        ("expired in 1970", with(json!({"exp": 0})), EXPIRED),
        ("expired before 1970", with(json!({"exp": -1})), EXPIRED),
        ("expired long before", with(json!({"exp": i64::MIN})), EXPIRED),
        ("expired before everything", with(json!({"exp": -1e300})), EXPIRED),
        ("a not-before as text", with(json!({"nbf": "0"})), wrong_type!("nbf")),
        ("a not-before of null", null("nbf"), wrong_type!("nbf")),
        ("not yet", with(json!({"nbf": now() + 120})), NOT_YET),
        ("not in this age", with(json!({"nbf": u64::MAX})), NOT_YET),
        ("not in any age", with(json!({"nbf": 1e300})), NOT_YET),
        ("issued at a text", with(json!({"iat": "0"})), wrong_type!("iat")),
        ("issued at false", with(json!({"iat": false})), wrong_type!("iat")),
        ("no audience", with(json!({"aud": null})), NO_AUDIENCE),
        ("another audience", with(json!({"aud": "mail"})), AUDIENCE),
        ("part of the audience", with(json!({"aud": "cha"})), AUDIENCE),
        ("the audience in another case", with(json!({"aud": "Chat"})), AUDIENCE),
        ("the audience and a blank", with(json!({"aud": "chat "})), AUDIENCE),
        ("audiences as words", with(json!({"aud": "chat video"})), AUDIENCE),
        ("no audiences", with(json!({"aud": []})), AUDIENCE),
        ("audiences in a list in a list", with(json!({"aud": [["chat"]]})), wrong_type!("aud")),
        ("an audience beside a number", with(json!({"aud": ["chat", 1]})), wrong_type!("aud")),
        ("an audience that is an object", with(json!({"aud": {"chat": 1}})), wrong_type!("aud")),
        ("an audience of null", null("aud"), wrong_type!("aud")),
        ("no issuer", with(json!({"iss": null})), ISSUER_UNKNOWN),
        ("another issuer", with(json!({"iss": "https://evil.example/"})), ISSUER_UNKNOWN),
        ("the issuer without its slash", with(json!({"iss": "https://auth.example.com"})), ISSUER_UNKNOWN),
        ("the issuer and more", with(json!({"iss": "https://auth.example.com/evil"})), ISSUER_UNKNOWN),
        ("the issuer in upper case", with(json!({"iss": ISSUER.to_uppercase()})), ISSUER_UNKNOWN),
        ("a list of issuers", with(json!({"iss": [ISSUER]})), wrong_type!("iss")),
        ("an issuer of null", null("iss"), wrong_type!("iss")),
        ("a subject that is a number", with(json!({"sub": 1})), wrong_type!("sub")),
        ("a subject that is a list", with(json!({"sub": ["alice", "root"]})), wrong_type!("sub")),
        ("a subject of null", null("sub"), wrong_type!("sub")),
        ("a token id that is a number", with(json!({"jti": 1})), wrong_type!("jti")),
        ("a session id that is a list", with(json!({"sid": ["s"]})), wrong_type!("sid")),
    ];
    all_refused(keys, &pair, tries).await;
}
