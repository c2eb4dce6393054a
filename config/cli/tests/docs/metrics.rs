//! The page of metrics against the filter, which has their names, and against the lines of Envoy's bootstrap that take their
//! labels out. What a real Envoy prints is held against the page by `e2e/tests/metrics.rs`.

use std::collections::BTreeSet;

use crate::pages::{page, read, spans};

/// Returns the first cells of the table whose first heading is `heading`, without their marks.
fn column(heading: &str) -> BTreeSet<String> {
    let rows = page("docs/metrics.md").rows_under(heading);
    rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect()
}

#[test]
fn the_table_of_metrics_has_every_name_of_the_filter() {
    let source = ["filter/src/metrics.rs", "filter/src/metrics/by_policy.rs"].map(read).concat();
    let literals = source.split('"').skip(1).step_by(2).filter(|text| text.starts_with("postern_"));
    let names: BTreeSet<String> =
        literals.filter_map(|literal| literal.split(['.', '{']).next()).map(str::to_owned).collect();
    assert_eq!(column("Metric"), names);
}

#[test]
fn every_label_is_explained_and_the_bootstrap_takes_it_out() {
    let rows = page("docs/metrics.md").rows_under("Metric");
    let of_metrics: BTreeSet<String> =
        rows.iter().flat_map(|row| spans(&row[1])).map(str::to_owned).collect();
    let mut explained = column("Label");
    for file in ["envoy.yaml", "docs/metrics.md"] {
        let text = read(file);
        let tags = text.split("tag_name: ").skip(1).filter_map(|rest| rest.split(',').next());
        assert_eq!(explained, tags.map(str::to_owned).collect(), "{file}");
    }
    // The label of the buckets of all histograms.
    assert!(explained.remove("le"));
    assert_eq!(explained, of_metrics);
}
