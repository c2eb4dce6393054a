//! The endpoint by its URL: where it is, and whether it may be attacked.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use rustls::pki_types::ServerName;
use url::{Host, Url};

/// An endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) is_secure: bool,
    /// The host and port as they stand in Host; the port only where it is not that of the scheme.
    pub(crate) authority: String,
    /// The path and query.
    pub(crate) path_and_query: String,
    /// The name that a certificate has to vouch for.
    pub(crate) name: ServerName<'static>,
    /// The URL without its query, which may have a token.
    pub(crate) shown: String,
    host: Host,
    port: u16,
}

impl Target {
    /// Reads a URL of a WebSocket (RFC 6455 §3).
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "write wss://host[:port]/path, or ws://";
        let mut url = Url::parse(text).map_err(|error| format!("{error}; {FORM}"))?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(format!("the scheme is `{}`; {FORM}", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("it has the name of a user; {FORM}, and give a token by --token"));
        }
        if url.fragment().is_some() {
            return Err(format!("it has a fragment (RFC 6455, 3); {FORM}"));
        }
        let host = url.host().ok_or(FORM)?.to_owned();
        let port = url.port_or_known_default().ok_or(FORM)?;
        let authority = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        let path_and_query =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let name = match &host {
            Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|error| error.to_string())?,
            Host::Ipv4(address) => IpAddr::V4(*address).into(),
            Host::Ipv6(address) => IpAddr::V6(*address).into(),
        };
        let is_secure = url.scheme() == "wss";
        url.set_query(None);
        Ok(Self { is_secure, authority, path_and_query, name, shown: url.to_string(), host, port })
    }

    /// Looks the host up.
    pub(crate) fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        match &self.host {
            Host::Domain(name) => (name.as_str(), self.port).to_socket_addrs().map(Iterator::collect),
            Host::Ipv4(address) => Ok(vec![(*address, self.port).into()]),
            Host::Ipv6(address) => Ok(vec![(*address, self.port).into()]),
        }
    }
}

/// Says whether every address is one of this machine alone. None at all are not.
pub(crate) fn are_loopback(addresses: &[SocketAddr]) -> bool {
    let is_loopback = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
    !addresses.is_empty() && addresses.iter().all(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_host_port_path_and_whether_there_is_tls() {
        for (url, secure, authority, path, shown) in [
            ("wss://a.example", true, "a.example", "/", "wss://a.example/"),
            ("wss://a.example:443/ws", true, "a.example", "/ws", "wss://a.example/ws"),
            ("ws://a.example:443/ws?token=x", false, "a.example:443", "/ws?token=x", "ws://a.example:443/ws"),
            ("ws://[::1]:8080/a/../b", false, "[::1]:8080", "/b", "ws://[::1]:8080/b"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.is_secure, target.authority.as_str()), (secure, authority), "{url}");
            assert_eq!((target.path_and_query.as_str(), target.shown.as_str()), (path, shown), "{url}");
        }
        for wrong in
            ["", "a.example", "https://a.example", "ws://", "wss://alice@a.example", "ws://a.example/#x"]
        {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_where_all_addresses_are_of_this_machine_alone_it_is_loopback() {
        let of = |addresses: &[&str]| -> Vec<SocketAddr> {
            addresses.iter().map(|address| address.parse().unwrap()).collect()
        };
        for local in [&["127.0.0.1:1"][..], &["127.9.9.9:1", "[::1]:1"], &["[::ffff:127.0.0.1]:1"]] {
            assert!(are_loopback(&of(local)), "{local:?}");
        }
        for other in [
            &[][..],
            &["192.0.2.1:1"],
            &["127.0.0.1:1", "192.0.2.1:1"],
            &["0.0.0.0:1"],
            &["[::]:1"],
            &["10.0.0.1:1"],
            &["169.254.169.254:80"],
            &["[::ffff:192.0.2.1]:1"],
        ] {
            assert!(!are_loopback(&of(other)), "{other:?}");
        }
    }
}
