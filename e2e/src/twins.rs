//! A scene and its twin without Postern: what the one refuses, the other lets through. Without the second half a
//! refusal proves little, since Envoy or the test itself might be what stands in the way.

use serde_json::{Map, Value, json};

use crate::http::Response;
use crate::request::Request;
use crate::scene::{RunningScene, Scene};

/// The one reason that lies in what the upstream answers. For every other the upstream is never asked.
const ANSWER_INVALID: &str = "upstream_handshake_invalid";

/// Two Envoys that differ in nothing but Postern.
#[derive(Debug)]
pub struct Twins {
    /// With Postern.
    pub guarded: RunningScene,
    /// Without.
    pub bare: RunningScene,
}

/// A request that Postern is to refuse, and how.
#[derive(Clone, Debug)]
pub struct Attack<'a> {
    /// What it tries, for the message of a failed test.
    pub name: &'a str,
    /// The request.
    pub request: Request,
    /// The policy it falls under, as the metrics name it.
    pub policy: &'a str,
    /// The status it is answered with.
    pub status: u16,
    /// The id of the reason.
    pub reason: &'a str,
}

/// How a request is refused, whatever its client speaks.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// What the request tries, for the message of a failed test.
    pub name: &'a str,
    /// The id under which the upstream and the access log know it.
    pub case: &'a str,
    /// The policy it falls under, as the metrics name it.
    pub policy: &'a str,
    /// The status it is answered with.
    pub status: u16,
    /// The id of the reason.
    pub reason: &'a str,
    /// The status it is answered with when Postern is away: the upstream's, which grants it.
    pub without: u16,
}

/// A document in which each of `policies` holds for `/ws/<its name>`, and no other path has one. Their keys are laid
/// over the least demanding policy: any origin or none, no token, TLS or not, no rates.
pub fn document(providers: Value, policies: Value) -> Value {
    let policies = policies.as_object().expect("an object");
    let whole: Map<String, Value> = policies
        .iter()
        .map(|(name, keys)| {
            let mut policy = json!({
                "tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "auth": "none", "rates": [],
            });
            for (key, value) in keys.as_object().expect("an object") {
                policy[key] = value.clone();
            }
            (name.clone(), policy)
        })
        .collect();
    let route = |name| json!({"match": {"path_prefix": format!("/ws/{name}")}, "policy": name});
    let routes: Vec<Value> = policies.keys().map(route).collect();
    json!({"providers": providers, "policies": whole, "routes": routes})
}

impl Twins {
    /// Starts both from the same wishes.
    pub async fn start(scene: impl Fn() -> Scene) -> Self {
        let (guarded, bare) = tokio::join!(scene().start(), scene().bare().start());
        Self { guarded, bare }
    }

    /// Refused by Postern, as told to client, access log and metrics, before the upstream saw anything, or if the reason
    /// is the upstream's answer, before the client saw anything of it; and without Postern, what the upstream was asked
    /// and granted.
    pub async fn assert_refused(&self, attack: &Attack<'_>) -> Response {
        self.assert_refused_by(&attack.refusal(), async |scene| attack.ask(scene).await).await
    }

    /// As [`Twins::assert_refused`], for a client that has its own way to `ask` a scene.
    pub async fn assert_refused_by(
        &self,
        refusal: &Refusal<'_>,
        ask: impl AsyncFn(&RunningScene) -> Response,
    ) -> Response {
        let response = assert_told(&self.guarded, refusal, &ask).await;
        let Refusal { name, case, without, .. } = refusal;
        let granted = ask(&self.bare).await;
        assert_eq!(granted.status, *without, "{name}: without Postern");
        assert!(self.bare.upstream().has_seen(case), "{name}: not at the upstream");
        response
    }

