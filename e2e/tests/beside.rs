//! Postern beside other filters of Envoy's, each before it and behind it: who refuses whom, that what passes is judged by
//! both, byte for byte, and what of a WebSocket does not pass. One Envoy has all of these filters, disabled but on the route
//! of their own row.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use postern_e2e::client::request::CASE;
use postern_e2e::client::token::{EDGE_SECRET, edge_claims};
use postern_e2e::deadline::{PATIENCE, eventually};
use postern_e2e::frames::opcode;
use postern_e2e::scene::bootstrap::workspace;
use postern_e2e::scene::{Shareable, Shared, module};
use postern_e2e::upstream::processor::{Exchange, REFUSED};
use postern_e2e::wire::End;
use postern_e2e::{
    Answer, Behaviour, Frame, Processor, RateLimits, RawClient, Request, Response, RunningScene, Scene,
    Signer, Upstream, Value, json,
};

const GOOD: &str = "https://app.example.com";
const EVIL: &str = "https://evil.example.com";

/// The time to wait for an answer that does not come; one that comes takes some milliseconds.
const HELD: Duration = Duration::from_secs(3);

/// The longest message of the policies, in bytes.
const LONGEST: usize = 64 * 1024;

/// The audience that `jwt_authn` demands of a token, and Postern does not.
const SECOND_AUDIENCE: &str = "beside";

/// The sides of Postern on which a filter may stand.
const SIDES: [&str; 2] = ["before", "behind"];

/// The end of the paths on which the filter of a row is disabled.
const WITHOUT: &str = "/without";

/// The end of the paths on which Postern lets every Origin pass.
const OPEN: &str = "/open";

