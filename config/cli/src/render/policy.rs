//! The policy that is rendered, and the way it goes into a template.

use postern_config::Config;
use serde_json::Value;

use super::Failure;
use super::template::{escaped, under};
use crate::check;
use crate::finding::{Finding, Severity};
use crate::source::{self, Written};
use crate::yaml::{self, Kind, Node};

/// A configuration of Postern that is sound.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) config: Config,
    /// The lines as they are written, if the file is the policy and nothing else.
    as_written: Option<Vec<String>>,
    /// The lines that any reader of YAML takes for the same, without comments.
    plainly: Vec<String>,
    warnings: Vec<String>,
}

/// What is rendered.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) text: String,
    /// The warnings about the policy, and about what is around it.
    pub(super) warnings: Vec<String>,
}

impl Policy {
    /// Reads the one configuration of a file, as `postern check` does.
    pub(super) fn read(text: &[u8]) -> Result<Self, Failure> {
        let judgement = check::check(text);
        let told = |severity| of(&judgement.findings, severity).collect::<Vec<_>>();
        let problems = told(Severity::Problem);
        if !problems.is_empty() {
            return Err(Failure::Problems(problems));
        }
        let documents = source::unfold(yaml::load(text), true, &mut Vec::new()).documents;
        let found = source::find(&documents);
        let number = found.configurations.len();
        let (Some(configuration), Some(config), 1) =
            (found.configurations.first(), judgement.configs.first(), number)
        else {
            return Err(Failure::Use(format!(
                "the file has {number} configurations of Postern; name a file with one"
            )));
        };
        let parsed;
        let node = match &configuration.written {
            Written::Object(node) => *node,
            Written::Text(text) => {
                parsed = yaml::load(text.as_bytes());
                parsed.documents.first().ok_or_else(|| Failure::Use("the policy is empty".to_owned()))?
            }
            Written::Wrong(problem) => return Err(Failure::Problems(vec![problem.to_string()])),
        };
        let is_alone =
            documents.len() == 1 && documents.first().is_some_and(|first| std::ptr::eq(&first.node, node));
        let as_written = std::str::from_utf8(text).ok().filter(|_| is_alone).and_then(lines);
        let mut plainly = Vec::new();
        write(node, 0, &mut plainly);
        Ok(Self { config: config.clone(), as_written, plainly, warnings: told(Severity::Warning) })
    }

    /// Puts the policy under the line `key` of `template`, and demands that `postern check` finds nothing wrong with all.
    pub(super) fn put(&self, template: &str, key: &str) -> Result<Rendered, Failure> {
        let plainly = under(template, key, &self.plainly);
        let as_written = self.as_written.as_ref().map(|lines| under(template, key, lines));
        // Whatever is written, it must not say anything else here than it said alone.
        let text = as_written.filter(|text| values(text) == values(&plainly)).unwrap_or(plainly);
        let judgement = check::check(text.as_bytes());
        let problems: Vec<String> = of(&judgement.findings, Severity::Problem).collect();
        if !problems.is_empty() {
            return Err(Failure::Problems(problems));
        }
        Ok(Rendered { text, warnings: self.warnings.clone() })
    }
}

fn of(findings: &[Finding], severity: Severity) -> impl Iterator<Item = String> {
    findings.iter().filter(move |finding| finding.severity() == severity).map(ToString::to_string)
}

fn values(text: &str) -> Vec<Value> {
    yaml::load(text.as_bytes()).documents.iter().map(Node::to_json).collect()
}

/// Returns the lines of a policy document that can stand in another document, without the marks of a document; `None` where
/// readers of YAML differ in where its lines end, or it has directives.
fn lines(text: &str) -> Option<Vec<String>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains(['\u{85}', '\u{2028}', '\u{2029}']) || text.replace("\r\n", "\n").contains('\r') {
        return None;
    }
    let mut lines: Vec<&str> = text.lines().collect();
    // The comment that names a schema is for an editor that has the file as it was.
    lines.retain(|line| !line.starts_with("# yaml-language-server:"));
    let begins = lines.iter().position(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or(0);
    if lines.get(begins).is_some_and(|line| line.trim_end() == "---") {
        lines.remove(begins);
    }
    while lines.last().is_some_and(|line| line.trim().is_empty() || line.trim_end() == "...") {
        lines.pop();
    }
    let is_of_a_document =
        |line: &&str| line.starts_with('%') || line.starts_with("---") || line.starts_with("...");
    (!lines.iter().any(is_of_a_document)).then(|| lines.into_iter().map(str::to_owned).collect())
}

/// Writes a value as a block at `depth`, every text in quotes.
fn write(node: &Node, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    match &node.kind {
        Kind::Object(members) if !members.is_empty() => {
            for member in members {
                put_behind(format!("{indent}{}:", escaped(&member.key)), &member.value, depth, lines);
            }
        }
        Kind::List(items) if !items.is_empty() => {
            for item in items {
                put_behind(format!("{indent}-"), item, depth, lines);
            }
        }
        Kind::Object(_) => lines.push(format!("{indent}{{}}")),
        Kind::List(_) => lines.push(format!("{indent}[]")),
        Kind::Scalar(value) => lines.push(format!("{indent}{}", scalar(value))),
    }
}

fn put_behind(head: String, value: &Node, depth: usize, lines: &mut Vec<String>) {
    match &value.kind {
        Kind::Scalar(value) => lines.push(format!("{head} {}", scalar(value))),
        Kind::Object(members) if members.is_empty() => lines.push(format!("{head} {{}}")),
        Kind::List(items) if items.is_empty() => lines.push(format!("{head} []")),
        Kind::Object(_) | Kind::List(_) => {
            lines.push(head);
            write(value, depth.saturating_add(1), lines);
        }
    }
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), escaped)
}
