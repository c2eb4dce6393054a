//! A policy made ready to judge with.

use std::rc::Rc;
use std::time::Duration;

use postern_config::{
    Carrier, Compression, Content as ContentPolicy, Counted, Mode, OnFull, Path, Per, Policy, Problem,
    ProblemKind, Rate, Requirement, Tier,
};

use crate::auth::claims::Claims;
use crate::auth::keys::{KeyedProvider, Keyring};
use crate::auth::revocation::RevocationSubject;
use crate::auth::secret::Variables;
use crate::auth::subject_key::SubjectKey;
use crate::csrf::{CsrfKey, Guard};
use crate::http::forwarded::Forwarded;
use crate::message::ContentRules;
use crate::metrics::measures::Shared as Measured;
use crate::peer::Peer;
use crate::rate::Quota;
use crate::remote::rate_limit::RateLimitService;
use crate::remote::{Content, Source};

/// A policy with its keys and its handshake rates at hand.
#[derive(Clone, Debug)]
pub struct Ruleset {
    /// The policy, whose tiers are in [`Ruleset::tiers`].
    pub(crate) policy: Policy,
    pub(crate) providers: Vec<KeyedProvider>,
    pub(crate) csrf: Option<Guard>,
    /// The headers in which this policy or another one of the document forwards claims.
    pub(crate) forwarded: Rc<Forwarded>,
    /// The key of the hashes by which logs name users.
    pub(crate) subject_key: SubjectKey,
    /// The list of owners whose tokens are no longer good.
    pub(crate) revocation: Option<Rc<Source>>,
    /// The state of the Envoy that the policy goes away with.
    pub(crate) server_info: Option<Rc<Source>>,
    /// The service that counts over the mesh.
    pub(crate) rate_limit: Option<Rc<RateLimitService>>,
    /// The carriers of tokens of either kind that are subprotocols.
    pub(crate) secret_offers: Vec<Carrier>,
    /// The rates, each with its place in the policy or in the tier. What counts before a token is known is the policy's.
    rates: Vec<(usize, Rate)>,
    /// The rates of handshakes and of refusals.
    handshake_rates: Vec<HandshakeRate>,
    /// The rules on what the client's messages say, if anything is asked of them.
    pub(crate) client_content: Option<Rc<ContentRules>>,
    /// The rules on what the upstream's messages say, if anything is asked of them.
    pub(crate) upstream_content: Option<Rc<ContentRules>>,
    /// The tiers, of which the first whose demands hold is in force once a token is known.
    pub(crate) tiers: Vec<TierRules>,
    /// The place of the tier whose own the rates are; absent where they are the policy's.
    pub(crate) tier_of_rates: Option<usize>,
    /// The demands of the tier, by which its buckets are named: a push that moves it to another place keeps them.
    pub(crate) tier_name: Rc<str>,
    /// Says whether the rates are those of a route's metadata, and not those of the policy, or of its tier in this place.
    pub(crate) has_own_rates: bool,
    /// The measures of all sessions under this ruleset and its tiers.
    measures: Rc<Measured>,
}

/// The time after which a client is idle that nobody asks whether it is there.
const NEVER_IDLE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Returns a policy in shadow, but for what cannot be judged of a stream on which Postern says nothing and changes nothing: the
/// silence of clients that would be asked, what they have not read, and what another service counts.
fn observed(mut policy: Policy) -> Policy {
    if policy.liveness.ping_interval.take().is_some() {
        policy.liveness.idle_timeout = NEVER_IDLE;
    }
    policy.liveness.ping_upstream = false;
    (policy.backpressure, policy.global_rate_limit) = (None, None);
    policy.connections.on_full = OnFull::Deny;
    policy.tiers =
        policy.tiers.into_iter().map(|tier| Tier { policy: observed(tier.policy), ..tier }).collect();
    policy
}

/// Returns the compression by which messages are judged. In shadow the offers stay that would be taken out, and what is agreed on
/// is inflated.
pub(crate) fn judged_compression(policy: &Policy) -> Compression {
    match policy.compression {
        Compression::Strip if policy.mode == Mode::Shadow => Compression::Inspect,
        written => written,
    }
}

