//! The host of a request in its normal form, so that every spelling of it meets the same route.

use std::net::Ipv4Addr;

use crate::origin::Host;

/// The host of a request without its port: a domain in lower case without a last dot, or an
/// address (IPv6 in brackets, in the form of RFC 5952).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalisedHost(String);

/// The reason why an authority names no host that all who read it agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// The host ends in a number, as addresses do, and is none in dotted decimals.
    #[error("the host is no address")]
    Address,
    /// More than one field names a host.
    #[error("the request has two hosts")]
    Many,
    /// The host is empty or has an empty label, holds what no name of a host holds (a user, blanks,
    /// %-encoding, a list, bytes that are not ASCII), or has brackets without an IPv6 address.
    #[error("the host is no name")]
    Name,
    /// The text behind the colon is no port.
    #[error("the host has no valid port")]
    Port,
}

impl NormalisedHost {
    /// Reads the value of `:authority` or Host: a host, and perhaps a port (RFC 9110 §7.2). One last dot names
    /// the same host (RFC 1034 §3.1).
    pub fn parse(authority: &[u8]) -> Result<Self, HostFault> {
        let text = std::str::from_utf8(authority).map_err(|_| HostFault::Name)?;
        // The colons of an IPv6 address lie between brackets.
        let after_address = text.rfind(']').unwrap_or(0);
        let host = match text.rfind(':').filter(|colon| *colon >= after_address) {
            Some(colon) => {
                let (host, port) = text.split_at(colon);
                check_port(port.get(1..).unwrap_or_default())?;
                host
            }
            None => text,
        };
        let host = host.strip_suffix('.').filter(|domain| !domain.ends_with(']')).unwrap_or(host);
        let Host(host) = Host::parse(host).ok_or(HostFault::Name)?;
        let last = host.rsplit('.').next().unwrap_or_default();
        if is_number(last) && host.parse::<Ipv4Addr>().is_err() {
            return Err(HostFault::Address);
        }
        Ok(Self(host))
    }

    /// Returns the normal form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks a port. An empty one is the scheme's own (RFC 3986 §3.2.3).
fn check_port(port: &str) -> Result<(), HostFault> {
    let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if port.is_empty() || is_port { Ok(()) } else { Err(HostFault::Port) }
}

/// Says whether a last label makes an address of the whole to those who read 127.1 and 0x7f000001 as
/// 127.0.0.1 (URL Standard §3.5).
fn is_number(label: &str) -> bool {
    let hexadecimal =
        label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || (!label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_host_has_one_normal_form() {
        for (authority, expected) in [
            ("example.com", "example.com"),
            ("EXAMPLE.com", "example.com"),
            ("example.com.", "example.com"),
            ("example.com:8443", "example.com"),
            ("example.com.:443", "example.com"),
            ("example.com:", "example.com"),
            ("example.com:65535", "example.com"),
            ("localhost", "localhost"),
            ("my_service.my-namespace", "my_service.my-namespace"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1.example", "1.example"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:8443", "[::1]"),
            ("[0:0::1]", "[::1]"),
            ("[::FFFF:192.0.2.1]", "[::ffff:192.0.2.1]"),
        ] {
            let host = NormalisedHost::parse(authority.as_bytes()).unwrap();
            assert_eq!(host.as_str(), expected, "{authority}");
            assert_eq!(NormalisedHost::parse(host.as_str().as_bytes()), Ok(host), "{authority}");
        }
    }

    #[test]
    fn what_hops_could_read_as_different_hosts_is_none() {
        for (authority, fault) in [
            (&b""[..], HostFault::Name),
            (b":443", HostFault::Name),
            (b".", HostFault::Name),
            (b"user@admin.example.com", HostFault::Name),
            (b"user:pass@admin.example.com", HostFault::Port),
            (b"admin%2eexample.com", HostFault::Name),
            (b"%61dmin.example.com", HostFault::Name),
            (b"admin.example.com..", HostFault::Name),
            (b"admin..example.com", HostFault::Name),
            (b".admin.example.com", HostFault::Name),
            (b"admin.example.com:80:80", HostFault::Name),
            (b"admin.example.com::80", HostFault::Name),
            (b"admin.example.com:+80", HostFault::Port),
            (b"admin.example.com:80a", HostFault::Port),
            (b"admin.example.com: 80", HostFault::Port),
            (b"admin.example.com:65536", HostFault::Port),
            (b"admin.example.com:99999999999999999999999", HostFault::Port),
            (b"admin.example.com ", HostFault::Name),
            (b" admin.example.com", HostFault::Name),
            (b"admin.example.com\t", HostFault::Name),
            (b"admin example.com", HostFault::Name),
            (b"admin.example.com,other.example.com", HostFault::Name),
            (b"admin.example.com, other.example.com", HostFault::Name),
            (b"admin.example.com/x", HostFault::Name),
            (b"admin.example.com?x", HostFault::Name),
            (b"admin.example.com#x", HostFault::Name),
            (b"admin.example.com\\x", HostFault::Name),
            (b"admin.example.com\0", HostFault::Name),
            (b"https://admin.example.com", HostFault::Port),
            (b"*.example.com", HostFault::Name),
            (b"b\xc3\xbccher.example", HostFault::Name),
            (b"admin\xe3\x80\x82example.com", HostFault::Name),
            (b"\xff", HostFault::Name),
            (b"[::1", HostFault::Name),
            (b"::1", HostFault::Name),
            (b"[::1]x", HostFault::Name),
            (b"[::1].", HostFault::Name),
            (b"[::1]:80:80", HostFault::Name),
            (b"[::1]]:80", HostFault::Name),
            (b"[fe80::1%25eth0]", HostFault::Name),
            (b"[v1.x]", HostFault::Name),
            (b"[127.0.0.1]", HostFault::Name),
            (b"127.1", HostFault::Address),
            (b"127.0.0.01", HostFault::Address),
            (b"2130706433", HostFault::Address),
            (b"0x7f.1", HostFault::Address),
            (b"0x7f000001", HostFault::Address),
            (b"127.0.0.0X1", HostFault::Address),
            (b"1.2.3.256", HostFault::Address),
            (b"1.2.3.4.5", HostFault::Address),
            (b"example.1", HostFault::Address),
        ] {
            assert_eq!(NormalisedHost::parse(authority), Err(fault), "{}", authority.escape_ascii());
        }
    }
}
