//! Who is let in: TLS, origins, tokens, and what stands beside cookies.

use postern_config::{
    Algorithm, Audiences, Auth, Carrier, Expiry, KeySource, Missing, OriginHosts, OriginPattern, Path,
    Policy, Provider, Secret, Tls,
};

use super::{Source, against};
use crate::finding::{Code, Remark};

/// Returns the warnings of a provider.
pub(super) fn of_provider(provider: &Provider) -> Vec<Remark> {
    let at = Path::root().key("providers").key(provider.name.as_str());
    audience(provider, &at.key("audiences")).into_iter().chain(short_secret(provider, &at)).collect()
}

/// Warns of a provider without audiences: any service that the issuer makes tokens for could use the ones it is shown here, and the
/// other way round.
fn audience(provider: &Provider, at: &Path) -> Option<Remark> {
    let what = "lets in with tokens that the issuer made for any other service";
    let remedy = "write what `aud` must contain, or `{claim: …, values: […]}` where another claim says whom a token is for";
    (provider.audiences == Audiences::Unbound)
        .then(|| against(Source::Asvs("9.2.3"), Code::AnyAudience, at, what, remedy))
}

/// Warns of a secret with fewer bytes than the hash that it is used with (RFC 7518 §3.2). What a variable has is not known.
fn short_secret(provider: &Provider, at: &Path) -> Option<Remark> {
    let KeySource::Secret(Secret::Inline(secret)) = &provider.keys else { return None };
    let bytes = |algorithm: &Algorithm| match algorithm {
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => 32,
    };
    let asked = provider.algorithms.iter().map(bytes).max()?;
    let what = format!("has {} bytes, fewer than the hash of the algorithm", secret.len());
    let remedy = format!("write {asked} random bytes or more, or `algorithms: [HS256]`");
    let path = at.key("secret").key("inline");
    (secret.len() < asked)
        .then(|| against(Source::Rfc("RFC 7518 §3.2"), Code::ShortSecret, &path, &what, &remedy))
}

/// Returns the warnings of a policy, which lies at `at`.
pub(super) fn of_policy(policy: &Policy, at: &Path) -> Vec<Remark> {
    let mut warnings = Vec::new();
    if policy.tls == Tls::Optional {
        let what = "lets WebSockets in without TLS";
        let remedy = "write `required`, or `forwarded` behind a proxy that ends TLS";
        warnings.push(against(Source::Asvs("4.4.1"), Code::NoTls, &at.key("tls"), what, remedy));
    }
    warnings.extend(origins(policy, &at.key("origins")));
    match &policy.auth {
        Some(auth) => warnings.extend(tokens(auth, policy, &at.key("auth"))),
        None => warnings.extend(anybody(policy, &at.key("auth"))),
    }
    warnings.extend(shared_cookie(policy, &at.key("csrf").key("issue").key("cookie")));
    warnings
}

fn origins(policy: &Policy, at: &Path) -> Vec<Remark> {
    let mut warnings = Vec::new();
    for (index, pattern) in policy.origins.allow.iter().enumerate() {
        let path = at.key("allow").index(index);
        let origin = match pattern {
            OriginPattern::Any => (Code::AnyOrigin, "lets pages of every site open a socket"),
            OriginPattern::Null => {
                (Code::NullOrigin, "lets any page in that a sandboxed frame or a local file shows")
            }
            OriginPattern::Of { host: OriginHosts::Any, .. } => {
                (Code::AnyOrigin, "lets pages of every host with this scheme open a socket")
            }
            OriginPattern::Of { .. } => continue,
        };
        let remedy = "write the origins of your own pages";
        warnings.push(against(Source::Asvs("4.4.2"), origin.0, &path, origin.1, remedy));
    }
    if policy.origins.missing == Missing::Allow && cookie(policy).is_some() {
        let what = "lets in by a cookie whoever sends no Origin, so that nothing tells a browser's own pages from others";
        let remedy = "write `deny`, or take the token from another place for clients that are no browsers";
        let source = Source::CheatSheet("Origin Header Validation");
        warnings.push(against(source, Code::MissingOrigin, &at.key("missing"), what, remedy));
    }
    warnings
}

/// Returns the place, in `auth.from`, of a token in a cookie, which a browser sends by itself.
fn cookie(policy: &Policy) -> Option<usize> {
    let carriers = policy.auth.iter().flat_map(|auth| &auth.from);
    carriers.enumerate().find_map(|(index, carrier)| matches!(carrier, Carrier::Cookie(_)).then_some(index))
}

fn tokens(auth: &Auth, policy: &Policy, at: &Path) -> Vec<Remark> {
    let mut warnings = Vec::new();
    let is_wide = |pattern: &OriginPattern| match pattern {
        OriginPattern::Any | OriginPattern::Null => true,
        OriginPattern::Of { host, .. } => !matches!(host, OriginHosts::One(_)),
    };
    if let Some(index) = cookie(policy).filter(|_| policy.csrf.is_none())
        && policy.origins.allow.iter().any(is_wide)
    {
        let what = "is sent by the browser for any page, and the pages that may open a socket are not named one by one";
        let remedy = "write `csrf`, or origins without `*` and `null`";
        let source = Source::CheatSheet("Additional CSWSH Protections");
        warnings.push(against(source, Code::UnguardedCookie, &at.key("from").index(index), what, remedy));
    }
    if auth.keep_token {
        let path = at.key("keep_token");
        let is_in_url = auth.from.iter().any(|carrier| matches!(carrier, Carrier::Query(_)));
        warnings.push(if is_in_url {
            let what = "leaves a token in the URL, which access logs and the service see";
            let remedy = "leave it out, or take the token from another place than `query`";
            against(Source::Asvs("14.2.1"), Code::TokenInUrl, &path, what, remedy)
        } else {
            let what = "hands the token to the service, which may log or use it";
            let remedy = "leave it out, and hand claims over with `forward`";
            against(
                Source::CheatSheet("Security Monitoring and Logging"),
                Code::KeptToken,
                &path,
                what,
                remedy,
            )
        });
    }
    if auth.expiry == Expiry::Ignore {
        let what = match auth.max_session {
            Some(_) => "leaves connections open whose token is no longer good",
            None => "leaves connections open for ever whose token is no longer good",
        };
        let remedy = "write `close`, and `refresh` for clients that get new tokens";
        let source = Source::CheatSheet("Session Management");
        warnings.push(against(source, Code::IgnoredExpiry, &at.key("expiry"), what, remedy));
    }
    warnings
}

/// Warns of a policy that asks nobody for anything. With `csrf` it asks for a session.
fn anybody(policy: &Policy, at: &Path) -> Option<Remark> {
    let what = "lets everybody in";
    let remedy = "write `providers` and `from`, unless all that passes here is public";
    let source = Source::CheatSheet("Authentication and Authorization");
    policy.csrf.is_none().then(|| against(source, Code::NoAuthentication, at, what, remedy))
}

/// Warns of a cookie whose name other hosts of the same site may set as well.
fn shared_cookie(policy: &Policy, at: &Path) -> Option<Remark> {
    let name = policy.csrf.as_ref()?.issue.as_ref().filter(|name| !name.starts_with("__Host-"))?;
    let what = "is a cookie that other hosts of the same site may set as well";
    Some(against(Source::Asvs("3.3.3"), Code::SharedCookie, at, what, &format!("write `__Host-{name}`")))
}
