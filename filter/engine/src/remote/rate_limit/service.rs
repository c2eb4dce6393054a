//! One rate limit service as a policy asks it, and the descriptors that name what is counted.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::{Rc, Weak};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_config::{GlobalCount, GlobalRateLimit, Per};
use prost::Message;
use sha2::{Digest, Sha256};

use super::account::{Account, Queue};
use super::answer::Answer;
use super::availability::{Availability, Leave, Purpose};
use super::request::{Entry, RateLimitDescriptor, RateLimitRequest, target};
use crate::auth::claims::Claims;
use crate::decision::cause::counted;

/// The gRPC status of a call that was answered.
const OK: u32 = 0;

/// The rate limit service of a policy.
#[derive(Debug)]
pub struct RateLimitService {
    rule: GlobalRateLimit,
    target: Option<String>,
    availability: Rc<Availability>,
    pub(super) accounts: RefCell<HashMap<Descriptor, Weak<Account>>>,
    pub(super) queue: Weak<Queue>,
    /// The number of the window in which live connections were last told. In the first no connection is older.
    pub(super) window: Cell<Option<u64>>,
}

/// The names of whatever shares one count, in the order of the policy: what is not known is not there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Descriptor(Vec<Entry>);

/// A question that somebody waits for.
#[derive(Clone, Debug)]
pub struct Question {
    /// The number that tells the question from others of its session.
    pub number: u32,
    /// The service to ask.
    pub service: Rc<RateLimitService>,
    /// The quantity that is asked about.
    pub count: GlobalCount,
    /// The message, a `RateLimitRequest`.
    pub message: Vec<u8>,
}

impl Question {
    /// Returns the word for what is asked about.
    pub fn counted(&self) -> &'static str {
        counted(self.count)
    }
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        (self.number, self.count, &self.message) == (other.number, other.count, &other.message)
            && Rc::ptr_eq(&self.service, &other.service)
    }
}

impl Eq for Question {}

impl RateLimitService {
    /// Creates the service that `rule` asks. What is to be reported waits in `queue`.
    pub(super) fn new(rule: GlobalRateLimit, availability: Rc<Availability>, queue: Weak<Queue>) -> Self {
        let target = target(&rule.cluster);
        Self { rule, target, availability, accounts: RefCell::default(), queue, window: Cell::default() }
    }

    /// Returns the text by which Envoy finds the service's cluster for a gRPC call.
    pub fn target(&self) -> &str {
        self.target.as_deref().unwrap_or_default()
    }

    /// Returns the name of the service's cluster.
    pub fn cluster(&self) -> &str {
        &self.rule.cluster
    }

    /// Returns the longest time that an answer may take.
    pub fn timeout(&self) -> Duration {
        self.rule.timeout
    }

    /// Notes the outcome of a call, which ended with this gRPC status, and returns what it says.
    pub fn take_answer(&self, purpose: Purpose, status: u32, message: &[u8]) -> Answer {
        let answer = if status == OK { Answer::read(message) } else { Answer::None };
        self.availability.end(purpose, Some(answer != Answer::None));
        answer
    }

    /// Notes that Envoy made no call, or that none of its callbacks ended it.
    pub fn take_failure(&self, purpose: Purpose) {
        self.availability.end(purpose, Some(false));
    }

    /// Notes the end of a call whose answer nobody waits for any more.
    pub fn give_up(&self, purpose: Purpose) {
        self.availability.end(purpose, None);
    }

    /// Says whether this quantity is counted.
    pub(crate) fn counts(&self, count: GlobalCount) -> bool {
        self.rule.counts.contains(&count)
    }

    /// Says whether descriptors name users.
    pub(crate) fn names_users(&self) -> bool {
        self.rule.descriptors.contains(&Per::User)
    }

    /// Says whether nobody is let in without an answer.
    pub(crate) fn denies_unanswered(&self) -> bool {
        self.rule.failure_deny
    }

    pub(super) fn report_interval(&self) -> Duration {
        self.rule.report_interval
    }

    /// Says whether a call may be made at `now`.
    pub(super) fn leave(&self, purpose: Purpose, now: Duration) -> Leave {
        if self.target.is_none() { Leave::Down } else { self.availability.leave(purpose, now) }
    }

    /// Notes a call that is made at `now`.
    pub(super) fn begin(&self, purpose: Purpose, now: Duration) {
        self.availability.begin(purpose, now);
    }

    /// Returns the descriptor of a client: by the bytes of its address, those of an IPv6 network by its
    /// prefix, by the name of its policy and by its user.
    pub(crate) fn descriptor(&self, address: (&[u8], u8), policy: &str, user: Option<&str>) -> Descriptor {
        let entry = |per: &Per| match per {
            Per::Ip => Some(Entry::new("ip", &address_text(address)?)),
            Per::User => Some(Entry::new("user", user?)),
            Per::Policy => Some(Entry::new("policy", policy)),
            Per::Connection => None,
        };
        Descriptor(self.rule.descriptors.iter().filter_map(entry).collect())
    }

    /// Returns the message that counts a use of the token of `claims`, which is named by a digest.
    pub(crate) fn ticket_message(&self, claims: &Claims) -> Vec<u8> {
        let (issuer, id) = (claims.issuer().unwrap_or_default(), claims.token_id().unwrap_or_default());
        let digest = Sha256::new().chain_update(issuer).chain_update([0]).chain_update(id).finalize();
        let descriptor = Descriptor(vec![Entry::new("ticket", &URL_SAFE_NO_PAD.encode(digest))]);
        self.message(GlobalCount::Tickets, &descriptor, 1)
    }

    /// Returns the message that adds `hits` to a count.
    pub(crate) fn message(&self, count: GlobalCount, descriptor: &Descriptor, hits: u32) -> Vec<u8> {
        let mut entries = vec![Entry::new("count", counted(count))];
        entries.extend_from_slice(&descriptor.0);
        let descriptors = vec![RateLimitDescriptor { entries }];
        RateLimitRequest { domain: self.rule.domain.clone(), descriptors, hits_addend: hits }.encode_to_vec()
    }
}

/// Returns an address as text; of an IPv6 one the bytes are its network's number.
fn address_text((address, ipv6_prefix): (&[u8], u8)) -> Option<String> {
    if let Ok(octets) = <[u8; 4]>::try_from(address) {
        return Some(Ipv4Addr::from(octets).to_string());
    }
    let number = u128::from_be_bytes(address.try_into().ok()?);
    let host_bits = 128_u32.saturating_sub(u32::from(ipv6_prefix));
    let network = Ipv6Addr::from_bits(number.checked_shl(host_bits).unwrap_or(0));
    Some(format!("{network}/{ipv6_prefix}"))
}
