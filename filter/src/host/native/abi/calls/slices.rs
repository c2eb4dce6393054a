//! The bytes of a body, where Envoy has them.

use std::ops::Range;

use super::super::Buffer;

/// The bytes of a body where Envoy has them: good until the body is changed or the hook ends, whichever comes first.
#[derive(Debug)]
pub(in crate::host::native) struct Slices {
    count: usize,
    /// The place of the slices of most bodies, which costs nothing.
    few: [Buffer; FEW],
    /// The place of more.
    many: Vec<Buffer>,
}

/// The number of slices that most bodies have at most: one for a small read, two where that crosses a block of Envoy's.
const FEW: usize = 4;

impl Slices {
    /// Returns the place for so many slices.
    pub(super) fn with_room_for(count: usize) -> Self {
        let many = if count > FEW { vec![Buffer::NONE; count] } else { Vec::new() };
        Self { count, few: [Buffer::NONE; FEW], many }
    }

    /// Returns the place that Envoy is to write to.
    pub(super) fn room(&mut self) -> &mut [Buffer] {
        if self.many.is_empty() { &mut self.few } else { &mut self.many }
    }

    /// Returns the slices in order.
    pub(in crate::host::native) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let slices = if self.many.is_empty() { &self.few[..] } else { &self.many };
        // SAFETY: whoever has them changes the body only when it has let go of them.
        slices.iter().take(self.count).map(|slice| unsafe { slice.bytes() })
    }

    /// Returns the bytes from this place on, as far as their slice goes.
    pub(in crate::host::native) fn from(&self, place: usize) -> Option<&[u8]> {
        let mut start = 0_usize;
        for slice in self.iter() {
            if place - start < slice.len() {
                return slice.get(place - start..);
            }
            start = start.saturating_add(slice.len());
        }
        None
    }

    /// Puts the bytes of a range into `copied`, in the place of what it has; fewer if there are not as many.
    pub(in crate::host::native) fn copy(&self, range: &Range<usize>, copied: &mut Vec<u8>) {
        copied.clear();
        let mut start = 0_usize;
        for slice in self.iter() {
            let within = |at: usize| at.saturating_sub(start).min(slice.len());
            copied.extend_from_slice(slice.get(within(range.start)..within(range.end)).unwrap_or_default());
            start = start.saturating_add(slice.len());
        }
    }

    /// Returns all of the bytes.
    pub(in crate::host::native) fn to_vec(&self) -> Vec<u8> {
        let mut copied = Vec::new();
        self.copy(&(0..usize::MAX), &mut copied);
        copied
    }
}
