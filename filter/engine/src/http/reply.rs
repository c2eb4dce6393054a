//! The answer to a refused handshake: a problem document (RFC 9457).

use std::fmt;
use std::time::Duration;

use serde_json::json;

use crate::decision::reason::Reason;
use crate::http::headers::Single;
use crate::http::request::{Entropy, RequestHead};

/// A response that Envoy sends in the upstream's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The reason for the refusal.
    pub reason: Reason,
    /// The fields of the response, without the status.
    pub headers: Vec<(&'static str, String)>,
    /// The problem document.
    pub body: Vec<u8>,
}

/// The name of a request in problem documents: Envoy's request id if that is a UUID, else a fresh one. Kept
/// as its 128 bits, since every session has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Instance([u8; 16]);

impl Instance {
    pub(crate) fn of(head: &RequestHead) -> Self {
        let id = match head.headers().single("x-request-id") {
            Single::One(id) => uuid(id),
            Single::Absent | Single::Many => None,
        };
        Self(id.unwrap_or_else(|| fresh_uuid(&head.entropy)).to_be_bytes())
    }
}

impl fmt::Display for Instance {
    /// Writes the UUID in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        let (a, b, c, d, e) = (
            bits >> 96,
            bits >> 80 & 0xffff,
            bits >> 64 & 0xffff,
            bits >> 48 & 0xffff,
            bits & 0xffff_ffff_ffff,
        );
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
    }
}

impl Reply {
    /// Returns the refusal for `reason`; `wait` is the time to the next token of a rate.
    pub(crate) fn refusal(reason: Reason, instance: &Instance, wait: Option<Duration>) -> Self {
        let consequence = reason.consequence();
        let body = json!({
            "type": format!("urn:postern:{}", consequence.id),
            "title": consequence.title,
            "status": consequence.status,
            "instance": format!("urn:uuid:{instance}"),
        });
        let mut headers = vec![
            ("content-type", "application/problem+json".to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("connection", "close".to_owned()),
        ];
        match consequence.status {
            // An error code stands only where there was a token (RFC 6750 §3).
            401 if reason == Reason::TokenMissing => headers.push(("www-authenticate", "Bearer".to_owned())),
            401 => headers.push(("www-authenticate", "Bearer error=\"invalid_token\"".to_owned())),
            426 => {
                headers.push(("upgrade", "websocket".to_owned()));
                headers.push(("sec-websocket-version", "13".to_owned()));
            }
            429 => {
                let wait = wait.unwrap_or_default();
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                headers.push(("retry-after", seconds.max(1).to_string()));
            }
            _ => {}
        }
        Self { reason, headers, body: body.to_string().into_bytes() }
    }
}

/// Parses a UUID into its bits.
fn uuid(text: &[u8]) -> Option<u128> {
    let is_formed = text.len() == 36
        && text.iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    let digits = text.iter().filter_map(|byte| char::from(*byte).to_digit(16));
    is_formed.then(|| digits.fold(0, |bits, digit| bits << 4 | u128::from(digit)))
}

/// Returns the bits of a version 4 UUID (RFC 9562 §5.4).
fn fresh_uuid(entropy: &Entropy) -> u128 {
    let bits = u128::from_be_bytes(entropy.instance);
    let bits = bits & !(0xf << 76) | 0x4 << 76;
    bits & !(0x3 << 62) | 0x2 << 62
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::ConnectionFacts;

    fn instance(request_id: Option<&[u8]>) -> Instance {
        Instance::of(&RequestHead {
            fields: request_id.map(|id| ("x-request-id".to_owned(), id.to_vec())).into_iter().collect(),
            connection: ConnectionFacts::default(),
            entropy: Entropy {
                key: [0; 16],
                mask: [0; 4],
                ping: [0; 16],
                instance: [0xff; 16],
                session: [0; 4],
            },
        })
    }

    #[test]
    fn a_refusal_tells_its_reason_and_nothing_else() {
        let id = instance(Some(b"0a1b2c3d-0000-4000-8000-00000000ABCD"));
        let reply = Reply::refusal(Reason::OriginDenied, &id, None);
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            body,
            json!({
                "type": "urn:postern:origin_denied",
                "title": "Origin not allowed",
                "status": 403,
                "instance": "urn:uuid:0a1b2c3d-0000-4000-8000-00000000abcd",
            })
        );
    }

    #[test]
    fn each_status_has_the_fields_that_http_asks_of_it() {
        let id = instance(None);
        let cases = [
            (Reason::TokenMissing, None, Some(("www-authenticate", "Bearer"))),
            (Reason::TokenExpired, None, Some(("www-authenticate", "Bearer error=\"invalid_token\""))),
            (Reason::VersionUnsupported, None, Some(("sec-websocket-version", "13"))),
            (Reason::HandshakeRate, Some(Duration::from_millis(35_001)), Some(("retry-after", "36"))),
            (Reason::HandshakeRate, Some(Duration::from_nanos(1)), Some(("retry-after", "1"))),
            (Reason::ConnectionLimit, None, Some(("retry-after", "1"))),
            (Reason::OriginDenied, None, None),
        ];
        for (reason, wait, expected) in cases {
            let reply = Reply::refusal(reason, &id, wait);
            let special = reply.headers.iter().find(|(name, _)| {
                ["www-authenticate", "sec-websocket-version", "retry-after"].contains(name)
            });
            assert_eq!(special.map(|(n, v)| (*n, v.as_str())), expected, "{reason:?}");
        }
    }

    #[test]
    fn a_request_id_that_is_no_uuid_is_not_repeated() {
        for id in
            [None, Some(&b"\xff\xfe"[..]), Some(b"<script>"), Some(b"0a1b2c3d-0000-4000-8000-00000000abcg")]
        {
            assert_eq!(instance(id).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff", "{id:?}");
        }
    }
}
