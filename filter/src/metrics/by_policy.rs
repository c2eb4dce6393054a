//! The counts of sessions, added up by policy until they are told.

use std::time::Duration;

use postern_engine::metrics::gauges::Gauges;
use postern_engine::{Heartbeats, Histogram, Measures, Messages, Scale, Tally};

use super::{add, histograms, signed, stopped};
use crate::host;
use crate::host::MetricKind;

/// The counts of a policy since they were last told.
pub(super) struct OfPolicy {
    /// The connections that were opened, less those that are over.
    connections: i64,
    tally: Tally,
    measures: Measures,
    /// The most bytes that one client had not read.
    backlogs: Histogram,
    /// The times that connections were open.
    durations: Histogram,
}

impl Default for OfPolicy {
    fn default() -> Self {
        let (backlogs, durations) = (Histogram::new(Scale::Bytes), Histogram::new(Scale::Lifetimes));
        let (tally, measures) = (Tally::default(), Measures::default());
        Self { connections: 0, tally, measures, backlogs, durations }
    }
}

/// Counts a connection that was opened.
pub(crate) fn connected(policy: &str) {
    of_policy(policy, |counts| counts.connections += 1);
}

/// Adds what went through a session, which is told later.
pub(crate) fn tally(policy: &str, tally: &Tally) {
    if !tally.is_empty() {
        of_policy(policy, |counts| {
            counts.tally.add(tally);
            if let Some(backlog) = tally.backlog {
                counts.backlogs.record(backlog);
            }
        });
    }
}

/// Adds what sessions under a policy have measured, which is told later.
pub(crate) fn measures(policy: &str, measures: Option<Box<Measures>>) {
    if let Some(measures) = measures {
        tally(policy, &measures.last);
        of_policy(policy, |counts| counts.measures.add(&measures));
    }
}

/// Counts a connection that is over, and was open for so long.
pub(crate) fn lasted(policy: &str, time: Duration) {
    of_policy(policy, |counts| {
        counts.connections -= 1;
        counts.durations.record_time(time);
    });
}

impl OfPolicy {
    /// Adds the counts of another worker.
    pub(super) fn add(&mut self, other: &Self) {
        self.connections = self.connections.saturating_add(other.connections);
        self.tally.add(&other.tally);
        self.measures.add(&other.measures);
        self.backlogs.add(&other.backlogs);
        self.durations.add(&other.durations);
    }

    /// Makes the changes of gauges that the sessions of `policy` have counted.
    pub(super) fn change_gauges(&self, policy: &str, gauges: &mut Gauges) {
        let Heartbeats { out_of_reach, parked_to_client, parked_to_upstream, .. } = self.tally.heartbeats;
        gauges.add(&format!("postern_connections.policy={policy};"), self.connections);
        gauges.add(&format!("postern_connections_out_of_reach.policy={policy};"), out_of_reach);
        for (direction, parked) in [("downstream", parked_to_client), ("upstream", parked_to_upstream)] {
            gauges.add(&format!("postern_parked_streams.policy={policy};.direction={direction};"), parked);
        }
    }

    /// Tells the host the counts of `policy`, but for those of gauges.
    pub(super) fn tell(&self, policy: &str) {
        tell_tally(policy, &self.tally);
        tell_measures(policy, &self.measures);
        histograms::add("postern_backlog_bytes", format!(".policy={policy};"), &self.backlogs);
        histograms::add("postern_connection_duration_seconds", format!(".policy={policy};"), &self.durations);
    }
}

fn tell_tally(policy: &str, tally: &Tally) {
    for (direction, messages, pings) in [
        ("downstream", tally.client, tally.heartbeats.to_client),
        ("upstream", tally.upstream, tally.heartbeats.to_upstream),
    ] {
        let name = format!("postern_pings.policy={policy};.direction={direction};");
        add(MetricKind::Counter, name, signed(pings));
        let Messages { allowed, consumed, dropped, refused, unjudged, bytes } = messages;
        let results = [
            ("allowed", allowed),
            ("consumed", consumed),
            ("dropped", dropped),
            ("refused", refused),
            ("unjudged", unjudged),
        ];
        for (result, count) in results {
            let name = format!("postern_messages.policy={policy};.direction={direction};.result={result};");
            add(MetricKind::Counter, name, signed(count));
        }
        let name = format!("postern_bytes.policy={policy};.direction={direction};");
        add(MetricKind::Counter, name, signed(bytes));
    }
}

fn tell_measures(policy: &str, measures: &Measures) {
    let directions = ["downstream", "upstream"];
    for (direction, (sizes, round_trips)) in
        directions.into_iter().zip(measures.sizes.iter().zip(&measures.round_trips))
    {
        let labels = format!(".policy={policy};.direction={direction};");
        histograms::add("postern_message_size_bytes", labels.clone(), sizes);
        histograms::add("postern_ping_round_trip_seconds", labels, round_trips);
    }
    for (awaited, waits) in &measures.waits {
        let labels = format!(".policy={policy};.awaited={};", awaited.name());
        histograms::add("postern_handshake_wait_seconds", labels, waits);
    }
    for ((step, how), times) in &measures.steps {
        stopped(policy, step, *how, *times);
    }
    for (rule, [within, over]) in measures.limits() {
        for (result, times) in [("within", within), ("over", over)] {
            let name = format!("postern_limit_decisions.policy={policy};.rule={rule};.result={result};");
            add(MetricKind::Counter, name, signed(times));
        }
    }
}

fn of_policy(policy: &str, change: impl FnOnce(&mut OfPolicy)) {
    host::with_counts(|counts| match counts.policies.get_mut(policy) {
        Some(of_policy) => change(of_policy),
        None => change(counts.policies.entry(policy.to_owned()).or_default()),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_workers_have_counted_by_a_policy_adds_up() {
        let counted = |allowed, lasted| {
            let client = Messages { allowed, ..Messages::default() };
            let tally = Tally { client, ..Tally::default() };
            let mut counts = OfPolicy { connections: 1, tally, ..OfPolicy::default() };
            counts.durations.record_time(Duration::from_secs(lasted));
            counts
        };
        let mut sum = counted(2, 10);
        sum.add(&counted(3, 600));
        assert_eq!((sum.connections, sum.tally.client.allowed), (2, 5));
        assert_eq!((sum.durations.len(), sum.durations.sum()), (2, counted(0, 610).durations.sum()));
    }

    #[test]
    fn connections_and_streams_that_are_parked_are_the_part_of_the_worker_in_gauges_and_no_counters() {
        let heartbeats = Heartbeats { parked_to_upstream: 2, ..Heartbeats::default() };
        let tally = Tally { heartbeats, ..Tally::default() };
        let counts = OfPolicy { connections: 3, tally, ..OfPolicy::default() };
        let (mut changed, mut as_named) = (Gauges::new(1), Gauges::new(1));
        counts.change_gauges("chat", &mut changed);
        as_named.add("postern_connections.policy=chat;", 3);
        as_named.add("postern_parked_streams.policy=chat;.direction=upstream;", 2);
        assert_eq!(format!("{changed:?}"), format!("{as_named:?}"));
    }
}
