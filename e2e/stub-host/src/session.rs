//! A stream that plays its script, and the judgement of what came of it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::configurations::{self, Configuration};
use crate::connections::Connection;
use crate::random::Random;
use crate::script::{Expected, Script, Step};
use crate::stream::{Peer, Stream};
use crate::tally::Tally;
use crate::{frames, log};

/// A stream under way.
#[derive(Debug)]
pub(crate) struct Session {
    stream: Rc<Stream>,
    script: Script,
    waits_until: Option<Instant>,
    /// Says whether the connection was closed before the stream.
    is_disconnected: bool,
    /// Keeps the configuration for as long as the stream.
    _configuration: Arc<Configuration>,
}

impl Session {
    /// Opens a stream.
    pub(crate) fn open(mut script: Script, random: &mut Random) -> Self {
        let configuration = configurations::current();
        let senders = script.has_sender.then(configurations::senders);
        let address = format!("192.0.2.{}:{}", random.below(256), 1024 + random.below(60_000));
        let request = std::mem::take(&mut script.request);
        let connection = Connection::open(script.delivery);
        let stream = Stream::open(configuration.in_module, senders, connection, address, request);
        Self { stream, script, waits_until: None, is_disconnected: false, _configuration: configuration }
    }

    /// Takes a step, and says whether the stream has ended.
    pub(crate) fn step(&mut self) -> bool {
        if self.waits_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        self.waits_until = None;
        let stream = &self.stream;
        match self.script.steps.pop_front() {
            Some(Step::Request) => stream.on_request(),
            Some(Step::Admission) => self.await_admission(),
            Some(Step::Response(fields)) => stream.on_response(fields),
            Some(Step::Chunk(peer, slices)) => stream.on_chunk(peer, slices, false),
            Some(Step::End(peer)) => stream.on_chunk(peer, Vec::new(), true),
            Some(Step::Trailers(peer)) => {
                stream.on_trailers(peer, vec![(b"x-trailer".to_vec(), b"1".to_vec())]);
            }
            Some(Step::Nothing) => {
                stream.connection.on_nothing();
                stream.on_nothing();
            }
            Some(Step::Wait(time)) => self.waits_until = Some(Instant::now() + time),
            Some(Step::Disconnect) => {
                stream.connection.close(true);
                self.is_disconnected = true;
            }
            Some(Step::Leave) | None => stream.end(),
        }
        self.stream.has_ended()
    }

    fn await_admission(&mut self) {
        let is_decided = self.stream.has_ended() || self.stream.state.borrow().ways[0].fields_passed;
        if !is_decided {
            self.script.steps.push_front(Step::Admission);
        }
    }

    /// Closes the connection of the stream, which has ended, and judges what has become of it.
    pub(crate) fn finish(self, tally: &mut Tally) {
        self.stream.connection.close(false);
        tally.injected += self.stream.connection.injected();
        tally.kept += self.stream.connection.kept();
        self.judge(tally);
    }

    fn judge(&self, tally: &mut Tally) {
        let state = self.stream.state.borrow();
        let (reply, cuts) = (state.reply, state.cuts);
        let [up, down] = [&state.ways[0].passed, &state.ways[1].passed];
        let [sent_up, sent_down] = &self.script.sent;
        let is_whole = reply.is_none() && cuts == 0;
        let has_all = up == sent_up && down == sent_down && is_whole;
        // A Close by a connection that is gone comes to nobody.
        let is_unheard = self.is_disconnected && !self.script.has_sender;
        let holds = match self.script.expected {
            // Nobody could tell what was kept from what the client sends.
            _ if self.stream.connection.kept() > 0 => {
                let has_to_cut = self.stream.connection.has_to_cut();
                cuts == u32::from(has_to_cut) && reply.is_none() && frames::have_begun(up, sent_up)
            }
            Expected::Passes => has_all,
            Expected::PassesWithPings => {
                let same = |passed, sent| frames::without_pings(passed) == frames::without_pings(sent);
                tally.pings += u64::from(up != sent_up) + u64::from(down != sent_down);
                // What the module says to the upstream has no way where the connection is gone.
                let is_lost = reply.is_none() && cuts == 1 && self.is_disconnected;
                same(up, sent_up) && same(down, sent_down) && (is_whole || is_lost)
            }
            Expected::MayPass => has_all || reply.is_some() || frames::end_with_close(down) || is_unheard,
            Expected::PassesInPart => sent_up.starts_with(up) && sent_down.starts_with(down) && is_whole,
            Expected::Refused(statuses) => {
                reply.is_some_and(|status| statuses.contains(&status)) && up.is_empty() && down.is_empty()
            }
            Expected::Ends(_) if self.stream.connection.keeps_answers() => {
                cuts == 1 && !frames::end_with_close(down)
            }
            Expected::Ends(peer) => {
                let passed = if peer == Peer::Client { up } else { down };
                let sent = &self.script.sent[peer as usize];
                let broken = [sent.as_slice(), self.script.broken.as_slice()].concat();
                passed.starts_with(sent)
                    && !passed.starts_with(&broken)
                    && (frames::end_with_close(down) || cuts == 1 || is_unheard)
            }
            Expected::Panics("stream_complete" | "destroy") => has_all,
            Expected::Panics("scheduled") => cuts <= 1 && reply.is_none(),
            Expected::PanicsInOwnFrame => {
                tally.own_panics += u64::from(cuts);
                let begun = |passed, sent| frames::have_begun(without_close(passed), sent);
                cuts <= 1 && reply.is_none() && begun(up, sent_up) && begun(down, sent_down)
            }
            Expected::Panics(_) => {
                u32::from(reply.is_some()) + cuts == 1
                    && sent_up.starts_with(up)
                    && sent_down.starts_with(without_close(down))
            }
        };
        if !holds {
            let Script { expected, delivery, .. } = self.script;
            log::harmed(format!(
                "expected {expected:?}, delivery {delivery:?}: answered {reply:?}, cut {cuts} times, up {} of {} bytes, down {} of {}",
                up.len(),
                sent_up.len(),
                down.len(),
                sent_down.len()
            ));
        }
        tally.note(self.script.expected, reply, cuts, has_all);
    }
}

/// Returns bytes without the Close at their end.
fn without_close(bytes: &[u8]) -> &[u8] {
    match frames::parse(bytes).last() {
        Some((8, range)) => &bytes[..range.start],
        _ => bytes,
    }
}
