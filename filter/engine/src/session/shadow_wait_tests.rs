//! Streams in shadow that pass while their session waits for keys, and what is found once these have come.

use crate::http::request::RequestHead;
use serde_json::{Value, json};

use super::fetch_tests::{bearing, claims, engine, fetch, minted};
use super::tests::START;
use super::*;
use crate::auth::forgeries::FORGERIES_A_MINUTE;
use crate::auth::minting::{ISSUER, issuer_keys};
use crate::engine::{Engine, RouteFacts, Selection};
use crate::remote::Kind;
use crate::testing::{Tables, agreement, compile, from_client, request, with};

const TEXT: u8 = 0x81;
const SECOND: Duration = Duration::from_secs(1);

/// A stream under a policy in shadow, whose keys have not come.
struct Observed {
    engine: Engine,
    session: Session,
    tables: Tables,
}

impl Observed {
    fn new(changes: &Value, head: RequestHead) -> Self {
        let mut policy = json!({"mode": "shadow", "rates": [], "messages": {"schema": {"type": "number"}}});
        policy.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let engine = engine(policy);
        let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else {
            panic!("the policy judges every request")
        };
        let mut tables = Tables::default();
        session.handle(Input::Request(head), &mut tables, START);
        assert_eq!(session.poll_output(), Some(Output::Admit(Vec::new())));
        Self { engine, session: *session, tables }
    }

    fn agree(&mut self) {
        self.session.handle(Input::Response(agreement()), &mut self.tables, START);
        assert_eq!(self.session.poll_output(), Some(Output::AdmitResponse(Vec::new())));
    }

    fn send(&mut self, bytes: &[u8], size: usize) {
        for chunk in bytes.chunks(size) {
            let passage = self.session.judge(Peer::Client, &mut &chunk[..], &mut self.tables, START);
            assert_eq!(passage.unwrap().bytes(chunk), chunk, "it passes at once");
        }
    }

    /// Has the keys come, and returns what has been told.
    fn found(&mut self) -> Vec<String> {
        for kind in [Kind::Keys, Kind::Revocation] {
            let document = match kind {
                Kind::Keys => issuer_keys(),
                _ => json!({}),
            };
            if self.engine.sources().iter().any(|source| source.spec().kind == kind) {
                fetch(&self.engine, &mut Vec::new(), kind, Some(&document), START + SECOND);
                self.session.handle(Input::Fetched, &mut self.tables, START + SECOND);
            }
        }
        assert!(!self.session.is_waiting());
        let told = std::iter::from_fn(|| self.session.poll_output()).map(|output| match output {
            Output::Tell(Event::Found { violation, .. }) => {
                format!("{} {}", violation.rule, violation.reason.id())
            }
            Output::Tell(Event::Opened) => "opened".to_owned(),
            output => panic!("{output:?}"),
        });
        told.collect()
    }
}

/// A message that breaks no rule, and one that does, with what is found of it.
const MESSAGES: [(&str, &[&str]); 2] =
    [("7", &["opened"]), ("\"seven\"", &["opened", "messages.schema schema_violation"])];

#[test]
fn a_first_message_that_waits_for_keys_is_read_once_and_so_is_what_comes_behind_it() {
    let auth = json!({"auth": {"providers": ["main"], "from": [{"first_message": "/token"}]}});
    let token = json!({ "token": minted("ed", &claims(json!({}))) }).to_string();
    for (message, expected) in MESSAGES {
        let sent = [from_client(TEXT, token.as_bytes()), from_client(TEXT, message.as_bytes())].concat();
        for size in [1, 7, sent.len() - 5, sent.len()] {
            let mut observed = Observed::new(&auth, request());
            observed.agree();
            observed.send(&sent, size);
            assert_eq!(observed.found(), expected, "{message} in chunks of {size}");
            assert_eq!(observed.session.take_tally().client.allowed, 2, "{message} in chunks of {size}");
        }
    }
}

#[test]
fn what_comes_before_the_agreement_and_the_keys_is_judged_as_it_came() {
    for (message, expected) in MESSAGES {
        let sent = from_client(TEXT, message.as_bytes());
        for size in [1, 3, sent.len()] {
            let mut observed = Observed::new(&json!({}), bearing("ed", &claims(json!({}))));
            observed.send(&sent, size);
            observed.agree();
            assert_eq!(observed.found(), expected, "{message} in chunks of {size}");
        }
    }
}

#[test]
fn single_bytes_that_come_while_keys_are_awaited_take_no_more_memory_than_is_said() {
    let mut observed = Observed::new(&json!({}), bearing("ed", &claims(json!({}))));
    observed.agree();
    // Each is a thing of its own to keep, since they come by turns.
    for turn in 0..4000 {
        let sender = if turn % 2 == 0 { Peer::Client } else { Peer::Upstream };
        let (session, tables) = (&mut observed.session, &mut observed.tables);
        let passage = session.judge(sender, &mut &b"\x81"[..], tables, START).unwrap();
        assert_eq!(passage.bytes(b"\x81"), b"\x81");
    }
    let told: Vec<_> = std::iter::from_fn(|| observed.session.poll_output()).collect();
    let is_full = |output: &Output| {
        matches!(output, Output::Tell(Event::Found { violation, .. })
            if violation.reason == Reason::MemoryExceeded)
    };
    assert!(told.iter().any(is_full), "{told:?}");
    assert_eq!(observed.session.held(), 0);
}

#[test]
fn tokens_that_are_forged_in_shadow_count_for_nothing_under_a_policy_that_is_enforced() {
    let policy = |mode: &str| {
        json!({
            "mode": mode, "origins": {"allow": ["*"]}, "rates": [],
            "auth": {"providers": ["main"], "from": [{"header": "authorization"}]},
        })
    };
    let uri = "https://auth.example.com/jwks.json";
    let engine = compile(json!({
        "providers": {"main": {
            "issuer": ISSUER, "audiences": ["chat"], "jwks": {"remote": {"cluster": "auth", "uri": uri}},
        }},
        "policies": {"chat": policy("enforce"), "watched": policy("shadow")},
        "routes": [{"match": {"path_prefix": "/watched"}, "policy": "watched"}],
        "default_policy": "chat",
    }));
    fetch(&engine, &mut Vec::new(), Kind::Keys, Some(&issuer_keys()), START);
    let told = |head: RequestHead| {
        let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else { panic!() };
        session.handle(Input::Request(head), &mut Tables::default(), START);
        std::iter::from_fn(|| session.poll_output()).find_map(|output| match output {
            Output::Tell(Event::Found { violation, .. } | Event::Refused { violation, .. }) => {
                Some(violation.reason)
            }
            _ => None,
        })
    };
    let genuine = minted("ed", &claims(json!({})));
    let other = minted("ed", &claims(json!({"sub": "mallory"})));
    // The signature is one of other claims.
    let (claimed, _) = genuine.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    let forged = format!("Bearer {claimed}.{signature}");
    let forged = |path: &[u8]| with(&with(&request(), ":path", path), "authorization", forged.as_bytes());
    for _ in 0..=FORGERIES_A_MINUTE {
        told(forged(b"/watched"));
    }
    assert_eq!(told(forged(b"/watched")), Some(Reason::HandshakeRate));
    assert_eq!(told(forged(b"/")), Some(Reason::TokenInvalid));
}
