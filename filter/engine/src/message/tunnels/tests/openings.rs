//! Openings as programs send them, and how they may be cut.

use super::*;

/// Who sends an opening.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// Recognised in both directions.
    Either,
    /// Recognised only in this one.
    Only(Peer),
}

/// How much of a message an opening is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Anything may follow, and messages may be cut anywhere.
    Any,
    /// It has to be the whole of the first message.
    Whole,
    /// Its first message has this length.
    After(usize),
}

use By::{Either, Only};
use Extent::{After, Any, Whole};
use Peer::{Client, Upstream};

/// The bytes that hexadecimal digits say, between which blanks may be, and text between apostrophes.
pub(super) fn bytes(notation: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (place, part) in notation.split('\'').enumerate() {
        if place % 2 == 1 {
            bytes.extend_from_slice(part.as_bytes());
            continue;
        }
        let digits: Vec<u8> =
            part.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap() as u8).collect();
        assert_eq!(digits.len() % 2, 0, "{part}");
        bytes.extend(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]));
    }
    bytes
}

fn binary(notation: &str) -> Vec<u8> {
    bytes(notation)
}

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

type Real = (Tunnelled, By, Extent, Vec<u8>);

fn real() -> Vec<Real> {
    let mut all = shells_and_screens();
    all.extend(proxies());
    all.extend(mail_and_files());
    all.extend(databases());
    all.extend(requests());
    all
}

fn shells_and_screens() -> Vec<Real> {
    use Tunnelled::{Rdp, Rfb, Ssh, Tls};
    let hello =
        "01 00 00 f8 03 03 8a1f0c37 90dd12be 5c6e01f2 99a0b1c2 d3e4f506 17283940 5a6b7c8d 9eafb0c1 20 00";
    vec![
        (Ssh, Either, Any, text("SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5\r\n")),
        (Ssh, Either, Any, text("SSH-2.0-OpenSSH_for_Windows_9.5\r\n")),
        (Ssh, Either, Any, text("SSH-2.0-PuTTY_Release_0.81\r\n")),
        (Ssh, Either, Any, text("SSH-2.0-Go\r\n")),
        (Ssh, Either, Any, text("SSH-2.0-dropbear_2022.83\r\n")),
        (Ssh, Either, Any, text("SSH-2.0-libssh2_1.11.0\r\n")),
        (Ssh, Either, Any, text("SSH-1.99-Cisco-1.25\n")),
        (Ssh, Either, Any, text("SSH-1.5-1.2.27\n")),
        // A ClientHello of OpenSSL, of a browser with a post-quantum key share, of SSL 3.0, and one over two records.
        (Tls, Either, Any, binary(&format!("16 03 01 00 fc {hello}"))),
        (
            Tls,
            Either,
            Any,
            binary("16 03 01 06 f4 01 00 06 f0 03 03 4d3c2b1a 00112233 44556677 8899aabb ccddeeff 0f1e2d3c"),
        ),
        (
            Tls,
            Either,
            Any,
            binary("16 03 00 00 2d 01 00 00 29 03 00 4d3c2b1a 00112233 44556677 8899aabb ccddeeff 0f1e2d3c"),
        ),
        (Tls, Either, Any, binary("16 03 01 00 40 01 00 02 00 03 03 4d3c2b1a 00112233 44556677 8899aabb")),
        // A ServerHello of TLS 1.3 alone in its record, and of TLS 1.2 with the certificate behind it.
        (
            Tls,
            Either,
            Any,
            binary("16 03 03 00 7a 02 00 00 76 03 03 cf21ad74 e59a6111 be1d8c02 1e65b891 c2a21116"),
        ),
        (
            Tls,
            Either,
            Any,
            binary("16 03 03 0f a1 02 00 00 4d 03 03 60b8f7ac 00112233 44556677 8899aabb ccddeeff"),
        ),
        (Rfb, Either, Any, text("RFB 003.003\n")),
        (Rfb, Either, Any, text("RFB 003.007\n")),
        (Rfb, Either, Any, text("RFB 003.008\n")),
        (Rfb, Either, Any, text("RFB 003.889\n")),
        (Rfb, Either, Any, text("RFB 004.001\n")),
        (Rfb, Either, Any, text("RFB 005.000\n")),
        // mstsc with a cookie, FreeRDP with nothing but what it can, a request without any, and a server's confirm.
        (
            Rdp,
            Either,
            Any,
            binary("03 00 00 2b 26 e0 00 00 00 00 00 'Cookie: mstshash=admin' 0d 0a 01 00 08 00 03 00 00 00"),
        ),
        (Rdp, Either, Any, binary("03 00 00 13 0e e0 00 00 00 00 00 01 00 08 00 0b 00 00 00")),
        (Rdp, Either, Any, binary("03 00 00 0b 06 e0 00 00 00 00 00")),
        (Rdp, Either, Any, binary("03 00 00 13 0e d0 00 00 12 34 00 02 1f 08 00 02 00 00 00")),
    ]
}

