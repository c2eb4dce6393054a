//! RFC 7692 §6 and §7: which frames are compressed, what their payloads inflate to, and what was
//! agreed on.

use postern_engine::Peer;

use crate::row::{Row, Sender, Terms, passes, refused};

const TEXT: u8 = 0xc1;
const BINARY: u8 = 0xc2;
const FIN: u8 = 0x80;

/// "Hello" in one block of fixed codes, as §7.2.3.1 prints it.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

/// The second "Hello" of §7.2.3.2, which refers to the first.
const AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";

const fn inspected(answer: &'static str) -> Terms {
    Terms { compression: "inspect", answer: Some(answer) }
}

const INSPECT: Terms = inspected("permessage-deflate");
const PASS: Terms = Terms { compression: "pass", ..INSPECT };
const CLIENT: &[Peer] = &[Peer::Client];
const UPSTREAM: &[Peer] = &[Peer::Upstream];

const NOT_AGREED: Terms = Terms { compression: "inspect", answer: None };

pub(crate) fn rows() -> Vec<Row> {
    [framing(), examples(), contexts(), windows(), decompression()].into_iter().flatten().collect()
}

fn framing() -> Vec<Row> {
    let clause = "RFC 7692 §6: RSV1 is set on the first frame of a compressed message and on no other";
    let mut rows = Vec::new();
    for terms in [INSPECT, PASS] {
        let which = terms.compression;
        rows.push(
            passes(clause, |sender| {
                let (start, end) = HELLO.split_at(3);
                [sender.frame(0x41, start), sender.frame(0, b""), sender.frame(FIN, end)].concat()
            })
            .under(terms)
            .which(format!("fragments, {which}")),
        );
        let opens: [fn(Sender) -> Vec<u8>; 2] =
            [|sender| sender.frame(0x02, b"open"), |sender| sender.frame(0x01, b"open")];
        for open in opens {
            for first in [0x40, 0xc0] {
                let row = refused(clause, move |_| vec![first]).behind(open).under(terms);
                rows.push(row.which(format!("{first:#x} in a message, {which}")));
            }
        }
        for first in [0xc8, 0xc9, 0xca] {
            let row = refused(clause, move |_| vec![first]).under(terms);
            rows.push(row.which(format!("{first:#x}, {which}")));
        }
        for first in [0xe1, 0xd1, 0xa2, 0x92, 0xc3, 0xc7] {
            let row = refused("RFC 6455 §5.2: RSV2, RSV3 and unknown opcodes stay forbidden", move |_| {
                vec![first]
            });
            rows.push(row.under(terms).which(format!("{first:#x}, {which}")));
        }
        let clause = "RFC 7692 §6.1: a message may go uncompressed all the same";
        let row = passes(clause, |sender| {
            [sender.frame(0x81, b"plain"), sender.frame(TEXT, HELLO), sender.frame(0x82, b"\xff")].concat()
        });
        rows.push(row.under(terms).which(which));
    }
    // Of a compressed message that is inspected nothing has passed yet.
    let row = refused(clause, |sender| [sender.frame(0x41, HELLO), vec![0xc0]].concat());
    rows.push(row.under(INSPECT).which("0xc0 in a compressed message"));
    for first in [TEXT, BINARY, 0x41] {
        let row =
            refused("RFC 7692 §6: RSV1 says nothing where nothing was agreed on", move |_| vec![first]);
        rows.push(row.under(NOT_AGREED).which(format!("{first:#x}")));
    }
    rows
}

