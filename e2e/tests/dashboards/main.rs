//! The alert rules and the dashboard of `e2e/dashboards` against a real Prometheus that scrapes real Envoys: no rule fires
//! while honest clients come and go, each fires in its fault, and every query of the dashboard has something to show.
//!
//! Time is scaled: `POSTERN_DASHBOARDS_FACTOR` says how many times faster than in the rules' file an hour passes.

mod dashboard;
mod faults;
mod files;
mod honest;
mod prometheus;
mod scaled;
mod stage;

use std::time::Duration;

use futures_util::future::{Either, select};
use postern_e2e::json;
use tokio::time::{Instant, sleep};

use crate::dashboard::Panel;
use crate::prometheus::Prometheus;
use crate::scaled::Scale;
use crate::stage::Stage;

/// The variable that names the file for what the queries of the dashboard showed, from which pictures are made.
const RESULTS: &str = "POSTERN_DASHBOARDS_RESULTS";

#[tokio::test]
#[ignore = "an hour of a minute, and the faults: `make dashboards`"]
async fn no_rule_fires_in_a_quiet_hour_each_fires_in_its_fault_and_every_panel_shows_something() {
    let scale = Scale::of_variable();
    let Some(binaries) = prometheus::find() else { return };
    let mut stage = Stage::start().await;
    let prometheus = Prometheus::start(&binaries, scale, &stage.targets()).await;
    let start = Instant::now();

    let quiet = Box::pin(honest::talk_on(&stage));
    match select(quiet, Box::pin(sleep(scale.of(Duration::from_secs(3600))))).await {
        Either::Left(_) => panic!("honest clients never end"),
        Either::Right(((), quiet)) => drop(quiet),
    }
    assert_eq!(prometheus.alerts_since(start).await, Vec::<String>::new(), "alerts in a quiet hour");

    let faults = prometheus::seconds_now();
    faults::provoke(&mut stage, &prometheus).await;
    faults::assert_all(&prometheus.fired_since(start).await);
    let mut empty = Vec::new();
    let mut shown = Vec::new();
    for panel in dashboard::panels() {
        let queries = prometheus.show(&panel, start).await;
        let nothing = queries.iter().filter(|query| query["series"].as_array().is_none_or(Vec::is_empty));
        empty.extend(nothing.map(|query| query["expr"].to_string()));
        let Panel { title, row, kind, unit, .. } = panel;
        shown.push(json!({"title": title, "row": row, "kind": kind, "unit": unit, "queries": queries}));
    }
    assert_eq!(empty, Vec::<String>::new(), "queries that show nothing");
    if let Ok(file) = std::env::var(RESULTS) {
        let (end, alerts) = (prometheus::seconds_now(), prometheus.firing_since(start).await);
        let start = end - start.elapsed().as_secs_f64();
        let results =
            json!({"panels": shown, "alerts": alerts, "start": start, "faults": faults, "end": end});
        std::fs::write(&file, results.to_string()).expect("a writable file");
    }
}

#[test]
fn every_panel_has_a_title_a_unit_and_a_legend() {
    let panels = dashboard::panels();
    assert!(panels.len() > 25, "{}", panels.len());
    for Panel { title, row, unit, queries, .. } in panels {
        assert!(!title.is_empty() && !row.is_empty() && !unit.is_empty() && !queries.is_empty(), "{title}");
        assert!(queries.iter().all(|query| !query.legend.is_empty()), "{title}");
    }
}
