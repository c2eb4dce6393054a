//! The counters and gauges, with their labels in their names: Envoy's `stats_tags` take them out.
//!
//! A name reads `postern_handshakes.policy=chat;.result=refused;.reason=origin_denied;`. The counts of every
//! chunk are added up here and told to the host once a tick.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use postern_engine::remote::Source;
use postern_engine::remote::rate_limit::{Answer, RateLimitService};
use postern_engine::{Heartbeats, Messages, Reason, Tally, Violation};
use proxy_wasm::types::MetricType;

use crate::{gauges, host, live, memory};

thread_local! {
    /// The metrics of the VM, which is one thread; all its root contexts share them.
    static METRICS: RefCell<Metrics> = RefCell::default();
}

#[derive(Default)]
struct Metrics {
    ids: HashMap<String, u32>,
    tallies: BTreeMap<String, Tally>,
}

/// Counts a handshake that went up and was agreed on.
pub(crate) fn handshake_allowed(policy: &str) {
    add(MetricType::Counter, handshake_name(policy, "allowed", "none"), 1);
}

/// Counts a handshake that was refused; no policy has an empty name.
pub(crate) fn handshake_refused(policy: &str, reason: Reason) {
    add(MetricType::Counter, handshake_name(policy, "refused", reason.id()), 1);
}

/// Counts a handshake that was agreed on, though it would have been refused if shadowed rules were enforced.
pub(crate) fn handshake_shadowed(policy: &str, reason: Reason) {
    add(MetricType::Counter, handshake_name(policy, "shadow", reason.id()), 1);
}

/// Counts a violation of a rule that is shadowed.
pub(crate) fn found(policy: &str, violation: &Violation) {
    let (rule, reason) = (violation.rule, violation.reason.id());
    let name = format!("postern_violations.policy={policy};.rule={rule};.reason={reason};.mode=shadow;");
    add(MetricType::Counter, name, 1);
}

/// Counts an open connection that was ended.
pub(crate) fn closed(policy: &str, reason: Reason) {
    add(MetricType::Counter, format!("postern_closes.policy={policy};.reason={};", reason.id()), 1);
}

/// Counts a connection that was opened (+1) or is over (-1).
pub(crate) fn connections(policy: &str, change: i64) {
    let name = format!("postern_connections.policy={policy};");
    gauges::add(&name, change);
    // The gauge is there from the first connection on, however soon that ends.
    id(MetricType::Gauge, name);
}

/// Counts a shared bucket for which there was no room.
pub(crate) fn bucket_table_full(policy: &str, times: i64) {
    add(MetricType::Counter, format!("postern_rate_table_full.policy={policy};"), times);
}

/// Counts a signature that the module verified, since the host did not.
pub(crate) fn verification_fallback() {
    add(MetricType::Counter, "postern_verification_fallbacks".to_owned(), 1);
}

/// Counts a token that opens one connection only, and that there was no room to remember.
pub(crate) fn single_use_table_full(policy: &str, times: i64) {
    add(MetricType::Counter, format!("postern_single_use_table_full.policy={policy};"), times);
}

/// Counts a connection that could not be counted against a cap.
pub(crate) fn connection_table_full(policy: &str, times: i64) {
    add(MetricType::Counter, format!("postern_connection_table_full.policy={policy};"), times);
}

/// Counts a fetch of a document from a cluster, with its result.
pub(crate) fn fetched(source: &Source, result: &str) {
    for labels in labels_of(source) {
        add(MetricType::Counter, format!("postern_fetches{labels}.result={result};"), 1);
    }
}

/// Counts a call to a rate limit service, with its answer.
pub(crate) fn rate_limit_call(service: &RateLimitService, counted: &str, answer: Answer) {
    let result = match answer {
        Answer::Within => "within",
        Answer::Over(_) => "over",
        Answer::None => "failed",
    };
    let cluster = label(service.cluster());
    let name = format!("postern_rate_limit_calls.cluster={cluster};.count={counted};.result={result};");
    add(MetricType::Counter, name, 1);
}

/// Counts calls to a rate limit service that were wanted and not made.
pub(crate) fn rate_limit_unasked(cluster: &str, times: u64) {
    let name = format!("postern_rate_limit_unasked.cluster={};", label(cluster));
    add(MetricType::Counter, name, i64::try_from(times).unwrap_or(i64::MAX));
}

