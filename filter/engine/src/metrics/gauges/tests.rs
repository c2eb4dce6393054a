//! VMs that trap, stand still and have their clocks set, in any order.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use crate::rate::slots::testing::Random;

const START: Duration = Duration::from_secs(1_800_000_000);
const TICK: Duration = Duration::from_millis(250);
const NAMES: [&str; 3] =
    ["postern_connections.policy=a;", "postern_connections.policy=b;", "postern_memory_bytes"];

/// The host's side: slots, each with the number that its next writer must know, and the sums.
#[derive(Default)]
struct Host {
    slots: HashMap<u32, (Vec<u8>, u32)>,
    last: u32,
    sums: BTreeMap<String, i64>,
}

impl Host {
    fn sum(&self, name: &str) -> i64 {
        self.sums.get(name).copied().unwrap_or(0)
    }
}

impl SharedSums for Host {
    fn read(&mut self, slot: u32) -> (Vec<u8>, Option<u32>) {
        self.slots.get(&slot).cloned().map_or((Vec::new(), None), |(bytes, number)| (bytes, Some(number)))
    }

    fn swap(&mut self, slot: u32, bytes: &[u8], number: Option<u32>) -> bool {
        let is_current = self.slots.get(&slot).map(|(_, number)| *number) == number;
        if is_current {
            self.last += 1;
            self.slots.insert(slot, (bytes.to_vec(), self.last));
        }
        is_current
    }

    fn add(&mut self, name: &str, by: i64) {
        *self.sums.entry(name.to_owned()).or_default() += by;
    }
}

/// Lets some VMs tick one after the other, for `time`.
fn pass(host: &mut Host, vms: &mut [&mut Gauges], now: &mut Duration, time: Duration) {
    let end = *now + time;
    while *now < end {
        *now += TICK;
        for vm in vms.iter_mut() {
            vm.tick(host, *now);
        }
    }
}

#[test]
fn a_dead_vm_s_part_is_taken_away_within_five_seconds_by_one_of_the_others() {
    let (mut host, mut now) = (Host::default(), START);
    let (mut dies, mut lives, mut other) = (Gauges::new(1), Gauges::new(2), Gauges::new(3));
    dies.add(NAMES[0], 7);
    lives.add(NAMES[0], 2);
    pass(&mut host, &mut [&mut dies, &mut lives, &mut other], &mut now, Duration::from_secs(2));
    assert_eq!(host.sum(NAMES[0]), 9);
    dies.add(NAMES[0], -3);
    dies.add(NAMES[1], 1);
    pass(&mut host, &mut [&mut dies, &mut lives, &mut other], &mut now, TICK);
    assert_eq!(
        (host.sum(NAMES[0]), host.sum(NAMES[1])),
        (6, 1),
        "what has changed is told with the next tick"
    );
    pass(&mut host, &mut [&mut lives, &mut other], &mut now, Duration::from_secs(2));
    assert_eq!(host.sum(NAMES[0]), 6, "nobody is dead yet");
    pass(&mut host, &mut [&mut lives, &mut other], &mut now, Duration::from_secs(3));
    assert_eq!((host.sum(NAMES[0]), host.sum(NAMES[1])), (2, 0));
    pass(&mut host, &mut [&mut lives, &mut other], &mut now, Duration::from_secs(60));
    assert_eq!((host.sum(NAMES[0]), host.sum(NAMES[1])), (2, 0));
}

#[test]
fn where_all_have_died_the_next_one_takes_away_what_they_had_added() {
    let (mut host, mut now) = (Host::default(), START);
    let mut dead = [Gauges::new(1), Gauges::new(2)];
    dead.iter_mut().for_each(|vm| vm.set(NAMES[2], 1 << 20));
    let [first, second] = &mut dead;
    pass(&mut host, &mut [first, second], &mut now, Duration::from_secs(1));
    let mut next = Gauges::new(3);
    next.set(NAMES[2], 5);
    let told = host.sum(NAMES[2]);
    assert_eq!(told, 2 << 20);
    let dead: u32 = (0..20)
        .map(|_| {
            now += TICK;
            next.tick(&mut host, now).dead
        })
        .sum();
    assert_eq!((dead, host.sum(NAMES[2])), (2, 5));
}

