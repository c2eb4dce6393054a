//! Tokens among the offered subprotocols, the only header that a browser's script can fill.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_config::{Carrier, Encoding};

use super::{Extraction, put_back};
use crate::auth::bearer::without_scheme;
use crate::http::headers::Headers;

const SUBPROTOCOLS: &str = "sec-websocket-protocol";

/// The role of an item of the list, as some carriers see it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Role<'c, 'i> {
    /// The name before a token.
    Name,
    /// A subprotocol that is offered.
    Offer,
    /// A token.
    Token(&'c Carrier, Cow<'i, [u8]>),
}

/// Tells the roles of the items of one list, which it must be shown in order. Prefixes and names compare by
/// case, as those of subprotocols do (RFC 6455 §11.3.4).
#[derive(Debug)]
pub(crate) struct Roles<'c> {
    carriers: &'c [Carrier],
    /// The carrier whose name was the last item.
    named: Option<&'c Carrier>,
}

impl<'c> Roles<'c> {
    pub(crate) fn new(carriers: &'c [Carrier]) -> Self {
        Self { carriers, named: None }
    }

    /// Returns the role of the next item.
    pub(crate) fn of<'i>(&mut self, item: &'i [u8]) -> Role<'c, 'i> {
        if let Some(carrier) = self.named.take() {
            return Role::Token(carrier, item.into());
        }
        for carrier in self.carriers {
            match carrier {
                Carrier::SubprotocolPair(name) if name.as_bytes() == item => {
                    self.named = Some(carrier);
                    return Role::Name;
                }
                Carrier::Subprotocol { prefix, encoding } => {
                    if let Some(rest) = item.strip_prefix(prefix.as_bytes()) {
                        return Role::Token(carrier, decode(rest, *encoding));
                    }
                }
                _ => {}
            }
        }
        Role::Offer
    }
}

/// Decodes a token. Bytes that are not encoded as they should be are an empty token, which yet stands where
/// one may be.
fn decode(written: &[u8], encoding: Encoding) -> Cow<'_, [u8]> {
    match encoding {
        Encoding::Plain => written.into(),
        Encoding::Base64url => URL_SAFE_NO_PAD.decode(written).unwrap_or_default().into(),
    }
}

/// Takes the items of every carrier that is a subprotocol; the other offers stay, in order.
pub(super) fn take<'c>(headers: Headers<'_>, carriers: &'c [Carrier], out: &mut Extraction<'c>) {
    let found_before = out.candidates.len();
    let mut rest = Vec::new();
    let mut roles = Roles::new(carriers);
    for item in headers.list(SUBPROTOCOLS) {
        match roles.of(item) {
            Role::Name => {}
            Role::Offer => rest.push(item),
            Role::Token(carrier, token) => out.find(carrier, without_scheme(&token)),
        }
    }
    if let Some(carrier) = roles.named {
        out.find(carrier, b"");
    }
    if out.candidates.len() > found_before {
        out.edits.push(put_back(SUBPROTOCOLS, &rest, b", "));
    }
}
