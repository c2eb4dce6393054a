//! The user of a token: named by the claim that the provider chooses, and never the same one by two
//! providers.

use postern_e2e::client::token::{EDGE_SECRET, edge_claims};
use postern_e2e::scene::document;
use postern_e2e::{Documents, Frame, Request, RunningScene, Scene, Served, Shared, Signer, Value, json};

const REVOKED: &str = "/revoked.json";

/// Makes a scene whose provider `edge` names its users by `/user/id`, and so does `twin`, which has the same
/// issuer and another algorithm.
fn scene() -> Scene {
    let provider = |algorithm: &str| {
        json!({
            "issuer": ["edge", "https://edge.example.com/{realm}"], "issuer_allow": {"realm": ["one"]},
            "audiences": ["chat"], "subject": "/user/id", "algorithms": [algorithm], "secret": {"inline": EDGE_SECRET},
        })
    };
    let auth =
        json!({"providers": ["edge", "twin"], "from": [{"header": "authorization"}], "refresh": "/token"});
    let seldom = json!([{"count": "handshakes", "per": "user", "limit": 1, "window": "1h"}]);
    let mut revoking = auth.clone();
    revoking["revocation"] = json!({"cluster": "auth", "path": REVOKED, "interval": "1s"});
    let policies = json!({"seldom": {"auth": auth, "rates": seldom}, "renewed": {"auth": auth}, "revoking": {"auth": revoking}});
    let providers = json!({"edge": provider("HS256"), "twin": provider("HS512")});
    Scene::new().document(document(providers, policies)).workers(2).plaintext()
}

static SCENE: Shared<RunningScene> = Shared::new(scene);

fn claims(user: Option<&str>, more: Value) -> Value {
    let mut claims = edge_claims("somebody");
    if let Some(user) = user {
        claims["user"] = json!({"id": user});
    }
    claims.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    claims
}

fn bearing(path: &str, signer: &Signer, claims: &Value) -> Request {
    Request::upgrade(path).header("Authorization", format!("Bearer {}", signer.mint(claims)))
}

fn twin() -> Signer {
    Signer::edge().with_algorithm(jsonwebtoken::Algorithm::HS512)
}

async fn outcome(scene: &RunningScene, request: &Request) -> (u16, Option<String>) {
    let response = scene.ask(request).await;
    (response.status, response.reason())
}

#[tokio::test]
async fn a_user_is_counted_by_the_claim_of_his_provider_and_without_it_by_address() {
    let scene = SCENE.shared().await;
    let first = (101, None);
    let again = (429, Some("handshake_rate".to_owned()));
    let (edge, twin) = (Signer::edge(), twin());
    let realm = json!({"iss": "https://edge.example.com/one"});
    for (name, signer, claims, expected) in [
        ("alice", &edge, claims(Some("alice"), json!({})), &first),
        ("alice under another sub", &edge, claims(Some("alice"), json!({"sub": "else"})), &again),
        ("bob under the same sub", &edge, claims(Some("bob"), json!({})), &first),
        ("alice of another issuer", &edge, claims(Some("alice"), realm.clone()), &first),
        ("the same again", &edge, claims(Some("alice"), realm), &again),
        ("alice of another provider", &twin, claims(Some("alice"), json!({})), &first),
        ("the same again", &twin, claims(Some("alice"), json!({})), &again),
        ("nobody", &edge, claims(None, json!({"sub": "carol"})), &first),
        ("nobody else at this address", &edge, claims(None, json!({"sub": "dave"})), &again),
        ("nobody of another provider", &twin, claims(None, json!({"sub": "erin"})), &again),
    ] {
        assert_eq!(outcome(&scene, &bearing("/ws/seldom", signer, &claims)).await, *expected, "{name}");
    }
}

#[tokio::test]
async fn a_connection_is_renewed_for_the_same_user_of_the_same_provider_only() {
    let scene = SCENE.shared().await;
    let renewed = async |signer: &Signer, claims: &Value| {
        let own = bearing("/ws/renewed", &Signer::edge(), &self::claims(Some("alice"), json!({})));
        let mut client = scene.open_with(&own).await;
        let message = json!({"token": signer.mint(claims)}).to_string();
        client.send(Frame::text(&message).masked().bytes()).await;
        client.frame().await.expect("an answer")
    };
    let alice = claims(Some("alice"), json!({"sub": "else"}));
    let accepted = renewed(&Signer::edge(), &alice).await;
    assert!(String::from_utf8_lossy(&accepted.payload).contains("token_accepted"), "{accepted:?}");
    let changed = Frame::closing(3000, "subject_changed");
    assert_eq!(renewed(&Signer::edge(), &claims(Some("bob"), json!({}))).await, changed);
    assert_eq!(renewed(&Signer::edge(), &claims(None, json!({}))).await, changed);
    assert_eq!(renewed(&twin(), &alice).await, changed);
}

#[tokio::test]
async fn a_list_names_users_by_the_claim_of_their_provider() {
    let documents = Documents::start().await;
    documents.serve(REVOKED, Served::Document(json!({"sub": {"alice": 9_999_999_999_u64}})));
    let scene = scene().cluster("auth", documents.address()).start().await;
    let revoked = (401, Some("token_revoked".to_owned()));
    for (claims, expected) in [
        (claims(Some("alice"), json!({})), &revoked),
        (claims(Some("bob"), json!({"sub": "alice"})), &(101, None)),
        (claims(None, json!({"sub": "alice"})), &(101, None)),
    ] {
        let request = bearing("/ws/revoking", &Signer::edge(), &claims);
        assert_eq!(outcome(&scene, &request).await, *expected, "{claims}");
    }
}
