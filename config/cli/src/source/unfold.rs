//! The documents inside documents: texts in ConfigMaps, and patches that name the part of a resource that
//! they are.

use postern_config::Path;

use super::shape::{self, Shape};
use super::{gateway, kubernetes, says_postern};
use crate::finding::{Code, Finding};
use crate::yaml::{self, Hidden, Loaded, Member, Node, Position};

/// The most texts inside texts.
const DEEPEST: usize = 4;

/// A document of a file, or inside one.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) node: Node,
    pub(super) shape: Shape,
    /// Says whether the document is the first of its file, or of the text it is in.
    pub(super) is_first_of_file: bool,
}

impl Document {
    /// Creates a document that is all of its file.
    pub(super) fn alone(node: Node, shape: Shape) -> Self {
        Self { node, shape, is_first_of_file: true }
    }
}

/// Returns everything that there is to look through in a file, and notes what is wrong with it as text. A
/// document with words that policies have and other documents too is one of a policy only if the file
/// `is_named`.
pub(crate) fn unfold(loaded: Loaded, is_named: bool, findings: &mut Vec<Finding>) -> Unfolded {
    let mut unfolding = Unfolding {
        documents: Vec::new(),
        hidden: Vec::new(),
        findings,
        values: loaded.values,
        is_full: false,
    };
    unfolding.take(loaded, is_named, 0);
    Unfolded { documents: unfolding.documents, hidden: unfolding.hidden }
}

/// Everything that there is to look through in a file.
#[derive(Debug)]
pub(crate) struct Unfolded {
    pub(crate) documents: Vec<Document>,
    /// The places of secrets.
    pub(crate) hidden: Vec<Hidden>,
}

struct Unfolding<'f> {
    documents: Vec<Document>,
    hidden: Vec<Hidden>,
    findings: &'f mut Vec<Finding>,
    /// The number of values of all texts so far.
    values: usize,
    /// Says whether there is more than is read.
    is_full: bool,
}

impl Unfolding<'_> {
    fn take(&mut self, loaded: Loaded, is_named: bool, depth: usize) {
        self.findings.extend(loaded.findings);
        self.hidden.extend(loaded.hidden);
        for (number, node) in loaded.documents.into_iter().enumerate() {
            let shape = shape::of(&node);
            if shape == Shape::PerhapsPolicy && !is_named {
                continue;
            }
            if shape == Shape::Manifest {
                let ignored = loaded.ignored.iter().filter(|ignored| ignored.document == number);
                self.findings.extend(ignored.map(|ignored| {
                    let what = "has `!ignore` before it, which Kubernetes does not heed";
                    let remedy = "take the member out, or the tag";
                    Finding::new(ignored.position, Code::MisplacedTag, &ignored.path, what, remedy)
                }));
                kubernetes::each(&node, &mut |kind, manifest| self.open(kind, manifest, depth));
            }
            self.documents.push(Document { node, shape, is_first_of_file: number == 0 });
        }
    }

    /// Takes the documents inside a manifest.
    fn open(&mut self, kind: kubernetes::Kind<'_>, manifest: &Node, depth: usize) {
        if kind.is("gateway.envoyproxy.io", "EnvoyPatchPolicy") {
            let (patches, problems) = gateway::patches(manifest);
            self.documents.extend(patches);
            self.findings.extend(problems);
        }
        if kind.is("", "ConfigMap") {
            for member in manifest.get("data").map(Node::members).unwrap_or_default() {
                self.read(member, depth.saturating_add(1));
            }
        }
    }

    /// Takes the text of a member as a file of its own.
    fn read(&mut self, member: &Member, depth: usize) {
        let Some(text) = member.value.text() else { return };
        if self.is_full {
            return;
        }
        let mut loaded = yaml::load(text.as_bytes());
        self.values = self.values.saturating_add(loaded.values);
        if depth > DEEPEST || self.values > yaml::MOST_VALUES {
            let what = "has too much inside to be read";
            self.findings.push(told(member, what, "write less, or check it as a file of its own"));
            self.is_full = true;
            return;
        }
        let begins = member.value.text_begins;
        let moved = |inside: Position| moved(inside, begins, member.position);
        loaded.documents.iter_mut().for_each(|document| document.relocate(&moved));
        loaded.ignored.iter_mut().for_each(|ignored| ignored.position = moved(ignored.position));
        loaded.findings.iter_mut().for_each(|finding| finding.position = moved(finding.position));
        // The secrets of a text that is not written line by line are hidden with the whole of it.
        loaded.hidden.retain_mut(|hidden| {
            hidden.begin = moved(hidden.begin);
            hidden.end = moved(hidden.end);
            begins.is_some()
        });
        let has_policies = loaded.documents.iter().any(|document| shape::of(document) == Shape::Policy);
        if !has_policies && !says_postern(text) {
            loaded.findings.clear();
        }
        self.take(loaded, false, depth);
    }
}

fn told(member: &Member, what: &str, remedy: &str) -> Finding {
    let path = Path::root().key("data").key(member.key.as_str()).to_string();
    Finding::new(member.position, Code::TooMuch, path, what, remedy)
}

/// Returns a place of a text as a place of the file: line by line if the text is written so, else the place
/// of its key.
fn moved(inside: Position, begins: Option<Position>, key: Position) -> Position {
    let onto = |begin: usize, inside: usize| begin.saturating_add(inside).saturating_sub(1);
    begins.map_or(key, |begin| Position {
        line: onto(begin.line, inside.line),
        column: onto(begin.column, inside.column),
    })
}
