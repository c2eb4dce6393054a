//! Tokens that `jwt_authn` and Postern both look for in one place, and that the first of the two takes out of the request.

use postern_config::{Carrier, Mode, Policy};

use super::Judged;
use crate::finding::{Code, Finding, quoted};
use crate::source::{Found, Neighbour, envoy::field};
use crate::yaml::{Member, Node};

const JWT_AUTHN: &str = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";

/// Warns of each provider of a `jwt_authn` beside Postern with which one of the two never sees a token.
pub(super) fn judge(found: &Found<'_>, judged: &[Judged], findings: &mut Vec<Finding>) {
    for neighbour in found.beside_postern().filter(|neighbour| neighbour.kind == JWT_AUTHN) {
        let Some(postern) = found.postern_in(neighbour.chain) else { continue };
        let is_before = neighbour.position < postern;
        let own = judged.iter().filter(|judged| judged.manager == neighbour.chain.manager);
        let policies: Vec<&Policy> = own
            .filter_map(|judged| judged.config.as_ref())
            .flat_map(|config| config.policies.values())
            .collect();
        let providers = field(neighbour.fields, "providers").map(Node::members).unwrap_or_default();
        findings.extend(providers.iter().filter_map(|provider| {
            let place = policies.iter().find_map(|policy| taken(policy, &provider.value, is_before))?;
            Some(warning(neighbour, provider, &place, is_before))
        }));
    }
}

/// Returns the place that both look into, if the first of them takes a token out of it.
fn taken(policy: &Policy, provider: &Node, is_before: bool) -> Option<String> {
    let auth = policy.auth.as_ref()?;
    let is_kept = if is_before {
        field(provider, "forward").is_some_and(Node::is_true)
    } else {
        auth.keep_token || policy.mode == Mode::Shadow
    };
    let places = auth.from.iter().filter(|_| !is_kept);
    places.filter_map(|carrier| shared(carrier, provider)).next()
}

/// Returns the name of a carrier in which a provider of `jwt_authn` looks for tokens too.
fn shared(carrier: &Carrier, provider: &Node) -> Option<String> {
    let (headers, parameters) = (field(provider, "from_headers"), field(provider, "from_params"));
    let by_default = headers.is_none() && parameters.is_none() && field(provider, "from_cookies").is_none();
    let named = |list: Option<&Node>, name: &str| {
        let items = list.map(Node::items).unwrap_or_default().iter();
        items
            .filter_map(|item| item.get("name").unwrap_or(item).text())
            .any(|item| item.eq_ignore_ascii_case(name))
    };
    match carrier {
        Carrier::Header(name) if named(headers, name) || by_default && name == "authorization" => {
            Some(format!("the header {}", quoted(name)))
        }
        Carrier::Query(name) if named(parameters, name) || by_default && name == "access_token" => {
            Some(format!("the query's {}", quoted(name)))
        }
        _ => None,
    }
}

fn warning(neighbour: &Neighbour<'_>, provider: &Member, place: &str, is_before: bool) -> Finding {
    let (filter, name) = (quoted(neighbour.name.unwrap_or_default()), quoted(&provider.key));
    let (what, remedy) = if is_before {
        (
            format!("{filter} takes the token out of {place} before Postern sees it"),
            format!("write `forward: true` in its provider {name}"),
        )
    } else {
        (
            format!("Postern takes the token out of {place} before {filter} sees it"),
            format!("put it before Postern, with `forward: true` in its provider {name}, or take it out"),
        )
    };
    Finding::new(provider.position, Code::TakenToken, "http_filters", what, remedy)
}
