//! Frames and messages that break RFC 6455, or that are larger than anything that is meant.

use crate::audit::attack::{Attack, Severity, Trial};
use crate::audit::frame::{Frame, Length, opcode};
use crate::audit::trial::quoted;

const FRAMING: &str = "RFC 6455 5.2";
const CONTROL: &str = "RFC 6455 5.5";
const FRAGMENTS: &str = "RFC 6455 5.4";
const CLOSING: &str = "RFC 6455 7.4";
const UTF8: &str = "RFC 6455 8.1";
const SIZE: &str = "OWASP WebSocket cheat sheet, message size";
const PROTOCOL: &str = "protocol";

/// The bytes of a frame that is too big: what OWASP recommends at most, sixteen times, and more.
const TOO_MUCH: usize = (1 << 20) + 2;

/// The number of bytes of a fragment, and of such fragments, of a message that is too big.
const PART: usize = 16 << 10;
const PARTS: usize = 65;

/// The number of fragments of a message that has too many.
const MANY: usize = 1000;

/// The number of bytes that the bomb inflates to.
const BOMB: usize = 8 << 20;

fn text(payload: &[u8]) -> Frame {
    Frame::new(opcode::TEXT, payload)
}

fn binary() -> Frame {
    Frame::new(opcode::BINARY, *b"postern-audit")
}

fn ping() -> Frame {
    Frame::new(opcode::PING, *b"postern-audit")
}

fn continuation(payload: &[u8]) -> Frame {
    Frame::new(opcode::CONTINUATION, payload)
}

