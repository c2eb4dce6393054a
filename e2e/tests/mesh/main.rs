//! Istio's proxies with Postern in them, as the manifests in `e2e/istio` have it: a gateway, a sidecar that lets its workload
//! out, and a sidecar that lets in, with mutual TLS between them.

mod address;
mod ends;
mod identity;
mod limits;
mod manifests;
mod stage;