fn proxies() -> Vec<Real> {
    use Tunnelled::{Socks4, Socks5};
    vec![
        (Socks4, Only(Client), Whole, binary("04 01 00 50 5d b8 d8 22 00")),
        (Socks4, Only(Client), Whole, binary("04 01 00 16 c0 a8 01 0a 00")),
        (Socks4, Only(Client), Whole, binary("04 01 1f 99 0a 00 00 05 'alice' 00")),
        (Socks4, Only(Client), Whole, binary("04 02 c3 50 0a 00 00 05 'root' 00")),
        (Socks4, Only(Client), Any, binary("04 01 01 bb 00 00 00 01 00 'example.com' 00")),
        (Socks4, Only(Client), Any, binary("04 01 00 50 00 00 00 ff 'curl' 00 'intranet.example.org' 00")),
        // Chrome, ssh and Tor; PySocks and Java with a password; curl; curl with GSSAPI; one that offers what it likes.
        (Socks5, Only(Client), Whole, binary("05 01 00")),
        (Socks5, Only(Client), Whole, binary("05 01 02")),
        (Socks5, Only(Client), Whole, binary("05 02 00 02")),
        (Socks5, Only(Client), Whole, binary("05 02 00 01")),
        (Socks5, Only(Client), Whole, binary("05 03 00 01 02")),
        (Socks5, Only(Client), Whole, binary("05 02 02 00")),
        (Socks5, Only(Client), Any, binary("05 01 00 05 01 00 01 5d b8 d8 22 01 bb")),
        (Socks5, Only(Client), Any, binary("05 01 00 05 01 00 03 0b 'example.com' 00 50")),
        (Socks5, Only(Client), Any, binary("05 01 00 05 01 00 04 20010db8 00000000 00000000 00000001 00 16")),
        (
            Socks5,
            Only(Client),
            Any,
            binary("05 02 00 02 01 05 'alice' 06 'secret' 05 01 00 01 0a 00 00 05 00 16"),
        ),
        (Socks5, Only(Upstream), After(2), binary("05 00 05 00 00 01 00 00 00 00 00 00")),
        (Socks5, Only(Upstream), After(2), binary("05 00 05 00 00 01 0a 00 00 05 c3 50")),
        (Socks5, Only(Upstream), After(2), binary("05 00 05 04 00 01 00 00 00 00 00 00")),
    ]
}

