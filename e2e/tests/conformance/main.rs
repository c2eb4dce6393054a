//! The cases of `e2e/conformance/`, written from RFC 6455 and RFC 7692, against a strict server that is not
//! ours, without Postern and with it. A case that the server alone gets right must not become wrong, and a
//! breach of the protocol must not even reach the server. Under the same policies in shadow all is as without
//! Postern, and what would have ended the connection is told.

mod case;
mod conversation;
mod deflate;
mod payload;
mod shadow;
mod step;
mod verdict;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use postern_e2e::client::python;
use postern_e2e::{RunningScene, Scene, Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use case::{Case, File, Judge};
use conversation::Conversation;
use verdict::{judged, same, verdict};

/// The number of cases under way at once. Most of their time they wait between pieces.
const AT_ONCE: usize = 32;

/// The time that a case may take with Postern, on a machine busy with all the others: the longest send megabytes through three
/// Envoys at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time that a case may take against the server alone. The server need not see a mistake before a message
/// ends, so that some cases wait in vain.
const PATIENCE_ALONE: Duration = Duration::from_secs(5);

const FILES: [(&str, &str); 9] = [
    ("framing", include_str!("../../conformance/framing.json")),
    ("control", include_str!("../../conformance/control.json")),
    ("reserved", include_str!("../../conformance/reserved.json")),
    ("fragmentation", include_str!("../../conformance/fragmentation.json")),
    ("utf8", include_str!("../../conformance/utf8.json")),
    ("close", include_str!("../../conformance/close.json")),
    ("limits", include_str!("../../conformance/limits.json")),
    ("negotiation", include_str!("../../conformance/negotiation.json")),
    ("compression", include_str!("../../conformance/compression.json")),
];

/// Returns all cases, and the policies that they name.
fn load(files: &[(&str, &str)]) -> (Vec<Case>, Value) {
    let mut cases = Vec::new();
    let mut policies = json!({"generous": policy(&json!({}))});
    for (name, text) in files {
        let file: File = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (name, differences) in &file.policies {
            let policy = policy(differences);
            assert!(policies.get(name).is_none_or(|other| *other == policy), "two policies named {name}");
            policies[name] = policy;
        }
        cases.extend(file.cases());
    }
    let ids: BTreeSet<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(ids.len(), cases.len(), "an id is there twice");
    (cases, policies)
}

/// Returns a policy whose limits no case reaches, but for the `differences`.
fn policy(differences: &Value) -> Value {
    let limits = json!({"max_frame_bytes": "16MiB", "max_message_bytes": "16MiB"});
    let mut policy = json!({
        "tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "auth": "none", "rates": [],
        "messages": limits, "upstream_messages": limits,
    });
    policy["messages"]["max_fragments"] = json!(1_000_000);
    for (name, value) in differences.as_object().expect("an object") {
        policy[name] = value.clone();
    }
    policy
}

/// Returns the policies, all in shadow.
fn in_shadow(policies: &Value) -> Value {
    let mut policies = policies.clone();
    for policy in policies.as_object_mut().expect("an object").values_mut() {
        policy["mode"] = json!("shadow");
    }
    policies
}

/// Returns a document with every policy under the path of its name. A busy machine takes long over a frame of which each
/// byte comes alone, and nobody answers a Ping of Postern's.
fn document(policies: &Value) -> Value {
    let mut policies = policies.clone();
    let mut routes = Vec::new();
    for (name, policy) in policies.as_object_mut().expect("an object") {
        policy["liveness"] = json!({"idle_timeout": "10m", "ping_interval": "none"});
        routes.push(json!({"match": {"path_prefix": format!("/ws/{name}")}, "policy": name}));
    }
    json!({"policies": policies, "routes": routes})
}

/// The outcome of a case.
struct Outcome {
    /// The verdict on the server alone.
    bare: Result<(), String>,
    /// The verdict with Postern between.
    guarded: Result<(), String>,
    /// Says whether Postern refused or closed, where it has to.
    judged: Result<(), String>,
    /// Says whether the server did the same both times, where nothing else is expected.
    same: Result<(), String>,
    /// Says whether the client saw in shadow what it saw without Postern.
    unchanged: Result<(), String>,
    /// The ids of the connections with Postern and in shadow.
    ids: Option<[String; 2]>,
}

/// The three Envoys that differ in nothing but Postern.
struct Scenes {
    bare: RunningScene,
    guarded: RunningScene,
    shadowed: RunningScene,
}

async fn play(case: &Case, scenes: &Scenes) -> Outcome {
    let expected_alone = case.alone.as_ref().unwrap_or(&case.expect);
    // What Postern has to judge the server may leave unanswered.
    let patience = if case.expect.judge.is_some() { PATIENCE_ALONE } else { PATIENCE };
    let (alone, with, shadowed) = tokio::join!(
        Conversation::of(case, expected_alone, &scenes.bare, patience),
        Conversation::of(case, &case.expect, &scenes.guarded, PATIENCE),
        Conversation::of(case, expected_alone, &scenes.shadowed, patience),
    );
    let unchanged = match (&alone, &shadowed) {
        (Ok(alone), Ok(shadowed)) => shadow::unchanged(alone, shadowed),
        (alone, shadowed) if alone.as_ref().err() == shadowed.as_ref().err() => Ok(()),
        (_, shadowed) => Err(shadowed.as_ref().err().cloned().unwrap_or_default()),
    };
    let ids = with.as_ref().ok().zip(shadowed.as_ref().ok());
    let ids = ids.map(|(with, shadowed)| [with, shadowed].map(|talk| talk.id().to_owned()));
    let same = match (&alone, &with) {
        (Ok(alone), Ok(with)) if case.alone.is_none() && case.expect.judge.is_none() => same(alone, with),
        _ => Ok(()),
    };
    Outcome {
        bare: alone.and_then(|talk| verdict(expected_alone, &talk)),
        guarded: with.as_ref().map_err(String::clone).and_then(|talk| verdict(&case.expect, talk)),
        judged: with.and_then(|talk| judged(case, &talk)),
        same,
        unchanged,
        ids,
    }
}

/// Plays all cases and returns those that fail, each with the reason.
async fn failures(cases: Vec<Case>, scenes: Scenes) -> Vec<String> {
    let scenes = Arc::new(scenes);
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = JoinSet::new();
    for case in cases {
        let (scenes, room) = (Arc::clone(&scenes), Arc::clone(&room));
        playing.spawn(async move {
            let _place = room.acquire_owned().await.expect("an open semaphore");
            let outcome = play(&case, &scenes).await;
            (case, outcome)
        });
    }
    let outcomes = playing.join_all().await;
    let met_alone = outcomes.iter().filter(|(_, outcome)| outcome.bare.is_ok()).count();
    let met = outcomes.iter().filter(|(_, outcome)| outcome.guarded.is_ok()).count();
    println!("{} cases, {met_alone} of them met by the server alone, {met} with Postern", outcomes.len());
    let mut failures: Vec<String> =
        outcomes.iter().filter_map(|(case, outcome)| failure(case, outcome)).collect();
    failures.extend(untold(&outcomes, &scenes).await);
    failures.sort();
    failures
}

/// Returns the cases of which something else is told in shadow than where the policy is enforced.
async fn untold(outcomes: &[(Case, Outcome)], scenes: &Scenes) -> Vec<String> {
    let ids = || outcomes.iter().filter_map(|(case, outcome)| Some((case, outcome.ids.as_ref()?)));
    let [of_guarded, of_shadowed] =
        [0, 1].map(|at| ids().map(|(_, ids)| ids[at].as_str()).collect::<Vec<_>>());
    let (enforced, shadowed) = tokio::join!(
        shadow::reasons(&scenes.guarded, &of_guarded),
        shadow::reasons(&scenes.shadowed, &of_shadowed)
    );
    let differences = ids().filter_map(|(case, [guarded, observed])| {
        let expected = enforced[guarded].as_ref().map(|reason| format!("shadow:{reason}"));
        let told = &shadowed[observed];
        let is_other = *told != expected && !shadow::is_told_otherwise(&case.id);
        is_other.then(|| format!("{case}: told in shadow is {told:?}, not {expected:?}"))
    });
    differences.collect()
}

fn failure(case: &Case, outcome: &Outcome) -> Option<String> {
    let Outcome { bare, guarded, judged, same, unchanged, .. } = outcome;
    if let Err(what) = unchanged {
        return Some(format!("{case}: shadow changes it: {what}"));
    }
    match (bare, guarded, judged) {
        (Ok(()), Err(what), _) => Some(format!("{case}: Postern breaks it: {what}")),
        (Err(_), Err(what), _) => Some(format!("{case}: {what}")),
        (_, Ok(()), Err(what)) => Some(format!("{case}: left to the server: {what}")),
        // The server alone shows whether a case is right, where the case is legal or only the server can
        // judge it.
        (Err(what), Ok(()), Ok(())) if case.expect.judge != Some(Judge::Postern) => {
            Some(format!("{case}: the server alone fails it: {what}"))
        }
        (_, Ok(()), Ok(())) => same.as_ref().err().map(|what| format!("{case}: Postern changes it: {what}")),
    }
}

async fn assert_all_met(files: &[(&str, &str)]) {
    let (cases, policies) = load(files);
    let count = cases.len();
    let Some(service) = python::serve(include_str!("../python/echo.py")).await else { return };
    // The short timeout ends a connection at once when it is over; Envoy would leave it to the client for a
    // second.
    let scene = || {
        let scene = Scene::new().plaintext().service(service.address());
        scene.change_connection_manager(|manager| manager["delayed_close_timeout"] = json!("0.05s"))
    };
    let bare = scene().bare().start().await;
    let guarded = scene().document(document(&policies)).beside_others().start().await;
    let shadowed = scene().document(document(&in_shadow(&policies))).beside_others().start().await;
    let failures = failures(cases, Scenes { bare, guarded, shadowed }).await;
    assert!(failures.is_empty(), "{} of {count} cases fail:\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn with_postern_every_case_is_met_violations_do_not_reach_the_server_and_shadow_changes_nothing() {
    assert_all_met(&FILES).await;
}
