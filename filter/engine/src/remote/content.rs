//! What the documents say, by their kind.

use std::rc::Rc;

use super::{DocumentFault, Kind};
use crate::auth::key_set::KeySet;
use crate::auth::revocation::RevocationList;

/// A document that was read, if there is one.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Of [`Kind::Keys`].
    Keys(Option<Rc<KeySet>>),
    /// Of [`Kind::Revocation`].
    Revocation(Option<Rc<RevocationList>>),
}

impl Content {
    /// Nothing yet.
    pub(super) fn empty(kind: Kind) -> Self {
        match kind {
            Kind::Keys => Self::Keys(None),
            Kind::Revocation => Self::Revocation(None),
        }
    }

    /// Reads a document.
    pub(super) fn read(kind: Kind, document: &[u8]) -> Result<Self, DocumentFault> {
        Ok(match kind {
            Kind::Keys => Self::Keys(Some(Rc::new(KeySet::read(document)?))),
            Kind::Revocation => Self::Revocation(Some(Rc::new(RevocationList::read(document)?))),
        })
    }

    /// The keys, if these are keys.
    pub(crate) fn keys(&self) -> Option<Rc<KeySet>> {
        match self {
            Self::Keys(keys) => keys.clone(),
            Self::Revocation(_) => None,
        }
    }

    /// The list, if this is one.
    pub(crate) fn revocation(&self) -> Option<Rc<RevocationList>> {
        match self {
            Self::Keys(_) => None,
            Self::Revocation(list) => list.clone(),
        }
    }
}
