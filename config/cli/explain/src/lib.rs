//! Explanations of what becomes of a request under a policy, and why.
//!
//! Owns the forms in which people have a request ([`request`]), the token that is put into it, and the words for what the
//! engine says of it ([`Report`]). Decides nothing, and performs no I/O: files, the environment and the time are its caller's.

mod documents;
mod findings;
mod instant;
mod limits;
mod report;
pub mod request;
mod steps;
mod text;
mod token;

use std::net::IpAddr;
use std::time::Duration;

use postern_config::{Config, Problems, Secret};
use postern_engine::auth::secret::Environment;
use postern_engine::explain::PlainTables;
use postern_engine::serialize_route;
use postern_engine::{ConnectionFacts, Engine, Entropy, RequestHead, RouteFacts};
use serde_json::{Map, Value};

pub use documents::{Document, Documents, Unfit};
pub use report::{Outcome, Report};
use request::Request;

/// The seed by which buckets are named. Nobody but the engine of one explanation sees the names.
const SEED: [u8; 16] = [0; 16];

/// Policies made ready to explain requests with.
#[derive(Debug)]
pub struct Explainer {
    config: Config,
    engine: Engine,
}

/// Everything around a request that its text does not say.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// The time of the judgement, since the Unix epoch.
    pub at: Duration,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// Says whether the client has shown a certificate that Envoy has verified.
    pub has_client_certificate: bool,
    /// The name of Envoy's route.
    pub route_name: Option<String>,
    /// The members that the metadata of Envoy's route have under `postern`.
    pub route_metadata: Option<Map<String, Value>>,
    /// A token that is put into the request. Its `Debug` is not to be shown.
    pub token: Option<Token>,
}

/// A token. Its `Debug` does not show it.
#[derive(Clone)]
pub struct Token(pub String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Explainer {
    /// Makes a configuration ready. `environment` looks up the variables that it names.
    ///
    /// # Errors
    /// Returns the problems of the policies, those of variables that are not set among them.
    pub fn new(config: Config, environment: Environment<'_>) -> Result<Self, Problems> {
        let engine = Engine::compile(config.clone(), environment, SEED)?;
        Ok(Self { config, engine })
    }

    /// Returns the names of the variables that the configuration takes secrets from.
    pub fn variables(config: &Config) -> Vec<String> {
        let of_providers = config.providers.values().filter_map(|provider| match &provider.keys {
            postern_config::KeySource::Secret(secret) => Some(secret),
            _ => None,
        });
        let of_guards = config.policies.values().filter_map(|policy| Some(&policy.csrf.as_ref()?.secret));
        let name = |secret: &Secret| match secret {
            Secret::Env(name) => Some(name.clone()),
            Secret::Inline(_) => None,
        };
        let mut names: Vec<String> = of_providers.chain(of_guards).filter_map(name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Supplies what the policies would fetch, as fetched at `at`.
    ///
    /// # Errors
    /// Returns the first document that nothing asks for, or that is none of its kind.
    pub fn supply(&self, documents: &Documents, at: Duration) -> Result<(), Unfit> {
        documents::supply(&self.engine, &self.config, documents, at)
    }

    /// Explains a request of which nothing else was counted before.
    pub fn explain(&self, request: Request, circumstances: &Circumstances) -> Report {
        self.explain_after(request, circumstances, &mut PlainTables::default())
    }

    /// Explains a request after those that were counted in `tables`.
    pub fn explain_after(
        &self,
        mut request: Request,
        circumstances: &Circumstances,
        tables: &mut PlainTables,
    ) -> Report {
        let metadata = circumstances.route_metadata.as_ref().map(serialize_route);
        let route = RouteFacts { name: circumstances.route_name.clone(), metadata };
        let late_token = self.place_token(&mut request, &route, circumstances);
        let head = head(&request, circumstances);
        let late_token = late_token.as_ref().map(|Token(token)| token.as_bytes());
        let explanation = self.engine.explain(&head, &route, late_token, tables, circumstances.at);
        Report::new(&self.config, request, circumstances, explanation)
    }

    /// Puts the token into the request; returns it if it comes in the first message instead.
    fn place_token(
        &self,
        request: &mut Request,
        route: &RouteFacts,
        circumstances: &Circumstances,
    ) -> Option<Token> {
        let token = circumstances.token.as_ref()?;
        let policy = self.engine.policy(&head(request, circumstances), route);
        token::place(request, policy.as_ref().and_then(|policy| policy.auth.as_ref()), token)
    }
}

/// Returns the request as the filter tells the engine of it.
fn head(request: &Request, circumstances: &Circumstances) -> RequestHead {
    RequestHead {
        fields: request.fields.clone(),
        connection: ConnectionFacts {
            tls: request.is_secure,
            mutual_tls: request.is_secure && circumstances.has_client_certificate,
            protocol: request.protocol,
            client: circumstances.client,
        },
        entropy: Entropy::NONE,
    }
}
