//! The keys of every provider, ready to verify with.
//!
//! Owns the step from a policy's providers to keys, and the problems found on the way. Keys that are
//! not in the policy are those of a [`Source`]; nothing is fetched here.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use postern_config::{
    Algorithm as Allowed, Audiences, ClaimPath, Issuer, KeySource, Path, Problem, ProblemKind, Problems,
    Provider, Secret,
};
use serde_json::Value;

use super::forgeries::Forgeries;
use super::jwk::{Unusable, VerificationKey};
use super::key_set::KeySet;
use super::secret::{self, Environment};
use super::verified::Verified;
use crate::decision::cause::TokenError;
use crate::remote::{Source, Sources};

/// Every provider of a document with its keys.
#[derive(Clone, Debug)]
pub struct Keyring {
    providers: BTreeMap<String, KeyedProvider>,
    /// The sources of fetched keys, for these providers and whoever else asks here.
    pub(crate) sources: Sources,
}

/// A provider, and the keys and rules that its tokens are judged by.
#[derive(Clone, Debug)]
pub struct KeyedProvider {
    /// The name of the provider, its key under `providers`.
    pub name: String,
    pub(super) issuers: Vec<Issuer>,
    pub(super) audiences: Audiences,
    /// The claim that names the user.
    pub(super) subject: ClaimPath,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) keys: Keys,
    pub(super) clock_skew: Duration,
    /// The longest clock skew of all providers of a document: another one may accept the same tokens.
    pub(super) longest_skew: Duration,
    pub(super) max_token_bytes: u64,
    pub(super) verified: Verified,
    /// The forgeries of all providers of a document together.
    pub(super) forgeries: Forgeries,
}

/// A provider's keys.
#[derive(Clone, Debug)]
pub(super) enum Keys {
    /// Public keys, told apart by their `kid`.
    Public(Vec<VerificationKey>),
    /// A shared secret. It has no name, so a token's `kid` says nothing about it.
    Secret(VerificationKey),
    /// Public keys that are fetched.
    Remote(Rc<Source>),
}

impl Keyring {
    /// Compiles the keys of `providers`, as in [`postern_config::Config::providers`].
    ///
    /// `env` looks up environment variables. Every problem is reported, not only the first.
    pub fn compile(providers: &BTreeMap<String, Provider>, env: Environment<'_>) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let (mut keyed, sources) = (BTreeMap::new(), Sources::default());
        let forgeries = Forgeries::default();
        let longest_skew = providers.values().map(|provider| provider.clock_skew).max().unwrap_or_default();
        for provider in providers.values() {
            let keys = match &provider.keys {
                KeySource::Inline(set) => key_set(provider, set).map(Keys::Public),
                KeySource::Remote(remote) => Ok(Keys::Remote(sources.keys(&provider.name, remote))),
                KeySource::Secret(secret) => shared_secret(provider, secret, env).map_err(|p| vec![p]),
            };
            match keys {
                Ok(keys) => {
                    let keyed_provider = KeyedProvider::new(provider, keys, forgeries.clone(), longest_skew);
                    keyed.insert(provider.name.clone(), keyed_provider);
                }
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok(Self { providers: keyed, sources }) } else { Err(Problems(problems)) }
    }

    /// Returns the problems that [`Keyring::compile`] would report, as far as they can be known without the
    /// environment: a secret named by a variable is taken on trust.
    pub fn check(providers: &BTreeMap<String, Provider>) -> Vec<Problem> {
        let mut problems = Vec::new();
        for provider in providers.values() {
            match &provider.keys {
                KeySource::Secret(Secret::Env(_)) | KeySource::Remote(_) => {}
                KeySource::Secret(secret) => {
                    problems.extend(shared_secret(provider, secret, &|_| None).err());
                }
                KeySource::Inline(set) => problems.extend(key_set(provider, set).err().unwrap_or_default()),
            }
        }
        problems
    }

    /// Returns the providers of these names, in their order; names that do not exist are left out.
    pub fn providers(&self, names: &[String]) -> Vec<&KeyedProvider> {
        names.iter().filter_map(|name| self.providers.get(name)).collect()
    }
}

impl KeyedProvider {
    /// Returns the reason why no token of this provider could be judged at `now`, if none could.
    pub(super) fn lacks_keys(&self, now: Duration) -> Option<TokenError> {
        match &self.keys {
            Keys::Remote(source) => KeySet::of(source, now).err(),
            Keys::Public(_) | Keys::Secret(_) => None,
        }
    }

