//! Tokens made to be accepted by mistake, each with the cause it is refused for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

/// The token of RFC 7515 A.4: genuine, under an algorithm that no provider may have.
const ES512: &str = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.\
    AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";

/// Returns a token of a header and claims that a forger controls, signed by `algorithm` with `key`.
fn forge(header: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    sign(header, &claims().to_string(), key, algorithm)
}

/// Returns a token that is genuine in all but the header's text.
fn with_header(header: &str) -> String {
    forge(header, &key(Algorithm::EdDSA), Algorithm::EdDSA)
}

/// Returns a token that is genuine in all but the payload's text.
fn with_payload(payload: &str) -> String {
    sign(r#"{"alg":"EdDSA"}"#, payload, &key(Algorithm::EdDSA), Algorithm::EdDSA)
}

/// Returns a token that is genuine in all but one claim.
fn with_claim(name: &str, value: Value) -> String {
    mint(Algorithm::EdDSA, &claims_with(name, value))
}

/// Returns a token of a header and good claims under a signature of our making.
fn with_signature(header: &str, signature: impl AsRef<[u8]>) -> String {
    format!("{}.{}.{}", encode(header), encode(claims().to_string()), encode(signature))
}

/// Returns the three parts of a genuine token.
fn parts() -> [String; 3] {
    let token = mint(Algorithm::EdDSA, &claims());
    let parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    parts.try_into().unwrap()
}

#[track_caller]
fn all_refused(table: impl IntoIterator<Item = (&'static str, String, InvalidToken)>) {
    for (name, token, cause) in table {
        assert_eq!(verdict(token).err(), refused(cause), "{name}");
    }
}

#[test]
fn no_token_chooses_how_it_is_verified() {
    let rsa_as_secret = EncodingKey::from_secret(issuer_keys()["keys"][0]["n"].to_string().as_bytes());
    let edge_to_main = key(Algorithm::HS256);
    let main_to_edge = mint(Algorithm::RS256, &claims_with("iss", json!("edge")));
    let rs256 = mint(Algorithm::RS256, &claims());
    let (_, rs256_signature) = rs256.rsplit_once('.').unwrap();
    let ps_header = format!("{}.{}", encode(r#"{"alg":"PS256"}"#), encode(claims().to_string()));
    all_refused([
        ("none", with_signature(r#"{"alg":"none"}"#, ""), InvalidToken::Algorithm),
        ("None", with_signature(r#"{"alg":"None"}"#, ""), InvalidToken::Algorithm),
        ("NONE", with_signature(r#"{"alg":"NONE"}"#, ""), InvalidToken::Algorithm),
        ("nOnE with a signature", with_header(r#"{"alg":"nOnE"}"#), InvalidToken::Algorithm),
        ("none, escaped", with_header(r#"{"alg":"\u006eone"}"#), InvalidToken::Algorithm),
        ("none, then blank", with_header(r#"{"alg":"none "}"#), InvalidToken::Algorithm),
        ("empty alg", with_header(r#"{"alg":""}"#), InvalidToken::Algorithm),
        ("no alg", with_header(r#"{"typ":"JWT"}"#), InvalidToken::Algorithm),
        ("alg null", with_header(r#"{"alg":null}"#), InvalidToken::Header),
        ("alg as a list", with_header(r#"{"alg":["EdDSA"]}"#), InvalidToken::Header),
        ("alg in lower case", with_header(r#"{"alg":"eddsa"}"#), InvalidToken::Algorithm),
        ("ES512 as in RFC 7515 A.4", ES512.to_owned(), InvalidToken::Algorithm),
        ("encryption", with_header(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#), InvalidToken::Algorithm),
        (
            "public key as secret",
            forge(r#"{"alg":"HS256"}"#, &rsa_as_secret, Algorithm::HS256),
            InvalidToken::Algorithm,
        ),
        (
            "another provider's secret",
            forge(r#"{"alg":"HS256"}"#, &edge_to_main, Algorithm::HS256),
            InvalidToken::Algorithm,
        ),
        ("public key for a secret's issuer", main_to_edge, InvalidToken::Algorithm),
        ("RS256 as PS256", format!("{ps_header}.{rs256_signature}"), InvalidToken::Signature),
        ("key of another type", with_header(r#"{"alg":"EdDSA","kid":"rsa"}"#), InvalidToken::KeyMismatch),
        ("key of another curve", with_header(r#"{"alg":"ES384","kid":"p256"}"#), InvalidToken::KeyMismatch),
        ("crit", with_header(r#"{"alg":"EdDSA","crit":["exp"],"exp":1}"#), InvalidToken::Extension),
        ("empty crit", with_header(r#"{"alg":"EdDSA","crit":[]}"#), InvalidToken::Extension),
        ("crit null", with_header(r#"{"alg":"EdDSA","crit":null}"#), InvalidToken::Extension),
        ("b64 false", with_header(r#"{"alg":"EdDSA","b64":false,"crit":["b64"]}"#), InvalidToken::Extension),
        ("b64 true", with_header(r#"{"alg":"EdDSA","b64":true}"#), InvalidToken::Extension),
    ]);
}

#[test]
fn no_token_brings_its_own_key() {
    let own = other_rsa();
    let embedded = json!({"alg": "RS256", "jwk": jwk(&own, Algorithm::RS256, None)}).to_string();
    let embedded_as_ours =
        json!({"alg": "RS256", "kid": "rsa", "jwk": jwk(&own, Algorithm::RS256, Some("rsa"))});
    let forged = |header: &str| forge(header, &own, Algorithm::RS256);
    all_refused([
        ("jwk", forged(&embedded), InvalidToken::Signature),
        ("jwk under our kid", forged(&embedded_as_ours.to_string()), InvalidToken::Signature),
        ("jku", forged(r#"{"alg":"RS256","jku":"https://evil.example/jwks.json"}"#), InvalidToken::Signature),
        (
            "jku and kid",
            forged(r#"{"alg":"RS256","kid":"evil","jku":"https://evil.example"}"#),
            InvalidToken::KeyUnknown,
        ),
        ("x5u", forged(r#"{"alg":"RS256","x5u":"https://evil.example/cert.pem"}"#), InvalidToken::Signature),
        ("x5c", forged(r#"{"alg":"RS256","x5c":["MIIB"]}"#), InvalidToken::Signature),
        ("kid as a path", with_header(r#"{"alg":"EdDSA","kid":"../../dev/null"}"#), InvalidToken::KeyUnknown),
        (
            "kid as SQL",
            with_header(r#"{"alg":"EdDSA","kid":"x' UNION SELECT 'k"}"#),
            InvalidToken::KeyUnknown,
        ),
        ("kid in another case", with_header(r#"{"alg":"EdDSA","kid":"ED"}"#), InvalidToken::KeyUnknown),
        ("kid with NUL", with_header(r#"{"alg":"EdDSA","kid":"ed\u0000"}"#), InvalidToken::KeyUnknown),
        ("empty kid", with_header(r#"{"alg":"EdDSA","kid":""}"#), InvalidToken::KeyUnknown),
        ("kid null", with_header(r#"{"alg":"EdDSA","kid":null}"#), InvalidToken::Header),
        ("kid as a number", with_header(r#"{"alg":"EdDSA","kid":0}"#), InvalidToken::Header),
        ("kid as an object", with_header(r#"{"alg":"EdDSA","kid":{"ed":1}}"#), InvalidToken::Header),
    ]);
}

#[test]
fn no_signature_but_the_issuers_verifies() {
    let [header, payload, signature] = parts();
    let edge = claims_with("iss", json!("edge")).to_string();
    let empty_secret = sign(r#"{"alg":"HS256"}"#, &edge, &EncodingKey::from_secret(b""), Algorithm::HS256);
    let es256 = mint(Algorithm::ES256, &claims());
    let (es256_signed, es256_signature) = es256.rsplit_once('.').unwrap();
    let (es256_header, _) = es256_signed.split_once('.').unwrap();
    let genuine = URL_SAFE_NO_PAD.decode(es256_signature).unwrap();
    let (r, s) = genuine.split_at(32);
    let resigned = |signature: Vec<u8>| format!("{es256_signed}.{}", encode(signature));
    // The signature is a SEQUENCE of two INTEGERs, the form that X.509 uses, with zeros that it would leave
    // out.
    let der = [&[0x30, 0x46, 0x02, 0x21, 0][..], r, &[0x02, 0x21, 0], s].concat();
    let rs256 = mint(Algorithm::RS256, &claims());
    let (rs256_signed, rs256_signature) = rs256.rsplit_once('.').unwrap();
    let rsa = URL_SAFE_NO_PAD.decode(rs256_signature).unwrap();
    let bob = claims_with("sub", json!("bob")).to_string();
    all_refused([
        ("empty", with_signature(r#"{"alg":"EdDSA"}"#, ""), InvalidToken::Signature),
        ("one byte", with_signature(r#"{"alg":"EdDSA"}"#, [0]), InvalidToken::Signature),
        ("zero Ed25519", with_signature(r#"{"alg":"EdDSA"}"#, [0; 64]), InvalidToken::Signature),
        ("zero ECDSA", with_signature(r#"{"alg":"ES256"}"#, [0; 64]), InvalidToken::Signature),
        ("zero ECDSA on P-384", with_signature(r#"{"alg":"ES384"}"#, [0; 96]), InvalidToken::Signature),
        ("ECDSA without r", resigned([&[0; 32], s].concat()), InvalidToken::Signature),
        ("ECDSA without s", resigned([r, &[0; 32]].concat()), InvalidToken::Signature),
        ("r beyond the order", resigned([&[0xff; 32], s].concat()), InvalidToken::Signature),
        ("s beyond the order", resigned([r, &[0xff; 32]].concat()), InvalidToken::Signature),
        ("s and r", resigned([s, r].concat()), InvalidToken::Signature),
        ("ECDSA in DER", resigned(der), InvalidToken::Signature),
        (
            "ECDSA of other claims",
            format!("{es256_header}.{}.{es256_signature}", encode(&bob)),
            InvalidToken::Signature,
        ),
        ("ECDSA of the other curve", with_signature(r#"{"alg":"ES384"}"#, [1; 64]), InvalidToken::Signature),
        (
            "ECDSA, torn",
            format!("{es256_signed}.{}", es256_signature.get(4..).unwrap()),
            InvalidToken::Signature,
        ),
        ("ECDSA, longer", format!("{es256_signed}.AAAA{es256_signature}"), InvalidToken::Signature),
        ("zero RSA", with_signature(r#"{"alg":"RS256"}"#, [0; 256]), InvalidToken::Signature),
        (
            "RSA of one",
            with_signature(r#"{"alg":"RS256"}"#, [&[0; 255][..], &[1]].concat()),
            InvalidToken::Signature,
        ),
        (
            "RSA, a zero before",
            format!("{rs256_signed}.{}", encode([&[0][..], &rsa].concat())),
            InvalidToken::Signature,
        ),
        (
            "RSA, a byte less",
            format!("{rs256_signed}.{}", encode(rsa.get(1..).unwrap())),
            InvalidToken::Signature,
        ),
        ("RSA, short", with_signature(r#"{"alg":"PS256"}"#, [1; 128]), InvalidToken::Signature),
        ("empty secret", empty_secret, InvalidToken::Signature),
        ("another token's", format!("{header}.{}.{signature}", encode(&bob)), InvalidToken::Signature),
        (
            "another header",
            format!("{}.{payload}.{signature}", encode(r#"{"alg":"EdDSA","typ":"JWT"}"#)),
            InvalidToken::Signature,
        ),
        (
            "expired, and forged",
            sign(
                r#"{"alg":"RS256"}"#,
                &claims_with("exp", json!(1)).to_string(),
                &other_rsa(),
                Algorithm::RS256,
            ),
            InvalidToken::Signature,
        ),
        (
            "for others, and forged",
            sign(r#"{"alg":"RS256"}"#, &claims_without("aud").to_string(), &other_rsa(), Algorithm::RS256),
            InvalidToken::Signature,
        ),
    ]);
}

#[test]
fn no_form_but_three_parts_of_base64url_is_a_token() {
    let [header, payload, signature] = parts();
    let token = format!("{header}.{payload}.{signature}");
    let mut loose_bits = token.clone();
    assert!(loose_bits.ends_with(['A', 'Q', 'g', 'w']), "64 bytes leave four bits unused");
    loose_bits.pop();
    loose_bits.push('B');
    let big = with_claim("x", json!("x".repeat(9000)));
    all_refused([
        ("nothing", String::new(), InvalidToken::Shape),
        ("one part", header.clone(), InvalidToken::Shape),
        ("two parts", format!("{header}.{payload}"), InvalidToken::Shape),
        ("no signature", format!("{header}.{payload}."), InvalidToken::Signature),
        ("no header", format!(".{payload}.{signature}"), InvalidToken::Header),
        ("no payload", format!("{header}..{signature}"), InvalidToken::Payload),
        ("dots", "..".to_owned(), InvalidToken::Header),
        ("trailing dot", format!("{token}."), InvalidToken::Shape),
        ("leading dot", format!(".{token}"), InvalidToken::Shape),
        ("five parts, encrypted", format!("{token}.AAAA.AAAA"), InvalidToken::Shape),
        (
            "JSON serialisation",
            json!({"payload": payload, "protected": header, "signature": signature}).to_string(),
            InvalidToken::Shape,
        ),
        ("swapped parts", format!("{payload}.{header}.{signature}"), InvalidToken::Algorithm),
        ("padded header", format!("{header}=.{payload}.{signature}"), InvalidToken::Encoding),
        ("padded payload", format!("{header}.{payload}==.{signature}"), InvalidToken::Encoding),
        ("padded signature", format!("{token}=="), InvalidToken::Encoding),
        ("leading blank", format!(" {token}"), InvalidToken::Encoding),
        ("trailing newline", format!("{token}\n"), InvalidToken::Encoding),
        ("blank within", format!("{header}.{payload} .{signature}"), InvalidToken::Encoding),
        ("percent encoding", token.replace('.', "%2E"), InvalidToken::Shape),
        ("scheme", format!("Bearer {token}"), InvalidToken::Encoding),
        ("standard alphabet", format!("{header}.{payload}.+/{signature}"), InvalidToken::Encoding),
        ("unused bits set", loose_bits, InvalidToken::Encoding),
        ("beyond ASCII", format!("{token}é"), InvalidToken::Encoding),
        ("NUL", format!("{token}\0"), InvalidToken::Encoding),
        ("too long", big, InvalidToken::TooLong),
        ("too many dots", ".".repeat(10_000), InvalidToken::TooLong),
    ]);
    assert_eq!(verdict(b"\xff\xfe.\xff.\xff").err(), refused(InvalidToken::Encoding));
}

#[test]
fn no_json_that_two_readers_read_differently_is_believed() {
    let duplicate = || InvalidToken::Json(JsonError::Duplicate);
    let deep = |depth: usize| format!(r#"{{"alg":"EdDSA","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let claims_then = |more: &str| claims().to_string().replacen('{', &format!("{{{more},"), 1);
    all_refused([
        ("alg twice", with_header(r#"{"alg":"none","alg":"EdDSA"}"#), duplicate()),
        ("alg twice, escaped", with_header(r#"{"alg":"EdDSA","\u0061lg":"none"}"#), duplicate()),
        ("sub twice", with_payload(&claims_then(r#""sub":"root""#)), duplicate()),
        ("exp twice", with_payload(&claims_then(r#""e\u0078p":9e9"#)), duplicate()),
        ("twice, within", with_payload(&claims_then(r#""realm":{"tier":1,"tier":2}"#)), duplicate()),
        ("deep header", with_header(&deep(32)), InvalidToken::Json(JsonError::TooDeep)),
        ("deep payload", with_payload(&deep(32)), InvalidToken::Json(JsonError::TooDeep)),
        ("abysmal payload", with_payload(&"[".repeat(3000)), InvalidToken::Json(JsonError::TooDeep)),
        ("header as a list", with_header(r#"["alg","EdDSA"]"#), InvalidToken::Header),
        ("header as text", with_header(r#""EdDSA""#), InvalidToken::Header),
        ("header with a byte order mark", with_header("\u{feff}{\"alg\":\"EdDSA\"}"), InvalidToken::Header),
        ("two headers", with_header(r#"{"alg":"EdDSA"}{}"#), InvalidToken::Header),
        ("payload as a list", with_payload("[]"), InvalidToken::Payload),
        ("payload as a number", with_payload("1"), InvalidToken::Payload),
        ("payload null", with_payload("null"), InvalidToken::Payload),
        ("empty payload", with_payload(""), InvalidToken::Payload),
        ("a token in a token", with_payload(&mint(Algorithm::EdDSA, &claims())), InvalidToken::Payload),
        ("trailing comma", with_payload(r#"{"iss":"edge",}"#), InvalidToken::Payload),
        ("number beyond a double", with_payload(&claims_then(r#""x":1e999"#)), InvalidToken::Payload),
        ("lone surrogate", with_payload(&claims_then(r#""x":"\ud800""#)), InvalidToken::Payload),
    ]);
}

#[test]
fn no_claim_of_another_type_or_for_somebody_else_passes() {
    let without = |name| mint(Algorithm::EdDSA, &claims_without(name));
    let wrong_type = |name| InvalidToken::ClaimType(ClaimName::of(name));
    let elsewhere = || InvalidToken::Audience(ClaimName::of("aud"));
    all_refused([
        ("no exp", without("exp"), InvalidToken::NoExpiry),
        ("exp as text", with_claim("exp", json!("4000000000")), wrong_type("exp")),
        ("exp true", with_claim("exp", json!(true)), wrong_type("exp")),
        ("exp null", with_claim("exp", json!(null)), wrong_type("exp")),
        ("exp as a list", with_claim("exp", json!([4_000_000_000_u64])), wrong_type("exp")),
        ("nbf as text", with_claim("nbf", json!("0")), wrong_type("nbf")),
        ("nbf null", with_claim("nbf", json!(null)), wrong_type("nbf")),
        ("nbf to come", with_claim("nbf", json!(NOW + 31)), InvalidToken::NotYetValid),
        ("iat as text", with_claim("iat", json!("0")), wrong_type("iat")),
        ("iat false", with_claim("iat", json!(false)), wrong_type("iat")),
        ("no aud", without("aud"), InvalidToken::NoAudience(ClaimName::of("aud"))),
        ("aud of others", with_claim("aud", json!("mail")), elsewhere()),
        ("part of an aud", with_claim("aud", json!("cha")), elsewhere()),
        ("aud in another case", with_claim("aud", json!("Chat")), elsewhere()),
        ("aud and a blank", with_claim("aud", json!("chat ")), elsewhere()),
        ("auds as words", with_claim("aud", json!("chat video")), elsewhere()),
        ("empty aud", with_claim("aud", json!([])), elsewhere()),
        ("aud in a list in a list", with_claim("aud", json!([["chat"]])), wrong_type("aud")),
        ("aud among others", with_claim("aud", json!(["chat", 1])), wrong_type("aud")),
        ("aud as an object", with_claim("aud", json!({"chat": 1})), wrong_type("aud")),
        ("aud null", with_claim("aud", json!(null)), wrong_type("aud")),
        ("no iss", without("iss"), InvalidToken::UnknownIssuer),
        ("unknown iss", with_claim("iss", json!("https://evil.example/")), InvalidToken::UnknownIssuer),
        (
            "iss without its slash",
            with_claim("iss", json!("https://auth.example.com")),
            InvalidToken::UnknownIssuer,
        ),
        (
            "iss and more",
            with_claim("iss", json!("https://auth.example.com/evil")),
            InvalidToken::UnknownIssuer,
        ),
        ("iss as a list", with_claim("iss", json!([ISSUER])), wrong_type("iss")),
        ("iss null", with_claim("iss", json!(null)), wrong_type("iss")),
        ("sub as a number", with_claim("sub", json!(1)), wrong_type("sub")),
        ("sub null", with_claim("sub", json!(null)), wrong_type("sub")),
        ("jti as a number", with_claim("jti", json!(1)), wrong_type("jti")),
        ("sid as a list", with_claim("sid", json!(["s"])), wrong_type("sid")),
    ]);
}
