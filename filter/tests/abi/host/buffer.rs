//! The body of one direction as a filter has it: a chunk during its callback, and what was
//! paused with.

use proxy_wasm::types::Status;

/// One direction's body.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// Outside its callback a filter reaches a buffer only while it is paused with it.
    reachable: bool,
}

impl Buffer {
    /// A chunk comes: behind what is paused with, if anything is. The length of both.
    pub(super) fn receive(&mut self, chunk: &[u8]) -> usize {
        self.bytes.extend_from_slice(chunk);
        self.reachable = true;
        self.bytes.len()
    }

    /// Everything goes on.
    pub(super) fn release(&mut self) -> Vec<u8> {
        self.reachable = false;
        std::mem::take(&mut self.bytes)
    }

    /// `proxy_get_buffer_bytes`.
    pub(super) fn get(&self, start: usize, max_size: usize) -> Result<Vec<u8>, Status> {
        if !self.reachable {
            return Err(Status::NotFound);
        }
        let end = start.checked_add(max_size).ok_or(Status::BadArgument)?.min(self.bytes.len());
        self.bytes.get(start..end).map(<[u8]>::to_vec).ok_or(Status::BadArgument)
    }

    /// `proxy_set_buffer_bytes`, as `Buffer::copyFrom` in Envoy's Wasm extension does it: before
    /// all, in the place of all, or behind all; nothing else.
    pub(super) fn set(&mut self, start: usize, size: usize, bytes: &[u8]) -> Status {
        if !self.reachable {
            return Status::NotFound;
        }
        if start == 0 && size == 0 {
            self.bytes.splice(..0, bytes.iter().copied());
        } else if start == 0 && size >= self.bytes.len() {
            self.bytes = bytes.to_vec();
        } else if start > 0 && start >= self.bytes.len() {
            self.bytes.extend_from_slice(bytes);
        } else {
            return Status::BadArgument;
        }
        Status::Ok
    }
}
