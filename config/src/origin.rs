//! The origins (RFC 6454) that may open a socket.

mod parse;

pub(crate) use crate::origin::parse::{Host, pattern};
use crate::origin::parse::{Parts, Port};

/// The `origins` object of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    /// The origins that may pass.
    pub allow: Vec<OriginPattern>,
    /// The fate of a request without an Origin.
    pub missing: Missing,
}

/// The fate of a request without an Origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The request passes (non-browser clients).
    Allow,
    /// The request is refused.
    Deny,
}

/// The origins that an entry of `allow` lets in, normalised: lower case, default port filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// `*`: any value of one Origin field.
    Any,
    /// `null`: the opaque origin, spelled out.
    Null,
    /// The origins of a scheme.
    Of {
        /// `https`, `http` or another scheme, in lower case.
        scheme: String,
        /// The hosts of the origins.
        host: OriginHosts,
        /// The ports of the origins.
        port: OriginPorts,
    },
}

/// The hosts of an [`OriginPattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginHosts {
    /// `*`: all hosts.
    Any,
    /// `*.parent`: hosts of one or more labels before this domain.
    Below(String),
    /// A domain in lower case and ASCII form, an address (IPv6 in brackets), or an empty host, as in
    /// `file://`.
    One(String),
}

/// The ports of an [`OriginPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginPorts {
    /// `*`: all ports.
    Any,
    /// One port. `None` only for a scheme without a default port.
    One(Option<u16>),
}

/// The origin that a request names, normalised as in [`OriginPattern::Of`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The opaque origin, `null`.
    Opaque,
    /// A scheme, a host and a port.
    Tuple {
        /// The scheme, in lower case.
        scheme: String,
        /// The host, in lower case; IPv6 in brackets. Empty only for a scheme whose origins have none.
        host: String,
        /// The port, the scheme's own if none was written; `None` only for a scheme without one.
        port: Option<u16>,
    },
}

/// The verdict of [`Origins`] on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginVerdict {
    /// The request may pass.
    Allowed,
    /// The request's origin is not allowed, is no origin, or there is more than one.
    Denied,
    /// The request has no origin, and must have one.
    Missing,
}

impl Origins {
    /// Judges the values of all Origin fields of a request. A value with a comma, which no origin has, is
    /// that of several fields, which proxies join (RFC 9110 §5.3).
    pub fn judge<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> OriginVerdict {
        let mut values = values.into_iter();
        match (values.next(), values.next(), self.missing) {
            (None, _, Missing::Allow) => OriginVerdict::Allowed,
            (None, _, Missing::Deny) => OriginVerdict::Missing,
            (Some(value), None, _) if !value.contains(&b',') && self.allows(value) => OriginVerdict::Allowed,
            (Some(_), _, _) => OriginVerdict::Denied,
        }
    }

    /// Says whether one of the patterns lets the value of an Origin field in.
    fn allows(&self, value: &[u8]) -> bool {
        let origin = Origin::parse(value);
        let matches = |pattern: &OriginPattern| match &origin {
            Some(origin) => pattern.matches(origin),
            None => *pattern == OriginPattern::Any,
        };
        self.allow.iter().any(matches)
    }
}

impl Origin {
    /// Reads the value of an Origin field as user agents write it (RFC 6454 §7.1), in any case.
    ///
    /// Returns `None` for everything else: a path, a user, a trailing slash or dot, a list, a name that is
    /// not ASCII, an empty label, or a port with leading zeros.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        if text == "null" {
            return Some(Self::Opaque);
        }
        let Parts { scheme, host, port } = parse::parts(text).ok()?;
        let port = match port {
            Port::Default => parse::default_port(&scheme),
            Port::One(port) => Some(port),
            Port::Any => return None,
        };
        let has_none = host.is_empty() && port.is_none();
        let host = if has_none { String::new() } else { Host::parse(host)?.0 };
        Some(Self::Tuple { scheme, host, port })
    }
}

impl OriginPattern {
    /// Says whether `origin` is one of those that the pattern stands for.
    pub fn matches(&self, origin: &Origin) -> bool {
        match (self, origin) {
            (Self::Any, _) | (Self::Null, Origin::Opaque) => true,
            (Self::Of { scheme, host, port }, Origin::Tuple { scheme: s, host: h, port: p }) => {
                scheme == s && host.have(h) && (*port == OriginPorts::Any || *port == OriginPorts::One(*p))
            }
            (Self::Null, Origin::Tuple { .. }) | (Self::Of { .. }, Origin::Opaque) => false,
        }
    }
}

impl OriginHosts {
    /// Says whether `host` is one of the hosts.
    fn have(&self, host: &str) -> bool {
        match self {
            Self::Any => !host.is_empty(),
            Self::Below(parent) => is_below(host, parent),
            Self::One(one) => one == host,
        }
    }
}

/// Says whether `host` is one or more labels and then `.parent`.
pub(crate) fn is_below(host: &str, parent: &str) -> bool {
    host.strip_suffix(parent)
        .and_then(|labels| labels.strip_suffix('.'))
        .is_some_and(|labels| !labels.is_empty())
}

#[cfg(test)]
mod tests;
