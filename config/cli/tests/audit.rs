//! `postern audit` as people run it, against small services that each do one thing: what it refuses to attack, what it takes
//! for open, closed and neither, and that no token is ever in what it says.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail anywhere")]

mod sarif;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_engine::json_schema::Budget;
use serde_json::Value;
use sha1::{Digest, Sha1};

/// A token whose parts can be told in what is said.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.c2lnbmF0dXJlISE";

/// The output of the command.
#[derive(Debug)]
struct Told {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Told {
    /// Returns the verdict on an attack, and what was seen.
    fn verdict(&self, id: &str) -> (String, String) {
        let report: Value = serde_json::from_str(&self.stdout).unwrap();
        let attacks = report["attacks"].as_array().unwrap();
        let attack = attacks.iter().find(|attack| attack["id"] == id).unwrap();
        ["verdict", "seen"].map(|key| attack[key].as_str().unwrap().to_owned()).into()
    }
}

fn audit(words: &[&str]) -> Told {
    let output = Command::new(env!("CARGO_BIN_EXE_postern"))
        .arg("audit")
        .args(words)
        .env_remove("POSTERN_AUDIT_TOKEN")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Told {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A handshake as the service has it.
struct Asked {
    head: String,
    /// The number of handshakes before.
    before: usize,
}

/// What the service answers to a handshake, but for a 101.
type Judge = fn(&Asked) -> Option<String>;

/// What the service sends for a frame: its opcode and payload. `None` ends the connection.
type React = fn(u8, &[u8]) -> Option<Vec<u8>>;

/// A service on this machine. It answers handshakes one after the other, each connection in a thread of its own.
fn serve(judge: Judge, react: React) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), count) = (stream, Arc::clone(&count)) else { return };
            std::thread::spawn(move || converse(stream, judge, react, &count));
        }
    });
    address
}

/// Serves a connection to its end, which may come at any time.
fn converse(mut stream: TcpStream, judge: Judge, react: React, count: &AtomicUsize) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
    let accept = STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
    let asked = Asked { head, before: count.fetch_add(1, Ordering::SeqCst) };
    if let Some(answer) = judge(&asked) {
        return stream.write_all(answer.as_bytes()).ok();
    }
    let answer = format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {accept}\r\n\r\n");
    stream.write_all(answer.as_bytes()).ok()?;
    loop {
        let (opcode, payload) = frame(&mut stream)?;
        stream.write_all(&react(opcode, &payload)?).ok()?;
    }
}

/// Reads a frame, masked or not.
fn frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 2];
    stream.read_exact(&mut header).ok()?;
    let length = match header[1] & 0x7f {
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length).ok()?;
            usize::from(u16::from_be_bytes(length))
        }
        short => usize::from(short),
    };
    let mut key = [0; 4];
    if header[1] & 0x80 != 0 {
        stream.read_exact(&mut key).ok()?;
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).ok()?;
    let unmasked = payload.iter().zip(key.into_iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    Some((header[0] & 0xf, unmasked))
}

fn written(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x80 | opcode, 126][..], &length, payload].concat()
}

fn everybody(_: &Asked) -> Option<String> {
    None
}

fn says_nothing(_: u8, _: &[u8]) -> Option<Vec<u8>> {
    Some(Vec::new())
}

/// Sends all of it back, and answers Pings.
fn echoes(opcode: u8, payload: &[u8]) -> Option<Vec<u8>> {
    Some(written(if opcode == 9 { 10 } else { opcode }, payload))
}

