use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::*;

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn inflater(window_bits: u8, takeover: bool) -> Inflater {
    Inflater::new(Context { window_bits, takeover })
}

/// The reason why a sink takes no more.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    Fault(FrameFault),
    TooBig,
}

impl From<FrameFault> for Stop {
    fn from(fault: FrameFault) -> Self {
        Self::Fault(fault)
    }
}

/// Returns what a message in these pieces inflates to.
fn message<'a>(
    inflater: &mut Inflater,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, FrameFault> {
    let mut output = Vec::new();
    let mut sink = |piece: &[u8]| {
        output.extend_from_slice(piece);
        Ok(())
    };
    for piece in pieces {
        inflater.push(piece, &mut sink)?;
    }
    inflater.finish()?;
    Ok(output)
}

/// A sequence of numbers that is the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % below.max(1)
    }

    /// Returns bytes that repeat at all distances.
    fn text(&mut self, len: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(len);
        while text.len() < len {
            if text.is_empty() || self.next(4) == 0 {
                text.extend((0..=self.next(40)).map(|_| u8::try_from(self.next(256)).unwrap()));
            } else {
                let (distance, run) = (1 + self.next(text.len()), 1 + self.next(600));
                (0..run).for_each(|_| text.push(text[text.len() - distance]));
            }
        }
        text.truncate(len);
        text
    }

    fn pieces<'a>(&mut self, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let most = 1 + self.next(bytes.len());
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(self.next(most + 1).min(bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}

/// Returns what zlib makes of `text`, without the four octets at the end.
fn deflated(compress: &mut Compress, text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + text.len() / 8 + 1024);
    let start = compress.total_in();
    let status = compress.compress_vec(text, &mut bytes, FlushCompress::Sync).unwrap();
    assert!(status == Status::Ok && compress.total_in() - start == text.len() as u64);
    assert!(bytes.ends_with(&TAIL) && bytes.len() < bytes.capacity());
    bytes.truncate(bytes.len() - TAIL.len());
    bytes
}

/// Codes and extra bits, the lowest bit of a byte first (RFC 1951 §3.1.1).
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn number(mut self, value: usize, count: usize) -> Self {
        self.0.extend((0..count).map(|bit| value >> bit & 1 == 1));
        self
    }

    /// Adds a Huffman code, whose highest bit comes first.
    fn code(mut self, value: usize, count: usize) -> Self {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    /// Adds the header of a block of fixed codes.
    fn fixed(self, last: bool) -> Self {
        self.number(usize::from(last), 1).number(1, 2)
    }

    fn literal(self, byte: u8) -> Self {
        match usize::from(byte) {
            low @ 0..144 => self.code(0x30 + low, 8),
            high => self.code(0x190 + high - 144, 9),
        }
    }

    /// Adds three bytes from `distance` back.
    fn three_from(self, distance: usize) -> Self {
        let bases =
            [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537];
        let bases = [&bases[..], &[2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577]].concat();
        let code = bases.iter().rposition(|base| *base <= distance).unwrap();
        self.code(1, 7).code(code, 5).number(distance - bases[code], (code / 2).saturating_sub(1))
    }

    fn end_of_block(self) -> Self {
        self.code(0, 7)
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
        self.0.chunks(8).map(byte).collect()
    }

    /// Returns the bytes with the header of the empty stored block whose lengths the sender takes off.
    fn message(self) -> Vec<u8> {
        self.number(0, 3).bytes()
    }
}

