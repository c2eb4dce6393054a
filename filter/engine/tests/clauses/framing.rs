//! RFC 6455 §5 and §6: frames, fragments, control frames.

use postern_engine::Peer;

use crate::row::{Row, Sender, passes, refused};
use crate::support::frame;

const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CONTROLS: [u8; 3] = [0x8, 0x9, 0xa];

pub(crate) fn rows() -> Vec<Row> {
    [masking(), reserved_bits(), opcodes(), lengths(), fragments(), controls(), examples()]
        .into_iter()
        .flatten()
        .collect()
}

fn masking() -> Vec<Row> {
    let clause = "RFC 6455 §5.1: frames of a client are masked, those of a server are not";
    let mut rows: Vec<_> = [0x81, 0x82, 0x01, 0x89, 0x8a, 0x88]
        .map(|first| {
            refused(clause, move |sender| sender.start_of_the_other(first, 5)).which(format!("{first:#x}"))
        })
        .into();
    rows.push(
        refused(clause, |sender| sender.start_of_the_other(0x80, 0))
            .behind(|sender| sender.frame(TEXT, b"open"))
            .which("a continuation"),
    );
    for key in [[0; 4], [0xff; 4], [0x80, 0, 0, 1]] {
        let clause = "RFC 6455 §5.3: the key is any, and begins anew with each payload";
        let row = passes(clause, move |_| {
            let text = "κόσμε 𝄞".as_bytes();
            [frame(TEXT, &text[..3], Some(key)), frame(0x89, b"\xff", Some(key)), {
                frame(FIN, &text[3..], Some(key))
            }]
            .concat()
        });
        rows.push(row.only(&[Peer::Client]).which(format!("{key:02x?}")));
    }
    rows
}

fn reserved_bits() -> Vec<Row> {
    let clause = "RFC 6455 §5.2: RSV1 to RSV3 are 0 where nothing was negotiated";
    let mut rows = Vec::new();
    for bit in [0x40, 0x20, 0x10, 0x70] {
        for first in [0x81, 0x82, 0x01, 0x88, 0x89, 0x8a] {
            rows.push(refused(clause, move |_| vec![first | bit]).which(format!("{:#x}", first | bit)));
        }
        rows.push(
            refused(clause, move |_| vec![FIN | bit])
                .behind(|sender| sender.frame(TEXT, b"open"))
                .which(format!("{bit:#x} of a continuation")),
        );
    }
    rows
}

fn opcodes() -> Vec<Row> {
    let clause = "RFC 6455 §5.2: an unknown opcode fails the connection";
    let reserved = (0x3..=0x7).chain(0xb..=0xf);
    let firsts = reserved.flat_map(|opcode| [opcode, FIN | opcode]);
    firsts.map(|first| refused(clause, move |_| vec![first]).which(format!("{first:#x}"))).collect()
}

fn lengths() -> Vec<Row> {
    let clause = "RFC 6455 §5.2: a length is written in as few bytes as it needs";
    let mut rows = Vec::new();
    for len in [0, 1, 125, 126, 65_535, 65_536] {
        let row = passes(clause, move |sender| sender.frame(FIN | BINARY, &vec![7; len]));
        rows.push(row.which(format!("{len}")));
    }
    for len in [0, 1, 125] {
        let row = refused(clause, move |sender| sender.start(FIN | BINARY, 126, &[0, len]));
        rows.push(row.which(format!("{len} in sixteen bits")));
    }
    // Six zeros, whatever follows them.
    let row = refused(clause, |sender| sender.start(FIN | TEXT, 127, &[0; 6]));
    rows.push(row.which("up to 65535 in sixty-four bits"));
    let clause = "RFC 6455 §5.2: the top bit of a length of sixty-four bits is 0";
    for byte in [0x80, 0xff] {
        let row = refused(clause, move |sender| sender.start(FIN | BINARY, 127, &[byte]));
        rows.push(row.which(format!("{byte:#x}")));
    }
    rows
}

