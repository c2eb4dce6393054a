//! What a peer says: messages, control frames of its own, and answers.

use std::collections::VecDeque;

use postern_engine::Peer;

use crate::numbers::Numbers;
use crate::support::frame;

/// A frame on its way, and whether it answers a Ping of Postern's own.
#[derive(Debug)]
struct Queued {
    bytes: Vec<u8>,
    own: bool,
}

/// What a peer is about to say.
#[derive(Debug)]
pub(crate) struct Mouth {
    peer: Peer,
    queue: VecDeque<Queued>,
    /// How much of the first frame has been said.
    said: usize,
}

/// Bytes as they are said at once.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) bytes: Vec<u8>,
    /// Without answers to Postern's own Pings.
    pub(crate) of_application: Vec<u8>,
}

impl Mouth {
    pub(crate) fn new(peer: Peer) -> Self {
        Self { peer, queue: VecDeque::new(), said: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Thinks of a message, in fragments with control frames between them, or of a control frame.
    pub(crate) fn think(&mut self, numbers: &mut Numbers) {
        if numbers.one_in(5) {
            let (first, len) = (numbers.of(&[0x89, 0x8a]), numbers.of(&[0, 1, 16, 125]));
            return self.push(numbers, first, &vec![b'c'; len]);
        }
        let most = numbers.of(&[0, 5, 100, 130, 5_000, 70_000]);
        let len = numbers.len_to(most);
        let fragments = if numbers.one_in(2) { 1 } else { 1 + numbers.to(4) };
        let opcode = numbers.of(&[1, 2]);
        for left in (0..fragments).rev() {
            let first = if left + 1 == fragments { opcode } else { 0 } | if left == 0 { 0x80 } else { 0 };
            self.push(numbers, first, &vec![b'm'; len / usize::try_from(fragments).unwrap()]);
            if left > 0 && numbers.one_in(4) {
                self.push(numbers, 0x89, b"between");
            }
        }
    }

    /// Answers a Ping: now and then ahead of what is waiting to be said.
    pub(crate) fn answer(&mut self, numbers: &mut Numbers, payload: &[u8], own: bool) {
        let queued = Queued { bytes: self.frame(numbers, 0x8a, payload), own };
        let first = usize::from(self.said > 0);
        let at = if numbers.one_in(2) {
            self.queue.len()
        } else {
            first + numbers.len_to(self.queue.len() - first)
        };
        self.queue.insert(at, queued);
    }

    /// Says some of it.
    pub(crate) fn say(&mut self, numbers: &mut Numbers) -> Said {
        let waiting = self.queue.iter().map(|queued| queued.bytes.len()).sum::<usize>() - self.said;
        let len = match numbers.to(9) {
            0 | 1 => 1,
            2..=4 => numbers.len_to(20),
            5 | 6 => numbers.len_to(waiting),
            // To the end of a frame, as most senders write.
            7 | 8 => self.queue.front().map_or(0, |first| first.bytes.len() - self.said),
            _ => waiting,
        };
        self.take(len.min(waiting))
    }

    /// Says all of it.
    pub(crate) fn say_all(&mut self) -> Said {
        self.take(usize::MAX)
    }

    fn take(&mut self, len: usize) -> Said {
        let mut said = Said::default();
        while said.bytes.len() < len
            && let Some(first) = self.queue.front()
        {
            let end = first.bytes.len().min(self.said.saturating_add(len - said.bytes.len()));
            let part = &first.bytes[self.said..end];
            said.bytes.extend_from_slice(part);
            if !first.own {
                said.of_application.extend_from_slice(part);
            }
            self.said = end;
            if end == first.bytes.len() {
                self.queue.pop_front();
                self.said = 0;
            }
        }
        said
    }

    fn push(&mut self, numbers: &mut Numbers, first: u8, payload: &[u8]) {
        let queued = Queued { bytes: self.frame(numbers, first, payload), own: false };
        self.queue.push_back(queued);
    }

    fn frame(&self, numbers: &mut Numbers, first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = (self.peer == Peer::Client).then(|| [(); 4].map(|()| numbers.byte()));
        frame(first, payload, mask)
    }
}
