//! Addresses as they are given to the command.

use std::net::IpAddr;

use super::template::quoted;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// A name or an address; an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// A cluster that Postern asks, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) endpoint: Endpoint,
    pub(super) is_tls: bool,
}

impl Endpoint {
    /// Reads `host:port`, or a host alone if there is a `default` port.
    pub(super) fn parse(text: &str, default: Option<u16>) -> Option<Self> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = if rest.is_empty() { default? } else { rest.strip_prefix(':')?.parse().ok()? };
        let is_name =
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let is_address = host.parse::<IpAddr>().is_ok();
        (is_name || is_address).then(|| Self { host: host.to_owned(), port })
    }

    /// Returns Envoy's `socket_address`.
    pub(super) fn socket_address(&self) -> String {
        format!("{{address: {}, port_value: {}}}", quoted(&self.host), self.port)
    }

    /// Returns the way in which Envoy finds the host.
    pub(super) fn discovery(&self) -> &'static str {
        if self.host.parse::<IpAddr>().is_ok() { "STATIC" } else { "STRICT_DNS" }
    }
}

impl Asked {
    /// Reads `http://host:port` or `https://host`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (rest, is_tls) = match text.strip_prefix("https://") {
            Some(rest) => (rest, true),
            None => (text.strip_prefix("http://")?, false),
        };
        let endpoint = Endpoint::parse(rest.trim_end_matches('/'), Some(if is_tls { 443 } else { 80 }))?;
        Some(Self { endpoint, is_tls })
    }
}

/// Reads `host:port`.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    Endpoint::parse(text, None)
        .ok_or_else(|| "write `host:port`, such as 127.0.0.1:8080 or [::]:8443".to_owned())
}

/// Reads `name=http://host:port`.
pub(super) fn cluster(text: &str) -> Result<(String, Asked), String> {
    let parsed = text.split_once("=http").and_then(|(name, _)| {
        let address = text.get(name.len().saturating_add(1)..)?;
        Some((name.to_owned(), Asked::parse(address)?)).filter(|_| !name.is_empty())
    });
    parsed.ok_or_else(|| "write `name=http://host:port`, such as ratelimit=http://ratelimit:8081".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_a_host_and_a_port_and_nothing_else() {
        for (text, host, port) in [
            ("127.0.0.1:8080", "127.0.0.1", 8080),
            ("[::]:8443", "::", 8443),
            ("chat.svc:80", "chat.svc", 80),
        ] {
            assert_eq!(endpoint(text), Ok(Endpoint { host: host.to_owned(), port }));
        }
        for text in
            ["", "chat", "chat:", "chat:99999", ":80", "a b:1", "a\n:1", "[::1:1", "{a}:1", "http://a:1"]
        {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn clusters_have_a_name_and_an_address_that_may_leave_out_its_port() {
        let asked =
            |host: &str, port, is_tls| Asked { endpoint: Endpoint { host: host.to_owned(), port }, is_tls };
        for (text, name, expected) in [
            ("auth=https://auth.example.com", "auth", asked("auth.example.com", 443, true)),
            ("outbound|443||a=http://[::1]:81/", "outbound|443||a", asked("::1", 81, false)),
        ] {
            assert_eq!(cluster(text), Ok((name.to_owned(), expected)));
        }
        for text in
            ["auth", "=http://a", "auth=ftp://a", "auth=http://", "auth=http://a/b", "auth=http://u@a"]
        {
            assert!(cluster(text).is_err(), "{text}");
        }
    }
}
