//! Handshakes that are none by RFC 6455, requests that two readers take for different ones, and what must not be agreed on.

use crate::audit::attack::{Attack, Severity, Trial};

const SHAPE: &str = "RFC 6455 4.2.1";
const SMUGGLING: &str = "RFC 9112 11.2";
const TUNNELLING: &str = "OWASP WebSocket cheat sheet, tunnelling";
const PROTOCOL: &str = "protocol";

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        id: "handshake-cleartext",
        title: "A WebSocket opens without TLS",
        sends: "the honest handshake without TLS, at the same port, and at 80 where that is 443",
        severity: Severity::High,
        reference: "ASVS 4.4.1",
        closed_by: "tls",
        trial: Trial::Cleartext,
    },
    Attack {
        id: "handshake-method",
        title: "A POST opens a WebSocket",
        sends: "the method POST, and `Content-Length: 0`",
        severity: Severity::Low,
        reference: SHAPE,
        closed_by: PROTOCOL,
        trial: Trial::Handshake(|honest| Ok(honest.request().method("POST").field("Content-Length", "0"))),
    },
    Attack {
        id: "handshake-http-1-0",
        title: "HTTP/1.0, which has no upgrades, opens a WebSocket",
        sends: "`HTTP/1.0` in the request line",
        severity: Severity::Low,
        reference: SHAPE,
        closed_by: PROTOCOL,
        trial: Trial::Handshake(|honest| Ok(honest.request().version("HTTP/1.0"))),
    },
    Attack {
        id: "handshake-version",
        title: "A draft of the protocol is spoken",
        sends: "`Sec-WebSocket-Version: 8`",
        severity: Severity::Medium,
        reference: "RFC 6455 4.4",
        closed_by: PROTOCOL,
        trial: Trial::Handshake(|honest| Ok(honest.request().set("Sec-WebSocket-Version", "8"))),
    },
    Attack {
        id: "handshake-version-missing",
        title: "A handshake without a version opens a WebSocket",
        sends: "no Sec-WebSocket-Version",
        severity: Severity::Low,
        reference: SHAPE,
        closed_by: PROTOCOL,
        trial: Trial::Handshake(|honest| Ok(honest.request().without("Sec-WebSocket-Version"))),
    },
    Attack {
        id: "handshake-version-twice",
        title: "A second version is overlooked",
        sends: "Sec-WebSocket-Version in two fields, 13 and 8",
        severity: Severity::Low,
        reference: SHAPE,
        closed_by: PROTOCOL,
        trial: Trial::Handshake(|honest| Ok(honest.request().field("Sec-WebSocket-Version", "8"))),
    },
    Attack {
        id: "handshake-key-missing",
        title: "A handshake without a key, such as a form of a page can send, opens a WebSocket",
        sends: "no Sec-WebSocket-Key",
        severity: Severity::Medium,
        reference: SHAPE,
        closed_by: PROTOCOL,
        trial: Trial::Handshake(|honest| Ok(honest.request().without("Sec-WebSocket-Key"))),
    },
    Attack {
        id: "handshake-key-short",
        title: "A key that is none opens a WebSocket",
        sends: "Sec-WebSocket-Key of 15 bytes",
        severity: Severity::Low,
        reference: SHAPE,
        closed_by: PROTOCOL,
        trial: Trial::Handshake(|honest| {
            Ok(honest.request().set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j"))
        }),
    },
    Attack {
        id: "handshake-key-twice",
        title: "A second key is overlooked",
        sends: "Sec-WebSocket-Key in two fields",
        severity: Severity::Low,
        reference: SHAPE,
        closed_by: PROTOCOL,
        trial: Trial::Handshake(|honest| {
            Ok(honest.request().field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="))
        }),
    },
    Attack {
        id: "handshake-body",
        title: "Bytes behind the head are a body to one reader and frames to the next",
        sends: "`Content-Length: 5`, and five bytes that are also a frame",
        severity: Severity::High,
        reference: SMUGGLING,
        closed_by: PROTOCOL,
        trial: Trial::Handshake(|honest| {
            Ok(honest.request().field("Content-Length", "5").body("\x02\x03abc"))
        }),
    },
    Attack {
        id: "handshake-body-chunked",
        title: "Chunks behind the head are a body to one reader and frames to the next",
        sends: "`Transfer-Encoding: chunked`, and a chunk",
        severity: Severity::High,
        reference: SMUGGLING,
        closed_by: PROTOCOL,
        trial: Trial::Handshake(|honest| {
            // `5`, CR begin a frame of 13 bytes too.
            Ok(honest.request().field("Transfer-Encoding", "chunked").body("5\r\nhello\r\n0\r\n\r\n"))
        }),
    },
    Attack {
        id: "handshake-host-user",
        title: "A Host that two readers take for different ones opens a WebSocket",
        sends: "Host with the name of a user ahead of it",
        severity: Severity::Medium,
        reference: "RFC 9112 3.2",
        closed_by: PROTOCOL,
        trial: Trial::Handshake(|honest| {
            Ok(honest.request().set("Host", &format!("attacker@{}", honest.authority)))
        }),
    },
    Attack {
        id: "handshake-path-slash",
        title: "A path with an encoded slash leads elsewhere behind the one who judges it",
        sends: "the path with `/..%2f` behind it",
        severity: Severity::Medium,
        reference: "RFC 3986 6",
        closed_by: "routes",
        trial: Trial::Handshake(|honest| {
            Ok(honest.request().path(|path| format!("{}/..%2f", path.trim_end_matches('/'))))
        }),
    },
    Attack {
        id: "handshake-path-backslash",
        title: "A path with an encoded backslash leads elsewhere behind the one who judges it",
        sends: "the path with `/..%5c` behind it",
        severity: Severity::Medium,
        reference: "RFC 3986 6",
        closed_by: "routes",
        trial: Trial::Handshake(|honest| {
            Ok(honest.request().path(|path| format!("{}/..%5c", path.trim_end_matches('/'))))
        }),
    },
    Attack {
        id: "handshake-upgrade-h2c",
        title: "An upgrade to h2c tunnels requests past the one who judges them",
        sends: "`Upgrade: h2c`, with HTTP2-Settings",
        severity: Severity::High,
        reference: "RFC 9113 3.1",
        closed_by: "other_upgrades",
        trial: Trial::Upgrade(|honest| {
            let upgrade = honest.request().set("Upgrade", "h2c").set("Connection", "Upgrade, HTTP2-Settings");
            Ok(upgrade.field("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"))
        }),
    },
    Attack {
        id: "handshake-upgrade-tcp",
        title: "An upgrade to a tunnel is let through",
        sends: "`Upgrade: tcp`",
        severity: Severity::High,
        reference: TUNNELLING,
        closed_by: "other_upgrades",
        trial: Trial::Upgrade(|honest| Ok(honest.request().set("Upgrade", "tcp"))),
    },
    Attack {
        id: "handshake-subprotocol-tunnel",
        title: "A subprotocol of a tunnel is agreed on",
        sends: "the subprotocol `ssh`",
        severity: Severity::Medium,
        reference: TUNNELLING,
        closed_by: "subprotocols",
        trial: Trial::Subprotocol("ssh"),
    },
    Attack {
        id: "handshake-subprotocol-unknown",
        title: "A subprotocol that nobody knows is agreed on",
        sends: "the subprotocol `postern-audit`",
        severity: Severity::Low,
        reference: "RFC 6455 4.2.2",
        closed_by: "subprotocols",
        trial: Trial::Subprotocol("postern-audit"),
    },
    Attack {
        id: "handshake-compression",
        title: "Compression is agreed on, which tells secrets by lengths and hides what is said",
        sends: "an offer of permessage-deflate",
        severity: Severity::Low,
        reference: "OWASP WebSocket cheat sheet, compression",
        closed_by: "compression",
        trial: Trial::Compression,
    },
];
