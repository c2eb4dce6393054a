use std::ops::Range;

use super::*;
use crate::testing::{from_client, from_upstream};
use crate::websocket::OpCode;
use crate::websocket::frame_reader::{FrameLimits, Step};

const LIMITS: FrameLimits = FrameLimits {
    compressible: false,
    inflated: false,
    text: true,
    binary: true,
    max_frame_bytes: 300,
    max_message_bytes: 500,
    max_fragments: 3,
};

type IsText = fn(&[u8], Mask) -> bool;

/// Says whether a payload begins with a `t`, which stands for whatever a text must prove.
const BEGINS_WITH_T: IsText = |payload, mask| {
    let mut plain = [0];
    mask.remove(payload, &mut plain) == b"t"
};

/// Returns what `skim` must find, by the ordinary steps: each frame that passes them, is a whole message of
/// its own that need not be inflated, and lies in the chunk.
fn stepped(
    reader: &FrameReader,
    mut chunk: &[u8],
    position: usize,
    is_text: Option<IsText>,
) -> (Run, FrameReader) {
    let mut run = Run { end: position, ..Run::default() };
    let mut reader = reader.clone();
    loop {
        let mut ahead = reader.clone();
        let Step::Frame(frame) = ahead.step(&mut chunk, run.end).unwrap() else { return (run, reader) };
        let header = frame.header;
        let mut end = frame.range.end;
        if header.payload_len > 0
            && let Step::Payload(range) = ahead.step(&mut chunk, end).unwrap()
        {
            end = range.end;
        }
        let payload = &chunk[frame.range.end..end];
        let is_whole = frame.starts_message && header.fin && ahead.at_boundary();
        let is_to_be_inflated = header.is_compressed() && reader.limits.inflated;
        let may_be_read = header.opcode != OpCode::TEXT
            || is_text.is_none_or(|is_text| is_text(payload, header.mask.map(Mask::new).unwrap_or_default()));
        if !is_whole || is_to_be_inflated || !may_be_read {
            return (run, reader);
        }
        run.sizes.count(header.payload_len);
        let payload_bytes = run.payload_bytes + header.payload_len;
        run = Run { end, messages: run.messages + 1, payload_bytes, ..run };
        // Of a message that is over nothing is left but its size, for which nobody asks.
        reader = FrameReader { message: reader.message, ..ahead };
    }
}

fn assert_as_stepped(
    reader: &FrameReader,
    chunk: &[u8],
    is_text: Option<IsText>,
    what: &dyn std::fmt::Debug,
) -> Run {
    let run = reader.skim(&mut &chunk[..], 0, is_text).unwrap();
    let (expected, behind) = stepped(reader, chunk, 0, is_text);
    assert_eq!(run, expected, "{what:?}");
    assert_eq!(format!("{reader:?}"), format!("{behind:?}"), "{what:?}");
    run
}

fn from(sender: Peer, first: u8, payload: &[u8]) -> Vec<u8> {
    match sender {
        Peer::Client => from_client(first, payload),
        Peer::Upstream => from_upstream(first, payload),
    }
}

/// The form in which a length is written.
#[derive(Clone, Copy, Debug)]
enum Form {
    Short,
    Bits16,
    Bits64,
}

/// Returns a header of these values, whether it may have them or not; `None` if the form has no room for the
/// length.
fn header(first: u8, masked: bool, form: Form, len: u64) -> Option<Vec<u8>> {
    let bit = if masked { 0x80 } else { 0 };
    let mut header = vec![first];
    match form {
        Form::Short => header.push(u8::try_from(len).ok().filter(|len| *len < 126)? | bit),
        Form::Bits16 => {
            header.push(126 | bit);
            header.extend(u16::try_from(len).ok()?.to_be_bytes());
        }
        Form::Bits64 => {
            header.push(127 | bit);
            header.extend(len.to_be_bytes());
        }
    }
    if masked {
        header.extend([1, 2, 3, 4]);
    }
    Some(header)
}

/// Returns a payload that begins with `t` once the mask of [`header`] is off, or with something else.
fn payload(masked: bool, t: bool, len: usize) -> Vec<u8> {
    let mut payload = vec![0xe7; len];
    if let (Some(first), true) = (payload.first_mut(), t) {
        *first = if masked { b't' ^ 1 } else { b't' };
    }
    payload
}

