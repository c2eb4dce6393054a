use super::*;

fn tuple(scheme: &str, host: &str, port: Option<u16>) -> Option<Origin> {
    Some(Origin::Tuple { scheme: scheme.to_owned(), host: host.to_owned(), port })
}

#[test]
fn a_request_origin_has_one_form() {
    for (value, expected) in [
        (&b"https://app.example.com"[..], tuple("https", "app.example.com", Some(443))),
        (b"HTTPS://App.Example.COM", tuple("https", "app.example.com", Some(443))),
        (b"https://app.example.com:443", tuple("https", "app.example.com", Some(443))),
        (b"http://app.example.com", tuple("http", "app.example.com", Some(80))),
        (b"https://app.example.com:8443", tuple("https", "app.example.com", Some(8443))),
        (b"https://xn--bcher-kva.example", tuple("https", "xn--bcher-kva.example", Some(443))),
        (b"http://127.0.0.1:3000", tuple("http", "127.0.0.1", Some(3000))),
        (b"http://[::1]:3000", tuple("http", "[::1]", Some(3000))),
        (b"http://[0:0::1]", tuple("http", "[::1]", Some(80))),
        (b"capacitor://localhost", tuple("capacitor", "localhost", None)),
        (b"null", Some(Origin::Opaque)),
        (b"file://", tuple("file", "", None)),
        (b"FILE://", tuple("file", "", None)),
        (b"wss://App.example.com", tuple("wss", "app.example.com", Some(443))),
        (
            b"chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai",
            tuple("chrome-extension", "mhjfbmdgcfjbbpaeojofohoefgiehjai", None),
        ),
        (b"app://localhost:8080", tuple("app", "localhost", Some(8080))),
    ] {
        assert_eq!(Origin::parse(value), expected, "{}", value.escape_ascii());
    }
}

#[test]
fn what_no_user_agent_writes_is_no_origin() {
    for value in [
        &b""[..],
        b"NULL",
        b"*",
        b"app.example.com",
        b"//app.example.com",
        b"https:/app.example.com",
        b"https://",
        b"wss://",
        b"file:///",
        b"file:///android_asset/index.html",
        b"file://:80",
        b"https://app.example.com:*",
        b"https://*",
        b"app.example.com:8443",
        b"https:///",
        b"https://app.example.com/",
        b"https://app.example.com/chat",
        b"https://app.example.com?x",
        b"https://app.example.com#x",
        b"https://app.example.com\\x",
        b"https://user@app.example.com",
        b"https://app.example.com.",
        b"https://app..example.com",
        b"https://.example.com",
        b"https://app.example.com https://evil.example",
        b"https://app.example.com, https://evil.example",
        b" https://app.example.com",
        b"https://app.example.com ",
        b"https://app.example.com:",
        b"https://app.example.com:0",
        b"https://app.example.com:0443",
        b"https://app.example.com:+443",
        b"https://app.example.com:65536",
        b"https://app.example.com:443:443",
        b"https://[::1",
        b"https://::1",
        b"https://[::1]x",
        b"https://[fe80::1%25eth0]",
        b"https://b\xc3\xbccher.example",
        b"https://app.example.com\0",
        b"https://app%2eexample.com",
        b"https://*.example.com",
        b"\xff",
        b"1https://app.example.com",
    ] {
        assert_eq!(Origin::parse(value), None, "{}", value.escape_ascii());
    }
}