/// A filter beside Postern.
struct Row {
    /// The words for it in `docs/beside-other-filters.md`, which its routes are named after.
    name: &'static str,
    /// The words of the page about either side.
    told: [&'static str; 2],
    /// The type of the filter, below `envoy.extensions.filters.http`.
    kind: &'static str,
    /// The fields of its configuration.
    fields: Value,
    /// The kind and fields of its configuration for a route, where it needs one.
    of_route: Option<(&'static str, Value)>,
    outcome: Outcome,
}

/// The outcome beside a filter.
#[derive(Clone, Copy)]
enum Outcome {
    /// Everything passes that Postern lets pass.
    Passes,
    /// Everything passes but requests that the filter refuses with this status, and with these words in Envoy's access log.
    Refuses(u16, &'static str),
    /// Everything passes by the service of `ext_proc`, which the frames of the service wait for: a Close to the client may
    /// get lost when the service ends its connection. Behind Postern no frame gets out by a timer either.
    Waits,
    /// A handshake gets no answer, since the filter waits for the end of this.
    Holds(Body),
}

/// The fate of the frames that Postern sends by a timer.
enum Timers {
    /// The client gets them.
    Show,
    /// None gets out.
    Silent,
    /// They get out or not.
    Either,
}

/// A body for whose end a filter waits.
#[derive(Clone, Copy, PartialEq)]
enum Body {
    /// That of the request: the service sees nothing.
    Request,
    /// That of the response: the service has answered.
    Response,
}

impl Row {
    fn new(name: &'static str, kind: &'static str, fields: Value, outcome: Outcome) -> Self {
        Self { name, told: ["", ""], kind, fields, of_route: None, outcome }
    }

    /// Sets the words of the page about either side.
    fn told(mut self, before: &'static str, behind: &'static str) -> Self {
        self.told = [before, behind];
        self
    }

    fn of_route(mut self, kind: &'static str, fields: Value) -> Self {
        self.of_route = Some((kind, fields));
        self
    }
}

/// Every filter, with what becomes of WebSockets beside it.
fn rows() -> Vec<Row> {
    use Outcome::{Holds, Passes, Refuses, Waits};
    let may_get_lost = "a Close to the client may get lost";
    let by_no_timer = "no frame of Postern's by a timer";
    vec![
        Row::new(
            "jwt_authn",
            "jwt_authn.v3.JwtAuthentication",
            jwt_authn(true),
            Refuses(403, "jwt_authn_access_denied"),
        )
        .told("with forward: true", "with auth.keep_token: true in the policy"),
        Row::new("ext_authz", "ext_authz.v3.ExtAuthz", ext_authz(), Refuses(403, "ext_authz_denied"))
            .told("is asked about every handshake", "is asked about those that Postern lets pass"),
        processor("ext_proc headers", json!({}), Refuses(403, "processor")),
        processor(STREAMED, json!({"request_body_mode": "STREAMED"}), Refuses(403, "processor"))
            .told("sees messages before they are judged", "sees messages that have passed"),
        processor(STREAMED_RESPONSES, json!({"response_body_mode": "STREAMED"}), Waits)
            .told(may_get_lost, by_no_timer),
        processor(DUPLEX, duplex(), Waits).told(may_get_lost, by_no_timer),
        holder("BUFFERED", Body::Request),
        holder("BUFFERED", Body::Response),
        holder("BUFFERED_PARTIAL", Body::Request),
        holder("BUFFERED_PARTIAL", Body::Response),
        Row::new(
            "lua",
            "lua.v3.Lua",
            json!({"default_source_code": {"inline_string": LUA}}),
            Refuses(403, "lua_response"),
        )
        .told("with headers and bodyChunks()", "with headers and bodyChunks()"),
        Row::new("rbac", "rbac.v3.RBAC", rbac(), Refuses(403, "rbac_access_denied")),
        Row::new("cors", "cors.v3.Cors", json!({}), Passes)
            .of_route("cors.v3.CorsPolicy", cors())
            .told("refuses no WebSocket", "refuses no WebSocket"),
        Row::new("compressor", "compressor.v3.Compressor", compressor(), Passes)
            .told("leaves WebSockets alone", "leaves WebSockets alone"),
        Row::new("buffer", "buffer.v3.Buffer", json!({"max_request_bytes": 1 << 20}), Holds(Body::Request)),
    ]
}

/// The rows of an `ext_proc` that is sent bodies as they come.
const STREAMED: &str = "ext_proc STREAMED requests";
const STREAMED_RESPONSES: &str = "ext_proc STREAMED responses";
const DUPLEX: &str = "ext_proc FULL_DUPLEX_STREAMED";

const LUA: &str = r#"
function envoy_on_request(request)
  if string.sub(request:headers():get(":path"), -4) == "/bad" then
    request:respond({[":status"] = "403"}, "")
  end
end
function envoy_on_response(response)
  for chunk in response:bodyChunks() do end
end
"#;

/// Returns a `jwt_authn` that leaves the token in the request, or not.
fn jwt_authn(forward: bool) -> Value {
    let key = json!({"kty": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(EDGE_SECRET)});
    let provider = json!({
        "issuer": "edge", "audiences": [SECOND_AUDIENCE], "forward": forward,
        "local_jwks": {"inline_string": json!({"keys": [key]}).to_string()},
    });
    json!({
        "providers": {"edge": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "edge"}}],
    })
}

fn ext_authz() -> Value {
    json!({"http_service": {
        "server_uri": {"uri": "http://authz", "cluster": "authz", "timeout": "5s"}, "path_prefix": "/authz",
    }, "allowed_headers": {"patterns": [{"exact": CASE}]}})
}

fn processor(name: &'static str, modes: Value, outcome: Outcome) -> Row {
    let fields = json!({
        "grpc_service": {"envoy_grpc": {"cluster_name": "processor"}, "timeout": "5s"},
        "message_timeout": "5s", "processing_mode": modes,
    });
    Row::new(name, "ext_proc.v3.ExternalProcessor", fields, outcome)
}

/// Returns an `ext_proc` that buffers one body in this mode.
fn holder(mode: &str, body: Body) -> Row {
    let (name, key) = match (mode, body) {
        ("BUFFERED", Body::Request) => ("ext_proc BUFFERED requests", "request_body_mode"),
        ("BUFFERED", Body::Response) => ("ext_proc BUFFERED responses", "response_body_mode"),
        (_, Body::Request) => ("ext_proc BUFFERED_PARTIAL requests", "request_body_mode"),
        (_, Body::Response) => ("ext_proc BUFFERED_PARTIAL responses", "response_body_mode"),
    };
    processor(name, json!({ key: mode }), Outcome::Holds(body))
}

/// Returns the modes in which the bodies of both directions go to the service and come from it, with the trailers that this
/// demands.
fn duplex() -> Value {
    let mode = "FULL_DUPLEX_STREAMED";
    json!({
        "request_body_mode": mode, "response_body_mode": mode,
        "request_trailer_mode": "SEND", "response_trailer_mode": "SEND",
    })
}

fn rbac() -> Value {
    let bad = json!({"url_path": {"path": {"suffix": REFUSED}}});
    json!({"rules": {"action": "DENY", "policies": {"bad": {"permissions": [bad], "principals": [{"any": true}]}}}})
}

fn cors() -> Value {
    json!({"allow_origin_string_match": [{"exact": GOOD}], "allow_methods": "GET"})
}

fn compressor() -> Value {
    let gzip = "type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip";
    json!({"compressor_library": {"name": "gzip", "typed_config": {"@type": gzip}}})
}

/// Local and global rate limits, of two requests each.
fn limits() -> Vec<Row> {
    let local = json!({
        "stat_prefix": "beside",
        "token_bucket": {"max_tokens": 2, "tokens_per_fill": 2, "fill_interval": "3600s"},
        "filter_enabled": {"default_value": {"numerator": 100, "denominator": "HUNDRED"}},
        "filter_enforced": {"default_value": {"numerator": 100, "denominator": "HUNDRED"}},
    });
    let global = json!({
        // By default it waits 20 ms, which is less than a first call on a busy machine takes.
        "domain": "beside", "failure_mode_deny": true, "timeout": "5s",
        "rate_limit_service": {
            "transport_api_version": "V3", "grpc_service": {"envoy_grpc": {"cluster_name": "limits"}},
        },
    });
    let passes = Outcome::Passes;
    vec![
        Row::new("local_ratelimit", "local_ratelimit.v3.LocalRateLimit", local, passes),
        Row::new("ratelimit", "ratelimit.v3.RateLimit", global, passes),
    ]
    .into_iter()
    .map(|row| row.told("counts what Postern refuses too", "counts what Postern lets pass"))
    .collect()
}

/// A filter that takes the token out of the request, and finds none where Postern has done so.
fn taker() -> Row {
    Row::new("jwt_authn_takes", "jwt_authn.v3.JwtAuthentication", jwt_authn(false), Outcome::Passes)
}

fn any(kind: &str, fields: &Value) -> Value {
    let mut any = fields.clone();
    any["@type"] = json!(format!("type.googleapis.com/{kind}"));
    any
}

fn filter_of(row: &Row, side: &str) -> Value {
    let kind = format!("envoy.extensions.filters.http.{}", row.kind);
    json!({"name": format!("{}.{side}", row.name), "disabled": true, "typed_config": any(&kind, &row.fields)})
}

/// Returns the route on which a filter is enabled.
fn route_of(row: &Row, side: &str) -> Value {
    let config = match &row.of_route {
        Some((kind, fields)) => any(&format!("envoy.extensions.filters.http.{kind}"), fields),
        None => any("envoy.config.route.v3.FilterConfig", &json!({"config": {}})),
    };
    let counted = json!({"generic_key": {"descriptor_key": "count", "descriptor_value": side}});
    json!({
        "match": {"prefix": path(row, side)}, "typed_per_filter_config": {format!("{}.{side}", row.name): config},
        "route": {"cluster": "service", "timeout": "0s", "rate_limits": [{"actions": [counted]}]},
    })
}

/// Returns the route on which no filter is enabled but Postern.
fn route_without(row: &Row, side: &str) -> Value {
    let prefix = format!("{}{WITHOUT}", path(row, side));
    json!({"match": {"prefix": prefix}, "route": {"cluster": "service", "timeout": "0s"}})
}

fn path(row: &Row, side: &str) -> String {
    format!("/{}/{side}", row.name.replace(' ', "_"))
}

/// The scene, and the services of the filters beside Postern.
struct Beside {
    scene: RunningScene,
    /// The major and the minor number of Envoy's version.
    version: (u32, u32),
    authz: Upstream,
    processor: Processor,
    _limits: RateLimits,
}

impl Shareable for Beside {
    async fn start(scene: fn() -> Scene) -> Self {
        let refused = SIDES.map(|side| {
            (format!("/authz/ext_authz/{side}{REFUSED}"), Behaviour::Answer(Answer::status(403, "")))
        });
        let (authz, processor, limits) =
            (Upstream::start(refused.to_vec()).await, Processor::start().await, RateLimits::start().await);
        for side in SIDES {
            limits.limit(side, 2);
        }
        let scene = scene()
            .cluster("authz", authz.address())
            .cluster_http2("processor", processor.address())
            .cluster_http2("limits", limits.address())
            .start()
            .await;
        let version = scene.envoy().version().await;
        Self { scene, version, authz, processor, _limits: limits }
    }

