use serde_json::json;

use super::*;
use crate::auth::minting::{self, keyring, now, public_provider};

/// What the header becomes when its claim is `value`.
fn forwarded(value: Value) -> Result<HeaderEdit, Cause> {
    let keyring = keyring([public_provider()]);
    let payload = minting::claims_with("claim", value);
    let claims = Claims::accept(payload, keyring.providers(&["main".into()])[0], now()).unwrap();
    let forward = BTreeMap::from([("x-claim".to_owned(), ClaimPath::Name("claim".into()))]);
    claims.forward(&forward).map(|mut edits| {
        assert_eq!(edits.len(), 1);
        edits.remove(0)
    })
}

#[test]
fn scalars_and_lists_of_them_have_a_form_in_a_header() {
    for (value, expected) in [
        (json!("alice"), "alice"),
        (json!("Zoë, \"the\" \\ \t "), "Zoë, \"the\" \\ \t "),
        (json!(""), ""),
        (json!(7), "7"),
        (json!(-1.5), "-1.5"),
        (json!(u64::MAX), "18446744073709551615"),
        (json!(true), "true"),
        (json!(["a", "b"]), "a,b"),
        (json!(["a", 1, false]), "a,1,false"),
        (json!([]), ""),
    ] {
        let edit = HeaderEdit::Set("x-claim".into(), expected.as_bytes().to_vec());
        assert_eq!(forwarded(value), Ok(edit), "{expected}");
    }
}

#[test]
fn a_value_that_would_end_the_field_or_has_no_form_is_refused() {
    for value in [
        json!("a\r\nx-admin: 1"),
        json!("a\n"),
        json!("\r"),
        json!("\0"),
        json!(["a", "b\r"]),
        json!({"a": 1}),
        json!([["a"]]),
        json!([{"a": 1}]),
        json!(["a", null]),
    ] {
        assert_eq!(forwarded(value.clone()), Err(Cause::Forward), "{value}");
    }
}

#[test]
fn an_absent_claim_removes_the_clients_own_header() {
    assert_eq!(forwarded(json!(null)), Ok(HeaderEdit::Remove("x-claim".into())));
}
