//! The histograms, each as the counters that Prometheus makes of one: buckets with the label `le`, sum and count.
//!
//! No histograms of the host's: Envoy's have buckets that are no use for seconds below one and for bytes, and cost a
//! call for every value.

use std::cell::RefCell;
use std::collections::BTreeMap;

use postern_engine::Histogram;

use crate::host;
use crate::host::MetricKind;

thread_local! {
    /// The counters of every histogram, by its name and labels.
    static COUNTERS: RefCell<BTreeMap<(&'static str, String), Counters>> = RefCell::default();
}

/// The counters of one histogram, as the host numbers them.
struct Counters {
    buckets: Vec<Option<u32>>,
    sum: Option<u32>,
    count: Option<u32>,
    /// The part of a unit by which the sum is more than the host has been told, whose counters are whole.
    rest: u64,
}

/// Adds to the histogram of this name; `labels` read `.policy=chat;.direction=upstream;`.
pub(super) fn add(name: &'static str, labels: String, values: &Histogram) {
    if values.is_empty() {
        return;
    }
    COUNTERS.with_borrow_mut(|all| {
        let key = (name, labels);
        if !all.contains_key(&key) {
            let counters = define(name, &key.1, values);
            all.insert(key.clone(), counters);
        }
        let Some(counters) = all.get_mut(&key) else { return };
        for (bucket, count) in counters.buckets.iter().zip(values.cumulative()) {
            increment(*bucket, count);
        }
        increment(counters.count, values.len());
        let unit = values.scale().unit();
        let sum = counters.rest.saturating_add(values.sum());
        counters.rest = sum % unit;
        increment(counters.sum, sum / unit);
    });
}

/// Defines all counters at once, so that none is missing however few values there are.
fn define(name: &str, labels: &str, values: &Histogram) -> Counters {
    let counter = |name: String| host::define_metric(MetricKind::Counter, &name);
    let bucket = |bound| counter(format!("{name}_bucket{labels}.le={bound};"));
    Counters {
        buckets: values.scale().bounds().map(bucket).collect(),
        sum: counter(format!("{name}_sum{labels}")),
        count: counter(format!("{name}_count{labels}")),
        rest: 0,
    }
}

fn increment(counter: Option<u32>, by: u64) {
    if let Some(counter) = counter.filter(|_| by > 0) {
        host::increment_metric(counter, i64::try_from(by).unwrap_or(i64::MAX));
    }
}
