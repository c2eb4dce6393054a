//! The metrics that the module defines and counts.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::log;

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter = 0,
    Gauge = 1,
}

/// A change of a metric.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Add(u64),
    Subtract(u64),
    Set(u64),
}

/// A metric, with its values by those of its labels, each with a zero behind it.
#[derive(Debug)]
struct Metric {
    name: String,
    labels: Vec<String>,
    values: HashMap<Vec<u8>, i64>,
}

/// The metrics of each kind, by their numbers.
static METRICS: Mutex<[Vec<Metric>; 2]> = Mutex::new([Vec::new(), Vec::new()]);

/// Defines a metric, and returns its number: those of each configuration are numbered alike, as Envoy does.
pub(crate) fn define(kind: Kind, name: &str, labels: Vec<String>) -> usize {
    let metrics = &mut METRICS.lock().expect("the metrics")[kind as usize];
    let known = metrics.iter().position(|metric| metric.name == name && metric.labels == labels);
    known.unwrap_or_else(|| {
        metrics.push(Metric { name: name.to_owned(), labels, values: HashMap::new() });
        metrics.len() - 1
    })
}

/// Changes a metric, and returns Envoy's status: not 0 where there is none of that number with so many labels.
pub(crate) fn change(kind: Kind, id: usize, labels: &[u8], change: Change) -> u32 {
    let metrics = &mut METRICS.lock().expect("the metrics")[kind as usize];
    let count = labels.iter().filter(|byte| **byte == 0).count();
    let Some(metric) = metrics.get_mut(id).filter(|metric| metric.labels.len() == count) else {
        log::broken(format!("{kind:?} {id} with {count} labels is not defined"));
        return 1;
    };
    let value = match metric.values.get_mut(labels) {
        Some(value) => value,
        None => metric.values.entry(labels.to_vec()).or_default(),
    };
    match change {
        Change::Add(by) => *value = value.saturating_add_unsigned(by),
        Change::Subtract(by) => *value = value.saturating_sub_unsigned(by),
        Change::Set(to) => *value = i64::try_from(to).unwrap_or(i64::MAX),
    }
    0
}

/// Returns the sum of all values of a metric whose labels have these.
pub(crate) fn sum(name: &str, having: &[(&str, &str)]) -> i64 {
    let metrics = METRICS.lock().expect("the metrics");
    let mut sum = 0;
    for metric in metrics.iter().flatten().filter(|metric| metric.name == name) {
        for (values, value) in &metric.values {
            let has = |(label, wanted): &(&str, &str)| {
                let mut pairs = metric.labels.iter().zip(values.split(|byte| *byte == 0));
                pairs.any(|(known, is)| known == label && is == wanted.as_bytes())
            };
            sum += if having.iter().all(has) { *value } else { 0 };
        }
    }
    sum
}
