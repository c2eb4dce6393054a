//! Alternatives that a member of the message tells apart, as `type` often does: only those with its value need to be judged by.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::keyword::{Applicator, Assertion, Keyword, Node, NodeId, Tag};

/// The most work to find tags, in texts that are listed or looked for. Alternatives behind that have none, and all are judged by.
const MAX_WORK: usize = 1 << 16;
/// The bytes of a text for one more.
const BYTES_OF_WORK: usize = 64;

/// Finds the tags of all alternatives in a document.
pub(super) fn find_all(nodes: &mut [Node]) {
    let mut found = Vec::new();
    let mut left = MAX_WORK;
    for (at, node) in nodes.iter().enumerate() {
        for (index, keyword) in node.keywords.iter().enumerate() {
            if let Keyword::Applicator(Applicator::AnyOf(any) | Applicator::OneOf(any)) = keyword {
                found.extend(find(&any.schemas, nodes, &mut left).map(|tag| (at, index, tag)));
            }
        }
    }
    for (at, index, tag) in found {
        let keyword = nodes.get_mut(at).and_then(|node| node.keywords.get_mut(index));
        if let Some(Keyword::Applicator(Applicator::AnyOf(any) | Applicator::OneOf(any))) = keyword {
            any.tag = Some(tag);
        }
    }
}

/// Returns a member for which every alternative lists the texts that it may be.
fn find(schemas: &[NodeId], nodes: &[Node], left: &mut usize) -> Option<Tag> {
    if schemas.len() < 2 {
        return None;
    }
    let first = behind_reference(*schemas.first()?, nodes)?;
    named(first).into_iter().flat_map(|named| named.keys()).find_map(|name| {
        let mut by_text: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
        for id in schemas {
            *left = left.checked_sub(1 + name.len() / BYTES_OF_WORK)?;
            let member = named(behind_reference(*id, nodes)?)?.get(name)?;
            for text in texts(nodes.get(member.0)?)? {
                *left = left.checked_sub(1 + text.len() / BYTES_OF_WORK)?;
                by_text.entry(text.to_owned()).or_default().push(*id);
            }
        }
        Some(Tag { name: name.clone(), by_text })
    })
}

/// The schema itself, or the one that it does nothing but refer to.
fn behind_reference(id: NodeId, nodes: &[Node]) -> Option<&Node> {
    let node = nodes.get(id.0)?;
    match node.keywords.as_slice() {
        [Keyword::Applicator(Applicator::Ref(target))] => nodes.get(target.0),
        _ => Some(node),
    }
}

fn named(node: &Node) -> Option<&BTreeMap<String, NodeId>> {
    node.keywords.iter().find_map(|keyword| match keyword {
        Keyword::Applicator(Applicator::Properties(properties)) => Some(&properties.named),
        _ => None,
    })
}

/// The texts that a schema lists, if it lists nothing else.
fn texts(node: &Node) -> Option<Vec<&str>> {
    node.keywords.iter().find_map(|keyword| match keyword {
        Keyword::Assertion(Assertion::Const(Value::String(text))) => Some(vec![text.as_str()]),
        Keyword::Assertion(Assertion::Enum(values)) => values.iter().map(Value::as_str).collect(),
        _ => None,
    })
}
