use serde_json::json;

use super::*;
use crate::auth::minting::{self, issuer_keys};

/// Returns signatures of the RFCs: name, key, algorithm, signing input, signature.
fn published() -> Vec<(&'static str, VerificationKey, Algorithm, String, &'static str)> {
    let joe =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let frodo = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
    let secret =
        |k: &str| VerificationKey::from_secret(&URL_SAFE_NO_PAD.decode(k).unwrap(), vec![Algorithm::HS256]);
    let public = |jwk: Value| VerificationKey::from_jwk(&jwk).unwrap();
    let baggins = || {
        public(json!({"kty": "RSA", "kid": "bilbo.baggins@hobbiton.example", "use": "sig", "e": "AQAB",
            "n": "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"}))
    };
    vec![
        (
            "RFC 7515 A.1",
            secret("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"),
            Algorithm::HS256,
            format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{joe}"),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            "RFC 7515 A.2",
            public(json!({"kty": "RSA", "e": "AQAB",
                "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"})),
            Algorithm::RS256,
            format!("eyJhbGciOiJSUzI1NiJ9.{joe}"),
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            "RFC 7515 A.3",
            public(json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})),
            Algorithm::ES256,
            format!("eyJhbGciOiJFUzI1NiJ9.{joe}"),
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            "RFC 7520 4.1",
            baggins(),
            Algorithm::RS256,
            format!("eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.{frodo}"),
            "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
        ),
        (
            "RFC 7520 4.2",
            baggins(),
            Algorithm::PS384,
            format!("eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.{frodo}"),
            "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
        ),
        (
            "RFC 7520 4.4",
            secret("hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg"),
            Algorithm::HS256,
            format!(
                "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9.{frodo}"
            ),
            "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
        ),
        (
            "RFC 8037 A.4",
            public(
                json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
            ),
            Algorithm::EdDSA,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ]
}

#[test]
fn signatures_published_in_the_rfcs_verify_and_no_longer_once_a_byte_changes() {
    for (name, key, algorithm, signed, signature) in published() {
        assert!(key.verifies(algorithm, signed.as_bytes(), signature), "{name}");
        let tampered = format!("{signed}x");
        assert!(!key.verifies(algorithm, tampered.as_bytes(), signature), "{name}");
        let torn = signature.get(..signature.len() - 4).unwrap();
        assert!(!key.verifies(algorithm, signed.as_bytes(), torn), "{name}");
    }
}

#[test]
fn a_key_verifies_no_algorithm_but_its_own() {
    use Algorithm::*;
    let all = [HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA];
    for (name, key, algorithm, signed, signature) in published() {
        for other in all.into_iter().filter(|&other| other != algorithm) {
            assert!(!key.verifies(other, signed.as_bytes(), signature), "{name} as {other:?}");
        }
    }
}

#[test]
fn alg_binds_a_key_to_one_algorithm() {
    let mut jwk = issuer_keys()["keys"][0].clone();
    jwk["alg"] = json!("PS256");
    assert_eq!(VerificationKey::from_jwk(&jwk).unwrap().algorithms, [Algorithm::PS256]);
}

#[test]
fn a_modulus_with_a_leading_zero_counts_by_its_bits() {
    let mut jwk = issuer_keys()["keys"][0].clone();
    let n = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    jwk["n"] = minting::encode([&[0, 0], n.as_slice()].concat()).into();
    assert!(VerificationKey::from_jwk(&jwk).is_ok());
    for (number, bits) in [(&b""[..], 0), (b"\0\0", 0), (b"\x01", 1), (b"\0\xff", 8), (b"\x01\0", 9)] {
        assert_eq!(bit_length(number), bits, "{number:?}");
    }
}

/// Returns the issuer's key number `i`, changed.
fn changed(i: usize, change: impl Fn(&mut Map<String, Value>)) -> Value {
    let mut jwk = issuer_keys()["keys"][i].clone();
    change(jwk.as_object_mut().unwrap());
    jwk
}

