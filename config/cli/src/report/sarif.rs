//! SARIF 2.1.0 (OASIS Standard), as much of it as a report has. Names are the standard's.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;

use super::{Entry, Level, Report, Rule};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// What a path of a URI may not have as it is (RFC 3986 §3.3). A colon would make a scheme of what is before it.
const NOT_IN_PATHS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b':')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Log<'r> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'r>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'r> {
    tool: Tool,
    column_kind: &'static str,
    invocations: [Invocation; 1],
    results: Vec<SarifResult<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    semantic_version: &'static str,
    rules: Vec<ReportingDescriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportingDescriptor {
    id: &'static str,
    name: &'static str,
    short_description: Message<'static>,
    help_uri: String,
    help: MarkdownMessage,
    default_configuration: ReportingConfiguration,
}

#[derive(Serialize)]
struct ReportingConfiguration {
    level: Level,
}

#[derive(Serialize)]
struct Message<'r> {
    text: &'r str,
}

#[derive(Serialize)]
struct MarkdownMessage {
    text: &'static str,
    markdown: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult<'r> {
    rule_id: &'static str,
    rule_index: usize,
    level: Level,
    message: OwnedMessage,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locations: Vec<Location<'r>>,
}

#[derive(Serialize)]
struct OwnedMessage {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'r> {
    physical_location: PhysicalLocation,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logical_locations: Vec<LogicalLocation<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<SarifRegion>,
}

#[derive(Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifRegion {
    start_line: usize,
    start_column: usize,
    end_column: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation<'r> {
    fully_qualified_name: &'r str,
    kind: &'static str,
}

/// Returns the log of one run.
pub(super) fn log(report: &Report) -> Log<'_> {
    // The rules that were broken, each once.
    let mut broken: BTreeMap<&'static str, (usize, Rule)> = BTreeMap::new();
    for entry in &report.entries {
        broken.entry(entry.rule.code).or_insert((0, entry.rule));
    }
    for (index, (of_rule, _)) in broken.values_mut().enumerate() {
        *of_rule = index;
    }
    let index = |code: &str| broken.get(code).map_or(0, |(index, _)| *index);
    let results = report.entries.iter().map(|entry| result(entry, index(entry.rule.code))).collect();
    let rules = broken.values().map(|(_, rule)| descriptor(*rule)).collect();
    let driver = Driver { name: "postern", semantic_version: env!("CARGO_PKG_VERSION"), rules };
    let run = Run {
        tool: Tool { driver },
        column_kind: "unicodeCodePoints",
        invocations: [Invocation { execution_successful: !report.is_cut_short }],
        results,
    };
    Log { schema: SCHEMA, version: "2.1.0", runs: [run] }
}

fn descriptor(rule: Rule) -> ReportingDescriptor {
    ReportingDescriptor {
        id: rule.code,
        name: rule.title,
        short_description: Message { text: rule.title },
        help_uri: format!("urn:postern:{}", rule.code),
        help: MarkdownMessage { text: rule.page, markdown: rule.page },
        default_configuration: ReportingConfiguration { level: rule.level },
    }
}

fn result(entry: &Entry, rule_index: usize) -> SarifResult<'_> {
    let Entry { rule, file, region, path, message, remedy } = entry;
    let colon = if path.is_empty() { "" } else { ": " };
    let region = region.map(|region| SarifRegion {
        start_line: region.line,
        start_column: region.column,
        end_column: region.end_column,
    });
    let logical = Some(path).filter(|path| !path.is_empty());
    let location = file.as_deref().map(|file| Location {
        physical_location: PhysicalLocation {
            artifact_location: ArtifactLocation { uri: uri(file) },
            region,
        },
        logical_locations: logical
            .map(|path| LogicalLocation { fully_qualified_name: path, kind: "member" })
            .into_iter()
            .collect(),
    });
    SarifResult {
        rule_id: rule.code,
        rule_index,
        level: rule.level,
        message: OwnedMessage { text: format!("{path}{colon}{message}; {remedy}") },
        locations: location.into_iter().collect(),
    }
}

/// Returns the address of a file: relative as it was named, unless it is absolute.
fn uri(file: &str) -> String {
    let path = utf8_percent_encode(file, NOT_IN_PATHS);
    if file.starts_with('/') { format!("file://{path}") } else { path.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_file_is_a_uri_whatever_its_name() {
        for (file, expected) in [
            ("a/policy.yaml", "a/policy.yaml"),
            ("/etc/envoy/envoy.yaml", "file:///etc/envoy/envoy.yaml"),
            ("a b#c?.yaml", "a%20b%23c%3F.yaml"),
            ("http:x.yaml", "http%3Ax.yaml"),
            ("é.yaml", "%C3%A9.yaml"),
        ] {
            assert_eq!(uri(file), expected);
        }
    }
}
