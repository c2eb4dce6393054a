//! The suite that drives Postern from outside: a real Envoy, clients that speak bytes, an upstream that
//! remembers them.
//!
//! [`client`] has what connects and what it shows, [`upstream`] what answers, [`scene`] an Envoy between the
//! two, [`mod@assert`] what is asserted of a scene in one way everywhere, and [`containers`] the same Envoy,
//! clients and service in containers. Below them are bytes on a wire, and the place where all this runs.
//!
//! The crate uses none of the others: what its tests expect comes from the RFCs and the policy language, so
//! that a mistake in Postern's own frame codec or policy types cannot hide here as well. It renders the
//! shipped `envoy.yaml` and never a copy of it.
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
pub mod assert;
pub mod client;
pub mod containers;
pub mod control_plane;
pub mod deadline;
pub mod environment;
pub mod frames;
mod heartbeat;
pub mod http;
pub mod mesh;
pub mod not_run;
pub mod pages;
pub mod rate_limit_server;
pub mod scene;
pub mod tls;
pub mod upstream;
pub mod wire;

pub use assert::{Attack, ControlPair};
pub use client::{RawClient, Request, Signer};
pub use frames::{Frame, LengthForm};
pub use http::Response;
pub use scene::{Bootstrap, Envoy, EnvoyError, HotRestart, Pushed, RunningScene, Scene, Shared};
pub use serde_json::{Value, json};
pub use upstream::{
    Answer, Behaviour, Destination, Documents, Forwarder, Manner, Processor, RateLimits, Record, Served,
    Upstream,
};
