//! The questions to the rate limit service that could not be asked before a first message told who the user is.
//!
//! Owns their order, and what has been settled of a token while they wait. They are there only where the policy
//! asks such a service, and until the client is authenticated.

use std::rc::Rc;
use std::time::Duration;

use postern_config::GlobalCount;

use crate::auth::claims::Claims;
use crate::decision::cause::TokenError;
use crate::decision::{Enforce, Violation};
use crate::rate::Shared;
use crate::rate::bucket_keys::Buckets;
use crate::remote::rate_limit::{Account, Asking, RateLimitService, Unsettled};

/// The counts that may be asked about, in order.
const ORDER: [GlobalCount; 3] = [GlobalCount::Handshakes, GlobalCount::Connections, GlobalCount::Tickets];

/// The questions about one first message.
#[derive(Clone, Debug)]
pub(super) struct Questions {
    service: Rc<RateLimitService>,
    pub(super) asking: Asking,
    /// The claims of the token, once it is admitted, and the number of questions that are settled.
    admitted: Option<(Claims, usize)>,
    /// The account in which what is sent counts once the client is authenticated.
    account: Option<Rc<Account>>,
}

/// The reason why a first message goes no further.
pub(super) enum Stop {
    /// An answer is awaited until this time, since the Unix epoch.
    Awaits(Duration),
    Violates(Violation),
}

impl Questions {
    /// Creates the questions to `service`. `asking` has asked what had to be asked before.
    pub(super) fn new(service: Rc<RateLimitService>, asking: Asking) -> Self {
        Self { service, asking, admitted: None, account: None }
    }

    /// Takes the claims of a token that waits for answers.
    pub(super) fn take_admitted(&mut self) -> Option<(Claims, usize)> {
        self.admitted.take()
    }

    /// Forgets the token that waits.
    pub(super) fn give_back(&mut self) {
        self.admitted = None;
    }

    /// Returns the account in which what is sent counts from now on, if anything is counted by connections.
    pub(super) fn into_account(self) -> Option<Rc<Account>> {
        self.account
    }

    /// Asks what is left to ask about an admitted token, one question after the other, and returns its claims.
    ///
    /// # Errors
    /// Returns the reason to go no further, be it for now.
    pub(super) fn ask(
        &mut self,
        (claims, mut settled): (Claims, usize),
        buckets: &Buckets,
        shared: &mut dyn Shared,
        enforce: Enforce<'_>,
        now: Duration,
    ) -> Result<Claims, Stop> {
        let service = Rc::clone(&self.service);
        let descriptor = buckets.descriptor(&service, Some(&claims));
        for count in ORDER.into_iter().skip(settled) {
            let is_asked = match count {
                GlobalCount::Tickets => service.counts(count),
                // Without a user it was asked at the handshake.
                count => service.counts(count) && service.names_users() && claims.subject().is_some(),
            };
            if is_asked && count == GlobalCount::Tickets {
                let ticket = buckets.ticket(&claims).map_err(TokenError::from);
                let ticket = ticket.map_err(|error| Stop::Violates(error.into()))?;
                let used = shared.look_at_ticket(&ticket, now).refusal();
                used.map_or(Ok(()), &mut *enforce).map_err(Stop::Violates)?;
            }
            let message = || match count {
                GlobalCount::Tickets => service.ticket_message(&claims),
                count => service.message(count, &descriptor, 1),
            };
            let asked = if is_asked { self.asking.judge(&service, count, message, now) } else { Ok(()) };
            match asked {
                Ok(()) => settled = settled.saturating_add(1),
                Err(Unsettled::Refused(fault, _)) => {
                    enforce(fault.into()).map_err(Stop::Violates)?;
                    settled = settled.saturating_add(1);
                }
                Err(Unsettled::Awaits(until)) => {
                    self.admitted = Some((claims, settled));
                    return Err(Stop::Awaits(until));
                }
            }
        }
        self.account = service.account(descriptor);
        Ok(claims)
    }
}
