//! The messages of the benchmark, of 1 KiB each, and those that each break one keyword of their schema.

use postern_e2e::{Value, json};

use crate::workload::KIB;

/// The schema of ten properties. It means the same in draft 7 as in 2020-12, so that every ajv reads it as Postern
/// does.
pub(crate) const SCHEMA: &str = include_str!("schema.json");

/// The number of messages that take turns, so that no cache knows the next one from the last.
const TURNS: usize = 64;

/// The phrases of the texts: most are ASCII, with what JSON escapes in one, and one has code points of up to four
/// bytes.
const PHRASES: [&str; 4] = [
    "The quick brown fox jumps over the lazy dog. ",
    "She said \"see you at nine\" and left.\n",
    "Build 4711 is green; deploy it after lunch, please. ",
    "Wörter, слова, λέξεις, 言葉, 🦊 ",
];

/// The ways to break the schema, one for each keyword, by name.
pub(crate) const BROKEN: [(&str, fn(&mut Value)); 11] = [
    ("type", |message| message["silent"] = json!("no")),
    ("integer", |message| message["sent_at"] = json!(1_800_000_000.5)),
    ("required", |message| remove(message, "author")),
    ("enum", |message| message["type"] = json!("shout")),
    ("pattern", |message| message["room"] = json!("General")),
    ("minLength", |message| message["lang"] = json!("e")),
    ("maxLength", |message| message["author"] = json!("a".repeat(65))),
    ("minimum", |message| message["priority"] = json!(-0.5)),
    ("maximum", |message| message["sent_at"] = json!(5_000_000_000_u64)),
    ("items", |message| message["tags"] = json!(["news", ""])),
    ("additionalProperties", |message| message["admin"] = json!(true)),
];

/// Returns the messages that take turns.
pub(crate) fn messages() -> Vec<String> {
    (0..TURNS).map(|turn| message(turn).to_string()).collect()
}

/// Returns a message that breaks the schema in this way alone.
pub(crate) fn broken(by: fn(&mut Value)) -> String {
    let mut message = message(0);
    by(&mut message);
    message.to_string()
}

/// Returns a message that is 1 KiB long when it is written down.
fn message(turn: usize) -> Value {
    // An odd factor: the digits of neighbours have nothing in common.
    let digits = (turn as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let id = format!(
        "{:08x}-{:04x}-4000-8000-{:012x}",
        digits >> 32,
        digits >> 16 & 0xffff,
        digits & 0xffff_ffff_ffff
    );
    let tags = ["news", "release", "on-call", "lunch", "support"];
    let mut message = json!({
        "type": (["say", "reply", "edit"][turn % 3]),
        "id": id,
        "room": format!("room-{turn}"),
        "author": (["alice", "bob", "Łukasz"][turn / 3 % 3]),
        "text": "",
        "sent_at": 1_800_000_000 + turn,
        "priority": turn as f64 / TURNS as f64,
        "silent": turn.is_multiple_of(5),
        "lang": (["en", "pl", "pt-BR"][turn % 3]),
        "tags": tags[..turn % tags.len()],
    });
    let room = KIB - message.to_string().len();
    message["text"] = json!(text(PHRASES[turn % PHRASES.len()], room));
    message
}

/// Returns a text out of a phrase that takes `room` bytes in JSON.
fn text(phrase: &str, room: usize) -> String {
    let mut text = String::new();
    let mut left = room;
    for character in phrase.chars().cycle() {
        let takes = json!(character).to_string().len() - 2;
        if takes > left {
            break;
        }
        text.push(character);
        left -= takes;
    }
    text + &"-".repeat(left)
}

fn remove(message: &mut Value, member: &str) {
    if let Some(members) = message.as_object_mut() {
        members.remove(member);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn messages_have_the_ten_properties_of_the_schema_and_take_1_kib_and_differ() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let described: HashSet<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(described.len(), 10);
        let messages = messages();
        for message in &messages {
            assert_eq!(message.len(), KIB, "{message}");
            let message: Value = serde_json::from_str(message).unwrap();
            assert_eq!(message.as_object().unwrap().keys().collect::<HashSet<_>>(), described);
        }
        assert_eq!(messages.iter().collect::<HashSet<_>>().len(), TURNS);
    }
}