fn mail_and_files() -> Vec<Real> {
    use Tunnelled::{Ftp, Smtp};
    let outlook =
        "220 BN8NAM12FT001.mail.protection.outlook.com Microsoft ESMTP MAIL Service ready at Mon, 3 Mar\r\n";
    vec![
        (Smtp, Either, Any, text("220 mail.example.com ESMTP Postfix (Ubuntu)\r\n")),
        (Smtp, Either, Any, text("220 mx.google.com ESMTP d9443c01a7336-22fcsi1 - gsmtp\r\n")),
        (
            Smtp,
            Either,
            Any,
            text("220-host.example.net ESMTP Exim 4.96.2 #2 Mon, 03 Mar 2025\r\n220-We do not\r\n"),
        ),
        (Smtp, Either, Any, text("220 smtp.example.com ready\r\n")),
        (Smtp, Either, Any, text("220 localhost SMTP\r\n")),
        (Smtp, Either, Any, text("220 [192.0.2.1] ESMTP\r\n")),
        (Smtp, Either, Any, text(outlook)),
        (Smtp, Only(Client), Any, text("EHLO client.example.com\r\n")),
        (Smtp, Only(Client), Any, text("EHLO [127.0.0.1]\r\n")),
        (Smtp, Only(Client), Any, text("EHLO DESKTOP-1A2B3C4\r\n")),
        (Smtp, Only(Client), Any, text("ehlo localhost\r\n")),
        (Smtp, Only(Client), Any, text("LHLO relay\r\n")),
        (Smtp, Only(Client), Any, text("HELO relay.example.org\r\n")),
        (Smtp, Only(Client), Any, text("HELO localhost\r\n")),
        (Ftp, Either, Any, text("220 (vsFTPd 3.0.5)\r\n")),
        (Ftp, Either, Any, text("220 ProFTPD Server (Debian) [::ffff:192.0.2.1]\r\n")),
        (
            Ftp,
            Either,
            Any,
            text("220---------- Welcome to Pure-FTPd [privsep] [TLS] ----------\r\n220-You are\r\n"),
        ),
        (Ftp, Either, Any, text("220 Microsoft FTP Service\r\n")),
        (Ftp, Either, Any, text("220-FileZilla Server 1.8.2\r\n220 Please visit\r\n")),
        (
            Ftp,
            Either,
            Any,
            text("220-*************************\r\n220-* Authorised users only *\r\n220 \r\n"),
        ),
        (Ftp, Either, Any, text("220 ftp.example.com FTP server (Version 6.4/OpenBSD) ready.\r\n")),
        (Ftp, Either, Any, text("220 pyftpdlib 1.5.9 ready.\r\n")),
        (Ftp, Either, Any, text("220 Welcome to Example FTP service.\r\n")),
        (Ftp, Only(Client), Any, text("USER anonymous\r\n")),
        (Ftp, Only(Client), Any, text("USER ftp\r\n")),
        (Ftp, Only(Client), Any, text("USER alice\r\nPASS secret\r\n")),
        (Ftp, Only(Client), Any, text("AUTH TLS\r\n")),
        (Ftp, Only(Client), Any, text("AUTH SSL\r\n")),
    ]
}

