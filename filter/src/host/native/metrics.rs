//! The metrics. Envoy wants each with its labels when a configuration comes, and the values of the labels whenever it is counted.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use super::abi::calls::{FilterConfig, Metric};
use super::callback::{self, Current};
use super::configurations;
use super::owed_counts::{self, Change, Labels};
use super::series::{self, Series};
use super::worker::entry;
use crate::host::MetricKind;

/// The beginning of all names. Envoy puts the namespace of the module before it, and takes that out again if
/// `envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix` is on.
const PREFIX: &str = "postern_";

/// The labels of the documents that are fetched.
const OF_KEYS: [&str; 3] = ["source", "cluster", "provider"];
const OF_LIST: [&str; 3] = ["source", "cluster", "path"];
const OF_OTHERS: [&str; 2] = ["source", "cluster"];

/// A metric that there may be: its kind, its name and the names of its labels in order.
type Known = (MetricKind, &'static str, &'static [&'static str]);

/// The histograms, with the labels of each.
const HISTOGRAMS: [(&str, &[&str]); 9] = [
    ("handshake_wait_seconds", &["policy", "awaited"]),
    ("connection_duration_seconds", &["policy"]),
    ("message_size_bytes", &["policy", "direction"]),
    ("backlog_bytes", &["policy"]),
    ("ping_round_trip_seconds", &["policy", "direction"]),
    ("fetch_duration_seconds", &OF_KEYS),
    ("fetch_duration_seconds", &OF_LIST),
    ("fetch_duration_seconds", &OF_OTHERS),
    ("rate_limit_call_duration_seconds", &["cluster", "count"]),
];

/// The other metrics.
const OTHERS: [Known; 36] = {
    use MetricKind::{Counter, Gauge};
    [
        (Counter, "handshakes", &["policy", "result", "reason"]),
        (Counter, "handshake_steps", &["policy", "step", "result"]),
        (Counter, "violations", &["policy", "rule", "reason", "mode"]),
        (Counter, "closes", &["policy", "reason"]),
        (Counter, "messages", &["policy", "direction", "result"]),
        (Counter, "bytes", &["policy", "direction"]),
        (Counter, "pings", &["policy", "direction"]),
        (Counter, "limit_decisions", &["policy", "rule", "result"]),
        (Counter, "rate_table_full", &["policy"]),
        (Counter, "connection_table_full", &["policy"]),
        (Counter, "single_use_table_full", &["policy"]),
        (Counter, "fetches", &["source", "cluster", "provider", "result"]),
        (Counter, "fetches", &["source", "cluster", "path", "result"]),
        (Counter, "fetches", &["source", "cluster", "result"]),
        (Counter, "rate_limit_calls", &["cluster", "count", "result"]),
        (Counter, "rate_limit_unasked", &["cluster"]),
        (Counter, "verification_fallbacks", &[]),
        (Counter, "configurations_rejected", &[]),
        (Gauge, "waiting", &["policy"]),
        (Gauge, "connections", &["policy"]),
        (Gauge, "connections_out_of_reach", &["policy"]),
        (Gauge, "parked_streams", &["policy", "direction"]),
        (Gauge, "memory_bytes", &[]),
        (Gauge, "held_bytes", &[]),
        (Gauge, "memory_budget_bytes", &[]),
        (Gauge, "source_age_seconds", &OF_KEYS),
        (Gauge, "source_age_seconds", &OF_LIST),
        (Gauge, "source_age_seconds", &OF_OTHERS),
        (Gauge, "source_usable", &OF_KEYS),
        (Gauge, "source_usable", &OF_LIST),
        (Gauge, "source_usable", &OF_OTHERS),
        (Gauge, "source_entries", &OF_KEYS),
        (Gauge, "source_entries", &OF_LIST),
        (Gauge, "source_entries", &OF_OTHERS),
        (Gauge, "envoy_draining", &[]),
        (Gauge, "configuration_timestamp_seconds", &[]),
    ]
};

/// A metric that is defined.
#[derive(Debug)]
struct Defined {
    name: String,
    labels: Vec<&'static str>,
    metric: Metric,
}

/// The metrics of the process. Envoy numbers those of each configuration anew, and alike.
static DEFINED: OnceLock<Vec<Defined>> = OnceLock::new();

thread_local! {
    /// The metrics with the values of their labels, as this thread numbers them.
    static SERIES: RefCell<Vec<Series>> = RefCell::default();
}

/// Defines all metrics, for a configuration that comes.
pub(super) fn define_all(config: FilterConfig) {
    let mut defined = Vec::new();
    let mut add = |kind: MetricKind, name: String, labels: Vec<&'static str>| {
        let name = format!("{PREFIX}{name}");
        if let Some(metric) = config.define(kind, &name, &labels) {
            defined.push(Defined { name, labels, metric });
        }
    };
    for (kind, name, labels) in OTHERS {
        add(kind, name.to_owned(), labels.to_vec());
    }
    for (name, labels) in HISTOGRAMS {
        add(MetricKind::Counter, format!("{name}_sum"), labels.to_vec());
        add(MetricKind::Counter, format!("{name}_count"), labels.to_vec());
        add(MetricKind::Counter, format!("{name}_bucket"), [labels, &["le"]].concat());
    }
    // Another configuration has had the same numbers.
    let _ = DEFINED.set(defined);
}

/// Finds a metric by its whole name, as `postern_closes.policy=chat;.reason=idle_timeout;`, and has its series there.
pub(crate) fn define_metric(kind: MetricKind, name: &str) -> Option<u32> {
    let (name, labels) = parse(name)?;
    let of_kind = |metric| matches!(metric, Metric::Counter(_)) == (kind == MetricKind::Counter);
    let known = DEFINED.get()?.iter().find(|known| {
        known.name == name
            && of_kind(known.metric)
            && known.labels.iter().copied().eq(labels.iter().map(|(label, _)| *label))
    })?;
    let values = labels.iter().map(|(_, value)| value.as_bytes().to_vec()).collect();
    let policy = labels.iter().find(|(label, _)| *label == "policy").map(|(_, value)| Arc::from(*value));
    let series = Series { metric: known.metric, labels: values, policy };
    series::add([series.clone()]);
    let number = SERIES.with_borrow_mut(|all| {
        all.push(series);
        all.len().checked_sub(1)
    })?;
    let number = u32::try_from(number).ok()?;
    increment_metric(number, 0);
    Some(number)
}

/// Has Envoy keep what is counted by these policies for as long as the configuration at hand is there.
pub(crate) fn keep_metrics_of<'p>(policies: impl Iterator<Item = &'p str>) {
    let configuration = callback::current().and_then(|current| configurations::get(current.configuration));
    let Some(configuration) = configuration else { return };
    let policies: HashSet<String> = policies.map(str::to_owned).collect();
    let is_of_them =
        |series: &Series| series.policy.as_deref().is_none_or(|policy| policies.contains(policy));
    // Those of a policy that was gone meanwhile have been forgotten.
    let known: Vec<_> =
        SERIES.with_borrow(|all| all.iter().filter(|series| is_of_them(series)).cloned().collect());
    configuration.keep_series_of(policies);
    series::add(known);
}

