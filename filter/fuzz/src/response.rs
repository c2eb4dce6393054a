//! The upstream's answer to a handshake.
//!
//! Input: a byte for the policy, one whose lowest bit lays the lines over a sound 101, a byte for
//! how much the client has said ahead of it; then lines `name: value`. Nothing but the 101 to this
//! very handshake opens a connection.

use arbitrary::Unstructured;
use postern_engine::http::headers::{Headers, Single};
use postern_engine::{Input, Output, Peer};

use crate::fixture::{NOW, admitted, agreement, fields};
use crate::tables::Open;

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let [choice, over, early] = input.arbitrary::<[u8; 3]>().unwrap_or_default();
    let mut response = fields(input.take_rest());
    if over & 1 != 0 {
        let own = agreement().into_iter().filter(|(name, _)| !response.iter().any(|(n, _)| n == name));
        response = own.chain(response.iter().cloned()).collect();
    }
    let Some(mut session) = admitted(choice) else { return };
    if early > 0 {
        let early = vec![0x81; usize::from(early) * 128];
        let _ = session.judge(Peer::Client, &mut &early[..], &mut Open, NOW).expect("it is at hand");
    }
    session.handle(Input::Response(response.clone()), &mut Open, NOW);
    let (mut replies, mut passes) = (0, 0);
    while let Some(output) = session.poll_output() {
        match output {
            Output::Reply(..) => replies += 1,
            Output::AdmitResponse(_) => passes += 1,
            _ => {}
        }
    }
    assert!(replies + passes <= 1);
    let headers = Headers::new(&response);
    if session.was_opened() {
        assert_eq!(headers.single(":status"), Single::One(b"101"));
        let Single::One(accept) = headers.single("sec-websocket-accept") else { panic!("no accept") };
        assert_eq!(accept.trim_ascii(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!headers.has("sec-websocket-extensions") && !headers.has("sec-websocket-protocol"));
    } else if headers.single(":status") == Single::One(b"101") {
        assert_eq!(replies, 1, "a 101 goes down on a connection that is not judged");
    }
}