fn databases() -> Vec<Real> {
    use Tunnelled::{Ldap, MongoDb, MySql, PostgreSql, Redis};
    let mysql = "'8.0.36' 00 0b000000 1a2b3c4d5e6f7081 00 ffff ff 0200 ffdf 15 00000000000000000000";
    let maria = "'5.5.5-10.11.6-MariaDB-0+deb12u1' 00 1f000000 1a2b3c4d5e6f7081 00 fef7 2d 0200 ff81 15";
    let hello = "02 'hello' 00 01000000";
    let bind = "02 01 03 04 1a 'cn=admin,dc=example,dc=org' 80 06 'secret'";
    vec![
        (PostgreSql, Either, Any, binary("00000008 04d2162f")),
        (PostgreSql, Either, Any, binary("00000008 04d21630")),
        (PostgreSql, Either, Any, binary("00000010 04d2162e 00001a2b 9c8d7e6f")),
        (
            PostgreSql,
            Either,
            Any,
            binary("00000023 00030000 'user' 00 'alice' 00 'database' 00 'shop' 00 00"),
        ),
        (
            PostgreSql,
            Either,
            Any,
            binary("00000029 00030002 'client_encoding' 00 'UTF8' 00 'user' 00 'alice' 00 00"),
        ),
        (MySql, Either, Any, binary(&format!("4a 00 00 00 0a {mysql}"))),
        (MySql, Either, Any, binary(&format!("62 00 00 00 0a {maria}"))),
        (Redis, Either, Any, text("*1\r\n$4\r\nPING\r\n")),
        (Redis, Either, Any, text("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")),
        (Redis, Either, Any, text("*2\r\n$7\r\nCOMMAND\r\n$4\r\nDOCS\r\n")),
        (Redis, Either, Any, text("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n")),
        (
            Redis,
            Either,
            Any,
            text("*4\r\n$6\r\nclient\r\n$7\r\nsetinfo\r\n$8\r\nLIB-NAME\r\n$8\r\nredis-py\r\n"),
        ),
        (Redis, Either, Any, text("*3\r\n$9\r\nFT.SEARCH\r\n$3\r\nidx\r\n$1\r\n*\r\n")),
        (Redis, Only(Client), Whole, text("PING\r\n")),
        (Redis, Only(Client), Whole, text("QUIT\r\n")),
        (Redis, Only(Client), Whole, text("INFO\r\n")),
        (Redis, Only(Client), Whole, text("INFO replication\r\n")),
        (Redis, Only(Client), Whole, text("AUTH secret\r\n")),
        (Redis, Only(Client), Whole, text("AUTH alice secret\r\n")),
        (Redis, Only(Client), Whole, text("HELLO 3\r\n")),
        (Redis, Only(Client), Any, text("AUTH secret\r\nPING\r\n")),
        (Redis, Only(Client), Any, text("HELLO 3 AUTH alice secret\r\nINFO server\r\n")),
        (
            MongoDb,
            Either,
            Any,
            binary(&format!("30000000 01000000 00000000 dd070000 00000000 00 1b000000 {hello} 00")),
        ),
        (
            MongoDb,
            Either,
            Any,
            binary(&format!("60010000 2a000000 00000000 dd070000 00000100 00 4b010000 {hello}")),
        ),
        (
            MongoDb,
            Either,
            Any,
            binary("3f000000 01000000 00000000 d4070000 04000000 'admin.$cmd' 00 00000000 ffffffff 18000000"),
        ),
        // OpenLDAP, Active Directory's clients with long lengths, an anonymous bind, a search of the root, and StartTLS.
        (Ldap, Either, Any, binary(&format!("30 2c 02 01 01 60 27 {bind}"))),
        (Ldap, Either, Any, binary(&format!("30 84 00 00 00 30 02 01 01 60 84 00 00 00 27 {bind}"))),
        (Ldap, Either, Any, binary("30 0c 02 01 01 60 07 02 01 03 04 00 80 00")),
        (
            Ldap,
            Either,
            Any,
            binary(
                "30 25 02 01 02 63 20 04 00 0a 01 00 0a 01 00 02 01 00 02 01 00 01 01 00 87 0b 'objectclass' 30 00",
            ),
        ),
        (Ldap, Either, Any, binary("30 1d 02 01 01 77 18 80 16 '1.3.6.1.4.1.1466.20037'")),
    ]
}