fn examples() -> Vec<Row> {
    let messages = |which: &'static str, messages: &'static [&'static [u8]]| {
        let clause = "RFC 7692 §7.2.3: the examples are legal";
        [INSPECT, PASS].map(|terms| {
            let sent = |sender: Sender| messages.iter().flat_map(move |payload| sender.frame(TEXT, payload));
            let row = passes(clause, move |sender| sent(sender).collect());
            row.under(terms).which(format!("{which}, {}", terms.compression))
        })
    };
    [
        messages("§7.2.3.1: one block", &[HELLO]),
        messages("§7.2.3.2: a history that is shared", &[HELLO, AGAIN, AGAIN]),
        messages("§7.2.3.3: a block that is not compressed", &[b"\x00\x05\x00\xfa\xffHello\x00"]),
        messages("§7.2.3.4: BFINAL", &[b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"]),
        messages("§7.2.3.5: two blocks", &[b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"]),
        messages("§7.2.3.6: an empty message", &[b"\x00"]),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn contexts() -> Vec<Row> {
    let hello = |sender: Sender| sender.frame(TEXT, HELLO);
    let again = |sender: Sender| sender.frame(TEXT, AGAIN);
    // The distance is complete in the third byte.
    let too_far = |sender: Sender| sender.frame_without(TEXT, &AGAIN[..3], 2);
    let both = move |sender: Sender| [hello(sender), again(sender)].concat();
    let client_alone = inspected("permessage-deflate; client_no_context_takeover");
    let server_alone = inspected("permessage-deflate; server_no_context_takeover");
    let of_server = "RFC 7692 §7.1.1.1: a server that agreed to it takes no context over";
    let of_client = "RFC 7692 §7.1.1.2: a client that was told so takes no context over";
    vec![
        refused(of_client, too_far).behind(hello).under(client_alone).only(CLIENT),
        passes(of_client, both).under(client_alone).only(UPSTREAM).which("the server may"),
        refused(of_server, too_far).behind(hello).under(server_alone).only(UPSTREAM),
        passes(of_server, both).under(server_alone).only(CLIENT).which("the client may"),
    ]
}

/// Three bytes from 512 back, and from 513.
const BACK_512: &[u8] = b"\x02\xc6\x3f\x00";
const BACK_513: &[u8] = b"\x02\x26\x00\x00\x00";

fn windows() -> Vec<Row> {
    // More than a window of nine bits holds, in a block that is not compressed.
    let long = |sender: Sender| {
        let payload = [b"\x00\x58\x02\xa7\xfd", &[7; 600][..], b"\x00"].concat();
        sender.frame(BINARY, &payload)
    };
    let then = move |payload: &'static [u8]| {
        move |sender: Sender| [long(sender), sender.frame(BINARY, payload)].concat()
    };
    // The distance is complete in the third byte.
    let too_far = |sender: Sender| sender.frame_without(BINARY, &BACK_513[..3], 2);
    let of_server = "RFC 7692 §7.1.2.1: the server's window is no larger than it said";
    let of_client = "RFC 7692 §7.1.2.2: the client's window is no larger than it was told";
    let client_9 = inspected("permessage-deflate; client_max_window_bits=9");
    let server_9 = inspected("permessage-deflate; server_max_window_bits=9");
    let mut rows = Vec::new();
    for (clause, terms, bounded, free) in
        [(of_client, client_9, CLIENT, UPSTREAM), (of_server, server_9, UPSTREAM, CLIENT)]
    {
        rows.extend([
            passes(clause, then(BACK_512)).under(terms).only(bounded).which("its last byte"),
            refused(clause, too_far).behind(long).under(terms).only(bounded).which("a byte more"),
            passes(clause, then(BACK_513)).under(terms).only(free).which("the other side's is not bounded"),
        ]);
    }
    rows
}

fn decompression() -> Vec<Row> {
    let clause = "RFC 7692 §7.2.2: with the four octets behind it, a payload has to inflate";
    let mut rows: Vec<_> = [
        ("a block of no type", &b"\x06"[..]),
        ("lengths of a stored block that differ", b"\x00\x05\x00\xfa\xfe"),
        ("a distance beyond the history", b"\xf2\x00\x11"),
    ]
    .map(|(which, came)| {
        refused(clause, move |sender| sender.frame_without(BINARY, came, 3)).under(INSPECT).which(which)
    })
    .into();
    for (which, payload) in [("cut off", &HELLO[..4]), ("no octet at all", b"")] {
        let row = refused(clause, |sender| sender.frame(BINARY, payload)).under(INSPECT);
        rows.push(row.which(which));
        let row = refused(clause, |sender| [sender.frame(0x42, payload), sender.frame(FIN, b"")].concat());
        rows.push(row.under(INSPECT).which(format!("{which}, in fragments")));
    }
    let clause = "RFC 6455 §8.1 and RFC 7692 §6.2: text is what a message inflates to";
    for (which, payload) in [
        ("a byte that is no text", &b"\x00\x03\x00\xfc\xffab\xff\x00"[..]),
        ("half a character", b"\x00\x01\x00\xfe\xff\xce\x00"),
    ] {
        let decides = if which == "half a character" { payload.len() } else { payload.len() - 1 };
        let row = refused(clause, move |sender| {
            sender.frame_without(TEXT, &payload[..decides], (payload.len() - decides) as u64)
        });
        rows.push(row.under(INSPECT).not_text().which(which));
        let row = passes(clause, |sender| sender.frame(BINARY, payload));
        rows.push(row.under(INSPECT).which(format!("{which}, in a binary message")));
        let row = passes(clause, |sender| sender.frame(TEXT, payload));
        rows.push(row.under(PASS).which(format!("{which}, which nobody inflates")));
    }
    rows
}
