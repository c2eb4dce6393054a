//! What RFC 6455 §5 to §8 and RFC 7692 §5 to §7 demand of what is sent, clause by clause: a row
//! names its section, who sends what, and what comes of it on both sides. Each is played by every
//! peer that may say it, cut at every byte, and what is refused is refused at its last byte.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod agreement;
mod deflate;
mod framing;
mod line;
mod meaning;
mod row;
#[path = "../support/mod.rs"]
mod support;

use line::Ground;
use row::Row;

fn play(rows: Vec<Row>) {
    let mut grounds: Vec<Ground> = Vec::new();
    for row in rows {
        let place = grounds.iter().position(|ground| ground.terms == row.terms).unwrap_or_else(|| {
            grounds.push(Ground::new(row.terms));
            grounds.len() - 1
        });
        grounds[place].play(&row);
    }
}

#[test]
fn frames_and_fragments_are_what_rfc_6455_sections_5_and_6_demand() {
    play(framing::rows());
}

#[test]
fn closes_and_text_are_what_rfc_6455_sections_7_and_8_demand() {
    play(meaning::rows());
}

#[test]
fn compressed_messages_are_what_rfc_7692_sections_6_and_7_demand() {
    play(deflate::rows());
}
