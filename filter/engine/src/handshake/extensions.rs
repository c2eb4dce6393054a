//! The negotiation of extensions: which offers go up, and what the upstream's answer to them agrees on. Knows
//! the grammar of Sec-WebSocket-Extensions (RFC 6455 §9.1) and the negotiation of permessage-deflate (RFC
//! 7692 §7.1). Compresses and inflates nothing.
//!
//! One reader reads both sides in bytes, and in one pass.

use std::borrow::Cow;
use std::{mem, slice};

use postern_config::Compression;

use crate::decision::cause::HandshakeFault;
use crate::http::headers::{HeaderEdit, Headers, is_token};
use crate::websocket::inflate::Context;

/// The name of the field.
pub(crate) const EXTENSIONS: &str = "sec-websocket-extensions";

const PERMESSAGE_DEFLATE: &[u8] = b"permessage-deflate";
const CLIENT_NO_CONTEXT_TAKEOVER: &[u8] = b"client_no_context_takeover";
/// The window of a direction that no parameter bounds (RFC 7692 §7.1.2).
const MAX_WINDOW_BITS: u8 = 15;

/// The part of a client's offers that goes up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offers {
    /// The edit that replaces the offers of the request, if something is taken out.
    pub(crate) edit: Option<HeaderEdit>,
    /// The offers of permessage-deflate that are left, in the client's order.
    pub(crate) left: Vec<Parameters>,
}

/// The parameters of one offer, or of the answer to it, each at most once and with a value that it
/// may have in either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<Bound>,
}

/// The value of `client_max_window_bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// No value: the client can be told one (RFC 7692 §7.1.2.2).
    Open,
    Bits(u8),
}

/// The compression of messages, one context per direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deflate {
    /// The context of messages that the client sends.
    pub(crate) client: Context,
    /// The context of messages that the upstream sends.
    pub(crate) server: Context,
}

/// The agreement to which an answer comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// The compression; absent if nothing is compressed.
    pub(crate) deflate: Option<Deflate>,
    /// The change to the response.
    pub(crate) edit: Option<HeaderEdit>,
}

impl Offers {
    /// Reads the offers of a request. Without compression all of them are taken out, whatever they are. With
    /// `alone`, every message of the server must be understood without the ones before it.
    pub(crate) fn read(
        compression: Compression,
        alone: bool,
        headers: Headers<'_>,
    ) -> Result<Self, HandshakeFault> {
        if !headers.has(EXTENSIONS) {
            return Ok(Self::default());
        }
        let none = HeaderEdit::Remove(EXTENSIONS.to_owned());
        if compression == Compression::Strip {
            return Ok(Self { edit: Some(none), left: Vec::new() });
        }
        let list = List::read(headers).ok_or(HandshakeFault::Extensions)?;
        let (mut left, raw): (Vec<_>, Vec<_>) = list.sound.into_iter().unzip();
        let mut raw: Vec<Vec<u8>> = raw.into_iter().map(<[u8]>::to_vec).collect();
        let mut changed = false;
        for (offer, raw) in left.iter_mut().zip(&mut raw) {
            if alone && !mem::replace(&mut offer.server_no_context_takeover, true) {
                // A server that accepts the offer has to follow (RFC 7692 §7.1.1.1), and may tell so to a
                // client that has not asked.
                raw.extend_from_slice(b"; server_no_context_takeover");
                changed = true;
            }
        }
        let edit = if left.len() == list.len && !changed {
            None
        } else if left.is_empty() {
            Some(none)
        } else {
            Some(HeaderEdit::Set(EXTENSIONS.to_owned(), raw.join(&b", "[..])))
        };
        Ok(Self { edit, left })
    }
}

/// Returns the most memory that the answer to one of these offers may have inflaters keep between messages,
/// in bytes; `alone` as in [`agree`].
pub(crate) fn most_at_rest(offers: &[Parameters], alone: bool) -> u64 {
    let of = |offer: &Parameters| {
        let client = !(alone || offer.client_no_context_takeover);
        u64::from(client) + u64::from(!offer.server_no_context_takeover)
    };
    offers.iter().map(of).max().unwrap_or(0) << MAX_WINDOW_BITS
}

/// Returns the agreement that the answer in `headers` makes, or `None` if it does not fit what went up. With
/// `alone`, every message of the client must be understood without the ones before it.
pub(crate) fn agree(offers: &[Parameters], alone: bool, headers: Headers<'_>) -> Option<Agreement> {
    if !headers.has(EXTENSIONS) {
        return Some(Agreement::default());
    }
    let list = List::read(headers)?;
    let [(parameters, raw)] = list.sound.as_slice() else { return None };
    if list.len != 1 || !offers.iter().any(|offer| parameters.answers(offer)) {
        return None;
    }
    let mut deflate = parameters.deflate();
    let mut edit = None;
    if alone && deflate.client.takeover {
        // A server may add this one parameter unasked, and every client has to follow it (RFC 7692 §7.1.1.2).
        let value = [raw, &b"; "[..], CLIENT_NO_CONTEXT_TAKEOVER].concat();
        edit = Some(HeaderEdit::Set(EXTENSIONS.to_owned(), value));
        deflate.client.takeover = false;
    }
    Some(Agreement { deflate: Some(deflate), edit })
}

