use super::*;

const BOTH: MayAsk = MayAsk { client: true, upstream: true };

const NOW: Duration = Duration::from_secs(1_800_000_000);

/// Both streams parked, as they are at first.
fn parked() -> Parking {
    let mut parking = Parking::new(PingKey([5; 16]), Pause::Parked, BOTH);
    parking.begin(true);
    parking
}

/// Both streams parked, and the upstream known to answer Pings.
fn answered() -> Parking {
    let mut parking = parked();
    let ping = payload(&parking.ping(Peer::Upstream, 0));
    assert_eq!(parking.take_answer(Peer::Upstream, &ping), Some(0));
    parking
}

/// A chunk that ends with a whole frame.
fn chunk(sender: Peer, passes: usize) -> Chunk {
    Chunk {
        sender,
        len: passes,
        passes,
        was_parked: false,
        room: usize::MAX,
        at_boundary: true,
        withheld: 0,
        diverted: false,
        due: false,
        marks: Marks::No,
        quiet: true,
        position: 0,
    }
}

/// A chunk that ends within a frame.
fn part(sender: Peer) -> Chunk {
    Chunk { at_boundary: false, ..chunk(sender, 100) }
}

/// A chunk that ends within a text, which is withheld.
fn part_of_text(sender: Peer) -> Chunk {
    Chunk { withheld: LITTLE + 1, ..chunk(sender, 0) }
}

/// Settles a chunk, and returns what follows, with the stream as it is then.
fn settle(parking: &mut Parking, chunk: Chunk) -> Then {
    let was_parked = parking.of(chunk.sender.other()).pause.take() == Pause::Parked;
    let room = if was_parked { chunk.passes.max(ROOM) } else { chunk.room };
    let then = parking.settle(Chunk { was_parked, room, ..chunk }, NOW);
    assert_eq!(then.park, parking.of(chunk.sender.other()).is_parked());
    then
}

/// Both streams let go on by texts that end in a second chunk.
fn adrift() -> Parking {
    let mut parking = parked();
    for sender in [Peer::Client, Peer::Upstream] {
        assert_eq!(settle(&mut parking, part_of_text(sender)), Then::default());
    }
    assert!(parking.is_adrift());
    parking
}

/// The payload of a Ping, whatever its mask.
fn payload(frame: &[u8]) -> Vec<u8> {
    match frame[1] & 0x80 {
        0 => frame[2..].to_vec(),
        _ => frame[6..].iter().zip(frame[2..6].iter().cycle()).map(|(byte, key)| byte ^ key).collect(),
    }
}

fn asked(then: Then) -> Vec<u8> {
    payload(&then.ask.expect("a Ping"))
}

#[test]
fn whole_frames_leave_both_streams_parked_and_cost_no_ping() {
    let mut parking = parked();
    for _ in 0..1000 {
        for sender in [Peer::Client, Peer::Upstream] {
            assert_eq!(settle(&mut parking, chunk(sender, 5)), Then { ask: None, park: true });
        }
    }
}

#[test]
fn a_text_in_two_chunks_lets_its_stream_go_on_and_the_other_is_enough() {
    for sender in [Peer::Client, Peer::Upstream] {
        let mut parking = parked();
        assert_eq!(settle(&mut parking, part_of_text(sender)), Then::default());
        assert_eq!(settle(&mut parking, chunk(sender, 5)), Then::default());
        assert!(!parking.is_adrift());
    }
}

#[test]
fn a_payload_in_pieces_leaves_the_stream_to_the_client_parked_and_takes_no_frame_meanwhile() {
    let mut parking = parked();
    for _ in 0..20 {
        assert_eq!(settle(&mut parking, part(Peer::Upstream)), Then { ask: None, park: true });
        let client = parking.of(Peer::Client);
        assert!(!client.takes_frames(false) && client.takes_frames(true));
    }
    let due = Chunk { due: true, ..chunk(Peer::Upstream, 5) };
    let then = settle(&mut parking, due);
    assert!(then.park && then.ask.is_some(), "{then:?}");
}

#[test]
fn what_must_be_marked_finds_room_or_makes_it() {
    let full = Chunk { marks: Marks::Due, ..chunk(Peer::Upstream, ROOM) };
    let mut parking = parked();
    assert_eq!(settle(&mut parking, full), Then { ask: None, park: true }, "the timer asks");
    assert_eq!(settle(&mut parking, Chunk { marks: Marks::Overdue, ..full }), Then::default());
    asked(settle(&mut parking, Chunk { marks: Marks::Overdue, ..full }));
    let mut parking = parked();
    let within = Chunk { marks: Marks::Due, ..part(Peer::Upstream) };
    assert_eq!(settle(&mut parking, within), Then::default(), "its end is the place to ask");
    asked(settle(&mut parking, full));
}

