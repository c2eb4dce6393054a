//! The text of origins: in requests, strictly, and in policies, with a remedy for each mistake.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::origin::{OriginHosts, OriginPattern, OriginPorts};

/// An origin taken apart; the host is not judged yet.
pub(super) struct Parts<'a> {
    pub(super) scheme: String,
    pub(super) host: &'a str,
    pub(super) port: Port,
}

/// A port as it is written.
pub(super) enum Port {
    /// The port is `*`.
    Any,
    /// The port is not written: it is the scheme's own.
    Default,
    One(u16),
}

/// The reason why a text has no parts.
pub(super) enum NoParts {
    /// Nothing, or no scheme, stands before `://`.
    Scheme,
    /// Something stands after the host and port, or before them.
    More,
    /// The port is neither 1 to 65535 nor `*`.
    Port,
}

/// Takes `scheme://host[:port]` apart.
pub(super) fn parts(text: &str) -> Result<Parts<'_>, NoParts> {
    let (scheme, authority) = text.split_once("://").ok_or(NoParts::Scheme)?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !is_scheme {
        return Err(NoParts::Scheme);
    }
    if authority.contains(['/', '?', '#', '@', '\\']) {
        return Err(NoParts::More);
    }
    // The colons of an IPv6 address lie between brackets.
    let after_address = authority.rfind(']').unwrap_or(0);
    let (host, port) = match authority.rfind(':').filter(|colon| *colon >= after_address) {
        Some(colon) => {
            let (host, port) = authority.split_at(colon);
            (host, port.strip_prefix(':').and_then(parse_port).ok_or(NoParts::Port)?)
        }
        None => (authority, Port::Default),
    };
    Ok(Parts { scheme: scheme.to_ascii_lowercase(), host, port })
}

/// A host in its one form: a domain in lower case, or an address.
pub(crate) struct Host(pub(crate) String);

impl Host {
    /// Reads an ASCII host. Returns `None` when it is empty, ends on a dot, has an empty label, or holds what
    /// no host holds.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return address.parse::<Ipv6Addr>().ok().map(|address| Self(format!("[{address}]")));
        }
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        text.split('.').all(is_label).then(|| Self(text.to_ascii_lowercase()))
    }
}

/// Returns the port of a scheme that has one (URL Standard §4.2), whose origins have a host then.
pub(super) fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "ftp" => Some(21),
        _ => None,
    }
}

/// Reads `*`, or digits without a leading zero, so that a port has one text.
fn parse_port(text: &str) -> Option<Port> {
    if text == "*" {
        return Some(Port::Any);
    }
    let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    is_plain.then(|| text.parse().ok().map(Port::One))?
}

/// Reads an entry of `origins.allow`; the error is what is wrong, and the remedy.
pub(crate) fn pattern(text: &str) -> Result<OriginPattern, (&'static str, String)> {
    match text {
        "*" => return Ok(OriginPattern::Any),
        "null" => return Ok(OriginPattern::Null),
        _ => {}
    }
    let Parts { scheme, host, port } = match parts(text) {
        Ok(parts) => parts,
        Err(NoParts::Scheme) => return Err(("has no scheme", remedy_for_bare(text))),
        Err(NoParts::More) => {
            let remedy = "write scheme, host and port only, such as `https://app.example.com`";
            return Err(("has more than a scheme, a host and a port", remedy.to_owned()));
        }
        Err(NoParts::Port) => {
            return Err(("has no valid port", "write a port from 1 to 65535, `*`, or none".to_owned()));
        }
    };
    let own_port = default_port(&scheme);
    let host = match (host, host.strip_prefix("*.")) {
        ("", _) if own_port.is_none() && matches!(port, Port::Default) => OriginHosts::One(String::new()),
        ("*", _) => OriginHosts::Any,
        (_, Some(parent)) => OriginHosts::Below(parent_domain(parent)?),
        (host, None) => OriginHosts::One(domain(host)?),
    };
    let port = match port {
        Port::Any => OriginPorts::Any,
        Port::Default => OriginPorts::One(own_port),
        Port::One(port) => OriginPorts::One(Some(port)),
    };
    Ok(OriginPattern::Of { scheme, host, port })
}

/// Reads a domain that others can be below.
fn parent_domain(text: &str) -> Result<String, (&'static str, String)> {
    let parent = domain(text)?;
    if parent.starts_with('[') || parent.parse::<Ipv4Addr>().is_ok() {
        let remedy = "an address has nothing below it: write the address, or a domain after `*.`";
        return Err(("has an address after `*.`", remedy.to_owned()));
    }
    Ok(parent)
}

/// Returns the one ASCII form of a host that an operator wrote, Unicode and all (UTS 46).
fn domain(text: &str) -> Result<String, (&'static str, String)> {
    if text.contains('*') {
        let remedy = "write `*.` before the whole domain only, such as `https://*.example.com`, or `*` alone";
        return Err(("has a `*` that is not a whole first label", remedy.to_owned()));
    }
    if text.ends_with('.') {
        return Err(("ends on a dot", "leave the last dot out".to_owned()));
    }
    let ascii = url::Host::parse(text).ok().map(|host| host.to_string());
    ascii.and_then(|ascii| Host::parse(&ascii)).map(|host| host.0).ok_or_else(|| {
        ("has no valid host", "write a domain or an address, such as `https://app.example.com`".to_owned())
    })
}

fn remedy_for_bare(text: &str) -> String {
    let candidate = format!("https://{text}");
    // The candidate has a scheme, so this goes one level deep.
    if pattern(&candidate).is_ok() {
        format!("write `{candidate}`")
    } else {
        "write scheme, host and port, such as `https://app.example.com`, or `null` or `*`".to_owned()
    }
}