/// Returns the sets of labels that a source is counted under, each once.
fn labels_of(source: &Source) -> impl Iterator<Item = String> {
    let kind = source.spec().kind.name();
    let cluster = label(&source.spec().cluster);
    let own = source.labels().into_iter();
    own.map(move |(name, value)| format!(".source={kind};.cluster={cluster};.{name}={};", label(&value)))
}

/// Writes a cluster, provider or path as a label: without the characters that begin or end one within the
/// name of a metric, and without a last dot, which Envoy takes off.
fn label(value: &str) -> String {
    let name = value.trim_end_matches('.');
    let dots = value.len().saturating_sub(name.len());
    name.replace([';', '='], "_") + &"_".repeat(dots)
}

/// Sets the age of the document at hand, in seconds since it was confirmed.
pub(crate) fn source_age(source: &Source, seconds: u64) {
    for labels in labels_of(source) {
        if let Some(id) = id(MetricType::Gauge, format!("postern_source_age_seconds{labels}")) {
            host::record_metric(id, seconds);
        }
    }
}

/// Adds what went through a session, which is told at the next tick.
pub(crate) fn tally(policy: &str, tally: &Tally) {
    if let Some(backlog) = tally.backlog {
        record(format!("postern_backlog_bytes.policy={policy};"), backlog);
    }
    METRICS.with_borrow_mut(|metrics| match metrics.tallies.get_mut(policy) {
        Some(sum) => sum.add(tally),
        None => {
            metrics.tallies.insert(policy.to_owned(), *tally);
        }
    });
}

/// Tells the host what has been added up.
pub(crate) fn flush(now: Duration) {
    let (held, budget) = memory::held_and_budget();
    gauges::set("postern_memory_bytes", host::memory());
    gauges::set("postern_held_bytes", held);
    gauges::set("postern_memory_budget_bytes", budget);
    let tallies = METRICS.with_borrow_mut(|metrics| std::mem::take(&mut metrics.tallies));
    for (policy, tally) in tallies {
        let Heartbeats { to_client, to_upstream, out_of_reach } = tally.heartbeats;
        for (direction, pings) in [("downstream", to_client), ("upstream", to_upstream)] {
            let name = format!("postern_pings.policy={policy};.direction={direction};");
            add(MetricType::Counter, name, i64::try_from(pings).unwrap_or(i64::MAX));
        }
        gauges::add(&format!("postern_connections_out_of_reach.policy={policy};"), out_of_reach);
        for (direction, messages) in [("downstream", tally.client), ("upstream", tally.upstream)] {
            let Messages { allowed, consumed, dropped, refused, unjudged, bytes } = messages;
            let results = [
                ("allowed", allowed),
                ("consumed", consumed),
                ("dropped", dropped),
                ("refused", refused),
                ("unjudged", unjudged),
            ];
            for (result, count) in results {
                let name =
                    format!("postern_messages.policy={policy};.direction={direction};.result={result};");
                add(MetricType::Counter, name, i64::try_from(count).unwrap_or(i64::MAX));
            }
            let name = format!("postern_bytes.policy={policy};.direction={direction};");
            add(MetricType::Counter, name, i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }
    if gauges::tick(now) {
        live::write_all();
    }
}

fn handshake_name(policy: &str, result: &str, reason: &str) -> String {
    format!("postern_handshakes.policy={policy};.result={result};.reason={reason};")
}

/// Adds to a metric.
pub(crate) fn add(kind: MetricType, name: String, by: i64) {
    if by == 0 {
        return;
    }
    if let Some(id) = id(kind, name) {
        host::increment_metric(id, by);
    }
}

fn record(name: String, value: u64) {
    if let Some(id) = id(MetricType::Histogram, name) {
        host::record_metric(id, value);
    }
}

fn id(kind: MetricType, name: String) -> Option<u32> {
    let known = METRICS.with_borrow(|metrics| metrics.ids.get(&name).copied());
    known.or_else(|| {
        let id = host::define_metric(kind, &name)?;
        METRICS.with_borrow_mut(|metrics| metrics.ids.insert(name, id));
        Some(id)
    })
}
