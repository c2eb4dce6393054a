//! Other protocols that are carried in the messages of a WebSocket, recognised by how they begin.
//!
//! A [`Recogniser`] is fed the first [`MOST`] payload bytes of one direction, unmasked and inflated, over any messages and
//! fragments. It allocates nothing, and says the same however the bytes are cut. Each protocol's opening is a file that reads
//! it as a specification gives it, and demands so much of it, as lengths that agree and versions that exist, that what
//! applications send first is not taken for one: a tunnel that is missed is one of many ways around, and a connection that is
//! cut for nothing is a fault. Where bytes are too few to tell, they have to be the whole of the first message.
//!
//! A protocol is recognised by either end's opening in either direction, since tunnels are also dug from the service's side,
//! except where an opening is weak: then only in the direction in which clients of that protocol connect.
//!
//! A caller holds bytes back only while the recognition is [`Recognition::Undecided`], and never beyond the end of their frame:
//! then they go on, whatever they may still become, since the other end may have to answer before more comes. The recogniser
//! goes on with the next frame.

mod amqp;
mod ftp;
mod http;
mod ldap;
mod mongodb;
mod mysql;
mod postgres;
mod prefix;
mod rdp;
mod redis;
mod rfb;
mod smtp;
mod socks4;
mod socks5;
mod ssh;
#[cfg(test)]
mod tests;
mod text;
mod tls;

use std::fmt;

use prefix::{MOST, Miss, Parse, Prefix};

use crate::peer::Peer;

/// A protocol that is recognised by its opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tunnelled {
    /// AMQP 0-8 to 1.0.
    Amqp,
    /// FTP (RFC 959).
    Ftp,
    /// HTTP (RFC 9112, RFC 9113).
    Http,
    /// LDAP (RFC 4511).
    Ldap,
    /// The wire protocol of MongoDB.
    MongoDb,
    /// The protocol of MySQL and MariaDB.
    MySql,
    /// The protocol of PostgreSQL.
    PostgreSql,
    /// RDP.
    Rdp,
    /// RESP, the protocol of Redis, and its commands in line.
    Redis,
    /// RFB, the protocol of VNC (RFC 6143).
    Rfb,
    /// SMTP and LMTP (RFC 5321, RFC 2033).
    Smtp,
    /// SOCKS4 and SOCKS4a.
    Socks4,
    /// SOCKS5 (RFC 1928).
    Socks5,
    /// SSH (RFC 4253).
    Ssh,
    /// TLS (RFC 8446).
    Tls,
}

/// The state of a recognition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recognition {
    /// The bytes so far may still become a tunnel's opening.
    Undecided,
    /// No protocol begins as the bytes do.
    Ordinary,
    /// The bytes are the opening of a protocol.
    Tunnel(Tunnelled),
}

/// The openings of protocols that the first bytes of one direction may still become.
#[derive(Clone)]
pub(crate) struct Recogniser {
    seen: [u8; MOST],
    seen_len: usize,
    /// The length of the first message, once it has ended within the bytes seen.
    first_message: Option<usize>,
    /// The openings that the bytes may still become, by their place in [`OPENINGS`].
    candidates: u32,
    tunnel: Option<Tunnelled>,
}

