//! Handshakes from other sites (RFC 6454): cross-site WebSocket hijacking, and origins that careless comparisons take for
//! the honest one.

use url::Url;

use crate::audit::attack::{Attack, Severity, Trial, Untried};
use crate::audit::honest::Honest;
use crate::audit::request::Request;

/// The domain of the attacker, which nobody can own (RFC 2606).
const ATTACKER: &str = "attacker.example";

const LIST: &str = "ASVS 4.4.2";
const KEY: &str = "origins.allow";

/// The honest origin in its parts.
struct Site {
    scheme: String,
    host: String,
    /// The port with its colon, if it is written.
    port: String,
}

impl Site {
    fn of(honest: &Honest) -> Result<Self, Untried> {
        const UNTRIED: Untried = "the honest origin has no host that another could look like";
        let own = format!("https://{}", honest.authority);
        let url = Url::parse(honest.origin.as_ref().unwrap_or(&own)).map_err(|_| UNTRIED)?;
        let host = url.host_str().ok_or(UNTRIED)?.to_owned();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self { scheme: url.scheme().to_owned(), host, port })
    }
}

fn from(honest: &Honest, origin: impl FnOnce(Site) -> String) -> Result<Request, Untried> {
    Ok(honest.with_origins(&[&origin(Site::of(honest)?)]))
}

fn suffix(honest: &Honest) -> Result<Request, Untried> {
    from(honest, |site| format!("{}://{}.{ATTACKER}{}", site.scheme, site.host, site.port))
}

fn prefix(honest: &Honest) -> Result<Request, Untried> {
    from(honest, |site| format!("{}://attacker-{}{}", site.scheme, site.host, site.port))
}

fn subdomain(honest: &Honest) -> Result<Request, Untried> {
    from(honest, |site| format!("{}://attacker.{}{}", site.scheme, site.host, site.port))
}

fn user(honest: &Honest) -> Result<Request, Untried> {
    from(honest, |site| format!("{}://{}@{ATTACKER}{}", site.scheme, site.host, site.port))
}

fn backslash(honest: &Honest) -> Result<Request, Untried> {
    from(honest, |site| format!("{}://{ATTACKER}\\.{}{}", site.scheme, site.host, site.port))
}

fn scheme(honest: &Honest) -> Result<Request, Untried> {
    from(honest, |site| {
        let other = if site.scheme == "https" { "http" } else { "gopher" };
        format!("{other}://{}{}", site.host, site.port)
    })
}

fn port(honest: &Honest) -> Result<Request, Untried> {
    from(honest, |site| {
        let other = if site.port == ":8666" { "8667" } else { "8666" };
        format!("{}://{}:{other}", site.scheme, site.host)
    })
}

fn list(honest: &Honest) -> Result<Request, Untried> {
    from(honest, |site| format!("{}://{}{} https://{ATTACKER}", site.scheme, site.host, site.port))
}

fn path(honest: &Honest) -> Result<Request, Untried> {
    from(honest, |site| format!("https://{ATTACKER}/{}://{}{}", site.scheme, site.host, site.port))
}