#[test]
fn the_examples_of_section_7_2_3_inflate_at_every_split() {
    let cases: [(&str, &[u8], &[u8]); 7] = [
        ("one block", &HELLO, b"Hello"),
        ("no compression", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], b"Hello"),
        ("BFINAL", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], b"Hello"),
        (
            "two blocks",
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
            b"Hello",
        ),
        ("empty", &[0x00], b""),
        ("empty block of fixed codes", &[0x02, 0x00], b""),
        (
            "two blocks with BFINAL",
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            b"HelloHello",
        ),
    ];
    for (name, payload, text) in cases {
        for takeover in [false, true] {
            for cut in 0..=payload.len() {
                let (head, tail) = payload.split_at(cut);
                let mut inflater = inflater(8, takeover);
                for _ in 0..3 {
                    let output = message(&mut inflater, [head, tail]);
                    assert_eq!(output.as_deref(), Ok(text), "{name}, {cut}");
                }
            }
            let bytes = payload.chunks(1);
            assert_eq!(message(&mut inflater(15, takeover), bytes).as_deref(), Ok(text), "{name}");
        }
    }
}

#[test]
fn only_a_context_that_is_taken_over_has_earlier_messages() {
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    for window_bits in 8..=15 {
        let mut kept = inflater(window_bits, true);
        assert_eq!(message(&mut kept, [&HELLO[..]]).as_deref(), Ok(&b"Hello"[..]));
        assert_eq!(message(&mut kept, [&again[..]]).as_deref(), Ok(&b"Hello"[..]));
        let mut dropped = inflater(window_bits, false);
        assert_eq!(message(&mut dropped, [&HELLO[..]]).as_deref(), Ok(&b"Hello"[..]));
        assert_eq!(message(&mut dropped, [&again[..]]), Err(FrameFault::Deflate));
    }
}

#[test]
fn the_history_lasts_beyond_a_block_with_bfinal() {
    let first = Bits::default().fixed(true).literal(b'a').literal(b'b').literal(b'c').end_of_block().bytes();
    let second = Bits::default().fixed(false).three_from(3).end_of_block().message();
    let mut inflater = inflater(8, true);
    let one = message(&mut inflater, [&first[..], &second[..]]);
    assert_eq!(one.as_deref(), Ok(&b"abcabc"[..]));
    assert_eq!(message(&mut inflater, [&second[..]]).as_deref(), Ok(&b"abc"[..]));
}

#[test]
fn what_zlib_compresses_inflates_in_any_pieces() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for window_bits in 8..=15_u8 {
        for takeover in [false, true] {
            for level in [0, 1, 6, 9] {
                // zlib knows no window of 8 bits; with 9 its distances are at most 250.
                let bits = window_bits.max(9);
                let mut compress = Compress::new_with_window_bits(Compression::new(level), false, bits);
                let mut inflater = inflater(window_bits, takeover);
                for _ in 0..6 {
                    let len = numbers.next(3 << window_bits);
                    let text = numbers.text(len);
                    let bytes = deflated(&mut compress, &text);
                    let output = message(&mut inflater, numbers.pieces(&bytes)).unwrap();
                    assert!(output == text, "{window_bits} bits, level {level}, {len} bytes");
                    if !takeover {
                        compress.reset();
                    }
                }
            }
        }
    }
}

#[test]
fn a_distance_reaches_no_further_than_history_and_window() {
    let mut numbers = Numbers(1);
    for window_bits in 8..=15 {
        let window = 1_usize << window_bits;
        for produced in [3, 255, window - 1, window, window + 1, 2 * window, 2 * window + 100] {
            let text = numbers.text(produced);
            let before = deflated(&mut Compress::new(Compression::none(), false), &text);
            for distance in [1, 3, 256, produced, produced + 1, window, window + 1, 32_768] {
                if !(1..=32_768).contains(&distance) {
                    continue;
                }
                let after = Bits::default().fixed(false).three_from(distance).end_of_block().message();
                let mut inflater = inflater(window_bits, true);
                message(&mut inflater, [&before[..]]).unwrap();
                let reaches = distance <= produced && distance <= window;
                let output = message(&mut inflater, [&after[..]]);
                let expected = reaches.then(|| {
                    let mut text = text.clone();
                    (0..3).for_each(|_| text.push(text[text.len() - distance]));
                    text.split_off(produced)
                });
                assert_eq!(output.ok(), expected, "{distance} back in {window}, of {produced}");
            }
        }
    }
}

