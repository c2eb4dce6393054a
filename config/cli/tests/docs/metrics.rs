//! The table of metrics against the filter, whose source says their names and labels.

use std::collections::{BTreeMap, BTreeSet};

use crate::pages::{page, read, spans};

#[test]
fn the_table_of_metrics_has_every_name_of_the_filter_with_its_labels() {
    let source = read("filter/src/metrics.rs");
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for literal in source.split('"').skip(1).step_by(2).filter(|text| text.starts_with("postern_")) {
        let name = literal.split(['.', '{']).next().expect("a name").to_owned();
        expected.entry(name).or_default().extend(labels(literal));
    }
    // The names of fetches come from one place for two metrics.
    for name in ["postern_fetches", "postern_source_age_seconds"] {
        let of_sources = ["source", "cluster", "provider", "path"];
        expected.get_mut(name).expect("a metric").extend(of_sources.map(str::to_owned));
    }
    let rows = page("docs/metrics.md").rows_under("Metric");
    let written: BTreeMap<String, BTreeSet<String>> = rows
        .iter()
        .map(|row| (row[0].trim_matches('`').to_owned(), spans(&row[1]).map(str::to_owned).collect()))
        .collect();
    assert_eq!(written, expected);
    let tags = read("envoy.yaml");
    for label in written.values().flatten() {
        assert!(tags.contains(&format!("tag_name: {label},")), "envoy.yaml has no tag for {label}");
    }
}

/// Returns the labels in the name of a metric, such as `postern_closes.policy={policy};.reason={};`.
fn labels(literal: &str) -> impl Iterator<Item = String> {
    let written = literal.split(';').filter_map(|part| part.split_once('='));
    written.filter_map(|(name, _)| name.rsplit('.').next().map(str::to_owned))
}