#[test]
fn what_is_skimmed_is_what_the_steps_would_have_gone_past() {
    let limits = [
        ("as they are", LIMITS),
        ("messages shorter than frames", FrameLimits { max_message_bytes: 200, ..LIMITS }),
        ("no text", FrameLimits { text: false, ..LIMITS }),
        ("no binary", FrameLimits { binary: false, ..LIMITS }),
        ("one fragment", FrameLimits { max_fragments: 1, ..LIMITS }),
        ("no fragment", FrameLimits { max_fragments: 0, ..LIMITS }),
        ("compressible", FrameLimits { compressible: true, ..LIMITS }),
        ("inflated", FrameLimits { compressible: true, inflated: true, max_message_bytes: 200, ..LIMITS }),
    ];
    // The cases are every first byte with a few lengths, and every length with a few first bytes.
    let few: Vec<_> = (0..=u8::MAX).flat_map(|first| [(first, 1), (first, 126)]).collect();
    let many = [0x81, 0x82, 0x01, 0xc1].map(|first| [0, 125, 200, 201, 300, 301].map(|len| (first, len)));
    let frames = [few, many.concat()].concat();
    let forms = [Form::Short, Form::Bits16, Form::Bits64];
    let flags = [(true, true), (true, false), (false, true), (false, false)];
    let mut skimmed = 0;
    for (name, limits) in limits {
        for sender in [Peer::Client, Peer::Upstream] {
            let reader = FrameReader::new(sender, limits);
            let good = if limits.binary { from(sender, 0x82, b"") } else { from(sender, 0x81, b"t") };
            for (first, len) in &frames {
                for ((masked, t), form) in flags.into_iter().flat_map(|flags| forms.map(|form| (flags, form)))
                {
                    let Some(header) = header(*first, masked, form, *len as u64) else { continue };
                    let chunk = [&good[..], &header, &payload(masked, t, *len), &good].concat();
                    for is_text in [None, Some(BEGINS_WITH_T)] {
                        let what = (name, sender, first, masked, form, len, t, is_text.is_some());
                        let run = assert_as_stepped(&reader, &chunk, is_text, &what);
                        skimmed += usize::from(run.messages == 3);
                    }
                }
            }
        }
    }
    assert!(skimmed > 100, "{skimmed}");
}

#[test]
fn a_frame_is_skimmed_only_once_the_chunk_has_all_of_it() {
    for sender in [Peer::Client, Peer::Upstream] {
        let frames = [(0x82, &b""[..]), (0x81, b"text"), (0x82, &[7; 200]), (0x82, b"")]
            .map(|(first, payload)| from(sender, first, payload));
        let ends: Vec<_> = (1..=frames.len()).map(|count| frames[..count].concat().len()).collect();
        let bytes = frames.concat();
        let reader = FrameReader::new(sender, LIMITS);
        for cut in 0..=bytes.len() {
            let run = assert_as_stepped(&reader, &bytes[..cut], Some(BEGINS_WITH_T), &(sender, cut));
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!((run.messages, run.end), (whole as u64, frames[..whole].concat().len()), "{cut}");
        }
    }
}

#[test]
fn lengths_that_no_chunk_has_are_left_to_the_steps() {
    let reader = FrameReader::new(
        Peer::Client,
        FrameLimits { max_frame_bytes: u64::MAX, max_message_bytes: u64::MAX, ..LIMITS },
    );
    for len in [65_536, u64::from(u32::MAX), 1 << 32, (1 << 32) + 1, u64::MAX >> 1, 1 << 63, u64::MAX] {
        for first in [0x81, 0x82] {
            let chunk = [header(first, true, Form::Bits64, len).unwrap(), vec![0; 50]].concat();
            let run = reader.skim(&mut &chunk[..], 0, Some(BEGINS_WITH_T)).unwrap();
            assert_eq!(run, Run::default(), "{len}");
        }
    }
}

