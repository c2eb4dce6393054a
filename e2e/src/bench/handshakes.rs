//! The cost of a handshake with an RS256 token for Envoy, under Postern and under Envoy's own filter for such tokens.
//!
//! Every token is new to the Envoy that sees it, so that nobody's cache helps, but in one row where all are
//! known: that row lacks the cost of verifying a signature. A second Postern may not ask its Envoy to verify,
//! by Envoy's own means (`capability_restriction_config`), so that the very same module verifies by itself.

use std::net::SocketAddr;
use std::path::Path;

use postern_e2e::client::token::{jwks, now};
use postern_e2e::{Request, Scene, Signer, Value, json};

use crate::figures::{ascending, at};
use crate::{BenchError, Envoy, Listener};

/// The number of handshakes of one measurement.
const HANDSHAKES: usize = 40;
/// The number of measurements before they count, since code is compiled for speed only once it has run for a
/// while.
const WARM_UP: usize = 10;
/// The bound on the cost of a handshake, in times the CPU of an Envoy with jwt_authn.
const TARGET: f64 = 1.25;
/// The same bound for the dynamic module, and that of a handshake without a token, in times the CPU of an Envoy without Postern.
const NATIVE_TARGET: f64 = 1.0;
const NATIVE_WITHOUT_TARGET: f64 = 1.12;
/// The factor by which verification by the host must be cheaper.
const VERIFICATION_TARGET: f64 = 20.0;

const ISSUER: &str = "https://auth.example.com/";
const PATH: &str = "/ws/chat";

/// The filter that looks at the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judge {
    Nobody,
    JwtAuthn,
    Postern,
    PosternAlone,
    Native,
    NativeWithoutTokens,
}

/// One line of the report.
struct Row {
    name: &'static str,
    judge: Judge,
    /// True if the token has been seen before.
    known: bool,
}

const ROWS: [Row; 9] = [
    Row { name: "no token looked at", judge: Judge::Nobody, known: false },
    Row { name: "jwt_authn", judge: Judge::JwtAuthn, known: false },
    Row { name: "Postern", judge: Judge::Postern, known: false },
    Row { name: "Postern, a known token", judge: Judge::Postern, known: true },
    Row { name: "Postern, verifying itself", judge: Judge::PosternAlone, known: false },
    Row { name: "the same, a known token", judge: Judge::PosternAlone, known: true },
    Row { name: "native", judge: Judge::Native, known: false },
    Row { name: "native, a known token", judge: Judge::Native, known: true },
    Row { name: "native, no token looked at", judge: Judge::NativeWithoutTokens, known: false },
];

impl Judge {
    /// Returns those that there are without and with a dynamic module.
    fn all(has_native: bool) -> &'static [Self] {
        const ALL: [Judge; 6] = [
            Judge::Nobody,
            Judge::JwtAuthn,
            Judge::Postern,
            Judge::PosternAlone,
            Judge::Native,
            Judge::NativeWithoutTokens,
        ];
        if has_native { &ALL } else { ALL.split_at(4).0 }
    }

    fn scene(self, scene: Scene, keys: &Value, native: &Path) -> Scene {
        match self {
            Self::Nobody => scene.bare(),
            Self::JwtAuthn => {
                let filter = jwt_authn(keys);
                scene.bare().change_connection_manager(move |manager| {
                    let filters = manager["http_filters"].as_array_mut();
                    filters.into_iter().for_each(|filters| filters.insert(0, filter.clone()));
                })
            }
            Self::Postern => scene.document(document(keys)),
            Self::PosternAlone => scene.document(document(keys)).forbid("proxy_call_foreign_function"),
            Self::Native => scene.document(document(keys)).dynamic_module(native).without_sender(),
            Self::NativeWithoutTokens => {
                let mut document = document(keys);
                document["policies"]["chat"]["auth"] = json!("none");
                scene.document(document).dynamic_module(native).without_sender()
            }
        }
    }
}

/// Returns the filter jwt_authn, which takes the token from the Authorization header, and out of it, as
/// Postern does.
fn jwt_authn(keys: &Value) -> Value {
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"main": {
                "issuer": ISSUER, "audiences": ["chat"], "forward": false,
                "local_jwks": {"inline_string": keys.to_string()},
            }},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "main"}}],
        },
    })
}

/// Returns a document without rates, since jwt_authn has none.
fn document(keys: &Value) -> Value {
    let auth = json!({"providers": ["main"], "from": [{"header": "authorization"}]});
    json!({
        "providers": {"main": {"issuer": ISSUER, "audiences": ["chat"], "jwks": {"inline": keys}}},
        "policies": {"chat": {
            "tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "auth": auth, "rates": [],
        }},
        "default_policy": "chat",
    })
}

/// A mint of tokens that differ in their `jti`.
struct Mint {
    signer: Signer,
    minted: usize,
}

