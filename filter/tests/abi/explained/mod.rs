//! What `postern explain` says of random requests under random policies is what the filter does with them.
//!
//! Both are asked in turn, and remember what they have counted: rates, live connections and used tokens come to the same.

mod chance;
mod policies;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use postern_config::Config;
use postern_engine::explain::PlainTables;
use postern_engine::http::headers::Headers;
use postern_explain::{Circumstances, Document, Documents, Explainer, Outcome, Token};
use proxy_wasm::types::LogLevel;

use chance::Chance;
use policies::Rules;
use requests::Asked;

use crate::fixtures::{REASON, agreement};
use crate::frames::{TEXT, from_client};
use crate::host::{Envoy, Fields, Stream, Worker, value_of};

/// The documents, and the requests under each.
const DOCUMENTS: u64 = 80;
const REQUESTS: usize = 130;

/// The key of clients that send a good one.
const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";

/// `RateLimitResponse` with `overall_code: OK`.
const WITHIN: &[u8] = &[8, 1];

/// The reasons for which a handshake is refused whatever the rest of the world does. Those that are left out need a rate limit
/// service, a service, or a worker without memory.
const REASONS: [&str; 25] = [
    "claims_denied",
    "connection_limit",
    "csrf_invalid",
    "csrf_missing",
    "draining",
    "handshake_rate",
    "keys_unavailable",
    "malformed_handshake",
    "no_policy",
    "origin_denied",
    "origin_missing",
    "policy_invalid",
    "refusal_rate",
    "revocation_unavailable",
    "subprotocol_denied",
    "tls_required",
    "token_ambiguous",
    "token_expired",
    "token_invalid",
    "token_missing",
    "token_replayed",
    "token_revoked",
    "upgrade_denied",
    "upgrade_required",
    "version_unsupported",
];

/// What became of a request.
#[derive(Clone, PartialEq, Eq)]
enum Fate {
    /// It goes up with these fields; the connection is closed by its first message for this reason, if by any.
    Up(Fields, Option<String>),
    /// It is refused with this status, for this reason, by this rule, side and cause.
    Refused(u32, String, String),
}

impl fmt::Debug for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up(fields, closed) => write!(f, "up with {:?}, closed {closed:?}", Text(fields)),
            Self::Refused(status, reason, violation) => write!(f, "{status} {reason} {violation}"),
        }
    }
}

/// Fields as people read them.
struct Text<'f>(&'f Fields);

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, value)| format!("{name}: {}", value.escape_ascii())))
            .finish()
    }
}

/// How often each thing has happened.
type Counts = BTreeMap<String, u64>;

#[test]
fn explain_says_of_ten_thousand_random_requests_what_the_filter_does() {
    let halves = [0, 1].map(|half| {
        move || {
            let mut counts = Counts::new();
            for seed in (0..DOCUMENTS).filter(|seed| seed % 2 == half) {
                for (what, count) in play(seed) {
                    *counts.entry(what).or_default() += count;
                }
            }
            counts
        }
    });
    let counts = std::thread::scope(|scope| {
        let halves = halves.map(|half| scope.spawn(half));
        let mut all = Counts::new();
        for half in halves {
            let half = half.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            for (what, count) in half {
                *all.entry(what).or_default() += count;
            }
        }
        all
    });
    let requests: u64 = ["let in", "refused", "unjudged"].iter().map(|outcome| counts[*outcome]).sum();
    assert!(requests >= 10_000, "{counts:?}");
    let seen: BTreeSet<&str> = counts.keys().map(String::as_str).collect();
    let missing: Vec<&str> = REASONS.into_iter().filter(|reason| !seen.contains(reason)).collect();
    assert!(missing.is_empty(), "{missing:?} never happened: {counts:?}");
    for outcome in ["let in", "unjudged", "first message accepted", "first message: token_invalid"] {
        assert!(seen.contains(outcome), "{outcome} never happened: {counts:?}");
    }
    assert!(counts["let in"] * 8 > requests, "too few come through: {counts:?}");
}

/// Plays requests under one document, and returns what happened.
fn play(seed: u64) -> Counts {
    Envoy::default().worker(|worker| {
        let mut chance = Chance::new(seed);
        let rules = Rules::random(&mut chance);
        let document = rules.document.to_string();
        assert!(
            worker.configure(document.as_bytes()),
            "seed {seed}: {document}\n{:?}",
            worker.log(LogLevel::Error)
        );
        let config = Config::from_json(document.as_bytes()).unwrap();
        let explainer = Explainer::new(config, &|_| None).unwrap();
        supply(worker, &explainer, &rules);
        let (mut tables, mut counts, mut open) = (PlainTables::default(), Counts::new(), Vec::new());
        for number in 0..REQUESTS {
            worker.pass_without_tick(Duration::from_millis(chance.below(400)));
            let asked = Asked::random(&mut chance, &rules, worker.now());
            let (explained, outcome) = explain(&explainer, &asked, &mut tables, worker.now());
            let (stream, done) = perform(worker, &asked);
            assert_eq!(explained, done, "seed {seed}, request {number}: {asked:?} under {document}");
            count(&mut counts, &explained, outcome, &asked);
            open.push(stream);
        }
        counts
    })
}

