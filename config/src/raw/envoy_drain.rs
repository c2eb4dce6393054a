//! The key `drain_with_envoy` of the document.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::envoy_drain::DrainWithEnvoy;
use crate::path::Path;
use crate::raw::jwks::cluster;
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::units::{Zero, duration};

/// The object `drain_with_envoy` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct RawDrainWithEnvoy {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Line>"))]
    cluster: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    over: Option<Value>,
}

impl RawDrainWithEnvoy {
    /// Returns the valid form.
    pub(super) fn read(self, at: &Path, report: &mut Report) -> Option<DrainWithEnvoy> {
        let cluster = cluster(self.cluster, at, report);
        let over = match &self.over {
            Some(value) => duration(value, Zero::Refused, &at.key("over"), report),
            None => Some(Duration::from_secs(30)),
        };
        Some(DrainWithEnvoy { cluster: cluster?, over: over? })
    }
}
