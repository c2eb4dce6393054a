//! The calls to rate limit services: questions that sessions wait for, and reports of what connections send.
//!
//! The SDK hands an answer to whichever context made the call, or to nobody if that is a stream that is gone. So
//! calls are known here by their numbers, over all contexts of the VM.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use log::Level;
use postern_engine::remote::rate_limit::{
    Answer, News, Purpose, Question, RateLimitService, RateLimits, Report,
};
use postern_engine::{Detail, Input};

use crate::sessions::Live;
use crate::{host, log_lines, memory, metrics, sessions, stream, tables};

thread_local! {
    /// The calls under way.
    static CALLS: RefCell<BTreeMap<u32, Call>> = RefCell::default();
}

/// The time after its deadline at which a call counts as ended, since Envoy ends each by its own timeout: its
/// stream is gone, and the SDK has nobody to tell.
const FORGOTTEN: Duration = Duration::from_secs(1);

/// The most bytes that are read of an answer.
const MAX_ANSWER: usize = 32 * 1024;

/// A call under way.
struct Call {
    service: Rc<RateLimitService>,
    /// The word for what is counted.
    counted: &'static str,
    made_at: Duration,
    caller: Caller,
}

/// Whoever the answer is for.
enum Caller {
    /// The session with the question of this number.
    Session(Rc<Live>, u32),
    /// The counts that were told.
    Counts(Rc<RateLimits>, Report),
}

impl Caller {
    fn purpose(&self) -> Purpose {
        match self {
            Self::Session(..) => Purpose::Question,
            Self::Counts(..) => Purpose::Report,
        }
    }
}

/// Puts the question of a session, and says whether there will be an answer.
pub(crate) fn ask(live: &Rc<Live>, question: Question, now: Duration) -> bool {
    let counted = question.counted();
    let Question { number, service, message, .. } = question;
    call(service, counted, &message, Caller::Session(Rc::clone(live), number), now).is_ok()
}

/// Makes a call, or gives the caller back.
fn call(
    service: Rc<RateLimitService>,
    counted: &'static str,
    message: &[u8],
    caller: Caller,
    now: Duration,
) -> Result<(), Caller> {
    let Some(number) = host::ask_rate_limit(&service, message) else {
        service.take_failure(caller.purpose());
        metrics::rate_limit_call(&service, counted, Answer::None, None);
        return Err(caller);
    };
    let call = Call { service, counted, made_at: now, caller };
    CALLS.with_borrow_mut(|calls| calls.insert(number, call));
    Ok(())
}

/// Takes the answer to a call, of this gRPC status and length; for `on_grpc_call_response` of any context.
pub(crate) fn on_answer(number: u32, status: u32, len: usize) {
    let Some(Call { service, counted, made_at, caller }) =
        CALLS.with_borrow_mut(|calls| calls.remove(&number))
    else {
        return;
    };
    let now = host::now();
    // A message that is too long is not read at all, and is none then.
    let message = match len {
        1..=MAX_ANSWER => host::grpc_answer(len),
        _ => Vec::new(),
    };
    let answer = service.take_answer(caller.purpose(), status, &message);
    metrics::rate_limit_call(&service, counted, answer, Some(now.saturating_sub(made_at)));
    match caller {
        Caller::Session(live, number) => {
            if !host::enter(live.context_id) {
                return;
            }
            let mut session = live.session.borrow_mut();
            tables::handle(&mut session, Input::RateLimitAnswered(number, answer), now);
            stream::perform(&live, &mut session, now);
            drop(session);
            memory::keep_within_budget(now);
        }
        Caller::Counts(limits, report) => {
            limits.settle(&report, answer);
            // Others may wait for this one.
            send_reports(&limits, now);
        }
    }
}

/// Reports what is due, ends the connections that must end for what was reported, and forgets calls whose
/// answers nobody will bring; for `on_tick`.
pub(crate) fn on_tick(limits: &Rc<RateLimits>, now: Duration) {
    forget(now);
    tell(limits.take_news());
    end_condemned(limits, now);
    send_reports(limits, now);
}

/// Sends the reports that are due.
fn send_reports(limits: &Rc<RateLimits>, now: Duration) {
    for mut report in limits.take_reports(now) {
        let (service, counted) = (Rc::clone(report.service()), report.counted());
        let message = std::mem::take(&mut report.message);
        let caller = Caller::Counts(Rc::clone(limits), report);
        if let Err(Caller::Counts(limits, report)) = call(service, counted, &message, caller, now) {
            limits.settle(&report, Answer::None);
        }
    }
}

/// Tells log and metrics what is new of the services.
fn tell(news: Vec<News>) {
    for News { cluster, unasked, is_down } in news {
        metrics::rate_limit_unasked(&cluster, unasked);
        match is_down {
            Some(true) => {
                let text = format!("postern: rate limit service down cluster={cluster}: it does not answer");
                let details = [("cluster", Detail::Text(&cluster))];
                log_lines::write(Level::Warn, "rate_limit_down", &text, &details);
            }
            Some(false) => {
                let text = format!("postern: rate limit service up cluster={cluster}: it answers again");
                let details = [("cluster", Detail::Text(&cluster))];
                log_lines::write(Level::Info, "rate_limit_up", &text, &details);
            }
            None => {}
        }
    }
}

/// Ends connections for what is counted over the mesh.
fn end_condemned(limits: &Rc<RateLimits>, now: Duration) {
    if !limits.has_condemned() {
        return;
    }
    let mut performed = 0;
    for live in sessions::scheduled() {
        let mut session = live.session.borrow_mut();
        if !session.is_condemned() {
            continue;
        }
        tables::handle(&mut session, Input::RateLimitExceeded, now);
        performed += 1;
        if performed > sessions::AT_ONCE {
            // The turn of these comes in the ticks that follow.
            live.schedule(Some(now));
        } else if host::enter(live.context_id) {
            stream::perform(&live, &mut session, now);
        }
    }
    limits.forget_condemned();
}

/// Forgets the calls of streams that are gone.
fn forget(now: Duration) {
    CALLS.with_borrow_mut(|calls| {
        calls.retain(|_, call| {
            let patience = call.service.timeout().saturating_add(FORGOTTEN);
            let is_over = now.checked_sub(call.made_at).is_some_and(|since| since > patience);
            if is_over {
                call.service.give_up(call.caller.purpose());
            }
            !is_over
        });
    });
}