    fn scenes(&self) -> Vec<&RunningScene> {
        vec![&self.scene]
    }
}

static BESIDE: Shared<Beside> = Shared::new(|| {
    let origins = json!({"allow": [GOOD], "missing": "deny"});
    // Pings that come between messages are not answered, and the machine may be busy.
    let liveness = json!({"ping_interval": "500ms", "pong_timeout": "60s"});
    let sizes = json!({"max_frame_bytes": LONGEST, "max_message_bytes": LONGEST});
    let plain = json!({"tls": "optional", "origins": origins, "auth": "none", "messages": sizes, "liveness": liveness});
    let mut idle = plain.clone();
    idle["liveness"] = json!({"ping_interval": "500ms", "idle_timeout": "1s", "close_timeout": "500ms"});
    let mut open = plain.clone();
    open["origins"] = json!({"allow": ["*"]});
    let mut token = plain.clone();
    token["auth"] = json!({"providers": ["edge"], "from": [{"header": "authorization"}]});
    let mut kept = token.clone();
    kept["auth"]["keep_token"] = json!(true);
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    Scene::new()
        .plaintext()
        .document(json!({
            "providers": {"edge": edge},
            "policies": {"idle": idle, "plain": plain, "open": open, "token": token, "kept": kept},
            "routes": [
                {"match": {"path_prefix": format!("/cors/before{OPEN}")}, "policy": "open"},
                {"match": {"path_prefix": format!("/cors/behind{OPEN}")}, "policy": "open"},
                {"match": {"path_prefix": "/ext_proc_FULL_DUPLEX_STREAMED/behind/idle"}, "policy": "idle"},
                {"match": {"path_prefix": "/jwt_authn_takes"}, "policy": "token"},
                {"match": {"path_prefix": "/jwt_authn"}, "policy": "kept"},
            ],
            "default_policy": "plain",
        }))
        .change_connection_manager(|manager| {
            let rows: Vec<Row> = rows().into_iter().chain(limits()).chain([taker()]).collect();
            let sides = rows.iter().flat_map(|row| SIDES.map(|side| (row, side)));
            let routes = sides.flat_map(|(row, side)| [route_without(row, side), route_of(row, side)]);
            manager["route_config"]["virtual_hosts"][0]["routes"] = routes.collect();
            let log = &mut manager["access_log"][0]["typed_config"]["log_format"]["json_format"];
            log["details"] = json!("%RESPONSE_CODE_DETAILS%");
            let filters = manager["http_filters"].as_array_mut().expect("filters");
            let router = filters.pop().expect("a router");
            filters.splice(0..0, rows.iter().map(|row| filter_of(row, "before")));
            filters.extend(rows.iter().map(|row| filter_of(row, "behind")));
            filters.push(router);
        })
});

/// Returns a handshake that Postern and the filter let pass.
fn good(row: &Row, side: &str) -> Request {
    let request = Request::upgrade(&path(row, side)).header("Origin", GOOD);
    let mut claims = edge_claims("alice");
    claims["aud"] = json!(["chat", SECOND_AUDIENCE]);
    with_token(row, request.header("Accept-Encoding", "gzip"), &claims)
}

/// Returns a handshake that the filter refuses, and Postern lets pass.
fn bad(row: &Row, side: &str) -> Request {
    let request = Request::upgrade(&format!("{}{REFUSED}", path(row, side))).header("Origin", GOOD);
    with_token(row, request, &edge_claims("alice"))
}

fn with_token(row: &Row, request: Request, claims: &Value) -> Request {
    if !row.name.starts_with("jwt_authn") {
        return request;
    }
    request.header("Authorization", format!("Bearer {}", Signer::edge().mint(claims)))
}

#[test]
fn the_page_says_of_each_filter_what_is_seen_here() {
    let page = std::fs::read_to_string(workspace().join("docs/beside-other-filters.md")).expect("the page");
    let table = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let cell = |cell: &str| cell.replace(['`', ','], "").trim().to_owned();
    let told: Vec<Vec<String>> =
        table.map(|line| line.trim_end_matches('|').split('|').map(cell).collect()).collect();
    let seen = rows().into_iter().chain(limits()).map(|row| {
        let outcome = match row.outcome {
            Outcome::Passes | Outcome::Refuses(..) => "work",
            Outcome::Waits => "work but for timers",
            Outcome::Holds(_) => "nothing passes",
        };
        [row.name, outcome, row.told[0], row.told[1]].map(str::to_owned).to_vec()
    });
    assert_eq!(told, seen.collect::<Vec<_>>());
}

#[tokio::test]
async fn beside_other_filters_postern_judges_and_what_they_refuse_is_refused_in_either_order() {
    let beside = BESIDE.shared().await;
    let rows = rows();
    let judged = rows.iter().flat_map(|row| SIDES.map(|side| judge(&beside, row, side)));
    join_all(judged).await;
}

async fn judge(beside: &Beside, row: &Row, side: &str) {
    let (scene, name) = (&beside.scene, format!("{} {side}", row.name));
    if let Some(body) = beside.holds(row, side) {
        assert_held(beside, row, side, body).await;
        return;
    }
    let conversed = converse(beside, row, side).await;
    let evil = good(row, side).set("Origin", EVIL);
    let response = scene.ask(&evil).await;
    assert_eq!(refusal(&response), (403, Some("origin_denied".to_owned())), "{name}: an evil Origin");
    assert!(!scene.upstream().has_seen(evil.case()), "{name}: the service has seen an evil Origin");
    let refuses = match row.outcome {
        Outcome::Refuses(status, details) => Some((status, details)),
        Outcome::Waits => Some((403, "processor")),
        Outcome::Passes | Outcome::Holds(_) => None,
    };
    if let Some((status, details)) = refuses {
        let bad = bad(row, side);
        let response = scene.ask(&bad).await;
        assert_eq!(refusal(&response), (status, None), "{name}: {}", response.text());
        let line = scene.access_line(bad.case()).await;
        assert!(line["details"].as_str().is_some_and(|found| found.contains(details)), "{name}: {line}");
        assert!(!scene.upstream().has_seen(bad.case()), "{name}: the service has seen what is refused");
    }
    let is_before = side == "before";
    match row.name {
        "ext_authz" => {
            let asked = [&conversed, evil.case()].map(|case| beside.authz.has_seen(case));
            assert_eq!(asked, [true, is_before], "{name}: asked about a good handshake and an evil one");
        }
        STREAMED => {
            let exchange = beside.processor.exchange(&conversed).expect("what the processor was sent");
            let (frames, rest) = Frame::parse_all(&exchange.request_body);
            let shape: Vec<_> = frames.iter().map(|frame| (frame.opcode, frame.payload.len())).collect();
            // Envoy 1.37 and 1.38 send it nothing at all behind the headers.
            let is_sent = is_before && !matches!(beside.version, (1, 37 | 38));
            assert_eq!(
                has_too_long(&exchange),
                is_sent,
                "{name}: of a message that Postern refuses it was sent {shape:?} and {} bytes",
                rest.len()
            );
        }
        "cors" => {
            let open = Request::upgrade(&format!("{}{OPEN}", path(row, side))).header("Origin", EVIL);
            assert_eq!(
                refusal(&scene.ask(&open).await),
                (101, None),
                "{name}: an Origin that it does not allow"
            );
        }
        _ => {}
    }
}

fn refusal(response: &Response) -> (u16, Option<String>) {
    (response.status, response.reason())
}

/// Says whether the processor has been sent the header of the message that is too long.
fn has_too_long(exchange: &Exchange) -> bool {
    let (frames, rest) = Frame::parse_all(&exchange.request_body);
    let longest = frames.iter().map(|frame| frame.payload.len()).max().unwrap_or_default();
    // Its header, of a frame with a length of eight bytes, comes before the rest of it.
    let begins = [&[0x82, 0xff][..], &(LONGEST as u64 + 1).to_be_bytes()].concat();
    longest > LONGEST || rest.starts_with(&begins)
}

/// Expects no answer to a handshake, on a connection that stays open, though everybody who is to see it has: the service of
/// the filter, and the service behind Envoy if the filter lets the request pass.
async fn assert_held(beside: &Beside, row: &Row, side: &str, body: Body) {
    let (scene, name) = (&beside.scene, format!("{} {side}", row.name));
    let without = Request::upgrade(&format!("{}{WITHOUT}", path(row, side))).header("Origin", GOOD);
    let mut client = scene.open_with(&without).await;
    echo(&mut client, &Frame::text("echo"), &format!("{name}: without the filter")).await;

    let request = good(row, side);
    let mut client = scene.connect().await;
    client.send(request.bytes()).await;
    if row.name.starts_with("ext_proc") {
        let has_all = |exchange: &Exchange| exchange.has_response_headers == (body == Body::Response);
        let look = || beside.processor.exchange(request.case()).filter(has_all);
        eventually(PATIENCE, &format!("{name}: what the processor is sent"), look).await;
    }
    let answered = tokio::time::timeout(HELD, client.try_response()).await;
    assert!(answered.is_err(), "{name}: {answered:?}");
    let has_seen = scene.upstream().has_seen(request.case());
    assert_eq!(has_seen, body == Body::Response, "{name}: the service has seen the handshake");
}

/// Sends messages both ways, answers a Ping of Postern's, and sends one message that is too long. Returns the case id.
async fn converse(beside: &Beside, row: &Row, side: &str) -> String {
    let (scene, name) = (&beside.scene, format!("{} {side}", row.name));
    let mut client = scene.connect().await;
    let opened = tokio::time::timeout(PATIENCE, client.ask(&good(row, side))).await;
    let opened = opened.unwrap_or_else(|_| panic!("{name}: no answer for {PATIENCE:?}"));
    assert_eq!(refusal(&opened), (101, None), "{name}");
    client.show_heartbeats();
    let long: Vec<u8> = (0..LONGEST).map(|i| i.to_le_bytes()[0]).collect();
    echo(&mut client, &Frame::text("first"), &format!("{name}: the first message")).await;
    match beside.timers(row, side) {
        Timers::Show => {
            let ping = next(&mut client, &format!("{name}: a Ping")).await;
            assert!(ping.is_heartbeat(), "{name}: {ping:?}");
            client.send(Frame::pong(ping.payload).masked().bytes()).await;
        }
        Timers::Silent => assert!(client.receives_nothing_for(HELD).await, "{name}: a frame by a timer"),
        Timers::Either => {}
    }
    echo(&mut client, &Frame::binary(long.clone()), &format!("{name}: a long message")).await;
    client.send(Frame::binary([&long[..], b"!"].concat()).masked().bytes()).await;
    let (frames, end) = client.frames_to_close().await;
    let told = frames.last().filter(|frame| frame.is_close()).and_then(Frame::code);
    let is_lost = matches!(row.outcome, Outcome::Waits) && told.is_none();
    assert!(told == Some(1009) || is_lost, "{name}: {frames:?} {end:?}");
    let record = scene.record(&client).await;
    assert_eq!(record.close().await.code(), Some(1009), "{name}: the service");
    assert_eq!(record.messages(), [b"first".to_vec(), long], "{name}");
    client.case().to_owned()
}

impl Beside {
    /// Returns the body for whose end the filter waits, if it does.
    fn holds(&self, row: &Row, side: &str) -> Option<Body> {
        match (row.outcome, row.name) {
            (Outcome::Holds(body), _) => Some(body),
            // Envoy 1.39 waits for more of a stream than its headers here.
            (_, STREAMED) if self.version == (1, 39) => Some(Body::Request),
            (_, STREAMED_RESPONSES) if self.version == (1, 39) && side == "behind" => Some(Body::Response),
            // Only the dynamic module lets the first chunk go on, of which nothing is to be judged.
            (_, DUPLEX) if self.version == (1, 39) && side == "behind" && !module::is_native() => {
                Some(Body::Request)
            }
            _ => None,
        }
    }

