//! The explanation as people read it.

use std::fmt::Write as _;

use postern_engine::Violation;
use postern_engine::explain::{ExplainedStep, Explanation, Fate, FirstMessageVerdict, Verdict};
use postern_engine::http::headers::HeaderEdit;

use crate::instant::instant;
use crate::limits;
use crate::report::{Report, shown};
use crate::steps::{about, rate};
use crate::token::named;

/// The escape sequences of a terminal.
const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const YELLOW: &str = "\u{1b}[33m";
const FAINT: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

/// The width of the column of ids.
const IDS: usize = 32;

/// A writer of the text.
struct Writer {
    text: String,
    colour: bool,
}

/// Returns the text of a report.
pub(crate) fn text(report: &Report, colour: bool) -> String {
    let mut writer = Writer { text: String::new(), colour };
    writer.request(report);
    let explanation = &report.explanation;
    for step in &explanation.steps {
        writer.step(step, explanation);
    }
    writer.fate(report);
    writer.token(explanation);
    writer.limits(explanation);
    writer.text
}

impl Writer {
    fn line(&mut self, line: &str) {
        self.text.push_str(&shown_line(line));
        self.text.push('\n');
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    }

    fn request(&mut self, report: &Report) {
        let request = &report.request;
        let client = report.client.map(|client| client.to_string()).unwrap_or_default();
        let over = if request.is_secure { "over TLS" } else { "without TLS" };
        let (method, host) = (request.text(":method"), request.text(":authority"));
        self.line(&format!(
            "{method} {host}{} {over}, from {client}, at {}",
            report.path(),
            instant(report.at)
        ));
        for note in &request.notes {
            self.line(&format!("  {note}"));
        }
        let (path, why) = &report.chosen_by;
        match &report.policy {
            Some(policy) => self.line(&format!("policy `{policy}` by {path}: {why}")),
            None => self.line(&format!("no policy, by {path}: {why}")),
        }
        self.text.push('\n');
    }

    fn step(&mut self, step: &ExplainedStep, explanation: &Explanation) {
        let about = about(step, explanation);
        let ExplainedStep { id, verdict, .. } = step;
        match verdict {
            Verdict::NotSet => self.verdict("–", FAINT, id, "not set"),
            Verdict::NotReached => self.verdict("–", FAINT, id, "not reached"),
            Verdict::Passed => self.verdict("✓", GREEN, id, &about),
            Verdict::Refused(violation) => self.verdict("✗", RED, id, &finding(violation, &about)),
            Verdict::Shadowed(violation) => {
                self.verdict("!", YELLOW, id, &format!("in shadow: {}", finding(violation, &about)));
            }
        }
    }

    fn verdict(&mut self, mark: &str, colour: &str, id: &str, what: &str) {
        let width = IDS;
        let mark = self.paint(colour, mark);
        let line = shown_line(&format!("{id:<width$} {what}"));
        let _ = writeln!(self.text, "{mark} {}", line.trim_end());
    }

    fn fate(&mut self, report: &Report) {
        let explanation = &report.explanation;
        if !explanation.steps.is_empty() {
            self.text.push('\n');
        }
        if report.is_in_shadow() {
            let in_shadow = self.paint(YELLOW, "the policy is in shadow");
            let _ = writeln!(self.text, "{in_shadow}: the request goes up as it came; in force it would be");
        }
        match &explanation.fate {
            Fate::Refused(violation, reply) => {
                let status = reply.reason.consequence().status;
                let refused = self.paint(RED, "refused");
                let _ = writeln!(self.text, "{refused}: {status} {}", shown_line(&finding(violation, "")));
                for (name, value) in &reply.headers {
                    if matches!(*name, "retry-after" | "www-authenticate" | "sec-websocket-version") {
                        self.line(&format!("  {name}: {value}"));
                    }
                }
                for charged in &explanation.refusal_charged {
                    self.line(&format!("  the refusal counts: {}: 1 is charged", rate(charged)));
                }
            }
            Fate::LetIn(_) if explanation.steps.is_empty() => self.unjudged(),
            Fate::LetIn(_) => {
                let let_in = self.paint(GREEN, "let in");
                let _ = writeln!(self.text, "{let_in}: the handshake goes up");
            }
            Fate::Unjudged(_) => self.unjudged(),
        }
        for edit in report.changes() {
            self.line(&format!("  {}", change(edit)));
        }
    }