fn fragments() -> Vec<Row> {
    let one = |sender: Sender| sender.frame(TEXT, b"one");
    let ended = move |sender: Sender| [one(sender), sender.frame(FIN, b"two")].concat();
    let clause = "RFC 6455 §5.4: fragments are continued by opcode 0, and the last has FIN";
    let mut rows = vec![
        passes(clause, ended),
        passes(clause, move |sender| {
            [one(sender), sender.frame(0, b""), sender.frame(0, &[b'x'; 126]), sender.frame(FIN, b"")]
                .concat()
        })
        .which("empty ones too"),
        passes(clause, |sender| [sender.frame(BINARY, b""), sender.frame(FIN, b"\xff")].concat())
            .which("of a binary message, whose type they all have"),
        passes(clause, move |sender| [ended(sender), ended(sender)].concat())
            .which("one message after another"),
    ];
    let clause = "RFC 6455 §5.4: a continuation needs a message that is open";
    for (which, good) in [
        ("nothing", (|_| Vec::new()) as fn(Sender) -> Vec<u8>),
        ("a whole message", |sender| sender.frame(FIN | TEXT, b"whole")),
        ("a Ping", |sender| sender.frame(0x89, b"ping")),
        ("the last fragment", |sender| [sender.frame(BINARY, b"one"), sender.frame(FIN, b"two")].concat()),
    ] {
        for first in [0, FIN] {
            let row = refused(clause, move |_| vec![first]).behind(good);
            rows.push(row.which(format!("{first:#x} behind {which}")));
        }
    }
    let clause = "RFC 6455 §5.4: fragments of one message are not interleaved with those of another";
    for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
        rows.push(refused(clause, move |_| vec![first]).behind(one).which(format!("{first:#x}")));
        let with_ping = move |sender| [one(sender), sender.frame(0x89, b"")].concat();
        let row = refused(clause, move |_| vec![first]).behind(with_ping);
        rows.push(row.which(format!("{first:#x} behind a Ping in the message")));
    }
    let clause = "RFC 6455 §5.4: control frames may come amid the fragments of a message";
    for opcode in [0x9, 0xa] {
        let row = passes(clause, move |sender| {
            let control = sender.frame(FIN | opcode, b"\xff no part of the text");
            let fragments = [sender.frame(TEXT, b"\xce"), sender.frame(0, b""), sender.frame(FIN, b"\xba")];
            fragments.join(&control[..])
        });
        rows.push(row.which(format!("{opcode:#x}")));
    }
    rows.push(
        passes(clause, move |sender| [one(sender), sender.frame(0x88, b"")].concat())
            .and_closes()
            .which("a Close"),
    );
    rows
}

fn controls() -> Vec<Row> {
    let mut rows = Vec::new();
    for opcode in CONTROLS {
        let clause = "RFC 6455 §5.5: a control frame is not fragmented";
        rows.push(refused(clause, move |_| vec![opcode]).which(format!("{opcode:#x}")));
        let clause = "RFC 6455 §5.5: a control frame has at most 125 bytes";
        for length in [126, 127] {
            let row = refused(clause, move |sender| sender.start(FIN | opcode, length, &[]));
            rows.push(row.which(format!("{opcode:#x} with a length of {length}")));
        }
    }
    for (clause, opcode) in [
        ("RFC 6455 §5.5.2: a Ping may have data, of any kind", 0x9),
        ("RFC 6455 §5.5.3: a Pong may come unasked", 0xa),
    ] {
        for len in [0, 1, 125] {
            let row = passes(clause, move |sender| sender.frame(FIN | opcode, &vec![0xff; len]));
            rows.push(row.which(format!("{len} bytes")));
        }
    }
    let clause = "RFC 6455 §5.6: binary data is arbitrary";
    rows.push(passes(clause, |sender| sender.frame(FIN | BINARY, b"\xff\x80\x00\xc0")));
    rows
}

/// The examples, byte by byte as they are printed; each is of the peer that may send it.
fn examples() -> Vec<Row> {
    let masked = b"\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let examples: [(&str, &'static [Peer], Vec<u8>); 7] = [
        ("unmasked text", &[Peer::Upstream], b"\x81\x05Hello".to_vec()),
        ("masked text", &[Peer::Client], [b"\x81\x85", &masked[..]].concat()),
        ("fragmented unmasked text", &[Peer::Upstream], b"\x01\x03Hel\x80\x02lo".to_vec()),
        ("an unmasked Ping", &[Peer::Upstream], b"\x89\x05Hello".to_vec()),
        ("a masked Pong", &[Peer::Client], [b"\x8a\x85", &masked[..]].concat()),
        ("256 bytes", &[Peer::Upstream], [b"\x82\x7e\x01\x00", &[9; 256][..]].concat()),
        ("64 KiB", &[Peer::Upstream], [b"\x82\x7f\0\0\0\0\0\x01\0\0", &[9; 65_536][..]].concat()),
    ];
    let row = |(which, peers, bytes): (&str, _, Vec<u8>)| {
        passes("RFC 6455 §5.7: the examples are legal", move |_| bytes.clone()).only(peers).which(which)
    };
    examples.into_iter().map(row).collect()
}
