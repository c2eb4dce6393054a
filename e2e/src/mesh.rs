//! The Envoys of a mesh of Istio's: the shipped `envoy.yaml`, changed into what Istio's control plane makes of the manifests
//! in `e2e/istio` for a gateway, for a sidecar that lets in and for one that lets out, with mutual TLS between them. Their
//! certificates are those of an [`Authority`].

mod authority;
mod manifests;
mod proxy;

pub use authority::{Authority, Credentials, Identity, Watched};
pub use manifests::Manifests;
pub use proxy::{behind_balancer, gateway, inbound, outbound, permissive};