/// Answers what the filter fetches, if the document says so; explain is given the same.
fn supply(worker: &Worker, explainer: &Explainer, rules: &Rules) {
    let Some(list) = &rules.revoked else { return };
    worker.pass(Duration::from_millis(250));
    for call in worker.calls() {
        if value_of(&call.fields, ":path") == Some(b"/revoked") {
            worker.answer(&call, "200", list.as_bytes());
        }
    }
    let revoked = Document { name: "revoked.json".to_owned(), bytes: list.clone().into_bytes() };
    explainer.supply(&Documents { keys: Vec::new(), revoked: Some(revoked) }, worker.now()).unwrap();
}

fn explain(explainer: &Explainer, asked: &Asked, tables: &mut PlainTables, now: Duration) -> (Fate, Outcome) {
    let circumstances = Circumstances {
        at: now,
        client: Some(asked.client),
        has_client_certificate: asked.has_certificate,
        route_name: asked.route.map(str::to_owned),
        route_metadata: asked.metadata.clone(),
        token: asked.late_token.clone().map(Token),
    };
    let request = asked.request();
    let fields = request.fields.clone();
    let report = explainer.explain_after(request, &circumstances, tables);
    let outcome = report.outcome();
    let fate = match (report.status(), report.violation()) {
        (Some(status), Some(violation)) => {
            Fate::Refused(status.into(), violation.reason.id().to_owned(), violation.to_string())
        }
        (_, closed) => {
            let went_up = Headers::new(&fields).edited(report.changes());
            Fate::Up(sorted(&went_up), closed.map(|violation| violation.reason.id().to_owned()))
        }
    };
    // Whatever is said of it, it is written without failing, and shows no token. To write is dear, so some do.
    let is_written = now.subsec_millis().is_multiple_of(8);
    let text = if is_written { report.text(false) + &report.object().to_string() } else { String::new() };
    for token in &asked.tokens {
        assert!(!text.contains(token.as_str()), "{text}");
        let signature = token.rsplit('.').next().unwrap();
        assert!(signature.len() < 20 || !text.contains(signature), "{text}");
    }
    (fate, outcome)
}

fn perform<'w>(worker: &'w Worker, asked: &Asked) -> (Stream<'w>, Fate) {
    let properties = asked.properties();
    let properties: Vec<(&str, &[u8])> =
        properties.iter().map(|(path, value)| (*path, value.as_slice())).collect();
    let stream = Stream::open(worker, &asked.fields, &properties);
    for _ in 0..8 {
        if stream.request().is_some() || stream.reply().is_some() {
            break;
        }
        settle(worker);
    }
    let reason =
        |stream: &Stream<'_>| stream.property(REASON).map(|reason| String::from_utf8(reason).unwrap());
    if let Some(reply) = stream.reply() {
        let reason = reason(&stream).unwrap();
        let line = worker.log(LogLevel::Info).pop().unwrap();
        let (_, told) = line.split_once(" rule=").unwrap_or_else(|| panic!("{line}"));
        // What stands behind is the client, and no part of the verdict.
        let told = told.split(" address=").next().unwrap_or(told);
        return (stream, Fate::Refused(reply.status, reason, format!("rule={told}")));
    }
    let went_up = stream.request().expect("it goes up or is answered");
    let is_websocket = value_of(&went_up, "upgrade") == Some(b"websocket")
        && value_of(&went_up, "sec-websocket-key").is_some();
    if let (Some(message), true) = (&asked.first_message, is_websocket) {
        stream.answered(&agreement(&went_up));
        stream.client_sends(&from_client(TEXT, message.as_bytes()));
        for _ in 0..4 {
            settle(worker);
        }
    }
    let closed = reason(&stream);
    if closed.is_some() {
        stream.end();
    }
    (stream, Fate::Up(sorted(&went_up), closed))
}

/// Has what is waited for come or fail: a rate limit service has room, and what is fetched does not come in time.
fn settle(worker: &Worker) {
    let calls = worker.grpc_calls();
    for call in &calls {
        worker.answer_grpc(call, WITHIN);
    }
    if calls.is_empty() {
        worker.pass(Duration::from_secs(3));
    }
}

fn count(counts: &mut Counts, fate: &Fate, outcome: Outcome, asked: &Asked) {
    let mut add = |what: String| *counts.entry(what).or_default() += 1;
    match (fate, outcome) {
        (Fate::Refused(_, reason, _), Outcome::Refused) => {
            add("refused".to_owned());
            add(reason.clone());
        }
        (Fate::Up(_, None), Outcome::Unjudged) => add("unjudged".to_owned()),
        (Fate::Up(_, closed), Outcome::LetIn | Outcome::Refused) => {
            add("let in".to_owned());
            match closed {
                Some(reason) => add(format!("first message: {reason}")),
                None if asked.first_message.is_some() => add("first message accepted".to_owned()),
                None => {}
            }
        }
        other => panic!("{other:?}"),
    }
}

/// The fields by their names, without a key that is not the client's: it is a random one.
fn sorted(fields: &Fields) -> Fields {
    let mut fields = fields.clone();
    fields.retain(|(name, value)| name != "sec-websocket-key" || value == KEY);
    fields.sort();
    fields
}