#[test]
fn one_that_only_stood_still_adds_its_part_again() {
    let (mut host, mut now) = (Host::default(), START);
    let (mut stands, mut lives) = (Gauges::new(1), Gauges::new(2));
    stands.add(NAMES[0], 7);
    pass(&mut host, &mut [&mut stands, &mut lives], &mut now, Duration::from_secs(1));
    pass(&mut host, &mut [&mut lives], &mut now, Duration::from_secs(10));
    assert_eq!(host.sum(NAMES[0]), 0);
    stands.add(NAMES[0], -6);
    stands.tick(&mut host, now);
    assert_eq!(host.sum(NAMES[0]), 1);
    pass(&mut host, &mut [&mut stands, &mut lives], &mut now, Duration::from_secs(10));
    assert_eq!(host.sum(NAMES[0]), 1, "it has a lease again");
    pass(&mut host, &mut [&mut lives], &mut now, Duration::from_secs(10));
    assert_eq!(host.sum(NAMES[0]), 0);
}

#[test]
fn one_that_ends_gives_back_its_part_at_once_and_its_slot() {
    for is_taken_over in [false, true] {
        let (mut host, mut now) = (Host::default(), START);
        let (mut ends, mut lives) = (Gauges::new(1), Gauges::new(2));
        ends.add(NAMES[0], 7);
        lives.add(NAMES[0], 2);
        pass(&mut host, &mut [&mut ends, &mut lives], &mut now, Duration::from_secs(1));
        if is_taken_over {
            pass(&mut host, &mut [&mut lives], &mut now, Duration::from_secs(10));
        }
        ends.give_back(&mut host);
        assert_eq!(host.sum(NAMES[0]), 2);
        // Streams may end after the last root.
        ends.add(NAMES[0], -7);
        pass(&mut host, &mut [&mut lives], &mut now, Duration::from_secs(10));
        assert_eq!(host.sum(NAMES[0]), 2);
        assert!(host.slots[&0].0.is_empty(), "the slot is free");
    }
}

#[test]
fn no_clock_makes_anybody_dead_who_has_his_ticks() {
    let (mut host, mut now) = (Host::default(), START);
    let mut vms = [Gauges::new(1), Gauges::new(2), Gauges::new(3)];
    let mut random = Random(1);
    for step in 0..2000 {
        now = match random.below(4) {
            0 => Duration::from_secs(random.below(4_000_000_000)),
            _ => now + TICK,
        };
        for vm in &mut vms {
            vm.set(NAMES[0], 1 + step % 2);
            assert_eq!(vm.tick(&mut host, now).dead, 0, "step {step}");
        }
        assert_eq!(host.sum(NAMES[0]), 3 * (1 + i64::try_from(step % 2).unwrap()));
    }
}

#[test]
fn without_a_slot_the_sums_are_told_all_the_same() {
    let (mut host, mut now) = (Host::default(), START);
    let mut others: Vec<_> = (0..u64::from(SLOTS)).map(|id| Gauges::new(id + 1)).collect();
    for vm in &mut others {
        vm.tick(&mut host, now);
    }
    let mut late = Gauges::new(u64::MAX);
    late.add(NAMES[0], 4);
    late.tick(&mut host, now);
    assert_eq!((host.sum(NAMES[0]), host.slots.len()), (4, SLOTS as usize));
    late.add(NAMES[0], -1);
    now += TICK;
    late.tick(&mut host, now);
    assert_eq!(host.sum(NAMES[0]), 3);
    late.give_back(&mut host);
    assert_eq!(host.sum(NAMES[0]), 0);
}

/// A VM's way to the host, on which it waits for its turn before each call.
struct Line {
    host: Arc<Mutex<Host>>,
    turn: Receiver<()>,
    done: SyncSender<bool>,
}

impl Line {
    /// Says that a call, or a whole tick, is over, and waits to be let on.
    fn wait(&self, tick_is_over: bool) {
        let _ = self.done.send(tick_is_over);
        let _ = self.turn.recv();
    }
}

