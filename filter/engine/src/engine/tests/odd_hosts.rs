//! Hosts that are no host, which router, policy and service could each take for another one.

use super::*;
use crate::testing::Tables;

const ODD: [&[u8]; 12] = [
    b"",
    b"user@admin.example.com",
    b"admin%2eexample.com",
    b"admin.example.com..",
    b"admin..example.com",
    b"admin.example.com:80:80",
    b"admin.example.com:x",
    b"admin.example.com,a.example.com",
    b"admin.example.com a",
    b"127.1",
    b"[::1",
    b"\xff",
];

fn engine(routes: Value, default_policy: &str, upgrade_only: bool) -> Engine {
    let policy = |origin: &str| {
        json!({"origins": {"allow": [origin]}, "other_upgrades": "pass", "upgrade_only": upgrade_only, "rates": [],
            "auth": {"providers": ["edge"], "from": [{"query": "access_token"}], "forward": {"x-user-id": "sub"}}})
    };
    compile(json!({
        "providers": {"edge": {
            "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
            "secret": {"inline": crate::testing::SECRET},
        }},
        "policies": {"admin": policy("https://admin.example.com"), "weak": policy("*")},
        "routes": routes,
        "default_policy": default_policy,
    }))
}

fn by_host() -> Value {
    json!([{"match": {"host": "admin.example.com"}, "policy": "admin"}])
}

/// Returns the reason for which `head` is refused in the end, if it is.
fn refused(engine: &Engine, head: &RequestHead, route: &RouteFacts) -> Option<Reason> {
    let outputs = match engine.select(head, route) {
        Selection::Pass(_) => return None,
        Selection::Refuse(outputs) => outputs,
        Selection::Judge(mut session) => {
            session.handle(Input::Request(head.clone()), &mut Tables::default(), Duration::ZERO);
            std::iter::from_fn(|| session.poll_output()).collect()
        }
    };
    outputs.iter().find_map(|output| match output {
        Output::Reply(_, reply) => Some(reply.reason),
        _ => None,
    })
}

/// Returns `request` with each odd host, with none, and with two fields that name one.
fn odd(request: &RequestHead) -> Vec<RequestHead> {
    let bare = without(request, ":authority");
    let mut two = with(&bare, ":authority", b"admin.example.com");
    two.fields.push(("host".to_owned(), b"a.example.com".to_vec()));
    ODD.iter().map(|host| with(&bare, ":authority", host)).chain([two]).collect()
}

#[test]
fn no_upgrade_gets_under_a_weaker_policy_or_past_all_by_an_odd_host() {
    let websocket = request();
    let other = with(&request(), "upgrade", b"custom");
    let weak = RouteFacts { name: None, metadata: metadata(&json!({"policy": "weak"})) };
    let ways = [
        ("to the default policy", engine(by_host(), "weak", false), RouteFacts::default()),
        ("past all policies", engine(by_host(), "pass", false), RouteFacts::default()),
        ("past all policies, without routes", engine(json!([]), "pass", false), RouteFacts::default()),
        ("to the one policy", engine(json!([]), "weak", false), RouteFacts::default()),
        ("to a policy by metadata", engine(by_host(), "deny", false), weak),
    ];
    for (name, engine, route) in &ways {
        for head in [&websocket, &other].into_iter().flat_map(odd).chain([without(&websocket, ":authority")])
        {
            assert_eq!(refused(engine, &head, route), Some(Reason::MalformedHandshake), "{name}: {head:?}");
        }
        assert_eq!(refused(engine, &other, route), None, "{name}");
    }
}

#[test]
fn ordinary_http_with_an_odd_host_passes_without_forged_claims_unless_it_may_have_to_be_an_upgrade() {
    let plain = without(&request(), "upgrade");
    for (routes, upgrade_only, expected) in [
        (by_host(), false, None),
        (json!([]), false, None),
        (by_host(), true, Some(Reason::MalformedHandshake)),
    ] {
        let engine = engine(routes, "deny", upgrade_only);
        for head in odd(&plain) {
            let nowhere = RouteFacts::default();
            assert_eq!(refused(&engine, &head, &nowhere), expected, "{head:?}");
            if expected.is_none() {
                assert_eq!(selected(&engine, &head, &nowhere), "pass");
                let forged = with(&head, "x-user-id", b"root");
                assert_eq!(selected(&engine, &forged, &nowhere), r#"pass without [Remove("x-user-id")]"#);
            }
        }
    }
}

#[test]
fn every_spelling_of_one_host_meets_its_route() {
    let routes = json!([
        {"match": {"host": "admin.example.com"}, "policy": "admin"},
        {"match": {"host": "[::1]"}, "policy": "admin"},
        {"match": {"host": "bücher.example"}, "policy": "admin"},
    ]);
    let engine = engine(routes, "weak", false);
    let spellings: [&[u8]; 8] = [
        b"admin.example.com",
        b"ADMIN.example.COM:8443",
        b"admin.example.com.",
        b"admin.example.com.:80",
        b"admin.example.com:",
        b"[0:0:0:0:0:0:0:1]:80",
        b"[::0001]",
        b"XN--bcher-kva.example",
    ];
    for host in spellings {
        let head = with(&request(), ":authority", host);
        assert_eq!(selected(&engine, &head, &RouteFacts::default()), "admin", "{}", host.escape_ascii());
    }
}
