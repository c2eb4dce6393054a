//! The document as it is written: a mirror for serde, and per topic the way from there to the valid types.
//!
//! Every key is optional here, so that serde never stops at a missing one; required keys are asked for on the
//! way. Values with a grammar of their own (durations, sizes, counts) stay JSON until then. Elements of lists
//! are optional because a wrong one leaves a hole behind.

mod audiences;
mod auth;
mod carriers;
mod claim_headers;
mod claims;
mod connections;
mod content;
mod csrf;
mod document;
mod envoy_drain;
mod in_band;
mod issuer;
mod jwks;
mod limits;
mod list;
mod log;
mod memory;
mod or_none;
mod origins;
mod policy;
mod provider;
mod rates;
mod reference;
mod routes;
mod secret;
mod shadow;
mod tiers;

#[cfg(feature = "schema")]
pub(crate) use document::RawDocument;
pub(crate) use document::{Document, read_policy};
#[cfg(feature = "schema")]
pub(crate) use jwks::PRIVATE;
pub(crate) use policy::contradictions;