#[test]
fn a_message_ends_at_a_boundary() {
    let text = b"what is said, and said again, and said again";
    for level in [0, 1, 9] {
        let mut compress = Compress::new(Compression::new(level), false);
        let whole = deflated(&mut compress, text);
        // The first octet alone of a stored block is an empty message.
        for cut in (0..whole.len()).filter(|cut| (level, *cut) != (0, 1)) {
            let mut inflater = inflater(15, true);
            let output = message(&mut inflater, [&whole[..cut]]);
            assert_eq!(output, Err(FrameFault::DeflateUnfinished), "{cut} of {}", whole.len());
            // The next message is judged by itself.
            assert_eq!(message(&mut inflater, [&HELLO[..]]).as_deref(), Ok(&b"Hello"[..]));
            assert_eq!(message(&mut inflater, [&[0xf2, 0x00, 0x11, 0x00, 0x00][..]]).map(|t| t.len()), Ok(5));
        }
    }
}

/// A receiver that keeps its decompressor takes the octets at the end for the start of a stored block, and
/// the next message for what is in it.
#[test]
fn a_message_of_no_octets_is_refused() {
    let next = [0x00];
    let mut zlib = Decompress::new(false);
    let mut output = Vec::with_capacity(64);
    for bytes in [&TAIL[..], &next, b"raw", &TAIL] {
        zlib.decompress_vec(bytes, &mut output, FlushDecompress::Sync).unwrap();
    }
    assert_eq!(output.get(..3), Some(&b"raw"[..]), "zlib does otherwise: {output:?}");
    assert_eq!(message(&mut inflater(15, true), []), Err(FrameFault::DeflateUnfinished));
    assert_eq!(message(&mut inflater(15, true), [&b""[..], b""]), Err(FrameFault::DeflateUnfinished));
    assert_eq!(message(&mut inflater(15, false), []), Err(FrameFault::DeflateUnfinished));
}

#[test]
fn a_message_that_the_tail_ends_within_an_octet_is_refused() {
    // The block lacks its last code lengths. The sixteen zeros of the tail are as many lengths of zero,
    // twelve ones are three runs of six more, two are the end of the block, two are left.
    let header = Bits::default().number(0b100, 3).number(286 - 257, 5).number(7 - 1, 5).number(16 - 4, 4);
    // The lengths 0 and 2 are the codes 0 and 10, a run is the code 11.
    let codes = [2, 0, 0, 1].into_iter().chain([0; 11]).chain([2]);
    let header = codes.fold(header, |bits, length| bits.number(length, 3));
    // Four symbols of two bits, of which the end of the block is the last.
    let lengths = [2; 3].into_iter().chain([0; 253]).chain([2]);
    let lengths = lengths.fold(header, |bits, length| match length {
        0 => bits.code(0b0, 1),
        _ => bits.code(0b10, 2),
    });
    // The last octet has room for two more lengths of zero.
    let open = lengths.bytes();
    assert_eq!(open.len() * 8 - 2, 326);
    assert_eq!(message(&mut inflater(15, true), [&open[..]]), Err(FrameFault::DeflateUnfinished));
}

#[test]
fn a_broken_block_is_refused() {
    let cases: [(&str, &[u8]); 6] = [
        ("block type 3", &[0x06, 0x00]),
        ("stored lengths that differ", &[0x00, 0x05, 0x00, 0xfa, 0xfe, 0x48]),
        ("length code 286", &Bits::default().fixed(false).code(0xc6, 8).code(0, 5).message()),
        ("distance code 30", &Bits::default().fixed(false).literal(b'a').code(1, 7).code(30, 5).message()),
        (
            "codes for too many lengths",
            &Bits::default().number(0b100, 3).number(31, 5).number(0, 9).message(),
        ),
        ("no code lengths", &[0x04, 0x00, 0x00, 0x00, 0x00]),
    ];
    for (name, bytes) in cases {
        for takeover in [false, true] {
            let inflated = message(&mut inflater(15, takeover), bytes.chunks(1));
            let is_broken = matches!(inflated, Err(FrameFault::Deflate | FrameFault::DeflateUnfinished));
            assert!(is_broken, "{name}: {inflated:?}");
        }
    }
}