fn requests() -> Vec<Real> {
    use Tunnelled::{Amqp, Http};
    vec![
        (Amqp, Either, Any, binary("'AMQP' 00 00 09 01")),
        (Amqp, Either, Any, binary("'AMQP' 01 01 08 00")),
        (Amqp, Either, Any, binary("'AMQP' 01 01 00 0a")),
        (Amqp, Either, Any, binary("'AMQP' 00 01 00 00")),
        (Amqp, Either, Any, binary("'AMQP' 02 01 00 00")),
        (Amqp, Either, Any, binary("'AMQP' 03 01 00 00")),
        (Http, Either, Any, text("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")),
        (Http, Either, Any, text("GET /index.html?a=b HTTP/1.0\r\n\r\n")),
        (Http, Either, Any, text("HEAD /x HTTP/1.1\nHost: a\n\n")),
        (Http, Either, Any, text("POST /api/v1/login HTTP/1.1\r\nContent-Length: 2\r\n")),
        (Http, Either, Any, text("PUT /doc/1 HTTP/1.1\r\n")),
        (Http, Either, Any, text("DELETE /doc/1 HTTP/1.1\r\n")),
        (Http, Either, Any, text("PATCH /doc/1 HTTP/1.1\r\n")),
        (Http, Either, Any, text("OPTIONS * HTTP/1.1\r\n")),
        (Http, Either, Any, text("PROPFIND /dav HTTP/1.1\r\n")),
        (Http, Either, Any, text("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n")),
        (Http, Either, Any, text("CONNECT [2001:db8::1]:22 HTTP/1.1\r\n")),
        (Http, Either, Any, text("GET http://example.com/ HTTP/1.1\r\n")),
        (Http, Either, Any, text("GET https://example.com/a HTTP/1.1\r\n")),
        (Http, Either, Any, text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
    ]
}

/// Feeds messages, each in pieces of `piece` bytes, up to the first decision.
pub(super) fn feed(from: Peer, messages: &[&[u8]], piece: usize) -> Recognition {
    let mut recogniser = Recogniser::new(from);
    for message in messages {
        for piece in message.chunks(piece) {
            let state = recogniser.push(piece);
            if state != Recognition::Undecided {
                return state;
            }
        }
        let state = recogniser.end_of_message();
        if state != Recognition::Undecided {
            return state;
        }
    }
    Recognition::Undecided
}

/// The opening as the messages that its extent asks for.
fn messages(bytes: &[u8], extent: Extent) -> Vec<&[u8]> {
    match extent {
        Any | Whole => vec![bytes],
        After(len) => vec![&bytes[..len], &bytes[len..]],
    }
}

fn senders(by: By) -> Vec<Peer> {
    match by {
        Either => vec![Client, Upstream],
        Only(peer) => vec![peer],
    }
}

#[test]
fn every_protocol_is_recognised_in_pieces_of_any_length() {
    for (protocol, by, extent, bytes) in real() {
        for from in senders(by) {
            for piece in 1..=bytes.len() {
                let state = feed(from, &messages(&bytes, extent), piece);
                assert_eq!(state, Recognition::Tunnel(protocol), "{} by {piece}", bytes.escape_ascii());
            }
        }
    }
}

#[test]
fn an_opening_split_at_any_place_is_recognised_since_fragments_are_one_message() {
    for (protocol, by, extent, bytes) in real() {
        let messages = messages(&bytes, extent);
        let (last, earlier) = messages.split_last().unwrap();
        for (from, at) in senders(by).into_iter().flat_map(|from| (0..=last.len()).map(move |at| (from, at)))
        {
            let mut recogniser = Recogniser::new(from);
            for message in earlier {
                recogniser.push(message);
                recogniser.end_of_message();
            }
            recogniser.push(&last[..at]);
            recogniser.push(&last[at..]);
            let state = recogniser.end_of_message();
            assert_eq!(state, Recognition::Tunnel(protocol), "{} at {at}", bytes.escape_ascii());
        }
    }
}

#[test]
fn an_opening_over_two_messages_is_recognised_unless_it_has_to_be_one() {
    for (protocol, by, extent, bytes) in real() {
        let from = senders(by)[0];
        for at in 1..bytes.len() {
            let (first, second) = bytes.split_at(at);
            let state = feed(from, &[first, second], usize::MAX);
            let is_recognised = match extent {
                Any => true,
                Whole => false,
                After(len) => at == len,
            };
            if is_recognised {
                assert_eq!(state, Recognition::Tunnel(protocol), "{} at {at}", bytes.escape_ascii());
            } else {
                assert!(!matches!(state, Recognition::Tunnel(_)), "{} at {at}", bytes.escape_ascii());
            }
        }
    }
}

#[test]
fn a_weak_opening_is_recognised_in_its_direction_only() {
    for (_, by, extent, bytes) in real() {
        let Only(peer) = by else { continue };
        let state = feed(peer.other(), &messages(&bytes, extent), usize::MAX);
        assert!(!matches!(state, Recognition::Tunnel(_)), "{}", bytes.escape_ascii());
    }
}

#[test]
fn an_opening_that_has_to_be_the_whole_message_is_ordinary_with_more_behind_it() {
    for (_, by, _, bytes) in real().into_iter().filter(|(_, _, extent, _)| *extent == Whole) {
        let longer = [&bytes[..], b"\x07{}"].concat();
        for piece in [1, usize::MAX] {
            assert_eq!(
                feed(senders(by)[0], &[&longer], piece),
                Recognition::Ordinary,
                "{}",
                bytes.escape_ascii()
            );
        }
    }
}

#[test]
fn bytes_are_suspect_until_the_decision_and_nothing_is_kept_after_it() {
    for (_, by, extent, bytes) in real().into_iter().filter(|(_, _, extent, _)| !matches!(extent, After(_))) {
        let mut recogniser = Recogniser::new(senders(by)[0]);
        assert!(!recogniser.is_suspect(), "nothing was seen");
        for byte in &bytes {
            match recogniser.push(&[*byte]) {
                Recognition::Undecided => assert!(recogniser.is_suspect()),
                Recognition::Ordinary => panic!("{}", bytes.escape_ascii()),
                Recognition::Tunnel(_) => break,
            }
        }
        assert_eq!(recogniser.is_suspect(), extent == Whole, "{}", bytes.escape_ascii());
        recogniser.end_of_message();
        assert_eq!((recogniser.is_suspect(), recogniser.seen), (false, [0; MOST]));
    }
}

#[test]
fn every_cut_of_bytes_that_nearly_are_an_opening_is_judged_alike() {
    let mut random = Random::new(18);
    let openings = real();
    for round in 0..200_000 {
        let mut bytes = openings[random.below(openings.len())].3.clone();
        for _ in 0..random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.byte();
        }
        bytes.truncate(1 + random.below(bytes.len() + 8));
        if random.below(4) == 0 {
            bytes.extend(std::iter::repeat_with(|| random.byte()).take(8));
        }
        let from = if round % 2 == 0 { Client } else { Upstream };
        let (first, second) = bytes.split_at(random.below(bytes.len() + 1));
        let messages: &[&[u8]] = if random.below(2) == 0 { &[&bytes] } else { &[first, second] };
        let whole = feed(from, messages, usize::MAX);
        for piece in [1, 2, 3, 7, 20] {
            assert_eq!(feed(from, messages, piece), whole, "{} by {piece}", bytes.escape_ascii());
        }
    }
}

