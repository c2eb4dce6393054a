//! The order of trials: a few at once, those that wait beside all others, floods alone at the end. Between them the honest
//! handshake is tried again, so that an endpoint that has locked the audit out is not taken for one that refuses attacks.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::attack::{Outcome, Trial, Verdict};
use super::catalogue::{Entry, Turn};
use super::client::Opened;
use super::trial::Field;

/// The number of attacks between two honest handshakes.
const BATCH: usize = 24;

/// The number of times that the honest handshake is tried before it counts as refused, and the time between.
const TRIES: usize = 3;
const BETWEEN_TRIES: Duration = Duration::from_millis(400);

/// Tries every attack, `at_once` at a time beside those that wait.
pub(crate) fn run(field: &Field, entries: &[Entry], at_once: usize) -> Vec<Outcome> {
    let of = |turn| entries.iter().filter(move |(_, attack)| Turn::of(attack) == turn);
    let (among, beside, alone): (Vec<&Entry>, Vec<&Entry>, Vec<&Entry>) =
        (of(Turn::Among).collect(), of(Turn::Beside).collect(), of(Turn::Alone).collect());
    let outcomes = Mutex::new(Vec::new());
    let tell = |(family, attack): &Entry, verdict| {
        let mut outcomes = outcomes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        outcomes.push(Outcome { attack, family, verdict });
    };
    let mut lost: Option<String> = None;
    std::thread::scope(|scope| {
        for entry in &beside {
            let tell = &tell;
            scope.spawn(move || tell(entry, field.attempt(entry.1)));
        }
        for batch in among.chunks(BATCH) {
            let verdicts = match &lost {
                None => side_by_side(field, batch, at_once),
                Some(seen) => batch.iter().map(|_| locked_out(seen)).collect(),
            };
            lost = lost.take().or_else(|| lockout(field));
            for (entry, verdict) in batch.iter().zip(verdicts) {
                tell(entry, doubted(verdict, lost.as_deref()));
            }
        }
    });
    for entry in alone {
        let verdict = match lost.as_deref() {
            // To be locked out may be what it is about.
            Some(seen) if !matches!(entry.1.trial, Trial::Handshakes) => locked_out(seen),
            _ => field.attempt(entry.1),
        };
        tell(entry, verdict);
    }
    let mut outcomes = outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let place = |outcome: &Outcome| entries.iter().position(|(_, attack)| attack.id == outcome.attack.id);
    outcomes.sort_by_key(place);
    outcomes
}

/// Tries the attacks of a batch, `at_once` at a time, and returns their verdicts in order.
fn side_by_side(field: &Field, batch: &[&Entry], at_once: usize) -> Vec<Verdict> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(batch.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((_, attack)) = batch.get(number) else { return };
                    let verdict = field.attempt(attack);
                    let mut verdicts = verdicts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    verdicts.push((number, verdict));
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    verdicts.sort_by_key(|(number, _)| *number);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// Makes the honest handshake, and says what became of it where it is refused.
fn lockout(field: &Field) -> Option<String> {
    let mut seen = None;
    for attempt in 0..TRIES {
        if attempt > 0 {
            std::thread::sleep(BETWEEN_TRIES);
        }
        match field.client.open(&field.client.honest.request()) {
            Opened::Socket(socket, _) => {
                socket.close();
                return None;
            }
            other => seen = Some(field.seen_of(&other)),
        }
    }
    seen
}

fn locked_out(seen: &str) -> Verdict {
    Verdict::Undetermined(format!("not tried any more, since the honest handshake is let in no more: {seen}"))
}

/// Takes back that an attack was refused, where the honest handshake is by now refused in the same way.
fn doubted(verdict: Verdict, lost: Option<&str>) -> Verdict {
    match (verdict, lost) {
        (Verdict::Closed(seen), Some(lost)) if seen == lost => {
            Verdict::Undetermined(format!("{seen}, but so is the honest handshake by now"))
        }
        (verdict, _) => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_as_the_honest_handshake_is_does_not_count_as_closed() {
        let closed = || Verdict::Closed("answered by 403".to_owned());
        assert_eq!(doubted(closed(), None), closed());
        assert_eq!(doubted(closed(), Some("answered by 429")), closed());
        assert!(matches!(doubted(closed(), Some("answered by 403")), Verdict::Undetermined(_)));
        let open = Verdict::Open("answered by 101".to_owned());
        assert_eq!(doubted(open.clone(), Some("answered by 101")), open);
    }
}