#[test]
fn a_pattern_stands_for_no_more_than_it_says() {
    for (text, origin, expected) in [
        ("https://app.example.com", "https://app.example.com", true),
        ("https://app.example.com", "https://APP.example.com:443", true),
        ("https://app.example.com:443", "https://app.example.com", true),
        ("https://app.example.com", "http://app.example.com", false),
        ("https://app.example.com", "http://app.example.com:443", false),
        ("https://app.example.com", "https://app.example.com:8443", false),
        ("https://app.example.com", "https://app.example.com.evil.example", false),
        ("https://app.example.com", "https://evil-app.example.com", false),
        ("https://*.example.com", "https://a.example.com", true),
        ("https://*.example.com", "https://a.b.example.com", true),
        ("https://*.example.com", "https://example.com", false),
        ("https://*.example.com", "https://evilexample.com", false),
        ("https://*.example.com", "https://a.example.com:8443", false),
        ("https://*.example.com:8443", "https://a.example.com:8443", true),
        ("https://*.example.com", "http://a.example.com", false),
        ("https://B\u{fc}cher.example", "https://xn--bcher-kva.example", true),
        ("http://[::1]:3000", "http://[0:0:0:0:0:0:0:1]:3000", true),
        ("capacitor://localhost", "capacitor://localhost", true),
        ("null", "null", true),
        ("null", "https://app.example.com", false),
        ("https://app.example.com", "null", false),
        ("https://*.example.com", "null", false),
        ("*", "https://anything.example", true),
        ("*", "null", true),
        ("file://", "file://", true),
        ("file://", "file://host", false),
        ("file://", "https://host", false),
        ("wss://app.example.com", "wss://app.example.com", true),
        ("wss://app.example.com", "https://app.example.com", false),
        ("https://app.example.com", "wss://app.example.com", false),
        ("Chrome-Extension://ABC", "chrome-extension://abc", true),
        ("chrome-extension://*", "chrome-extension://abc", true),
        ("chrome-extension://*", "moz-extension://abc", false),
        ("app://*", "app://", false),
        ("https://*", "https://anything.example", true),
        ("https://*", "https://127.0.0.1", true),
        ("https://*", "https://anything.example:8443", false),
        ("https://*", "http://anything.example", false),
        ("https://*", "null", false),
        ("http://localhost:*", "http://localhost", true),
        ("http://localhost:*", "http://localhost:5173", true),
        ("http://localhost:*", "http://localhost.evil.example:5173", false),
        ("http://localhost:*", "https://localhost:5173", false),
        ("https://*.example.com:*", "https://a.example.com:8443", true),
        ("https://*.example.com:*", "https://example.com:8443", false),
        ("http://[::1]:*", "http://[::1]:9", true),
        ("http://*:*", "http://a.example:9", true),
    ] {
        let pattern = pattern(text).unwrap();
        let origin = Origin::parse(origin.as_bytes()).unwrap();
        assert_eq!(pattern.matches(&origin), expected, "{text} {origin:?}");
    }
}

#[test]
fn a_mistaken_pattern_gets_a_remedy() {
    for (text, remedy) in [
        ("app.example.com", "write `https://app.example.com`"),
        ("localhost:8443", "write `https://localhost:8443`"),
        ("*.example.com", "write `https://*.example.com`"),
        ("https://app.example.com/", "scheme, host and port only"),
        ("https://app.example.com/chat", "scheme, host and port only"),
        ("https://user@app.example.com", "scheme, host and port only"),
        ("https://app.example.com.", "leave the last dot out"),
        ("https://*a", "or `*` alone"),
        ("http://localhost:30*", "a port from 1 to 65535, `*`, or none"),
        ("file://:80", "write a domain or an address"),
        ("wss://", "write a domain or an address"),
        ("https://app.*.com", "write `*.` before the whole domain"),
        ("https://*.*.com", "write `*.` before the whole domain"),
        ("https://*.127.0.0.1", "an address has nothing below it"),
        ("https://app.example.com:99999", "a port from 1 to 65535"),
        ("https://a b", "write a domain or an address"),
        ("https://", "write a domain or an address"),
        ("", "write scheme, host and port"),
        ("NULL or so", "write scheme, host and port"),
    ] {
        let (what, told) = pattern(text).unwrap_err();
        assert!(told.contains(remedy), "{text}: {what}; {told}");
    }
}

#[test]
fn exactly_one_origin_is_judged() {
    let origins = |missing| Origins { allow: vec![pattern("https://app.example.com").unwrap()], missing };
    let good = &b"https://app.example.com"[..];
    for (values, denying, allowing) in [
        (&[][..], OriginVerdict::Missing, OriginVerdict::Allowed),
        (&[good], OriginVerdict::Allowed, OriginVerdict::Allowed),
        (&[good, good], OriginVerdict::Denied, OriginVerdict::Denied),
        (&[b""], OriginVerdict::Denied, OriginVerdict::Denied),
        (&[b"null"], OriginVerdict::Denied, OriginVerdict::Denied),
        (&[b"https://evil.example"], OriginVerdict::Denied, OriginVerdict::Denied),
    ] {
        assert_eq!(origins(Missing::Deny).judge(values.iter().copied()), denying, "{values:?}");
        assert_eq!(origins(Missing::Allow).judge(values.iter().copied()), allowing, "{values:?}");
    }
}

#[test]
fn a_star_lets_whatever_one_origin_field_says_in_and_two_never() {
    let origins = Origins { allow: vec![OriginPattern::Any], missing: Missing::Deny };
    let values: [&[u8]; 6] =
        [b"", b"file:///android_asset/", b"https://a.example/path", b"localhost:8080", b"\xff", b"a b"];
    for value in values {
        assert_eq!(origins.judge([value]), OriginVerdict::Allowed, "{}", value.escape_ascii());
        assert_eq!(origins.judge([value, value]), OriginVerdict::Denied, "{}", value.escape_ascii());
    }
    assert_eq!(origins.judge([&b"https://a.example,https://b.example"[..]]), OriginVerdict::Denied, "joined");
    assert_eq!(origins.judge([]), OriginVerdict::Missing);
}
