//! A policy made ready to judge with.

use std::rc::Rc;
use std::time::Duration;

use postern_config::{Counted, Per, Policy, Rate};

use crate::auth::keys::{KeyedProvider, Keyring};
use crate::auth::revocation::Bearer;
use crate::rate::Quota;
use crate::source::{Content, Source};

/// A policy with its keys and its handshake rates at hand.
#[derive(Clone, Debug)]
pub struct Ruleset {
    pub(crate) policy: Policy,
    pub(crate) providers: Vec<KeyedProvider>,
    /// Who is no longer good.
    pub(crate) revocation: Option<Rc<Source>>,
    /// By address, then by policy: whoever has used up his own bucket does not get to empty the
    /// one of all.
    pub(crate) address_rates: Vec<HandshakeRate>,
    /// By token subject.
    pub(crate) user_rates: Vec<HandshakeRate>,
}

/// A rule that counts handshakes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandshakeRate {
    pub(crate) per: Per,
    pub(crate) quota: Quota,
}

impl Ruleset {
    pub(crate) fn new(policy: Policy, keyring: &Keyring) -> Self {
        let names = policy.auth.as_ref().map(|auth| auth.providers.as_slice()).unwrap_or_default();
        let providers = keyring.providers(names).into_iter().cloned().collect();
        let revocation = policy.auth.as_ref().and_then(|auth| auth.revocation.as_ref());
        let revocation = revocation.map(|revocation| keyring.sources.revocation(revocation));
        let of = |per: Per| {
            let counts = move |rate: &&Rate| rate.count == Counted::Handshakes && rate.per == per;
            policy
                .rates
                .iter()
                .filter(counts)
                .map(|rate| HandshakeRate { per: rate.per, quota: Quota::new(rate) })
        };
        let address_rates = of(Per::Ip).chain(of(Per::Policy)).collect();
        let user_rates = of(Per::User).collect();
        Self { policy, providers, revocation, address_rates, user_rates }
    }

    /// Whether the list at hand names `bearer`.
    pub(crate) fn has_revoked(&self, bearer: &Bearer, now: Duration) -> bool {
        let list = self.revocation.as_ref().and_then(|source| source.content(now, Content::revocation));
        list.is_some_and(|list| list.names(bearer))
    }

    /// The policy's name, which labels everything that is counted or logged.
    pub fn name(&self) -> &str {
        &self.policy.name
    }
}
