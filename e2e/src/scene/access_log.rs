//! Envoy's access log: JSON, one line for each request or WebSocket, written when it is over.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::deadline::{PATIENCE, eventually};

/// The file of the access log.
#[derive(Clone, Debug)]
pub struct AccessLog(PathBuf);

impl AccessLog {
    /// Returns the log that Envoy writes to `path`.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Returns all that it has so far.
    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap_or_default()
    }

    /// Returns every line so far.
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for the line of the request with this case id. A WebSocket's comes when it has ended.
    pub async fn line(&self, case: &str) -> Value {
        let find =
            || self.lines().into_iter().find(|line| line.get("case").is_some_and(|found| found == case));
        eventually(PATIENCE, &format!("an access-log line for {case}"), find).await
    }
}
