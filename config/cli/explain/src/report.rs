//! The explanation of a request, for people ([`Report::text`]) and for programs ([`Report::object`]).

use postern_config::{Config, Mode};
use postern_engine::Violation;
use postern_engine::explain::{
    ChargedRate, ExplainedStep, Explanation, Fate, FirstMessageVerdict, Verdict, WaitedFor,
};
use postern_engine::http::headers::HeaderEdit;
use serde_json::{Value, json};

use crate::request::Request;
use crate::steps::{about, rate, rule};
use crate::token::named;
use crate::{Circumstances, findings, limits};

/// The fate of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The handshake goes up.
    LetIn,
    /// The request is refused, or the connection that it opens with its first message.
    Refused,
    /// The request goes up, and nobody judges it.
    Unjudged,
}

/// The explanation of a request.
#[derive(Debug)]
pub struct Report {
    pub(crate) request: Request,
    pub(crate) at: std::time::Duration,
    pub(crate) client: Option<std::net::IpAddr>,
    pub(crate) explanation: Explanation,
    /// The path of the key that chose the policy, and why.
    pub(crate) chosen_by: (String, String),
    /// The name of the policy.
    pub(crate) policy: Option<String>,
}

/// The fields whose values are secrets, or may be, and the key, which is a random one.
const SECRET_FIELDS: [&str; 5] =
    ["authorization", "cookie", "proxy-authorization", "sec-websocket-protocol", "sec-websocket-key"];

impl Report {
    pub(crate) fn new(
        config: &Config,
        request: Request,
        circumstances: &Circumstances,
        explanation: Explanation,
    ) -> Self {
        let chosen = findings::chosen(config, explanation.choice).map(|policy| policy.name.clone());
        let policy = explanation.policy.as_ref().map(|policy| policy.name.clone()).or(chosen);
        let (path, mut why) = findings::reason(config, explanation.choice);
        why.extend(circumstances.route_metadata.as_ref().and_then(findings::overlaid));
        let Circumstances { at, client, .. } = circumstances;
        Self { request, at: *at, client: *client, explanation, chosen_by: (path, why), policy }
    }

    /// Says whether the policy is in shadow, so that nothing is refused and nothing is changed.
    pub fn is_in_shadow(&self) -> bool {
        self.explanation.policy.as_ref().is_some_and(|policy| policy.mode == Mode::Shadow)
    }

    /// Returns what becomes of the request.
    pub fn outcome(&self) -> Outcome {
        if self.is_in_shadow() {
            return Outcome::LetIn;
        }
        match (&self.explanation.fate, &self.explanation.first_message) {
            (Fate::Refused(..), _) | (_, Some(FirstMessageVerdict::Closed(_))) => Outcome::Refused,
            (Fate::LetIn(_), _) if self.explanation.steps.is_empty() => Outcome::Unjudged,
            (Fate::LetIn(_), _) => Outcome::LetIn,
            (Fate::Unjudged(_), _) => Outcome::Unjudged,
        }
    }

    /// Returns why the request is refused, or its connection, if it is.
    pub fn violation(&self) -> Option<&Violation> {
        match (&self.explanation.fate, &self.explanation.first_message) {
            (Fate::Refused(violation, _), _) | (_, Some(FirstMessageVerdict::Closed(violation))) => {
                Some(violation)
            }
            _ => None,
        }
    }

    /// Returns the status of the answer to a request that is refused.
    pub fn status(&self) -> Option<u16> {
        match &self.explanation.fate {
            Fate::Refused(_, reply) => Some(reply.reason.consequence().status),
            Fate::LetIn(_) | Fate::Unjudged(_) => None,
        }
    }

    /// Returns the changes to a request that goes up.
    pub fn changes(&self) -> &[HeaderEdit] {
        if self.is_in_shadow() {
            return &[];
        }
        match &self.explanation.fate {
            Fate::LetIn(edits) | Fate::Unjudged(edits) => edits,
            Fate::Refused(..) => &[],
        }
    }

    /// Returns the explanation for people; with `colour` it has the escape sequences of a terminal.
    pub fn text(&self, colour: bool) -> String {
        crate::text::text(self, colour)
    }

    /// Returns the explanation for programs, as `docs/explain.md` describes it.
    pub fn object(&self) -> Value {
        let explanation = &self.explanation;
        let outcome = match self.outcome() {
            Outcome::LetIn => "let_in",
            Outcome::Refused => "refused",
            Outcome::Unjudged => "unjudged",
        };
        let (path, why) = &self.chosen_by;
        let token = explanation.token.as_ref().map(|token| {
            json!({
                "carrier": named(&token.carrier),
                "provider": token.provider,
                "is_verified": token.provider.is_some(),
                "claims": token.claims,
            })
        });
        json!({
            "at": self.at.as_secs(),
            "client_address": self.client.map(|client| client.to_string()),
            "request": self.request_object(),
            "policy": self.policy,
            "is_in_shadow": self.is_in_shadow(),
            "chosen_by": {"path": path, "why": why},
            "steps": explanation.steps.iter().map(|step| self.step_object(step)).collect::<Vec<_>>(),
            "outcome": outcome,
            "violation": self.violation().map(violation_object),
            "answer": self.answer_object(),
            "refusal_charged": explanation.refusal_charged.iter().map(charged_object).collect::<Vec<_>>(),
            "changes": self.changes().iter().map(change_object).collect::<Vec<_>>(),
            "token": token,
            "awaits_first_message": explanation.awaits_first_message,
            "limits": limits::object(explanation),
        })
    }

