//! What all workers of an Envoy share: shared data and metrics.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::thread;

use proxy_wasm::types::{MetricType, Status};

use super::foreign::Verification;
use super::worker::Worker;

/// One Envoy.
#[derive(Default)]
pub(crate) struct Envoy {
    shared: Mutex<HashMap<Vec<u8>, Shared>>,
    metrics: Mutex<Vec<Metric>>,
    /// How the keys begin to which nothing can be written.
    refused_keys: Option<&'static str>,
    /// What its function `verify_signature` does.
    pub(super) verification: Verification,
}

/// A shared value, and the number that its next writer has to know.
struct Shared {
    value: Vec<u8>,
    cas: u32,
}

struct Metric {
    kind: MetricType,
    name: String,
    value: i64,
}

impl Envoy {
    /// An Envoy in which every write of shared data comes too late.
    pub(crate) fn without_shared_data() -> Self {
        Self::refusing("")
    }

    /// An Envoy in which every write to the keys that begin so comes too late.
    pub(crate) fn refusing(keys: &'static str) -> Self {
        Self { refused_keys: Some(keys), ..Self::default() }
    }

    /// An Envoy whose workers share these values already.
    pub(crate) fn sharing(values: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let shared = values.into_iter().map(|(key, value)| (key.into_bytes(), Shared { value, cas: 1 }));
        Self { shared: Mutex::new(shared.collect()), ..Self::default() }
    }

    /// An Envoy whose function `verify_signature` does this.
    pub(crate) fn verifying(verification: Verification) -> Self {
        Self { verification, ..Self::default() }
    }

    /// Runs `scene` on one worker.
    pub(crate) fn worker<T: Send>(self, scene: impl FnOnce(&Worker) -> T + Send) -> T {
        let [result] = self.workers([scene]);
        result
    }

    /// Runs every scene on a worker of its own, all at once.
    pub(crate) fn workers<T: Send, const N: usize>(
        self,
        scenes: [impl FnOnce(&Worker) -> T + Send; N],
    ) -> [T; N] {
        let envoy = Arc::new(self);
        thread::scope(|scope| {
            let workers = scenes.map(|scene| {
                let envoy = Arc::clone(&envoy);
                scope.spawn(move || scene(&Worker::start(envoy)))
            });
            workers.map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    /// The metrics that are not zero, by name, but for the time of the configuration.
    pub(crate) fn metrics(&self) -> BTreeMap<String, i64> {
        let metrics = self.metrics.lock().unwrap();
        let is_told =
            |metric: &&Metric| metric.value != 0 && metric.name != "postern_configuration_timestamp_seconds";
        metrics.iter().filter(is_told).map(|m| (m.name.clone(), m.value)).collect()
    }

    pub(super) fn shared(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.shared.lock().unwrap().get(key).map(|shared| (shared.value.clone(), shared.cas))
    }

    /// As proxy-wasm-cpp-host does it: a number of zero asks nothing, and neither does one for a
    /// key that does not exist.
    pub(super) fn set_shared(&self, key: &[u8], value: &[u8], cas: u32) -> Status {
        let mut shared = self.shared.lock().unwrap();
        let current = shared.get(key).map(|shared| shared.cas);
        let is_refused = self.refused_keys.is_some_and(|refused| key.starts_with(refused.as_bytes()));
        if is_refused || current.is_some_and(|current| cas != 0 && cas != current) {
            return Status::CasMismatch;
        }
        let cas = current.unwrap_or(0) + 1;
        shared.insert(key.to_vec(), Shared { value: value.to_vec(), cas });
        Status::Ok
    }

    pub(super) fn define_metric(&self, kind: MetricType, name: String) -> u32 {
        let mut metrics = self.metrics.lock().unwrap();
        let known = metrics.iter().position(|metric| metric.kind == kind && metric.name == name);
        let index = known.unwrap_or_else(|| {
            metrics.push(Metric { kind, name, value: 0 });
            metrics.len() - 1
        });
        u32::try_from(index).unwrap()
    }

    pub(super) fn record_metric(&self, id: u32, value: u64) -> Status {
        let mut metrics = self.metrics.lock().unwrap();
        match metrics.get_mut(id as usize) {
            Some(metric) if metric.kind == MetricType::Gauge => {
                metric.value = i64::try_from(value).unwrap();
                Status::Ok
            }
            Some(metric) if metric.kind == MetricType::Counter => Status::BadArgument,
            Some(_) => Status::Ok,
            None => Status::NotFound,
        }
    }

    pub(super) fn increment_metric(&self, id: u32, by: i64) -> Status {
        let mut metrics = self.metrics.lock().unwrap();
        let Some(metric) = metrics.get_mut(id as usize) else { return Status::NotFound };
        // A counter goes up only, and no gauge is negative.
        if (metric.kind == MetricType::Counter && by < 0) || metric.value + by < 0 {
            return Status::BadArgument;
        }
        metric.value += by;
        Status::Ok
    }
}
