//! The files as they are shipped: promtool finds nothing wrong, every alert has its tests and its page, and every metric that
//! is named is one of Postern's or of Envoy's.

use std::collections::BTreeSet;
use std::path::Path;

use postern_e2e::Value;
use postern_e2e::scene::bootstrap::workspace;
use tokio::process::Command;

use crate::{dashboard, prometheus};

pub(crate) const RULES: &str = include_str!("../../dashboards/alerts.yaml");
const TESTS: &str = include_str!("../../dashboards/alerts_test.yaml");
const PAGE: &str = include_str!("../../../docs/alerts.md");
const SETUP: &str = include_str!("../../../docs/dashboards.md");
const METRICS: &str = include_str!("../../../docs/metrics.md");

/// Returns every rule of the shipped file.
pub(crate) fn rules() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(RULES).expect("rules in YAML");
    let groups = rules["groups"].as_array().expect("groups").iter();
    groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

async fn promtool(promtool: &Path, words: &[&str]) {
    let folder = workspace().join("e2e/dashboards");
    let output =
        Command::new(promtool).args(words).current_dir(folder).output().await.expect("promtool to start");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool {}: {}", words.join(" "), String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn promtool_finds_the_rules_sound_and_their_tests_hold() {
    let Some(binaries) = prometheus::find() else { return };
    promtool(&binaries.promtool, &["check", "rules", "alerts.yaml"]).await;
    promtool(&binaries.promtool, &["test", "rules", "alerts_test.yaml"]).await;
}

#[tokio::test]
async fn promtool_finds_sound_what_the_page_has_for_prometheus() {
    let Some(binaries) = prometheus::find() else { return };
    let blocks: Vec<&str> =
        SETUP.split("```yaml prometheus\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() > 1, "{blocks:?}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (number, block) in blocks.iter().enumerate() {
        let file = folder.path().join(format!("{number}.yml"));
        std::fs::write(&file, block).expect("a writable folder");
        promtool(&binaries.promtool, &["check", "config", "--syntax-only", &file.to_string_lossy()]).await;
    }
}

#[test]
fn each_alert_is_tested_firing_and_not_firing_and_leads_to_its_section_of_the_page() {
    let tests: Value = serde_saphyr::from_str(TESTS).expect("tests in YAML");
    let cases = tests["tests"].as_array().expect("tests").iter();
    let cases: Vec<&Value> =
        cases.flat_map(|test| test["alert_rule_test"].as_array().expect("alerts")).collect();
    let mut sections: BTreeSet<&str> = PAGE.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for rule in rules() {
        let alert = rule["alert"].as_str().expect("a name");
        let fires: BTreeSet<bool> = cases
            .iter()
            .filter(|case| case["alertname"] == alert)
            .map(|case| case["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty()))
            .collect();
        assert_eq!(fires, BTreeSet::from([false, true]), "{alert}");
        assert!(sections.remove(alert), "docs/alerts.md has no section {alert}");
        let page = format!("docs/alerts.md#{}", alert.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], page.as_str(), "{alert}");
        let severity = rule["labels"]["severity"].as_str().expect("a severity");
        assert!(["critical", "warning", "info"].contains(&severity), "{alert}: {severity}");
    }
    assert_eq!(sections, BTreeSet::new(), "sections of no alert");
}

#[test]
fn every_metric_of_postern_that_is_asked_for_is_on_the_page_and_every_one_of_the_page_is_on_the_dashboard() {
    let named = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metric = |word: &str| {
            ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| word.strip_suffix(end))
                .unwrap_or(word)
                .to_owned()
        };
        words.filter(|word| word.starts_with("postern_")).map(metric).collect()
    };
    let rows = METRICS.lines().filter_map(|line| line.strip_prefix("| `postern_"));
    let page: BTreeSet<String> =
        rows.filter_map(|row| Some(format!("postern_{}", row.split('`').next()?))).collect();
    let expressions: Vec<String> = dashboard::panels()
        .into_iter()
        .flat_map(|panel| panel.queries)
        .map(|query| query.expression)
        .collect();
    assert_eq!(named(&expressions.join(" ")), page);
    for rule in rules() {
        let unknown: Vec<String> =
            named(rule["expr"].as_str().expect("an expression")).difference(&page).cloned().collect();
        assert_eq!(unknown, Vec::<String>::new(), "{}", rule["alert"]);
    }
}
