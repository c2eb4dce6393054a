//! A whole document made ready, and the choice of the policy that a request falls under.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use postern_config::{
    Carrier, Config, CsrfCarrier, DefaultPolicy, HostPattern, Log, LogFormat, Mode, NormalisedPath, Path,
    Policy, Problem, ProblemKind, Problems, RouteMatch,
};
use serde_json::{Map, Value};

use crate::auth::carrier::without_parameters;
use crate::auth::keys::Keyring;
use crate::auth::secret::{self, Environment, Variables};
use crate::auth::subject_key::SubjectKey;
use crate::configuration;
use crate::decision::cause::{HandshakeFault, HostFault, InvalidPolicy};
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::handshake::Kind;
use crate::http::forwarded::Forwarded;
use crate::http::headers::{Field, HeaderEdit, Headers};
use crate::http::reply::{Instance, Reply};
use crate::http::request::RequestHead;
use crate::memory::worst_case::judge_budget;
use crate::rate::slots::KeySpace;
use crate::remote::Source;
use crate::remote::rate_limit::RateLimits;
use crate::ruleset::Ruleset;
use crate::session::{Event, Output, Session};
pub use choice::Choice;
pub use response::ResponseFacts;

/// The number of different overrides by route metadata that are kept ready. An Envoy with more pays for
/// reading them anew.
const MAX_OVERLAYS: usize = 4096;
/// The most memory of schemas of overrides that are kept ready, in bytes.
const MAX_OVERLAY_SCHEMA_BYTES: usize = 64 << 20;

/// A document made ready to judge with.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    keyring: Keyring,
    /// The environment variables that policies name; an override can name no others.
    variables: Variables,
    rulesets: BTreeMap<String, Rc<Ruleset>>,
    overlays: RefCell<Overlays>,
    keys: KeySpace,
    /// The headers in which any policy forwards claims.
    forwarded: Rc<Forwarded>,
    /// The key of the hashes by which logs name users.
    subject_key: SubjectKey,
    /// The query parameters in which any policy takes tokens, of either kind.
    token_parameters: Vec<String>,
}

/// The overlaid policies that are kept ready.
#[derive(Debug, Default)]
struct Overlays {
    /// By policy and metadata.
    by_key: HashMap<(String, Vec<u8>), Overlay>,
    /// The memory of their own schemas, in bytes.
    schema_bytes: usize,
}

impl Overlays {
    /// Keeps an overlaid policy ready, over the policy `beneath`. All others are given up where they are too many.
    fn keep(&mut self, key: (String, Vec<u8>), overlay: Overlay, beneath: Option<&Ruleset>) {
        let bytes = overlay.as_ref().map_or(0, |ruleset| ruleset.own_schema_bytes(beneath));
        if self.by_key.len() >= MAX_OVERLAYS
            || self.schema_bytes.saturating_add(bytes) > MAX_OVERLAY_SCHEMA_BYTES
        {
            *self = Self::default();
        }
        self.schema_bytes = self.schema_bytes.saturating_add(bytes);
        self.by_key.insert(key, overlay);
    }
}

/// A policy with an override over it, or the reason why it is none.
type Overlay = Result<Rc<Ruleset>, InvalidPolicy>;

/// The facts that Envoy knows of the request's route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteFacts {
    /// The name of Envoy's route.
    pub name: Option<String>,
    /// The route's metadata, serialised as `envoy.config.core.v3.Metadata`.
    pub metadata: Option<Vec<u8>>,
}

/// The policy's part in a request: none, a refusal, or a session that judges it.
#[derive(Debug)]
pub enum Selection {
    /// The request passes unjudged, with these changes.
    Pass(Vec<HeaderEdit>),
    /// The request is refused, and the host must perform these outputs.
    Refuse(Vec<Output>),
    /// The request is judged by this session, which takes it as its first input.
    Judge(Box<Session>),
}

