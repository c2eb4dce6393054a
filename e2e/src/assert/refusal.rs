//! A refusal as every side must see it.

use serde_json::{Value, json};

use crate::client::Request;
use crate::http::Response;
use crate::scene::RunningScene;

/// The one reason that lies in the answer of the upstream. For every other the upstream is never asked.
const ANSWER_INVALID: &str = "upstream_handshake_invalid";

/// A request that Postern must refuse, and the refusal.
#[derive(Clone, Debug)]
pub struct Attack<'a> {
    /// The attempt, for the message of a failed test.
    pub name: &'a str,
    /// The request.
    pub request: Request,
    /// The policy that the request falls under, as the metrics name it.
    pub policy: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// The id of the reason.
    pub reason: &'a str,
}

/// The refusal of a request, whatever its client speaks.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// The attempt, for the message of a failed test.
    pub name: &'a str,
    /// The id under which the upstream and the access log know the request.
    pub case: &'a str,
    /// The policy that the request falls under, as the metrics name it.
    pub policy: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// The id of the reason.
    pub reason: &'a str,
    /// The status of the answer when Postern is away: the upstream's, which grants the request.
    pub without: u16,
}

impl Attack<'_> {
    pub(crate) fn refusal(&self) -> Refusal<'_> {
        let Attack { name, ref request, policy, status, reason } = *self;
        let without = if request.value("upgrade").is_some() { 101 } else { 200 };
        Refusal { name, case: request.case(), policy, status, reason, without }
    }

    /// Asks on a connection of its own, since a refused handshake ends it.
    pub(crate) async fn ask(&self, scene: &RunningScene) -> Response {
        let Attack { name, request, .. } = self;
        let mut client = scene.connect().await;
        let response = client.ask(request).await;
        // Envoy leaves the Connection field of ordinary HTTP to itself.
        if response.reason().is_some() && request.value("upgrade").is_some() {
            assert!(response.headers.lists("connection", "close"), "{name}: the connection is kept");
            // Envoy waits a second for the end of the client's side, and closes the connection all the same.
            client.shutdown().await;
            assert_eq!(client.rest().await.0, b"", "{name}: something follows the refusal");
        }
        response
    }
}

impl Refusal<'_> {
    /// Asserts that `ask` is answered with this refusal, that the access log and the metrics say so, and that the
    /// upstream's side fits it.
    pub(crate) async fn assert_of(
        &self,
        scene: &RunningScene,
        ask: &impl AsyncFn(&RunningScene) -> Response,
    ) -> Response {
        let Self { name, case, policy, status, reason, .. } = *self;
        let labels = [("policy", policy), ("result", "refused"), ("reason", reason)];
        let before = scene.envoy().stats().await.sum("postern_handshakes", &labels);
        let response = ask(scene).await;
        assert_eq!((response.status, response.reason().as_deref()), (status, Some(reason)), "{name}");
        let line = scene.access_line(case).await;
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&json!(status), &json!(reason)),
            "{name}: access log"
        );
        assert_document(name, &response, &line["request_id"]);
        assert_fields(name, &response);
        let after = scene.envoy().stats().await.sum("postern_handshakes", &labels);
        assert_eq!(after - before, 1.0, "{name}: postern_handshakes{labels:?}");
        if reason == ANSWER_INVALID {
            assert_kept_from(name, &response);
            let record = scene.upstream().record(case).await;
            record.ended().await;
            assert_eq!(record.bytes(), b"", "{name}: more than the handshake at the upstream");
        } else {
            assert!(!scene.upstream().has_seen(case), "{name}: the upstream was asked");
        }
        response
    }
}

/// Asserts that nothing of the upstream's answer is in the refusal.
fn assert_kept_from(name: &str, response: &Response) {
    for field in ["sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-protocol"] {
        assert_eq!(response.header(field), None, "{name}: {field}");
    }
}

/// Asserts that the body is a problem document (RFC 9457) with four members and no more.
fn assert_document(name: &str, response: &Response, request_id: &Value) {
    assert_eq!(response.header("content-type").as_deref(), Some("application/problem+json"), "{name}");
    let problem = response.json();
    let title = problem["title"].as_str().unwrap_or_default();
    assert!(!title.is_empty(), "{name}: no title in {problem}");
    let request_id = request_id.as_str().unwrap_or_else(|| panic!("{name}: no request id in the access log"));
    let whole = json!({
        "type": format!("urn:postern:{}", response.reason().unwrap_or_default()),
        "title": title,
        "status": response.status,
        "instance": format!("urn:uuid:{request_id}"),
    });
    assert_eq!(problem, whole, "{name}");
}

/// Asserts that a client finds the fields that it needs, by status.
fn assert_fields(name: &str, response: &Response) {
    let field = |field: &str| response.header(field).unwrap_or_default();
    match response.status {
        401 => assert!(field("www-authenticate").starts_with("Bearer"), "{name}: {response:?}"),
        // RFC 6455 §4.4 asks for this. Envoy takes the Upgrade field of RFC 9110 §15.5.22 out of local
        // replies.
        426 => assert_eq!(field("sec-websocket-version"), "13", "{name}"),
        429 => {
            assert!(field("retry-after").parse::<u64>().is_ok_and(|wait| wait >= 1), "{name}: {response:?}")
        }
        _ => {}
    }
}
