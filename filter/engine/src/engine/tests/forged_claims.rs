//! A client's own copies of headers that carry claims, on every request that passes.

use super::*;
use crate::http::headers::Field;
use crate::session::Input;
use crate::testing::SECRET;
use crate::testing::Tables;

/// Returns an engine of two policies with claims in headers, and one that asks for no token and forwards
/// nothing.
fn engine(routes: Value, default_policy: &str) -> Engine {
    let with_claims = |forward: Value| {
        json!({
            "origins": {"allow": ["*"]}, "other_upgrades": "pass",
            "auth": {"providers": ["edge"], "from": [{"query": "access_token"}], "forward": forward},
        })
    };
    let open = json!({"origins": {"allow": ["*"]}, "auth": "none", "other_upgrades": "pass"});
    compile(json!({
        "providers": {"edge": {
            "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"inline": SECRET},
        }},
        "policies": {
            "chat": with_claims(json!({"x-user-id": "sub"})),
            "admin": with_claims(json!({"x-admin": "admin"})),
            "open": open,
        },
        "routes": routes,
        "default_policy": default_policy,
    }))
}

/// Returns what goes up of a request that passes.
fn passed(engine: &Engine, head: &RequestHead, route: &RouteFacts) -> Vec<Field> {
    let edits = match engine.select(head, route) {
        Selection::Pass(edits) => edits,
        Selection::Refuse(outputs) => panic!("{outputs:?}"),
        Selection::Judge(mut session) => {
            session.handle(Input::Request(head.clone()), &mut Tables::default(), Duration::ZERO);
            let outputs: Vec<_> = std::iter::from_fn(|| session.poll_output()).collect();
            match outputs.last() {
                Some(Output::Admit(edits)) => edits.clone(),
                _ => panic!("{outputs:?}"),
            }
        }
    };
    head.headers().edited(&edits)
}

fn route(postern: &Value) -> RouteFacts {
    RouteFacts { name: None, metadata: metadata(postern) }
}

#[test]
fn no_request_that_passes_has_a_clients_own_header_of_any_policy() {
    let none = || json!([]);
    let by_path = || json!([{"match": {"path_prefix": "/ws"}, "policy": "chat"}]);
    let plain = || without(&request(), "upgrade");
    let h2c = || with(&request(), "upgrade", b"h2c");
    let odd = || with(&plain(), ":path", b"/ws%2fchat");
    let nowhere = RouteFacts::default();
    let cases = [
        ("ordinary HTTP, no policy", engine(none(), "deny"), plain(), &nowhere),
        ("ordinary HTTP, none wanted", engine(none(), "pass"), plain(), &nowhere),
        ("an upgrade, none wanted", engine(none(), "pass"), request(), &nowhere),
        ("another upgrade, none wanted", engine(none(), "pass"), h2c(), &nowhere),
        ("ordinary HTTP beside a route", engine(by_path(), "deny"), plain(), &nowhere),
        ("ordinary HTTP under a policy", engine(none(), "chat"), plain(), &nowhere),
        ("ordinary HTTP under another policy", engine(none(), "admin"), plain(), &nowhere),
        ("ordinary HTTP under one without tokens", engine(none(), "open"), plain(), &nowhere),
        ("a WebSocket under one without tokens", engine(none(), "open"), request(), &nowhere),
        ("another upgrade under one without tokens", engine(none(), "open"), h2c(), &nowhere),
        ("another upgrade under a policy", engine(none(), "chat"), h2c(), &nowhere),
        ("a path that cannot be matched", engine(by_path(), "deny"), odd(), &nowhere),
    ];
    for (name, engine, head, route) in cases {
        for header in ["x-user-id", "x-admin", "X_User.Id"] {
            assert_eq!(
                passed(&engine, &with(&head, header, b"root"), route),
                head.fields,
                "{name}: {header}"
            );
        }
        let own = with(&head, "x-users-id", b"root");
        assert_eq!(passed(&engine, &own, route), own.fields, "{name}");
    }
}

#[test]
fn a_header_that_a_route_adds_is_removed_there_however_the_path_is_written() {
    let engine = |default| engine(json!([{"match": {"path_prefix": "/ws"}, "policy": "chat"}]), default);
    let adds = json!({"auth": {"forward": {"x-tenant": "tenant"}}});
    let named = json!({"policy": "chat", "auth": {"forward": {"x-tenant": "tenant"}}});
    let plain = without(&request(), "upgrade");
    let at = |path: &[u8]| with(&plain, ":path", path);
    let cases = [
        ("over a policy that it names", engine("deny"), at(b"/api"), &named),
        ("over what routes pick", engine("deny"), at(b"/ws/chat"), &adds),
        ("over nothing", engine("deny"), at(b"/api"), &adds),
        ("over what cannot be known", engine("deny"), at(b"/ws%2fchat"), &adds),
    ];
    for (name, engine, head, postern) in cases {
        for header in ["x-tenant", "x_tenant", "x-user-id", "x-admin"] {
            let forged = with(&head, header, b"root");
            assert_eq!(passed(&engine, &forged, &route(postern)), head.fields, "{name}: {header}");
        }
    }
}

#[test]
fn a_route_for_upgrades_only_is_not_got_around_by_an_odd_path() {
    let engine = engine(json!([{"match": {"path_prefix": "/ws"}, "policy": "chat"}]), "deny");
    let odd = with(&without(&request(), "upgrade"), ":path", b"/ws%2fchat");
    let route = route(&json!({"upgrade_only": true}));
    assert_eq!(selected(&engine, &odd, &route), "malformed_handshake");
}

#[test]
fn an_upgrade_that_passes_does_not_get_to_a_route_under_a_policy_by_what_is_taken_out() {
    let engine = engine(json!([]), "pass");
    let head = with(&request(), "x-user-id", b"root");
    assert!(
        matches!(engine.select(&head, &RouteFacts::default()), Selection::Pass(edits) if !edits.is_empty())
    );
    let after = |status: &str, route: RouteFacts| {
        let fields = vec![(":status".to_owned(), status.into())];
        engine.on_unjudged_response(&RouteFacts::default(), &Answered { fields, route })
    };
    assert_eq!(after("101", RouteFacts::default()), []);
    let named = RouteFacts { name: Some("other".to_owned()), metadata: None };
    assert_eq!(after("101", named), [], "another route where it passes as well");
    for postern in [json!({"policy": "chat"}), json!({"policy": "nobody"})] {
        assert_eq!(after("200", route(&postern)), [], "no other protocol begins");
        let outputs = after("101", route(&postern));
        assert!(
            matches!(&outputs[..], [_, Output::Reply(_, reply)] if reply.reason == Reason::PolicyInvalid),
            "{outputs:?}"
        );
    }
}
