//! What a peer hears: frames as they come, Postern's own told from all others.

/// A frame that has come whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) bytes: Vec<u8>,
    pub(crate) opcode: u8,
    pub(crate) fin: bool,
    pub(crate) payload: Vec<u8>,
}

impl Heard {
    /// Whether it is a Ping of Postern's own.
    pub(crate) fn is_own(&self) -> bool {
        self.opcode == 9 && self.payload.len() == 16 && self.payload.starts_with(b"postern:")
    }

    /// The first frame in `bytes`, if it is there to its end.
    pub(crate) fn first(bytes: &[u8]) -> Option<Self> {
        let (len, mut at) = match bytes.get(1)? & 0x7f {
            126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 4),
            127 => (usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap())).unwrap(), 10),
            len => (usize::from(len), 2),
        };
        let mut key = [0; 4];
        if bytes[1] & 0x80 != 0 {
            key.copy_from_slice(bytes.get(at..at + 4)?);
            at += 4;
        }
        let masked = bytes.get(at..at + len)?;
        let payload = masked.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        let (opcode, fin) = (bytes[0] & 0xf, bytes[0] & 0x80 != 0);
        Some(Self { bytes: bytes[..at + len].to_vec(), opcode, fin, payload })
    }
}

/// What has come to a peer so far.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    /// All but Postern's own Pings.
    pub(crate) heard: Vec<u8>,
    /// The start of a frame.
    rest: Vec<u8>,
}

impl Ear {
    /// Takes what comes; the whole frames.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Vec<Heard> {
        self.rest.extend_from_slice(bytes);
        let mut frames = Vec::new();
        while let Some(frame) = Heard::first(&self.rest) {
            self.rest.drain(..frame.bytes.len());
            if !frame.is_own() {
                self.heard.extend_from_slice(&frame.bytes);
            }
            frames.push(frame);
        }
        frames
    }

    /// All that has come but Postern's own Pings, the start of a frame included.
    pub(crate) fn all(&self) -> Vec<u8> {
        [&self.heard[..], &self.rest].concat()
    }

    /// Whether what has come ends with a whole frame.
    pub(crate) fn is_at_boundary(&self) -> bool {
        self.rest.is_empty()
    }
}

/// What must have come of all that has been said.
#[derive(Debug, Default)]
pub(crate) struct Due {
    whole: Vec<u8>,
    rest: Vec<u8>,
    /// Up to where it has been heard.
    agreed: usize,
    /// Whether the message that is open is text.
    text: bool,
    /// Whether text is proved before it passes.
    pub(crate) proves_text: bool,
}

impl Due {
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        while let Some(frame) = Heard::first(&self.rest) {
            self.rest.drain(..frame.bytes.len());
            self.whole.extend_from_slice(&frame.bytes);
            match frame.opcode {
                1 => self.text = true,
                2 => self.text = false,
                _ => {}
            }
        }
    }

    /// A frame that nobody reads passes from its whole header on, others once they are whole.
    pub(crate) fn all(&self) -> Vec<u8> {
        let passes = self.has_whole_header() && !self.is_proved();
        [&self.whole[..], if passes { &self.rest } else { &[] }].concat()
    }

    /// The frames of it that are whole.
    pub(crate) fn whole(&self) -> &[u8] {
        &self.whole
    }

    /// Holds what a peer has heard against this, from where both were last found to agree.
    pub(crate) fn hold(&mut self, ear: &Ear) {
        let both = self.whole.len().min(ear.heard.len());
        assert!(self.whole[self.agreed..both] == ear.heard[self.agreed..both], "it is not what was said");
        self.agreed = both;
        let heard = [&ear.heard[both..], &ear.rest].concat();
        let whole = &self.whole[both..];
        let passes = self.has_whole_header() && !self.is_proved();
        // What may be the answer to an own Ping is looked at first, if there was one.
        let either = passes && self.rest[0] & 0xf == 10 && self.rest[1] & 0x7f == 16;
        let due = [whole, if passes { &self.rest } else { &[] }].concat();
        assert!(heard == due || (either && heard == whole), "{heard:02x?} is heard, and not {due:02x?}");
    }

    fn has_whole_header(&self) -> bool {
        let [_, second, ..] = self.rest[..] else { return false };
        let length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        self.rest.len() >= 2 + length + if second & 0x80 != 0 { 4 } else { 0 }
    }

    fn is_proved(&self) -> bool {
        match self.rest[0] & 0xf {
            0 => self.text && self.proves_text,
            1 => self.proves_text,
            8 => true,
            _ => false,
        }
    }
}
