//! Alternatives that a member of the message tells apart, as `type` often does: only those with its value need to be judged by.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::keyword::{Applicator, Assertion, Keyword, Node, NodeId, Tag};

/// Finds the tags of all alternatives in a document.
pub(super) fn find_all(nodes: &mut [Node]) {
    let mut found = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        for (index, keyword) in node.keywords.iter().enumerate() {
            if let Keyword::Applicator(Applicator::AnyOf(any) | Applicator::OneOf(any)) = keyword {
                found.extend(find(&any.schemas, nodes).map(|tag| (at, index, tag)));
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
fn find(schemas: &[NodeId], nodes: &[Node]) -> Option<Tag> {
    let first = behind_reference(*schemas.first()?, nodes)?;
    named(first).into_iter().flat_map(|named| named.keys()).find_map(|name| {
        let mut by_text: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
        for id in schemas {
            let member = named(behind_reference(*id, nodes)?)?.get(name)?;
            for text in texts(nodes.get(member.0)?)? {
                by_text.entry(text.to_owned()).or_default().push(*id);
            }
        }
        (schemas.len() > 1).then(|| Tag { name: name.clone(), by_text })
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
