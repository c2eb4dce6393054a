//! The policy language: from JSON to types that cannot be wrong.
//!
//! [`Config::from_value`] turns the document an operator wrote into a [`Config`], or into
//! [`Problems`], each with the path of the key at fault and a remedy. Whoever holds a [`Policy`]
//! need not check it again.
//!
//! This crate performs no I/O: it reads no file, no environment variable and no clock. A secret
//! A secret named by an environment variable stays a name here; whoever compiles the policy resolves it.

pub mod auth;
pub mod config;
pub mod content;
pub mod envoy_drain;
mod grammar;
pub mod header_name;
pub mod issuer;
pub mod limits;
pub mod log;
pub mod memory;
mod merge;
pub mod origin;
pub mod path;
pub mod policy;
pub mod problem;
pub mod provider;
mod raw;
mod report;
pub mod request_host;
pub mod request_path;
pub mod routes;
#[cfg(feature = "schema")]
mod schema;
pub mod shadow;
mod shape;
mod strict;
mod units;
mod words;

pub use auth::{
    Auth, Carrier, ClaimPath, Csrf, CsrfCarrier, Encoding, Expiry, FirstMessage, JsonPointer, NotAPointer,
    Requirement, Revocation, Test,
};
pub use config::Config;
pub use content::{Allowance, Content, OnViolation, Schemas};
pub use envoy_drain::DrainWithEnvoy;
pub use issuer::Issuer;
pub use limits::{
    Backlog, Backpressure, Compression, Connections, Counted, GlobalCount, GlobalRateLimit, Liveness,
    MessageType, Messages, OnExceed, OnFull, Per, Rate, UpstreamMessages,
};
pub use log::{Log, LogFormat};
pub use memory::Memory;
pub use origin::{Missing, Origin, OriginHosts, OriginPattern, OriginPorts, OriginVerdict, Origins};
pub use path::{Path, Segment};
pub use policy::{Mode, OtherUpgrades, Policy, Subprotocols, Tier, Tls};
pub use problem::{Problem, ProblemKind, Problems};
pub use provider::{Algorithm, Audiences, KeySource, Provider, RemoteJwks, Secret};
pub use request_host::{HostFault, NormalisedHost};
pub use request_path::{NormalisedPath, PathFault};
pub use routes::{DefaultPolicy, HostPattern, Route, RouteMatch};
#[cfg(feature = "schema")]
pub use schema::policy_schema;
pub use shadow::ShadowedRules;
pub use units::parse_duration;

#[cfg(test)]
mod tests;
