//! The questions of one session, one after the other, and the wait for each answer.

use std::rc::Rc;
use std::time::Duration;

use postern_config::GlobalCount;

use super::answer::Answer;
use super::availability::{Leave, Purpose};
use super::service::{Question, RateLimitService};
use crate::decision::cause::RateLimitFault;

/// The questions of one session. Whoever asks asks again until there is a verdict.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asking {
    /// The number of the last question.
    number: u32,
    state: State,
    /// The question that has not been put yet, and the time at which it was asked.
    question: Option<Box<(Question, Duration)>>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Idle,
    /// An answer is awaited until this time, since the Unix epoch.
    Asked(Duration),
    Answered(Answer),
}

/// The reason why whoever asks goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsettled {
    /// The answer is awaited until this time, since the Unix epoch.
    Awaits(Duration),
    /// It goes no further at all, or not before this time has passed, where that is known.
    Refused(RateLimitFault, Option<Duration>),
}

/// What a question has come to.
enum Verdict {
    Awaits(Duration),
    Within,
    Over(Option<Duration>),
    Unanswered(RateLimitFault),
}

impl Asking {
    /// Asks `service` for one count by `message`, unless it is asked already, and returns what is known by
    /// `now`. Without an answer the policy decides, but for a token of single use: it may have been used.
    ///
    /// # Errors
    /// Returns the reason to go no further, be it for now.
    pub(crate) fn judge(
        &mut self,
        service: &Rc<RateLimitService>,
        count: GlobalCount,
        message: impl FnOnce() -> Vec<u8>,
        now: Duration,
    ) -> Result<(), Unsettled> {
        match self.ask(service, count, message, now) {
            Verdict::Awaits(until) => Err(Unsettled::Awaits(until)),
            Verdict::Over(wait) => Err(Unsettled::Refused(RateLimitFault::Over(count), wait)),
            Verdict::Unanswered(fault) if count == GlobalCount::Tickets || service.denies_unanswered() => {
                Err(Unsettled::Refused(fault, None))
            }
            Verdict::Unanswered(_) | Verdict::Within => Ok(()),
        }
    }

    fn ask(
        &mut self,
        service: &Rc<RateLimitService>,
        count: GlobalCount,
        message: impl FnOnce() -> Vec<u8>,
        now: Duration,
    ) -> Verdict {
        if count == GlobalCount::Connections {
            // What is asked about in a window must not be told in it.
            service.begin_window(now);
        }
        let verdict = match self.state {
            State::Idle if service.leave(Purpose::Question, now) != Leave::Granted => {
                Verdict::Unanswered(RateLimitFault::NotAsked)
            }
            State::Idle => {
                self.number = self.number.saturating_add(1);
                let (number, service) = (self.number, Rc::clone(service));
                let until = now.saturating_add(service.timeout());
                self.question =
                    Some(Box::new((Question { number, service, count, message: message() }, now)));
                self.state = State::Asked(until);
                return Verdict::Awaits(until);
            }
            State::Asked(until) if now < until => return Verdict::Awaits(until),
            State::Asked(_) | State::Answered(Answer::None) => Verdict::Unanswered(RateLimitFault::NoAnswer),
            State::Answered(Answer::Within) => Verdict::Within,
            State::Answered(Answer::Over(wait)) => Verdict::Over(wait),
        };
        self.state = State::Idle;
        verdict
    }

    /// Takes the answer to the question of this number, and says whether somebody waits for it.
    pub(crate) fn take_answer(&mut self, number: u32, answer: Answer) -> bool {
        let is_awaited = number == self.number && matches!(self.state, State::Asked(_));
        if is_awaited {
            self.state = State::Answered(answer);
        }
        is_awaited
    }

    /// Says whether there is a question that must be put now.
    pub(crate) fn has_question(&self) -> bool {
        self.question.is_some()
    }

    /// Takes the question that must be put now, if there is one. It counts as put.
    pub(crate) fn take_question(&mut self) -> Option<Box<Question>> {
        let (question, asked_at) = *self.question.take()?;
        question.service.begin(Purpose::Question, asked_at);
        Some(Box::new(question))
    }

    /// Moves the end of the wait with a clock that was set back.
    pub(crate) fn set_back(&mut self, by: Duration) {
        if let State::Asked(until) = &mut self.state {
            *until = until.saturating_sub(by);
        }
    }
}
