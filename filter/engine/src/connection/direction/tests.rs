use postern_config::Config;
use serde_json::{Value, json};

use super::*;
use crate::testing::{from_client, from_upstream};
use crate::websocket::frame_reader::Step;

/// The smallest policy with `changes` to its sections, and low limits.
fn policy(changes: &Value) -> Policy {
    let limits = json!({"max_frame_bytes": 10, "max_message_bytes": 10});
    let mut policy = json!({
        "origins": {"allow": ["*"]}, "auth": "none", "messages": limits, "upstream_messages": limits,
    });
    for (section, change) in changes.as_object().unwrap() {
        match change {
            Value::Object(keys) => keys.iter().for_each(|(key, value)| policy[section][key] = value.clone()),
            word => policy[section] = word.clone(),
        }
    }
    let document = json!({"policies": {"chat": policy}, "default_policy": "chat"});
    Config::from_value(document).unwrap().policies.remove("chat").unwrap()
}

/// The outcome of judging some chunks.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    passages: Vec<Passage>,
    tally: Counts,
    refused: Option<Reason>,
}

/// Judges `chunks` until one is refused, with skimming or by the steps alone, and says how many
/// bytes were skimmed.
fn judge(direction: &mut Direction, chunks: &[&[u8]], skims: bool) -> (Outcome, usize) {
    let (mut outcome, mut skimmed) = (Outcome::default(), 0);
    for chunk in chunks {
        let mut passage = Passage::default();
        let (end, refused) = judge_chunk(direction, chunk, skims, &mut passage, &mut outcome.tally);
        outcome.passages.push(passage);
        skimmed += end;
        if refused.is_some() {
            outcome.refused = refused;
            break;
        }
    }
    (outcome, skimmed)
}

fn judge_chunk(
    direction: &mut Direction,
    mut chunk: &[u8],
    skims: bool,
    passage: &mut Passage,
    tally: &mut Counts,
) -> (usize, Option<Reason>) {
    let (mut position, mut skimmed) = (0, 0);
    loop {
        if skims && direction.may_skim() {
            let end = direction.skim(position, &mut chunk, passage, tally).unwrap();
            skimmed += end - position;
            position = end;
        }
        let taken = match direction.reader.step(&mut chunk, position).unwrap() {
            Step::End => {
                direction.end_chunk(&mut chunk).unwrap();
                return (skimmed, None);
            }
            Step::Frame(frame) => {
                position = frame.range.end;
                direction.begin_frame(frame, &mut chunk, &mut position, passage, tally)
            }
            Step::Payload(range) => {
                position = range.end;
                direction.take_payload(range, &mut chunk, passage, tally)
            }
            Step::Violation(violation) => return (skimmed, Some(violation.reason)),
        };
        match taken {
            Ok(()) => {}
            Err(Stop::Violated(violation)) => return (skimmed, Some(violation.reason)),
            Err(Stop::Unreadable) => panic!("the chunk is at hand"),
        }
    }
}

