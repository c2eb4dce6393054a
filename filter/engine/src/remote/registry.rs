//! The sources of a configuration: all that want the same document at the same pace share one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use postern_config::{RemoteJwks, Revocation};

use super::{Source, Spec};

/// Every source of a configuration. Overrides by route metadata may add to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(Rc<RefCell<BTreeMap<Spec, Rc<Source>>>>);

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

    /// Returns all sources.
    pub(crate) fn all(&self) -> Vec<Rc<Source>> {
        self.0.borrow().values().map(Rc::clone).collect()
    }

    fn get(&self, spec: Spec) -> Rc<Source> {
        let mut sources = self.0.borrow_mut();
        let source = sources.entry(spec.clone()).or_insert_with(|| Rc::new(Source::new(spec)));
        Rc::clone(source)
    }
}