#[test]
fn the_error_of_a_sink_is_passed_on_at_once() {
    let mut inflater = inflater(15, true);
    let mut calls = 0;
    let mut sink = |_: &[u8]| {
        calls += 1;
        Err(Stop::TooBig)
    };
    assert_eq!(inflater.push(&HELLO, &mut sink), Err(Stop::TooBig));
    assert_eq!(calls, 1);
    // Nothing of the broken message is left.
    assert_eq!(message(&mut inflater, [&HELLO[..]]).as_deref(), Ok(&b"Hello"[..]));
}

#[test]
fn a_bomb_stops_at_the_limit() {
    const LIMIT: usize = 64 * 1024;
    let mut megabyte = deflated(&mut Compress::new(Compression::best(), false), &vec![0; 1 << 20]);
    megabyte.extend(TAIL);
    let bomb = megabyte.repeat(1024);
    for window_bits in [8, 15] {
        let (mut inflater, mut produced) = (inflater(window_bits, true), 0);
        let mut sink = |piece: &[u8]| {
            assert!(piece.len() <= 1 << window_bits);
            produced += piece.len();
            if produced > LIMIT { Err(Stop::TooBig) } else { Ok(()) }
        };
        assert_eq!(inflater.push(&bomb, &mut sink), Err(Stop::TooBig));
        assert!(produced <= LIMIT + (1 << window_bits), "{produced}");
    }
}

#[test]
fn memory_is_the_window_and_while_a_message_is_open_its_tables() {
    let mut numbers = Numbers(7);
    for (window_bits, takeover) in [(8, true), (8, false), (15, true), (15, false)] {
        let mut inflater = inflater(window_bits, takeover);
        assert_eq!((inflater.history.ring.capacity(), inflater.message.is_some()), (0, false));
        let text = numbers.text(300_000);
        let bytes = deflated(&mut Compress::new_with_window_bits(Compression::fast(), false, 9), &text);
        for piece in bytes.chunks(1000) {
            inflater.push(piece, &mut |_| Ok::<_, FrameFault>(())).unwrap();
            assert_eq!(inflater.history.ring.capacity(), 1 << window_bits);
        }
        inflater.finish().unwrap();
        let kept = if takeover { 1 << window_bits } else { 0 };
        assert_eq!((inflater.history.ring.capacity(), inflater.message.is_some()), (kept, false));
        assert!(size_of::<DecompressorOxide>() <= 16 * 1024);
    }
}

#[test]
fn a_message_of_little_but_blocks_is_refused() {
    let empty = |count: usize| [&[0, 0, 0, !0, !0].repeat(count)[..], &[0]].concat();
    let blocks = |count: usize| message(&mut inflater(15, true), [&empty(count)[..]]);
    // The block at the end is one more.
    assert_eq!(blocks(1023), Ok(vec![]));
    assert_eq!(blocks(1024), Err(FrameFault::DeflateBlocks));
    // Each block is half as long as blocks have to be on the average.
    let stored = [&[0, 32, 0, !32, !0][..], &[b'x'; 32]].concat();
    let stored =
        |count| message(&mut inflater(15, true), [&stored.repeat(count)[..], &[0]]).map(|out| out.len());
    assert_eq!(stored(2046), Ok(2046 * 32));
    assert_eq!(stored(2047), Err(FrameFault::DeflateBlocks));
    // The blocks are as many as those of somebody who flushes every line.
    let mut numbers = Numbers(3);
    let text = numbers.text(200_000);
    let mut compress = Compress::new(Compression::fast(), false);
    let mut bytes: Vec<u8> = Vec::new();
    for line in text.chunks(128) {
        bytes.extend(deflated(&mut compress, line));
        bytes.extend(TAIL);
    }
    bytes.push(0);
    assert_eq!(message(&mut inflater(15, true), [&bytes[..]]), Ok(text));
}