/// An opening: what it belongs to, the only peer that is taken to send it, if not either, and its reader.
struct Opening(Tunnelled, Option<Peer>, fn(&mut Prefix<'_>) -> Parse<()>);

const CLIENT: Option<Peer> = Some(Peer::Client);
const UPSTREAM: Option<Peer> = Some(Peer::Upstream);

/// Every opening. Of two that may be decided at the same byte the first counts: a greeting of SMTP may name FTP.
const OPENINGS: [Opening; 24] = [
    Opening(Tunnelled::Ssh, None, ssh::identification),
    Opening(Tunnelled::Tls, None, tls::client_hello),
    Opening(Tunnelled::Tls, None, tls::server_hello),
    Opening(Tunnelled::Rfb, None, rfb::version),
    Opening(Tunnelled::Socks4, CLIENT, socks4::request),
    Opening(Tunnelled::Socks4, CLIENT, socks4::request_by_name),
    Opening(Tunnelled::Socks5, CLIENT, socks5::greeting),
    Opening(Tunnelled::Socks5, CLIENT, socks5::greeting_and_request),
    Opening(Tunnelled::Socks5, UPSTREAM, socks5::replies),
    Opening(Tunnelled::Rdp, None, rdp::connection),
    Opening(Tunnelled::Smtp, None, smtp::greeting),
    Opening(Tunnelled::Smtp, CLIENT, smtp::hello),
    Opening(Tunnelled::Ftp, None, ftp::greeting),
    Opening(Tunnelled::Ftp, CLIENT, ftp::login),
    Opening(Tunnelled::PostgreSql, None, postgres::startup),
    Opening(Tunnelled::PostgreSql, None, postgres::encryption),
    Opening(Tunnelled::PostgreSql, None, postgres::cancel),
    Opening(Tunnelled::MySql, None, mysql::greeting),
    Opening(Tunnelled::Redis, None, redis::array),
    Opening(Tunnelled::Redis, CLIENT, redis::inline),
    Opening(Tunnelled::MongoDb, None, mongodb::request),
    Opening(Tunnelled::Ldap, None, ldap::request),
    Opening(Tunnelled::Amqp, None, amqp::header),
    Opening(Tunnelled::Http, None, http::request),
];

impl Tunnelled {
    /// The name of the protocol, as its specification writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Amqp => "AMQP",
            Self::Ftp => "FTP",
            Self::Http => "HTTP",
            Self::Ldap => "LDAP",
            Self::MongoDb => "MongoDB",
            Self::MySql => "MySQL",
            Self::PostgreSql => "PostgreSQL",
            Self::Rdp => "RDP",
            Self::Redis => "Redis",
            Self::Rfb => "RFB",
            Self::Smtp => "SMTP",
            Self::Socks4 => "SOCKS4",
            Self::Socks5 => "SOCKS5",
            Self::Ssh => "SSH",
            Self::Tls => "TLS",
        }
    }
}

impl fmt::Display for Tunnelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Recogniser {
    /// Nothing seen yet of what `from` sends.
    pub(crate) fn new(from: Peer) -> Self {
        let candidates = OPENINGS
            .iter()
            .enumerate()
            .filter(|(_, Opening(_, by, _))| by.is_none_or(|by| by == from))
            .fold(0, |candidates, (place, _)| candidates | 1 << place);
        Self { seen: [0; MOST], seen_len: 0, first_message: None, candidates, tunnel: None }
    }

    /// Sees the next payload bytes. What lies beyond the first [`MOST`], or comes after a decision, changes nothing.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Recognition {
        if self.candidates != 0 && !bytes.is_empty() {
            let free = self.seen.get_mut(self.seen_len..).unwrap_or_default();
            let len = bytes.len().min(free.len());
            if let (Some(free), Some(bytes)) = (free.get_mut(..len), bytes.get(..len)) {
                free.copy_from_slice(bytes);
            }
            self.seen_len += len;
            self.read();
        }
        self.state()
    }

    /// Sees that a message ends behind the bytes so far. One without any is none.
    pub(crate) fn end_of_message(&mut self) -> Recognition {
        if self.candidates != 0 && self.seen_len > 0 && self.first_message.is_none() {
            self.first_message = Some(self.seen_len);
            self.read();
        }
        self.state()
    }

    /// Says whether bytes were seen which may still become an opening.
    #[cfg(test)]
    fn is_suspect(&self) -> bool {
        self.seen_len > 0 && self.state() == Recognition::Undecided
    }

    fn state(&self) -> Recognition {
        match self.tunnel {
            Some(tunnel) => Recognition::Tunnel(tunnel),
            None if self.candidates == 0 => Recognition::Ordinary,
            None => Recognition::Undecided,
        }
    }

    /// Reads every opening that is left in what was seen.
    fn read(&mut self) {
        let seen = self.seen.get(..self.seen_len).unwrap_or_default();
        let is_full = seen.len() >= MOST;
        for (place, Opening(protocol, _, read)) in OPENINGS.iter().enumerate() {
            if self.candidates & 1 << place == 0 {
                continue;
            }
            match read(&mut Prefix::new(seen, self.first_message)) {
                Ok(()) => {
                    self.tunnel = Some(*protocol);
                    self.candidates = 0;
                    break;
                }
                Err(Miss::Short) if !is_full => {}
                Err(Miss::Short | Miss::Differs) => self.candidates &= !(1 << place),
            }
        }
        if self.candidates == 0 {
            self.seen = [0; MOST];
        }
    }
}

impl fmt::Debug for Recogniser {
    /// Shows nothing of the bytes: there may be a token in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recogniser").field("seen_len", &self.seen_len).field("state", &self.state()).finish()
    }
}