/// Sends the honest origin and a foreign one, in fields of their own.
fn twice(honest: &Honest) -> Result<Request, Untried> {
    let Some(origin) = &honest.origin else { return Err("the honest client has no origin") };
    Ok(honest.with_origins(&[origin, &format!("https://{ATTACKER}")]))
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        id: "origin-foreign",
        title: "A page of another site opens a WebSocket",
        sends: "`Origin: https://attacker.example`",
        severity: Severity::High,
        reference: LIST,
        closed_by: KEY,
        trial: Trial::Handshake(|honest| Ok(honest.with_origins(&[&format!("https://{ATTACKER}")]))),
    },
    Attack {
        id: "origin-null",
        title: "A sandboxed page opens a WebSocket",
        sends: "`Origin: null`",
        severity: Severity::High,
        reference: LIST,
        closed_by: KEY,
        trial: Trial::Handshake(|honest| Ok(honest.with_origins(&["null"]))),
    },
    Attack {
        id: "origin-missing",
        title: "What is no browser opens a WebSocket",
        sends: "no Origin",
        severity: Severity::Low,
        reference: LIST,
        closed_by: "origins.missing",
        trial: Trial::Handshake(|honest| Ok(honest.with_origins(&[]))),
    },
    Attack {
        id: "origin-twice",
        title: "A second Origin is overlooked",
        sends: "the honest Origin and a foreign one, in two fields",
        severity: Severity::Medium,
        reference: "RFC 6454 7.3",
        closed_by: "origins",
        trial: Trial::Handshake(twice),
    },
    Attack {
        id: "origin-list",
        title: "A list of origins passes for its first",
        sends: "the honest origin and a foreign one in one Origin field",
        severity: Severity::Medium,
        reference: "RFC 6454 7.1",
        closed_by: KEY,
        trial: Trial::Handshake(list),
    },
    Attack {
        id: "origin-suffix",
        title: "A site whose name begins as the honest one opens a WebSocket",
        sends: "an Origin of the honest host and `.attacker.example` behind it",
        severity: Severity::High,
        reference: LIST,
        closed_by: KEY,
        trial: Trial::Handshake(suffix),
    },
    Attack {
        id: "origin-prefix",
        title: "A site whose name ends as the honest one opens a WebSocket",
        sends: "an Origin of `attacker-` and the honest host behind it",
        severity: Severity::High,
        reference: LIST,
        closed_by: KEY,
        trial: Trial::Handshake(prefix),
    },
    Attack {
        id: "origin-subdomain",
        title: "Any subdomain opens a WebSocket, also one that was taken over",
        sends: "an Origin of `attacker.` and the honest host behind it",
        severity: Severity::Medium,
        reference: LIST,
        closed_by: KEY,
        trial: Trial::Handshake(subdomain),
    },
    Attack {
        id: "origin-user",
        title: "The honest host as the name of a user passes for it",
        sends: "an Origin of the honest host, `@` and a foreign host",
        severity: Severity::Medium,
        reference: "RFC 6454 7.1",
        closed_by: KEY,
        trial: Trial::Handshake(user),
    },
    Attack {
        id: "origin-backslash",
        title: "A backslash passes for part of a name",
        sends: "an Origin of a foreign host, a backslash and the honest host",
        severity: Severity::Medium,
        reference: "RFC 6454 7.1",
        closed_by: KEY,
        trial: Trial::Handshake(backslash),
    },
    Attack {
        id: "origin-path",
        title: "The honest origin anywhere in the field passes for it",
        sends: "an Origin of a foreign host with the honest origin as its path",
        severity: Severity::High,
        reference: LIST,
        closed_by: KEY,
        trial: Trial::Handshake(path),
    },
    Attack {
        id: "origin-scheme",
        title: "A page that came without TLS opens a WebSocket",
        sends: "the honest Origin with another scheme",
        severity: Severity::Medium,
        reference: LIST,
        closed_by: KEY,
        trial: Trial::Handshake(scheme),
    },
    Attack {
        id: "origin-port",
        title: "Another service on the honest host opens a WebSocket",
        sends: "the honest Origin with another port",
        severity: Severity::Low,
        reference: LIST,
        closed_by: KEY,
        trial: Trial::Handshake(port),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::honest::tests::honest;

    #[test]
    fn every_origin_is_another_than_the_honest_one_and_all_else_is_the_same() {
        let honest = honest();
        for attack in ATTACKS {
            let Trial::Handshake(departure) = &attack.trial else { panic!("{}", attack.id) };
            let request = departure(&honest).unwrap();
            let written = String::from_utf8(request.bytes()).unwrap();
            let origins: Vec<&str> =
                written.lines().filter_map(|line| line.strip_prefix("Origin: ")).collect();
            assert_ne!(origins, ["https://app.example.com"], "{}", attack.id);
            assert_eq!(request.value("authorization"), honest.request().value("authorization"));
        }
        let list = list(&honest).unwrap();
        assert_eq!(list.value("origin"), Some("https://app.example.com https://attacker.example"));
        let without = Honest { origin: None, ..honest };
        let request = suffix(&without).unwrap();
        assert_eq!(request.value("origin"), Some("https://chat.example.com.attacker.example"));
        assert!(twice(&without).is_err());
        let odd = Honest { origin: Some("null".to_owned()), ..without };
        assert!(prefix(&odd).is_err());
    }
}
