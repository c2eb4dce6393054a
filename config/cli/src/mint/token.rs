//! Tokens (RFC 7519), signed as RFC 7515 says.

use std::time::Duration;

use clap::Args;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use postern_config::{Audiences, ClaimPath, KeySource, Path, Provider, parse_duration};
use serde_json::{Map, Value, json};

use super::{Failure, Source, resolve};
use crate::world;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// The provider whose token it is.
    #[arg(long, value_name = "NAME")]
    provider: String,
    /// The user that speaks: `sub`, or the claim that the provider's `subject` names.
    #[arg(long)]
    sub: String,
    /// The time for which it is good, such as 90s, 5m or 1h.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = ttl)]
    ttl: Duration,
    /// One more claim, or another value for one of those above: JSON, or else a string. May be repeated.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// The token's own name, `jti`; `random` makes one up.
    #[arg(long)]
    jti: Option<String>,
    /// A private key, as PEM, for a provider with public keys.
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
    /// One of the provider's algorithms; only needed with a private key where there are several.
    #[arg(long, value_parser = algorithm)]
    alg: Option<Algorithm>,
    /// The name of the key, one of the provider's.
    #[arg(long)]
    kid: Option<String>,
}

fn ttl(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a number and a unit, such as 90s, 5m or 1h".to_owned())
}

fn claim(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
            Ok((name.to_owned(), value))
        }
        _ => Err("write `name=value`".to_owned()),
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    text.parse().map_err(|_| "is no algorithm of RFC 7518 that Postern knows".to_owned())
}

pub(super) fn mint(arguments: &Arguments) -> Result<String, Failure> {
    let Arguments { source, provider: name, kid, .. } = arguments;
    let configs = source.read()?;
    let by_name = |config: &'_ postern_config::Config| config.providers.get(name).cloned();
    let provider =
        source.find(&configs, "provider", name, by_name, |config| config.providers.keys().collect())?;
    let (algorithm, key) = signer(arguments, &provider)?;
    let claims = claims(arguments, &provider)?;
    let header = Header { kid: kid.clone(), ..Header::new(algorithm) };
    // The fault of a key is told without the key.
    let token = jsonwebtoken::encode(&header, &claims, &key);
    token.map_err(|_| Failure::Use(format!("{} cannot sign with {algorithm:?}", key_file(arguments))))
}

/// Returns the claims of the token.
fn claims(arguments: &Arguments, provider: &Provider) -> Result<Map<String, Value>, Failure> {
    let now = world::now();
    let mut claims = Map::new();
    claims.extend(provider.issuers.first().map(|issuer| ("iss".to_owned(), json!(issuer.example()))));
    if let Audiences::Bound { claim, values } = &provider.audiences {
        put(&mut claims, claim, json!(values.first()));
    }
    put(&mut claims, &provider.subject, json!(arguments.sub));
    claims.insert("iat".to_owned(), json!(now.as_secs()));
    claims.insert("exp".to_owned(), json!(now.saturating_add(arguments.ttl).as_secs()));
    let jti = match arguments.jti.as_deref() {
        Some("random") => {
            let failed = |error| Failure::Problem(format!("there is no randomness: {error}"));
            Some(world::random_id().map_err(failed)?)
        }
        other => other.map(str::to_owned),
    };
    claims.extend(jti.map(|jti| ("jti".to_owned(), json!(jti))));
    claims.extend(arguments.claims.iter().cloned());
    Ok(claims)
}

/// Puts a claim where `path` points to, in objects that are made on the way.
fn put(claims: &mut Map<String, Value>, path: &ClaimPath, value: Value) {
    let names: Vec<String> = match path {
        ClaimPath::Name(name) => vec![name.clone()],
        ClaimPath::Pointer(pointer) => pointer.names().collect(),
    };
    let Some((last, parents)) = names.split_last() else { return };
    let mut place = claims;
    for name in parents {
        let member = place.entry(name.clone()).or_insert_with(|| json!({}));
        let Value::Object(inner) = member else { return };
        place = inner;
    }
    place.insert(last.clone(), value);
}

/// Returns the algorithm and the key that the token is signed with.
fn signer(arguments: &Arguments, provider: &Provider) -> Result<(Algorithm, EncodingKey), Failure> {
    let at = Path::root().key("providers").key(provider.name.as_str());
    let algorithm = algorithm_of(arguments, provider, &at)?;
    match (&provider.keys, &arguments.key) {
        (KeySource::Secret(_), Some(_)) => {
            Err(Failure::Use(format!("{at}: has a shared secret; leave --key out")))
        }
        (KeySource::Secret(secret), None) => {
            let secret = resolve(secret, &at.key("secret"))?;
            Ok((algorithm, EncodingKey::from_secret(&secret)))
        }
        (KeySource::Inline(_) | KeySource::Remote(_), None) => {
            Err(Failure::Use(format!("{at}: has public keys; give the private one by --key")))
        }
        (KeySource::Inline(_) | KeySource::Remote(_), Some(file)) => {
            let pem = world::read(file)
                .map_err(|error| Failure::Use(format!("{file}: cannot be read: {error}")))?;
            let key = match algorithm {
                Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(&pem),
                Algorithm::EdDSA => EncodingKey::from_ed_pem(&pem),
                _ => EncodingKey::from_rsa_pem(&pem),
            };
            let wrong = |_| Failure::Use(format!("{file}: is no private key for {algorithm:?} in PEM"));
            Ok((algorithm, key.map_err(wrong)?))
        }
    }
}

/// Returns the algorithm that was asked for, or the only one there is to choose; for a shared secret any will
/// do.
fn algorithm_of(arguments: &Arguments, provider: &Provider, at: &Path) -> Result<Algorithm, Failure> {
    let names: Vec<String> = provider.algorithms.iter().map(|known| format!("{known:?}")).collect();
    let known: Vec<Algorithm> = names.iter().filter_map(|name| name.parse().ok()).collect();
    let may_choose = matches!(provider.keys, KeySource::Secret(_)) || known.len() == 1;
    match (arguments.alg, known.first()) {
        (Some(asked), _) if known.contains(&asked) => Ok(asked),
        (None, Some(first)) if may_choose => Ok(*first),
        _ => Err(Failure::Use(format!("{at}: write one of its algorithms by --alg: {}", names.join(", ")))),
    }
}

fn key_file(arguments: &Arguments) -> &str {
    arguments.key.as_deref().unwrap_or("the secret")
}
