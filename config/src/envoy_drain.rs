//! The end of the Envoy that the policies are in force in.

use std::time::Duration;

/// The object `drain_with_envoy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainWithEnvoy {
    /// The Envoy cluster that is this Envoy's own admin interface.
    pub cluster: String,
    /// The time over which live connections are sent away.
    pub over: Duration,
}
