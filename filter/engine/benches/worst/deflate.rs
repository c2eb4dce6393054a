//! Deflate streams of every kind, made of a few numbers that a search can change.

use crate::numbers::Numbers;

/// A compressed message: some blocks, over and over.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    blocks: Vec<Block>,
    times: usize,
    /// Whether the message says it is text.
    pub(crate) text: bool,
}

#[derive(Clone, Debug)]
enum Block {
    Stored(usize),
    Coded(Shape, Vec<Symbols>),
}

/// The codes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Fixed,
    /// The end of the block has the only code.
    End,
    /// All codes are about as long.
    Flat,
    /// The same, and there are no more than have to be.
    Few,
    /// Every code is a bit longer than the one before.
    Steep,
    /// Neighbours have codes of different lengths, so that nothing is said of two at once.
    Mixed,
}

/// The same symbol so many times.
#[derive(Clone, Copy, Debug)]
struct Symbols {
    kind: Symbol,
    times: usize,
}

#[derive(Clone, Copy, Debug)]
enum Symbol {
    /// One of the literals that the shape has.
    Literal(u8),
    /// A length and a distance.
    Match(usize, usize),
}

/// Longer messages are refused.
const MOST: usize = 60_000;

const SHAPES: [Shape; 6] = [Shape::Fixed, Shape::End, Shape::Flat, Shape::Few, Shape::Steep, Shape::Mixed];

impl Stream {
    pub(crate) fn random(numbers: &mut Numbers) -> Self {
        let blocks = (0..=numbers.below(3)).map(|_| Block::random(numbers)).collect();
        Self { blocks, times: 1 << numbers.below(11), text: numbers.below(2) == 0 }
    }

    pub(crate) fn mutated(&self, numbers: &mut Numbers) -> Self {
        let mut next = self.clone();
        let at = numbers.below(next.blocks.len());
        match numbers.below(6) {
            0 => next.times = (next.times * (1 + numbers.below(3)) / (1 + numbers.below(3))).clamp(1, 1023),
            1 => next.text = !next.text,
            2 if next.blocks.len() < 6 => next.blocks.insert(at, Block::random(numbers)),
            3 if next.blocks.len() > 1 => drop(next.blocks.remove(at)),
            _ => next.blocks[at].mutate(numbers),
        }
        next
    }

    /// The payload of the message.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bits = Bits::default();
        'all: for _ in 0..self.times {
            for block in &self.blocks {
                block.write(&mut bits);
                if bits.bytes.len() > MOST {
                    break 'all;
                }
            }
        }
        bits.number(0, 3);
        bits.bytes
    }
}

impl Block {
    fn random(numbers: &mut Numbers) -> Self {
        if numbers.below(6) == 0 {
            return Self::Stored(numbers.below(40));
        }
        let shape = SHAPES[numbers.below(SHAPES.len())];
        Self::Coded(shape, (0..numbers.below(4)).map(|_| Symbols::random(numbers)).collect())
    }

    fn mutate(&mut self, numbers: &mut Numbers) {
        match self {
            Self::Coded(shape, symbols) => match numbers.below(4) {
                0 => *shape = SHAPES[numbers.below(SHAPES.len())],
                1 => symbols.push(Symbols::random(numbers)),
                2 if !symbols.is_empty() => drop(symbols.remove(numbers.below(symbols.len()))),
                _ => {
                    let at = numbers.below(symbols.len());
                    if let Some(one) = symbols.get_mut(at) {
                        *one = Symbols::random(numbers);
                    }
                }
            },
            Self::Stored(_) => *self = Self::random(numbers),
        }
    }

    fn write(&self, bits: &mut Bits) {
        match self {
            Self::Stored(len) => {
                bits.number(0, 3);
                bits.align();
                bits.number(*len, 16);
                bits.number(!*len & 0xffff, 16);
                (0..*len).for_each(|_| bits.number(usize::from(b'x'), 8));
            }
            Self::Coded(shape, symbols) => {
                bits.number((usize::from(*shape != Shape::Fixed) + 1) << 1, 3);
                let (literals, distances) = shape.lengths();
                if *shape != Shape::Fixed {
                    header(&literals, &distances, bits);
                }
                let (literals, distances) = (codes(&literals), codes(&distances));
                for Symbols { kind, times } in symbols {
                    (0..*times).for_each(|_| kind.write(&literals, &distances, bits));
                }
                bits.code(literals[256]);
            }
        }
    }
}

impl Shape {
    fn lengths(self) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::Fixed => ([vec![8; 144], vec![9; 112], vec![7; 24], vec![8; 8]].concat(), vec![5; 32]),
            Self::End => ([vec![0; 256], vec![1]].concat(), vec![0]),
            // 226 codes of 8 bits and 60 of 9.
            Self::Flat => ([vec![8; 226], vec![9; 60]].concat(), [vec![5; 28], vec![4; 2]].concat()),
            Self::Few => ([vec![8; 255], vec![9; 2]].concat(), vec![0]),
            Self::Steep => {
                let mut literals = vec![0; 286];
                for (place, len) in (0x61..0x6e).zip(1..) {
                    literals[place] = len;
                }
                (literals[256], literals[257], literals[285]) = (14, 15, 15);
                let mut distances = vec![0; 30];
                for (place, len) in distances.iter_mut().zip((1..15).chain([14])) {
                    *place = len;
                }
                (distances[13], distances[14]) = (14, 14);
                (literals, distances)
            }
            Self::Mixed => {
                // 128 codes of 8 bits and 128 of 9 leave room for 128 more of 9 bits; 30 take some of it.
                let literals = (0..286).map(|place| if place % 2 == 0 { 8 } else { 9 }).collect::<Vec<u8>>();
                (complete(literals), [vec![5; 28], vec![4; 2]].concat())
            }
        }
    }
}

