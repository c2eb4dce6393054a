//! The host's side of a table, and workers that ask it at once.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use super::{DISORDER, EntryKey, KEY_LEN};

/// The shared data of a table: slots by number, each with the number that its next writer must know.
#[derive(Default)]
pub(crate) struct Host {
    slots: HashMap<u32, (Vec<u8>, u32)>,
}

impl Host {
    /// Changes a slot as a worker does that is alone.
    pub(crate) fn change<T>(&mut self, slot: u32, decide: impl FnOnce(&[u8]) -> (T, Option<Vec<u8>>)) -> T {
        let (bytes, number) = self.slots.entry(slot).or_default();
        let (answer, changed) = decide(bytes);
        if let Some(changed) = changed {
            (*bytes, *number) = (changed, *number + 1);
        }
        answer
    }

    /// Returns the number of bytes in all slots together.
    pub(crate) fn len(&self) -> usize {
        self.slots.values().map(|(bytes, _)| bytes.len()).sum()
    }

    fn get(&self, slot: u32) -> (Vec<u8>, u32) {
        self.slots.get(&slot).cloned().unwrap_or_default()
    }

    fn swap(&mut self, slot: u32, bytes: Vec<u8>, number: u32) -> bool {
        let current = self.slots.entry(slot).or_default();
        let is_current = current.1 == number;
        if is_current {
            *current = (bytes, number + 1);
        }
        is_current
    }
}

/// Random numbers that a seed determines.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Returns the names of `count` entries, all of which are in these slots.
pub(crate) fn crowd(count: u64, slots: Range<u32>) -> Vec<EntryKey> {
    let key = |i: u64| {
        let slot = slots.start + u32::try_from(i).unwrap() % (slots.end - slots.start);
        let mut bytes = [0; KEY_LEN];
        bytes[..4].copy_from_slice(&slot.to_le_bytes());
        bytes[8..].copy_from_slice(&i.to_le_bytes());
        EntryKey::of_bytes(bytes)
    };
    (0..count).map(key).collect()
}

/// A game on one table: the questions that it is asked, its decisions, and the answers that come into force.
pub(crate) trait Play {
    type Question: Copy;
    type Answer;

    /// Returns the question of a worker that has just read the clock.
    fn ask(&mut self, random: &mut Random, now: Duration) -> (EntryKey, Self::Question);

    /// Decides by the code under test.
    fn decide(
        &self,
        slot: &[u8],
        question: &Self::Question,
        now: Duration,
    ) -> (Self::Answer, Option<Vec<u8>>);

    /// Notes that an answer has come into force, as the next of all that were given.
    fn answered(&mut self, question: &Self::Question, answer: Self::Answer, now: Duration);
}

/// A worker between reading the clock, reading a slot and swapping it.
enum Worker<Q, A> {
    Idle,
    Asks { key: EntryKey, question: Q, now: Duration },
    Swaps { key: EntryKey, question: Q, now: Duration, answer: A, changed: Vec<u8>, number: u32 },
}

/// Lets `count` workers take `steps` steps in an order that `seed` gives. Time passes, and a
/// worker may be stopped between any two steps for as long as [`DISORDER`] allows.
pub(crate) fn interleave<P: Play>(
    play: &mut P,
    count: usize,
    steps: usize,
    seed: u64,
    start: Duration,
) -> Host {
    let (mut host, mut random, mut clock) = (Host::default(), Random(seed), start);
    let mut workers: Vec<Worker<P::Question, P::Answer>> = (0..count).map(|_| Worker::Idle).collect();
    for _ in 0..steps {
        // Pauses are mostly short, and now and then long.
        let longest = if random.below(16) == 0 { 2_000_000 } else { 20_000 };
        let pause = Duration::from_micros(random.below(longest));
        // A worker that would be too late by then goes on first.
        let late = workers.iter().position(|worker| match worker {
            Worker::Idle => false,
            Worker::Asks { now, .. } | Worker::Swaps { now, .. } => clock + pause > *now + DISORDER,
        });
        let next = late.unwrap_or_else(|| {
            clock += pause;
            usize::try_from(random.below(count as u64)).unwrap()
        });
        let worker = &mut workers[next];
        *worker = match std::mem::replace(worker, Worker::Idle) {
            Worker::Idle => {
                let (key, question) = play.ask(&mut random, clock);
                Worker::Asks { key, question, now: clock }
            }
            Worker::Asks { key, question, now } => {
                let (bytes, number) = host.get(key.slot());
                match play.decide(&bytes, &question, now) {
                    (answer, Some(changed)) => Worker::Swaps { key, question, now, answer, changed, number },
                    (answer, None) => {
                        play.answered(&question, answer, now);
                        Worker::Idle
                    }
                }
            }
            Worker::Swaps { key, question, now, answer, changed, number } => {
                if host.swap(key.slot(), changed, number) {
                    play.answered(&question, answer, now);
                    Worker::Idle
                } else {
                    Worker::Asks { key, question, now }
                }
            }
        };
    }
    host
}
