//! What is written down of a schedule: all that leaves the filter, but for what a log line says behind the
//! name of its request.

use std::fmt::{Debug, Write as _};

use proxy_wasm::types::LogLevel;

use crate::fixtures::REASON;
use crate::host::{Fields, Stream, Worker};

/// What has been written down so far.
#[derive(Default)]
pub(crate) struct Transcript {
    text: String,
    /// What was last written down of each stream, and how many bytes to the upstream and to the client.
    seen: Vec<(String, [usize; 2])>,
}

impl Transcript {
    pub(crate) fn note(&mut self, name: &str, value: &impl Debug) {
        writeln!(self.text, "{name}: {value:?}").unwrap();
    }

    /// What has become of a stream, if anything has since.
    pub(crate) fn stream(&mut self, step: u64, index: usize, stream: &Stream<'_>) {
        if self.seen.len() <= index {
            self.seen.resize(index + 1, Default::default());
        }
        let (before, passed) = &mut self.seen[index];
        let mut text = String::new();
        let mut line = |name: &str, value: &dyn Debug| writeln!(text, "  {name}: {value:?}").unwrap();
        line("request", &stream.request().map(shown));
        line("logged request", &shown(stream.logged_request()));
        line("response", &stream.response().map(shown));
        if let Some(reply) = stream.reply() {
            line("reply", &(reply.status, shown(reply.fields), reply.body.escape_ascii().to_string()));
        }
        line("reset", &stream.is_reset());
        line("reason", &stream.property(REASON).map(|value| value.escape_ascii().to_string()));
        if *before != text {
            write!(self.text, "step {step}, stream {index}\n{text}").unwrap();
            *before = text;
        }
        let bytes = [stream.to_upstream(), stream.to_client()];
        for ((bytes, passed), receiver) in bytes.iter().zip(passed).zip(["upstream", "client"]) {
            if bytes.len() != *passed {
                let new = bytes.get(*passed..).map(hexadecimal);
                writeln!(self.text, "step {step}, stream {index} to {receiver}: {new:?}").unwrap();
                *passed = bytes.len();
            }
        }
    }

    /// What the worker has counted and logged.
    pub(crate) fn end(&mut self, worker: &Worker) {
        for (name, value) in worker.metrics() {
            writeln!(self.text, "{name} {value}").unwrap();
        }
        for level in [LogLevel::Error, LogLevel::Warn, LogLevel::Info] {
            for line in worker.log(level) {
                writeln!(self.text, "{level:?} {}", without_detail(&line)).unwrap();
            }
        }
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

fn shown(fields: Fields) -> Vec<(String, String)> {
    fields.into_iter().map(|(name, value)| (name, value.escape_ascii().to_string())).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A line of the log up to the name of its request: what follows is prose for people.
fn without_detail(line: &str) -> String {
    let Some((start, rest)) = line.split_once(" request=") else { return line.to_owned() };
    let request = rest.split(' ').next().unwrap_or_default();
    format!("{start} request={request}")
}
