//! The counters and gauges, with their labels in their names: Envoy's `stats_tags` take them out.
//!
//! A name reads `postern_handshakes.policy=chat;.result=refused;.reason=origin_denied;`. What sessions count is added up
//! in [`counts`] and told to the host later.

mod by_policy;
mod counts;
mod histograms;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use log::Level;
use postern_engine::remote::Source;
use postern_engine::remote::rate_limit::{Answer, RateLimitService};
use postern_engine::{Detail, Histogram, Mode, Reason, Scale, Stopped, Violation};

use crate::host::MetricKind;
use crate::{gauges, host, live, log_lines, memory};
pub(crate) use by_policy::{connected, lasted, measures, tally};
pub(crate) use counts::{Counts, Taken};

/// The name that stands for a policy where none is in force.
pub(crate) const NO_POLICY: &str = "none";

thread_local! {
    /// The numbers of the metrics, by their whole names. The VM is one thread, and all its root contexts share them.
    static IDS: RefCell<HashMap<String, u32>> = RefCell::default();
    /// Says whether it was last told that connections go with this Envoy.
    static TOLD_THAT_ENVOY_DRAINS: Cell<bool> = const { Cell::new(false) };
}

/// Counts a handshake that went up and was agreed on.
pub(crate) fn handshake_allowed(policy: &str) {
    add(MetricKind::Counter, handshake_name(policy, "allowed", "none"), 1);
}

/// Counts a handshake that was refused; no policy has an empty name.
pub(crate) fn handshake_refused(policy: &str, reason: Reason) {
    add(MetricKind::Counter, handshake_name(policy, "refused", reason.id()), 1);
}

/// Counts a handshake that was agreed on, though it would have been refused if shadowed rules were enforced.
pub(crate) fn handshake_shadowed(policy: &str, reason: Reason) {
    add(MetricKind::Counter, handshake_name(policy, "shadow", reason.id()), 1);
}

/// Counts an open connection that was ended.
pub(crate) fn closed(policy: &str, reason: Reason) {
    add(MetricKind::Counter, format!("postern_closes.policy={policy};.reason={};", reason.id()), 1);
}

/// Counts what a rule that does not hold has led to.
pub(crate) fn violation(policy: &str, violation: &Violation, mode: Mode) {
    let (rule, reason, mode) = (violation.rule, violation.reason.id(), mode.name());
    let name = format!("postern_violations.policy={policy};.rule={rule};.reason={reason};.mode={mode};");
    add(MetricKind::Counter, name, 1);
}

/// Counts handshakes that the step of this id has stopped.
pub(crate) fn stopped(policy: &str, step: &str, stopped: Stopped, times: u64) {
    let (step, result) = (step.replace(' ', "_"), stopped.name());
    let name = format!("postern_handshake_steps.policy={policy};.step={step};.result={result};");
    add(MetricKind::Counter, name, signed(times));
}

/// Counts a stream that has begun to wait for something that is fetched or answered (+1), or does so no more (-1).
pub(crate) fn waiting(policy: &str, change: i64) {
    gauges::add(&format!("postern_waiting.policy={policy};"), change);
}

/// Counts a configuration that was not valid. The VM that has taken it may be gone at once, and with it what it
/// counts, but for metrics that other VMs have defined as well.
pub(crate) fn configuration_rejected() {
    add(MetricKind::Counter, REJECTED.to_owned(), 1);
}

/// Notes that a configuration with these policies is in force from `now` on. What should never move, or may stand still
/// for long, is there from the start.
pub(crate) fn configured<'p>(policies: impl Iterator<Item = &'p str>, now: Duration) {
    for policy in policies {
        for name in
            ["postern_rate_table_full", "postern_connection_table_full", "postern_single_use_table_full"]
        {
            id(MetricKind::Counter, format!("{name}.policy={policy};"));
        }
        for name in ["postern_connections", "postern_connections_out_of_reach", "postern_waiting"] {
            id(MetricKind::Gauge, format!("{name}.policy={policy};"));
        }
    }
    for name in [REJECTED, FALLBACKS] {
        id(MetricKind::Counter, name.to_owned());
    }
    id(MetricKind::Gauge, ENVOY_DRAINS.to_owned());
    if let Some(id) = id(MetricKind::Gauge, "postern_configuration_timestamp_seconds".to_owned()) {
        host::record_metric(id, now.as_secs());
    }
}

/// Notes whether connections of any filter go with this Envoy. All VMs write the same gauge: one that has some says so again and
/// again, and one that has none any more says so once.
pub(crate) fn envoy_drains(drains: bool) {
    let was_told = TOLD_THAT_ENVOY_DRAINS.replace(drains);
    if (drains || was_told)
        && let Some(id) = id(MetricKind::Gauge, ENVOY_DRAINS.to_owned())
    {
        host::record_metric(id, u64::from(drains));
    }
}

const ENVOY_DRAINS: &str = "postern_envoy_draining";
const REJECTED: &str = "postern_configurations_rejected";
const FALLBACKS: &str = "postern_verification_fallbacks";

/// Counts a shared bucket for which there was no room.
pub(crate) fn bucket_table_full(policy: &str, times: i64) {
    add(MetricKind::Counter, format!("postern_rate_table_full.policy={policy};"), times);
}

/// Counts a signature that the module verified, since the host did not.
#[cfg(not(feature = "dynamic-module"))]
pub(crate) fn verification_fallback() {
    add(MetricKind::Counter, FALLBACKS.to_owned(), 1);
}