/// Tables are made for each block, at the cost of some hundred bytes.
#[test]
fn a_message_of_little_but_blocks_with_codes_is_refused() {
    let coded = |count: usize| {
        let bits = (0..count).fold(Bits::default(), |bits, _| bits.fixed(false).end_of_block());
        message(&mut inflater(15, true), bits.message().chunks(1))
    };
    assert_eq!(coded(8), Ok(vec![]));
    assert_eq!(coded(9), Err(FrameFault::DeflateBlocks));
}

/// A compressor may be flushed in any way: within a message zlib ends blocks at each flush, and most flushes
/// add an empty one.
#[test]
fn a_message_that_is_flushed_at_every_write_of_some_hundred_bytes_inflates_whatever_the_level() {
    let mut numbers = Numbers(11);
    for level in 0..=9 {
        for flush in [FlushCompress::Partial, FlushCompress::Sync, FlushCompress::Full] {
            let text = numbers.text(20_000);
            let mut compress = Compress::new(Compression::new(level), false);
            let mut bytes = Vec::with_capacity(100_000);
            let mut rest = &text[..];
            while !rest.is_empty() {
                let len = 250 + numbers.next(1000);
                let (write, later) = rest.split_at(len.min(rest.len()));
                let status = compress.compress_vec(write, &mut bytes, flush).unwrap();
                assert!(status == Status::Ok && bytes.len() < bytes.capacity());
                rest = later;
            }
            compress.compress_vec(b"", &mut bytes, FlushCompress::Sync).unwrap();
            if !bytes.ends_with(&TAIL) {
                // Nothing is left to flush.
                bytes.extend([0, 0, 0, 0xff, 0xff]);
            }
            bytes.truncate(bytes.len() - TAIL.len());
            let mut whole = inflater(15, true);
            assert!(message(&mut whole, [&bytes[..]]) == Ok(text.clone()), "level {level}, {flush:?}");
            let mut dripped = inflater(15, false);
            assert!(message(&mut dripped, bytes.chunks(1)) == Ok(text), "level {level}, {flush:?}");
        }
    }
}

/// Any bytes inflate to what zlib makes of them, in one piece or many.
#[test]
fn garbage_is_what_zlib_says_it_is() {
    let mut numbers = Numbers(0x5851_f42d_4c95_7f2d);
    let mut sound = 0;
    for round in 0..20_000 {
        let mut bytes = match round % 3 {
            0 => (0..numbers.next(60)).map(|_| u8::try_from(numbers.next(256)).unwrap()).collect(),
            _ => {
                let len = numbers.next(400);
                let text = numbers.text(len);
                let level = u32::try_from(numbers.next(10)).unwrap();
                deflated(&mut Compress::new(Compression::new(level), false), &text)
            }
        };
        for _ in 0..numbers.next(3) {
            let at = numbers.next(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << numbers.next(8);
            }
        }
        let whole = message(&mut inflater(15, true), [&bytes[..]]);
        assert_eq!(whole, message(&mut inflater(15, true), numbers.pieces(&bytes)), "{bytes:02x?}");
        assert_eq!(whole, message(&mut inflater(15, true), bytes.chunks(1)), "{bytes:02x?}");
        let Ok(output) = whole else { continue };
        sound += 1;
        let mut zlib = Decompress::new(false);
        let mut expected = Vec::with_capacity(1 << 20);
        let with_tail = [&bytes[..], &TAIL].concat();
        let mut rest = &with_tail[..];
        while !rest.is_empty() {
            let start = zlib.total_in();
            let status = zlib.decompress_vec(rest, &mut expected, FlushDecompress::Sync).unwrap();
            rest = &rest[usize::try_from(zlib.total_in() - start).unwrap()..];
            if status == Status::StreamEnd {
                // zlib forgets the history here; such a message is not compared further.
                break;
            }
        }
        assert!(output.starts_with(&expected), "{bytes:02x?}");
        assert!(output.len() == expected.len() || !rest.is_empty(), "{bytes:02x?}");
    }
    assert!(sound > 1000, "{sound}");
}
