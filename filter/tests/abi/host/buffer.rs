//! The body of one direction as a filter has it: a chunk during its callback, and what was
//! paused with.

use proxy_wasm::types::{Action, Status};

/// Envoy cuts a stream whose paused bytes grow beyond its connection's buffer limit.
const LIMIT: usize = 32 * 1024;

/// By how much more a chunk may grow that is longer than that. Envoy reads 16 KiB beyond its limits at once, so that the
/// limit of paused bytes has to be twice that of what is read, as docs/operate.md has it.
const LITTLE: usize = 256;

/// One direction's body.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// How many there were when the last of them came.
    received: usize,
    in_callback: bool,
    /// Whether the last callback paused it: outside its callback a filter reaches a buffer only
    /// then, also when it has been resumed since.
    paused: bool,
    /// Whether it has not been resumed since.
    stopped: bool,
}

impl Buffer {
    /// A chunk comes: behind what is paused with, if anything is. The length of both.
    pub(super) fn receive(&mut self, chunk: &[u8]) -> usize {
        self.bytes.extend_from_slice(chunk);
        self.in_callback = true;
        self.received = self.bytes.len();
        self.received
    }

    /// The callback has returned; what goes on by that. Into a stream that was paused, and resumed
    /// outside a callback, the chunk was put like all before: only to resume it lets it go on.
    pub(super) fn returned(&mut self, action: Action) -> Vec<u8> {
        (self.in_callback, self.received) = (false, 0);
        let stays = action == Action::Pause || (self.paused && !self.stopped);
        (self.paused, self.stopped) = (action == Action::Pause, action == Action::Pause);
        if stays { Vec::new() } else { std::mem::take(&mut self.bytes) }
    }

    /// It is resumed; what goes on.
    pub(super) fn resume(&mut self) -> Vec<u8> {
        self.stopped = false;
        std::mem::take(&mut self.bytes)
    }

    fn is_reachable(&self) -> bool {
        self.in_callback || self.paused
    }

    /// `proxy_get_buffer_bytes`.
    pub(super) fn get(&self, start: usize, max_size: usize) -> Result<Vec<u8>, Status> {
        if !self.is_reachable() {
            return Err(Status::NotFound);
        }
        let end = start.checked_add(max_size).ok_or(Status::BadArgument)?.min(self.bytes.len());
        self.bytes.get(start..end).map(<[u8]>::to_vec).ok_or(Status::BadArgument)
    }

    /// `proxy_set_buffer_bytes`, as `Buffer::copyFrom` in Envoy's Wasm extension does it: before
    /// all, in the place of all, or behind all; nothing else.
    pub(super) fn set(&mut self, start: usize, size: usize, bytes: &[u8]) -> Status {
        if !self.is_reachable() {
            return Status::NotFound;
        }
        let before = self.bytes.len().max(self.received);
        if start == 0 && size == 0 {
            self.bytes.splice(..0, bytes.iter().copied());
        } else if start == 0 && size >= self.bytes.len() {
            self.bytes = bytes.to_vec();
        } else if start > 0 && start >= self.bytes.len() {
            self.bytes.extend_from_slice(bytes);
        } else {
            return Status::BadArgument;
        }
        assert!(!self.paused || self.bytes.len() <= before.max(LIMIT) + LITTLE, "Envoy cuts the stream");
        Status::Ok
    }
}
