//! Attacks by what messages say: other protocols in a tunnel, and JSON that readers take for different things or choke on.

use crate::audit::attack::{Attack, Severity, Trial};
use crate::audit::frame::opcode;

const TUNNELLING: &str = "OWASP WebSocket cheat sheet, tunnelling";
const TUNNELS: &str = "messages.tunnels";

/// The nesting that is deeper than anything that is meant.
const DEEP: usize = 2000;

/// The first record of a connection of TLS: a ClientHello of TLS 1.2 with one cipher suite (RFC 5246 §7.4.1.2).
fn client_hello() -> Vec<u8> {
    const HEAD: &[u8] = &[22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
    [HEAD, &[0x5a; 32], &[0, 0, 2, 0xc0, 0x2f, 1, 0]].concat()
}

/// A startup packet of version 3.0, as user `postern`.
fn startup() -> Vec<u8> {
    b"\0\0\0\x16\0\x03\0\0user\0postern\0\0".to_vec()
}

fn deep() -> Vec<u8> {
    ["[".repeat(DEEP), "]".repeat(DEEP)].concat().into_bytes()
}

const fn tunnel(
    id: &'static str,
    title: &'static str,
    sends: &'static str,
    opening: fn() -> Vec<u8>,
) -> Attack {
    Attack {
        id,
        title,
        sends,
        severity: Severity::Medium,
        reference: TUNNELLING,
        closed_by: TUNNELS,
        trial: Trial::Content(opcode::BINARY, opening),
    }
}

pub(super) const ATTACKS: &[Attack] = &[
    tunnel("content-ssh", "SSH runs in the messages", "the identification of an SSH client", || {
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()
    }),
    tunnel("content-tls", "TLS runs in the messages", "a ClientHello", client_hello),
    tunnel("content-http", "HTTP runs in the messages", "a request of HTTP/1.1", || {
        b"GET /admin HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()
    }),
    tunnel(
        "content-postgresql",
        "PostgreSQL runs in the messages",
        "the startup packet of a client",
        startup,
    ),
    tunnel("content-redis", "Redis runs in the messages", "the command PING as an array", || {
        b"*1\r\n$4\r\nPING\r\n".to_vec()
    }),
    tunnel("content-rfb", "VNC runs in the messages", "the version of RFB", || b"RFB 003.008\n".to_vec()),
    tunnel(
        "content-socks",
        "A proxy of SOCKS runs in the messages",
        "the greeting of a client of SOCKS5",
        || b"\x05\x01\x00".to_vec(),
    ),
    Attack {
        id: "content-json-deep",
        title: "JSON of any depth is taken",
        sends: "a text message of 2000 arrays, one within the other",
        severity: Severity::Medium,
        reference: "CWE-674",
        closed_by: "messages.max_json_depth",
        trial: Trial::Content(opcode::TEXT, deep),
    },
    Attack {
        id: "content-json-twice",
        title: "JSON with a member twice is taken, which two readers take for different things",
        sends: r#"the text message `{"type":"a","type":"b"}`"#,
        severity: Severity::Low,
        reference: "RFC 8259 4",
        closed_by: "messages.max_json_depth",
        trial: Trial::Content(opcode::TEXT, || br#"{"type":"a","type":"b"}"#.to_vec()),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_in_the_openings_are_those_of_the_openings() {
        let hello = client_hello();
        assert_eq!(usize::from(hello[4]), hello.len() - 5);
        assert_eq!(usize::from(hello[8]), hello.len() - 9);
        assert_eq!(usize::from(startup()[3]), startup().len());
    }
}
