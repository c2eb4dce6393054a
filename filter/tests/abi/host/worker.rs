//! One worker: a VM on a thread of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_wasm::types::LogLevel;

use super::envoy::Envoy;
use super::exports;
use super::state::{Call, CallAnswer, Fields, GrpcCall, Host};
use super::stream;

/// A period of ticks that is shorter than the ordinary one.
const SOON: Duration = Duration::from_millis(100);

/// The worker that this thread is.
pub(crate) struct Worker {
    /// A worker does not leave its thread.
    thread: PhantomData<Rc<()>>,
}

impl Worker {
    pub(super) fn start(envoy: Arc<Envoy>) -> Self {
        Host::install(envoy);
        exports::initialize();
        Self { thread: PhantomData }
    }

    /// Hands a plugin's configuration to a new root context, as every push of a configuration
    /// does. Streams are opened under the last root that took its configuration.
    pub(crate) fn configure(&self, configuration: &[u8]) -> bool {
        self.configure_filter("", configuration)
    }

    /// Does so with one of several filters, which are told apart by their names.
    pub(crate) fn configure_filter(&self, name: &str, configuration: &[u8]) -> bool {
        let id = Host::with(|host| {
            configuration.clone_into(&mut host.configuration);
            let id = host.next_id();
            host.roots.insert(id);
            host.filters.insert(id, name.to_owned());
            host.effective = id;
            id
        });
        exports::proxy_on_context_create(id, 0);
        let taken = exports::proxy_on_vm_start(id, 0) && exports::proxy_on_configure(id, configuration.len());
        if !taken {
            exports::proxy_on_delete(id);
            Host::with(|host| host.roots.remove(&id));
        }
        taken
    }

    /// Lets time pass. Every root that asked for ticks has one at the end of it, and more as long as one is asked for soon.
    pub(crate) fn pass(&self, time: Duration) {
        self.tick_after(time);
        while let Some(soon) = Host::with(|host| host.tick_period.filter(|period| *period < SOON)) {
            self.tick_after(soon);
        }
    }

    /// Lets time pass, at the end of which there is one tick.
    pub(crate) fn tick_after(&self, time: Duration) {
        let roots = Host::with(|host| {
            host.now += time;
            assert!(host.tick_period.is_some(), "nobody asked for ticks");
            host.roots.clone()
        });
        for root in roots {
            Host::with(|host| host.effective = root);
            exports::proxy_on_tick(root);
            stream::settle_all();
        }
    }

    /// Lets time pass in which there is no tick.
    pub(crate) fn pass_without_tick(&self, time: Duration) {
        Host::with(|host| host.now += time);
    }

    /// Sets the clock back.
    pub(crate) fn set_back(&self, by: Duration) {
        Host::with(|host| host.now -= by);
    }

    /// The calls to clusters that wait for an answer.
    pub(crate) fn calls(&self) -> Vec<Call> {
        Host::with(|host| host.calls.clone())
    }

    /// The cluster answers a call.
    pub(crate) fn answer(&self, call: &Call, status: &str, body: &[u8]) {
        self.end_call(call, vec![(":status".to_owned(), status.into())], body);
    }

    /// A call ends without an answer.
    pub(crate) fn cut(&self, call: &Call) {
        self.end_call(call, Vec::new(), b"");
    }

    fn end_call(&self, call: &Call, fields: Fields, body: &[u8]) {
        let (count, len) = (fields.len(), body.len());
        Host::with(|host| {
            host.calls.retain(|other| other.id != call.id);
            host.effective = call.root;
            host.answer = (count > 0).then(|| CallAnswer { fields, body: body.to_vec() });
        });
        exports::proxy_on_http_call_response(call.root, call.id, count, len, 0);
        Host::with(|host| host.answer = None);
        stream::settle_all();
    }

    /// The gRPC calls that wait for an answer.
    pub(crate) fn grpc_calls(&self) -> Vec<GrpcCall> {
        Host::with(|host| host.grpc_calls.clone())
    }

    /// A gRPC call is answered with this message. Calls are a root's, whoever made them.
    pub(crate) fn answer_grpc(&self, call: &GrpcCall, message: &[u8]) {
        let root = Self::end_grpc(call);
        Host::with(|host| host.grpc_answer = Some(message.to_vec()));
        exports::proxy_on_grpc_receive(root, call.id, message.len());
        Host::with(|host| host.grpc_answer = None);
        stream::settle_all();
    }

    /// A gRPC call ends with this status and no message.
    pub(crate) fn fail_grpc(&self, call: &GrpcCall, status: u32) {
        let root = Self::end_grpc(call);
        exports::proxy_on_grpc_close(root, call.id, status);
        stream::settle_all();
    }

    fn end_grpc(call: &GrpcCall) -> u32 {
        Host::with(|host| {
            host.grpc_calls.retain(|other| other.id != call.id);
            let root = *host.roots.last().expect("there is a root");
            host.effective = root;
            root
        })
    }

    /// Has Envoy make no gRPC call from now on, or make them again.
    pub(crate) fn refuse_grpc(&self, refuses: bool) {
        Host::with(|host| host.refuses_grpc = refuses);
    }

    /// Takes away all roots but the last, and what they have called for, as Envoy does when nothing
    /// of an old configuration is left.
    pub(crate) fn retire(&self) {
        let mut roots = Host::with(|host| host.roots.clone());
        roots.pop_last();
        Self::remove(roots);
    }

    /// Takes away the last root, as Envoy does when a configuration before it is pushed again.
    pub(crate) fn retire_last(&self) {
        Self::remove(Host::with(|host| host.roots.last().copied().into_iter().collect()));
    }

    /// Takes away all roots, as Envoy does before it takes away the VM.
    pub(crate) fn retire_all(&self) {
        Self::remove(Host::with(|host| host.roots.clone()));
    }

    fn remove(roots: BTreeSet<u32>) {
        for root in roots {
            Host::with(|host| host.effective = root);
            exports::proxy_on_done(root);
            exports::proxy_on_delete(root);
            Host::with(|host| {
                host.roots.remove(&root);
                host.calls.retain(|call| call.root != root);
            });
        }
    }

    /// The time since the Unix epoch.
    pub(crate) fn now(&self) -> Duration {
        Host::with(|host| host.now)
    }

    /// The metrics of the whole Envoy that are not zero, by name.
    pub(crate) fn metrics(&self) -> BTreeMap<String, i64> {
        Host::with(|host| host.envoy.metrics())
    }

    /// How often this worker's filter has had a signature verified by the host.
    pub(crate) fn asked_to_verify(&self) -> u32 {
        Host::with(|host| host.asked_to_verify)
    }

    /// What this worker's filter has logged at `level`.
    pub(crate) fn log(&self, level: LogLevel) -> Vec<String> {
        Host::with(|host| host.log.iter().filter(|(l, _)| *l == level).map(|(_, m)| m.clone()).collect())
    }
}
