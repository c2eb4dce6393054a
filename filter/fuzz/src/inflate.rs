//! Compressed messages.
//!
//! Input: a byte for the window and whether the context is taken over, one for the size of the
//! pieces, one for the length of the first message; then the first message and the second. What a
//! message inflates to does not depend on its pieces, nor, once its history is gone, on the message
//! before it; and no sink is given more than it asked for and a window.

use arbitrary::Unstructured;
use postern_engine::cause::FrameFault;
use postern_engine::websocket::inflate::{Context, Inflater};

const LIMIT: usize = 64 * 1024;

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let [context, step, first_len] = input.arbitrary::<[u8; 3]>().unwrap_or_default();
    let context = Context { window_bits: 8 + (context & 7), takeover: context & 8 != 0 };
    let first = input.bytes(usize::from(first_len).min(input.len())).unwrap_or_default();
    let second = input.take_rest();

    let step = usize::from(step).max(1);
    let mut inflaters = [Inflater::new(context), Inflater::new(context), Inflater::new(context)];
    let mut say = |payload: &[u8]| {
        let steps = [payload.len().max(1), step, 1];
        let [whole, in_steps, in_bytes] =
            [0, 1, 2].map(|i| message(&mut inflaters[i], context, payload, steps[i]));
        assert_eq!(whole, in_steps);
        assert_eq!(whole, in_bytes);
        whole
    };
    let history = say(first).is_ok() && context.takeover;
    let after = say(second);
    if !history {
        assert_eq!(after, message(&mut Inflater::new(context), context, second, step));
    }
}

/// Why a message does not inflate.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stop {
    Broken,
    TooLong,
}

impl From<FrameFault> for Stop {
    fn from(_: FrameFault) -> Self {
        Self::Broken
    }
}

/// What a message inflates to, in pieces of `step` bytes.
fn message(inflater: &mut Inflater, context: Context, payload: &[u8], step: usize) -> Result<Vec<u8>, Stop> {
    let window = 1 << context.window_bits;
    let mut output = Vec::new();
    let mut refused = false;
    let mut sink = |piece: &[u8]| {
        assert!(!refused, "the sink is asked again");
        assert!(!piece.is_empty() && piece.len() <= window);
        output.extend_from_slice(piece);
        refused = output.len() > LIMIT;
        if refused { Err(Stop::TooLong) } else { Ok(()) }
    };
    let pushed = payload.chunks(step).try_for_each(|piece| inflater.push(piece, &mut sink));
    assert!(output.len() <= LIMIT + window);
    pushed?;
    inflater.finish()?;
    Ok(output)
}
