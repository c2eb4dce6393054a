use super::*;

fn find(pointer: &str, message: &[u8]) -> Found {
    Place::new(&JsonPointer::new(pointer).unwrap()).find(message)
}

fn token(text: &str) -> Found {
    Found::Token(text.to_owned())
}

#[test]
fn the_string_at_the_pointer_is_found_however_it_is_written() {
    for (pointer, message) in [
        ("/token", r#"{"token":"T"}"#),
        ("/token", " {\n\"a\": [{}, [1e3, -0.5, null, true]], \"token\" : \"T\", \"b\": {\"token\": 1}} "),
        ("/auth/token", r#"{"auth":{"x":"token","token":"T"},"token":"U"}"#),
        ("/auth/token", r#"{"\u0061uth":{"tok\u0065n":"\u0054"}}"#),
        ("/a~1b/m~0n", r#"{"a/b":{"m~n":"T"}}"#),
        ("/~01", r#"{"~1":"T"}"#),
        ("/", r#"{"":"T"}"#),
        ("/a\"b", r#"{"a\"b":"T"}"#),
        ("/ключ", r#"{"ключ":"T"}"#),
        ("/ключ", r#"{"\u043a\u043b\u044e\u0447":"T"}"#),
        ("/0", r#"["T"]"#),
        ("/1/token", r#"[0,{"token":"T"},2]"#),
        ("/1", r#"{"1":"T"}"#),
        ("/01", r#"{"01":"T"}"#),
        (
            "/token",
            r#"{"token":"T","deep":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"#,
        ),
    ] {
        assert_eq!(find(pointer, message.as_bytes()), token("T"), "{pointer} {message}");
    }
}

#[test]
fn what_is_beside_the_way_has_only_to_look_like_json() {
    let deep = format!(r#"{{"x":{}{},"token":"T"}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for message in [
        deep.as_str(),
        r#"{"x":"\ud800","token":"T"}"#,
        r#"{"\ud800":1,"token":"T"}"#,
        r#"{"x":1e999,"token":"T"}"#,
        r#"{"x":1,"x":2,"token":"T"}"#,
        r#"{"x":{"token":1,"token":2},"token":"T"}"#,
    ] {
        assert_eq!(find("/token", message.as_bytes()), token("T"), "{message:.40}");
    }
    assert_eq!(find("/token", b"{\"x\":\"\xff\",\"token\":\"T\"}"), token("T"));
}

#[test]
fn anything_else_is_no_token() {
    for (pointer, message) in [
        ("/token", &b""[..]),
        ("/token", b"token"),
        ("/token", br#""token""#),
        ("/token", br#"{"token":1}"#),
        ("/token", br#"{"token":null}"#),
        ("/token", br#"{"token":["T"]}"#),
        ("/token", br#"{"token":{"token":"T"}}"#),
        ("/token", br#"{"Token":"T"}"#),
        ("/token", br#"{"a":{"token":"T"}}"#),
        ("/token", br#"[{"token":"T"}]"#),
        ("/token", br#"{"token":"T"} {}"#),
        ("/token", br#"{"token":"T""#),
        ("/token", br#"{'token':'T'}"#),
        ("/token", b"\xef\xbb\xbf{\"token\":\"T\"}"),
        ("/token", br#"{"token":"\ud800"}"#),
        ("/auth/token", br#"{"auth":"token"}"#),
        ("/01", br#"[0,"T"]"#),
        ("/-", br#"["T"]"#),
        ("/2", br#"[0,"T"]"#),
        ("/99999999999999999999999999", br#"[0,"T"]"#),
    ] {
        assert_eq!(find(pointer, message), Found::Nothing, "{pointer} {message:?}");
    }
}

#[test]
fn a_way_that_forks_is_no_way() {
    for message in [
        r#"{"auth":{"token":"T","token":"T"}}"#,
        r#"{"auth":{"token":"T","token":1}}"#,
        r#"{"auth":{"token":1,"token":"T"}}"#,
        r#"{"auth":{"token":"T"},"auth":{}}"#,
        r#"{"auth":null,"\u0061uth":{"token":"T"}}"#,
        r#"{"auth":null,"auth":{"token":"T"},"auth":null}"#,
        r#"{"auth":{"token":1,"token":"T"},"x":1}"#,
    ] {
        assert_eq!(find("/auth/token", message.as_bytes()), Found::Ambiguous, "{message}");
    }
    for message in [r#"{"auth":{"token":1,"token":2}}"#, r#"{"auth":"token","auth":{}}"#] {
        assert_eq!(find("/auth/token", message.as_bytes()), Found::Nothing, "{message}: whichever is read");
    }
}

#[test]
fn looking_first_whether_it_may_be_there_changes_nothing() {
    let place = Place::new(&JsonPointer::new("/auth/token").unwrap());
    for name in ["auth", r"\u0061uth", r"a\u0075th", "Auth", "auth ", r"\auth"] {
        for value in [r#"{"token":"T"}"#, r#"{"tok":"token"}"#, r#"{"\u0074oken":"T"}"#, r#""token""#] {
            let message = format!(r#"{{"{name}":{value}}}"#);
            let read = Way(&place.names).deserialize(&mut serde_json::Deserializer::from_str(&message));
            assert_eq!(place.find(message.as_bytes()), read.unwrap_or(Found::Nothing), "{message}");
        }
    }
}

#[test]
fn no_debug_text_shows_a_token() {
    assert_eq!(format!("{:?}", token("secret")), "Token(…)");
}