/// Shortens codes, from the last one on, until they leave no room.
fn complete(mut lengths: Vec<u8>) -> Vec<u8> {
    let used = |lengths: &[u8]| lengths.iter().map(|len| 1_usize << (15 - len)).sum::<usize>();
    while used(&lengths) != 1 << 15 {
        let room = (1_usize << 15) - used(&lengths);
        let Some(place) = (0..lengths.len()).rev().find(|at| 1 << (15 - lengths[*at]) <= room) else { break };
        lengths[place] -= 1;
    }
    lengths
}

impl Symbols {
    fn random(numbers: &mut Numbers) -> Self {
        let kind = if numbers.below(3) > 0 {
            Symbol::Literal([0x61, 0x62, 0x6d, 0x20, 0x7f][numbers.below(5)])
        } else {
            let lengths = [3, 3, 10, 130, 257, 258];
            let distances = [1, 2, 3, 4, 7, 200, 255, 1000, 5000];
            Symbol::Match(lengths[numbers.below(6)], distances[numbers.below(9)])
        };
        Self { kind, times: 1 << numbers.below(11) }
    }
}

impl Symbol {
    /// Writes it, if the codes have it.
    fn write(self, literals: &[Code], distances: &[Code], bits: &mut Bits) {
        match self {
            Self::Literal(byte) => bits.code(literals[usize::from(byte)]),
            Self::Match(len, distance) => {
                let (len, len_rest, len_extra) = if len == 258 { (28, 0, 0) } else { split(len - 3, 2) };
                let (distance, rest, extra) = split(distance - 1, 1);
                let has = |codes: &[Code], at: usize| codes.get(at).is_some_and(|code| code.len > 0);
                if has(literals, 257 + len) && has(distances, distance) {
                    bits.code(literals[257 + len]);
                    bits.number(len_rest, len_extra);
                    bits.code(distances[distance]);
                    bits.number(rest, extra);
                }
            }
        }
    }
}

/// The symbol of a number, 2^`bits` of which have as many extra bits; and these.
fn split(number: usize, bits: usize) -> (usize, usize, usize) {
    let mut extra = 0;
    while number >> extra >= 2 << bits {
        extra += 1;
    }
    let symbol = (number >> extra) + (extra << bits);
    (symbol, number & ((1 << extra) - 1), extra)
}

/// The lengths of both codes, with runs where there are some.
fn header(literals: &[u8], distances: &[u8], bits: &mut Bits) {
    let all = [literals, distances].concat();
    let mut parts = Vec::new();
    let mut at = 0;
    while at < all.len() {
        let run = all[at..].iter().take_while(|len| **len == all[at]).count();
        let (symbol, rest, extra, used) = match (all[at], run) {
            (0, 11..) => (18, run.min(138) - 11, 7, run.min(138)),
            (0, 3..) => (17, run.min(10) - 3, 3, run.min(10)),
            (len, 3..) if at > 0 && all[at - 1] == len => (16, run.min(6) - 3, 2, run.min(6)),
            (len, _) => (usize::from(len), 0, 0, 1),
        };
        parts.push((symbol, rest, extra));
        at += used;
    }
    let often = |kind: usize| parts.iter().filter(|(symbol, ..)| *symbol == kind).count();
    let mut kinds: Vec<usize> = parts.iter().map(|(symbol, ..)| *symbol).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.sort_by_key(|kind| usize::MAX - often(*kind));
    if kinds.len() == 1 {
        kinds.push(if kinds[0] == 0 { 8 } else { 0 });
    }
    // One bit for what is said most often, and a code as flat as there is for the rest.
    let rest = kinds.len() - 1;
    let len = rest.next_power_of_two().trailing_zeros() as u8;
    let short = (1_usize << len) - rest;
    let mut lengths = vec![0_u8; 19];
    lengths[kinds[0]] = 1;
    for (at, kind) in kinds[1..].iter().enumerate() {
        lengths[*kind] = if at < short { len } else { len + 1 };
    }
    let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let count = order.iter().rposition(|place| lengths[*place] > 0).unwrap_or(0).max(3) + 1;
    bits.number(literals.len() - 257, 5);
    bits.number(distances.len() - 1, 5);
    bits.number(count - 4, 4);
    order[..count].iter().for_each(|place| bits.number(usize::from(lengths[*place]), 3));
    let code = codes(&lengths);
    for (symbol, rest, extra) in parts {
        bits.code(code[symbol]);
        bits.number(rest, extra);
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Code {
    bits: usize,
    len: usize,
}

/// RFC 1951 §3.2.2.
fn codes(lengths: &[u8]) -> Vec<Code> {
    let mut codes = vec![Code::default(); lengths.len()];
    let mut next = 0;
    for len in 1..=15 {
        next <<= 1;
        for (code, _) in codes.iter_mut().zip(lengths).filter(|(_, of)| **of == len) {
            *code = Code { bits: next, len: usize::from(len) };
            next += 1;
        }
    }
    codes
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    free: usize,
}

impl Bits {
    fn number(&mut self, value: usize, count: usize) {
        for bit in 0..count {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from(value >> bit & 1 == 1) << (8 - self.free);
            }
            self.free -= 1;
        }
    }

    fn code(&mut self, code: Code) {
        (0..code.len).rev().for_each(|bit| self.number(code.bits >> bit, 1));
    }

    fn align(&mut self) {
        self.free = 0;
    }
}