#[test]
fn no_stream_is_parked_where_more_may_come_at_once_than_a_host_lets_it_hold() {
    for (len, park) in [(1, true), (BULK, true), (BULK + 1, false), (1 << 20, false)] {
        for passes in [0, len] {
            for sender in [Peer::Client, Peer::Upstream] {
                let whole = Chunk { len, ..chunk(sender, passes) };
                assert_eq!(settle(&mut answered(), whole), Then { ask: None, park }, "{passes} of {len}");
            }
        }
    }
    let mut parking = parked();
    settle(&mut parking, part_of_text(Peer::Client));
    let last = Chunk { len: BULK + 1, ..chunk(Peer::Upstream, BULK + 1) };
    assert_eq!(settle(&mut parking, last), Then { ask: None, park: true }, "the last in reach stays");
}

#[test]
fn the_stream_to_the_client_stays_until_the_upstream_is_known_to_answer() {
    for bulk in [chunk(Peer::Upstream, BULK + 1), Chunk { passes: BULK + 1, ..part(Peer::Upstream) }] {
        let mut parking = parked();
        assert!(settle(&mut parking, bulk).park);
        assert!(parking.can_park_client(), "that can be asked");
        let ping = payload(&parking.ping(Peer::Upstream, 0));
        assert!(!parking.can_park_client());
        assert!(settle(&mut parking, bulk).park, "nor does it answer yet");
        parking.take_answer(Peer::Upstream, &ping);
        assert!(!settle(&mut parking, bulk).park);
        // An upstream that never does.
        let mut parking = parked();
        parking.ping(Peer::Upstream, 0);
        parking.of(Peer::Upstream).give_up_on_answers();
        assert!(settle(&mut parking, bulk).park && !parking.can_park_client());
    }
}

#[test]
fn what_waits_in_the_filter_parks_its_stream_however_much_comes_at_once() {
    for mut parking in [parked(), answered()] {
        let waits = Chunk { len: 1 << 20, diverted: true, ..chunk(Peer::Upstream, 0) };
        assert_eq!(settle(&mut parking, waits), Then { ask: None, park: true });
    }
}

#[test]
fn a_connection_out_of_reach_is_counted_once_and_never_after_its_end() {
    let mut parking = adrift();
    parking.ping(Peer::Upstream, 0);
    parking.of(Peer::Upstream).give_up_on_answers();
    let counts = [false, false, true, false, true].map(|is_over| parking.count(is_over).out_of_reach);
    assert_eq!(counts, [1, 0, -1, 0, 0]);
}

#[test]
fn bulk_lets_its_stream_go_on() {
    for (passes, park) in [(1, true), (ROOM, true), (ROOM + 1, false)] {
        let part = Chunk { len: passes, passes, ..part(Peer::Upstream) };
        assert_eq!(settle(&mut answered(), part), Then { ask: None, park });
    }
    let mut parking = parked();
    let stays = (0..1000).take_while(|_| settle(&mut parking, part(Peer::Upstream)).park).count();
    assert_eq!(stays, 256);
    assert_eq!(settle(&mut parking, chunk(Peer::Upstream, 5)), Then::default());
}

#[test]
fn bytes_that_are_withheld_let_their_stream_go_on_if_they_are_many() {
    for (withheld, park) in [(1, true), (LITTLE, true), (LITTLE + 1, false), (1 << 20, false)] {
        for passes in [0, 9] {
            let mut parking = parked();
            let chunk = Chunk { withheld, ..chunk(Peer::Client, passes) };
            assert_eq!(settle(&mut parking, chunk), Then { ask: None, park }, "{withheld}");
        }
    }
}

#[test]
fn what_would_leave_a_quiet_connection_out_of_reach_is_followed_by_a_ping() {
    let mut parking = adrift();
    let to_client = asked(settle(&mut parking, chunk(Peer::Upstream, 5)));
    for sender in [Peer::Upstream, Peer::Client, Peer::Upstream] {
        assert_eq!(settle(&mut parking, chunk(sender, 5)), Then::default(), "one is on its way");
    }
    // The client's answer makes Postern ask the upstream, whose answer parks the stream towards the client.
    assert_eq!(parking.take_answer(Peer::Client, &to_client), Some(0));
    let to_upstream = asked(settle(&mut parking, chunk(Peer::Client, 0)));
    assert_eq!(parking.take_answer(Peer::Upstream, &to_upstream), Some(0));
    assert!(settle(&mut parking, chunk(Peer::Upstream, 0)).park);
    assert!(!parking.is_adrift());
}

