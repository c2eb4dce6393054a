//! A worker: a thread with some streams under way at once, and the events of the module's.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::events::{self, Target};
use crate::random::Random;
use crate::script::Script;
use crate::session::Session;
use crate::tally::Tally;
use crate::{connections, log, streams};

/// How many streams are under way at once.
const STREAMS: usize = 12;

/// How many streams have been begun, over all workers.
pub(crate) static BEGUN: AtomicU64 = AtomicU64::new(0);

/// Plays streams until `requests` were begun by all workers, and these have ended.
pub(crate) fn run(requests: u64, seed: u64, panics: bool) -> Tally {
    let (mut random, mut tally) = (Random::new(seed), Tally::default());
    let mut sessions: Vec<Session> = Vec::new();
    loop {
        while sessions.len() < STREAMS && BEGUN.fetch_add(1, Ordering::Relaxed) < requests {
            let script = Script::choose(&mut random, panics);
            sessions.push(Session::open(script, &mut random));
        }
        if sessions.is_empty() {
            break;
        }
        if random.one_in(4) {
            take_events();
        }
        let chosen = random.below(sessions.len());
        if sessions[chosen].step() {
            sessions.swap_remove(chosen).finish(&mut tally);
        }
    }
    take_events();
    if streams::open_streams() > 0 {
        log::broken(format!("{} streams have not ended", streams::open_streams()));
    }
    if connections::open_connections() > 0 {
        log::broken(format!("{} connections have not ended", connections::open_connections()));
    }
    tally
}

fn take_events() {
    while let Some((target, event)) = events::next() {
        match target {
            Target::Stream(handle) => {
                if let Some(stream) = streams::find(handle) {
                    stream.on_event(event);
                }
            }
            Target::Configuration(_) => {
                log::broken("an event of a configuration came to a worker".to_owned())
            }
        }
    }
}
