use serde_json::json;

use super::*;
use crate::testing::{SECRET, compile, engine, request, token, with, without};

const NOW: Duration = Duration::from_secs(1_700_000_000);

fn explain(engine: &Engine, head: &RequestHead) -> Explanation {
    engine.explain(head, &RouteFacts::default(), None, &mut PlainTables::default(), NOW)
}

fn verdict(explanation: &Explanation, id: &str) -> Verdict {
    explanation.steps.iter().find(|step| step.id == id).unwrap().verdict.clone()
}

#[test]
fn every_step_of_an_admitted_handshake_has_passed_or_is_not_set() {
    let engine = engine(json!({}));
    let told = explain(&engine, &request());
    assert!(matches!(told.fate, Fate::LetIn(_)), "{told:?}");
    let ids: Vec<_> = told.steps.iter().map(|step| step.id).collect();
    assert_eq!(ids, crate::handshake_order().collect::<Vec<_>>());
    for step in &told.steps {
        assert!(matches!(step.verdict, Verdict::Passed | Verdict::NotSet), "{step:?}");
    }
    assert_eq!(verdict(&told, "origins"), Verdict::Passed);
    assert_eq!(verdict(&told, "auth"), Verdict::NotSet);
    assert_eq!(verdict(&told, "csrf"), Verdict::NotSet);
}

#[test]
fn the_first_step_that_refuses_is_told_and_those_behind_it_are_not_reached() {
    let engine = engine(json!({"auth": {"providers": ["edge"], "from": [{"header": "authorization"}]}}));
    let told = explain(&engine, &with(&request(), "origin", b"https://evil.example"));
    let Verdict::Refused(violation) = verdict(&told, "origins") else { panic!("{told:?}") };
    assert_eq!(violation.reason.id(), "origin_denied");
    assert_eq!(verdict(&told, "tls"), Verdict::Passed);
    assert_eq!(verdict(&told, "auth"), Verdict::NotReached);
    assert!(matches!(&told.fate, Fate::Refused(refused, _) if *refused == violation));
}

#[test]
fn what_a_handshake_is_charged_is_told_also_where_it_is_refused() {
    let rates = json!([
        {"count": "handshakes", "per": "ip", "limit": 120, "window": "1h"},
        {"count": "refusals", "per": "ip", "limit": 20, "window": "1h"},
    ]);
    let engine = engine(json!({"rates": rates}));
    let told = explain(&engine, &without(&request(), "sec-websocket-key"));
    let by_ip = told.steps.iter().find(|step| step.id == "rates by ip").unwrap();
    assert_eq!(by_ip.verdict, Verdict::Passed);
    assert_eq!(by_ip.charged.iter().map(|charged| charged.index).collect::<Vec<_>>(), [0]);
    assert_eq!(told.refusal_charged.iter().map(|charged| charged.index).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_token_in_the_first_message_is_judged_as_the_connection_would() {
    let auth = json!({"providers": ["edge"], "from": [{"first_message": "/a/token"}]});
    let engine = engine(json!({"auth": auth}));
    let explain = |token: &[u8]| {
        let route = RouteFacts::default();
        engine.explain(&request(), &route, Some(token), &mut PlainTables::default(), NOW)
    };
    let claims = json!({"iss": "edge", "aud": "chat", "sub": "alice", "exp": NOW.as_secs() + 60});
    let told = explain(&token(SECRET, &claims));
    assert!(told.awaits_first_message);
    assert_eq!(told.first_message, Some(FirstMessageVerdict::Accepted));
    assert_eq!(told.token.unwrap().provider.as_deref(), Some("edge"));
    assert!(told.terms.unwrap().ends_with_token_at.is_some());
    let told = explain(&token("another secret of thirty-two bytes", &claims));
    let Some(FirstMessageVerdict::Closed(violation)) = told.first_message else { panic!("{told:?}") };
    assert_eq!(violation.reason.id(), "token_invalid");
    assert_eq!(told.token.unwrap().provider, None, "anybody may have written these claims");
}

#[test]
fn keys_that_never_come_are_waited_for_and_then_the_handshake_is_refused() {
    let engine = compile(json!({
        "providers": {"idp": {
            "issuer": "https://idp.example", "audiences": ["chat"], "algorithms": ["RS256"],
            "jwks": {"remote": {"cluster": "idp", "uri": "https://idp.example/jwks", "timeout": "3s"}},
        }},
        "policies": {"chat": {
            "origins": {"allow": ["https://app.example.com"]},
            "auth": {"providers": ["idp"], "from": [{"header": "authorization"}]},
        }},
        "default_policy": "chat",
    }));
    let token = token(SECRET, &json!({"iss": "https://idp.example", "aud": "chat"}));
    let token = String::from_utf8(token).unwrap().replacen("eyJhbGciOiJIUzI1NiIs", "eyJhbGciOiJSUzI1NiIs", 1);
    let told = explain(&engine, &with(&request(), "authorization", format!("Bearer {token}").as_bytes()));
    let auth = told.steps.iter().find(|step| step.id == "auth").unwrap();
    assert_eq!(auth.waited, Some(WaitedFor::Keys(Duration::from_secs(3))));
    assert!(matches!(&told.fate, Fate::Refused(violation, _) if violation.reason.id() == "keys_unavailable"));
}

#[test]
fn a_rate_limit_service_is_taken_to_have_room() {
    let global = json!({
        "cluster": "limits", "domain": "postern", "counts": ["handshakes", "connections"],
    });
    let told = explain(&engine(json!({"global_rate_limit": global})), &request());
    assert!(matches!(told.fate, Fate::LetIn(_)), "{told:?}");
    let waited = |id: &str| told.steps.iter().find(|step| step.id == id).unwrap().waited;
    assert_eq!(waited("global_rate_limit"), Some(WaitedFor::RateLimit(GlobalCount::Handshakes)));
    assert_eq!(
        waited("global_rate_limit of connections"),
        Some(WaitedFor::RateLimit(GlobalCount::Connections))
    );
    assert_eq!(waited("global_rate_limit of tickets"), None);
}

#[test]
fn each_id_of_a_step_is_known_where_it_is_said_what_a_policy_asks() {
    let source = include_str!("asked.rs");
    let always = [
        "other_upgrades",
        "shape",
        "compression",
        "form of subprotocols",
        "origins",
        "subprotocols",
        "memory",
    ];
    for id in crate::handshake_order() {
        assert_ne!(source.contains(&format!("\"{id}\" =>")), always.contains(&id), "{id}");
    }
}
