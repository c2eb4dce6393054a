//! The report for people: what stands open first, the worst of it first.

use std::fmt::Write as _;

use super::Report;
use crate::audit::attack::Outcome;

impl Report {
    /// Returns the report as text for a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.url);
        let count = |name| self.count(name);
        let (open, unsure) = (count("open"), count("undetermined"));
        let (closed, untried) = (count("closed"), count("not_tried"));
        let summary = format!("{open} open, {unsure} undetermined, {closed} closed, {untried} not tried");
        let _ = writeln!(text, "{summary}");
        let mut worst: Vec<&Outcome> = self.with("open").collect();
        worst.sort_by_key(|outcome| outcome.attack.severity);
        heading(&mut text, "OPEN", open);
        for outcome in worst {
            let attack = outcome.attack;
            let _ = writeln!(text, "  {:<6} {:<30} {}", attack.severity, attack.id, attack.title);
            let _ = writeln!(text, "{:9}sent: {}", "", attack.sends);
            let _ = writeln!(text, "{:9}seen: {}", "", outcome.verdict.seen());
            let _ = writeln!(text, "{:9}to do: {} ({})", "", remedy(outcome), attack.reference);
        }
        for (name, title) in
            [("undetermined", "UNDETERMINED"), ("closed", "CLOSED"), ("not_tried", "NOT TRIED")]
        {
            heading(&mut text, title, count(name));
            for outcome in self.with(name) {
                let attack = outcome.attack;
                let _ =
                    writeln!(text, "  {:<6} {:<30} {}", attack.severity, attack.id, outcome.verdict.seen());
            }
        }
        text
    }
}

/// Says what closes an attack in Postern.
pub(super) fn remedy(outcome: &Outcome) -> String {
    match outcome.attack.closed_by {
        "protocol" => "Postern refuses it under any policy".to_owned(),
        envoy if envoy.ends_with("of Envoy") => format!("set {envoy}"),
        key => match key.split_once(' ') {
            Some((key, what)) => format!("Postern refuses it by `{key}` {what}"),
            None => format!("Postern refuses it by `{key}`"),
        },
    }
}

fn heading(text: &mut String, title: &str, count: usize) {
    if count > 0 {
        let _ = writeln!(text, "\n{title} ({count})");
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::mixed;

    #[test]
    fn the_report_for_people_begins_with_the_worst() {
        let expected = "\
wss://a.example/ws
2 open, 1 undetermined, 1 closed, 1 not tried

OPEN (2)
  high   origin-foreign                 A page of another site opens a WebSocket
         sent: `Origin: https://attacker.example`
         seen: answered by 101, and a message came back
         to do: Postern refuses it by `origins.allow` (ASVS 4.4.2)
  low    origin-port                    Another service on the honest host opens a WebSocket
         sent: the honest Origin with another port
         seen: answered by 101, and a Ping was answered
         to do: Postern refuses it by `origins.allow` (ASVS 4.4.2)

UNDETERMINED (1)
  medium frame-rsv1                     neither an answer nor an end within 3 s

CLOSED (1)
  high   handshake-cleartext            no answer without TLS

NOT TRIED (1)
  high   token-expired                  it takes an --expired-token
";
        assert_eq!(mixed().text(), expected);
    }
}