    fn new(provider: &Provider, keys: Keys, forgeries: Forgeries, longest_skew: Duration) -> Self {
        Self {
            name: provider.name.clone(),
            issuers: provider.issuers.clone(),
            audiences: provider.audiences.clone(),
            subject: provider.subject.clone(),
            algorithms: provider.algorithms.iter().copied().map(library_algorithm).collect(),
            keys,
            clock_skew: provider.clock_skew,
            longest_skew,
            max_token_bytes: provider.max_token_bytes,
            verified: Verified::default(),
            forgeries,
        }
    }
}

fn shared_secret(provider: &Provider, secret: &Secret, env: Environment<'_>) -> Result<Keys, Problem> {
    let bytes = secret::resolve(secret, &path_of(provider).key("secret"), env)?;
    let algorithms = provider.algorithms.iter().copied().map(library_algorithm).collect();
    Ok(Keys::Secret(VerificationKey::from_secret(&bytes, algorithms)))
}

fn path_of(provider: &Provider) -> Path {
    Path::root().key("providers").key(&provider.name)
}

/// Reads a JWK set (RFC 7517 §5). Stricter than the RFC, which lets a reader skip keys it does not
/// understand: whoever writes keys into a policy wants to know that one of them is idle.
fn key_set(provider: &Provider, set: &Value) -> Result<Vec<VerificationKey>, Vec<Problem>> {
    let path = path_of(provider).key("jwks").key("inline").key("keys");
    let Some(members) = set.get("keys").and_then(Value::as_array) else {
        return Err(vec![Problem::new(
            ProblemKind::WrongType,
            path.to_string(),
            "not a list",
            "write a JWK set: {\"keys\": [...]}",
        )]);
    };
    let mut problems = Vec::new();
    let mut keys: Vec<VerificationKey> = Vec::new();
    let mut names = BTreeSet::new();
    for (i, jwk) in members.iter().enumerate() {
        match VerificationKey::from_jwk(jwk) {
            Err(Unusable { what, remedy }) => {
                problems.push(Problem::new(
                    ProblemKind::UnusableKey,
                    path.index(i).to_string(),
                    what,
                    remedy,
                ));
            }
            Ok(key) if key.kid.as_ref().is_some_and(|kid| !names.insert(kid.clone())) => {
                problems.push(Problem::new(
                    ProblemKind::UnusableKey,
                    path.index(i).to_string(),
                    "another key of the set has this kid",
                    "give every key a kid of its own",
                ));
            }
            Ok(key) => keys.push(key),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let allowed: Vec<Algorithm> = provider.algorithms.iter().copied().map(library_algorithm).collect();
    if !keys.iter().any(|key| key.algorithms.iter().any(|algorithm| allowed.contains(algorithm))) {
        return Err(vec![Problem::new(
            ProblemKind::UnusableKey,
            path.to_string(),
            "no key fits the provider's algorithms",
            "add a key of theirs, or add the algorithms of the keys",
        )]);
    }
    Ok(keys)
}

/// Returns the library's name of an algorithm.
fn library_algorithm(allowed: Allowed) -> Algorithm {
    match allowed {
        Allowed::EdDSA => Algorithm::EdDSA,
        Allowed::ES256 => Algorithm::ES256,
        Allowed::ES384 => Algorithm::ES384,
        Allowed::HS256 => Algorithm::HS256,
        Allowed::HS384 => Algorithm::HS384,
        Allowed::HS512 => Algorithm::HS512,
        Allowed::PS256 => Algorithm::PS256,
        Allowed::PS384 => Algorithm::PS384,
        Allowed::PS512 => Algorithm::PS512,
        Allowed::RS256 => Algorithm::RS256,
        Allowed::RS384 => Algorithm::RS384,
        Allowed::RS512 => Algorithm::RS512,
    }
}

#[cfg(test)]
mod tests;