/// A tier with the ruleset that it makes of the policy, which has no tiers.
#[derive(Clone, Debug)]
pub(crate) struct TierRules {
    require: Vec<Requirement>,
    ruleset: Rc<Ruleset>,
}

impl TierRules {
    /// Returns the ruleset of the tier.
    pub(crate) fn ruleset(&self) -> &Rc<Ruleset> {
        &self.ruleset
    }
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
    fn among(rates: &[(usize, Rate)]) -> Vec<Self> {
        let counts =
            |(_, rate): &&(usize, Rate)| matches!(rate.count, Counted::Handshakes | Counted::Refusals);
        let of = |(index, rate): &(usize, Rate)| Self {
            index: *index,
            counted: rate.count,
            per: rate.per,
            quota: Quota::new(rate),
        };
        rates.iter().filter(counts).map(of).collect()
    }
}

impl Ruleset {
    /// Makes `policy` ready. `forwarded` are the headers of all policies of the document, and `subject_key` is its own.
    /// What `beneath` asks of messages in the
    /// same words is shared with it.
    ///
    /// # Errors
    /// Returns the problem of a secret of the policy that cannot be had, or those of its schemas.
    pub(crate) fn new(
        mut policy: Policy,
        keyring: &Keyring,
        variables: &Variables,
        forwarded: &Rc<Forwarded>,
        subject_key: &SubjectKey,
        beneath: Option<&Self>,
    ) -> Result<Self, Vec<Problem>> {
        if policy.mode == Mode::Shadow {
            policy = observed(policy);
        }
        let csrf = policy.csrf.as_ref().map(|rule| {
            let path = Path::root().key("policies").key(&policy.name).key("csrf").key("secret");
            let secret = variables.resolve(&rule.secret, &path)?;
            let key = CsrfKey::new(&secret).ok_or_else(|| {
                Problem::new(
                    ProblemKind::WeakSecret,
                    path.to_string(),
                    "is no key",
                    "use a random secret of 32 bytes",
                )
            })?;
            Ok(Guard::new(rule, key))
        });
        let csrf = csrf.transpose().map_err(|problem| vec![problem])?;
        let names = policy.auth.as_ref().map(|auth| auth.providers.as_slice()).unwrap_or_default();
        let providers = keyring.providers(names).into_iter().cloned().collect();
        let revocation = policy.auth.as_ref().and_then(|auth| auth.revocation.as_ref());
        let revocation = revocation.map(|revocation| keyring.sources.revocation(revocation));
        let rates: Vec<(usize, Rate)> = policy.rates.iter().copied().enumerate().collect();
        let handshake_rates = HandshakeRate::among(&rates);
        let rate_limit =
            policy.global_rate_limit.as_ref().map(|rule| keyring.sources.rate_limit_service(rule));
        let own = policy.auth.iter().flat_map(|auth| auth.forward.keys());
        let all = forwarded.with(own.map(String::as_str));
        let forwarded = if all == **forwarded { Rc::clone(forwarded) } else { Rc::new(all) };
        let carriers = policy.auth.iter().flat_map(|auth| &auth.from);
        let carriers = carriers.chain(csrf.iter().flat_map(Guard::carriers));
        let is_offered =
            |carrier: &&Carrier| matches!(carrier, Carrier::Subprotocol { .. } | Carrier::SubprotocolPair(_));
        let secret_offers = carriers.filter(is_offered).cloned().collect();
        let known: Vec<&Self> = beneath.into_iter().flat_map(Self::all).collect();
        let Ok([client_content, upstream_content]) = content_rules(&policy, &known) else {
            return Err(judge_schemas(&policy));
        };
        let tiers = std::mem::take(&mut policy.tiers);
        let has_own_rates = beneath.is_some_and(|beneath| beneath.policy.rates != policy.rates);
        let mut ruleset = Self {
            policy,
            providers,
            csrf,
            forwarded,
            subject_key: subject_key.clone(),
            revocation,
            server_info: keyring.sources.server_info(),
            rate_limit,
            secret_offers,
            rates,
            handshake_rates,
            client_content,
            upstream_content,
            tiers: Vec::new(),
            tier_of_rates: None,
            tier_name: Rc::default(),
            has_own_rates,
            measures: Rc::default(),
        };
        ruleset.tiers = ruleset.compile_tiers(tiers, &known, beneath)?;
        Ok(ruleset)
    }