#[test]
fn a_key_that_cannot_be_used_is_told_by_what_is_wrong() {
    const RSA: usize = 0;
    const P256: usize = 1;
    const P384: usize = 2;
    const ED: usize = 3;
    let set = |i, name: &str, value: Value| changed(i, |jwk| drop(jwk.insert(name.into(), value.clone())));
    let without = |i, name: &str| changed(i, |jwk| drop(jwk.remove(name)));
    let number = |bytes: usize, last: u8| {
        let mut number = vec![0xff; bytes];
        *number.last_mut().unwrap() = last;
        Value::from(minting::encode(number))
    };
    // The bytes of a point that is on the curve, cut in the wrong place.
    let shifted = changed(P256, |jwk| {
        let whole =
            ["x", "y"].map(|name| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap()).concat();
        let (x, y) = whole.split_at(31);
        jwk.extend([
            ("x".to_owned(), minting::encode(x).into()),
            ("y".to_owned(), minting::encode(y).into()),
        ]);
    });
    let table = [
        ("text", json!("key"), "not an object"),
        ("no kty", without(RSA, "kty"), "kty"),
        ("unknown kty", set(RSA, "kty", json!("AKP")), "kty is not"),
        ("lower-case kty", set(RSA, "kty", json!("rsa")), "kty is not"),
        ("shared secret", json!({"kty": "oct", "k": "c2VjcmV0"}), "kty is not"),
        ("for encryption", set(RSA, "use", json!("enc")), "use"),
        ("use of no string", set(RSA, "use", json!(["sig"])), "use"),
        ("signing only", set(RSA, "key_ops", json!(["sign"])), "key_ops"),
        ("no operation", set(RSA, "key_ops", json!([])), "key_ops"),
        ("operation as a string", set(RSA, "key_ops", json!("verify")), "key_ops"),
        ("alg of another type", set(RSA, "alg", json!("ES256")), "alg"),
        ("alg of encryption", set(RSA, "alg", json!("RSA-OAEP")), "alg"),
        ("alg none", set(RSA, "alg", json!("none")), "alg"),
        ("alg of a secret", set(RSA, "alg", json!("HS256")), "alg"),
        ("alg of no string", set(RSA, "alg", json!(256)), "alg"),
        ("kid of no string", set(RSA, "kid", json!(1)), "kid"),
        ("RSA of 1024 bits", set(RSA, "n", number(128, 1)), "1024 bits"),
        ("RSA of 2040 bits", set(RSA, "n", number(255, 1)), "2040 bits"),
        ("RSA of 4104 bits", set(RSA, "n", number(513, 1)), "4104 bits"),
        ("even modulus", set(RSA, "n", number(256, 2)), "n and e"),
        ("empty modulus", set(RSA, "n", json!("")), "0 bits"),
        ("no modulus", without(RSA, "n"), "n is missing"),
        ("padded modulus", set(RSA, "n", json!("AAE=")), "base64url"),
        ("exponent 1", set(RSA, "e", json!("AQ")), "n and e"),
        ("even exponent", set(RSA, "e", json!("AQAC")), "n and e"),
        ("exponent 0", set(RSA, "e", json!("AA")), "n and e"),
        ("exponent of 40 bits", set(RSA, "e", number(5, 1)), "n and e"),
        ("exponent of 72 bits", set(RSA, "e", number(9, 1)), "n and e"),
        ("P-521", set(P256, "crv", json!("P-521")), "unknown curve"),
        ("secp256k1", set(P256, "crv", json!("secp256k1")), "unknown curve"),
        ("P-256 as P-384", set(P256, "crv", json!("P-384")), "not a point"),
        ("P-384 as P-256", set(P384, "crv", json!("P-256")), "not a point"),
        ("not on the curve", set(P256, "y", number(32, 1)), "not a point"),
        ("short coordinate", set(P256, "x", number(31, 1)), "not a point"),
        ("coordinates of unequal size", shifted, "not a point"),
        ("no coordinate", without(P256, "y"), "y is missing"),
        ("Ed448", set(ED, "crv", json!("Ed448")), "unknown curve"),
        ("X25519", set(ED, "crv", json!("X25519")), "unknown curve"),
        ("short Ed25519 key", set(ED, "x", number(31, 1)), "not a point"),
        ("long Ed25519 key", set(ED, "x", number(33, 1)), "not a point"),
        ("empty Ed25519 key", set(ED, "x", json!("")), "not a point"),
    ];
    for (name, jwk, expected) in table {
        let unusable = VerificationKey::from_jwk(&jwk).expect_err(name);
        assert!(unusable.what.contains(expected), "{name}: {unusable:?}");
        assert!(!unusable.remedy.is_empty(), "{name}");
    }
}
