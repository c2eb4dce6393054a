//! The sources of a configuration: all that want the same document at the same pace share one; and its rate
//! limit services.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use postern_config::{DrainWithEnvoy, GlobalRateLimit, RemoteJwks, Revocation};

use super::rate_limit::{RateLimitService, RateLimits};
use super::{Kind, Source, Spec};

/// Every source of a configuration. Overrides by route metadata may add to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    documents: Rc<RefCell<BTreeMap<Spec, Rc<Source>>>>,
    rate_limits: Rc<RateLimits>,
}

impl Sources {
    /// Returns the source of the JWK set of the provider of this name.
    pub(crate) fn keys(&self, provider: &str, remote: &RemoteJwks) -> Rc<Source> {
        let source = self.get(Spec::keys(remote));
        source.providers.borrow_mut().insert(provider.to_owned());
        source
    }

    /// Returns the source of the revocation list of a policy.
    pub(crate) fn revocation(&self, revocation: &Revocation) -> Rc<Source> {
        self.get(Spec::revocation(revocation))
    }

    /// Adds the source of the state of this Envoy.
    pub(crate) fn add_server_info(&self, drain: &DrainWithEnvoy) {
        self.get(Spec::server_info(drain));
    }

    /// Returns the source of the state of this Envoy, if it is asked for.
    pub(crate) fn server_info(&self) -> Option<Rc<Source>> {
        let documents = self.documents.borrow();
        documents.values().find(|source| source.spec().kind == Kind::ServerInfo).map(Rc::clone)
    }

    /// Returns the rate limit service that `rule` asks.
    pub(crate) fn rate_limit_service(&self, rule: &GlobalRateLimit) -> Rc<RateLimitService> {
        self.rate_limits.service(rule)
    }

    /// Returns all rate limit services.
    pub(crate) fn rate_limits(&self) -> Rc<RateLimits> {
        Rc::clone(&self.rate_limits)
    }

    /// Returns all sources of documents.
    pub(crate) fn all(&self) -> Vec<Rc<Source>> {
        self.documents.borrow().values().map(Rc::clone).collect()
    }

    fn get(&self, spec: Spec) -> Rc<Source> {
        let mut sources = self.documents.borrow_mut();
        let source = sources.entry(spec.clone()).or_insert_with(|| Rc::new(Source::new(spec)));
        Rc::clone(source)
    }
}
