//! The cost in Envoy's CPU of a handshake that is refused: for its token, whatever is wrong with that, or without one,
//! whatever else it carries.

use postern_e2e::client::token::{edge_claims, tampered};
use postern_e2e::{Request, Scene, Signer, Value, json};

use crate::figures::{ascending, at};
use crate::{BenchError, Envoy, echo};

/// The milliseconds that a refused handshake may cost.
const TARGET: f64 = 4.0;

/// The handshakes of one measurement, each of another address, so that none is refused for those before it.
const HANDSHAKES: usize = 20;

/// The number of measurements before they count.
const WARM_UP: usize = 2;

/// The number of a provider's keys that a token without `kid` may be of.
const KEYS: usize = 8;

/// The greatest length of a token, in bytes.
const LONGEST: usize = 8 * 1024;

const ISSUER: &str = "https://auth.example.com/";

/// The most that a request has in one field, in bytes: Envoy takes 60 KiB of all.
const LONGEST_FIELD: usize = 54_000;

/// The policy that takes tokens from everywhere.
const EVERYWHERE: &str = "everywhere";

/// A handshake that is refused.
struct Row {
    name: String,
    request: Request,
}

impl Row {
    /// Returns a handshake that is refused for its token, by the keys of a provider.
    fn of_token(name: String, provider: &str, token: &str) -> Self {
        let request = Request::upgrade(&format!("/ws/{provider}"));
        Self { name, request: request.header("Authorization", format!("Bearer {token}")) }
    }
}

/// Sends every token, and prints what a handshake with it costs.
pub(crate) async fn run(rounds: usize) -> Result<(), BenchError> {
    let families = families();
    let mut rows: Vec<Row> = families.iter().flat_map(signatures).collect();
    rows.extend(shapes(&families));
    rows.extend(without_token());
    let scene = Scene::new().service(echo::start()?).plaintext().document(document(&families));
    let envoy = Envoy::start(scene).await?;
    println!(
        "microseconds of Envoy's CPU for a handshake that is refused, connection included; medians of {rounds} rounds \
         of {HANDSHAKES}"
    );
    let mut figures = rows.iter().map(|_| Vec::new()).collect::<Vec<_>>();
    let mut client = 0;
    for round in 0..WARM_UP + rounds {
        for (row, figures) in rows.iter().zip(&mut figures) {
            let cost = measure(&envoy, row, &mut client).await?;
            if round >= WARM_UP {
                figures.push(cost);
            }
        }
    }
    let mut worst = 0.0_f64;
    for (row, figures) in rows.iter().zip(figures) {
        let sorted = ascending(figures);
        let median = at(&sorted, 0.5);
        worst = worst.max(median / 1e3);
        println!("{:<44}{median:>9.1}  {:.1}-{:.1}", row.name, at(&sorted, 0.25), at(&sorted, 0.75));
    }
    println!("the worst: {worst:.2} ms, target {TARGET}: {}", if worst <= TARGET { "met" } else { "MISSED" });
    Ok(())
}

async fn measure(envoy: &Envoy, row: &Row, client: &mut u32) -> Result<f64, BenchError> {
    let before = envoy.cpu.settled().await?;
    for _ in 0..HANDSHAKES {
        *client += 1;
        let [_, high, middle, low] = client.to_be_bytes();
        let status =
            envoy.scene.connect_from([127, 1 + high, middle, low]).await.ask(&row.request).await.status;
        if !matches!(status, 400 | 401 | 403) {
            return Err(BenchError::Refused(status));
        }
    }
    let after = envoy.cpu.settled().await?;
    Ok(after.saturating_sub(before).as_secs_f64() * 1e6 / HANDSHAKES as f64)
}

/// A provider of keys that all fit one algorithm.
struct Family {
    name: &'static str,
    signer: Signer,
}

fn families() -> Vec<Family> {
    let rsa = Signer::rs256("named");
    let large = Signer::rs256_of(4096, "named");
    let of = |signer: &Signer, algorithm: &str| {
        algorithm
            .parse()
            .map_or_else(|_| signer.clone(), |algorithm| signer.clone().with_algorithm(algorithm))
    };
    vec![
        Family { name: "RS256-2048", signer: rsa.clone() },
        Family { name: "RS512-4096", signer: of(&large, "RS512") },
        Family { name: "PS256-2048", signer: of(&rsa, "PS256") },
        Family { name: "PS512-4096", signer: of(&large, "PS512") },
        Family { name: "ES256", signer: Signer::es256("named") },
        Family { name: "ES384", signer: Signer::es384("named") },
        Family { name: "EdDSA", signer: Signer::eddsa("named") },
    ]
}

/// Returns tokens with one bit of the signature changed, of a token that names its key and of one that does
/// not.
fn signatures(family: &Family) -> Vec<Row> {
    let claims = json!({"iss": ISSUER, "aud": "chat", "sub": "alice", "exp": 4_000_000_000_u64});
    let named = tampered::signature(&family.signer.mint(&claims));
    let nameless = tampered::signature(&family.signer.clone().without_kid().mint(&claims));
    let long = json!({"iss": ISSUER, "aud": "chat", "exp": 4_000_000_000_u64, "long": "x".repeat(4500)});
    let long = tampered::signature(&family.signer.clone().without_kid().mint(&long));
    let row = |what: &str, token: &str| Row::of_token(format!("{}, {what}", family.name), family.name, token);
    vec![
        row("a key by name", &named),
        row(&format!("no name, {KEYS} keys"), &nameless),
        row(&format!("no name, {KEYS} keys, a long token"), &long),
    ]
}

