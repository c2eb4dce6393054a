//! The offers of extensions, and the upstream's answer to them.
//!
//! Input: a byte for the policy; then lines: each is a value of the request, and
//! behind an empty line one of the response. Only permessage-deflate goes up, what is said in
//! several fields is what is said in one, and no answer is believed that was not asked for.

use postern_config::Config;
use postern_engine::http::headers::{Field, Headers};
use postern_engine::{Engine, Input, Output, Reason, RouteFacts, Selection, Session};
use serde_json::json;

use crate::fixture::{EXTENSIONS, NOW, ORDINARY, agreement, compile, handshake, head};
use crate::tables::Open;

const POLICIES: [&str; 4] = ["inspected", "passed", "dropped", "stripped"];

thread_local! {
    static ENGINE: Engine = engine();
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let Some((choice, lines)) = input.split_first() else { return };
    let policy = POLICIES[usize::from(choice & 3)];
    let mut lines = lines.split(|&b| b == b'\n');
    let offers: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let answers: Vec<_> = lines.collect();

    let Some((mut session, up)) = admitted(policy, &offers) else {
        assert_ne!(policy, "stripped", "what is taken out is not judged");
        assert!(admitted(policy, &[&offers.join(&b", "[..])]).is_none(), "joined it is sound");
        return;
    };
    let offered = Headers::new(&up);
    assert!(policy != "stripped" || !offered.has(EXTENSIONS));
    assert!(offered.list(EXTENSIONS).all(|offer| offer.starts_with(b"permessage-deflate")), "{up:?}");
    // What went up is sound by itself.
    let again: Vec<_> = offered.all(EXTENSIONS).collect();
    let (_, twice) = admitted(policy, &again).expect("it went up before");
    assert!(Headers::new(&twice).all(EXTENSIONS).eq(again.iter().copied()), "it is changed again");
    if !offers.is_empty() {
        let (_, joined) = admitted(policy, &[&offers.join(&b", "[..])]).expect("it is sound in parts");
        assert!(Headers::new(&joined).list(EXTENSIONS).eq(offered.list(EXTENSIONS)));
    }

    let response: Vec<_> = agreement().into_iter().chain(fields(&answers)).collect();
    session.handle(Input::Response(response.clone()), &mut Open, NOW);
    let mut down = None;
    while let Some(output) = session.poll_output() {
        match output {
            Output::AdmitResponse(edits) => down = Some(Headers::new(&response).edited(&edits)),
            Output::Reply(_, reply) => assert_eq!(reply.reason, Reason::UpstreamHandshakeInvalid),
            _ => {}
        }
    }
    assert_eq!(down.is_some(), session.was_opened());
    let Some(down) = down else { return };
    let mut agreed = Headers::new(&down).list(EXTENSIONS);
    if let Some(extension) = agreed.next() {
        assert!(offered.has(EXTENSIONS) && agreed.next().is_none());
        assert!(extension.starts_with(b"permessage-deflate"));
        let alone = b"client_no_context_takeover";
        assert!(policy != "dropped" || extension.windows(alone.len()).filter(|w| w == alone).count() == 1);
    }
}

/// The session, and the fields that go up, of a handshake that makes these offers.
fn admitted(policy: &str, offers: &[&[u8]]) -> Option<(Session, Vec<Field>)> {
    let request: Vec<_> = handshake().into_iter().chain(fields(offers)).collect();
    let head = head(request.clone(), ORDINARY);
    let route = RouteFacts { name: Some(policy.to_owned()), metadata: None };
    let selection = ENGINE.with(|engine| engine.select(&head, &route));
    let Selection::Judge(mut session) = selection else { panic!("every policy judges") };
    session.handle(Input::Request(head), &mut Open, NOW);
    loop {
        match session.poll_output()? {
            Output::Admit(edits) => return Some((*session, Headers::new(&request).edited(&edits))),
            Output::Reply(_, reply) => {
                assert_eq!(reply.reason, Reason::MalformedHandshake);
                return None;
            }
            _ => {}
        }
    }
}

fn fields(values: &[&[u8]]) -> Vec<Field> {
    values.iter().map(|value| (EXTENSIONS.to_owned(), value.to_vec())).collect()
}

fn engine() -> Engine {
    let policy = |compression: &str, rates: serde_json::Value| {
        json!({
            "tls": "optional", "origins": {"allow": ["https://app.example.com"], "missing": "allow"},
            "auth": "none", "compression": compression, "rates": rates,
        })
    };
    let drop = json!([{
        "count": "messages", "per": "connection", "limit": 4, "window": "1s", "on_exceed": "drop",
    }]);
    let document = json!({
        "policies": {
            "inspected": policy("inspect", json!([])),
            "passed": policy("pass", json!([])),
            "dropped": policy("pass", drop),
            "stripped": policy("strip", json!([])),
        },
        "routes": POLICIES.map(|name| json!({"match": {"route_name": name}, "policy": name})),
    });
    compile(Config::from_value(document).expect("the policies are sound"))
}
