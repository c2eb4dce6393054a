//! Schemas that come back to themselves without going deeper into the value: a judgement by them would never end.

use std::collections::BTreeMap;

use super::super::keyword::{Applicator, Keyword, Node};
use super::super::problem::Problem;
use super::super::reference::DynamicAnchors;

/// Returns a problem for one schema of a cycle, if there is one.
pub(super) fn find(nodes: &[Node], dynamic_anchors: &DynamicAnchors) -> Option<Problem> {
    let leads_to = ways(nodes, dynamic_anchors);
    let mut is_left = vec![true; leads_to.len()];
    remove_what_ends(&leads_to, &mut is_left);
    let first = is_left.iter().position(|left| *left)?;
    // Whatever is left leads to something that is left, so some schema comes twice.
    let mut seen = vec![false; leads_to.len()];
    let mut next = first;
    while nodes.get(next).is_none() || !std::mem::replace(seen.get_mut(next)?, true) {
        next = leads_to.get(next)?.iter().copied().find(|id| is_left.get(*id) == Some(&true))?;
    }
    Some(Problem::new(
        &nodes.get(next)?.at,
        "refers back to itself without going deeper into the message",
        "put what it refers to under `properties`, `items` or the like",
    ))
}

/// Takes away every schema from which all ways end.
fn remove_what_ends(leads_to: &[Vec<usize>], is_left: &mut [bool]) {
    let mut comes_from = vec![Vec::new(); leads_to.len()];
    let mut ways: Vec<usize> = leads_to.iter().map(Vec::len).collect();
    for (from, all) in leads_to.iter().enumerate() {
        for to in all {
            if let Some(comes_from) = comes_from.get_mut(*to) {
                comes_from.push(from);
            }
        }
    }
    let mut ended: Vec<usize> = (0..ways.len()).filter(|id| ways.get(*id) == Some(&0)).collect();
    while let Some(id) = ended.pop() {
        if let Some(left) = is_left.get_mut(id) {
            *left = false;
        }
        for from in comes_from.get(id).into_iter().flatten() {
            let Some(ways) = ways.get_mut(*from) else { continue };
            *ways -= 1;
            if *ways == 0 {
                ended.push(*from);
            }
        }
    }
}

/// Returns where each schema leads to on the same value. Behind the schemas stand the dynamic anchors, each of which leads to all
/// schemas that have it: what refers to an anchor leads there, so that the ways are no more than what is written.
fn ways(nodes: &[Node], dynamic_anchors: &DynamicAnchors) -> Vec<Vec<usize>> {
    let anchors: BTreeMap<&str, usize> = dynamic_anchors
        .iter()
        .enumerate()
        .map(|(index, (anchor, _))| (anchor, nodes.len() + index))
        .collect();
    let of_anchors = dynamic_anchors.iter().map(|(_, schemas)| schemas.map(|id| id.0).collect());
    nodes.iter().map(|node| in_place(node, &anchors)).chain(of_anchors).collect()
}

/// Returns where `node` leads to on the same value.
fn in_place(node: &Node, anchors: &BTreeMap<&str, usize>) -> Vec<usize> {
    let mut all = Vec::new();
    for keyword in &node.keywords {
        let Keyword::Applicator(applicator) = keyword else { continue };
        all.extend(applicator.in_place().into_iter().map(|id| id.0));
        if let Applicator::DynamicRef { anchor, .. } = applicator {
            all.extend(anchors.get(anchor.as_str()));
        }
    }
    all
}