    /// Refused by Envoy with `status`, with and without Postern, so that there is nothing for Postern to judge.
    pub async fn assert_envoy_refuses(&self, name: &str, request: &Request, status: u16) {
        for scene in [&self.guarded, &self.bare] {
            let response = scene.ask(request).await;
            assert_eq!((response.status, response.reason()), (status, None), "{name}");
            assert!(!scene.upstream().has_seen(request.case()), "{name} reached the upstream");
        }
    }

    /// What the upstream receives of `request`, and what the client of the answer, is the same with and without Postern.
    pub async fn assert_untouched(&self, name: &str, request: &Request) {
        let [with, without] = [&self.guarded, &self.bare].map(async |scene| {
            let response = scene.ask(request).await;
            let record = scene.upstream().record(request.case()).await;
            let head = (record.head.method.clone(), record.head.target.clone());
            let sent = (head, constant(&record.head.headers.0), record.bytes());
            (sent, response.status, constant(&response.headers.0), response.text())
        });
        assert_eq!(with.await, without.await, "{name}");
    }
}

impl Attack<'_> {
    fn refusal(&self) -> Refusal<'_> {
        let Attack { name, ref request, policy, status, reason } = *self;
        let without = if request.value("upgrade").is_some() { 101 } else { 200 };
        Refusal { name, case: request.case(), policy, status, reason, without }
    }

    /// Asks on a connection of its own, which a refused handshake is the end of.
    async fn ask(&self, scene: &RunningScene) -> Response {
        let Attack { name, request, .. } = self;
        let mut client = scene.connect().await;
        let response = client.ask(request).await;
        // Envoy leaves the Connection field of ordinary HTTP to itself.
        if response.reason().is_some() && request.value("upgrade").is_some() {
            assert!(response.headers.lists("connection", "close"), "{name}: the connection is kept");
            // Envoy waits a second for this before it closes the connection all the same.
            client.shutdown().await;
            assert_eq!(client.rest().await.0, b"", "{name}: something follows the refusal");
        }
        response
    }
}

/// What `ask` is answered is this refusal, and so say the access log and the metrics; the upstream's side fits it.
async fn assert_told(
    scene: &RunningScene,
    refusal: &Refusal<'_>,
    ask: &impl AsyncFn(&RunningScene) -> Response,
) -> Response {
    let Refusal { name, case, policy, status, reason, .. } = *refusal;
    let labels = [("policy", policy), ("result", "refused"), ("reason", reason)];
    let before = scene.envoy().stats().await.sum("postern_handshakes", &labels);
    let response = ask(scene).await;
    assert_eq!((response.status, response.reason().as_deref()), (status, Some(reason)), "{name}");
    let line = scene.access_line(case).await;
    assert_eq!((&line["status"], &line["reason"]), (&json!(status), &json!(reason)), "{name}: access log");
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

/// Nothing of the upstream's answer is in the refusal.
fn assert_kept_from(name: &str, response: &Response) {
    for field in ["sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-protocol"] {
        assert_eq!(response.header(field), None, "{name}: {field}");
    }
}

/// A problem document (RFC 9457) with four members and no more.
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

/// The fields that a client needs, by status.
fn assert_fields(name: &str, response: &Response) {
    let field = |field: &str| response.header(field).unwrap_or_default();
    match response.status {
        401 => assert!(field("www-authenticate").starts_with("Bearer"), "{name}: {response:?}"),
        // RFC 6455 §4.4. The Upgrade field of RFC 9110 §15.5.22 is one that Envoy takes out of local replies.
        426 => assert_eq!(field("sec-websocket-version"), "13", "{name}"),
        429 => {
            assert!(field("retry-after").parse::<u64>().is_ok_and(|wait| wait >= 1), "{name}: {response:?}")
        }
        _ => {}
    }
}

/// The headers that do not differ from one request to the next.
fn constant(headers: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let changing = ["x-request-id", "date", "x-envoy-upstream-service-time"];
    headers.iter().filter(|(name, _)| !changing.contains(&name.as_str())).cloned().collect()
}
