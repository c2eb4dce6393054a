//! The dashboard as Grafana reads it: panels with their queries.

use postern_e2e::Value;

const DASHBOARD: &str = include_str!("../../dashboards/postern.json");

/// A panel of the dashboard.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    /// The title of the row that it is in.
    pub(crate) row: String,
    pub(crate) kind: String,
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
    let mut row = String::new();
    let mut panels = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        if panel["type"] == "row" {
            row = text(&panel["title"]);
            continue;
        }
        let query = |target: &Value| Query {
            expression: text(&target["expr"]),
            legend: text(&target["legendFormat"]),
        };
        panels.push(Panel {
            title: text(&panel["title"]),
            row: row.clone(),
            kind: text(&panel["type"]),
            unit: text(&panel["fieldConfig"]["defaults"]["unit"]),
            queries: panel["targets"].as_array().expect("queries").iter().map(query).collect(),
        });
    }
    panels
}

impl Query {
    /// Returns the expression with Grafana's variables filled in: every policy and every Envoy.
    pub(crate) fn filled(&self, rate_interval: &str, range: &str) -> String {
        let filled = self.expression.replace("$__rate_interval", rate_interval).replace("$__range", range);
        let filled = filled.replace("$policy", ".*").replace("$instance", ".*");
        assert!(!filled.contains('$'), "a variable that is not known: {filled}");
        filled
    }
}
