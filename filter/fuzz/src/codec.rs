//! An open WebSocket, held against another codec, tungstenite, on both sides.
//!
//! Input: a byte for the policy, and then what the module `script` makes of the rest: frames of both
//! peers, mostly sound ones, in pieces. Whatever passes reads as the messages that were
//! sent, up to and with the Close, and never as an error. What Postern refuses as a violation of
//! the protocol or as no UTF-8, tungstenite refuses too, but where it is laxer: it takes lengths in a
//! longer form than they need, and any code in a Close. None of that passes Postern, either.
//!
//! tungstenite judges a frame when all of it has come, Postern as soon as it can; so the frame that
//! was refused is completed before tungstenite reads it.

use arbitrary::Unstructured;
use postern_engine::{Peer, Reason};

use crate::line::{Line, Seen};
use crate::reference::{End, Fault, Item, completed, laxness, plainly, tungstenite};
use crate::script::{Said, script};
use crate::stream::{STREAM_POLICIES, StreamPolicy};
use crate::wire::{CLOSE, Frame, frame, frames};

/// What tungstenite tells of a Close whose code it does not know: those of [`Laxness::CloseCode`],
/// and 1014, which IANA has registered since and Postern lets pass.
const OTHER_CODE: &[u8] = b"\x03\xeaProtocol violation";

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let choice = input.arbitrary::<u8>().unwrap_or(0);
    let policy = &STREAM_POLICIES[usize::from(choice) % STREAM_POLICIES.len()];
    let script = script(&mut input);
    let mut line = Line::open(policy, None);
    for Said { after, peer, bytes, piece } in &script {
        line.wait(*after);
        bytes.chunks(*piece).for_each(|chunk| line.send(*peer, chunk, true));
    }
    for peer in [Peer::Client, Peer::Upstream] {
        // Where nothing stands open, a Close goes that waits for a chunk to take the place of.
        line.send(peer, b"", false);
        let sent: Vec<u8> =
            script.iter().filter(|said| said.peer == peer).flat_map(|said| said.bytes.clone()).collect();
        assert_reads_as_sent(policy, peer, &sent, &line.seen);
        let own_violation = line.seen.messages(peer).refused > 0;
        let by_protocol = matches!(line.seen.closed, Some(Reason::ProtocolError | Reason::InvalidUtf8));
        if own_violation && by_protocol && !policy.discards(peer) {
            assert_refused_by_others(policy, peer, &sent, &line.seen);
        }
    }
}

/// Holds what tungstenite reads of what has passed against what was sent.
fn assert_reads_as_sent(policy: &StreamPolicy, peer: Peer, sent: &[u8], seen: &Seen) {
    let passed = seen.passed(peer);
    let mut rest = passed;
    while let Some((_, after)) = frame(rest).filter(|(frame, _)| frame.is_whole()) {
        assert_eq!(laxness(rest), None, "{peer:?}: tungstenite would not see it");
        rest = after;
    }
    let (mut read, end) = tungstenite(peer, passed);
    match end {
        End::Waits | End::Closed => assert_eq!(read, told(plainly(passed)), "two readers disagree"),
        End::Fails(Fault::Utf8) if !policy.proves_text(peer) => {
            // Nobody asked for a proof. So far the readers agree.
            assert!(told(plainly(passed)).starts_with(&read));
            return;
        }
        End::Fails(fault) => panic!("{peer:?}: what has passed is refused: {fault:?}"),
    }
    let sent = told(plainly(sent));
    if let Some(reason) = seen.closed
        && read.last().is_some_and(|last| *last == own_close(reason))
    {
        read.pop();
    } else if seen.closed.is_none() && !seen.reset && !policy.discards(peer) {
        assert_eq!(read.len(), sent.len(), "something is missing");
    }
    if policy.discards(peer) {
        let mut left = sent.iter();
        assert!(
            read.iter().all(|item| left.any(|other| other == item)),
            "another order: {read:?} of {sent:?}"
        );
        if seen.closed.is_none() && !seen.reset {
            let missing = (sent.len() - read.len()) as u64;
            // A message of which not all was sent may have been discarded, too.
            let dropped = seen.tally.client.dropped;
            assert!(dropped == missing || dropped == missing + 1, "{missing} missing, {dropped} dropped");
        }
    } else {
        assert!(sent.starts_with(&read), "{read:?} of {sent:?}");
    }
}

/// Gives tungstenite the frame that Postern refused, behind those that passed.
fn assert_refused_by_others(policy: &StreamPolicy, peer: Peer, sent: &[u8], seen: &Seen) {
    let (passed, _) = frames(seen.passed(peer));
    let own = passed.last().map_or(0, frame_len);
    let refused_at = seen.passed(peer).len() - own;
    let mut bytes = sent[..refused_at].to_vec();
    let refused = completed(&sent[refused_at..]);
    bytes.extend_from_slice(&refused);
    let (read, end) = tungstenite(peer, &bytes);
    if end == End::Fails(Fault::Utf8) && !policy.proves_text(peer) {
        // In a text that was not Postern's to prove.
        assert!(told(plainly(&bytes)).starts_with(&read));
    } else if let End::Fails(_) = end {
        assert_eq!(read, told(plainly(&sent[..refused_at])), "it fails elsewhere");
    } else {
        let laxness = laxness(&refused);
        assert!(laxness.is_some(), "{peer:?}: only Postern refuses {refused:02x?}: {read:?}");
    }
}

fn frame_len(frame: &Frame<'_>) -> usize {
    // Postern's own frames are short.
    2 + frame.header.mask.map_or(0, |key| key.len()) + frame.payload.len()
}

/// `items` as tungstenite tells them.
fn told(mut items: Vec<Item>) -> Vec<Item> {
    for item in &mut items {
        if item.opcode == CLOSE && item.payload.starts_with(&1014u16.to_be_bytes()) {
            item.payload = OTHER_CODE.to_vec();
        }
    }
    items
}

/// Postern's Close.
fn own_close(reason: Reason) -> Item {
    let consequence = reason.consequence();
    Item { opcode: CLOSE, payload: [&consequence.close.to_be_bytes(), consequence.id.as_bytes()].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Laxness;
    use crate::script::frame;

    #[test]
    fn tungstenite_is_as_lax_as_the_table_says() {
        let key = Some([1, 2, 3, 4]);
        let long = [&[0x82, 0xfe, 0, 1, 0, 0, 0, 0, b'x'][..]].concat();
        let cases = [
            (Laxness::LengthNotMinimal, long, b"x".to_vec()),
            (Laxness::CloseCode, frame(CLOSE, true, key, &1005u16.to_be_bytes()), OTHER_CODE.to_vec()),
        ];
        let wide =
            STREAM_POLICIES.iter().find(|policy| !policy.discards(Peer::Client)).expect("there is one");
        for (expected, bytes, payload) in cases {
            let mut line = Line::open(wide, None);
            line.send(Peer::Client, &bytes, false);
            assert_eq!(line.seen.closed, Some(Reason::ProtocolError), "{expected:?}");
            let (read, _) = tungstenite(Peer::Client, &bytes);
            assert_eq!(read.into_iter().map(|item| item.payload).collect::<Vec<_>>(), [payload]);
            assert_eq!(laxness(&bytes), Some(expected));
        }
    }
}
