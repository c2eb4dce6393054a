//! The one table of reasons: why something was refused, and what each side is told.
//!
//! The ids are the public vocabulary: metric label, log field, access-log value, problem type and
//! the reason text of a Close frame.

/// The reason why a handshake was refused or a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the variant is its id, and the table below says what it means")]
pub enum Reason {
    AuthTimeout,
    BacklogExceeded,
    ByteRate,
    ClaimsDenied,
    ConnectionLimit,
    ConnectionReplaced,
    ControlRate,
    CsrfInvalid,
    CsrfMissing,
    Drain,
    Draining,
    FrameTooBig,
    GlobalRate,
    HandshakeRate,
    IdleTimeout,
    Internal,
    InvalidUtf8,
    JsonTooDeep,
    KeysUnavailable,
    MalformedHandshake,
    MemoryExceeded,
    MessageRate,
    MessageTooBig,
    NoPolicy,
    OriginDenied,
    OriginMissing,
    PolicyInvalid,
    PongTimeout,
    ProtocolError,
    RateLimitUnavailable,
    RefusalRate,
    RevocationUnavailable,
    SchemaViolation,
    SessionLimit,
    SubjectChanged,
    SubprotocolDenied,
    TlsRequired,
    TokenAmbiguous,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
    TokenReplayed,
    TokenRevoked,
    TooManyFragments,
    TunnelDetected,
    TypeDenied,
    UpgradeDenied,
    UpgradeRequired,
    UpstreamHandshakeInvalid,
    VersionUnsupported,
}

/// The consequence of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consequence {
    /// The public id of the reason.
    pub id: &'static str,
    /// The `title` of a problem document.
    pub title: &'static str,
    /// The status of a refused handshake.
    pub status: u16,
    /// The code of a Close frame (RFC 6455 §7.4, and 3000 to 3999 as registered with IANA).
    pub close: u16,
}

impl Reason {
    /// Every reason, in the order of the ids.
    pub const ALL: [Self; 50] = [
        Self::AuthTimeout,
        Self::BacklogExceeded,
        Self::ByteRate,
        Self::ClaimsDenied,
        Self::ConnectionLimit,
        Self::ConnectionReplaced,
        Self::ControlRate,
        Self::CsrfInvalid,
        Self::CsrfMissing,
        Self::Drain,
        Self::Draining,
        Self::FrameTooBig,
        Self::GlobalRate,
        Self::HandshakeRate,
        Self::IdleTimeout,
        Self::Internal,
        Self::InvalidUtf8,
        Self::JsonTooDeep,
        Self::KeysUnavailable,
        Self::MalformedHandshake,
        Self::MemoryExceeded,
        Self::MessageRate,
        Self::MessageTooBig,
        Self::NoPolicy,
        Self::OriginDenied,
        Self::OriginMissing,
        Self::PolicyInvalid,
        Self::PongTimeout,
        Self::ProtocolError,
        Self::RateLimitUnavailable,
        Self::RefusalRate,
        Self::RevocationUnavailable,
        Self::SchemaViolation,
        Self::SessionLimit,
        Self::SubjectChanged,
        Self::SubprotocolDenied,
        Self::TlsRequired,
        Self::TokenAmbiguous,
        Self::TokenExpired,
        Self::TokenInvalid,
        Self::TokenMissing,
        Self::TokenReplayed,
        Self::TokenRevoked,
        Self::TooManyFragments,
        Self::TunnelDetected,
        Self::TypeDenied,
        Self::UpgradeDenied,
        Self::UpgradeRequired,
        Self::UpstreamHandshakeInvalid,
        Self::VersionUnsupported,
    ];

