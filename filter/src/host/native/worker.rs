//! The streams and configurations of one thread of Envoy's.
//!
//! A thread is to Postern what a VM is: all that it keeps is its own.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::root::Root;
use crate::stream::Stream;

use super::abi::calls::{Counting, Filter, FilterConfig, Scheduler};
use super::callback::{self, Current, at};
use super::callouts::{self, Answer};
use super::configurations::{self, Configuration};
use super::kept::Kept;
use super::owed_counts;
use super::senders;
use super::ticker::{self, Ticker};

/// The status of answers to requests that cannot be judged.
pub(super) const INTERNAL_SERVER_ERROR: u16 = 500;

/// The number of a stream that could not be opened.
pub(super) const NOT_OPENED: u32 = u32::MAX;

/// The event that brings a tick.
pub(super) const TICK: u64 = 1;
/// The event by which answers of other services, or requests for them, are looked after.
pub(super) const CALLS: u64 = 2;
/// The event in which a configuration keeps the series that have come.
pub(super) const SERIES: u64 = 4;

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::default();
}

/// The state of a thread.
#[derive(Default)]
struct Worker {
    /// The roots, by the numbers of their configurations.
    roots: BTreeMap<u64, Rooted>,
    streams: ByNumber<u32, Entry>,
    /// The number that was given out last, to a root or to a stream.
    last: u32,
    ticker: Option<Arc<Ticker>>,
    /// The stream whose scheduler brings the ticks.
    ticked: Option<u32>,
}

/// A table by numbers that no peer chooses: each chunk looks its stream up.
pub(super) type ByNumber<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// A hash of such numbers.
#[derive(Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        // The table takes the lower bits, and the upper bits of a product are those that tell numbers apart.
        self.0.rotate_left(32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// A configuration that is in force on a thread.
#[derive(Clone)]
struct Rooted {
    /// The root's own number.
    number: u32,
    configuration: Arc<Configuration>,
    root: Rc<RefCell<Root>>,
}

/// A stream and what Envoy keeps of it.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) id: u32,
    pub(super) filter: Filter,
    pub(super) configuration: u64,
    pub(super) stream: Rc<RefCell<Stream>>,
    pub(super) kept: Rc<Kept>,
    /// Says whether the stream is over, and only its end is left.
    has_ended: bool,
    /// The filter that sends to the client.
    pub(super) sender: Option<Filter>,
}

/// Takes a new configuration, on the main thread; returns its number if it is valid.
pub(super) fn configure(config: FilterConfig, name: Vec<u8>, text: Vec<u8>) -> Option<u64> {
    let configuration = configurations::add(config, name, text);
    let number = configuration.number;
    let taken = at(Current::of_main(config, number), || add_root(&configuration)).is_some();
    if taken {
        configuration.set_scheduler(config.scheduler());
        configuration.keep_series(config);
        ticker::set_main(&ticker());
        begin_ticks(configurations::scheduler());
    } else {
        configurations::remove(number);
    }
    taken.then_some(number)
}

/// Takes the end of a configuration, on whichever thread has let go of it last. Its roots end with the next tick of their threads.
pub(super) fn forget_configuration(number: u64) {
    configurations::remove(number);
    if let Some(main) = ticker::main() {
        main.set_scheduler(configurations::scheduler());
    }
}

/// Takes an event of a configuration, on the main thread.
pub(super) fn on_configuration_event(config: FilterConfig, number: u64, event: u64) {
    at(Current::of_main(config, number), || match event {
        TICK => {
            callouts::forget_ended();
            tick();
        }
        SERIES => {
            if let Some(configuration) = configurations::get(number) {
                configuration.keep_series(config);
            }
        }
        _ => {
            callouts::make_calls(config, number);
            take_answers();
        }
    });
}

/// Opens a stream under a configuration, and returns its number.
pub(super) fn open(number: u64, filter: Filter) -> Option<u32> {
    let configuration = configurations::get(number)?;
    let id = next_number();
    let stream = at(Current::of_stream(id, filter, number), || {
        let known =
            WORKER.with_borrow(|worker| worker.roots.get(&number).map(|rooted| Rc::clone(&rooted.root)));
        let root = known.or_else(|| add_root(&configuration))?;
        let stream = root.borrow().open(id);
        Some(Rc::new(RefCell::new(stream)))
    })?;
    let entry = Entry {
        id,
        filter,
        configuration: number,
        stream,
        kept: Rc::default(),
        has_ended: false,
        sender: None,
    };
    WORKER.with_borrow_mut(|worker| worker.streams.insert(id, entry));
    Some(id)
}