#[test]
fn the_last_word_of_a_client_may_be_the_one_that_is_followed() {
    let mut parking = adrift();
    let ping = asked(settle(&mut parking, chunk(Peer::Client, 5)));
    assert_eq!(parking.take_answer(Peer::Upstream, &ping), Some(0));
    assert!(settle(&mut parking, chunk(Peer::Upstream, 0)).park);
}

#[test]
fn while_the_upstream_talks_the_clients_answer_parks_the_other_stream() {
    let mut parking = adrift();
    asked(settle(&mut parking, chunk(Peer::Upstream, 5)));
    let answer = Chunk { quiet: false, ..chunk(Peer::Client, 0) };
    assert_eq!(settle(&mut parking, answer), Then { ask: None, park: true });
    assert!(parking.can_park_client(), "once it is quiet");
}

#[test]
fn nothing_is_put_in_or_parked_in_the_middle_of_a_frame() {
    let mut parking = adrift();
    for passes in [0, 5] {
        for due in [false, true] {
            let within = Chunk { passes, due, ..part(Peer::Upstream) };
            assert_eq!(settle(&mut parking, within), Then::default());
        }
    }
    asked(settle(&mut parking, chunk(Peer::Upstream, 5)));
}

#[test]
fn a_chunk_of_a_parked_stream_never_outgrows_its_room() {
    for (passes, fits) in [
        (5, true),
        (ROOM - sent_pings::MAX_LEN, true),
        (ROOM - sent_pings::MAX_LEN + 1, false),
        (BULK, false),
    ] {
        let mut parking = parked();
        let due = Chunk { due: true, ..chunk(Peer::Upstream, passes) };
        let then = settle(&mut parking, due);
        assert_eq!((then.ask.is_some(), then.park), (fits, true), "{passes}");
    }
}

#[test]
fn no_ping_follows_an_applications_own_before_that_is_answered() {
    let mut parking = adrift();
    parking.of(Peer::Client).note_ping();
    let due = Chunk { due: true, ..chunk(Peer::Upstream, 5) };
    assert_eq!(settle(&mut parking, due), Then::default());
    parking.of(Peer::Client).note_pong();
    asked(settle(&mut parking, due));
}

#[test]
fn a_client_that_answers_only_the_applications_ping_is_asked_again() {
    let mut parking = adrift();
    let first = asked(settle(&mut parking, chunk(Peer::Upstream, 5)));
    parking.of(Peer::Client).note_ping();
    parking.of(Peer::Client).note_pong();
    let second = asked(settle(&mut parking, chunk(Peer::Upstream, 5)));
    for late in [first, second] {
        assert_eq!(parking.take_answer(Peer::Client, &late), Some(0), "Postern's, however late");
    }
}

#[test]
fn an_upstream_that_answers_no_ping_is_asked_no_more_until_it_does() {
    let mut parking = parked();
    settle(&mut parking, part_of_text(Peer::Upstream));
    assert!(parking.can_park_client());
    let ping = payload(&parking.ping(Peer::Upstream, 0));
    assert!(!parking.can_park_client(), "it has been asked");
    parking.of(Peer::Upstream).give_up_on_answers();
    assert!(!parking.can_park_client());
    settle(&mut parking, part(Peer::Client));
    assert!(parking.is_adrift());
    assert_eq!(parking.take_answer(Peer::Upstream, &ping), Some(0));
    assert!(settle(&mut parking, chunk(Peer::Upstream, 0)).park);
    assert!(!parking.is_adrift());
}

#[test]
fn pings_that_follow_data_are_rationed() {
    let mut parking = adrift();
    let mut pings = 0;
    for _ in 0..10_000 {
        for sender in [Peer::Client, Peer::Upstream] {
            if let Some(ping) = settle(&mut parking, chunk(sender, 5)).ask {
                pings += 1;
                parking.take_answer(sender.other(), &payload(&ping));
            }
        }
    }
    assert_eq!(pings, 256);
}

#[test]
fn where_the_host_does_not_park_nothing_is_asked() {
    let mut parking = Parking::new(PingKey([5; 16]), Pause::Flowing, BOTH);
    assert_eq!(settle(&mut parking, chunk(Peer::Upstream, 5)), Then::default());
    let mut parking = parked();
    parking.give_up();
    for (sender, passes) in [(Peer::Client, 5), (Peer::Upstream, 5), (Peer::Upstream, 0)] {
        assert_eq!(settle(&mut parking, chunk(sender, passes)), Then::default());
    }
}
