//! A proxy-wasm host in this process, as strict as Envoy is.
//!
//! [`Envoy`] is what all workers share, [`Worker`] is one worker's VM, which is a thread, and
//! [`Stream`] is one HTTP stream in it. [`abi`] has the functions that the SDK imports; they act
//! on the [`state`] of the thread that calls them. Nothing here knows what Postern is.

mod abi;
mod buffer;
mod envoy;
mod exports;
mod foreign;
mod state;
mod stream;
mod worker;

pub(crate) use envoy::Envoy;
pub(crate) use foreign::Verification;
pub(crate) use state::{Call, Fields, GrpcCall, LocalReply, value_of};
pub(crate) use stream::Stream;
pub(crate) use worker::Worker;