    /// Makes the tiers of the policy ready. They share what they ask of messages in the same words with the policy, with each
    /// other and with `known`.
    fn compile_tiers(
        &self,
        tiers: Vec<Tier>,
        known: &[&Self],
        beneath: Option<&Self>,
    ) -> Result<Vec<TierRules>, Vec<Problem>> {
        let (mut compiled, mut problems) = (Vec::<TierRules>::new(), Vec::new());
        for (index, tier) in tiers.into_iter().enumerate() {
            let earlier = compiled.iter().map(|tier| &*tier.ruleset);
            let known: Vec<&Self> = [self].into_iter().chain(earlier).chain(known.iter().copied()).collect();
            match content_rules(&tier.policy, &known) {
                Ok(contents) => compiled.push(self.with_tier(index, tier, contents, beneath)),
                Err(Unfit) => problems.extend(judge_schemas_of_tier(index, &tier, &self.policy)),
            }
        }
        if problems.is_empty() { Ok(compiled) } else { Err(problems) }
    }

    fn with_tier(
        &self,
        index: usize,
        tier: Tier,
        [client_content, upstream_content]: Contents,
        beneath: Option<&Self>,
    ) -> TierRules {
        let is_beneath = |beneath: &Self| {
            let known = beneath.tiers.iter().find(|known| known.require == tier.require);
            known.is_some_and(|known| known.ruleset.policy.rates == tier.policy.rates)
        };
        let has_own_rates = self.has_own_rates || beneath.is_some_and(|beneath| !is_beneath(beneath));
        let rates = self.rates_under(&tier);
        let ruleset = Self {
            providers: self.providers.clone(),
            csrf: self.csrf.clone(),
            forwarded: Rc::clone(&self.forwarded),
            subject_key: self.subject_key.clone(),
            revocation: self.revocation.clone(),
            server_info: self.server_info.clone(),
            rate_limit: self.rate_limit.clone(),
            secret_offers: self.secret_offers.clone(),
            handshake_rates: HandshakeRate::among(&rates),
            rates,
            client_content,
            upstream_content,
            tiers: Vec::new(),
            tier_of_rates: tier.has_rates.then_some(index),
            tier_name: format!("{:?}", tier.require).into(),
            has_own_rates,
            measures: Rc::clone(&self.measures),
            policy: tier.policy,
        };
        TierRules { require: tier.require, ruleset: Rc::new(ruleset) }
    }

    /// Returns the rates of a tier: its own, if it has any, but for what counts before a token is known.
    fn rates_under(&self, tier: &Tier) -> Vec<(usize, Rate)> {
        if !tier.has_rates {
            return self.rates.clone();
        }
        let early = |(_, rate): &(usize, Rate)| is_early(rate.count, rate.per);
        let of_policy = self.rates.iter().copied().filter(early);
        let of_tier = tier.policy.rates.iter().copied().enumerate().filter(|rate| !early(rate));
        of_policy.chain(of_tier).collect()
    }

    /// Returns the measures that all sessions under this ruleset and its tiers share.
    pub(crate) fn measures(&self) -> &Rc<Measured> {
        &self.measures
    }

    /// Returns the rates, each with its place in the policy or in the tier.
    pub(crate) fn rates(&self) -> impl Iterator<Item = (usize, &Rate)> {
        self.rates.iter().map(|(index, rate)| (*index, rate))
    }

    /// Returns the ruleset that the owner of `claims` is under: that of the first tier whose demands hold, or this one.
    pub(crate) fn of_claims(self: &Rc<Self>, claims: &Claims) -> Rc<Self> {
        let tier = self.tiers.iter().find(|tier| claims.lacks(&tier.require).is_none());
        Rc::clone(tier.map_or(self, |tier| &tier.ruleset))
    }

