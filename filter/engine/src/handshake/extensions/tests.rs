use super::*;
use crate::http::headers::Field;

/// Returns fields of these values.
fn fields(values: &[&[u8]]) -> Vec<Field> {
    values.iter().map(|value| (EXTENSIONS.to_owned(), value.to_vec())).collect()
}

fn read(compression: Compression, values: &[&[u8]]) -> Result<Offers, HandshakeFault> {
    Offers::read(compression, false, Headers::new(&fields(values)))
}

/// Returns the values that go up of `values`.
fn goes_up(values: &[&[u8]]) -> Result<Vec<Vec<u8>>, HandshakeFault> {
    let passed = read(Compression::Pass, values);
    assert_eq!(format!("{passed:?}"), format!("{:?}", read(Compression::Inspect, values)));
    Ok(match passed?.edit {
        None => values.iter().map(|value| value.to_vec()).collect(),
        Some(HeaderEdit::Remove(name)) => {
            assert_eq!(name, EXTENSIONS);
            Vec::new()
        }
        Some(HeaderEdit::Add(..)) => panic!("the offers are replaced"),
        Some(HeaderEdit::Set(name, value)) => {
            assert_eq!(name, EXTENSIONS);
            vec![value]
        }
    })
}

/// Returns the agreement that `answer` to `offer` makes.
fn agreement(offer: &str, answer: &[&[u8]], alone: bool) -> Option<Agreement> {
    let offers = read(Compression::Pass, &[offer.as_bytes()]).unwrap();
    assert_eq!(offers.edit, None, "{offer}");
    agree(&offers.left, alone, Headers::new(&fields(answer)))
}

/// Window and takeover of the client, then of the server.
type Sides = ((u8, bool), (u8, bool));

fn sides(agreement: &Agreement) -> Sides {
    let Deflate { client, server } = agreement.deflate.unwrap();
    ((client.window_bits, client.takeover), (server.window_bits, server.takeover))
}

