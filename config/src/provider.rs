//! The issuers of tokens, and the keys by which they sign.

use std::fmt;
use std::time::Duration;

use crate::auth::ClaimPath;
use crate::issuer::Issuer;

/// A JWS algorithm (RFC 7518 §3.1, RFC 8037) that a provider may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[allow(missing_docs, reason = "the names are those of the IANA registry")]
pub enum Algorithm {
    EdDSA,
    ES256,
    ES384,
    HS256,
    HS384,
    HS512,
    PS256,
    PS384,
    PS512,
    RS256,
    RS384,
    RS512,
}

/// One issuer of tokens.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The name, which is the key under `providers`.
    pub name: String,
    /// The issuers of which `iss` must name one. Empty only with [`KeySource::Secret`]: the provider takes
    /// tokens of any other issuer then.
    pub issuers: Vec<Issuer>,
    /// The audiences that tokens must be for.
    pub audiences: Audiences,
    /// The claim that names the user.
    pub subject: ClaimPath,
    /// The algorithms, never empty; HS* only with [`KeySource::Secret`], the others never with it.
    pub algorithms: Vec<Algorithm>,
    /// The keys.
    pub keys: KeySource,
    /// The longest time by which the clocks of issuer and Envoy may differ.
    pub clock_skew: Duration,
    /// The most bytes of a token: a longer one is refused before anything in it is read.
    pub max_token_bytes: u64,
}

impl Provider {
    /// Returns an algorithm of tokens that could be of both providers: they share an issuer, or neither names
    /// one.
    pub(crate) fn shared_algorithm(&self, other: &Self) -> Option<Algorithm> {
        let algorithm = other.algorithms.iter().find(|algorithm| self.algorithms.contains(algorithm))?;
        let is_shared = (self.issuers.is_empty() && other.issuers.is_empty())
            || self.issuers.iter().any(|issuer| other.issuers.iter().any(|theirs| issuer.overlaps(theirs)));
        is_shared.then_some(*algorithm)
    }
}

/// The audiences that a provider's tokens must be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audiences {
    /// An audience that a claim names, which is text or a list of texts (as `aud`, RFC 7519 §4.1.3).
    Bound {
        /// The claim; `aud` unless the issuer has another one.
        claim: ClaimPath,
        /// The audiences of which the claim must name one; never empty.
        values: Vec<String>,
    },
    /// Any audience: a token that was made for another service will do.
    Unbound,
}

/// The source of a provider's keys.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A JWK set (RFC 7517 §5) in the document; an object with a `keys` list.
    Inline(serde_json::Value),
    /// A JWK set fetched from a cluster.
    Remote(RemoteJwks),
    /// A shared secret.
    Secret(Secret),
}

/// A JWK set behind an Envoy cluster.
#[derive(Clone, Debug)]
pub struct RemoteJwks {
    /// The Envoy cluster to ask.
    pub cluster: String,
    /// The address of the set; http or https.
    pub uri: url::Url,
    /// The longest time that one fetch may take.
    pub timeout: Duration,
    /// The time between fetches.
    pub refresh_interval: Duration,
    /// The time for which keys serve when refreshing fails.
    pub max_stale: Duration,
}

/// A shared secret, or the environment variable that holds it. Its `Debug` never shows the bytes.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The name of an environment variable.
    Env(String),
    /// The bytes, at least 32.
    Inline(Vec<u8>),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Self::Inline(_) => f.write_str("Inline(…)"),
        }
    }
}