    /// Returns this ruleset and those of its tiers: whatever connections may come under.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Self> {
        [self].into_iter().chain(self.tiers.iter().map(|tier| &*tier.ruleset))
    }

    /// Returns the memory of the schemas that are not shared with `beneath`, in bytes.
    pub(crate) fn own_schema_bytes(&self, beneath: Option<&Self>) -> usize {
        let mut seen: Vec<&Rc<ContentRules>> =
            beneath.into_iter().flat_map(Self::all).flat_map(Self::contents).collect();
        let mut bytes = 0;
        for content in self.all().flat_map(Self::contents) {
            if !seen.iter().any(|seen| Rc::ptr_eq(seen, content)) {
                bytes += content.schema_bytes();
                seen.push(content);
            }
        }
        bytes
    }

    fn contents(&self) -> impl Iterator<Item = &Rc<ContentRules>> {
        [&self.client_content, &self.upstream_content].into_iter().flatten()
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

/// Says whether a rate counts what comes before a token is known.
pub(crate) fn is_early(counted: Counted, per: Per) -> bool {
    matches!(counted, Counted::Handshakes | Counted::Refusals) && per != Per::User
}

/// Returns what is wrong with the schemas of a policy and of its tiers.
pub fn judge_schemas(policy: &Policy) -> Vec<Problem> {
    let own = judge_contents(contents_of(policy), &path_of(policy));
    let tiers = policy.tiers.iter().enumerate();
    let of_tiers = tiers.flat_map(|(index, tier)| judge_schemas_of_tier(index, tier, policy));
    own.into_iter().chain(of_tiers).collect()
}

/// Returns what is wrong with the schemas of a tier. What it has of the policy is told there.
fn judge_schemas_of_tier(index: usize, tier: &Tier, policy: &Policy) -> Vec<Problem> {
    let known = contents_of(policy);
    let own = contents_of(&tier.policy).into_iter().filter(|side| !known.contains(side));
    judge_contents(own, &path_of(policy).key("tiers").index(index))
}

fn judge_contents<'p>(sides: impl IntoIterator<Item = Side<'p>>, at: &Path) -> Vec<Problem> {
    let judge = |(sender, key, content)| {
        let (unfit, at) = (ContentRules::new(sender, content).err().unwrap_or_default(), at.key(key));
        unfit.into_iter().map(move |unfit| unfit.at(&at))
    };
    sides.into_iter().flat_map(judge).collect()
}

fn path_of(policy: &Policy) -> Path {
    Path::root().key("policies").key(&policy.name)
}

/// A sender, and what is asked of its messages, with the key that says so.
type Side<'p> = (Peer, &'static str, &'p ContentPolicy);

/// The rules on what the messages of the client and of the upstream say.
type Contents = [Option<Rc<ContentRules>>; 2];

/// Returns what a policy asks of messages, of both senders.
fn contents_of(policy: &Policy) -> [Side<'_>; 2] {
    [
        (Peer::Client, "messages", &policy.messages.content),
        (Peer::Upstream, "upstream_messages", &policy.upstream_messages.content),
    ]
}

/// A schema that cannot be compiled; [`judge_schemas`] says what is wrong with it.
struct Unfit;

/// Returns the rules on what messages say under `policy`: those of a ruleset that is `known` where it asks the same.
fn content_rules(policy: &Policy, known: &[&Ruleset]) -> Result<Contents, Unfit> {
    let compile = |sender, content| {
        ContentRules::new(sender, content).map(|rules| rules.map(Rc::new)).map_err(|_| Unfit)
    };
    let [client, upstream] = [&policy.messages.content, &policy.upstream_messages.content];
    let same_client = known.iter().find(|known| known.policy.messages.content == *client);
    let same_upstream = known.iter().find(|known| known.policy.upstream_messages.content == *upstream);
    Ok([
        same_client.map_or_else(|| compile(Peer::Client, client), |same| Ok(same.client_content.clone()))?,
        same_upstream
            .map_or_else(|| compile(Peer::Upstream, upstream), |same| Ok(same.upstream_content.clone()))?,
    ])
}