#[test]
fn nothing_is_skimmed_while_anything_is_open() {
    let binary = from_client(0x82, b"whole");
    let cases: [(&str, Vec<u8>); 5] = [
        ("a header", vec![0x82]),
        ("a payload", from_client(0x82, b"cut")[..7].to_vec()),
        ("a message", from_client(0x02, b"fragment")),
        ("a message, behind a Ping", [from_client(0x02, b""), from_client(0x89, b"")].concat()),
        ("nothing, behind a Close", from_client(0x88, b"")),
    ];
    for (what, before) in cases {
        let mut reader = FrameReader::new(Peer::Client, LIMITS);
        let mut position = 0;
        loop {
            match reader.step(&mut &before[..], position).unwrap() {
                Step::Frame(frame) => position = frame.range.end,
                Step::Payload(range) => position = range.end,
                Step::End => break,
                Step::Violation(violation) => panic!("{what}: {violation}"),
            }
        }
        let run = reader.skim(&mut &binary[..], 0, Some(BEGINS_WITH_T)).unwrap();
        assert_eq!(run, Run::default(), "{what}");
    }
    let reader = FrameReader::new(Peer::Client, LIMITS);
    assert_eq!(reader.skim(&mut &binary[..], 0, Some(BEGINS_WITH_T)).unwrap().messages, 1);
}

/// A chunk of which `at_least` bytes are fetched at a time, and the ranges that were asked of it.
struct Fetched<'a> {
    bytes: &'a [u8],
    at_least: usize,
    asked: Vec<Range<usize>>,
}

/// The length of the longest text that such a chunk gives as one.
const LONGEST_WHOLE: usize = 5000;

impl Chunk for Fetched<'_> {
    const LONGEST_WHOLE: usize = LONGEST_WHOLE;

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn at_hand(&mut self, range: Range<usize>) -> Result<&[u8], Unreadable> {
        assert!(range.end <= self.bytes.len(), "{range:?} of {}", self.bytes.len());
        let end = range.end.max(range.start + self.at_least).min(self.bytes.len());
        let bytes = &self.bytes[range.start..end];
        self.asked.push(range);
        Ok(bytes)
    }
}

#[test]
fn what_is_at_hand_changes_nothing_and_is_asked_for_once() {
    let frames: Vec<_> = [0, 1, 5, 13, 14, 15, 125, 126, 300]
        .into_iter()
        .flat_map(|len| [from_client(0x82, &vec![b't'; len]), from_client(0x81, &vec![b't'; len.max(1)])])
        .collect();
    let bytes = [frames.concat(), from_client(0x89, b"Ping")].concat();
    let reader = FrameReader::new(Peer::Client, LIMITS);
    let (expected, _) = stepped(&reader, &bytes, 0, Some(BEGINS_WITH_T));
    assert_eq!((expected.messages, expected.end), (frames.len() as u64, frames.concat().len()));
    for at_least in (0..400).chain([bytes.len()]) {
        let mut chunk = Fetched { bytes: &bytes, at_least, asked: Vec::new() };
        assert_eq!(reader.skim(&mut chunk, 0, Some(BEGINS_WITH_T)).unwrap(), expected, "by {at_least}");
        if at_least == bytes.len() {
            assert_eq!(chunk.asked.len(), 1);
        }
    }
}

#[test]
fn a_long_text_is_read_where_it_is_at_hand_and_is_not_fetched_in_one_piece() {
    let wide = FrameLimits { max_frame_bytes: 1 << 20, max_message_bytes: 1 << 20, ..LIMITS };
    let reader = FrameReader::new(Peer::Client, wide);
    for (frame_len, asked, messages) in [(LONGEST_WHOLE, 2, 1), (LONGEST_WHOLE + 1, 1, 0)] {
        // The header is two bytes, a 16-bit length and a masking key.
        let len = frame_len - 8;
        let header = header(0x81, true, Form::Bits16, len as u64).unwrap();
        let bytes = [header, payload(true, true, len)].concat();
        let mut chunk = Fetched { bytes: &bytes, at_least: 100, asked: Vec::new() };
        let run = reader.skim(&mut chunk, 0, Some(BEGINS_WITH_T)).unwrap();
        assert_eq!((chunk.asked.len(), run.messages), (asked, messages), "{frame_len}");
        assert_eq!(reader.skim(&mut &bytes[..], 0, Some(BEGINS_WITH_T)).unwrap().messages, 1, "at hand");
    }
}

#[test]
fn a_chunk_that_cannot_be_read_is_no_run() {
    struct Dark;
    impl Chunk for Dark {
        fn len(&self) -> usize {
            100
        }

        fn at_hand(&mut self, _range: Range<usize>) -> Result<&[u8], Unreadable> {
            Err(Unreadable)
        }
    }
    let reader = FrameReader::new(Peer::Client, LIMITS);
    assert_eq!(reader.skim(&mut Dark, 0, Some(BEGINS_WITH_T)), Err(Unreadable));
}
