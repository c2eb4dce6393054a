//! The pause of a stream: the host's treatment of the bytes on their way to one receiver.
//!
//! Knows nothing of frames, nor of why a stream is paused; [`parking`](super::parking) decides that, and so
//! does what a first message lets go on.
//!
//! | from | event | to |
//! | --- | --- | --- |
//! | any | a chunk comes | flowing, until it is settled; holding one chunk less |
//! | any | nothing is left in it, and it is paused | parked |
//! | any | the host is left with bytes | holding |
//! | parked | what is put in goes on, or the host does not park | flowing |

/// The host's treatment of the bytes on their way to a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pause {
    /// Bytes go on with the callback that brings them.
    #[default]
    Flowing,
    /// The stream is paused and holds nothing, so that a frame can be put in at any time.
    Parked,
    /// The stream is paused and holds bytes, and so it is for this many callbacks more, 1 or 2: the one that
    /// brings those bytes again, and the next.
    Holding(u8),
}

impl Pause {
    /// Takes the pause in which a chunk has come. Until the chunk is settled its stream is not parked.
    pub(super) fn take(&mut self) -> Self {
        let after = match self {
            Self::Flowing | Self::Parked | Self::Holding(0 | 1) => Self::Flowing,
            Self::Holding(chunks) => Self::Holding(*chunks - 1),
        };
        std::mem::replace(self, after)
    }

    /// Parks the stream, or has it no longer parked. A stream that holds bytes stays so if it is not parked.
    pub(super) fn set_parked(&mut self, parked: bool) {
        *self = match *self {
            _ if parked => Self::Parked,
            Self::Parked => Self::Flowing,
            other => other,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::Pause::{self, Flowing, Holding, Parked};

    #[test]
    fn a_chunk_finds_the_pause_and_leaves_what_the_next_will_find() {
        for (mut pause, then) in
            [(Flowing, Flowing), (Parked, Flowing), (Holding(2), Holding(1)), (Holding(1), Flowing)]
        {
            let before = pause;
            assert_eq!((pause.take(), pause), (before, then));
        }
    }

    #[test]
    fn only_a_parked_stream_is_let_go_and_any_can_be_parked() {
        for (before, parked, then) in [
            (Flowing, true, Parked),
            (Holding(1), true, Parked),
            (Parked, false, Flowing),
            (Holding(1), false, Holding(1)),
            (Flowing, false, Flowing),
        ] {
            let mut pause: Pause = before;
            pause.set_parked(parked);
            assert_eq!(pause, then, "{before:?} {parked}");
        }
    }
}
