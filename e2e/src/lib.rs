//! Drives Postern from outside: a real Envoy, clients that speak bytes, an upstream that remembers them.
//!
//! This crate uses none of the others: what its tests expect comes from the RFCs and the policy language, so that a
//! mistake in Postern's own frame codec or policy types cannot hide here as well. It renders the shipped `envoy.yaml`
//! and never a copy of it.
//!
//! ```no_run
//! # use postern_e2e::{Frame, Scene, json};
//! # async fn story() {
//! let scene = Scene::new().policy(json!({"messages": {"max_message_bytes": 4}})).start().await;
//! let mut client = scene.open("/ws/chat").await;
//! client.send(Frame::text("far too long").masked().bytes()).await;
//! assert_eq!(client.close().await.code(), Some(1009));
//! assert_eq!(scene.record(&client).await.messages(), Vec::<Vec<u8>>::new());
//! # }
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a harness that cannot go on fails its test, and says why"
)]

pub mod access_log;
pub mod bootstrap;
pub mod browser;
mod capabilities;
pub mod checked;
pub mod containers;
pub mod csrf;
pub mod deadline;
pub mod demo;
pub mod documents;
pub mod driven;
pub mod envoy;
pub mod frames;
mod heartbeat;
pub mod http;
pub mod http2;
pub mod launcher;
pub mod not_run;
pub mod place;
pub mod process;
pub mod python;
pub mod raw_client;
pub mod record;
pub mod relay;
pub mod request;
pub mod scene;
pub mod standing;
pub mod stats;
pub mod tls;
pub mod token;
pub mod trapping;
pub mod twins;
pub mod upstream;
pub mod wire;

pub use bootstrap::Bootstrap;
pub use documents::{Documents, Served};
pub use envoy::{Envoy, EnvoyError};
pub use frames::{Frame, LengthForm};
pub use http::Response;
pub use raw_client::RawClient;
pub use record::Record;
pub use request::Request;
pub use scene::{Pushed, RunningScene, Scene};
pub use serde_json::{Value, json};
pub use token::Signer;
pub use twins::{Attack, Twins};
pub use upstream::{Answer, Behaviour, Upstream};
