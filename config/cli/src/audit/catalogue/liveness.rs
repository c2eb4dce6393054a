//! Connections that nobody uses and nobody ends, and one that outlives its token.

use crate::audit::attack::{Attack, Severity, Slow, Trial};

const IDLE: &str = "OWASP WebSocket cheat sheet, idle timeout";

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        id: "liveness-head",
        title: "Half a handshake holds a connection",
        sends: "half of the head of the honest handshake, and nothing more",
        severity: Severity::Medium,
        reference: "CWE-400",
        closed_by: "request_headers_timeout of Envoy",
        trial: Trial::Slow(Slow::Head),
    },
    Attack {
        id: "liveness-frame",
        title: "A frame of which a byte comes now and then holds a connection",
        sends: "a frame of 125 bytes, of which 20 come spread over --wait; no Ping is answered within it",
        severity: Severity::Medium,
        reference: "CWE-400",
        closed_by: "liveness.idle_timeout",
        trial: Trial::Slow(Slow::Frame),
    },
    Attack {
        id: "liveness-pong",
        title: "A client that answers no Ping holds a connection",
        sends: "two messages over --wait, and no Pong",
        severity: Severity::Low,
        reference: "OWASP WebSocket cheat sheet, heartbeat",
        closed_by: "liveness.pong_timeout",
        trial: Trial::Slow(Slow::NoPong),
    },
    Attack {
        id: "liveness-idle",
        title: "A client that says nothing holds a connection",
        sends: "nothing, not even a Pong, for --wait",
        severity: Severity::Medium,
        reference: IDLE,
        closed_by: "liveness.idle_timeout",
        trial: Trial::Slow(Slow::Silence),
    },
    Attack {
        id: "liveness-expiry",
        title: "A connection outlives its token",
        sends: "messages, beyond the `exp` of the token",
        severity: Severity::High,
        reference: "ASVS 4.4.3",
        closed_by: "auth.expiry",
        trial: Trial::Slow(Slow::Expiry),
    },
];
