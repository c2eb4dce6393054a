//! Which origins (RFC 6454) may open a socket.

mod parse;

use crate::origin::parse::Parts;
pub(crate) use crate::origin::parse::{Host, pattern};

/// The `origins` object of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    /// What may pass.
    pub allow: Vec<OriginPattern>,
    /// What becomes of a request without an Origin.
    pub missing: Missing,
}

/// What becomes of a request without an Origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// It passes (non-browser clients).
    Allow,
    /// It is refused.
    Deny,
}

/// One allowed origin, normalised: lower case, default port filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// `*`: every origin, the opaque one as well.
    Any,
    /// One origin.
    Exact {
        /// `https`, `http` or another scheme, in lower case.
        scheme: String,
        /// A domain in lower case and ASCII form, or an address (IPv6 in brackets).
        host: String,
        /// `None` only for a scheme without a default port.
        port: Option<u16>,
    },
    /// `null`: the opaque origin, spelled out.
    Null,
    /// `scheme://*.parent`: one or more labels before `parent`.
    Subdomains {
        /// As in `Exact`.
        scheme: String,
        /// The domain after `*.`.
        parent: String,
        /// As in `Exact`.
        port: Option<u16>,
    },
}

/// The origin that a request says it comes from, normalised as in [`OriginPattern::Exact`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `null`.
    Opaque,
    /// A scheme, a host and a port.
    Tuple {
        /// In lower case.
        scheme: String,
        /// In lower case; IPv6 in brackets.
        host: String,
        /// The scheme's own port if none was written; `None` only for a scheme without one.
        port: Option<u16>,
    },
}

/// What [`Origins`] say about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginVerdict {
    /// It may pass.
    Allowed,
    /// Its origin is not allowed, is no origin, or there is more than one.
    Denied,
    /// It has none, and must have one.
    Missing,
}

impl Origins {
    /// Judges the values of all Origin fields of a request.
    pub fn judge<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> OriginVerdict {
        let mut values = values.into_iter();
        match (values.next(), values.next(), self.missing) {
            (None, _, Missing::Allow) => OriginVerdict::Allowed,
            (None, _, Missing::Deny) => OriginVerdict::Missing,
            (Some(value), None, _) if Origin::parse(value).is_some_and(|origin| self.allows(&origin)) => {
                OriginVerdict::Allowed
            }
            (Some(_), _, _) => OriginVerdict::Denied,
        }
    }

    /// Whether one of the patterns matches.
    pub fn allows(&self, origin: &Origin) -> bool {
        self.allow.iter().any(|pattern| pattern.matches(origin))
    }
}

impl Origin {
    /// Reads the value of an Origin field as user agents write it (RFC 6454 §7.1), in any case.
    ///
    /// `None` for everything else: a path, a user, a trailing slash or dot, a list, a name that is
    /// not ASCII, an empty label, or a port with leading zeros.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        if text == "null" {
            return Some(Self::Opaque);
        }
        let Parts { scheme, host, port } = parse::parts(text).ok()?;
        Some(Self::Tuple { scheme, host: Host::parse(host)?.0, port })
    }
}

impl OriginPattern {
    /// Whether `origin` is one of those the pattern stands for.
    pub fn matches(&self, origin: &Origin) -> bool {
        match (self, origin) {
            (Self::Any, _) | (Self::Null, Origin::Opaque) => true,
            (Self::Exact { scheme, host, port }, Origin::Tuple { scheme: s, host: h, port: p }) => {
                (scheme, host, port) == (s, h, p)
            }
            (Self::Subdomains { scheme, parent, port }, Origin::Tuple { scheme: s, host: h, port: p }) => {
                (scheme, port) == (s, p) && is_below(h, parent)
            }
            (Self::Null, Origin::Tuple { .. }) => false,
            (Self::Exact { .. } | Self::Subdomains { .. }, Origin::Opaque) => false,
        }
    }
}

/// Whether `host` is one or more labels and then `.parent`.
pub(crate) fn is_below(host: &str, parent: &str) -> bool {
    host.strip_suffix(parent)
        .and_then(|labels| labels.strip_suffix('.'))
        .is_some_and(|labels| !labels.is_empty())
}

#[cfg(test)]
mod tests;