    fn unjudged(&mut self) {
        let unjudged = self.paint(YELLOW, "passes unjudged");
        let _ = writeln!(self.text, "{unjudged}: the request goes up");
    }

    fn token(&mut self, explanation: &Explanation) {
        if let Some(token) = &explanation.token {
            let whose = match &token.provider {
                Some(provider) => format!("verified by provider `{provider}`"),
                None => "not verified: anybody may have written them".to_owned(),
            };
            self.line(&format!("\nclaims of the token in {}, {whose}", named(&token.carrier)));
            for (name, value) in token.claims.as_object().into_iter().flatten() {
                self.line(&format!("  {name}: {}{value}", moment(name, value)));
            }
        }
        match &explanation.first_message {
            Some(FirstMessageVerdict::Accepted) => {
                let mark = self.paint(GREEN, "✓");
                let _ = writeln!(self.text, "{mark} the first message: the connection is authenticated");
            }
            Some(FirstMessageVerdict::Closed(violation)) => {
                let mark = self.paint(RED, "✗");
                let code = violation.reason.consequence().close;
                let told = shown_line(&finding(violation, ""));
                let _ =
                    writeln!(self.text, "{mark} the first message: the connection is closed, {code} {told}");
            }
            None if explanation.awaits_first_message => {
                self.line("\nthe token comes in the first message; give one by --token to have it judged");
            }
            None => {}
        }
    }

    fn limits(&mut self, explanation: &Explanation) {
        let lines = limits::lines(explanation);
        if lines.is_empty() {
            return;
        }
        self.line("\nlimits of the connection");
        for (key, what) in lines {
            self.line(&format!("  {key:<18} {what}"));
        }
    }
}

/// Returns the time that a claim says, before its number (RFC 7519 §4.1).
fn moment(name: &str, value: &serde_json::Value) -> String {
    let at = value.as_u64().filter(|_| matches!(name, "exp" | "nbf" | "iat"));
    at.map(|at| format!("{}, ", instant(std::time::Duration::from_secs(at)))).unwrap_or_default()
}

/// Returns what is wrong: reason, rule, whose doing, and the cause.
fn finding(violation: &Violation, about: &str) -> String {
    let (reason, rule) = (violation.reason.id(), &violation.rule);
    let title = violation.reason.consequence().title;
    let side = violation.side.map(|side| format!(", by the {side}")).unwrap_or_default();
    let cause = violation.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
    let about = if about.is_empty() { String::new() } else { format!(" ({about})") };
    format!("{reason}, {title}, by the rule {rule}{side}{cause}{about}")
}

fn change(edit: &HeaderEdit) -> String {
    let value = |name: &str, value: &[u8]| match shown(name, value) {
        Some(value) => format!(": {value}"),
        None => ", without the token".to_owned(),
    };
    match edit {
        HeaderEdit::Set(name, _) if name == "sec-websocket-key" => format!("sets {name}: a random one"),
        HeaderEdit::Add(name, of) => format!("adds {name}{}", value(name, of)),
        HeaderEdit::Remove(name) => format!("takes out {name}"),
        HeaderEdit::Set(name, of) => format!("sets {name}{}", value(name, of)),
    }
}

/// Returns a line with nothing in it that a terminal would obey: parts of it are strangers'.
fn shown_line(line: &str) -> String {
    let is_told = |character: char| character == '\n' || !character.is_control();
    line.chars().map(|character| if is_told(character) { character } else { '\u{fffd}' }).collect()
}
