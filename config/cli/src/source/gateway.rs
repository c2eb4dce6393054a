//! Postern in Envoy Gateway's manifests: EnvoyExtensionPolicy and EnvoyPatchPolicy.

use postern_config::{Path, Problem, ProblemKind};

use super::resource::Resource;
use super::shape::Shape;
use super::unfold::Document;
use super::{Bypass, Configuration, Found, Module, OpenFailure, Written, says_postern, speaks_of_postern};
use crate::finding::{Code, Finding};
use crate::yaml::{Kind, Member, Node};

/// The most steps of a patch's path, and of all paths of a manifest.
const LONGEST_PATH: usize = 64;
const MOST_STEPS: usize = 100_000;

/// Looks at an EnvoyExtensionPolicy.
pub(super) fn extension<'a>(manifest: &'a Node, found: &mut Found<'a>) {
    let Some(spec) = manifest.get("spec") else { return };
    let wasm = spec.get("wasm").map(Node::items).unwrap_or_default();
    for (number, plugin) in wasm.iter().enumerate() {
        wasm_plugin(plugin, &Path::root().key("spec").key("wasm").index(number), found);
    }
    let modules = spec.get("dynamicModule").map(Node::items).unwrap_or_default();
    let is_postern =
        |module: &&Node| ["name", "filterName"].iter().any(|key| speaks_of_postern(module.get(key)));
    found.bypasses.extend(modules.iter().filter(is_postern).map(|module| Bypass::LoadedElsewhere {
        position: module.position,
        role: "as a dynamic module of Envoy Gateway's",
        remedy: "write it under `wasm`",
    }));
}

/// Notes a plugin if it is Postern by its name, by the address of its module, or by its configuration.
fn wasm_plugin<'a>(plugin: &'a Node, path: &Path, found: &mut Found<'a>) {
    let code = |source: &str| plugin.get("code")?.get(source)?.get("url");
    let configuration = plugin.member("config");
    let has_policies = configuration.is_some_and(|member| member.value.get("policies").is_some());
    let names = [plugin.get("name"), plugin.get("rootID"), code("image"), code("http")];
    if !has_policies && !names.into_iter().any(speaks_of_postern) {
        return;
    }
    if let Some(open) = plugin.member("failOpen").filter(|member| member.value.is_true()) {
        let remedy = "leave it out";
        found.open_failures.push(OpenFailure {
            position: open.position,
            path: path.key("failOpen").to_string(),
            remedy,
        });
    }
    let path = path.key("config").to_string();
    let wrong =
        |kind, what: &str| Written::Wrong(Problem::new(kind, &path, what, "write the policies under it"));
    let (written, position) = match configuration {
        Some(configuration) => match &configuration.value.kind {
            // Envoy Gateway would hand over a string of JSON that is a string.
            Kind::Scalar(_) | Kind::List(_) => {
                (wrong(ProblemKind::WrongType, "is no object"), configuration.position)
            }
            Kind::Object(_) => (Written::Object(&configuration.value), configuration.position),
        },
        None => (wrong(ProblemKind::MissingKey, "is missing"), plugin.position),
    };
    found.configurations.push(Configuration {
        written,
        position,
        manager: None,
        clusters: None,
        allowed: None,
        module: Some(Module::Wasm),
    });
}

/// Notes the places where an EnvoyPatchPolicy takes Postern out.
pub(super) fn removals(manifest: &Node, found: &mut Found<'_>) {
    for operation in operations(manifest).filter_map(|patch| patch.get("operation")) {
        let is_removal = operation.get("op").and_then(Node::text) == Some("remove");
        let paths = ["path", "jsonPath"].into_iter().filter_map(|key| operation.member(key));
        let removed = paths.filter(|path| is_removal && path.value.text().is_some_and(says_postern));
        found.bypasses.extend(removed.map(|path| Bypass::Removed(path.position)));
    }
}

fn operations(manifest: &Node) -> impl Iterator<Item = &Node> {
    let patches = manifest.get("spec").and_then(|spec| spec.get("jsonPatches"));
    patches.map(Node::items).unwrap_or_default().iter()
}

