//! The fetches from clusters: performs the steps of each [`Source`], and tells the sessions that wait for
//! them.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use log::Level;
use postern_engine::remote::{Answer, FetchError, Outcome, Settled, Source, Step};
use postern_engine::{Detail, Input};

use crate::{host, log_lines, metrics, sessions, stream, tables};

/// The number of times that a swap is tried. Each failure is another worker's success.
const ATTEMPTS: u32 = 16;

/// The fetches of one root context.
#[derive(Default)]
pub(crate) struct Fetches {
    /// The number that names this context among all that fetch; 0 until it is needed.
    holder: u64,
    /// The fetches that are under way, each with the time when it began.
    under_way: HashMap<u32, (Rc<Source>, Duration)>,
    /// The second in which the states were last told.
    told: u64,
}

/// A source with something to tell.
pub(crate) struct Changed {
    source: Rc<Source>,
    /// Says whether there is a new document.
    anew: bool,
}

impl Fetches {
    /// Takes up the documents that are there for `sources`, and fetches nothing.
    pub(crate) fn begin(&mut self, sources: &[Rc<Source>], now: Duration) {
        for source in sources {
            if source.look(&host::shared(source.record_key()).0, self.holder(), now) == Step::Read {
                take_up(source);
            }
        }
    }

    /// Looks after `sources`, and fetches what is due; for `on_tick`.
    pub(crate) fn on_tick(&mut self, sources: &[Rc<Source>], now: Duration) -> Vec<Changed> {
        let changed = sources.iter().filter_map(|source| self.look_after(source, now)).collect();
        if std::mem::replace(&mut self.told, now.as_secs()) != now.as_secs() {
            for source in sources {
                metrics::source(source, now);
            }
        }
        changed
    }

    /// Takes the answer to one of the calls; for `on_http_call_response`.
    pub(crate) fn on_answer(&mut self, call: u32, fields: usize, len: usize, now: Duration) -> Vec<Changed> {
        let Some((source, began)) = self.under_way.remove(&call) else { return Vec::new() };
        let status = if fields > 0 { host::answer_status() } else { Vec::new() };
        // A body that is too large is not read at all.
        let body = match len {
            0 => Vec::new(),
            len if len > source.spec().kind.max_bytes() => Vec::new(),
            len => host::answer_body(len),
        };
        let judged = source.judge(&Answer { status: &status, len, body: &body });
        self.settle(&source, judged, &body, (Some(now.saturating_sub(began)), now));
        self.look_after(&source, now).into_iter().collect()
    }

    /// Takes that one of the calls was not made.
    #[cfg(feature = "dynamic-module")]
    pub(crate) fn on_not_called(&mut self, call: u32, now: Duration) -> Vec<Changed> {
        let Some((source, _)) = self.under_way.remove(&call) else { return Vec::new() };
        self.settle(&source, Err(FetchError::NotCalled), &[], (None, now));
        self.look_after(&source, now).into_iter().collect()
    }

    /// Leaves the fetches that are under way to other workers.
    pub(crate) fn give_up(&mut self, now: Duration) {
        for (source, _) in std::mem::take(&mut self.under_way).into_values() {
            let (record, cas) = host::shared(source.record_key());
            if let Some(released) = source.release(&record, self.holder, now) {
                host::swap_shared(source.record_key(), &released, cas);
            }
        }
    }

    fn look_after(&mut self, source: &Rc<Source>, now: Duration) -> Option<Changed> {
        let mut anew = false;
        for _ in 0..ATTEMPTS {
            let (record, cas) = host::shared(source.record_key());
            match source.look(&record, self.holder(), now) {
                Step::Rest => break,
                Step::Read => anew |= take_up(source),
                Step::Claim(claimed) => {
                    if host::swap_shared(source.record_key(), &claimed, cas) {
                        self.fetch(source, now);
                    }
                }
            }
        }
        source.take_stir().then(|| Changed { source: Rc::clone(source), anew })
    }

    fn fetch(&mut self, source: &Rc<Source>, now: Duration) {
        match host::get(source.spec()) {
            Some(call) => {
                self.under_way.insert(call, (Rc::clone(source), now));
            }
            None => self.settle(source, Err(FetchError::NotCalled), &[], (None, now)),
        }
    }

    /// Settles a fetch that took so long, if it was made, and ends at `now`.
    fn settle(
        &mut self,
        source: &Source,
        judged: Result<Outcome, FetchError>,
        body: &[u8],
        (took, now): (Option<Duration>, Duration),
    ) {
        let (outcome, result) = match judged {
            Ok(outcome) => (outcome, "good"),
            Err(error) => {
                if source.tells_failure() {
                    tell_failure(source, &error);
                }
                (Outcome::FAILED, "failed")
            }
        };
        metrics::fetched(source, result, took);
        for _ in 0..ATTEMPTS {
            let (record, cas) = host::shared(source.record_key());
            let Settled::Swap { document, record } =
                source.settle(&record, outcome, body, self.holder(), now)
            else {
                return;
            };
            let shared = document.is_none_or(|document| host::set_shared(source.document_key(), &document));
            if shared && host::swap_shared(source.record_key(), &record, cas) {
                return;
            }
        }
    }

    fn holder(&mut self) -> u64 {
        if self.holder == 0 {
            self.holder = host::random_number().unwrap_or(1);
        }
        self.holder
    }
}

/// Has the sessions look again that wait for what has changed, and ends those whose owner a new list names.
pub(crate) fn tell(changed: Vec<Changed>, now: Duration) {
    if changed.is_empty() {
        return;
    }
    let revocable =
        changed.iter().filter(|changed| changed.anew).flat_map(|c| sessions::revocable_by(&c.source));
    let concerned: Vec<_> = revocable.chain(sessions::waiting()).collect();
    let mut performed = 0;
    for live in concerned {
        let mut session = live.session.borrow_mut();
        tables::handle(&mut session, Input::Fetched, now);
        // A session that waits on may do so for another time, and one that waits no more must be left alone.
        let waits = session.is_waiting() || live.is_waiting();
        if !session.has_outputs() && !waits {
            continue;
        }
        performed += 1;
        if performed > sessions::AT_ONCE {
            // The turn of these comes in the ticks that follow.
            live.schedule(Some(now));
        } else if host::enter(live.context_id) {
            stream::perform(&live, &mut session, now);
        }
    }
}

fn tell_failure(source: &Source, error: &FetchError) {
    let (title, error) = (source.title(), error.to_string());
    let text = format!("postern: fetch failed {title}: {error}");
    let details = [("source", Detail::Text(&title)), ("message", Detail::Text(&error))];
    log_lines::write(Level::Warn, "fetch_failed", &text, &details);
}

fn take_up(source: &Source) -> bool {
    let taken = source.take_up(&host::shared(source.document_key()).0);
    if !taken {
        let title = source.title();
        let text = format!("postern: what was fetched cannot be read {title}");
        log_lines::write(Level::Warn, "fetched_unreadable", &text, &[("source", Detail::Text(&title))]);
    }
    taken
}
