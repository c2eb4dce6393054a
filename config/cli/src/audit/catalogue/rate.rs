//! Floods. Each is bounded, and comes last, since it uses up what other attacks need.

use crate::audit::attack::{Attack, Flood, Severity, Trial};

const RATE: &str = "OWASP WebSocket cheat sheet, message rate";

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        id: "rate-messages",
        title: "A flood of messages is taken",
        sends: "--messages messages at once",
        severity: Severity::Medium,
        reference: RATE,
        closed_by: "rates of messages",
        trial: Trial::Flood(Flood::Messages),
    },
    Attack {
        id: "rate-bytes",
        title: "A flood of bytes is taken",
        sends: "64 messages of 48 KiB at once",
        severity: Severity::Medium,
        reference: RATE,
        closed_by: "rates of bytes",
        trial: Trial::Flood(Flood::Bytes),
    },
    Attack {
        id: "rate-pings",
        title: "A flood of Pings is answered",
        sends: "--messages Pings at once",
        severity: Severity::Low,
        reference: RATE,
        closed_by: "rates of control_frames",
        trial: Trial::Flood(Flood::Pings),
    },
    Attack {
        id: "rate-connections",
        title: "One address has any number of connections",
        sends: "--connections honest handshakes, all of which stay open",
        severity: Severity::Medium,
        reference: "OWASP WebSocket cheat sheet, connection limits",
        closed_by: "connections.per_ip",
        trial: Trial::Connections,
    },
    Attack {
        id: "rate-handshakes",
        title: "One address makes any number of handshakes",
        sends: "--handshakes honest handshakes, one behind the other",
        severity: Severity::Medium,
        reference: "ASVS 2.4.1",
        closed_by: "rates of handshakes",
        trial: Trial::Handshakes,
    },
];
