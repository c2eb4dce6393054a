//! The chunk of a body callback, or what Envoy keeps of a body, and what is put in its place.

use std::ops::Range;

use postern_engine::cause::HostFault;
use postern_engine::{Blocks, Chunk, Passage, Peer, Unreadable};

use super::abi::calls::{Body, Filter, Slices};
use super::callback::{self, Current, Effect};
use crate::host::Flow;

/// The bytes of a body where Envoy has them. Only a range that lies in several pieces is copied.
#[derive(Debug)]
pub(crate) struct HostChunk {
    place: Option<(Filter, Body)>,
    len: usize,
    /// Says whether the callback at hand has brought the bytes, and takes them on.
    is_at_hand: bool,
    /// Says whether the stream to the upstream has to be parked.
    parks: bool,
    slices: Option<Slices>,
    copied: Vec<u8>,
}

impl HostChunk {
    /// Creates the view of a chunk of `len` bytes from `sender`.
    pub(crate) fn new(sender: Peer, len: usize) -> Self {
        let current = callback::current();
        let brought = current.and_then(|current| current.body).filter(|(of, _)| *of == sender);
        let kept = match sender {
            Peer::Client => Body::KeptRequest,
            Peer::Upstream => Body::KeptResponse,
        };
        let body = brought.map_or(kept, |(_, body)| body);
        let parks = sender == Peer::Client && current.is_some_and(|current| current.parks);
        let place = current.and_then(|Current { stream, .. }| stream).map(|(_, filter)| (filter, body));
        Self { place, len, is_at_hand: brought.is_some(), parks, slices: None, copied: Vec::new() }
    }

    /// Leaves of the chunk what goes on, and returns what becomes of that. Only the stream to the upstream is ever parked, without a
    /// connection that takes frames of ours: they can go to the client at any time.
    ///
    /// # Errors
    /// Returns the fault of a host that did not let that be done.
    pub(crate) fn let_go(&mut self, passage: &Passage) -> Result<Flow, HostFault> {
        if !self.pass(passage) {
            return Err(HostFault::Chunk);
        }
        if passage.hold || passage.park && passage.is_empty() {
            return Ok(Flow::Pause);
        }
        if self.parks && passage.park {
            return self.let_go_parked().ok_or(HostFault::NotResumed);
        }
        if !self.is_at_hand && !callback::put_off(Effect::ContinueRequest) {
            return Err(HostFault::NotResumed);
        }
        Ok(Flow::Continue)
    }

    /// Lets all of a chunk go on, whose stream is parked and stays so.
    pub(crate) fn let_go_parked(&self) -> Option<Flow> {
        let (_, body) = self.place?;
        match self.parks {
            true => callback::put_off(Effect::PassParked(body)).then_some(Flow::Pause),
            false => Some(Flow::Continue),
        }
    }

    fn pass(&mut self, passage: &Passage) -> bool {
        if passage.is_whole(self.len) {
            return true;
        }
        let Some((filter, body)) = self.place else { return false };
        let bytes = if passage.keep == 0 && passage.rest.as_slice().is_empty() {
            passage.before.to_vec(0)
        } else {
            match self.window(0..self.len) {
                Ok(chunk) => passage.bytes(chunk),
                Err(Unreadable) => return false,
            }
        };
        // The slices are of the body as it was.
        self.slices = None;
        let is_drained = self.len == 0 || filter.drain(body, self.len);
        is_drained && (bytes.is_empty() || filter.append(body, &bytes))
    }
}

impl Chunk for HostChunk {
    // What lies in several pieces is copied.
    const LONGEST_WHOLE: usize = 4 * 1024;

    fn len(&self) -> usize {
        self.len
    }

    fn at_hand(&mut self, range: Range<usize>) -> Result<&[u8], Unreadable> {
        if range.end > self.len || range.start > range.end {
            return Err(Unreadable);
        }
        let Some((filter, body)) = self.place else { return Err(Unreadable) };
        let slices = self.slices.get_or_insert_with(|| filter.body(body));
        match slices.from(range.start) {
            Some(bytes) if bytes.len() >= range.len() => Ok(bytes),
            _ => {
                slices.copy(&range, &mut self.copied);
                (self.copied.len() == range.len()).then_some(self.copied.as_slice()).ok_or(Unreadable)
            }
        }
    }

    fn piece(&mut self, range: Range<usize>) -> Result<&[u8], Unreadable> {
        if range.is_empty() {
            return Ok(&[]);
        }
        let bytes = self.at_hand(range.start..range.start + 1)?;
        Ok(bytes.get(..range.len()).unwrap_or(bytes))
    }
}

/// Sends `frames` to `receiver`.
#[must_use]
pub(crate) fn send_parked(receiver: Peer, frames: &Blocks) -> bool {
    let bytes = frames.to_vec(0);
    callback::put_off(match receiver {
        Peer::Client => Effect::ToClient(bytes),
        Peer::Upstream => Effect::ToUpstream(bytes),
    })
}