#[test]
fn a_sound_offer_goes_up_as_it_is_written() {
    // The offers of RFC 7692 §7.1.3 come first.
    let cases: [&[&[u8]]; 13] = [
        &[b"permessage-deflate"],
        &[b"permessage-deflate; client_max_window_bits; server_max_window_bits=10"],
        &[b"permessage-deflate; client_max_window_bits; server_max_window_bits=10, \
              permessage-deflate; client_max_window_bits"],
        &[b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
        &[b"permessage-deflate;server_max_window_bits=8;client_max_window_bits=15"],
        &[b"permessage-deflate; server_max_window_bits=\"9\""],
        &[b"permessage-deflate; server_max_window_bits=\"\\1\\5\""],
        &[b" permessage-deflate\t; client_max_window_bits = 9 "],
        &[b",, permessage-deflate ,\t,"],
        &[b"permessage-deflate", b"", b"permessage-deflate; client_max_window_bits"],
        &[b"permessage-deflate,permessage-deflate"],
        &[b"permessage-deflate; client_max_window_bits=8, permessage-deflate; client_max_window_bits=\"8\""],
        &[b"permessage-deflate; client_max_window_bits=10"],
    ];
    for values in cases {
        let shown: Vec<_> = values.iter().map(|value| value.escape_ascii().to_string()).collect();
        assert_eq!(
            goes_up(values).as_deref(),
            Ok(&values.iter().map(|v| v.to_vec()).collect::<Vec<_>>()[..]),
            "{shown:?}"
        );
    }
    assert_eq!(goes_up(&[]), Ok(vec![]));
}

#[test]
fn what_no_server_may_accept_is_taken_out() {
    let none: &[&[u8]] = &[];
    let cases: [(&[&[u8]], &[&[u8]]); 24] = [
        (&[b"x-webkit-deflate-frame"], none),
        (&[b"Permessage-Deflate"], none),
        (&[b"permessage-deflate2"], none),
        (&[b"permessage-deflate; foo"], none),
        (&[b"permessage-deflate; foo=1"], none),
        (&[b"permessage-deflate; Server_No_Context_Takeover"], none),
        (&[b"permessage-deflate; server_no_context_takeover=1"], none),
        (&[b"permessage-deflate; client_no_context_takeover=\"true\""], none),
        (&[b"permessage-deflate; server_no_context_takeover; server_no_context_takeover"], none),
        (&[b"permessage-deflate; client_no_context_takeover; client_no_context_takeover"], none),
        (&[b"permessage-deflate; server_max_window_bits=8; server_max_window_bits=8"], none),
        (&[b"permessage-deflate; client_max_window_bits; client_max_window_bits=8"], none),
        (&[b"permessage-deflate; server_max_window_bits"], none),
        (&[b"permessage-deflate; server_max_window_bits=7"], none),
        (&[b"permessage-deflate; server_max_window_bits=16"], none),
        (&[b"permessage-deflate; server_max_window_bits=08"], none),
        (&[b"permessage-deflate; server_max_window_bits=0x8"], none),
        (&[b"permessage-deflate; server_max_window_bits=+8"], none),
        (&[b"permessage-deflate; client_max_window_bits=100000000000000000000000008"], none),
        (&[b"permessage-deflate; client_max_window_bits=-8"], none),
        (
            &[b"foo, permessage-deflate; client_max_window_bits ,bar; a=\"b\", permessage-deflate"],
            &[b"permessage-deflate; client_max_window_bits, permessage-deflate"],
        ),
        (
            &[b"permessage-deflate;server_max_window_bits=99, permessage-deflate;\tclient_max_window_bits=\"1\\0\""],
            &[b"permessage-deflate;\tclient_max_window_bits=\"1\\0\""],
        ),
        (&[b"foo", b"permessage-deflate", b"bar"], &[b"permessage-deflate"]),
        (&[b"permessage-deflate", b"foo", b" permessage-deflate "], &[b"permessage-deflate, permessage-deflate"]),
    ];
    for (values, expected) in cases {
        let shown: Vec<_> = values.iter().map(|value| value.escape_ascii().to_string()).collect();
        let expected: Vec<_> = expected.iter().map(|value| value.to_vec()).collect();
        assert_eq!(goes_up(values), Ok(expected), "{shown:?}");
    }
}

const BROKEN: [&[&[u8]]; 25] = [
    &[b""],
    &[b" , ,"],
    &[b"", b"\t"],
    &[b";"],
    &[b"permessage-deflate;"],
    &[b"permessage-deflate; ;client_max_window_bits"],
    &[b"; client_max_window_bits"],
    &[b"permessage-deflate client_max_window_bits"],
    &[b"permessage-deflate; client_max_window_bits="],
    &[b"permessage-deflate; =8"],
    &[b"permessage-deflate; client_max_window_bits=8=9"],
    &[b"permessage-deflate; client_max_window_bits=8 9"],
    &[b"permessage-deflate=8"],
    &[b"permessage-deflate; client_max_window_bits=\""],
    &[b"permessage-deflate; client_max_window_bits=\"\""],
    &[b"permessage-deflate; client_max_window_bits=\"8"],
    &[b"permessage-deflate; client_max_window_bits=\"8\\"],
    &[b"permessage-deflate; client_max_window_bits=\"8\\\""],
    &[b"permessage-deflate; client_max_window_bits=\"8\"9"],
    &[b"permessage-deflate; client_max_window_bits=\"8 \""],
    &[b"foo; bar=\"a,b\""],
    &[b"foo; bar=\"a", b"b\""],
    &[b"permessage-deflate\x00"],
    &[b"permessage-deflate, \xff"],
    &[b"permessage-deflate;\r\n client_max_window_bits"],
];

#[test]
fn a_broken_list_is_malformed_unless_all_of_it_is_taken_out() {
    for values in BROKEN {
        let shown: Vec<_> = values.iter().map(|value| value.escape_ascii().to_string()).collect();
        assert_eq!(goes_up(values), Err(HandshakeFault::Extensions), "{shown:?}");
        assert_eq!(agree(&[Parameters::default()], false, Headers::new(&fields(values))), None, "{shown:?}");
        let stripped = read(Compression::Strip, values).unwrap();
        assert_eq!(stripped.edit, Some(HeaderEdit::Remove(EXTENSIONS.to_owned())), "{shown:?}");
        assert_eq!(stripped.left, []);
    }
    assert_eq!(read(Compression::Strip, &[]).unwrap().edit, None);
}

#[test]
fn an_answer_accepts_one_of_the_offers() {
    const PLAIN: &str = "permessage-deflate";
    const BOTH: &str = "permessage-deflate; client_max_window_bits; server_max_window_bits=10, \
                        permessage-deflate; client_max_window_bits";
    const NO_SERVER: &str = "permessage-deflate; server_no_context_takeover";
    const SERVER_10: &str = "permessage-deflate; server_max_window_bits=10";
    const CLIENT: &str = "permessage-deflate; client_max_window_bits";
    const CLIENT_10: &str = "permessage-deflate; client_max_window_bits=10";
    let full = (15, true);
    let cases: [(&str, &str, Option<Sides>); 33] = [
        (PLAIN, "permessage-deflate", Some((full, full))),
        // RFC 7692 §7.1.3: the first option, and the second.
        (BOTH, "permessage-deflate; server_max_window_bits=10", Some((full, (10, true)))),
        (BOTH, "permessage-deflate", Some((full, full))),
        (BOTH, "permessage-deflate; server_max_window_bits=12", Some((full, (12, true)))),
        (BOTH, "permessage-deflate; client_max_window_bits=9", Some(((9, true), full))),
        // RFC 7692 §7.1.1.1
        (NO_SERVER, "permessage-deflate; server_no_context_takeover", Some((full, (15, false)))),
        (NO_SERVER, "permessage-deflate", None),
        (PLAIN, "permessage-deflate; server_no_context_takeover", Some((full, (15, false)))),
        // RFC 7692 §7.1.1.2
        (PLAIN, "permessage-deflate; client_no_context_takeover", Some(((15, false), full))),
        ("permessage-deflate; client_no_context_takeover", "permessage-deflate", Some((full, full))),
        // RFC 7692 §7.1.2.1
        (SERVER_10, "permessage-deflate; server_max_window_bits=10", Some((full, (10, true)))),
        (SERVER_10, "permessage-deflate; server_max_window_bits=\"8\"", Some((full, (8, true)))),
        (SERVER_10, "permessage-deflate; server_max_window_bits=11", None),
        (SERVER_10, "permessage-deflate", None),
        (PLAIN, "permessage-deflate; server_max_window_bits=9", Some((full, (9, true)))),
        (PLAIN, "permessage-deflate; server_max_window_bits=7", None),
        (PLAIN, "permessage-deflate; server_max_window_bits=010", None),
        (PLAIN, "permessage-deflate; server_max_window_bits", None),
        // RFC 7692 §7.1.2.2
        (CLIENT, "permessage-deflate", Some((full, full))),
        (CLIENT, "permessage-deflate; client_max_window_bits=15", Some((full, full))),
        (CLIENT, "permessage-deflate; client_max_window_bits=8", Some(((8, true), full))),
        (CLIENT, "permessage-deflate; client_max_window_bits", None),
        (CLIENT_10, "permessage-deflate", Some((full, full))),
        (CLIENT_10, "permessage-deflate; client_max_window_bits=10", Some(((10, true), full))),
        (CLIENT_10, "permessage-deflate; client_max_window_bits=11", None),
        (CLIENT_10, "permessage-deflate; client_max_window_bits", None),
        (PLAIN, "permessage-deflate; client_max_window_bits=15", None),
        // No parameter is taken from one offer and another from the next.
        (
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits, permessage-deflate",
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10",
            None,
        ),
        (PLAIN, "permessage-deflate, permessage-deflate", None),
        (PLAIN, "permessage-deflate, foo", None),
        (PLAIN, "foo", None),
        (PLAIN, "permessage-deflate; foo", None),
        (PLAIN, "permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
    ];
    for (offer, answer, expected) in cases {
        let agreed = agreement(offer, &[answer.as_bytes()], false);
        assert_eq!(agreed.as_ref().map(sides), expected, "{offer} <- {answer}");
        assert!(agreed.is_none_or(|agreed| agreed.edit.is_none()));
    }
    assert_eq!(agreement(PLAIN, &[], false), Some(Agreement::default()));
    assert_eq!(agreement(PLAIN, &[b"permessage-deflate", b"permessage-deflate"], false), None);
    assert_eq!(agree(&[], false, Headers::new(&fields(&[b"permessage-deflate"]))), None, "nothing went up");
}

#[test]
fn a_client_is_told_to_let_its_messages_stand_alone() {
    let set = |value: &str| Some(HeaderEdit::Set(EXTENSIONS.to_owned(), value.as_bytes().to_vec()));
    let cases: [(&[&[u8]], Option<HeaderEdit>); 5] = [
        (&[b"permessage-deflate"], set("permessage-deflate; client_no_context_takeover")),
        (
            &[b"permessage-deflate;server_max_window_bits=\"9\" "],
            set("permessage-deflate;server_max_window_bits=\"9\"; client_no_context_takeover"),
        ),
        (&[b"", b",permessage-deflate"], set("permessage-deflate; client_no_context_takeover")),
        (&[b"permessage-deflate; client_no_context_takeover"], None),
        (&[b"permessage-deflate; client_no_context_takeover; server_no_context_takeover"], None),
    ];
    for (answer, expected) in cases {
        let agreed = agreement("permessage-deflate", answer, true).unwrap();
        assert_eq!(agreed.edit, expected);
        let ((_, client), _) = sides(&agreed);
        assert!(!client);
        // The client is told what was agreed on.
        if let Some(HeaderEdit::Set(_, value)) = &agreed.edit {
            let told = agreement("permessage-deflate", &[value], false).unwrap();
            assert_eq!(told.deflate, agreed.deflate);
        }
    }
    assert_eq!(agreement("permessage-deflate", &[], true), Some(Agreement::default()));
}

#[test]
fn a_server_is_asked_to_let_its_messages_stand_alone() {
    let takeover = "permessage-deflate; server_no_context_takeover";
    for (offered, goes_up) in [
        ("permessage-deflate", Some(takeover.to_owned())),
        (takeover, None),
        (
            "permessage-deflate; client_max_window_bits, permessage-deflate",
            Some(format!(
                "permessage-deflate; client_max_window_bits; server_no_context_takeover, {takeover}"
            )),
        ),
    ] {
        let offered = fields(&[offered.as_bytes()]);
        let offers = Offers::read(Compression::Inspect, true, Headers::new(&offered)).unwrap();
        let edit = goes_up.map(|value| HeaderEdit::Set(EXTENSIONS.to_owned(), value.into_bytes()));
        assert_eq!(offers.edit, edit);
        let agreed = |answer: &str| agree(&offers.left, false, Headers::new(&fields(&[answer.as_bytes()])));
        assert_eq!(agreed("permessage-deflate"), None, "it has to follow");
        assert!(!agreed(takeover).unwrap().deflate.unwrap().server.takeover);
    }
}