/// Returns a text message in these fragments.
fn fragments<'a>(mut parts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = text(parts.next().unwrap_or_default()).unfinished().bytes();
    for part in parts {
        bytes.extend(continuation(part).unfinished().bytes());
    }
    bytes.extend(continuation(b"").bytes());
    bytes
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        id: "frame-unmasked",
        title: "A frame that is not masked is taken, which poisons caches on the way",
        sends: "a binary frame without a mask",
        severity: Severity::High,
        reference: "RFC 6455 5.1",
        closed_by: PROTOCOL,
        trial: Trial::Frames(|| binary().unmasked().bytes()),
    },
    Attack {
        id: "frame-rsv1",
        title: "A frame that says it is compressed is taken where nobody agreed on it",
        sends: "a compressed binary message, with RSV1",
        severity: Severity::Medium,
        reference: "RFC 7692 6",
        closed_by: PROTOCOL,
        trial: Trial::Frames(|| {
            // The word `Hello` (RFC 7692 §7.2.3.1).
            Frame::new(opcode::BINARY, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).reserved(4).bytes()
        }),
    },
    Attack {
        id: "frame-rsv2",
        title: "A frame with a reserved bit is taken",
        sends: "a binary frame with RSV2",
        severity: Severity::Low,
        reference: FRAMING,
        closed_by: PROTOCOL,
        trial: Trial::Frames(|| binary().reserved(2).bytes()),
    },
    Attack {
        id: "frame-rsv3",
        title: "A frame with another reserved bit is taken",
        sends: "a binary frame with RSV3",
        severity: Severity::Low,
        reference: FRAMING,
        closed_by: PROTOCOL,
        trial: Trial::Frames(|| binary().reserved(1).bytes()),
    },
    Attack {
        id: "frame-opcode-data",
        title: "A frame of a reserved kind of data is taken",
        sends: "a frame with the opcode 3",
        severity: Severity::Medium,
        reference: FRAMING,
        closed_by: PROTOCOL,
        trial: Trial::Frames(|| Frame::new(0x3, *b"postern-audit").bytes()),
    },
    Attack {
        id: "frame-opcode-control",
        title: "A frame of a reserved kind of control is taken",
        sends: "a frame with the opcode 11",
        severity: Severity::Medium,
        reference: FRAMING,
        closed_by: PROTOCOL,
        trial: Trial::Frames(|| Frame::new(0xb, *b"postern-audit").bytes()),
    },
    Attack {
        id: "frame-control-fragmented",
        title: "A control frame in fragments is taken",
        sends: "a Ping without FIN",
        severity: Severity::Low,
        reference: CONTROL,
        closed_by: PROTOCOL,
        trial: Trial::Frames(|| ping().unfinished().bytes()),
    },
    Attack {
        id: "frame-control-long",
        title: "A control frame that is too long is taken",
        sends: "a Ping of 126 bytes",
        severity: Severity::Medium,
        reference: CONTROL,
        closed_by: PROTOCOL,
        trial: Trial::Frames(|| Frame::new(opcode::PING, [b'x'; 126]).bytes()),
    },
    Attack {
        id: "frame-control-unmasked",
        title: "A control frame that is not masked is taken",
        sends: "a Ping without a mask",
        severity: Severity::Medium,
        reference: "RFC 6455 5.1",
        closed_by: PROTOCOL,
        trial: Trial::Frames(|| ping().unmasked().bytes()),
    },
    Attack {
        id: "frame-length-16",
        title: "A length in sixteen bits that needs seven is taken",
        sends: "a binary frame of 13 bytes with its length in sixteen bits",
        severity: Severity::Low,
        reference: FRAMING,
        closed_by: PROTOCOL,
        trial: Trial::Frames(|| binary().length(Length::Sixteen(13)).bytes()),
    },
    Attack {
        id: "frame-length-64",
        title: "A length in sixty-four bits that needs seven is taken",
        sends: "a binary frame of 13 bytes with its length in sixty-four bits",
        severity: Severity::Low,
        reference: FRAMING,
        closed_by: PROTOCOL,
        trial: Trial::Frames(|| binary().length(Length::SixtyFour(13)).bytes()),
    },
    Attack {
        id: "frame-length-top-bit",
        title: "A length that may be read as a negative number is taken",
        sends: "the beginning of a binary frame whose length has the top bit set",
        severity: Severity::High,
        reference: FRAMING,
        closed_by: PROTOCOL,
        trial: Trial::Endless(|| binary().length(Length::SixtyFour(1 << 63 | 13)).bytes()),
    },
    Attack {
        id: "frame-length-huge",
        title: "A length that nobody can mean is waited for",
        sends: "the beginning of a binary frame of a tebibyte",
        severity: Severity::High,
        reference: SIZE,
        closed_by: "messages.max_frame_bytes",
        trial: Trial::Endless(|| binary().length(Length::SixtyFour(1 << 40)).bytes()),
    },
    Attack {
        id: "frame-big",
        title: "A frame of a mebibyte is taken",
        sends: "a text message of 1 MiB and 2 bytes in one frame",
        severity: Severity::Medium,
        reference: SIZE,
        closed_by: "messages.max_frame_bytes",
        trial: Trial::Frames(|| text(&quoted(TOO_MUCH)).bytes()),
    },
    Attack {
        id: "frame-message-big",
        title: "A message of a mebibyte in small frames is taken",
        sends: "a text message of 65 fragments of 16 KiB",
        severity: Severity::High,
        reference: SIZE,
        closed_by: "messages.max_message_bytes",
        trial: Trial::Frames(|| fragments(quoted(PART * PARTS).chunks(PART))),
    },
    Attack {
        id: "frame-fragments-many",
        title: "A message of very many fragments is taken",
        sends: "a text message of 1000 fragments of a byte",
        severity: Severity::Medium,
        reference: "CWE-770",
        closed_by: "messages.max_fragments",
        trial: Trial::Frames(|| fragments(quoted(MANY).chunks(1))),
    },
    Attack {
        id: "frame-fragments-empty",
        title: "A message of very many empty fragments is taken",
        sends: "a text message of 1000 fragments without a byte",
        severity: Severity::Medium,
        reference: "CWE-770",
        closed_by: "messages.max_fragments",
        trial: Trial::Frames(|| {
            fragments([&b"\"\""[..]].into_iter().chain(std::iter::repeat_n(&b""[..], MANY)))
        }),
    },
    Attack {
        id: "frame-continuation",
        title: "A continuation of nothing is taken",
        sends: "a continuation frame where no message is under way",
        severity: Severity::Medium,
        reference: FRAGMENTS,
        closed_by: PROTOCOL,
        trial: Trial::Frames(|| continuation(b"postern-audit").bytes()),
    },
    Attack {
        id: "frame-interleaved",
        title: "A message within another is taken",
        sends: "the first fragment of a text message, and a whole binary message",
        severity: Severity::Medium,
        reference: FRAGMENTS,
        closed_by: PROTOCOL,
        trial: Trial::Frames(|| [text(b"\"open").unfinished().bytes(), binary().bytes()].concat()),
    },
    Attack {
        id: "frame-utf8",
        title: "Text that is not UTF-8 is taken",
        sends: "a text message with the byte FF",
        severity: Severity::Medium,
        reference: UTF8,
        closed_by: "messages.utf8",
        trial: Trial::Frames(|| text(b"\"\xff\"").bytes()),
    },
    Attack {
        id: "frame-utf8-surrogate",
        title: "Text with half a surrogate pair is taken",
        sends: "a text message with the bytes ED A0 80",
        severity: Severity::Low,
        reference: UTF8,
        closed_by: "messages.utf8",
        trial: Trial::Frames(|| text(b"\"\xed\xa0\x80\"").bytes()),
    },
    Attack {
        id: "frame-utf8-split",
        title: "Text that is not UTF-8 over two fragments is taken",
        sends: "a text message whose first fragment ends within a character that the second does not end",
        severity: Severity::Medium,
        reference: UTF8,
        closed_by: "messages.utf8",
        trial: Trial::Frames(|| {
            [text(b"\"\xce").unfinished().bytes(), continuation(b" \"").bytes()].concat()
        }),
    },
    Attack {
        id: "frame-close-code",
        title: "A Close with a code that must not be sent is taken",
        sends: "a Close of 1005",
        severity: Severity::Low,
        reference: CLOSING,
        closed_by: PROTOCOL,
        trial: Trial::Close(b"\x03\xed"),
    },
    Attack {
        id: "frame-close-code-unknown",
        title: "A Close with a code that is none is taken",
        sends: "a Close of 999",
        severity: Severity::Low,
        reference: CLOSING,
        closed_by: PROTOCOL,
        trial: Trial::Close(b"\x03\xe7"),
    },
    Attack {
        id: "frame-close-half",
        title: "A Close with half a code is taken",
        sends: "a Close of one byte",
        severity: Severity::Low,
        reference: "RFC 6455 5.5.1",
        closed_by: PROTOCOL,
        trial: Trial::Close(b"\x03"),
    },
    Attack {
        id: "frame-close-reason",
        title: "A Close whose reason is not UTF-8 is taken",
        sends: "a Close of 1000 with the byte FF as its reason",
        severity: Severity::Low,
        reference: "RFC 6455 5.5.1",
        closed_by: PROTOCOL,
        trial: Trial::Close(b"\x03\xe8\xff"),
    },
    Attack {
        id: "frame-bomb",
        title: "A few bytes that inflate to very many are taken",
        sends: "a compressed message of 8 KiB that inflates to 8 MiB, where compression is agreed on",
        severity: Severity::High,
        reference: "RFC 7692 8",
        closed_by: "compression",
        trial: Trial::Bomb(BOMB),
    },
];