/// Returns tokens that fail for another reason than their signature, or carry all that they may.
fn shapes(families: &[Family]) -> Vec<Row> {
    let provider = families.first().map_or("", |family| family.name).to_owned();
    let Some(signer) = families.first().map(|family| &family.signer) else { return Vec::new() };
    let most = LONGEST / 4 * 3 - 600;
    let members = |member: &dyn Fn(usize) -> String| {
        let mut text = format!("{{\"iss\":\"{ISSUER}\"");
        for number in 0.. {
            let member = member(number);
            if text.len() + member.len() > most {
                break;
            }
            text.push(',');
            text.push_str(&member);
        }
        text + "}"
    };
    let with_nested = |inner: String| format!("{{\"iss\":\"{ISSUER}\",\"a\":{inner}}}");
    let texts = [
        ("many members", members(&|number| format!("\"{number}\":0"))),
        ("many empty objects", with_nested(format!("[{}{{}}]", "{},".repeat(most / 3 - 40)))),
        ("many numbers", with_nested(format!("[{}0]", "1e9,".repeat(most / 4 - 40)))),
        ("escapes", with_nested(format!("\"{}\"", "\\u0061".repeat(most / 6 - 20)))),
        (
            "nested",
            with_nested(format!("[{}0]", format!("{}{},", "[".repeat(28), "]".repeat(28)).repeat(most / 60))),
        ),
    ];
    let good = signer.mint(&json!({"iss": ISSUER, "aud": "chat", "exp": 4_000_000_000_u64}));
    let [header, payload, _] = tampered::parts(&good);
    let mut rows: Vec<Row> = texts
        .into_iter()
        .map(|(name, text)| {
            let token = tampered::signature(&signer.sign_text(&text));
            Row::of_token(format!("RS256-2048, {name}"), &provider, &token)
        })
        .collect();
    let odd = [
        ("no base64 at its end", format!("{header}.{payload}.{}!", "A".repeat(LONGEST - 600))),
        ("a long signature", format!("{header}.{payload}.{}", "A".repeat(LONGEST - 600))),
        ("dots", ".".repeat(LONGEST - 100)),
        ("an unknown issuer", Signer::edge().mint(&edge_claims(&"x".repeat(4000)))),
        ("HS256", Signer::edge().mint(&json!({"iss": ISSUER, "aud": "chat", "exp": 4_000_000_000_u64}))),
    ];
    rows.extend(odd.into_iter().map(|(name, token)| Row::of_token(name.to_owned(), &provider, &token)));
    rows
}

/// Returns requests as long as they may be, in which there is no token anywhere it may be.
fn without_token() -> Vec<Row> {
    let path = format!("/ws/{EVERYWHERE}");
    let many = |piece: &str| piece.repeat(LONGEST_FIELD / piece.len());
    let query = |piece: &str| Request::upgrade(&format!("{path}?{}", many(piece)));
    let field = |name: &str, piece: &str| Request::upgrade(&path).header(name, many(piece));
    let distinct: Vec<_> = (0..LONGEST_FIELD / 6).map(|number| format!("{number:04x}")).collect();
    let rows = [
        ("a query of separators", query("&")),
        ("a query of parameters", query("a=1&")),
        ("a query of escapes", query("%61")),
        ("cookies", field("Cookie", "a=1;")),
        ("cookies without names", field("Cookie", ";")),
        ("offers, all the same", field("Sec-WebSocket-Protocol", "a,")),
        ("offers", Request::upgrade(&path).header("Sec-WebSocket-Protocol", distinct.join(", "))),
        ("extensions", field("Sec-WebSocket-Extensions", "permessage-deflate,")),
        ("credentials of other schemes", field("Authorization", "Basic a,")),
        ("protocols in Upgrade", field("Upgrade", "websocket,")),
    ];
    rows.map(|(name, request)| Row { name: name.to_owned(), request }).into()
}

/// Returns a document of one provider, policy and route for each family.
fn document(families: &[Family]) -> Value {
    let provider = |Family { signer, .. }: &Family| {
        let mut keys = vec![signer.jwk()];
        keys.extend((1..KEYS).map(|_| signer.clone().without_kid().jwk()));
        let algorithms: Vec<_> = keys.iter().take(1).filter_map(|key| key.get("alg")).cloned().collect();
        json!({"issuer": ISSUER, "audiences": ["chat"], "algorithms": algorithms, "jwks": {"inline": {"keys": keys}}})
    };
    let policy = |name: &str| {
        json!({
            "tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "rates": [],
            "auth": {"providers": [name], "from": [{"header": "authorization"}]},
        })
    };
    let of = |value: &dyn Fn(&Family) -> Value| -> serde_json::Map<String, Value> {
        families.iter().map(|family| (family.name.to_owned(), value(family))).collect()
    };
    let route = |name: &str| json!({"match": {"path_prefix": format!("/ws/{name}")}, "policy": name});
    let mut policies = of(&|family| policy(family.name));
    let mut everywhere = policy(families.first().map_or("", |family| family.name));
    if let Some(auth) = everywhere.get_mut("auth") {
        auth["from"] = json!([
            {"header": "authorization"}, {"query": "token"}, {"cookie": "token"}, {"subprotocol": "bearer."},
            {"subprotocol_pair": "token"},
        ]);
    }
    policies.insert(EVERYWHERE.to_owned(), everywhere);
    let names = families.iter().map(|family| family.name).chain([EVERYWHERE]);
    json!({
        "providers": of(&provider), "policies": policies, "routes": names.map(route).collect::<Vec<_>>(),
    })
}
