//! The view of operators: metrics with their names and labels, and the reason in the access log.

use std::collections::BTreeMap;
use std::time::Duration;

use postern_e2e::deadline::{PATIENCE, eventually};
use postern_e2e::scene::document;
use postern_e2e::{Frame, Request, RunningScene, Scene, Value, json};
use tokio::time::{Instant, sleep};

fn configuration() -> Value {
    let rates =
        json!([{"count": "messages", "per": "connection", "limit": 1, "window": "1h", "on_exceed": "drop"}]);
    let origins = json!({"allow": ["https://app.example.com"], "missing": "allow"});
    document(json!({}), json!({"chat": {"origins": origins}, "brief": {"rates": rates}}))
}

/// Returns everything that Postern counts, written as Prometheus does.
async fn counted(scene: &RunningScene) -> BTreeMap<String, f64> {
    let samples =
        scene.envoy().stats().await.0.into_iter().filter(|sample| sample.name.starts_with("postern_"));
    samples
        .map(|sample| {
            let labels: Vec<String> =
                sample.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
            (format!("{}{{{}}}", sample.name, labels.join(",")), sample.value)
        })
        .collect()
}

async fn assert_counted(scene: &RunningScene, expected: &[(&str, f64)]) {
    let expected: BTreeMap<String, f64> =
        expected.iter().map(|(sample, value)| ((*sample).to_owned(), *value)).collect();
    let end = Instant::now() + PATIENCE;
    loop {
        let mut found = counted(scene).await;
        // The rest is on the page of metrics, which has a test of its own.
        let told = ["handshakes", "connections", "closes", "messages", "bytes"];
        found.retain(|sample, _| told.iter().any(|name| sample.starts_with(&format!("postern_{name}{{"))));
        if found == expected {
            return;
        }
        assert!(Instant::now() < end, "counted {found:#?}, and not {expected:#?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Sends `frames`, reads as many answers and leaves in order.
async fn converse(scene: &RunningScene, path: &str, frames: &[Frame], answers: usize) {
    let mut client = scene.open(path).await;
    client.send(frames.iter().flat_map(|frame| frame.clone().masked().bytes()).collect::<Vec<u8>>()).await;
    for _ in 0..answers {
        client.frame().await.expect("an answer");
    }
    client.send(Frame::closing(1000, "").masked().bytes()).await;
    assert_eq!(client.close().await.code(), Some(1000));
}

#[tokio::test]
async fn all_that_happens_is_counted_under_these_names_and_labels_and_no_others() {
    let scene = Scene::new().document(configuration()).plaintext().start().await;
    let none = [("postern_connections{policy=chat}", 0.0), ("postern_connections{policy=brief}", 0.0)];
    assert_counted(&scene, &none).await;

    let frames = [
        Frame::text("hello"),
        Frame::text("ab").unfinished(),
        Frame::ping("not a message"),
        Frame::continuation("c"),
        Frame::binary([0; 10]),
    ];
    converse(&scene, "/ws/chat", &frames, frames.len()).await;
    converse(&scene, "/ws/brief", &[Frame::text("one"), Frame::text("two"), Frame::text("three")], 1).await;
    let mut offender = scene.open("/ws/chat").await;
    offender.send(Frame::text("x").masked().rsv(4).bytes()).await;
    assert_eq!(offender.close().await.code(), Some(1002));
    let evil = Request::upgrade("/ws/chat").header("Origin", "https://evil.example");
    assert_eq!(scene.ask(&evil).await.status, 403);
    assert_eq!(scene.ask(&Request::upgrade("/elsewhere")).await.status, 403);
    assert_eq!(scene.ask(&Request::get("/ws/chat")).await.status, 200);
    let _open = scene.open("/ws/brief").await;

    let expected = [
        ("postern_handshakes{policy=chat,reason=none,result=allowed}", 2.0),
        ("postern_handshakes{policy=chat,reason=origin_denied,result=refused}", 1.0),
        ("postern_handshakes{policy=brief,reason=none,result=allowed}", 2.0),
        ("postern_handshakes{policy=none,reason=no_policy,result=refused}", 1.0),
        ("postern_connections{policy=chat}", 0.0),
        ("postern_connections{policy=brief}", 1.0),
        ("postern_closes{policy=chat,reason=protocol_error}", 1.0),
        ("postern_messages{direction=downstream,policy=chat,result=allowed}", 3.0),
        ("postern_messages{direction=downstream,policy=chat,result=refused}", 1.0),
        ("postern_messages{direction=upstream,policy=chat,result=allowed}", 3.0),
        ("postern_bytes{direction=downstream,policy=chat}", 18.0),
        ("postern_bytes{direction=upstream,policy=chat}", 18.0),
        ("postern_messages{direction=downstream,policy=brief,result=allowed}", 1.0),
        ("postern_messages{direction=downstream,policy=brief,result=dropped}", 2.0),
        ("postern_messages{direction=upstream,policy=brief,result=allowed}", 1.0),
        ("postern_bytes{direction=downstream,policy=brief}", 3.0),
        ("postern_bytes{direction=upstream,policy=brief}", 3.0),
    ];
    assert_counted(&scene, &expected).await;
}

#[tokio::test]
async fn the_access_log_has_the_reason_of_a_refusal_or_a_close_and_none_where_nothing_was_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("text.log");
    let path = log.clone();
    let add_text_log = move |bootstrap: &mut Value| {
        let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
        let logs = bootstrap.pointer_mut(manager).expect("a connection manager")["access_log"].as_array_mut();
        let format = "%REQ(X-CASE)% %FILTER_STATE(wasm.postern.reason:PLAIN)%\n";
        logs.expect("a list of logs").push(json!({
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": path,
                "log_format": {"text_format_source": {"inline_string": format}},
            },
        }));
    };
    let scene =
        Scene::new().document(configuration()).plaintext().change(add_text_log).beside_others().start().await;

    let mut polite = scene.open("/ws/chat").await;
    polite.send(Frame::closing(1000, "").masked().bytes()).await;
    polite.close().await;
    let mut offender = scene.open("/ws/chat").await;
    offender.send(Frame::text("x").bytes()).await;
    offender.close().await;
    let page = Request::get("/ws/chat");
    scene.ask(&page).await;
    let evil = Request::upgrade("/ws/chat").header("Origin", "https://evil.example");
    scene.ask(&evil).await;

    for (case, reason) in [
        (polite.case(), None),
        (offender.case(), Some("protocol_error")),
        (page.case(), None),
        (evil.case(), Some("origin_denied")),
    ] {
        assert_eq!(scene.access_line(case).await["reason"], json!(reason));
        let line = format!("{case} {}\n", reason.unwrap_or("-"));
        let is_there = || std::fs::read_to_string(&log).ok().filter(|text| text.contains(&line));
        eventually(PATIENCE, &line, is_there).await;
    }
}

#[tokio::test]
async fn however_many_are_refused_the_log_has_some_lines_a_second_and_counts_the_rest() {
    const LIMIT: u32 = 5;
    const REFUSED: u32 = 60;
    let log = |whole: &mut Value| whole["log"] = json!({"refusals_per_second": LIMIT});
    let scene =
        Scene::new().document(configuration()).configured(log).plaintext().beside_others().start().await;
    let start = Instant::now();
    let evil = Request::upgrade("/ws/chat").header("Origin", "https://evil.example");
    for _ in 0..REFUSED {
        assert_eq!(scene.ask(&evil).await.status, 403);
    }
    let logged = || scene.log_lines_with("postern: refused policy=chat reason=origin_denied");
    let counted = || {
        let lines = scene.log_lines_with("postern: suppressed policy=chat count=");
        let counts = lines.iter().filter_map(|line| line.rsplit('=').next()?.trim().parse::<usize>().ok());
        (lines.len(), counts.sum::<usize>())
    };
    let all_are_known = || (logged().len() + counted().1 == REFUSED as usize).then_some(());
    eventually(PATIENCE, "every refusal, logged or counted", all_are_known).await;
    let seconds = usize::try_from(start.elapsed().as_secs()).expect("a short time") + 1;
    assert!(
        (1..=(seconds + 1) * LIMIT as usize).contains(&logged().len()),
        "{} in {seconds} s",
        logged().len()
    );
    assert!((1..=seconds + 1).contains(&counted().0), "{:?} in {seconds} s", counted());
}
