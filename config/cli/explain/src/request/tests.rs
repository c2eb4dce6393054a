use super::*;

fn named(request: &Request, name: &str) -> Vec<String> {
    let headers = Headers::new(&request.fields);
    headers.all(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

fn curl(line: &str) -> Request {
    from_curl(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// The text that Chrome copies of a WebSocket by "Copy as cURL (bash)".
const OF_CHROME: &str = r"curl 'wss://chat.example.com/ws?room=1' \
  -H 'Upgrade: websocket' \
  -H 'Origin: https://app.example.com' \
  -H 'Cache-Control: no-cache' \
  -H 'Accept-Language: en-US,en;q=0.9' \
  -b 'session=a; theme='\''dark'\''' \
  -H 'Pragma: no-cache' \
  -H 'Connection: Upgrade' \
  -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \
  -H $'User-Agent: Mozilla\u002f5.0 (X11\u0021 \'Linux\')' \
  -H 'Sec-WebSocket-Version: 13' \
  -H 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits'";

/// The text that Firefox copies of one by "Copy as cURL (POSIX)".
const OF_FIREFOX: &str = "curl 'wss://chat.example.com:8443/ws' -H 'User-Agent: Mozilla/5.0' --compressed -H 'Accept: */*' \
    -H 'Sec-WebSocket-Version: 13' -H 'Origin: https://app.example.com' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \
    -H 'Connection: keep-alive, Upgrade' -H 'Cookie: session=a' -H 'Upgrade: websocket'";

#[test]
fn a_command_line_as_chrome_copies_it_is_the_request_that_chrome_sent() {
    let request = curl(OF_CHROME);
    assert!(request.is_secure);
    assert_eq!(named(&request, ":method"), ["GET"]);
    assert_eq!(named(&request, ":path"), ["/ws?room=1"]);
    assert_eq!(named(&request, ":authority"), ["chat.example.com"]);
    assert_eq!(named(&request, "cookie"), ["session=a; theme='dark'"]);
    assert_eq!(named(&request, "user-agent"), ["Mozilla/5.0 (X11! 'Linux')"]);
    assert_eq!(named(&request, "sec-websocket-extensions"), ["permessage-deflate; client_max_window_bits"]);
    assert_eq!(request.notes, Vec::<String>::new(), "nothing is added");
}

#[test]
fn a_command_line_as_firefox_copies_it_is_the_request_that_firefox_sent() {
    let request = curl(OF_FIREFOX);
    assert_eq!(named(&request, ":authority"), ["chat.example.com:8443"]);
    assert_eq!(named(&request, "connection"), ["keep-alive, Upgrade"]);
    assert_eq!(named(&request, "cookie"), ["session=a"]);
    assert!(request.notes.is_empty());
}

#[test]
fn options_of_curl_say_what_they_say_to_curl() {
    let field = |line: &str, name: &str| named(&curl(line), name).join("|");
    for (line, name, value) in [
        ("curl wss://a/", "sec-websocket-version", "13"),
        ("curl --url wss://a/ws -k --http2 --compressed", ":path", "/ws"),
        ("curl -sSLkA agent wss://a/", "user-agent", "agent"),
        ("curl -Aagent wss://a/", "user-agent", "agent"),
        ("curl -e https://a/page wss://a/", "referer", "https://a/page"),
        ("curl -u user:pass wss://a/", "authorization", "Basic dXNlcjpwYXNz"),
        ("curl --oauth2-bearer abc wss://a/", "authorization", "Bearer abc"),
        ("curl -H 'Host: other.example' wss://a/", ":authority", "other.example"),
        ("curl -H 'Connection:' wss://a/", "connection", ""),
        ("curl -H 'X-Empty;' wss://a/", "x-empty", ""),
        ("curl --header=Origin:https://a wss://a/", "origin", "https://a"),
        ("curl --max-time 3 -o file -x proxy:1 wss://a/b", ":path", "/b"),
        ("curl -sS -D - -o /dev/null wss://a/b", ":path", "/b"),
        ("curl --dump-header head --tls13-ciphers X --proto =https wss://a/b", ":path", "/b"),
        ("curl -G https://a/b", ":method", "GET"),
        ("curl -X POST https://a/", ":method", "POST"),
        ("curl -d x=1 https://a/", ":method", "POST"),
        ("curl -I https://a/", ":method", "HEAD"),
        ("curl -d x=1 -H 'Content-Length: 3' wss://a/", "content-length", "3"),
        ("curl \"wss://a/\\\"b\"", ":path", "/%22b"),
        ("$ curl wss://a/c", ":path", "/c"),
        ("/usr/bin/curl wss://a/c", ":path", "/c"),
    ] {
        assert_eq!(field(line, name), value, "{line}: {name}");
    }
    assert_eq!(curl("curl -0 wss://a/").protocol, Protocol::Http10);
    assert!(!curl("curl ws://a/").is_secure);
}

#[test]
fn ordinary_http_stays_ordinary_and_is_told_so() {
    let request = curl("curl https://a/page");
    assert!(named(&request, "upgrade").is_empty());
    assert!(request.notes.iter().any(|note| note.contains("asks for no upgrade")), "{:?}", request.notes);
}

#[test]
fn a_command_line_that_is_none_is_said_to_be_so() {
    for (line, what) in [
        ("", "does not begin with `curl`"),
        ("wget wss://a/", "does not begin with `curl`"),
        ("curl", "has no URL"),
        ("curl -H", "has no value"),
        ("curl -H 'X: y", "is not closed"),
        ("curl $'a", "is not closed"),
        ("curl wss://a/ wss://b/", "more than one URL"),
        ("curl ftp://a/", "`ftp` is no scheme of a WebSocket"),
        ("curl nonsense", "is no URL"),
        ("curl -b cookies.txt wss://a/", "are in a file"),
        ("curl -K file wss://a/", "--config of curl is not read"),
        ("curl --url-query a=b wss://a/", "--url-query of curl is not read"),
        ("curl --request-target /c wss://a/", "--request-target of curl is not read"),
        ("curl -G -d a=b wss://a/", "--get of curl is not read"),
        ("curl -H @fields wss://a/", "are in a file"),
        ("curl -H novalue wss://a/", "has no colon"),
        ("curl -H 'a b: c' wss://a/", "is no name of a header field"),
        ("curl ^\"wss://a/^\"", "Windows"),
    ] {
        let error = from_curl(line).expect_err(line);
        assert!(error.0.contains(what), "{line}: {error}");
    }
}

#[test]
fn an_error_shows_no_query_since_it_may_have_a_token() {
    for error in [from_curl("curl 'wss://?token=secret'"), from_url("wss:/\\?token=secret", &[])] {
        if let Err(error) = error {
            assert!(!error.0.contains("secret"), "{error}");
        }
    }
}

#[test]
fn a_url_has_what_a_browser_adds_unless_it_is_given() {
    let request =
        from_url("wss://a/ws", &["Origin: https://a".into(), "Sec-WebSocket-Version: 8".into()]).unwrap();
    assert_eq!(named(&request, "sec-websocket-version"), ["8"]);
    assert_eq!(named(&request, "upgrade"), ["websocket"]);
    assert_eq!(request.notes, ["added, as a browser sends them: connection, upgrade, sec-websocket-key"]);
}

#[test]
fn a_field_over_several_lines_is_one_as_it_is_to_envoy() {
    let read = |head: &[u8]| from_head(head, true).map(|request| named(&request, "x-a"));
    for (fields, value) in [
        (&b"X-A: 1\r\n   2\r\n"[..], "1   2"),
        (b"X-A: 1\n\t2\n 3\n", "1\t2 3"),
        (b"X-A:\r\n 2\r\n \r\n", "2"),
        (b"X-A: 1\r\n  : 2\r\n", "1  : 2"),
    ] {
        let head = [b"\r\nGET / HTTP/1.1\r\n", fields, b"\r\n the body"].concat();
        assert_eq!(read(&head), Ok(vec![value.to_owned()]), "{}", fields.escape_ascii());
    }
    read(b"GET / HTTP/1.1\r\n X-A: 1\r\n\r\n").expect_err("there is no field that goes on");
}

#[test]
fn a_head_that_names_the_whole_url_is_read_as_envoy_reads_it() {
    for (target, authority, path) in [
        ("https://a/ws?x=1", "a", "/ws?x=1"),
        ("HTTP://a:8080/ws", "a:8080", "/ws"),
        ("https://a", "a", "/"),
        ("https://user:password@a/ws", "a", "/ws"),
        ("https://a?x=1", "a", "?x=1"),
        ("/https://a/ws", "b", "/https://a/ws"),
        ("wss://a/ws", "b", "wss://a/ws"),
        ("https:///ws", "b", "https:///ws"),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: b\r\n\r\n");
        let request = from_head(head.as_bytes(), true).unwrap();
        assert_eq!(named(&request, ":authority"), [authority], "{target}");
        assert_eq!(named(&request, ":path"), [path], "{target}");
        assert!(named(&request, "host").is_empty(), "{target}");
    }
}

#[test]
fn a_raw_head_is_taken_as_it_is() {
    let request = from_head(
        b"GET /ws HTTP/1.1\r\nHost: a\r\nHost: b\r\nUpgrade: websocket\r\nX-A:  1 \r\nX-A: 2\r\n\r\n",
        true,
    )
    .unwrap();
    assert_eq!(named(&request, ":authority"), ["a"]);
    assert_eq!(named(&request, "host"), ["b"]);
    assert_eq!(named(&request, "x-a"), ["1", "2"]);
    assert!(named(&request, "connection").is_empty(), "nothing is added");
    assert!(request.notes.is_empty());
    let by_hand = from_head(b"GET / HTTP/1.0\nHost: a", false).unwrap();
    assert_eq!((by_hand.protocol, by_hand.is_secure), (Protocol::Http10, false));
    for wrong in [
        &b""[..],
        b"GET\r\n\r\n",
        b"\xff\xff\r\n\r\n",
        b"GET / HTTP/3\r\n\r\n",
        b"GET / HTTP/1.1\r\na b: c\r\n\r\n",
    ] {
        assert!(from_head(wrong, true).is_err(), "{}", wrong.escape_ascii());
    }
}

#[test]
fn the_first_websocket_of_an_archive_is_meant_or_the_entry_that_is_named() {
    let har = serde_json::json!({"log": {"entries": [
        {"request": {"method": "GET", "url": "https://app.example.com/", "httpVersion": "h2", "headers": [
            {"name": ":authority", "value": "app.example.com"}, {"name": "accept", "value": "*/*"},
        ]}},
        {"_resourceType": "websocket", "request": {
            "method": "GET", "url": "wss://chat.example.com/ws", "httpVersion": "HTTP/1.1", "headers": [
                {"name": "Host", "value": "chat.example.com"}, {"name": "Upgrade", "value": "websocket"},
                {"name": "Origin", "value": "https://app.example.com"},
            ],
        }},
    ]}})
    .to_string();
    let request = from_har(har.as_bytes(), None).unwrap();
    assert_eq!(named(&request, "origin"), ["https://app.example.com"]);
    assert_eq!(named(&request, ":path"), ["/ws"]);
    assert!(request.notes[0].contains("entry 1 of 2"), "{:?}", request.notes);
    let ordinary = from_har(har.as_bytes(), Some(0)).unwrap();
    assert_eq!(ordinary.protocol, Protocol::Multiplexed);
    assert_eq!(named(&ordinary, ":authority"), ["app.example.com"]);
    assert!(named(&ordinary, "upgrade").is_empty());
    for (wrong, entry) in
        [("{}", None), ("nonsense", None), (har.as_str(), Some(2)), (r#"{"log":{"entries":[]}}"#, None)]
    {
        assert!(from_har(wrong.as_bytes(), entry).is_err(), "{wrong}");
    }
}

#[test]
fn an_extended_connect_of_a_har_is_a_websocket_whatever_the_scheme_of_its_url() {
    let har = br#"{"log": {"entries": [{"request": {"method": "CONNECT", "url": "https://a/ws", "httpVersion": "h2",
        "headers": [{"name": ":protocol", "value": "websocket"}, {"name": "sec-websocket-version", "value": "13"}]}}]}}"#;
    let request = from_har(har, None).unwrap();
    assert_eq!(
        (named(&request, ":method"), request.protocol),
        (vec!["GET".to_owned()], Protocol::Multiplexed)
    );
    assert_eq!(named(&request, "upgrade"), ["websocket"]);
}
