//! RFC 6455 §5.5.1, §7.4 and §8.1: Closes and their codes, and what text is.

use crate::row::{Row, passes, refused};

const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x88;

pub(crate) fn rows() -> Vec<Row> {
    [closes(), codes(), texts()].into_iter().flatten().collect()
}

fn closes() -> Vec<Row> {
    let clause = "RFC 6455 §5.5.1: a body is a code and a reason, and nothing is sent behind a Close";
    let long = [b"\x03\xe8", &[b'x'; 123][..]].concat();
    let bodies = [b"".to_vec(), b"\x03\xe8".to_vec(), b"\x03\xe8bye".to_vec(), long];
    let mut rows: Vec<_> = bodies
        .map(|body| {
            let which = format!("a body of {} bytes", body.len());
            passes(clause, move |sender| sender.frame(CLOSE, &body)).and_closes().which(which)
        })
        .into();
    rows.push(
        passes(clause, |sender| [sender.frame(FIN | TEXT, b"before"), sender.frame(CLOSE, b"")].concat())
            .and_closes()
            .which("what is before it passes"),
    );
    rows.push(refused(clause, |sender| sender.start(CLOSE, 1, &[])).which("half a code"));
    let clause = "RFC 6455 §5.5.1: the reason of a Close is UTF-8";
    for reason in NO_TEXT {
        let body = [b"\x03\xe8", reason].concat();
        let row = refused(clause, move |sender| sender.frame_without(CLOSE, &body, 3)).not_text();
        rows.push(row.which(format!("{reason:02x?}")));
    }
    for reason in HALVES {
        let body = [b"\x03\xe8", reason].concat();
        let row = refused(clause, move |sender| sender.frame(CLOSE, &body)).not_text();
        rows.push(row.which(format!("{reason:02x?} at its end")));
    }
    rows
}

fn codes() -> Vec<Row> {
    let clause = "RFC 6455 §7.4: codes that a Close may carry, with those that IANA has added";
    let sendable =
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    let mut rows: Vec<_> = sendable
        .map(|code: u16| {
            let row = passes(clause, move |sender| sender.frame(CLOSE, &code.to_be_bytes()));
            row.and_closes().which(code.to_string())
        })
        .into();
    // A code, and how many of its bytes decide.
    let cases: [(&str, &[(u16, usize)]); 3] = [
        (
            "RFC 6455 §7.4.1: 1004 is reserved; 1005, 1006 and 1015 are never sent",
            &[(1004, 2), (1005, 2), (1006, 2), (1015, 2)],
        ),
        ("RFC 6455 §7.4.2: codes below 1000 are not used", &[(0, 1), (767, 1), (768, 2), (999, 2)]),
        (
            "RFC 6455 §7.4.2: up to 2999 codes are the protocol's, and above 4999 there are none",
            &[(1016, 2), (1100, 1), (2000, 1), (2999, 2), (5000, 2), (5120, 1), (u16::MAX, 1)],
        ),
    ];
    for (clause, codes) in cases {
        for &(code, decides) in codes {
            let row = refused(clause, move |sender| {
                sender.frame_without(CLOSE, &code.to_be_bytes()[..decides], 7 - decides as u64)
            });
            rows.push(row.which(code.to_string()));
        }
    }
    rows
}

/// What is no UTF-8 whatever may follow, up to the byte that decides: a continuation of nothing,
/// overlong forms, surrogates, numbers above U+10FFFF, characters that something else breaks off.
const NO_TEXT: [&[u8]; 16] = [
    b"\x80",
    b"\xbf",
    b"\xc0",
    b"\xc1",
    b"\xf5",
    b"\xfe",
    b"\xff",
    b"\xe0\x80",
    b"\xe0\x9f",
    b"\xed\xa0",
    b"\xed\xbf",
    b"\xf0\x8f",
    b"\xf4\x90",
    b"\xc3\x28",
    b"\xe2\x82\x28",
    b"\xf0\x9d\x84\x28",
];

/// Characters that end too soon.
const HALVES: [&[u8]; 5] = [b"\xce", b"\xe2\x82", b"\xf0", b"\xf0\x9d", b"\xf0\x9d\x84"];

fn texts() -> Vec<Row> {
    let clause = "RFC 6455 §5.6 and §8.1: text is UTF-8, whatever its fragments";
    let text = "\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{10ffff}".as_bytes();
    let mut rows = vec![passes(clause, |sender| sender.frame(FIN | TEXT, text)).which("every length")];
    for cut in 0..=text.len() {
        let row = passes(clause, move |sender| {
            [sender.frame(TEXT, &text[..cut]), sender.frame(0, b""), sender.frame(FIN, &text[cut..])].concat()
        });
        rows.push(row.which(format!("a fragment of {cut} bytes")));
    }
    let clause = "RFC 6455 §8.1: what is not UTF-8 fails the connection, at the byte that shows it";
    for bad in NO_TEXT {
        for before in ["", "plain", "κό"] {
            let came = [before.as_bytes(), bad].concat();
            let row = refused(clause, move |sender| sender.frame_without(FIN | TEXT, &came, 3)).not_text();
            rows.push(row.which(format!("{bad:02x?} behind {before:?}")));
        }
        let (last, first) = bad.split_last().unwrap();
        let row = refused(clause, move |sender| sender.frame_without(0, &[*last], 3));
        let row = row.behind(move |sender| {
            [sender.frame(TEXT, &[b"x", first].concat()), sender.frame(0, b""), sender.frame(0x89, b"")]
                .concat()
        });
        rows.push(row.not_text().which(format!("{bad:02x?} in two fragments")));
    }
    let clause = "RFC 6455 §8.1: a text that ends within a character fails the connection at its end";
    for half in HALVES {
        let row = refused(clause, move |sender| sender.frame(FIN | TEXT, &[b"x", half].concat()));
        rows.push(row.not_text().which(format!("{half:02x?}")));
        let row =
            refused(clause, |sender| sender.frame(FIN, b"")).behind(move |sender| sender.frame(TEXT, half));
        rows.push(row.not_text().which(format!("{half:02x?}, and an empty last fragment")));
    }
    rows
}