/// Returns the patches of an EnvoyPatchPolicy, each as the resource that has nothing but what is patched in.
pub(super) fn patches(manifest: &Node) -> (Vec<Document>, Vec<Finding>) {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    let mut steps_so_far = 0_usize;
    for patch in operations(manifest) {
        let resource = patch.get("type").and_then(Node::text).and_then(Resource::of_type);
        let Some(operation) = patch.get("operation") else { continue };
        let Some(value) = operation.get("value") else { continue };
        let text = |key: &str| operation.get(key).and_then(Node::text).unwrap_or_default();
        let mut steps = json_path(text("jsonPath"));
        steps.extend(json_pointer(text("path")));
        steps_so_far = steps_so_far.saturating_add(steps.len());
        if steps.len() > LONGEST_PATH || steps_so_far > MOST_STEPS {
            let what = format!(
                "has more than {LONGEST_PATH} steps, or all paths together have more than {MOST_STEPS}"
            );
            let remedy = "write a path of the resource";
            problems.push(Finding::new(operation.position, Code::TooMuch, "operation.path", what, remedy));
            continue;
        }
        let node = steps.into_iter().rfold(value.clone(), wrapped);
        documents.push(Document::alone(node, Shape::Resource(resource.unwrap_or(Resource::Other))));
    }
    (documents, problems)
}

/// One step from a value to one inside it.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Item,
    Key(String),
}

/// Returns the value that has `inner` at the place that `step` leads to.
fn wrapped(inner: Node, step: Step) -> Node {
    let position = inner.position;
    let kind = match step {
        Step::Item => Kind::List(vec![inner]),
        Step::Key(key) => Kind::Object(vec![Member { key, position, value: inner }]),
    };
    Node::at(position, kind)
}

/// Returns the steps of a JSON Pointer (RFC 6901), which Envoy Gateway takes without the first slash too.
fn json_pointer(text: &str) -> Vec<Step> {
    let step = |text: &str| match text {
        "-" => Step::Item,
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => Step::Item,
        text => Step::Key(text.replace("~1", "/").replace("~0", "~")),
    };
    text.split('/').filter(|step| !step.is_empty()).take(LONGEST_PATH.saturating_add(1)).map(step).collect()
}

/// Returns the steps of a JSONPath (RFC 9535), with one element for all that a selector chooses.
fn json_path(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = text.trim_start_matches('$');
    while !rest.is_empty() && steps.len() <= LONGEST_PATH {
        if let Some(bracketed) = rest.strip_prefix('[') {
            let (selector, after) = bracketed_selector(bracketed);
            let quoted =
                selector.strip_prefix(['\'', '"']).and_then(|quoted| quoted.strip_suffix(['\'', '"']));
            steps.push(quoted.map_or(Step::Item, |key| Step::Key(key.to_owned())));
            rest = after;
        } else {
            let begun = rest.trim_start_matches('.');
            let (key, after) = begun.split_at(begun.find(['.', '[']).unwrap_or(begun.len()));
            match key {
                "" => {}
                "*" => steps.push(Step::Item),
                key => steps.push(Step::Key(key.to_owned())),
            }
            rest = after;
        }
    }
    steps
}

/// Returns what is between brackets, of which the first is read already, and what follows.
fn bracketed_selector(text: &str) -> (&str, &str) {
    let (mut depth, mut quote) = (0_usize, None);
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match (quote, c) {
            (Some(_), '\\') => drop(characters.next()),
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth = depth.saturating_add(1),
            (None, ']') if depth == 0 => {
                let after = text.get(at.saturating_add(1)..).unwrap_or_default();
                return (text.get(..at).unwrap_or_default(), after);
            }
            (None, ']') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(steps: &[Step]) -> String {
        let shown = |step: &Step| match step {
            Step::Item => "[]".to_owned(),
            Step::Key(key) => format!("/{key}"),
        };
        steps.iter().map(shown).collect()
    }

    #[test]
    fn paths_of_patches_lead_where_their_keys_say() {
        for (path, expected) in [
            ("..virtual_hosts[*].routes[?(@.name==\'a.b[0]\')]", "/virtual_hosts[]/routes[]"),
            ("$.default_filter_chain[\'filters\'][0]", "/default_filter_chain/filters[]"),
            ("..routes[?(@.name =~ \"[a\\\"].*\")].metadata", "/routes[]/metadata"),
            ("..routes[", "/routes[]"),
            ("routes.*.metadata", "/routes[]/metadata"),
            ("", ""),
        ] {
            assert_eq!(shown(&json_path(path)), expected, "{path}");
        }
        for (path, expected) in [
            ("/virtual_hosts/0/routes/-/metadata", "/virtual_hosts[]/routes[]/metadata"),
            ("typed_per_filter_config/a~1b~0c", "/typed_per_filter_config/a/b~c"),
            ("", ""),
        ] {
            assert_eq!(shown(&json_pointer(path)), expected, "{path}");
        }
    }

    #[test]
    fn endless_paths_end() {
        assert!(json_path(&"[".repeat(100_000)).len() <= LONGEST_PATH + 1);
        assert!(json_path(&".a".repeat(100_000)).len() <= LONGEST_PATH + 1);
        assert!(json_pointer(&"/a".repeat(100_000)).len() <= LONGEST_PATH + 1);
    }
}