/// Has a stream send by the filter that has announced itself, and says whether one has.
pub(super) fn find_sender(id: u32) -> bool {
    let sender = entry(id).and_then(|entry| senders::pair(id, entry.filter));
    WORKER.with_borrow_mut(|worker| {
        if let Some(entry) = worker.streams.get_mut(&id) {
            entry.sender = sender;
        }
    });
    sender.is_some()
}

/// Says whether a stream has been opened.
pub(super) fn knows(id: u32) -> bool {
    WORKER.with_borrow(|worker| worker.streams.contains_key(&id))
}

/// Takes the end of all that Envoy has of a stream.
pub(super) fn forget(id: u32) {
    let entry = WORKER.with_borrow_mut(|worker| worker.streams.remove(&id));
    if let Some(Entry { kept, .. }) = &entry {
        kept.set_waits(false);
    }
    drop(entry);
    hand_ticks_over(id);
}

/// Returns a number that nothing on this thread has: of roots, streams and their senders, and calls to other services. Numbers come
/// again when all have been given out, and what is there for long keeps its own.
pub(super) fn next_number() -> u32 {
    WORKER.with_borrow_mut(|worker| {
        loop {
            worker.last = worker.last.wrapping_add(1);
            let number = worker.last;
            let is_taken = worker.streams.contains_key(&number)
                || worker.roots.values().any(|rooted| rooted.number == number)
                || senders::has(number);
            if !is_taken && number != 0 && number != NOT_OPENED {
                return number;
            }
        }
    })
}

/// Returns the ticker of this thread.
pub(super) fn ticker() -> Arc<Ticker> {
    WORKER.with_borrow_mut(|worker| Arc::clone(worker.ticker.get_or_insert_with(ticker::new)))
}

/// Returns the stream of this number, unless Envoy has destroyed it.
pub(super) fn entry(id: u32) -> Option<Entry> {
    WORKER.with_borrow(|worker| worker.streams.get(&id).cloned())
}

/// Adds the root of a configuration to this thread, if it is valid.
fn add_root(configuration: &Arc<Configuration>) -> Option<Rc<RefCell<Root>>> {
    let number = next_number();
    let mut root = Root::new(number);
    if !root.on_configure(&configuration.text) {
        return None;
    }
    let root = Rc::new(RefCell::new(root));
    let rooted = Rooted { number, configuration: Arc::clone(configuration), root: Rc::clone(&root) };
    WORKER.with_borrow_mut(|worker| worker.roots.insert(configuration.number, rooted));
    Some(root)
}

/// Adds the roots of configurations that have come in the place of those that this thread has: its streams are to learn of them,
/// though no other stream begins.
fn take_up_configurations() {
    let known: Vec<_> = WORKER
        .with_borrow(|worker| worker.roots.values().map(|known| Arc::clone(&known.configuration)).collect());
    for configuration in configurations::successors(&known) {
        callback::enter_configuration(configuration.number);
        add_root(&configuration);
    }
}

/// Ends the roots of these configurations.
fn end_roots(is_ended: impl Fn(u64) -> bool) {
    let next = || {
        WORKER.with_borrow_mut(|worker| {
            let number = worker.roots.keys().copied().find(|number| is_ended(*number))?;
            worker.roots.remove(&number)
        })
    };
    // One by one, so that the others are still there if one panics.
    while let Some(Rooted { root, .. }) = next() {
        root.borrow_mut().on_done();
    }
}

/// Has all roots of this thread do what is due.
pub(super) fn tick() {
    ticker().begin();
    tell_owed();
    take_up_configurations();
    end_roots(|number| configurations::get(number).is_none());
    let roots: Vec<_> = WORKER.with_borrow(|worker| worker.roots.clone().into_iter().collect());
    for (number, Rooted { root, .. }) in roots {
        callback::enter_configuration(number);
        root.borrow_mut().on_tick();
    }
}