impl Engine {
    /// Makes `config` ready. `env` looks up the environment variables that it names; `seed` keeps
    /// bucket names secret, and all workers of an Envoy must agree on it.
    pub fn compile(
        config: Config,
        env: &dyn Fn(&str) -> Option<String>,
        seed: [u8; 16],
    ) -> Result<Self, Problems> {
        let keyring = Keyring::compile(&config.providers, env)?;
        if let Some(drain) = &config.drain_with_envoy {
            keyring.sources.add_server_info(drain);
        }
        let subject_key = subject_key(&config.log, env, seed).map_err(|problem| Problems(vec![problem]))?;
        let guards = || config.policies.values().filter_map(|policy| policy.csrf.as_ref());
        let variables = Variables::of(guards().map(|csrf| &csrf.secret), env);
        let auths = || config.policies.values().filter_map(|policy| policy.auth.as_ref());
        // A policy in shadow takes no header from a request, be it under another policy or under none.
        let enforced = config.policies.values().filter(|policy| policy.mode == Mode::Enforce);
        let forwarding = enforced.filter_map(|policy| policy.auth.as_ref());
        let forwarded = Forwarded::new(forwarding.flat_map(|auth| auth.forward.keys()).map(String::as_str));
        let forwarded = Rc::new(forwarded);
        let (mut rulesets, mut problems) = (BTreeMap::new(), Vec::new());
        for (name, policy) in &config.policies {
            match Ruleset::new(policy.clone(), &keyring, &variables, &forwarded, &subject_key, None) {
                Ok(ruleset) => {
                    rulesets.insert(name.clone(), Rc::new(ruleset));
                }
                Err(of_policy) => problems.extend(of_policy),
            }
            problems.extend(judge_budget(config.memory.budget, policy));
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let of_tokens = auths().flat_map(|auth| &auth.from).filter_map(|carrier| match carrier {
            Carrier::Query(name) => Some(name.clone()),
            _ => None,
        });
        let of_guards = guards().filter_map(|csrf| match &csrf.from {
            CsrfCarrier::Query(name) => Some(name.clone()),
            CsrfCarrier::Subprotocol(_) => None,
        });
        let token_parameters = of_tokens.chain(of_guards).collect();
        let (overlays, keys) = (RefCell::default(), KeySpace::new(seed));
        Ok(Self {
            config,
            keyring,
            variables,
            rulesets,
            overlays,
            keys,
            forwarded,
            subject_key,
            token_parameters,
        })
    }

    /// Returns the memory that the sessions of one worker may hold for their peers, in bytes.
    pub fn memory_budget(&self) -> u64 {
        self.config.memory.budget
    }

    /// Returns the names of all policies.
    pub fn policies(&self) -> impl Iterator<Item = &str> {
        self.rulesets.keys().map(String::as_str)
    }

    /// Returns the number of log lines that peers may cause on one worker in a second.
    pub fn log_limit(&self) -> u32 {
        self.config.log.refusals_per_second
    }

    /// Returns the form of the lines of the log.
    pub fn log_format(&self) -> LogFormat {
        self.config.log.format
    }

    /// Returns the documents to fetch from clusters.
    pub fn sources(&self) -> Vec<Rc<Source>> {
        self.keyring.sources.all()
    }

    /// Returns the rate limit services that policies ask and report to.
    pub fn rate_limits(&self) -> Rc<RateLimits> {
        self.keyring.sources.rate_limits()
    }

    /// Returns the policies that go away, with the time over which their live connections are sent away.
    pub fn draining(&self) -> impl Iterator<Item = (&str, Duration)> {
        self.rulesets.iter().filter_map(|(name, ruleset)| Some((name.as_str(), ruleset.policy.drain?)))
    }

    /// Returns the source of the state of this Envoy, if connections go with it.
    pub fn server_info(&self) -> Option<Rc<Source>> {
        self.keyring.sources.server_info()
    }

    /// Returns the time over which all live connections are sent away, if this Envoy drains, and they go with it.
    pub fn draining_with_envoy(&self) -> Option<Duration> {
        let drains = self.server_info().is_some_and(|source| source.drains());
        self.config.drain_with_envoy.as_ref().filter(|_| drains).map(|drain| drain.over)
    }

    /// Selects the policy that `head` falls under.
    pub fn select(&self, head: &RequestHead, route: &RouteFacts) -> Selection {
        let is_plain = Kind::of(head.headers()) == Kind::Plain;
        match self.ruleset(head, route) {
            Ok(Some(ruleset)) => Selection::Judge(Box::new(Session::new(ruleset, self.keys.clone()))),
            Ok(None) if is_plain || head.has_host() => Selection::Pass(self.strip_forwarded(head, route)),
            Ok(None) => Selection::Refuse(self.refuse(head, HandshakeFault::Host.into())),
            Err(violation) if is_plain => match violation.reason {
                // Ordinary HTTP under no policy is none of Postern's business, but for the headers that
                // services trust to be Postern's.
                Reason::NoPolicy => Selection::Pass(self.strip_forwarded(head, route)),
                // The host or path of the request may be under a policy or not.
                Reason::MalformedHandshake if !self.may_be_upgrade_only(route) => {
                    Selection::Pass(self.strip_forwarded(head, route))
                }
                _ => Selection::Refuse(self.refuse(head, violation)),
            },
            Err(violation) => Selection::Refuse(self.refuse(head, violation)),
        }
    }

    /// Returns the edits that [`Session::strip_trailers`] would, for a request that passed.
    pub fn strip_trailers(&self, trailers: &[Field]) -> Vec<HeaderEdit> {
        self.forwarded.strip(Headers::new(trailers))
    }

    /// Refuses a request that cannot be judged, since the host lacks what that takes.
    pub fn fail(&self, head: &RequestHead, fault: HostFault) -> Vec<Output> {
        self.refuse(head, fault.into())
    }

    /// Returns the policy that `head` falls under, with what the route's metadata lay over it, if it falls under one.
    pub fn policy(&self, head: &RequestHead, route: &RouteFacts) -> Option<Policy> {
        self.ruleset(head, route).ok().flatten().map(|ruleset| ruleset.policy.clone())
    }

    fn ruleset(&self, head: &RequestHead, route: &RouteFacts) -> Result<Option<Rc<Ruleset>>, Violation> {
        let Some((metadata, mut overrides)) = annotation(route)? else {
            return Ok(self.routed(head, route)?.and_then(|name| self.named(&name)));
        };
        let of_policy = |kind, what, remedy| InvalidPolicy::from(Problem::new(kind, "policy", what, remedy));
        let name = match overrides.remove("policy") {
            Some(Value::String(name)) => name,
            Some(_) => {
                return Err(
                    of_policy(ProblemKind::WrongType, "is no string", "write the name of a policy").into()
                );
            }
            // An override of nothing has no meaning, so it cannot be followed.
            None => self.routed(head, route)?.ok_or_else(|| {
                let what = "is missing, and no policy is the route's otherwise";
                of_policy(
                    ProblemKind::MissingKey,
                    what,
                    "write the name of one, or match the route in `routes`",
                )
            })?,
        };
        let known = if overrides.is_empty() { self.named(&name) } else { None };
        let overlaid = known.map_or_else(|| self.overlaid(name, metadata, &Value::Object(overrides)), Ok);
        Ok(Some(overlaid?))
    }

    fn named(&self, name: &str) -> Option<Rc<Ruleset>> {
        self.rulesets.get(name).map(Rc::clone)
    }

    fn overlaid(&self, name: String, metadata: &[u8], overrides: &Value) -> Overlay {
        let key = (name, metadata.to_vec());
        if let Some(known) = self.overlays.borrow().by_key.get(&key) {
            return known.clone();
        }
        let beneath = self.named(&key.0);
        let policy =
            self.config.overlay(&key.0, overrides).map_err(|problems| InvalidPolicy::of(&problems.0));
        let ruleset = policy.and_then(|policy| {
            let (keyring, variables, forwarded) = (&self.keyring, &self.variables, &self.forwarded);
            Ruleset::new(policy, keyring, variables, forwarded, &self.subject_key, beneath.as_deref())
                .map(Rc::new)
                .map_err(|problems| InvalidPolicy::of(&problems))
        });
        self.overlays.borrow_mut().keep(key, ruleset.clone(), beneath.as_deref());
        ruleset
    }

    /// Returns the name of the policy that `routes` and `default_policy` give; with `None` the request
    /// passes.
    fn routed(&self, head: &RequestHead, route: &RouteFacts) -> Result<Option<String>, Violation> {
        let line = self.line(head, route)?.and_then(|index| self.config.routes.get(index));
        match (line, &self.config.default_policy) {
            (Some(line), _) => Ok(Some(line.policy.clone())),
            (None, DefaultPolicy::Policy(name)) => Ok(Some(name.clone())),
            (None, DefaultPolicy::Pass) => Ok(None),
            (None, DefaultPolicy::Deny) => Err(Violation::new(Rule::DefaultPolicy, Reason::NoPolicy)),
        }
    }

    /// Returns the place of the line of `routes` that matches the request, if one does.
    fn line(&self, head: &RequestHead, route: &RouteFacts) -> Result<Option<usize>, Violation> {
        let any = |asks: fn(&RouteMatch) -> bool| self.config.routes.iter().any(|line| asks(&line.matches));
        let on_hosts = any(|line| !matches!(line.host, None | Some(HostPattern::Any)));
        let on_paths = any(|line| line.path_prefix.is_some());
        let host = match head.host() {
            Ok(host) => host,
            Err(_) if on_hosts => return Err(HandshakeFault::Host.into()),
            Err(_) => None,
        };
        let path = match NormalisedPath::parse(head.path()) {
            Ok(path) => Some(path),
            Err(fault) if on_paths => return Err(HandshakeFault::Path(fault).into()),
            Err(_) => None,
        };
        let name = route.name.as_deref();
        let lines = &self.config.routes;
        Ok(lines.iter().position(|line| line.matches.matches(host.as_ref(), path.as_ref(), name)))
    }

    /// Says whether a request on `route`, whichever policy it is under, may be under one for upgrades only.
    fn may_be_upgrade_only(&self, route: &RouteFacts) -> bool {
        let over = annotation(route).ok().flatten();
        over.is_some_and(|(_, over)| over.get("upgrade_only") == Some(&Value::Bool(true)))
            || self.rulesets.values().any(|ruleset| ruleset.policy.upgrade_only)
    }

    /// Returns the edits of a request for which no policy is known: they take the headers out in which any
    /// policy forwards claims, and those that its route adds to one.
    fn strip_forwarded(&self, head: &RequestHead, route: &RouteFacts) -> Vec<HeaderEdit> {
        let over = annotation(route).ok().flatten();
        let added = over.as_ref().and_then(|(_, over)| over.get("auth")?.get("forward")?.as_object());
        match added {
            None => self.forwarded.strip(head.headers()),
            Some(added) => self.forwarded.with(added.keys().map(String::as_str)).strip(head.headers()),
        }
    }

    /// Refuses a request when no policy says in which carriers a token may be: any query parameter that a
    /// policy would take out of the path does not reach the access log.
    fn refuse(&self, head: &RequestHead, violation: Violation) -> Vec<Output> {
        let names: Vec<_> = self.token_parameters.iter().map(String::as_str).collect();
        let edits = without_parameters(head.headers(), &names);
        refuse(head, edits, violation)
    }
}

/// Returns the key that `log` has, or else one of `seed`.
fn subject_key(log: &Log, env: Environment<'_>, seed: [u8; 16]) -> Result<SubjectKey, Problem> {
    let path = Path::root().key("log").key("subject_key");
    let key = match &log.subject_key {
        Some(key) => SubjectKey::new(&secret::resolve(key, &path, env)?),
        None => SubjectKey::of_seed(&seed),
    };
    key.ok_or_else(|| {
        Problem::new(
            ProblemKind::WeakSecret,
            path.to_string(),
            "is no key",
            "use a random secret of 32 bytes",
        )
    })
}

/// Refuses a request of a host that has no engine.
pub fn fail_without_engine(head: &RequestHead) -> Vec<Output> {
    refuse(head, Vec::new(), HostFault::NoConfiguration.into())
}

fn refuse(head: &RequestHead, edits: Vec<HeaderEdit>, violation: Violation) -> Vec<Output> {
    let instance = Instance::of(head);
    let reply = Reply::refusal(violation.reason, &instance, None);
    let told = Event::Refused { violation, instance: instance.to_string() };
    vec![Output::Tell(told), Output::Reply(edits, reply)]
}

/// Returns what the metadata of `route` have under `postern`, if anything, and those metadata.
fn annotation(route: &RouteFacts) -> Result<Option<(&[u8], Map<String, Value>)>, InvalidPolicy> {
    let Some(metadata) = route.metadata.as_deref().filter(|metadata| !metadata.is_empty()) else {
        return Ok(None);
    };
    match configuration::of_route(metadata) {
        Ok(None) => Ok(None),
        Ok(Some(Value::Object(said))) => Ok(Some((metadata, said))),
        Ok(Some(_)) | Err(_) => {
            let what = "Envoy hands them over in a form that cannot be read";
            Err(Problem::new(ProblemKind::Syntax, "", what, "update Envoy or Postern").into())
        }
    }
}

mod choice;
mod response;
#[cfg(test)]
mod tests;