impl SharedSums for Line {
    fn read(&mut self, slot: u32) -> (Vec<u8>, Option<u32>) {
        self.wait(false);
        self.host.lock().unwrap().read(slot)
    }

    fn swap(&mut self, slot: u32, bytes: &[u8], number: Option<u32>) -> bool {
        self.wait(false);
        self.host.lock().unwrap().swap(slot, bytes, number)
    }

    fn add(&mut self, name: &str, by: i64) {
        self.wait(false);
        self.host.lock().unwrap().add(name, by);
    }
}

/// A VM on a thread of its own.
struct Vm {
    turn: SyncSender<()>,
    done: Receiver<bool>,
    gauges: Arc<Mutex<Gauges>>,
    is_between_ticks: bool,
}

impl Vm {
    fn start<'s>(
        scope: &'s thread::Scope<'s, '_>,
        id: u64,
        host: &Arc<Mutex<Host>>,
        clock: &Arc<Mutex<Duration>>,
    ) -> Self {
        let ((turn, turns), (over, done)) = (sync_channel(1), sync_channel(1));
        let gauges = Arc::new(Mutex::new(Gauges::new(id)));
        let mut line = Line { host: Arc::clone(host), turn: turns, done: over };
        let (own, clock) = (Arc::clone(&gauges), Arc::clone(clock));
        scope.spawn(move || {
            // A VM that is let go without a turn has died.
            while line.done.send(true).is_ok() && line.turn.recv().is_ok() {
                let now = *clock.lock().unwrap();
                own.lock().unwrap().tick(&mut line, now);
            }
        });
        let is_between_ticks = done.recv().unwrap();
        Self { turn, done, gauges, is_between_ticks }
    }

    /// Lets the VM make one call.
    fn step(&mut self) {
        self.turn.send(()).unwrap();
        self.is_between_ticks = self.done.recv().unwrap();
    }

    fn finish_tick(&mut self) {
        while !self.is_between_ticks {
            self.step();
        }
    }
}

#[test]
fn whatever_comes_between_any_two_calls_the_sums_are_those_of_the_living() {
    for seed in 0..20 {
        let (host, clock) = (Arc::default(), Arc::new(Mutex::new(START)));
        let mut random = Random(seed);
        thread::scope(|scope| {
            let mut vms: Vec<Vm> = (1..=4).map(|id| Vm::start(scope, id, &host, &clock)).collect();
            let mut last_id = 4;
            for _ in 0..3000 {
                let chosen = usize::try_from(random.below(vms.len() as u64)).unwrap();
                match random.below(200) {
                    // A VM traps: within a tick nothing could, but in the host.
                    0 => {
                        vms[chosen].finish_tick();
                        vms.remove(chosen);
                        last_id += 1;
                        vms.push(Vm::start(scope, last_id, &host, &clock));
                    }
                    1 => *clock.lock().unwrap() = Duration::from_secs(random.below(4_000_000_000)),
                    2..40 => *clock.lock().unwrap() += TICK,
                    // One VM stands still while the others go on.
                    40..42 => {
                        for step in 0..400 {
                            *clock.lock().unwrap() += TICK / 2;
                            let others = (0..vms.len()).filter(|vm| *vm != chosen).collect::<Vec<_>>();
                            vms[others[step % others.len()]].step();
                        }
                    }
                    42..60 if vms[chosen].is_between_ticks => {
                        let name = NAMES[usize::try_from(random.below(3)).unwrap()];
                        vms[chosen].gauges.lock().unwrap().set(name, random.below(5));
                    }
                    _ => vms[chosen].step(),
                }
            }
            for _ in 0..60 {
                *clock.lock().unwrap() += TICK;
                for vm in &mut vms {
                    vm.step();
                    vm.finish_tick();
                }
            }
            for name in NAMES {
                let part = |vm: &Vm| vm.gauges.lock().unwrap().parts.get(name).copied().unwrap_or(0);
                let expected: u64 = vms.iter().map(part).sum();
                let sum = host.lock().unwrap().sum(name);
                assert_eq!(sum, i64::try_from(expected).unwrap(), "seed {seed}: {name}");
            }
            vms.clear();
        });
    }
}
