//! The report: what stands open, what does not, and what nobody can say.

mod sarif;
mod text;

use serde_json::{Value, json};

use super::attack::{Outcome, Verdict};

/// A report on one endpoint.
#[derive(Debug)]
pub(crate) struct Report {
    /// The URL without its query.
    url: String,
    outcomes: Vec<Outcome>,
}

impl Report {
    pub(crate) fn new(url: String, outcomes: Vec<Outcome>) -> Self {
        Self { url, outcomes }
    }

    /// Returns 1 where an attack stands open; else 2 where one got no answer that says either, or none was tried; else 0.
    pub(crate) fn exit_code(&self) -> u8 {
        match (self.count("open"), self.count("undetermined"), self.count("closed")) {
            (1.., _, _) => 1,
            (0, 0, 1..) => 0,
            _ => 2,
        }
    }

    fn count(&self, verdict: &str) -> usize {
        self.with(verdict).count()
    }

    fn with<'a>(&'a self, verdict: &'a str) -> impl Iterator<Item = &'a Outcome> {
        self.outcomes.iter().filter(move |outcome| outcome.verdict.name() == verdict)
    }

    /// Returns the report as JSON: the counts, and every attack in the order of the catalogue.
    pub(crate) fn json(&self) -> Value {
        let counts: serde_json::Map<String, Value> =
            Verdict::NAMES.into_iter().map(|name| (name.to_owned(), json!(self.count(name)))).collect();
        let attacks: Vec<Value> = self.outcomes.iter().map(of_outcome).collect();
        json!({"url": self.url, "counts": counts, "attacks": attacks})
    }
}

fn of_outcome(Outcome { attack, family, verdict }: &Outcome) -> Value {
    json!({
        "id": attack.id,
        "family": family,
        "title": attack.title,
        "severity": attack.severity.to_string(),
        "verdict": verdict.name(),
        "seen": verdict.seen(),
        "sends": attack.sends,
        "open_when": attack.trial.open_when(),
        "reference": attack.reference,
        "closed_by": attack.closed_by,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::catalogue;

    /// Returns a report on these attacks.
    pub(super) fn report(verdicts: &[(&str, Verdict)]) -> Report {
        let outcome = |(id, verdict): &(&str, Verdict)| {
            let (family, attack) = catalogue::all().find(|(_, attack)| attack.id == *id).unwrap();
            Outcome { attack, family, verdict: verdict.clone() }
        };
        Report::new("wss://a.example/ws".to_owned(), verdicts.iter().map(outcome).collect())
    }

    /// Returns a report with an attack of each verdict.
    pub(super) fn mixed() -> Report {
        report(&[
            ("handshake-cleartext", Verdict::Closed("no answer without TLS".to_owned())),
            ("origin-foreign", Verdict::Open("answered by 101, and a message came back".to_owned())),
            ("origin-port", Verdict::Open("answered by 101, and a Ping was answered".to_owned())),
            ("token-expired", Verdict::NotTried("it takes an --expired-token".to_owned())),
            ("frame-rsv1", Verdict::Undetermined("neither an answer nor an end within 3 s".to_owned())),
        ])
    }

    #[test]
    fn only_where_all_that_was_tried_is_closed_the_exit_code_is_0() {
        let (open, closed) = (Verdict::Open(String::new()), Verdict::Closed(String::new()));
        let (unsure, untried) = (Verdict::Undetermined(String::new()), Verdict::NotTried(String::new()));
        for (verdicts, code) in [
            (vec![closed.clone(), untried.clone()], 0),
            (vec![closed.clone(), open.clone()], 1),
            (vec![unsure.clone(), open], 1),
            (vec![closed, unsure], 2),
            (vec![untried], 2),
            (vec![], 2),
        ] {
            let ids = ["origin-foreign", "origin-null"];
            let verdicts: Vec<_> = ids.into_iter().zip(verdicts).collect();
            assert_eq!(report(&verdicts).exit_code(), code, "{verdicts:?}");
        }
    }

    #[test]
    fn the_form_in_json_is_stable() {
        let json = mixed().json();
        assert_eq!(json["url"], "wss://a.example/ws");
        assert_eq!(json["counts"], json!({"open": 2, "undetermined": 1, "closed": 1, "not_tried": 1}));
        let expected = json!({
            "id": "origin-foreign",
            "family": "origin",
            "title": "A page of another site opens a WebSocket",
            "severity": "high",
            "verdict": "open",
            "seen": "answered by 101, and a message came back",
            "sends": "`Origin: https://attacker.example`",
            "open_when": "the answer is 101, and the connection still answers, or is not closed at once",
            "reference": "ASVS 4.4.2",
            "closed_by": "origins.allow",
        });
        assert_eq!(json["attacks"][1], expected);
        assert_eq!(json["attacks"].as_array().unwrap().len(), 5);
    }
}
