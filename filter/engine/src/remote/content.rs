//! The contents of fetched documents, by their kind.

use std::borrow::Cow;
use std::rc::Rc;

use super::server_info::{ServerInfo, ServerState};
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
    /// Content of the kind [`Kind::ServerInfo`].
    ServerInfo(Option<ServerInfo>),
}

impl Content {
    /// Returns the content before any document was read.
    pub(super) fn empty(kind: Kind) -> Self {
        match kind {
            Kind::Keys => Self::Keys(None),
            Kind::Revocation => Self::Revocation(None),
            Kind::ServerInfo => Self::ServerInfo(None),
        }
    }

    /// Reads a document.
    pub(super) fn read(kind: Kind, document: &[u8]) -> Result<Self, DocumentFault> {
        Ok(match kind {
            Kind::Keys => Self::Keys(Some(Rc::new(KeySet::read(document)?))),
            Kind::Revocation => Self::Revocation(Some(Rc::new(RevocationList::read(document)?))),
            Kind::ServerInfo => Self::ServerInfo(Some(ServerInfo::read(document)?)),
        })
    }

    /// Takes over what other content says of an Envoy, if it says nothing of one itself.
    pub(super) fn inherit(&mut self, other: &Self) {
        if let (Self::ServerInfo(own @ None), Self::ServerInfo(Some(other))) = (self, other) {
            *own = Some(other.inherited());
        }
    }

    /// Returns the part of a newer document that the workers share.
    pub(super) fn shared_part<'d>(&self, document: &'d [u8]) -> Cow<'d, [u8]> {
        let Self::ServerInfo(before) = self else { return document.into() };
        match ServerInfo::read(document) {
            Ok(info) => info.after(*before).document().into(),
            Err(_) => document.into(),
        }
    }

    /// Says whether the content takes the place of what is at hand.
    pub(super) fn says_something(&self) -> bool {
        !matches!(self, Self::ServerInfo(Some(ServerInfo { state: ServerState::Starting, .. })))
    }

    /// Returns the number of keys that can be used, of entries of the list, or of states, if a document has been read.
    pub(super) fn entries(&self) -> Option<usize> {
        match self {
            Self::Keys(keys) => keys.as_ref().map(|keys| keys.len()),
            Self::Revocation(list) => list.as_ref().map(|list| list.len()),
            Self::ServerInfo(info) => info.filter(|info| !info.is_inherited).map(|_| 1),
        }
    }

    /// Returns the keys, if the content is of that kind.
    pub(crate) fn keys(&self) -> Option<Rc<KeySet>> {
        match self {
            Self::Keys(keys) => keys.clone(),
            Self::Revocation(_) | Self::ServerInfo(_) => None,
        }
    }

    /// Returns the list, if the content is of that kind.
    pub(crate) fn revocation(&self) -> Option<Rc<RevocationList>> {
        match self {
            Self::Keys(_) | Self::ServerInfo(_) => None,
            Self::Revocation(list) => list.clone(),
        }
    }

    /// Returns the state of an Envoy, if the content is of that kind.
    pub(super) fn server_state(&self) -> Option<ServerState> {
        match self {
            Self::Keys(_) | Self::Revocation(_) => None,
            Self::ServerInfo(info) => info.map(|info| info.state),
        }
    }
}
