//! The opening of a direction: its first payload bytes, as far as it is open whether they are another protocol's.
//!
//! Owns when they are looked at. The openings of protocols are known by [`tunnels`](crate::message::tunnels).

use crate::message::tunnels::{Recogniser, Recognition, Tunnelled};
use crate::peer::Peer;

/// The first payload bytes of a direction. It borrows the two parts of its state, which lie where they cost a session least.
#[derive(Debug)]
pub(super) struct Opening<'p> {
    pub(super) sender: Peer,
    /// Says whether it is still to be found out what the bytes are.
    pub(super) is_open: &'p mut bool,
    /// The bytes so far; absent before the first.
    pub(super) begun: &'p mut Option<Box<Begun>>,
}

/// The first payload bytes, as far as they have come.
#[derive(Debug)]
pub(super) struct Begun {
    recogniser: Recogniser,
    /// The recogniser as it stood before the message that is open, if that may still be taken out.
    before: Option<Recogniser>,
}

impl Opening<'_> {
    /// Returns the same opening for a shorter time.
    pub(super) fn reborrow(&mut self) -> Opening<'_> {
        Opening { sender: self.sender, is_open: self.is_open, begun: self.begun }
    }

    /// Begins a message, which `may_be_taken_out` again, and says whether nothing has come before it.
    pub(super) fn begin_message(&mut self, may_be_taken_out: bool) -> bool {
        if !*self.is_open {
            *self.begun = None;
        } else if let Some(begun) = self.begun {
            begun.before = may_be_taken_out.then(|| begun.recogniser.clone());
        }
        *self.is_open && self.begun.is_none()
    }

    /// Forgets the message that began last, which `is_first` if nothing came before it: its receiver never sees it.
    pub(super) fn take_out(&mut self, is_first: bool) {
        if is_first {
            (*self.is_open, *self.begun) = (true, None);
        } else if let Some(begun) = self.begun
            && let Some(before) = begun.before.take()
        {
            begun.recogniser = before;
            *self.is_open = true;
        }
    }

    /// Looks at the next payload, as it reads.
    pub(super) fn push(&mut self, plain: &[u8]) -> Result<(), Tunnelled> {
        if plain.is_empty() || !*self.is_open {
            return Ok(());
        }
        let sender = self.sender;
        let begin = || Box::new(Begun { recogniser: Recogniser::new(sender), before: None });
        let recognition = self.begun.get_or_insert_with(begin).recogniser.push(plain);
        self.follow(recognition)
    }

    /// Takes note that a message has ended.
    pub(super) fn end_message(&mut self) -> Result<(), Tunnelled> {
        let Some(begun) = self.begun.as_mut().filter(|_| *self.is_open) else { return Ok(()) };
        let recognition = begun.recogniser.end_of_message();
        self.follow(recognition)
    }

    fn follow(&mut self, recognition: Recognition) -> Result<(), Tunnelled> {
        if recognition != Recognition::Undecided {
            *self.is_open = false;
            if self.begun.as_ref().is_none_or(|begun| begun.before.is_none()) {
                *self.begun = None;
            }
        }
        match recognition {
            Recognition::Undecided | Recognition::Ordinary => Ok(()),
            Recognition::Tunnel(tunnelled) => Err(tunnelled),
        }
    }
}