/// Adds to a metric.
pub(crate) fn increment_metric(id: u32, by: i64) {
    change(id, Change::Add(by));
}

/// Sets a gauge.
pub(crate) fn record_metric(id: u32, value: u64) {
    change(id, Change::Set(value));
}

fn change(id: u32, change: Change) {
    let Some(current) = callback::current() else { return };
    SERIES.with_borrow(|series| {
        let Some(Series { metric, labels, .. }) = usize::try_from(id).ok().and_then(|id| series.get(id))
        else {
            return;
        };
        if is_told_at_once(current, labels, change) {
            owed_counts::tell(current.counting, *metric, labels, change);
        } else {
            owed_counts::leave(*metric, labels, change);
        }
    });
}

/// Says whether something is counted where it has happened: by a configuration that can, or by a stream that has not counted much,
/// which sets nothing, so that all threads' values of a gauge are told in one order.
fn is_told_at_once(current: Current, labels: &Labels, change: Change) -> bool {
    match current.stream {
        None => owed_counts::is_told_by(current.counting),
        Some(_) if labels.is_empty() => true,
        Some(_) if owed_counts::is_told_later() || matches!(change, Change::Set(_)) => false,
        Some((id, _)) => entry(id).is_some_and(|entry| entry.kept.may_count()),
    }
}

/// Takes a whole name apart.
fn parse(name: &str) -> Option<(&str, Vec<(&str, &str)>)> {
    let (name, mut rest) = match name.split_once('.') {
        Some((name, rest)) => (name, rest),
        None => (name, ""),
    };
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (label, behind) = rest.strip_prefix('.').unwrap_or(rest).split_once('=')?;
        let (value, behind) = behind.split_once(';')?;
        labels.push((label, value));
        rest = behind;
    }
    Some((name, labels))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_name_is_taken_apart_into_its_labels() {
        assert_eq!(parse("postern_held_bytes"), Some(("postern_held_bytes", Vec::new())));
        assert_eq!(
            parse("postern_closes.policy=a.b;.reason=idle_timeout;"),
            Some(("postern_closes", vec![("policy", "a.b"), ("reason", "idle_timeout")]))
        );
        assert_eq!(parse("postern_closes.policy=open"), None);
    }
}
