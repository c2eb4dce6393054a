use super::*;
use crate::testing::{from_client, from_upstream};

const LIMITS: FrameLimits = FrameLimits {
    compressible: false,
    inflated: false,
    text: true,
    binary: true,
    max_frame_bytes: 300,
    max_message_bytes: 500,
    max_fragments: 3,
};

/// Feeds `bytes` in pieces that end at `cuts`, and returns what passed and the reason of the end.
fn run(sender: Peer, limits: FrameLimits, bytes: &[u8], cuts: &[usize]) -> (Vec<u8>, Option<Reason>) {
    let mut reader = FrameReader::new(sender, limits);
    let mut passed = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([bytes.len()]) {
        let mut chunk = &bytes[start..end];
        start = end;
        let mut position = 0;
        loop {
            match reader.step(&mut chunk, position).unwrap() {
                Step::End => break,
                Step::Frame(frame) => {
                    reader.release_held(|held| passed.extend_from_slice(held));
                    position = frame.range.end;
                    passed.extend_from_slice(&chunk[frame.range]);
                }
                Step::Payload(range) => {
                    position = range.end;
                    passed.extend_from_slice(&chunk[range]);
                }
                Step::Violation(violation) => return (passed, Some(violation.reason)),
            }
        }
    }
    (passed, None)
}

/// Returns legal frames of every length form, fragments and interleaved control frames among them.
fn legal(make: fn(u8, &[u8]) -> Vec<u8>) -> Vec<u8> {
    [
        make(0x82, &[1; 5]),
        make(0x81, b""),
        make(0x01, &[b'a'; 126]),
        make(0x89, b"between fragments"),
        make(0x00, b""),
        make(0x80, &[b'b'; 300]),
        make(0x8a, &[0; 125]),
        make(0x82, &[7; 256]),
        make(0x88, &[0x03, 0xe8, b'b', b'y', b'e']),
    ]
    .concat()
}

#[test]
fn legal_frames_pass_whole_byte_by_byte_and_at_every_split() {
    for (sender, bytes) in [(Peer::Client, legal(from_client)), (Peer::Upstream, legal(from_upstream))] {
        assert_eq!(run(sender, LIMITS, &bytes, &[]), (bytes.clone(), None));
        let every: Vec<_> = (1..bytes.len()).collect();
        assert_eq!(run(sender, LIMITS, &bytes, &every), (bytes.clone(), None));
        for cut in 1..bytes.len() {
            assert_eq!(run(sender, LIMITS, &bytes, &[cut]), (bytes.clone(), None), "cut at {cut}");
        }
    }
}

#[test]
fn a_forbidden_header_stops_the_lane_before_it_at_every_split() {
    let narrow = FrameLimits { text: false, ..LIMITS };
    let open = from_client(0x02, b"first fragment");
    let long = {
        let mut header = from_client(0x82, &[0; 300]);
        header.splice(1..4, [0xff, 0, 0, 0, 1, 0, 0, 0, 5]);
        header
    };
    let cases: [(&str, FrameLimits, Vec<u8>, Vec<u8>, Reason); 20] = [
        ("RSV1", LIMITS, vec![], from_client(0xc2, b"x"), Reason::ProtocolError),
        ("RSV2", LIMITS, vec![], from_client(0xa2, b"x"), Reason::ProtocolError),
        ("RSV3", LIMITS, vec![], from_client(0x92, b"x"), Reason::ProtocolError),
        ("reserved data opcode", LIMITS, vec![], from_client(0x83, b"x"), Reason::ProtocolError),
        ("reserved control opcode", LIMITS, vec![], from_client(0x8b, b"x"), Reason::ProtocolError),
        ("not masked", LIMITS, vec![], from_upstream(0x82, b"x"), Reason::ProtocolError),
        ("fragmented control frame", LIMITS, vec![], from_client(0x09, b"x"), Reason::ProtocolError),
        ("long control frame", LIMITS, vec![], from_client(0x89, &[0; 126]), Reason::ProtocolError),
        ("half a close code", LIMITS, vec![], from_client(0x88, b"x"), Reason::ProtocolError),
        ("continuation of nothing", LIMITS, vec![], from_client(0x80, b"x"), Reason::ProtocolError),
        ("new message in a message", LIMITS, open.clone(), from_client(0x81, b"x"), Reason::ProtocolError),
        ("length not minimal", LIMITS, vec![], vec![0x82, 0xfe, 0, 5, 1, 2, 3, 4, 0], Reason::ProtocolError),
        (
            "top bit of the length",
            LIMITS,
            vec![],
            vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0],
            Reason::ProtocolError,
        ),
        ("text where only binary passes", narrow, vec![], from_client(0x81, b"x"), Reason::TypeDenied),
        ("frame over its limit", LIMITS, vec![], from_client(0x82, &[0; 301]), Reason::FrameTooBig),
        ("a length that a 32-bit size would cut to 5", LIMITS, vec![], long, Reason::FrameTooBig),
        (
            "message over its limit",
            LIMITS,
            from_client(0x02, &[0; 300]),
            from_client(0x80, &[0; 201]),
            Reason::MessageTooBig,
        ),
        (
            "fragments over their limit",
            LIMITS,
            [from_client(0x02, b""), from_client(0x00, b""), from_client(0x00, b"")].concat(),
            from_client(0x80, b""),
            Reason::TooManyFragments,
        ),
        (
            "behind a legal Ping",
            LIMITS,
            from_client(0x89, b"ping"),
            from_client(0x83, b"x"),
            Reason::ProtocolError,
        ),
        (
            "behind a legal message",
            LIMITS,
            from_client(0x82, &[1; 300]),
            from_client(0xc2, b""),
            Reason::ProtocolError,
        ),
    ];
    for (name, limits, before, bad, reason) in cases {
        let bytes = [before.clone(), bad].concat();
        let expected = (before, Some(reason));
        assert_eq!(run(Peer::Client, limits, &bytes, &[]), expected, "{name}");
        let every: Vec<_> = (1..bytes.len()).collect();
        assert_eq!(run(Peer::Client, limits, &bytes, &every), expected, "{name}, byte by byte");
        for cut in 1..bytes.len() {
            assert_eq!(run(Peer::Client, limits, &bytes, &[cut]), expected, "{name}, cut at {cut}");
        }
    }
}

#[test]
fn a_masked_frame_of_the_upstream_is_refused() {
    let bytes = from_client(0x82, b"x");
    assert_eq!(run(Peer::Upstream, LIMITS, &bytes, &[]), (vec![], Some(Reason::ProtocolError)));
}

#[test]
fn a_bad_first_byte_is_refused_before_the_second_comes() {
    for (bytes, reason) in [(&[0xf2][..], Reason::ProtocolError), (&[0x82, 0x05], Reason::ProtocolError)] {
        assert_eq!(run(Peer::Client, LIMITS, bytes, &[]), (vec![], Some(reason)), "{bytes:02x?}");
    }
}

#[test]
fn limits_are_met_exactly() {
    let bytes = [from_client(0x02, &[0; 300]), from_client(0x00, b""), from_client(0x80, &[0; 200])].concat();
    assert_eq!(run(Peer::Client, LIMITS, &bytes, &[]), (bytes.clone(), None));
}
