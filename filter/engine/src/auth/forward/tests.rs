use serde_json::json;

use super::*;
use crate::auth::minting::{self, keyring, now, public_provider};

/// Returns the edit of the header when its claim is `value`.
fn forwarded(value: Value) -> Result<HeaderEdit, InvalidToken> {
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
        (json!("Zoë, \"the\" \\ one"), "Zoë, \"the\" \\ one"),
        (json!("à"), "à"),
        (json!("\u{1f469}\u{200d}\u{1f4bb}"), "\u{1f469}\u{200d}\u{1f4bb}"),
        (json!("a\u{a0}b"), "a\u{a0}b"),
        (json!(""), ""),
        (json!(7), "7"),
        (json!(7.0), "7"),
        (json!(-0.0), "0"),
        (json!(-1.5), "-1.5"),
        (json!(1e15), "1000000000000000"),
        (json!(i64::MIN), "-9223372036854775808"),
        (json!(u64::MAX), "18446744073709551615"),
        (json!(true), "true"),
        (json!(["a", "b"]), "a,b"),
        (json!(["a b", 1, false]), "a b,1,false"),
        (json!([]), ""),
    ] {
        let edit = HeaderEdit::Set("x-claim".into(), expected.as_bytes().to_vec());
        assert_eq!(forwarded(value), Ok(edit), "{expected}");
    }
}

#[test]
fn a_value_that_a_service_could_read_as_another_is_refused() {
    for (value, unfit) in [
        (json!(" alice"), Unfit::Blank),
        (json!("alice "), Unfit::Blank),
        (json!(" "), Unfit::Blank),
        (json!("alice\u{a0}"), Unfit::Blank),
        (json!("\u{2003}alice"), Unfit::Blank),
        (json!("alice\u{feff}"), Unfit::Blank),
        (json!("alice\u{200b}"), Unfit::Blank),
        (json!("\u{202e}alice"), Unfit::Blank),
        (json!("alice\u{e0041}"), Unfit::Blank),
        (json!(["a", "b "]), Unfit::Blank),
        (json!("a\r\nx-admin: 1"), Unfit::Control),
        (json!("a\n"), Unfit::Control),
        (json!("\r"), Unfit::Control),
        (json!("\0"), Unfit::Control),
        (json!("a\tb"), Unfit::Control),
        (json!("alice\t"), Unfit::Control),
        (json!("a\u{1b}b"), Unfit::Control),
        (json!("a\u{7f}"), Unfit::Control),
        (json!("a\u{85}b"), Unfit::Control),
        (json!(["a", "b\r"]), Unfit::Control),
        (json!(["user,admin"]), Unfit::Separator),
        (json!(["a", ","]), Unfit::Separator),
        (json!(["\"a", "b\""]), Unfit::Separator),
        (json!([""]), Unfit::EmptyMember),
        (json!(["a", "", "b"]), Unfit::EmptyMember),
        (json!(1e16), Unfit::Inexact),
        (json!(18_446_744_073_709_551_616.0), Unfit::Inexact),
        (json!([-9_007_199_254_740_992.0]), Unfit::Inexact),
        (json!({"a": 1}), Unfit::Structure),
        (json!([["a"]]), Unfit::Structure),
        (json!([{"a": 1}]), Unfit::Structure),
        (json!(["a", null]), Unfit::Structure),
    ] {
        assert_eq!(forwarded(value.clone()), Err(InvalidToken::Forward(unfit)), "{value}");
    }
}

#[test]
fn the_form_of_one_text_is_that_of_no_other_once_it_is_trimmed() {
    let texts =
        ["alice", "alice ", " alice", "alice\t", "alice\u{a0}", "Alice", "", " ", "alice\0", "à", "a"];
    let mut forms = BTreeMap::new();
    for text in texts {
        let Ok(HeaderEdit::Set(_, form)) = forwarded(json!(text)) else { continue };
        let trimmed = String::from_utf8(form).unwrap().trim().to_owned();
        assert_eq!(forms.insert(trimmed, text), None, "{text:?}");
    }
    assert_eq!(forms.len(), 5);
}

#[test]
fn an_absent_claim_removes_the_clients_own_header() {
    assert_eq!(forwarded(json!(null)), Ok(HeaderEdit::Remove("x-claim".into())));
}