fn refusal(status: u16, kind: &str) -> String {
    let body = format!(r#"{{"type":"{kind}"}}"#);
    format!("HTTP/1.1 {status} No\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Audits a service on this machine that answers all that it ever will within `timeout`.
fn audit_within(timeout: &str, address: SocketAddr, words: &[&str]) -> Told {
    let url = format!("ws://{address}/ws");
    let base = [url.as_str(), "--timeout", timeout, "--wait", "1s", "--output", "json"];
    audit(&[&base[..], words].concat())
}

/// Audits a service on this machine that answers.
fn audit_service(address: SocketAddr, words: &[&str]) -> Told {
    audit_within("10s", address, words)
}

#[test]
fn what_is_not_this_machine_is_not_attacked_unless_it_is_said_to_be_ones_own() {
    for url in ["wss://192.0.2.1/ws", "ws://[2001:db8::1]:8080", "ws://0.0.0.0:1/"] {
        let told = audit(&[url]);
        assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""), "{url}");
        assert!(
            told.stderr.contains("is not this machine") && told.stderr.contains("--i-own-this"),
            "{}",
            told.stderr
        );
    }
    let told = audit(&["ws://192.0.2.1/ws", "--i-own-this", "--timeout", "200ms"]);
    assert_eq!(told.code, Some(2));
    assert!(told.stderr.contains("not reached at 192.0.2.1:80"), "{}", told.stderr);
}

#[test]
fn wrong_use_is_told_and_nothing_is_reached_for() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("ws://{}/", listener.local_addr().unwrap())
    };
    for (words, told) in [
        (&[][..], "URL"),
        (&["https://localhost/"], "wss://host[:port]/path"),
        (&["ws://alice@localhost/"], "--token"),
        (&["ws://localhost/", "--only", "no-such-attack"], "docs/audit.md"),
        (&["ws://localhost/", "--token-in", "body"], "subprotocol:PREFIX"),
        (&["ws://localhost/", "--wait", "0s"], "up to 10m"),
        (&["ws://localhost/", "--wait", "11m"], "up to 10m"),
        (&["ws://localhost/", "--header", "no field"], "name: value"),
        (&["ws://localhost/", "--header", "a: b\r\nc: d"], "on one line"),
        (&["ws://localhost/", "--token", "a b"], "cannot stand in a request"),
        (&["wss://127.0.0.1:1/", "--ca", "/no/such/file"], "not reached"),
        (&[&closed], "not reached at 127.0.0.1"),
    ] {
        let outcome = audit(words);
        assert_eq!(outcome.code, Some(2), "{words:?}");
        assert!(outcome.stderr.contains(told), "{words:?}: {}", outcome.stderr);
    }
}

#[test]
fn where_the_honest_client_is_refused_it_says_what_to_give_and_attacks_nothing() {
    let cases: [(Judge, React, &str); 4] = [
        (
            |_| Some(refusal(403, "urn:postern:origin_denied")),
            echoes,
            "403 origin_denied; give what it asks for: --origin",
        ),
        (|_| Some(refusal(503, "")), echoes, "answered by 503"),
        (everybody, |opcode, _| (opcode == 9).then(Vec::new), "--message"),
        (
            |_| Some("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: AAAA\r\n\r\n".to_owned()),
            echoes,
            "no WebSocket",
        ),
    ];
    for (judge, react, said) in cases {
        let told = audit_service(serve(judge, react), &[]);
        assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""), "{said}");
        assert!(told.stderr.contains(said), "{said}: {}", told.stderr);
    }
}

#[test]
fn a_service_that_says_nothing_leaves_most_undetermined_and_never_closed() {
    let names = "origin-foreign,frame-rsv1,frame-close-code,content-ssh";
    let told = audit_within("1500ms", serve(everybody, says_nothing), &["--only", names]);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    // It let the foreign page in, and left it there.
    assert_eq!(told.verdict("origin-foreign").0, "open");
    for name in names.split(',').skip(1) {
        let (verdict, seen) = told.verdict(name);
        assert_eq!(verdict, "undetermined", "{name}: {seen}");
        assert!(seen.contains("neither an answer nor an end"), "{name}: {seen}");
    }
    let told = audit_within("1500ms", serve(everybody, says_nothing), &["--only", "frame-rsv1"]);
    assert_eq!(told.code, Some(2), "what is undetermined is not closed");
}

