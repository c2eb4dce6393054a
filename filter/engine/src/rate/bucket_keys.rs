//! The keys of the buckets that one connection shares with others.

use std::net::IpAddr;
use std::rc::Rc;

use postern_config::{Counted, Per};

use crate::auth::claims::Claims;
use crate::auth::single_use::Ticket;
use crate::decision::cause::InvalidToken;
use crate::rate::live::Cap;
use crate::rate::live::places::CountedLive;
use crate::rate::slots::{EntryKey, KeySpace};
use crate::rate::{BucketRequest, Quota};
use crate::remote::rate_limit::{Descriptor, RateLimitService};
use crate::ruleset::{HandshakeRate, Ruleset, is_early};

/// The parts of those keys, but for the user.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    keys: KeySpace,
    policy: String,
    /// Says whether the rates of the policy are those of a route's metadata.
    has_own_rates: bool,
    /// The tier whose rates these are; absent where they are the policy's.
    tier: Option<TierOfRates>,
    address: Vec<u8>,
    ipv6_prefix: u8,
}

/// A tier that has rates of its own.
#[derive(Clone, Debug)]
struct TierOfRates {
    /// The name by which it is found whatever its place comes to be.
    name: Rc<str>,
    /// Says whether the rates are those of a route's metadata.
    has_own_rates: bool,
}

impl TierOfRates {
    fn of(ruleset: &Ruleset) -> Option<Self> {
        ruleset.tier_of_rates?;
        Some(Self { name: Rc::clone(&ruleset.tier_name), has_own_rates: ruleset.has_own_rates })
    }
}

impl Buckets {
    /// Collects the parts for a connection of `client` under `ruleset`.
    pub(crate) fn new(keys: KeySpace, ruleset: &Ruleset, client: Option<IpAddr>) -> Self {
        let ipv6_prefix = ruleset.policy.ipv6_prefix;
        let address = client_subject(client, ipv6_prefix);
        let (policy, tier) = (ruleset.name().to_owned(), TierOfRates::of(ruleset));
        Self { keys, policy, has_own_rates: ruleset.has_own_rates, tier, address, ipv6_prefix }
    }

    /// Returns the parts for the same client under the rates of `ruleset`, which are the policy's or those of a tier.
    pub(crate) fn under(&self, ruleset: &Ruleset) -> Self {
        Self { tier: TierOfRates::of(ruleset), ..self.clone() }
    }

    /// Returns the bytes of the client's address, or of its network.
    pub(crate) fn address(&self) -> &[u8] {
        &self.address
    }

    /// Returns the descriptor by which `service` counts; `claims` name the user.
    pub(crate) fn descriptor(&self, service: &RateLimitService, claims: Option<&Claims>) -> Descriptor {
        let user = claims.and_then(Claims::subject);
        service.descriptor((&self.address, self.ipv6_prefix), &self.policy, user)
    }

    /// Returns the key of the bucket of a rule; `claims` name the user.
    pub(crate) fn key(&self, counted: Counted, per: Per, quota: &Quota, claims: Option<&Claims>) -> EntryKey {
        let name: &[u8] = match counted {
            Counted::Bytes => b"bytes",
            Counted::ControlFrames => b"control frames",
            Counted::Handshakes => b"handshakes",
            Counted::Messages => b"messages",
            Counted::Refusals => b"refusals",
        };
        let (per_name, subject) = self.group(per, claims);
        let policy = self.policy.as_bytes();
        // What counts before a token is known is counted by the policy.
        let tier = self.tier.as_ref().filter(|_| !is_early(counted, per));
        // A push of the policy is no way to a fresh budget, whatever its limit comes to be. Rates of a route's
        // own have nothing to do with each other.
        let has_own_rates = tier.map_or(self.has_own_rates, |tier| tier.has_own_rates);
        let numbers = if has_own_rates { quota.identity() } else { quota.name() };
        let owner = if has_own_rates { b"route".as_slice() } else { b"policy" };
        match tier {
            None => self.keys.key(&[name, owner, policy, per_name], numbers, &subject),
            Some(tier) => {
                let rule = [name, owner, policy, per_name, b"tier", tier.name.as_bytes()];
                self.keys.key(&rule, numbers, &subject)
            }
        }
    }

    /// Returns the name of a group, and which of that kind it is; `claims` name the user.
    fn group(&self, per: Per, claims: Option<&Claims>) -> (&'static [u8], Vec<u8>) {
        let address = || self.address.clone();
        match (per, claims.and_then(user_subject)) {
            (Per::User, Some(user)) => (b"user", user),
            (Per::Policy, _) => (b"policy", Vec::new()),
            (Per::User, None) => (b"user without a subject", address()),
            (Per::Ip | Per::Connection, _) => (b"ip", address()),
        }
    }

    /// Returns the cap on the live connections of a group: `limit` of them. Whatever the limit comes to be, they
    /// are counted on.
    pub(crate) fn cap(&self, counted: CountedLive, limit: u64, claims: Option<&Claims>) -> Cap {
        let (kind, per): (&[u8], _) = match counted {
            CountedLive::PerIp => (b"connections", Per::Ip),
            CountedLive::PerPolicy => (b"connections", Per::Policy),
            CountedLive::PerUser => (b"connections", Per::User),
            CountedLive::UnauthenticatedPerIp => (b"unauthenticated", Per::Ip),
        };
        let (per, subject) = self.group(per, claims);
        let key = self.keys.entry([kind, self.policy.as_bytes(), per, subject.as_slice()], &[]);
        Cap { key, limit, has_ages: counted == CountedLive::PerUser, replaces: false }
    }

    /// Returns the request that spends a token which opens one connection.
    pub(crate) fn ticket(&self, claims: &Claims) -> Result<Ticket, InvalidToken> {
        Ticket::of(claims, &self.keys)
    }

    /// Returns the request by which `rate` charges a handshake, or a refusal.
    pub(crate) fn of_handshake(&self, rate: &HandshakeRate, claims: Option<&Claims>) -> BucketRequest {
        let key = self.key(rate.counted, rate.per, &rate.quota, claims);
        BucketRequest { key, quota: rate.quota, tokens: 1 }
    }
}

/// Returns the bytes that name a client among addresses: an IPv6 client by its network.
fn client_subject(client: Option<IpAddr>, ipv6_prefix: u8) -> Vec<u8> {
    match client.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => {
            let host_bits = 128_u32.saturating_sub(u32::from(ipv6_prefix));
            let network = address.to_bits().checked_shr(host_bits).unwrap_or(0);
            network.to_be_bytes().to_vec()
        }
        // Peers without an address, as on a Unix socket, share one bucket.
        None => Vec::new(),
    }
}

/// Returns the bytes that name a user: a subject means something only together with its issuer, and with the
/// provider, which names the claim that its users are known by.
fn user_subject(claims: &Claims) -> Option<Vec<u8>> {
    let subject = claims.subject()?;
    let mut name = Vec::new();
    for part in [claims.provider(), claims.issuer().unwrap_or_default()] {
        name.extend((part.len() as u64).to_be_bytes());
        name.extend(part.as_bytes());
    }
    name.extend(subject.as_bytes());
    Some(name)
}
