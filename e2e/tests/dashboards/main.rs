//! The alert rules and the dashboard of `e2e/dashboards` as they are shipped, judged by promtool and against the pages.

mod dashboard;
mod files;
mod promtool;

use crate::dashboard::Panel;

#[test]
fn every_panel_has_a_title_a_unit_and_a_legend() {
    let panels = dashboard::panels();
    assert!(panels.len() > 25, "{}", panels.len());
    for Panel { title, unit, queries } in panels {
        assert!(!title.is_empty() && !unit.is_empty() && !queries.is_empty(), "{title}");
        assert!(queries.iter().all(|query| !query.legend.is_empty()), "{title}");
    }
}
