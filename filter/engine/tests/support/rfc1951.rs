//! Inflates compressed messages (RFC 7692 §7.2.2) bit by bit, as RFC 1951 says it.
//!
//! It shares no code with the engine and with zlib. It sees a fault with the bit that makes it one,
//! and is as strict as the engine: with distances, with where a message ends, with the number of
//! blocks, and with codes that leave bits without a meaning.

/// Inflates the messages of one side.
#[derive(Debug)]
pub(crate) struct Inflater {
    window: usize,
    /// Whether a message may refer to earlier ones.
    takeover: bool,
    /// What may be referred to, and then all of what the open message inflates to so far.
    said: Vec<u8>,
    /// Where the open message begins in it.
    start: usize,
    input: Vec<u8>,
    /// How many bits of the input have been used.
    used: usize,
    place: Place,
    last_block: bool,
    blocks: usize,
    /// Blocks of the open message with a code, and the bytes of it that are no longer in `input`.
    coded: usize,
    drained: usize,
}

/// What is no compressed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// What comes next.
#[derive(Debug)]
enum Place {
    Header,
    /// So many bytes as they are.
    Stored(usize),
    /// Literals and lengths, and distances, in these codes.
    Compressed(Code, Code),
}

/// Why there is no next step.
#[derive(Debug)]
enum Stop {
    Broken,
    /// Bits are missing.
    Waits,
}

/// The octets that a sender takes off (RFC 7692 §7.2.1).
pub(crate) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// How many blocks a message may have, and for how many bytes one more.
const BLOCKS: usize = 1024;
const BYTES_PER_BLOCK: usize = 64;

/// How many blocks with a code a message may have, and for how many bytes of input and output one more.
const CODED: usize = 8;
const BYTES_PER_CODED: usize = 128;

/// In which order the lengths of the codes for lengths come (RFC 1951 §3.2.7).
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

impl Inflater {
    pub(crate) fn new(window_bits: u8, takeover: bool) -> Self {
        Self {
            window: 1 << window_bits,
            takeover,
            said: Vec::new(),
            start: 0,
            input: Vec::new(),
            used: 0,
            place: Place::Header,
            last_block: false,
            blocks: 0,
            coded: 0,
            drained: 0,
        }
    }

    /// What the next byte of a message inflates to, up to a fault if there is one.
    pub(crate) fn push(&mut self, byte: u8) -> (Vec<u8>, Result<(), Broken>) {
        self.input.push(byte);
        let before = self.said.len();
        loop {
            let step = self.step();
            self.drained += self.input.drain(..self.used / 8).count();
            self.used %= 8;
            match step {
                Ok(()) => {}
                Err(Stop::Waits) => return (self.said[before..].to_vec(), Ok(())),
                Err(Stop::Broken) => return (self.said[before..].to_vec(), Err(Broken)),
            }
        }
    }

    /// Ends a message. The octets that were taken off say nothing, and end a block and an octet.
    pub(crate) fn finish(&mut self) -> Result<(), Broken> {
        for byte in TAIL {
            let (said, sound) = self.push(byte);
            sound?;
            if !said.is_empty() {
                return Err(Broken);
            }
        }
        if !matches!(self.place, Place::Header) || !self.input.is_empty() {
            return Err(Broken);
        }
        let kept = if self.takeover { self.window.min(self.said.len()) } else { 0 };
        self.said.drain(..self.said.len() - kept);
        (self.start, self.blocks) = (kept, 0);
        (self.coded, self.drained) = (0, 0);
        Ok(())
    }

    fn step(&mut self) -> Result<(), Stop> {
        let mut bits = Bits { input: &self.input, used: self.used };
        match &mut self.place {
            Place::Header => {
                self.last_block = bits.number(1)? == 1;
                let kind = bits.number(2)?;
                let consumed = self.drained + self.used.div_ceil(8);
                let bytes = consumed + self.said.len() - self.start;
                let most = CODED + bytes / BYTES_PER_CODED;
                if kind != 0 && self.coded >= most {
                    return Err(Stop::Broken);
                }
                self.place = match kind {
                    0 => stored(&mut bits)?,
                    1 => fixed()?,
                    2 => dynamic(&mut bits)?,
                    _ => return Err(Stop::Broken),
                };
                self.coded += usize::from(kind != 0);
            }
            Place::Stored(0) => return self.end_block(),
            Place::Stored(left) => {
                self.said.extend(u8::try_from(bits.number(8)?));
                *left -= 1;
            }
            Place::Compressed(literals, distances) => match literals.read(&mut bits)? {
                256 => {
                    self.used = bits.used;
                    return self.end_block();
                }
                symbol @ 257..=285 => {
                    let len = length(symbol - 257, &mut bits)?;
                    let symbol = distances.read(&mut bits)?;
                    let distance = distance(symbol, &mut bits)?;
                    if distance > self.window.min(self.said.len()) {
                        return Err(Stop::Broken);
                    }
                    for _ in 0..len {
                        self.said.push(self.said[self.said.len() - distance]);
                    }
                }
                symbol => self.said.push(u8::try_from(symbol).map_err(|_| Stop::Broken)?),
            },
        }
        self.used = bits.used;
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), Stop> {
        self.place = Place::Header;
        self.blocks += 1;
        if self.last_block {
            // What follows a last block begins with an octet (RFC 7692 §7.2.3.4).
            self.used = self.used.next_multiple_of(8);
        }
        let allowed = BLOCKS + (self.said.len() - self.start) / BYTES_PER_BLOCK;
        if self.blocks <= allowed { Ok(()) } else { Err(Stop::Broken) }
    }
}

