//! The report as SARIF 2.1.0: every attack that was meant to be tried is a rule, and what became of it a result.

use serde_json::{Value, json};

use super::Report;
use super::text::remedy;
use crate::audit::attack::{Outcome, Severity, Verdict};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

impl Report {
    /// Returns the report as a log of SARIF.
    pub(crate) fn sarif(&self) -> Value {
        let rules: Vec<Value> = self.outcomes.iter().map(rule).collect();
        let results: Vec<Value> =
            self.outcomes.iter().enumerate().map(|(index, outcome)| self.result(index, outcome)).collect();
        let driver = json!({"name": "postern audit", "version": env!("CARGO_PKG_VERSION"), "rules": rules});
        json!({
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "results": results, "invocations": [{"executionSuccessful": true}]}],
        })
    }

    fn result(&self, index: usize, outcome: &Outcome) -> Value {
        let (kind, level) = match outcome.verdict {
            Verdict::Open(_) => ("fail", level(outcome.attack.severity)),
            Verdict::Closed(_) => ("pass", "none"),
            // What SARIF calls open is what could not be decided (3.27.9).
            Verdict::Undetermined(_) => ("open", "none"),
            Verdict::NotTried(_) => ("notApplicable", "none"),
        };
        let text = match outcome.verdict {
            Verdict::Open(_) => {
                format!("{}. Seen: {}. {}.", outcome.attack.title, outcome.verdict.seen(), remedy(outcome))
            }
            _ => format!("{}: {}.", outcome.verdict.name().replace('_', " "), outcome.verdict.seen()),
        };
        json!({
            "ruleId": outcome.attack.id,
            "ruleIndex": index,
            "kind": kind,
            "level": level,
            "message": {"text": text},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": self.url}}}],
        })
    }
}

fn rule(Outcome { attack, family, .. }: &Outcome) -> Value {
    json!({
        "id": attack.id,
        "shortDescription": {"text": attack.title},
        "fullDescription": {
            "text": format!("Sends {}. Open when {}.", attack.sends, attack.trial.open_when()),
        },
        "defaultConfiguration": {"level": level(attack.severity)},
        "properties": {
            "tags": ["security", family],
            "severity": attack.severity.to_string(),
            "reference": attack.reference,
            "closed_by": attack.closed_by,
        },
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::mixed;
    use super::*;

    #[test]
    fn every_result_in_sarif_is_of_a_rule_and_says_what_it_means() {
        let sarif = mixed().sarif();
        assert_eq!((&sarif["version"], &sarif["$schema"]), (&json!("2.1.0"), &json!(SCHEMA)));
        let run = &sarif["runs"][0];
        let results = run["results"].as_array().unwrap();
        let told: Vec<_> = results.iter().map(|result| (&result["kind"], &result["level"])).collect();
        let expected = [
            ("pass", "none"),
            ("fail", "error"),
            ("fail", "note"),
            ("notApplicable", "none"),
            ("open", "none"),
        ];
        assert_eq!(told.len(), expected.len());
        for ((kind, level), expected) in told.into_iter().zip(expected) {
            assert_eq!((kind.as_str(), level.as_str()), (Some(expected.0), Some(expected.1)));
        }
        for result in results {
            let rule = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(run["tool"]["driver"]["rules"][rule]["id"], result["ruleId"]);
            assert!(!result["message"]["text"].as_str().unwrap().is_empty());
            assert_eq!(
                result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
                "wss://a.example/ws"
            );
        }
    }
}