impl Parameters {
    /// Takes one more parameter; returns `None` if it is unknown, there already, or has a wrong value.
    fn with(mut self, name: &[u8], value: Option<&[u8]>) -> Option<Self> {
        let fresh = match (name, value) {
            (b"server_no_context_takeover", None) => {
                !mem::replace(&mut self.server_no_context_takeover, true)
            }
            (CLIENT_NO_CONTEXT_TAKEOVER, None) => !mem::replace(&mut self.client_no_context_takeover, true),
            (b"server_max_window_bits", Some(value)) => {
                self.server_max_window_bits.replace(window_bits(value)?).is_none()
            }
            (b"client_max_window_bits", value) => {
                let bound = match value {
                    Some(value) => Bound::Bits(window_bits(value)?),
                    None => Bound::Open,
                };
                self.client_max_window_bits.replace(bound).is_none()
            }
            _ => false,
        };
        fresh.then_some(self)
    }

    /// Says whether these parameters, of a response, accept `offer` (RFC 7692 §7.1.1, §7.1.2).
    fn answers(&self, offer: &Self) -> bool {
        let server_takeover = self.server_no_context_takeover || !offer.server_no_context_takeover;
        let server_window = match (self.server_max_window_bits, offer.server_max_window_bits) {
            (Some(bits), Some(most)) => bits <= most,
            (None, Some(_)) => false,
            // A server may bound its own window unasked.
            (_, None) => true,
        };
        let client_window = match (self.client_max_window_bits, offer.client_max_window_bits) {
            (None, _) => true,
            (Some(Bound::Bits(bits)), Some(Bound::Bits(most))) => bits <= most,
            (Some(Bound::Bits(_)), Some(Bound::Open)) => true,
            (Some(_), None) | (Some(Bound::Open), Some(_)) => false,
        };
        server_takeover && server_window && client_window
    }

    /// Returns the compression that these parameters, of a response, agree on. A window that they leave out
    /// is not bounded by the offer either: a response does not say which of several offers it accepts.
    fn deflate(&self) -> Deflate {
        let client_bits = match self.client_max_window_bits {
            Some(Bound::Bits(bits)) => bits,
            Some(Bound::Open) | None => MAX_WINDOW_BITS,
        };
        Deflate {
            client: Context { window_bits: client_bits, takeover: !self.client_no_context_takeover },
            server: Context {
                window_bits: self.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS),
                takeover: !self.server_no_context_takeover,
            },
        }
    }
}

/// Parses a number of window bits, 8 to 15 in decimal digits without leading zeros (RFC 7692 §7.1.2).
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// The extensions that a request or a response lists.
#[derive(Default)]
struct List<'a> {
    /// The number of extensions, of all kinds.
    len: usize,
    /// Each permessage-deflate with sound parameters, as it is written, without the blanks around it.
    sound: Vec<(Parameters, &'a [u8])>,
}

impl<'a> List<'a> {
    /// Reads all fields; returns `None` if the grammar is broken, or none of them lists anything. No element
    /// spans two: joined by a comma, what the first leaves open stays broken.
    fn read(headers: Headers<'a>) -> Option<Self> {
        let mut list = Self::default();
        for value in headers.all(EXTENSIONS) {
            let mut reader = Reader { value, at: 0 };
            loop {
                // A list may have empty members (RFC 9110 §5.6.1.2).
                while reader.blanks_then(b',') {}
                if reader.rest().is_empty() {
                    break;
                }
                list.sound.extend(reader.element()?);
                list.len += 1;
                if !reader.blanks_then(b',') && !reader.rest().is_empty() {
                    return None;
                }
            }
        }
        (list.len > 0).then_some(list)
    }
}

/// A reader of one field's value, from the front.
struct Reader<'a> {
    value: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.value.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        self.at += self.rest().iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    }

    /// Reads blanks, and then `byte` if it follows.
    fn blanks_then(&mut self, byte: u8) -> bool {
        self.blanks();
        let follows = self.rest().first() == Some(&byte);
        self.at += usize::from(follows);
        follows
    }

    /// Reads an `extension`, and the blanks behind it. The outer `None` stands for a broken grammar, the
    /// inner one for another extension or wrong parameters.
    fn element(&mut self) -> Option<Option<(Parameters, &'a [u8])>> {
        let start = self.at;
        let is_deflate = self.token()? == PERMESSAGE_DEFLATE;
        let mut parameters = is_deflate.then(Parameters::default);
        let mut end = self.at;
        while self.blanks_then(b';') {
            self.blanks();
            let name = self.token()?;
            end = self.at;
            let mut value = None;
            if self.blanks_then(b'=') {
                self.blanks();
                value = Some(self.value()?);
                end = self.at;
            }
            parameters = parameters.and_then(|parameters| parameters.with(name, value.as_deref()));
        }
        let raw = self.value.get(start..end)?;
        Some(parameters.map(|parameters| (parameters, raw)))
    }

    fn value(&mut self) -> Option<Cow<'a, [u8]>> {
        if self.rest().first() == Some(&b'"') {
            self.quoted_string().map(Cow::Owned)
        } else {
            self.token().map(Cow::Borrowed)
        }
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest();
        let len = rest.iter().take_while(|b| is_token(slice::from_ref(b))).count();
        self.at += len;
        rest.get(..len).filter(|token| !token.is_empty())
    }

    /// Reads a quoted string, whose value must be a token (RFC 6455 §9.1).
    fn quoted_string(&mut self) -> Option<Vec<u8>> {
        let (mut value, mut escaped) = (Vec::new(), false);
        for (index, &byte) in self.rest().iter().enumerate().skip(1) {
            match byte {
                b'\\' if !escaped => escaped = true,
                b'"' if !escaped => {
                    self.at += index + 1;
                    return is_token(&value).then_some(value);
                }
                byte => {
                    value.push(byte);
                    escaped = false;
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