/// Counts a token that opens one connection only, and that there was no room to remember.
pub(crate) fn single_use_table_full(policy: &str, times: i64) {
    add(MetricKind::Counter, format!("postern_single_use_table_full.policy={policy};"), times);
}

/// Counts a connection that could not be counted against a cap.
pub(crate) fn connection_table_full(policy: &str, times: i64) {
    add(MetricKind::Counter, format!("postern_connection_table_full.policy={policy};"), times);
}

/// Counts a fetch of a document from a cluster, with its result and the time that it took, if it was made.
pub(crate) fn fetched(source: &Source, result: &str, took: Option<Duration>) {
    // The stream in whose callback an answer comes has no part in it.
    host::tell_later(|| {
        for labels in labels_of(source) {
            add(MetricKind::Counter, format!("postern_fetches{labels}.result={result};"), 1);
            if let Some(took) = took {
                histograms::add("postern_fetch_duration_seconds", labels, &one(took));
            }
        }
    });
}

/// Counts a call to a rate limit service, with its answer and the time that it took, if it was made.
pub(crate) fn rate_limit_call(
    service: &RateLimitService,
    counted: &str,
    answer: Answer,
    took: Option<Duration>,
) {
    let result = match answer {
        Answer::Within => "within",
        Answer::Over(_) => "over",
        Answer::None => "failed",
    };
    let cluster = label(service.cluster());
    let name = format!("postern_rate_limit_calls.cluster={cluster};.count={counted};.result={result};");
    host::tell_later(|| {
        add(MetricKind::Counter, name, 1);
        if let Some(took) = took {
            let labels = format!(".cluster={cluster};.count={counted};");
            histograms::add("postern_rate_limit_call_duration_seconds", labels, &one(took));
        }
    });
}

/// Counts calls to a rate limit service that were wanted and not made.
pub(crate) fn rate_limit_unasked(cluster: &str, times: u64) {
    let name = format!("postern_rate_limit_unasked.cluster={};", label(cluster));
    add(MetricKind::Counter, name, signed(times));
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

/// Tells the state of a source at `now`: the age of the document at hand, since it was confirmed, whether it can be
/// used, and how much it has.
pub(crate) fn source(source: &Source, now: Duration) {
    let set = |name: String, value| {
        if let Some(id) = id(MetricKind::Gauge, name) {
            host::record_metric(id, value);
        }
    };
    let (entries, age) = (source.entries(now), source.age(now));
    for labels in labels_of(source) {
        if let Some(age) = age {
            set(format!("postern_source_age_seconds{labels}"), age.as_secs());
        }
        set(format!("postern_source_usable{labels}"), u64::from(entries.is_some()));
        set(format!("postern_source_entries{labels}"), entries.map_or(0, |entries| entries as u64));
    }
}

/// Tells the host what has been added up, if it is here that it is told. Writes anew what the others have forgotten if they had taken
/// this worker for dead.
pub(crate) fn flush(now: Duration) {
    let (held, budget) = memory::held_and_budget();
    set_memory([host::memory(), held, budget]);
    tell_added(now);
    if host::with_counts(Counts::take_was_lost) {
        live::write_all();
    }
}

/// Tells the host the same, and that this worker, which has no connections now, has no part in what its connections may hold.
#[cfg(feature = "dynamic-module")]
pub(crate) fn rest(now: Duration) {
    set_memory([0; 3]);
    tell_added(now);
}

/// Sets the parts of this worker in what the module has taken, in what is held of that, and in how much may be, in bytes.
fn set_memory([taken, held, budget]: [u64; 3]) {
    gauges::set("postern_memory_bytes", taken);
    gauges::set("postern_held_bytes", held);
    gauges::set("postern_memory_budget_bytes", budget);
}

fn tell_added(now: Duration) {
    let mut taken = Taken::default();
    host::each_counts(|counts| counts.take(&mut taken, now));
    tell(taken);
}

/// Tells the host what was taken.
pub(crate) fn tell(taken: Taken) {
    let Taken { policies, sums, dead } = taken;
    host::tell_later(|| {
        sums.into_iter().for_each(|(name, by)| add(MetricKind::Gauge, name, by));
        policies.iter().for_each(|(policy, counts)| counts.tell(policy));
    });
    if dead > 0 {
        let text =
            format!("postern: VMs have trapped (or stood still): {dead}; what they counted is taken back");
        log_lines::write(Level::Error, "trapped", &text, &[("vms", Detail::Number(u64::from(dead)))]);
    }
}

/// Returns a histogram of one time in which an answer has come.
fn one(time: Duration) -> Histogram {
    let mut histogram = Histogram::new(Scale::Waits);
    histogram.record_time(time);
    histogram
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn handshake_name(policy: &str, result: &str, reason: &str) -> String {
    format!("postern_handshakes.policy={policy};.result={result};.reason={reason};")
}

/// Adds to a metric.
pub(crate) fn add(kind: MetricKind, name: String, by: i64) {
    if by == 0 {
        return;
    }
    if let Some(id) = id(kind, name) {
        host::increment_metric(id, by);
    }
}

fn id(kind: MetricKind, name: String) -> Option<u32> {
    let known = IDS.with_borrow(|ids| ids.get(&name).copied());
    known.or_else(|| {
        let id = host::define_metric(kind, &name)?;
        IDS.with_borrow_mut(|ids| ids.insert(name, id));
        Some(id)
    })
}
