//! The dashboard as Grafana reads it: panels with their queries.

use postern_e2e::Value;

const DASHBOARD: &str = include_str!("../../dashboards/postern.json");

/// A panel of the dashboard.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) unit: String,
    pub(crate) queries: Vec<Query>,
}

/// A query of a panel.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) expression: String,
    /// The legend, with `{{label}}` for the value of a label.
    pub(crate) legend: String,
}

/// Returns every panel but the rows, in the order of the dashboard.
pub(crate) fn panels() -> Vec<Panel> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("a dashboard in JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut panels = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        if panel["type"] == "row" {
            continue;
        }
        let query = |target: &Value| Query {
            expression: text(&target["expr"]),
            legend: text(&target["legendFormat"]),
        };
        panels.push(Panel {
            title: text(&panel["title"]),
            unit: text(&panel["fieldConfig"]["defaults"]["unit"]),
            queries: panel["targets"].as_array().expect("queries").iter().map(query).collect(),
        });
    }
    panels
}