fn stored(bits: &mut Bits<'_>) -> Result<Place, Stop> {
    bits.used = bits.used.next_multiple_of(8);
    let (len, denied) = (bits.number(16)?, bits.number(16)?);
    if len ^ denied == 0xffff { Ok(Place::Stored(len)) } else { Err(Stop::Broken) }
}

/// RFC 1951 §3.2.6.
fn fixed() -> Result<Place, Stop> {
    let literals = [vec![8; 144], vec![9; 112], vec![7; 24], vec![8; 8]].concat();
    Ok(Place::Compressed(Code::new(&literals, false)?, Code::new(&[5; 32], false)?))
}

/// RFC 1951 §3.2.7.
fn dynamic(bits: &mut Bits<'_>) -> Result<Place, Stop> {
    let (literals, distances) = (257 + bits.number(5)?, 1 + bits.number(5)?);
    let of_lengths = 4 + bits.number(4)?;
    if literals > 286 || distances > 30 {
        return Err(Stop::Broken);
    }
    let mut lengths = [0; 19];
    for place in &ORDER[..of_lengths] {
        lengths[*place] = bits.number(3)?;
    }
    let code = Code::new(&lengths, true)?;
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        let (len, times) = match code.read(bits)? {
            16 => (*lengths.last().ok_or(Stop::Broken)?, 3 + bits.number(2)?),
            17 => (0, 3 + bits.number(3)?),
            18 => (0, 11 + bits.number(7)?),
            len => (len, 1),
        };
        lengths.extend(std::iter::repeat_n(len, times));
    }
    if lengths.len() > literals + distances {
        return Err(Stop::Broken);
    }
    let (literals, distances) = lengths.split_at(literals);
    Ok(Place::Compressed(Code::new(literals, false)?, Code::new(distances, false)?))
}

/// RFC 1951 §3.2.5: eight lengths of their own, then four for each number of further bits, and the
/// longest.
fn length(symbol: usize, bits: &mut Bits<'_>) -> Result<usize, Stop> {
    match symbol {
        0..8 => Ok(3 + symbol),
        28 => Ok(258),
        _ => {
            let further = symbol / 4 - 1;
            Ok(3 + ((4 + symbol % 4) << further) + bits.number(further)?)
        }
    }
}

/// RFC 1951 §3.2.5: four distances of their own, then two for each number of further bits.
fn distance(symbol: usize, bits: &mut Bits<'_>) -> Result<usize, Stop> {
    match symbol {
        0..4 => Ok(1 + symbol),
        4..30 => {
            let further = symbol / 2 - 1;
            Ok(1 + ((2 + symbol % 2) << further) + bits.number(further)?)
        }
        _ => Err(Stop::Broken),
    }
}

/// A Huffman code (RFC 1951 §3.2.2).
#[derive(Debug)]
struct Code {
    /// For each length from one on, the first code of that length, and what these codes stand for.
    by_length: Vec<(usize, Vec<usize>)>,
}

impl Code {
    /// A code in which symbols have these lengths, or zero for none. One that has more symbols than
    /// it has room for is none, nor is one that has fewer, but for one of a single bit at most; one
    /// `of_lengths` has to have a symbol for all bits.
    fn new(lengths: &[usize], of_lengths: bool) -> Result<Self, Stop> {
        let longest = lengths.iter().copied().max().unwrap_or_default();
        let mut symbols = vec![Vec::new(); longest + 1];
        for (symbol, len) in lengths.iter().enumerate() {
            symbols[*len].push(symbol);
        }
        let (mut by_length, mut next, mut room) = (Vec::new(), 0, 1_usize);
        for symbols in symbols.into_iter().skip(1) {
            (next, room) = (next * 2, room * 2);
            room = room.checked_sub(symbols.len()).ok_or(Stop::Broken)?;
            let first = next;
            next += symbols.len();
            by_length.push((first, symbols));
        }
        if room > 0 && (of_lengths || longest > 1) { Err(Stop::Broken) } else { Ok(Self { by_length }) }
    }

    fn read(&self, bits: &mut Bits<'_>) -> Result<usize, Stop> {
        let mut code = bits.number(1)?;
        for (i, (first, symbols)) in self.by_length.iter().enumerate() {
            if i > 0 {
                code = code * 2 + bits.number(1)?;
            }
            if let Some(symbol) = code.checked_sub(*first).and_then(|rank| symbols.get(rank)) {
                return Ok(*symbol);
            }
        }
        Err(Stop::Broken)
    }
}

/// Bits in the order in which they are used: the lowest of each octet first.
struct Bits<'i> {
    input: &'i [u8],
    used: usize,
}

impl Bits<'_> {
    /// A number of so many bits, whose lowest comes first.
    fn number(&mut self, bits: usize) -> Result<usize, Stop> {
        let mut number = 0;
        for bit in 0..bits {
            let octet = self.input.get(self.used / 8).ok_or(Stop::Waits)?;
            number |= usize::from(octet >> (self.used % 8) & 1) << bit;
            self.used += 1;
        }
        Ok(number)
    }
}