#[test]
fn a_service_that_echoes_all_stands_open_and_one_that_hangs_up_is_closed() {
    let names = "frame-rsv1,frame-unmasked,frame-close-code,content-ssh,frame-length-huge,liveness-idle,liveness-head";
    let told = audit_service(serve(everybody, echoes), &["--only", names, "--except", "frame-length-huge"]);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    for name in names.split(',').filter(|name| *name != "frame-length-huge") {
        assert_eq!(told.verdict(name).0, "open", "{name}");
    }
    // It takes what the honest client sends and nothing else.
    let strict: React = |opcode, payload| match (opcode, payload) {
        (9, _) => Some(written(10, payload)),
        (1, text) if text.starts_with(br#"{"type":"postern-audit""#) => Some(written(1, text)),
        _ => None,
    };
    let names = "frame-opcode-data,frame-continuation,frame-close-code,content-ssh,content-json-twice";
    let told = audit_service(serve(everybody, strict), &["--only", names]);
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    for name in names.split(',') {
        assert_eq!(told.verdict(name).0, "closed", "{name}");
    }
}

#[test]
fn a_message_that_is_dropped_is_closed_though_the_connection_goes_on() {
    let drops: React = |opcode, payload| match (opcode, payload) {
        (2, _) => Some(Vec::new()),
        _ => echoes(opcode, payload),
    };
    let told = audit_within("2s", serve(everybody, drops), &["--only", "content-ssh,content-json-twice"]);
    assert_eq!(told.verdict("content-ssh").0, "closed");
    assert_eq!(told.verdict("content-json-twice").0, "open");
    let tells: React = |opcode, payload| match opcode {
        9 => Some(written(10, payload)),
        2 => Some(written(1, br#"{"postern":"message_refused","reason":"schema_violation"}"#)),
        _ => Some(Vec::new()),
    };
    let told = audit_within("2s", serve(everybody, tells), &["--only", "content-ssh"]);
    let (verdict, seen) = told.verdict("content-ssh");
    assert_eq!((verdict.as_str(), seen.as_str()), ("closed", "the endpoint says that it was dropped"));
}

#[test]
fn an_endpoint_that_has_locked_the_audit_out_is_not_taken_for_one_that_refuses_attacks() {
    // It bans whoever comes for the sixth time, and has refused nothing before but two origins.
    let bans: Judge = |asked| {
        let is_foreign = asked.head.contains("attacker.example") || asked.head.contains("Origin: null");
        (is_foreign || asked.before > 5).then(|| "HTTP/1.1 403 No\r\n\r\n".to_owned())
    };
    let names = "origin-foreign,origin-null,frame-rsv1,frame-rsv2,frame-rsv3,frame-opcode-data,rate-pings";
    let told = audit_service(serve(bans, echoes), &["--only", names, "--at-once", "1"]);
    for name in ["origin-foreign", "origin-null", "frame-opcode-data", "rate-pings"] {
        let (verdict, seen) = told.verdict(name);
        assert_eq!(verdict, "undetermined", "{name}: {seen}");
    }
    // Who asks too often is told so, which says nothing of what was asked for.
    let busy: Judge = |asked| (asked.before > 0).then(|| refusal(429, "urn:postern:handshake_rate"));
    let told = audit_service(serve(busy, echoes), &["--only", "origin-foreign,frame-rsv1,rate-handshakes"]);
    assert_eq!(told.code, Some(2));
    let (verdict, seen) = told.verdict("origin-foreign");
    assert_eq!(verdict, "undetermined");
    assert!(seen.contains("429 handshake_rate"), "{seen}");
    assert_eq!(told.verdict("rate-handshakes").0, "closed", "but for how often it was asked for");
}

#[test]
fn no_token_is_in_what_is_said_also_where_the_endpoint_says_it() {
    let tells: Judge = |asked| {
        let token = asked.head.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
        let is_good = token == Some(TOKEN);
        (!is_good).then(|| refusal(401, token.unwrap_or("none")))
    };
    let closes: React = |opcode, payload| match opcode {
        3 => Some(written(8, &[&b"\x03\xea"[..], TOKEN.as_bytes()].concat())),
        _ => echoes(opcode, payload),
    };
    let address = serve(tells, closes);
    for output in ["text", "json", "sarif"] {
        let url = format!("ws://{address}/ws?access_token={TOKEN}");
        let names = "token-signature,token-missing,frame-opcode-data";
        let told = audit(&[&url, "--token", TOKEN, "--timeout", "2s", "--only", names, "--output", output]);
        assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
        for part in TOKEN.split('.') {
            assert!(!told.stdout.contains(part), "{output}: {}", told.stdout);
        }
        assert!(told.stdout.contains("(a part of the token)"), "{output}: {}", told.stdout);
    }
}

#[test]
fn what_takes_a_token_is_not_tried_without_one_and_the_report_says_so() {
    let told =
        audit_service(serve(everybody, echoes), &["--only", "token-garbage,token-missing,liveness-expiry"]);
    assert_eq!(told.verdict("token-garbage"), ("not_tried".into(), "it takes a --token".into()));
    assert_eq!(told.verdict("liveness-expiry").0, "not_tried");
    // The honest client itself had none.
    assert_eq!(told.verdict("token-missing").0, "open");
    assert_eq!(told.code, Some(1));
}

#[test]
fn a_report_in_sarif_is_valid_by_its_schema_with_every_verdict_in_it() {
    let drops: React = |opcode, payload| match (opcode, payload) {
        (2, _) => None,
        _ => echoes(opcode, payload),
    };
    let muted: Judge = |asked| asked.head.contains("Origin: null").then(|| refusal(503, ""));
    let url = format!("ws://{}/ws", serve(muted, drops));
    let names = "origin-foreign,origin-null,token-garbage,content-ssh";
    let told = audit(&[&url, "--only", names, "--timeout", "5s", "--output", "sarif"]);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    let log: Value = serde_json::from_str(&told.stdout).unwrap();
    let valid = sarif::schema().validate(&log, Budget::for_bytes(64 << 20));
    valid.unwrap_or_else(|fault| panic!("{fault:?}: {log:#}"));
    let results = log["runs"][0]["results"].as_array().unwrap();
    let kinds: Vec<&str> = results.iter().map(|result| result["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["fail", "open", "notApplicable", "pass"]);
}
