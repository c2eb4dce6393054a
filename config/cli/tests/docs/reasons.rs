//! The table of reasons, and the order in which a handshake is judged, against the engine's.

use postern_engine::{Reason, handshake_order};

use crate::pages::page;

#[test]
fn the_table_of_reasons_is_the_engines() {
    let dash_or = |number: u16, is_sent: bool| if is_sent { number.to_string() } else { "—".to_owned() };
    let expected: Vec<Vec<String>> = Reason::ALL
        .into_iter()
        .map(|reason| {
            let of = reason.consequence();
            // The numbers of an internal error stand for "never sent", but for that error itself.
            let is_internal = reason == Reason::Internal;
            vec![
                format!("`{}`", of.id),
                dash_or(of.status, is_internal || of.status != 500),
                dash_or(of.close, is_internal || of.close != 1011),
                of.title.to_owned(),
            ]
        })
        .collect();
    let rows = page("docs/reasons.md").rows_under("Reason");
    let written: Vec<Vec<String>> = rows.into_iter().map(|row| row.into_iter().take(4).collect()).collect();
    assert_eq!(written, expected);
}

#[test]
fn the_steps_of_a_handshake_are_the_engines_in_their_order() {
    let policy = page("docs/policy.md");
    let (_, order) = policy.text.split_once("**Order.**").expect("the order is told");
    let steps = order.lines().filter_map(|line| line.split_once(". `")?.1.split_once('`')).map(|(id, _)| id);
    let written: Vec<&str> = steps.take(handshake_order().count()).collect();
    assert_eq!(written, handshake_order().collect::<Vec<_>>());
}
