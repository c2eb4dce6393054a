//! The contents of fetched documents, by their kind.

use std::rc::Rc;

use super::{DocumentFault, Kind};
use crate::auth::key_set::KeySet;
use crate::auth::revocation::RevocationList;

/// The content of a document, if one has been read.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Content of the kind [`Kind::Keys`].
    Keys(Option<Rc<KeySet>>),
    /// Content of the kind [`Kind::Revocation`].
    Revocation(Option<Rc<RevocationList>>),
}

impl Content {
    /// Returns the content before any document was read.
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

    /// Returns the number of keys that can be used, or of entries of the list, if a document has been read.
    pub(super) fn entries(&self) -> Option<usize> {
        match self {
            Self::Keys(keys) => keys.as_ref().map(|keys| keys.len()),
            Self::Revocation(list) => list.as_ref().map(|list| list.len()),
        }
    }

    /// Returns the keys, if the content is of that kind.
    pub(crate) fn keys(&self) -> Option<Rc<KeySet>> {
        match self {
            Self::Keys(keys) => keys.clone(),
            Self::Revocation(_) => None,
        }
    }

    /// Returns the list, if the content is of that kind.
    pub(crate) fn revocation(&self) -> Option<Rc<RevocationList>> {
        match self {
            Self::Keys(_) => None,
            Self::Revocation(list) => list.clone(),
        }
    }
}