    /// Returns what becomes of the frames that Postern sends by a timer.
    fn timers(&self, row: &Row, side: &str) -> Timers {
        match row.outcome {
            Outcome::Waits if self.is_early() => Timers::Either,
            Outcome::Waits if side == "behind" => Timers::Silent,
            _ => Timers::Show,
        }
    }

    /// Says whether this is an Envoy beside whose `ext_proc` such a frame gets out at one time, and at another does not.
    fn is_early(&self) -> bool {
        self.version < (1, 40)
    }
}

/// Reads the next frame.
async fn next(client: &mut RawClient, name: &str) -> Frame {
    let frame = tokio::time::timeout(PATIENCE, client.frame_within(2 * PATIENCE)).await;
    let frame = frame.unwrap_or_else(|_| panic!("{name}: no frame for {PATIENCE:?}"));
    frame.unwrap_or_else(|end| panic!("{name}: {end:?} and no frame"))
}

/// Sends a message, and expects it back, whatever Pings are between.
async fn echo(client: &mut RawClient, message: &Frame, name: &str) {
    client.send(message.clone().masked().bytes()).await;
    loop {
        let frame = next(client, name).await;
        if frame.opcode != opcode::PING {
            assert_eq!(&frame, message, "{name}");
            return;
        }
    }
}

#[tokio::test]
async fn a_rate_limit_before_postern_counts_what_postern_refuses_and_one_behind_it_does_not() {
    let beside = BESIDE.shared().await;
    let scene = &beside.scene;
    for row in limits() {
        for side in SIDES {
            let evil = scene.ask(&good(&row, side).set("Origin", EVIL)).await;
            assert_eq!(refusal(&evil), (403, Some("origin_denied".to_owned())), "{} {side}", row.name);
            converse(&beside, &row, side).await;
            let mut statuses = Vec::new();
            for _ in 0..2 {
                statuses.push(scene.ask(&good(&row, side)).await.status);
            }
            let expected = if side == "before" { [429, 429] } else { [101, 429] };
            assert_eq!(statuses, expected, "{} {side}", row.name);
        }
    }
}

#[tokio::test]
async fn of_two_filters_that_look_for_a_token_in_one_place_the_first_leaves_the_second_without() {
    let beside = BESIDE.shared().await;
    let row = taker();
    for (side, reason) in [("before", Some("token_missing".to_owned())), ("behind", None)] {
        let request = good(&row, side);
        let response = beside.scene.ask(&request).await;
        assert_eq!(refusal(&response), (401, reason), "{side}: {}", response.text());
        assert!(!beside.scene.upstream().has_seen(request.case()), "{side}");
    }
}

#[tokio::test]
async fn an_idle_client_is_cut_without_a_word_where_answers_wait_for_ext_proc_behind_postern() {
    let beside = BESIDE.shared().await;
    let request = Request::upgrade("/ext_proc_FULL_DUPLEX_STREAMED/behind/idle").header("Origin", GOOD);
    if beside.version == (1, 39) {
        // It lets nothing pass there.
        return;
    }
    let mut client = beside.scene.open_with(&request).await;
    let told = client.frames_to_close().await;
    let may_be_told = beside.is_early() && told == (vec![Frame::closing(3008, "idle_timeout")], None);
    assert!(may_be_told || told == (Vec::new(), Some(End::Eof)), "{told:?}");
    let line = beside.scene.access_line(request.case()).await;
    assert_eq!(line["reason"], "idle_timeout", "{line}");
}
