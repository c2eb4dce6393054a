//! Plays a schedule.

use std::time::Duration;

use serde_json::Value;

use crate::host::{Envoy, Stream, Worker};
use crate::numbers::Numbers;
use crate::traffic::{Sender, answer, some};
use crate::transcript::Transcript;
use crate::{policies, randomness, requests};

/// How much happens.
const STEPS: u64 = 45;

/// A stream, what its peers have yet to send, and how far they have read.
struct Line<'w> {
    stream: Stream<'w>,
    client: Vec<u8>,
    upstream: Vec<u8>,
    client_read: usize,
    upstream_read: usize,
    answers: bool,
    ended: bool,
}

/// Plays the schedule that follows from `seed`, and says what came of it.
pub(crate) fn play(seed: u64) -> String {
    let shared = [("postern.seed".to_owned(), vec![7; 16])];
    Envoy::sharing(shared).worker(|worker| {
        randomness::begin(seed);
        let mut numbers = Numbers::new(seed);
        let mut transcript = Transcript::default();
        let document = policies::document(&mut numbers);
        transcript.note("configuration", &document);
        let taken = worker.configure(document.to_string().as_bytes());
        transcript.note("taken", &taken);
        if taken {
            run(document, worker, &mut numbers, &mut transcript);
        }
        transcript.end(worker);
        transcript.into_text()
    })
}

fn run(mut document: Value, worker: &Worker, numbers: &mut Numbers, transcript: &mut Transcript) {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for step in 0..10 + numbers.to(STEPS) {
        if lines.is_empty() || (lines.len() < 4 && numbers.one_in(8)) {
            lines.push(open(&document, worker, numbers));
        } else {
            let at = numbers.len_to(lines.len() - 1);
            act(&mut lines[at], worker, numbers);
        }
        match numbers.to(19) {
            0..=5 => worker.pass(Duration::from_millis(numbers.of(&[1, 250, 250, 1_000, 2_500, 7_000]))),
            6 => worker.tick_after(Duration::from_millis(250)),
            7 if numbers.one_in(4) => worker.set_back(Duration::from_secs(2)),
            8 if numbers.one_in(3) => {
                document = policies::document(numbers);
                let taken = worker.configure(document.to_string().as_bytes());
                transcript.note("pushed", &(&document, taken));
            }
            _ => {}
        }
        if !numbers.one_in(4) {
            serve(worker, numbers);
        }
        for (index, line) in lines.iter().enumerate() {
            transcript.stream(step, index, &line.stream);
        }
    }
}

fn open<'w>(document: &Value, worker: &'w Worker, numbers: &mut Numbers) -> Line<'w> {
    let request = requests::request(document, worker, numbers);
    let stream = Stream::open(worker, &request, &requests::properties(numbers));
    if numbers.one_in(10) {
        let early = some(Sender::Client, worker, numbers);
        send(&stream, Sender::Client, &early);
    }
    let mut line = Line {
        stream,
        client: Vec::new(),
        upstream: Vec::new(),
        client_read: 0,
        upstream_read: 0,
        answers: !numbers.one_in(4),
        ended: false,
    };
    respond(&mut line, numbers);
    line
}

/// The service answers, if it has the request and has not yet.
fn respond(line: &mut Line<'_>, numbers: &mut Numbers) {
    let stream = &line.stream;
    if let (Some(request), None, None) = (stream.request(), stream.response(), stream.reply())
        && !stream.is_reset()
    {
        if numbers.one_in(30) {
            stream.rerouted("/other", "other");
        }
        stream.answered(&requests::response(&request, numbers));
    }
}

fn act(line: &mut Line<'_>, worker: &Worker, numbers: &mut Numbers) {
    respond(line, numbers);
    if line.ended {
        return;
    }
    match numbers.to(39) {
        0..=19 => talk(line, Sender::Client, worker, numbers),
        20..=36 => talk(line, Sender::Upstream, worker, numbers),
        37 if numbers.one_in(3) && line.stream.response().is_some() && !line.stream.is_over() => {
            line.ended = true;
            if numbers.one_in(2) {
                line.stream.client_sends_trailers(&requests::trailers());
            } else {
                line.stream.upstream_ends_with_trailers();
            }
        }
        38 if numbers.one_in(3) => {
            line.ended = true;
            line.stream.end();
        }
        _ => {}
    }
}

/// A peer sends some of what it has to say.
fn talk(line: &mut Line<'_>, sender: Sender, worker: &Worker, numbers: &mut Numbers) {
    let got = match sender {
        Sender::Client => line.stream.to_client(),
        Sender::Upstream => line.stream.to_upstream(),
    };
    let (queue, read) = match sender {
        Sender::Client => (&mut line.client, &mut line.client_read),
        Sender::Upstream => (&mut line.upstream, &mut line.upstream_read),
    };
    if line.answers {
        queue.extend(answer(sender, &got[(*read).min(got.len())..]).unwrap_or_default());
        *read = got.len();
    }
    if queue.is_empty() || numbers.one_in(2) {
        queue.extend(some(sender, worker, numbers));
    }
    let cut = if numbers.one_in(3) { numbers.len_to(queue.len()) } else { queue.len() };
    let chunk: Vec<u8> = queue.drain(..cut).collect();
    send(&line.stream, sender, &chunk);
}

fn send(stream: &Stream<'_>, sender: Sender, chunk: &[u8]) {
    match sender {
        Sender::Client => drop(stream.client_sends(chunk)),
        Sender::Upstream if stream.response().is_some() => drop(stream.upstream_sends(chunk)),
        Sender::Upstream => {}
    }
}

/// What was asked of clusters is answered, or not.
fn serve(worker: &Worker, numbers: &mut Numbers) {
    for call in worker.calls() {
        let path = crate::host::value_of(&call.fields, ":path").unwrap_or_default().to_vec();
        let document = requests::document(&path, worker, numbers).to_string();
        match numbers.to(7) {
            0 => worker.cut(&call),
            1 => worker.answer(&call, "503", b""),
            2 => worker.answer(&call, "200", b"{"),
            _ => worker.answer(&call, "200", document.as_bytes()),
        }
    }
}
