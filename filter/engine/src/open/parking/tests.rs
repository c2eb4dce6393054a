use super::*;

const NOW: Duration = Duration::from_secs(1_800_000_000);

/// Both streams parked, as they are at first.
fn parked() -> Parking {
    let mut parking = Parking::new(PingKey([5; 16]), true);
    parking.start();
    parking
}

fn chunk(sender: Peer, passes: bool) -> Chunk {
    Chunk { sender, passes, at_boundary: true, due: false, position: 0 }
}

/// What becomes of a chunk of `sender`'s.
fn settle(parking: &mut Parking, chunk: Chunk) -> Then {
    parking.of(chunk.sender.other()).unpark();
    parking.settle(chunk, NOW)
}

/// The payload of a Ping, whatever its mask.
fn payload(frame: &[u8]) -> Vec<u8> {
    match frame[1] & 0x80 {
        0 => frame[2..].to_vec(),
        _ => frame[6..].iter().zip(frame[2..6].iter().cycle()).map(|(byte, key)| byte ^ key).collect(),
    }
}

/// The Ping that follows a chunk.
fn asked(then: Then) -> Vec<u8> {
    match then {
        Then::Ask(frame) => payload(&frame),
        other => panic!("{other:?}"),
    }
}

#[test]
fn application_data_one_way_costs_no_ping() {
    for sender in [Peer::Client, Peer::Upstream] {
        let mut parking = parked();
        for _ in 0..1000 {
            assert_eq!(settle(&mut parking, chunk(sender, true)), Then::GoOn);
        }
        assert!(!parking.of(sender.other()).is_parked() && parking.of(sender).is_parked());
    }
}

#[test]
fn what_would_leave_a_quiet_connection_out_of_reach_is_followed_by_a_ping() {
    let mut parking = parked();
    assert_eq!(settle(&mut parking, chunk(Peer::Client, true)), Then::GoOn);
    let to_client = asked(settle(&mut parking, chunk(Peer::Upstream, true)));
    for sender in [Peer::Upstream, Peer::Client, Peer::Upstream] {
        assert_eq!(settle(&mut parking, chunk(sender, true)), Then::GoOn, "one is on its way");
    }
    // The client's answer goes on as a question, whose answer parks its stream.
    assert_eq!(parking.of(Peer::Client).take_answer(&to_client), Some(0));
    let to_upstream = asked(settle(&mut parking, chunk(Peer::Client, false)));
    assert_eq!(parking.of(Peer::Upstream).take_answer(&to_upstream), Some(0));
    assert_eq!(settle(&mut parking, chunk(Peer::Upstream, false)), Then::Park);
    assert!(parking.of(Peer::Client).is_parked() && !parking.is_adrift());
}

#[test]
fn the_last_word_of_a_client_may_be_the_one_that_is_followed() {
    let mut parking = parked();
    assert_eq!(settle(&mut parking, chunk(Peer::Upstream, true)), Then::GoOn);
    let ping = asked(settle(&mut parking, chunk(Peer::Client, true)));
    assert_eq!(parking.of(Peer::Upstream).take_answer(&ping), Some(0));
    assert_eq!(settle(&mut parking, chunk(Peer::Upstream, false)), Then::Park);
}

#[test]
fn a_client_that_answers_while_its_own_stream_is_parked_parks_the_other() {
    let mut parking = parked();
    let client = parking.of(Peer::Client);
    let ping = payload(&client.pings.frame(0));
    // It was put into the parked stream, and the upstream has answered one since.
    assert_eq!(client.take_answer(&ping), Some(0));
    assert_eq!(settle(&mut parking, chunk(Peer::Client, false)), Then::Park);
    assert!(parking.of(Peer::Upstream).is_parked());
}

#[test]
fn nothing_is_put_in_or_parked_in_the_middle_of_a_frame() {
    let mut parking = parked();
    settle(&mut parking, chunk(Peer::Client, true));
    let within = Chunk { at_boundary: false, ..chunk(Peer::Upstream, true) };
    assert_eq!(settle(&mut parking, within), Then::GoOn);
    assert_eq!(settle(&mut parking, Chunk { due: true, ..within }), Then::GoOn);
    assert_eq!(settle(&mut parking, Chunk { passes: false, ..within }), Then::GoOn);
    asked(settle(&mut parking, chunk(Peer::Upstream, true)));
}

#[test]
fn no_ping_follows_an_applications_own_before_that_is_answered() {
    let mut parking = parked();
    settle(&mut parking, chunk(Peer::Client, true));
    parking.of(Peer::Client).note_ping();
    let due = Chunk { due: true, ..chunk(Peer::Upstream, true) };
    assert_eq!(settle(&mut parking, due), Then::GoOn);
    parking.of(Peer::Client).note_pong();
    asked(settle(&mut parking, due));
}

#[test]
fn a_client_that_answers_only_the_applications_ping_is_asked_again() {
    let mut parking = parked();
    settle(&mut parking, chunk(Peer::Client, true));
    let first = asked(settle(&mut parking, chunk(Peer::Upstream, true)));
    parking.of(Peer::Client).note_ping();
    parking.of(Peer::Client).note_pong();
    settle(&mut parking, chunk(Peer::Client, false));
    settle(&mut parking, chunk(Peer::Upstream, true));
    assert!(parking.of(Peer::Client).pings.may_be_answered());
    assert_eq!(parking.of(Peer::Client).take_answer(&first), Some(0), "late, and still Postern's");
}

#[test]
fn an_upstream_that_answers_no_ping_is_asked_no_more_until_it_does() {
    let mut parking = parked();
    settle(&mut parking, chunk(Peer::Upstream, true));
    assert!(parking.can_park_client());
    let ping = payload(&parking.of(Peer::Upstream).pings.frame(0));
    assert!(!parking.can_park_client(), "it has been asked");
    parking.of(Peer::Upstream).give_up_on_answers();
    assert!(parking.of(Peer::Upstream).is_mute() && !parking.can_park_client());
    settle(&mut parking, chunk(Peer::Client, true));
    assert!(parking.is_adrift());
    assert_eq!(parking.of(Peer::Upstream).take_answer(&ping), Some(0));
    assert_eq!(settle(&mut parking, chunk(Peer::Upstream, false)), Then::Park);
    assert!(!parking.of(Peer::Upstream).is_mute() && !parking.is_adrift());
}

#[test]
fn pings_that_follow_data_are_rationed() {
    let mut parking = parked();
    let mut pings = 0;
    for _ in 0..10_000 {
        for sender in [Peer::Client, Peer::Upstream] {
            if let Then::Ask(ping) = settle(&mut parking, chunk(sender, true)) {
                pings += 1;
                parking.of(sender.other()).take_answer(&payload(&ping));
            }
        }
    }
    assert_eq!(pings, 256);
}

#[test]
fn where_the_host_does_not_park_nothing_is_asked() {
    let mut parking = Parking::new(PingKey([5; 16]), false);
    assert_eq!(settle(&mut parking, chunk(Peer::Upstream, true)), Then::GoOn);
    let mut parking = parked();
    parking.give_up();
    assert_eq!(settle(&mut parking, chunk(Peer::Client, true)), Then::GoOn);
    assert_eq!(settle(&mut parking, chunk(Peer::Upstream, true)), Then::GoOn);
    assert_eq!(settle(&mut parking, chunk(Peer::Upstream, false)), Then::GoOn);
}