impl Mint {
    fn tokens(&mut self) -> Vec<String> {
        let claims = |number: usize| {
            json!({
                "iss": ISSUER, "aud": "chat", "sub": "alice", "scope": "chat", "jti": format!("{number:016}"),
                "iat": now(), "exp": now() + 36_000,
            })
        };
        let from = self.minted;
        self.minted += HANDSHAKES;
        (from..self.minted).map(|number| self.signer.mint(&claims(number))).collect()
    }
}

/// Runs all rows in turns, on Envoys with this listener, those of a dynamic module if there is one, and prints the report.
pub(crate) async fn run(
    listener: Listener,
    service: SocketAddr,
    rounds: usize,
    native: Option<&Path>,
) -> Result<(), BenchError> {
    let mut mint = Mint { signer: Signer::rs256("main"), minted: 0 };
    let keys = jwks(&[&mint.signer]);
    let mut envoys = Vec::new();
    for judge in Judge::all(native.is_some()) {
        let scene = judge.scene(listener.scene(service), &keys, native.unwrap_or(Path::new("")));
        envoys.push((*judge, Envoy::start(scene).await?));
    }
    let known =
        vec![mint.signer.mint(&json!({"iss": ISSUER, "aud": "chat", "exp": now() + 36_000})); HANDSHAKES];
    let mut figures = ROWS.map(|_| Vec::new());
    for round in 0..WARM_UP + rounds {
        let fresh = mint.tokens();
        for (row, figures) in ROWS.iter().zip(&mut figures) {
            let envoy = envoys.iter().find(|(judge, _)| *judge == row.judge).map(|(_, envoy)| envoy);
            let Some(envoy) = envoy else { continue };
            let cost = measure(envoy, if row.known { &known } else { &fresh }).await?;
            if round >= WARM_UP {
                figures.push(cost);
            }
        }
    }
    report(listener, &figures, rounds);
    Ok(())
}

/// Measures the cost of a handshake, each on a connection of its own, in microseconds of Envoy's CPU.
async fn measure(envoy: &Envoy, tokens: &[String]) -> Result<f64, BenchError> {
    let requests: Vec<Request> = tokens
        .iter()
        .map(|token| Request::upgrade(PATH).header("Authorization", format!("Bearer {token}")))
        .collect();
    let before = envoy.cpu.settled().await?;
    for request in &requests {
        let status = envoy.scene.ask(request).await.status;
        if status != 101 {
            return Err(BenchError::Refused(status));
        }
    }
    let after = envoy.cpu.settled().await?;
    Ok(after.saturating_sub(before).as_secs_f64() * 1e6 / requests.len() as f64)
}

fn report(listener: Listener, figures: &[Vec<f64>; 9], rounds: usize) {
    println!(
        "microseconds of Envoy's CPU per handshake, {} and connection included; medians of {rounds} rounds of \
         {HANDSHAKES}",
        listener.name()
    );
    println!("{:<28}{:>9}{:>9}  quartiles", "judged by", "median", "calm");
    for (row, figures) in ROWS.iter().zip(figures).filter(|(_, figures)| !figures.is_empty()) {
        let sorted = ascending(figures.clone());
        let [median, calm, low, high] = [0.5, 0.1, 0.25, 0.75].map(|quantile| at(&sorted, quantile));
        println!("{:<28}{median:>9.1}{calm:>9.1}  {low:.1}-{high:.1}", row.name);
    }
    let [nobody, jwt_authn, postern, postern_known, alone, alone_known, native, _, native_without] = figures;
    compare("Postern / jwt_authn", postern, jwt_authn, TARGET);
    if !native.is_empty() {
        compare("native / jwt_authn", native, jwt_authn, NATIVE_TARGET);
        compare("native without token / nobody", native_without, nobody, NATIVE_WITHOUT_TARGET);
    }
    let difference = |new: &[f64], known: &[f64]| {
        at(&ascending(new.iter().zip(known).map(|(new, known)| new - known).collect()), 0.5)
    };
    let (host, module) = (difference(postern, postern_known), difference(alone, alone_known));
    println!(
        "verifying a signature: {host:.1} by the host, {module:.1} by the module, {:.1} times as much, target \
         {VERIFICATION_TARGET}: {}",
        module / host,
        verdict(module >= VERIFICATION_TARGET * host),
    );
}

/// Prints the ratio of two rows. Neighbours in one round are compared: what slows the machine down for a while slows both.
fn compare(title: &str, ours: &[f64], theirs: &[f64], target: f64) {
    let ratios = ascending(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect());
    let ratio = at(&ratios, 0.5);
    println!(
        "{title}: {ratio:.3} ({:.3}-{:.3}), target {target}: {}",
        at(&ratios, 0.25),
        at(&ratios, 0.75),
        verdict(ratio <= target),
    );
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