    /// Returns the public id.
    pub fn id(self) -> &'static str {
        self.consequence().id
    }

    /// Says whether a handshake, or a connection, that its client has spoilt for this reason counts as a refusal:
    /// one that may be an attempt to find a way in.
    pub(crate) fn counts_as_refusal(self) -> bool {
        matches!(
            self,
            Self::ByteRate
                | Self::ClaimsDenied
                | Self::ControlRate
                | Self::CsrfInvalid
                | Self::CsrfMissing
                | Self::FrameTooBig
                | Self::InvalidUtf8
                | Self::JsonTooDeep
                | Self::MalformedHandshake
                | Self::MessageRate
                | Self::MessageTooBig
                | Self::OriginDenied
                | Self::OriginMissing
                | Self::ProtocolError
                | Self::SchemaViolation
                | Self::SubjectChanged
                | Self::SubprotocolDenied
                | Self::TokenAmbiguous
                | Self::TokenExpired
                | Self::TokenInvalid
                | Self::TokenMissing
                | Self::TokenReplayed
                | Self::TokenRevoked
                | Self::TooManyFragments
                | Self::TunnelDetected
                | Self::TypeDenied
                | Self::VersionUnsupported
        )
    }

    /// Returns the reason's line of the table. A reason that can only end a session has the status of an
    /// internal error, and one that can only refuse a handshake the Close code of one: neither is ever sent.
    pub fn consequence(self) -> Consequence {
        const NO_STATUS: u16 = 500;
        const NO_CLOSE: u16 = 1011;
        let (id, status, close, title) = match self {
            Self::AuthTimeout => ("auth_timeout", NO_STATUS, 3008, "Not authenticated in time"),
            Self::BacklogExceeded => ("backlog_exceeded", NO_STATUS, 1013, "Too much left unread"),
            Self::ByteRate => ("byte_rate", NO_STATUS, 1008, "Too many bytes"),
            Self::ClaimsDenied => ("claims_denied", 403, 3003, "Token does not grant access"),
            Self::ConnectionLimit => ("connection_limit", 429, 1013, "Too many connections"),
            Self::ConnectionReplaced => {
                ("connection_replaced", NO_STATUS, 1008, "Replaced by a newer connection")
            }
            Self::ControlRate => ("control_rate", NO_STATUS, 1008, "Too many control frames"),
            Self::CsrfInvalid => ("csrf_invalid", 403, NO_CLOSE, "CSRF token not valid"),
            Self::CsrfMissing => ("csrf_missing", 403, NO_CLOSE, "CSRF token missing"),
            Self::Drain => ("drain", NO_STATUS, 1001, "Going away"),
            Self::Draining => ("draining", 503, NO_CLOSE, "Going away"),
            Self::FrameTooBig => ("frame_too_big", NO_STATUS, 1009, "Frame too big"),
            Self::GlobalRate => ("global_rate", 429, 1013, "Too many requests"),
            Self::HandshakeRate => ("handshake_rate", 429, 1013, "Too many handshakes"),
            Self::IdleTimeout => ("idle_timeout", NO_STATUS, 3008, "Idle for too long"),
            Self::Internal => ("internal", 500, 1011, "Internal error"),
            Self::InvalidUtf8 => ("invalid_utf8", NO_STATUS, 1007, "Text is not UTF-8"),
            Self::JsonTooDeep => ("json_too_deep", NO_STATUS, 1007, "JSON nested too deep"),
            Self::KeysUnavailable => ("keys_unavailable", 503, 1013, "Token keys unavailable"),
            Self::MalformedHandshake => {
                ("malformed_handshake", 400, NO_CLOSE, "Malformed WebSocket handshake")
            }
            Self::MemoryExceeded => ("memory_exceeded", 503, 1013, "Out of memory"),
            Self::MessageRate => ("message_rate", NO_STATUS, 1008, "Too many messages"),
            Self::MessageTooBig => ("message_too_big", NO_STATUS, 1009, "Message too big"),
            Self::NoPolicy => ("no_policy", 403, NO_CLOSE, "No policy for this route"),
            Self::OriginDenied => ("origin_denied", 403, NO_CLOSE, "Origin not allowed"),
            Self::OriginMissing => ("origin_missing", 403, NO_CLOSE, "Origin required"),
            Self::PolicyInvalid => ("policy_invalid", 503, NO_CLOSE, "Policy of this route not valid"),
            Self::PongTimeout => ("pong_timeout", NO_STATUS, 3008, "Ping not answered in time"),
            Self::ProtocolError => ("protocol_error", NO_STATUS, 1002, "WebSocket protocol error"),
            Self::RateLimitUnavailable => {
                ("rate_limit_unavailable", 503, 1013, "Rate limit service unavailable")
            }
            Self::RefusalRate => ("refusal_rate", 429, 1013, "Refused too often"),
            Self::RevocationUnavailable => {
                ("revocation_unavailable", 503, 1013, "Revocation list unavailable")
            }
            Self::SchemaViolation => ("schema_violation", NO_STATUS, 1007, "Message does not fit its schema"),
            Self::SessionLimit => ("session_limit", NO_STATUS, 1012, "Session has lasted its time"),
            Self::SubjectChanged => ("subject_changed", NO_STATUS, 3000, "Token of another subject"),
            Self::SubprotocolDenied => ("subprotocol_denied", 403, NO_CLOSE, "Subprotocol not allowed"),
            Self::TlsRequired => ("tls_required", 403, NO_CLOSE, "TLS required"),
            Self::TokenAmbiguous => ("token_ambiguous", 400, NO_CLOSE, "More than one token"),
            Self::TokenExpired => ("token_expired", 401, 3000, "Token expired"),
            Self::TokenInvalid => ("token_invalid", 401, 3000, "Token not valid"),
            Self::TokenMissing => ("token_missing", 401, 3000, "Token required"),
            Self::TokenReplayed => ("token_replayed", 401, 3000, "Token used before"),
            Self::TokenRevoked => ("token_revoked", 401, 3000, "Token revoked"),
            Self::TooManyFragments => ("too_many_fragments", NO_STATUS, 1008, "Too many fragments"),
            Self::TunnelDetected => ("tunnel_detected", NO_STATUS, 1008, "Tunnelled protocol"),
            Self::TypeDenied => ("type_denied", NO_STATUS, 1003, "Message type not allowed"),
            Self::UpgradeDenied => ("upgrade_denied", 403, NO_CLOSE, "Upgrade not allowed"),
            Self::UpgradeRequired => ("upgrade_required", 426, NO_CLOSE, "WebSocket upgrade required"),
            Self::UpstreamHandshakeInvalid => {
                ("upstream_handshake_invalid", 502, NO_CLOSE, "Upstream handshake not valid")
            }
            Self::VersionUnsupported => {
                ("version_unsupported", 426, NO_CLOSE, "WebSocket version not supported")
            }
        };
        Consequence { id, title, status, close }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_is_listed_once_and_has_an_id_of_its_own() {
        let ids: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.id()).collect();
        assert_eq!(ids.len(), Reason::ALL.len());
        let reasons: BTreeSet<_> = Reason::ALL.iter().collect();
        assert_eq!(reasons.len(), Reason::ALL.len());
    }

    #[test]
    fn an_id_fits_a_close_frame_and_a_metric_label() {
        for reason in Reason::ALL {
            let id = reason.id();
            assert!(id.len() <= 123, "{id}");
            assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{id}");
        }
    }

    #[test]
    fn codes_are_ones_an_endpoint_may_send() {
        for reason in Reason::ALL {
            let Consequence { id, status, close, .. } = reason.consequence();
            assert!((400..=599).contains(&status), "{id}");
            assert!(matches!(close, 1001..=1003 | 1007..=1013 | 3000..=3999), "{id}");
        }
    }
}