/// Tells what is owed: by the configuration at hand, or else by a stream that may tell so much, or by this one if it is owed for long.
fn tell_owed() {
    let Some(Current { counting, .. }) = callback::current() else { return };
    if matches!(counting, Counting::Config(_)) {
        owed_counts::pay(counting);
        return;
    }
    let (count, is_due) = owed_counts::owed();
    if count == 0 || !owed_counts::is_told_by(counting) {
        return;
    }
    let teller = WORKER.with_borrow(|worker| {
        let can_tell = |entry: &&Entry| !entry.has_ended && entry.kept.can_tell(count);
        // What is told by a stream goes with its configuration.
        let newest = worker.streams.values().filter(can_tell).max_by_key(|entry| entry.configuration);
        newest.map(|entry| (Rc::clone(&entry.kept), Counting::Filter(entry.filter)))
    });
    match teller {
        Some((kept, teller)) => {
            kept.note_told(count);
            owed_counts::pay(teller);
        }
        None if is_due => owed_counts::pay(counting),
        None => {}
    }
}

/// Hands the answers that have come to the roots of this thread.
pub(super) fn take_answers() {
    let ticker = ticker();
    while let Some(answer) = ticker.next_answer() {
        let roots = all_roots();
        match callouts::at_hand(answer) {
            Answer::Fetch { call, fields, len } => {
                for root in roots {
                    root.borrow_mut().on_fetched(call, fields, len);
                }
            }
            Answer::NotCalled { call } => {
                for root in roots {
                    root.borrow_mut().on_not_called(call);
                }
            }
            Answer::RateLimit { call, status, len } => {
                if let Some(root) = roots.first() {
                    root.borrow_mut().on_rate_limit_answered(call, status, len);
                }
            }
        }
    }
}

/// Has this stream bring the ticks of its thread, unless another does.
pub(super) fn begin_ticks_of(id: u32) {
    let is_ticked = WORKER.with_borrow(|worker| worker.ticked.is_some());
    let Some(Entry { filter, .. }) = entry(id).filter(|_| !is_ticked) else { return };
    WORKER.with_borrow_mut(|worker| worker.ticked = Some(id));
    begin_ticks(filter.scheduler().map(Arc::new));
}

/// Does what has become due on a thread while no stream was there to bring ticks.
pub(super) fn catch_up(id: u32) {
    let ticker = ticker();
    let is_late = ticker.is_late();
    let is_any_due = is_late || ticker.has_answers();
    let Some(Entry { filter, configuration, .. }) = entry(id).filter(|_| is_any_due) else { return };
    at(Current::of_stream(id, filter, configuration), || {
        take_answers();
        if is_late {
            tick();
        }
    });
}

/// Takes the end of a stream that Envoy has not destroyed yet. Without another the thread rests.
pub(super) fn end(id: u32) {
    let is_last = WORKER.with_borrow_mut(|worker| {
        if let Some(entry) = worker.streams.get_mut(&id) {
            entry.has_ended = true;
        }
        worker.streams.values().all(|entry| entry.has_ended)
    });
    if is_last {
        rest(id);
    }
    if let Some(Entry { filter, .. }) = entry(id) {
        owed_counts::pay(Counting::Filter(filter));
    }
    hand_ticks_over(id);
}

/// Has another stream that has not ended bring the ticks that this one brought.
fn hand_ticks_over(id: u32) {
    let (was_ticked, next) = WORKER.with_borrow_mut(|worker| {
        let was_ticked = worker.ticked.take_if(|ticked| *ticked == id).is_some();
        (was_ticked, worker.streams.values().find(|entry| !entry.has_ended).map(|entry| entry.id))
    });
    if was_ticked {
        ticker().set_scheduler(None);
    }
    if let Some(next) = next {
        begin_ticks_of(next);
    }
}

fn rest(id: u32) {
    let Some(Entry { filter, configuration, .. }) = entry(id) else { return };
    at(Current::of_stream(id, filter, configuration), || {
        all_roots().iter().for_each(|root| root.borrow_mut().rest());
    });
}

fn all_roots() -> Vec<Rc<RefCell<Root>>> {
    WORKER.with_borrow(|worker| worker.roots.values().map(|rooted| Rc::clone(&rooted.root)).collect())
}

fn begin_ticks(scheduler: Option<Arc<Scheduler>>) {
    let ticker = ticker();
    ticker.set_scheduler(scheduler);
    ticker::watch(&ticker);
}

/// Has the ticks of this thread come at this interval, or sooner if they are to.
pub(crate) fn set_tick_period(period: Duration) {
    ticker().set_period(period);
}
