//! The faults of a handshake, and of the answer to one.

use postern_config::PathFault;

use super::shown::Shown;
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::peer::Peer;

/// A fault of a client's handshake, one variant for each clause: RFC 6455 §4.2.1, if no other is named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFault {
    /// The handshake has a body (RFC 9110 §9.3.1).
    #[error("the handshake has a body")]
    Body,
    /// Bytes came behind the handshake before it was answered (§4.1: a client waits for the answer).
    #[error("bytes came before the handshake was answered")]
    EarlyBytes,
    /// Connection does not name Upgrade.
    #[error("Connection does not have `upgrade`")]
    Connection,
    /// Sec-WebSocket-Extensions is no list of extensions (§9.1).
    #[error("Sec-WebSocket-Extensions is not well formed")]
    Extensions,
    /// Host is missing, is there twice, or is no host (RFC 9112 §3.2).
    #[error("Host is missing, more than one, or no host")]
    Host,
    /// The handshake came by HTTP/1.0.
    #[error("the handshake came by HTTP/1.0")]
    Http10,
    /// Sec-WebSocket-Key is missing, is there twice, or is not the base64 of 16 bytes.
    #[error("Sec-WebSocket-Key is missing, more than one, or not 16 bytes in base64")]
    Key,
    /// Upgrade names more than one protocol, and each server might take another.
    #[error("Upgrade names more than one protocol")]
    ManyProtocols,
    /// The method is not GET, or not CONNECT by HTTP/2 and HTTP/3 (RFC 8441 §4).
    #[error("the method of the handshake is not the one of a handshake")]
    Method,
    /// Sec-WebSocket-Protocol has something that is no token, or has it twice (§4.1 item 10), or very many.
    #[error("Sec-WebSocket-Protocol is not well formed, or too long")]
    Offers,
    /// The request asks for another protocol.
    #[error("Upgrade is {0}")]
    OtherProtocol(Shown),
    /// The path cannot be told from others (RFC 3986 §6).
    #[error(transparent)]
    Path(PathFault),
    /// The handshake has trailers.
    #[error("the handshake has trailers")]
    Trailers,
    /// Sec-WebSocket-Version is missing, or is there twice.
    #[error("Sec-WebSocket-Version is missing or more than one")]
    Version,
    /// Sec-WebSocket-Version is not 13 (§4.4).
    #[error("Sec-WebSocket-Version is {0}")]
    OtherVersion(Shown),
}

/// A fault of a service's answer: RFC 6455 §4.1, second part, if no other is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseFault {
    /// Sec-WebSocket-Accept is missing, is there twice, or is not the hash of the key.
    #[error("Sec-WebSocket-Accept does not answer the key of the handshake")]
    Accept,
    /// Connection does not name Upgrade.
    #[error("Connection does not have `upgrade`")]
    Connection,
    /// An extension, or a parameter of one, was not offered (RFC 7692 §7.1).
    #[error("an extension is agreed on that was not offered so")]
    Extensions,
    /// Upgrade is not `websocket`.
    #[error("Upgrade is not `websocket`")]
    Protocol,
    /// A success answers an extended CONNECT with a tunnel that is not judged (RFC 8441 §5).
    #[error("a success other than 101 opens a tunnel that nobody judges")]
    Tunnel,
    /// A subprotocol was not offered, or is there twice.
    #[error("a subprotocol is chosen that was not offered")]
    Subprotocol,
    /// A 101 answers ordinary HTTP.
    #[error("a 101 answers a request that asked for no upgrade")]
    Unasked,
    /// A WebSocket answers an upgrade to another protocol.
    #[error("a WebSocket answers an upgrade to another protocol, which nobody judges")]
    WebSocket,
}

impl ResponseFault {
    /// Every fault.
    pub const ALL: [Self; 8] = [
        Self::Accept,
        Self::Connection,
        Self::Extensions,
        Self::Protocol,
        Self::Subprotocol,
        Self::Tunnel,
        Self::Unasked,
        Self::WebSocket,
    ];
}

impl From<HandshakeFault> for Violation {
    fn from(fault: HandshakeFault) -> Self {
        let (rule, reason) = match fault {
            HandshakeFault::OtherProtocol(_) => (Rule::OtherUpgrades, Reason::UpgradeDenied),
            HandshakeFault::OtherVersion(_) => (Rule::Protocol, Reason::VersionUnsupported),
            _ => (Rule::Protocol, Reason::MalformedHandshake),
        };
        Self::by(Peer::Client, rule, reason).because(fault)
    }
}

impl From<ResponseFault> for Violation {
    fn from(fault: ResponseFault) -> Self {
        Self::by(Peer::Upstream, Rule::Protocol, Reason::UpstreamHandshakeInvalid).because(fault)
    }
}
