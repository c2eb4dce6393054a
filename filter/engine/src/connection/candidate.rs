//! A Pong that may answer a Ping of Postern's own, collected until its payload tells.

use crate::websocket::frame_reader::Frame;
use crate::websocket::mask::Mask;
use crate::websocket::{FrameHeader, OpCode};

use super::sent_pings::PAYLOAD_LEN;

/// The header of the Pong, and its bytes as they came.
#[derive(Debug)]
pub(super) struct Candidate {
    header: FrameHeader,
    bytes: Vec<u8>,
}

impl Candidate {
    /// Says whether a frame with this header may answer a Ping of Postern's own.
    pub(super) fn fits(header: &FrameHeader) -> bool {
        header.opcode == OpCode::PONG && header.payload_len == PAYLOAD_LEN as u64
    }

    /// Begins a Pong with its header.
    pub(super) fn new(header: FrameHeader) -> Self {
        Self { header, bytes: Vec::with_capacity(header.len + PAYLOAD_LEN) }
    }

    /// Takes the next bytes of the frame.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the number of bytes of the Pong that are there.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Says whether all of the Pong is there.
    pub(super) fn is_whole(&self) -> bool {
        self.bytes.len() == self.header.len + PAYLOAD_LEN
    }

    /// Returns the payload of the Pong, unmasked, once it is whole.
    pub(super) fn payload(&self) -> [u8; PAYLOAD_LEN] {
        let mut plain = [0; PAYLOAD_LEN];
        let mask = self.header.mask.map(Mask::new).unwrap_or_default();
        mask.remove(self.bytes.get(self.header.len..).unwrap_or_default(), &mut plain);
        plain
    }

    /// Returns the collected Pong as a frame that ends at `position` of the chunk.
    pub(super) fn frame(&self, position: usize) -> Frame {
        Frame { header: self.header, starts_message: false, is_beyond: false, range: position..position }
    }

    /// Returns the bytes of the Pong as they came.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