#[test]
fn a_byte_with_which_no_opening_begins_ends_the_recognition() {
    let state = |from, bytes: &[u8]| Recogniser::new(from).push(bytes);
    // A length of MongoDB's or MySQL's may begin with any byte; one that goes on as text does is none.
    for (bytes, from) in
        [(&b"{\""[..], Client), (b"[1", Client), (b"2pr", Client), (b"40", Client), (b"0{\"", Upstream)]
    {
        assert_eq!(state(from, bytes), Recognition::Ordinary, "{}", bytes.escape_ascii());
    }
    assert_eq!(state(Client, b"SSH-"), Recognition::Undecided);
    assert_eq!(state(Client, b"SSH-3"), Recognition::Ordinary);
    assert_eq!(state(Client, b"CONNECT\n"), Recognition::Ordinary);
    assert_eq!(state(Client, &[0x16, 0x03, 0x01, 0x41]), Recognition::Ordinary);
}

#[test]
fn bytes_beyond_the_first_64_are_not_looked_at() {
    let path = "a".repeat(49);
    let fits = format!("GET /{path} HTTP/1.1\r\n");
    assert_eq!(&fits.as_bytes()[MOST - 1..MOST], b"\r");
    assert_eq!(feed(Client, &[fits.as_bytes()], 1), Recognition::Tunnel(Tunnelled::Http));
    let beyond = format!("GET /{path}a HTTP/1.1\r\n");
    for piece in [1, usize::MAX] {
        assert_eq!(feed(Client, &[beyond.as_bytes()], piece), Recognition::Ordinary);
    }
}

#[test]
fn an_empty_message_is_none_so_that_a_greeting_behind_it_is_the_first() {
    let mut recogniser = Recogniser::new(Client);
    assert_eq!(recogniser.end_of_message(), Recognition::Undecided);
    recogniser.push(&[5, 1, 0]);
    assert_eq!(recogniser.end_of_message(), Recognition::Tunnel(Tunnelled::Socks5));
}

#[test]
fn what_is_shown_of_a_recogniser_holds_no_byte_of_a_message() {
    let mut recogniser = Recogniser::new(Client);
    recogniser.push(b"AUTH hunter2");
    assert_eq!(format!("{recogniser:?}"), "Recogniser { seen_len: 12, state: Undecided }");
}
