//! Which origins (RFC 6454) may open a socket.

/// The `origins` object of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    /// What may pass.
    pub allow: Vec<OriginPattern>,
    /// What becomes of a request without an Origin.
    pub missing: Missing,
}

/// What becomes of a request without an Origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It passes (non-browser clients).
    Allow,
    /// It is refused.
    Deny,
}

/// One allowed origin, normalised: lower case, default port filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// `*`: every origin.
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