#[test]
fn a_side_that_skims_lets_go_on_and_counts_and_refuses_what_the_steps_would() {
    let policies = [
        json!({}),
        json!({"messages": {"utf8": false}, "upstream_messages": {"utf8": true}}),
        json!({"messages": {"types": ["binary"], "max_fragments": 1}}),
        json!({"messages": {"types": ["text"]}}),
        json!({"compression": "pass"}),
        json!({"compression": "inspect", "upstream_messages": {"utf8": true}}),
    ];
    let frames: [(u8, &[u8]); 19] = [
        (0x82, b"binary"),
        (0x82, b""),
        (0x82, b"at the lim"),
        (0x82, b"over limit."),
        (0x81, b"text"),
        (0x81, "κόσμε".as_bytes()),
        (0x81, b""),
        (0x81, b"cut \xce"),
        (0x81, b"\xff"),
        (0x01, b"a\xce"),
        (0x02, b"open"),
        (0x00, b""),
        (0x80, b"\xba"),
        (0x89, b"Ping"),
        (0x8a, b""),
        (0x88, b"\x03\xe8"),
        (0xc1, b"\0"),
        (0xc2, b"\0"),
        (0x83, b""),
    ];
    let context = Some(Context { window_bits: 15, takeover: true });
    let (mut skimmed, mut refused) = (0, 0);
    for changes in policies {
        let policy = policy(&changes);
        let deflate = context.filter(|_| policy.compression != Compression::Strip);
        for (sender, make) in
            [(Peer::Client, from_client as fn(u8, &[u8]) -> Vec<u8>), (Peer::Upstream, from_upstream)]
        {
            let direction = || match sender {
                Peer::Client => Direction::new(Peer::Client, &policy, deflate, true),
                Peer::Upstream => Direction::new(Peer::Upstream, &policy, deflate, true),
            };
            for (one, two) in frames.iter().flat_map(|one| frames.iter().map(move |two| (one, two))) {
                let bytes =
                    [make(0x82, b"first"), make(one.0, one.1), make(two.0, two.1), make(0x82, b"last")]
                        .concat();
                for cut in 0..bytes.len() {
                    let (before, after) = bytes.split_at(cut);
                    let (skims, count) = judge(&mut direction(), &[before, after], true);
                    let (steps, _) = judge(&mut direction(), &[before, after], false);
                    assert_eq!(skims, steps, "{changes}, {sender:?}: {one:02x?}, {two:02x?}, cut at {cut}");
                    skimmed += usize::from(count == bytes.len());
                    refused += usize::from(steps.refused.is_some());
                }
            }
        }
    }
    assert!(skimmed > 100 && refused > 100, "{skimmed}, {refused}");
}

#[test]
fn nothing_is_skimmed_past_a_close_of_posterns_or_past_what_is_withheld() {
    let policy = policy(&json!({}));
    let bytes = from_client(0x82, b"binary");
    let cases: [(&str, fn(&mut Direction), usize); 4] = [
        ("nothing has happened", |_| (), bytes.len()),
        ("a Close is to go", |direction| direction.end_with(b"Close".to_vec()), 0),
        ("a Close has gone", Direction::end, 0),
        ("something is withheld", |direction| direction.withheld.push(b"w"), 0),
    ];
    for (what, happens, expected) in cases {
        let mut direction = Direction::new(Peer::Client, &policy, None, true);
        happens(&mut direction);
        let (mut passage, mut tally) = (Passage::default(), Counts::default());
        let end = direction.skim(0, &mut &bytes[..], &mut passage, &mut tally).unwrap();
        assert_eq!((end, passage.keep), (expected, expected), "{what}");
        assert_eq!(tally.take().is_empty(), expected == 0, "{what}");
    }
}

#[test]
fn a_text_is_read_only_where_the_policy_asks_for_its_proof() {
    let bytes = from_client(0x81, b"\xff");
    for (utf8, compression, expected) in
        [(true, "strip", 0), (false, "strip", bytes.len()), (true, "inspect", 0), (true, "pass", bytes.len())]
    {
        let policy = policy(&json!({"messages": {"utf8": utf8}, "compression": compression}));
        let mut direction = Direction::new(Peer::Client, &policy, None, true);
        let (mut passage, mut tally) = (Passage::default(), Counts::default());
        let end = direction.skim(0, &mut &bytes[..], &mut passage, &mut tally).unwrap();
        assert_eq!(end, expected, "utf8: {utf8}, compression: {compression}");
    }
}

#[test]
fn no_time_is_spent_on_looking_for_whole_messages_where_messages_come_in_fragments() {
    let binary = from_client(0x82, b"binary");
    let fragments = [from_client(0x02, b"in"), from_client(0x80, b"two")].concat();
    let ping = from_client(0x89, b"Ping");
    let cases: [(&str, &[&[u8]], usize); 4] = [
        ("whole messages", &[&binary, &binary], 2),
        ("a Ping between them", &[&binary, &ping, &binary], 2),
        ("fragments before them", &[&fragments, &binary, &binary, &binary], 2),
        ("fragments between them", &[&binary, &fragments, &binary, &fragments, &binary], 1),
    ];
    let policy = policy(&json!({}));
    for (what, frames, expected) in cases {
        let chunk = frames.concat();
        let (outcome, skimmed) =
            judge(&mut Direction::new(Peer::Client, &policy, None, true), &[&chunk], true);
        assert!(outcome.passages.iter().all(|passage| passage.is_whole(chunk.len())), "{what}");
        assert_eq!(skimmed, expected * binary.len(), "{what}");
    }
}
