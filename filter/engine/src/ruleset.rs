//! A policy made ready to judge with.

use std::rc::Rc;
use std::time::Duration;

use postern_config::{Carrier, Counted, Path, Per, Policy, Problem, Rate};

use crate::auth::keys::{KeyedProvider, Keyring};
use crate::auth::revocation::RevocationSubject;
use crate::auth::secret::Variables;
use crate::csrf::{CsrfKey, Guard};
use crate::http::forwarded::Forwarded;
use crate::message::ContentRules;
use crate::peer::Peer;
use crate::rate::Quota;
use crate::remote::{Content, Source};

/// A policy with its keys and its handshake rates at hand.
#[derive(Clone, Debug)]
pub struct Ruleset {
    pub(crate) policy: Policy,
    pub(crate) providers: Vec<KeyedProvider>,
    pub(crate) csrf: Option<Guard>,
    /// The headers in which this policy or another one of the document forwards claims.
    pub(crate) forwarded: Rc<Forwarded>,
    /// The list of owners whose tokens are no longer good.
    pub(crate) revocation: Option<Rc<Source>>,
    /// The carriers of tokens of either kind that are subprotocols.
    pub(crate) secret_offers: Vec<Carrier>,
    /// The rates of handshakes, and then those of refusals.
    handshake_rates: Vec<HandshakeRate>,
    /// On what the client's messages say, if anything is asked of them.
    pub(crate) client_content: Option<Rc<ContentRules>>,
    /// The same of the upstream's.
    pub(crate) upstream_content: Option<Rc<ContentRules>>,
}

/// A rule that counts handshakes, or refusals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandshakeRate {
    /// The place of the rule in `rates` of the policy.
    pub(crate) index: usize,
    pub(crate) counted: Counted,
    pub(crate) per: Per,
    pub(crate) quota: Quota,
}

impl HandshakeRate {
    fn of((index, rate): (usize, &Rate)) -> Option<Self> {
        let counts = matches!(rate.count, Counted::Handshakes | Counted::Refusals);
        counts.then(|| Self { index, counted: rate.count, per: rate.per, quota: Quota::new(rate) })
    }
}

impl Ruleset {
    /// Makes `policy` ready. `forwarded` are the headers of all policies of the document. What `beneath` asks of messages in the
    /// same words is shared with it.
    ///
    /// # Errors
    /// Returns the problem of a secret of the policy that cannot be had, or those of its schemas.
    pub(crate) fn new(
        policy: Policy,
        keyring: &Keyring,
        variables: &Variables,
        forwarded: &Rc<Forwarded>,
        beneath: Option<&Self>,
    ) -> Result<Self, Vec<Problem>> {
        let csrf = policy.csrf.as_ref().map(|rule| {
            let path = Path::root().key("policies").key(&policy.name).key("csrf").key("secret");
            let secret = variables.resolve(&rule.secret, &path)?;
            let key = CsrfKey::new(&secret).ok_or_else(|| {
                Problem::new(path.to_string(), "is no key", "use a random secret of 32 bytes")
            })?;
            Ok(Guard::new(rule, key))
        });
        let csrf = csrf.transpose().map_err(|problem| vec![problem])?;
        let names = policy.auth.as_ref().map(|auth| auth.providers.as_slice()).unwrap_or_default();
        let providers = keyring.providers(names).into_iter().cloned().collect();
        let revocation = policy.auth.as_ref().and_then(|auth| auth.revocation.as_ref());
        let revocation = revocation.map(|revocation| keyring.sources.revocation(revocation));
        let handshake_rates = policy.rates.iter().enumerate().filter_map(HandshakeRate::of).collect();
        let own = policy.auth.iter().flat_map(|auth| auth.forward.keys());
        let all = forwarded.with(own.map(String::as_str));
        let forwarded = if all == **forwarded { Rc::clone(forwarded) } else { Rc::new(all) };
        let carriers = policy.auth.iter().flat_map(|auth| &auth.from);
        let carriers = carriers.chain(csrf.iter().flat_map(Guard::carriers));
        let is_offered =
            |carrier: &&Carrier| matches!(carrier, Carrier::Subprotocol { .. } | Carrier::SubprotocolPair(_));
        let secret_offers = carriers.filter(is_offered).cloned().collect();
        let [client_content, upstream_content] = content_rules(&policy, beneath)?;
        Ok(Self {
            policy,
            providers,
            csrf,
            forwarded,
            revocation,
            secret_offers,
            handshake_rates,
            client_content,
            upstream_content,
        })
    }

    /// Returns the memory of the schemas that are not shared with `beneath`, in bytes.
    pub(crate) fn own_schema_bytes(&self, beneath: Option<&Self>) -> usize {
        let contents = |ruleset: &Self| [ruleset.client_content.clone(), ruleset.upstream_content.clone()];
        let shared = beneath.map(contents).unwrap_or_default();
        let own = contents(self)
            .into_iter()
            .flatten()
            .filter(|content| !shared.iter().flatten().any(|shared| Rc::ptr_eq(shared, content)));
        own.map(|content| content.schema_bytes()).sum()
    }

    /// Says whether the list at hand names `revocation_subject`.
    pub(crate) fn has_revoked(&self, revocation_subject: &RevocationSubject, now: Duration) -> bool {
        let list = self.revocation.as_ref().and_then(|source| source.content(now, Content::revocation));
        list.is_some_and(|list| list.names(revocation_subject))
    }

    /// Returns the rules that count handshakes, or refusals, by this group.
    pub(crate) fn handshake_rates(&self, counted: Counted, per: Per) -> impl Iterator<Item = &HandshakeRate> {
        self.handshake_rates.iter().filter(move |rate| rate.counted == counted && rate.per == per)
    }

    /// Returns the policy's name, which labels everything that is counted or logged.
    pub fn name(&self) -> &str {
        &self.policy.name
    }
}

/// Returns what is wrong with the schemas of a policy.
pub fn judge_schemas(policy: &Policy) -> Vec<Problem> {
    content_rules(policy, None).err().unwrap_or_default()
}

/// Returns the rules on what the messages of the client and of the upstream say: those of `beneath` where it asks the same.
fn content_rules(
    policy: &Policy,
    beneath: Option<&Ruleset>,
) -> Result<[Option<Rc<ContentRules>>; 2], Vec<Problem>> {
    let at = Path::root().key("policies").key(&policy.name);
    let rules = |sender, key: &str, content| {
        ContentRules::new(sender, content).map(|rules| rules.map(Rc::new)).map_err(|unfit| {
            let at = at.key(key);
            unfit.into_iter().map(|unfit| unfit.at(&at)).collect::<Vec<_>>()
        })
    };
    let [messages, upstream_messages] = [&policy.messages.content, &policy.upstream_messages.content];
    let client = match beneath {
        Some(beneath) if beneath.policy.messages.content == *messages => Ok(beneath.client_content.clone()),
        _ => rules(Peer::Client, "messages", messages),
    };
    let upstream = match beneath {
        Some(beneath) if beneath.policy.upstream_messages.content == *upstream_messages => {
            Ok(beneath.upstream_content.clone())
        }
        _ => rules(Peer::Upstream, "upstream_messages", upstream_messages),
    };
    match (client, upstream) {
        (Ok(client), Ok(upstream)) => Ok([client, upstream]),
        (client, upstream) => Err([client.err(), upstream.err()].into_iter().flatten().flatten().collect()),
    }
}