    fn request_object(&self) -> Value {
        let names = self.request.fields.iter().map(|(name, _)| name.as_str());
        json!({
            "method": self.request.text(":method"),
            "host": self.request.text(":authority"),
            "path": self.path(),
            "is_secure": self.request.is_secure,
            "fields": names.filter(|name| !name.starts_with(':')).collect::<Vec<_>>(),
            "notes": self.request.notes,
        })
    }

    /// Returns the path without its query, which may have a token.
    pub(crate) fn path(&self) -> String {
        let path = self.request.text(":path");
        path.split('?').next().unwrap_or_default().to_owned()
    }

    fn answer_object(&self) -> Value {
        match &self.explanation.fate {
            Fate::Refused(_, reply) => json!({
                "status": reply.reason.consequence().status,
                "fields": reply.headers.iter().map(|(name, value)| json!([name, value])).collect::<Vec<_>>(),
            }),
            Fate::LetIn(_) | Fate::Unjudged(_) => Value::Null,
        }
    }

    fn step_object(&self, step: &ExplainedStep) -> Value {
        let (verdict, violation) = match &step.verdict {
            Verdict::NotSet => ("not_set", None),
            Verdict::NotReached => ("not_reached", None),
            Verdict::Passed => ("passed", None),
            Verdict::Refused(violation) => ("refused", Some(violation)),
            Verdict::Shadowed(violation) => ("shadowed", Some(violation)),
        };
        let waits_for = step.waited.map(|waited| match waited {
            WaitedFor::Keys(_) => "keys",
            WaitedFor::RevocationList(_) => "revocation_list",
            WaitedFor::RateLimit(_) => "rate_limit",
        });
        json!({
            "id": step.id,
            "rule": violation.map_or_else(|| rule(step.id).to_owned(), |violation| violation.rule.to_string()),
            "verdict": verdict,
            "violation": violation.map(violation_object),
            "waits_for": waits_for,
            "charged": step.charged.iter().map(charged_object).collect::<Vec<_>>(),
            "about": about(step, &self.explanation),
        })
    }
}

fn violation_object(violation: &Violation) -> Value {
    json!({
        "rule": violation.rule.to_string(),
        "reason": violation.reason.id(),
        "title": violation.reason.consequence().title,
        "side": violation.side.map(|side| side.to_string()),
        "cause": violation.cause.as_ref().map(ToString::to_string),
        "close_code": violation.reason.consequence().close,
    })
}

fn charged_object(charged: &ChargedRate) -> Value {
    let tier = charged.tier.map(|tier| format!("tiers[{tier}].")).unwrap_or_default();
    json!({"path": format!("{tier}rates[{}]", charged.index), "tokens": 1, "about": rate(charged)})
}

fn change_object(edit: &HeaderEdit) -> Value {
    match edit {
        HeaderEdit::Add(name, value) => json!({"add": name, "value": shown(name, value)}),
        HeaderEdit::Remove(name) => json!({"remove": name}),
        HeaderEdit::Set(name, value) => json!({"set": name, "value": shown(name, value)}),
    }
}

/// Returns the value of a field that goes up, unless it may have a secret that is not Postern's.
pub(crate) fn shown(name: &str, value: &[u8]) -> Option<String> {
    let is_secret = SECRET_FIELDS.contains(&name);
    let text = String::from_utf8_lossy(value);
    let text = if name == ":path" { without_values(&text) } else { text.into_owned() };
    (!is_secret).then(|| text.escape_debug().to_string())
}

/// Returns a path with the names alone of what its query has.
fn without_values(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
    let named = |pair: &str| match pair.split_once('=') {
        Some((name, _)) => format!("{name}=***"),
        None => "***".to_owned(),
    };
    format!("{path}?{}", query.split('&').map(named).collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_goes_up_shows_no_value_of_its_query_since_one_may_be_a_secret() {
        for (path, expected) in
            [("/ws", "/ws"), ("/ws?session=a&b=c=d", "/ws?session=***&b=***"), ("/ws?ticket", "/ws?***")]
        {
            assert_eq!(shown(":path", path.as_bytes()).as_deref(), Some(expected));
        }
        assert_eq!(shown("x-user", b"a?b=c").as_deref(), Some("a?b=c"), "only a path has a query");
    }
}
