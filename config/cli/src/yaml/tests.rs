use postern_config::Path;
use serde_json::json;

use super::load::DEEPEST;
use super::*;

fn told(text: &str) -> Vec<String> {
    load(text.as_bytes()).findings.iter().map(ToString::to_string).collect()
}

#[test]
fn yaml_and_json_read_as_the_same_value() {
    let expected = json!({"a": [1, 2.5, true, null, "x"], "b": {"c": "1", "d": ""}});
    for text in [
        "a: [1, 2.5, true, null, x]\nb: {c: '1', d: \"\"}\n",
        "a:\n  - 1\n  - 2.5\n  - true\n  - ~\n  - x\nb:\n  c: !!str 1\n  d: ''\n",
        r#"{"a": [1, 2.5, true, null, "x"], "b": {"c": "1", "d": ""}}"#,
        "\u{feff}a: &l [1, 2.5, true, null, x]\nb: {c: '1', d: ''}\n",
    ] {
        let loaded = load(text.as_bytes());
        assert!(loaded.findings.is_empty(), "{:?}", loaded.findings);
        assert_eq!(
            loaded.documents.iter().map(Node::to_json).collect::<Vec<_>>(),
            std::slice::from_ref(&expected),
            "{text}"
        );
    }
}

#[test]
fn every_document_is_read_and_empty_ones_are_left_out() {
    let loaded = load(b"---\na: 1\n---\n---\nb: 2\n...\n");
    let documents: Vec<_> = loaded.documents.iter().map(Node::to_json).collect();
    assert_eq!(documents, [json!({"a": 1}), json!({"b": 2})]);
}

#[test]
fn an_alias_stands_for_a_value_at_the_anchors_place() {
    let loaded = load(b"a: &x {y: 1}\nb: *x\n");
    let document = &loaded.documents[0];
    assert_eq!(document.to_json(), json!({"a": {"y": 1}, "b": {"y": 1}}));
    let position = document.locate(&Path::parse("b.y").unwrap(), Position::START);
    assert_eq!(position, Position { line: 1, column: 8 });
}

#[test]
fn what_yaml_leaves_unclear_is_a_problem_with_its_place() {
    for (text, expected) in [
        ("a: 1\nb: {c: 1, c: 2}\n", "2:11: b.c: is written twice; leave one of them"),
        ("l:\n  - a: 1\n    \"a\": 2\n", "3:5: l[0].a: is written twice; leave one of them"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n", "3:3: y[\"<<\"]: is a merge key of YAML 1.1"),
        ("? [a]\n: 1\n", "1:3: has a list or an object for a key"),
        ("x: &x k\n*x : 1\n", "2:1: has an alias for a key"),
        ("a: .inf\n", "1:4: a: is a number that JSON does not have"),
        ("a: !!int x\n", "1:4: a: is no `tag:yaml.org,2002:int` that JSON has"),
        ("a: &x [*x]\n", "1:8: a[0]: is an alias of what it is inside of"),
        ("a: *x\n", "1:4: is not YAML: "),
        ("a: [1\n", "is not YAML: "),
        ("a: b: c\n", "is not YAML: "),
    ] {
        let told = told(text);
        assert_eq!(told.len(), 1, "{text}: {told:?}");
        assert!(told[0].contains(expected), "{text}: {told:?}");
    }
    assert_eq!(load(b"a: \xff").findings.len(), 1);
}

#[test]
fn a_small_file_cannot_become_a_large_value() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..10 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
        laughs += &format!("a{i}: &a{i} [{aliases}]\n");
    }
    assert!(told(&laughs)[0].contains("has more than 200000 values"));
    let deep = format!("{}{}", "[".repeat(DEEPEST + 1), "]".repeat(DEEPEST + 1));
    assert!(told(&deep)[0].contains("nests deeper than 64"), "{:?}", told(&deep));
    assert_eq!(told(&"[".repeat(100_000)).len(), 1);
    assert_eq!(told(&"- ".repeat(100_000)).len(), 1);
}

#[test]
fn what_is_not_written_is_located_at_the_key_above_it() {
    let loaded = load(b"policies:\n  chat:\n    rates:\n      - limit: 1\n");
    let locate = |path| {
        let position = loaded.documents[0].locate(&Path::parse(path).unwrap(), Position::START);
        (position.line, position.column)
    };
    assert_eq!(locate(""), (1, 1));
    assert_eq!(locate("policies.chat.rates[0].limit"), (4, 9));
    assert_eq!(locate("policies.chat.rates[0].window"), (4, 9));
    assert_eq!(locate("policies.chat.origins"), (2, 3));
    assert_eq!(locate("routes"), (1, 1));
}

#[test]
fn what_envoy_ignores_is_in_no_document_and_its_anchors_are() {
    let text = "!ignore a: &x {b: 1, b: 2}\n!<!ignore> a: 2\n\"a\": *x\nl:\n- {!ignore c: 1, d: 2}\n---\n!ignore e: 1\nf: 2\n";
    let loaded = load(text.as_bytes());
    assert!(loaded.findings.is_empty(), "{:?}", loaded.findings);
    let documents: Vec<_> = loaded.documents.iter().map(Node::to_json).collect();
    assert_eq!(documents, [json!({"a": {"b": 1}, "l": [{"d": 2}]}), json!({"f": 2})]);
    let ignored: Vec<_> = loaded
        .ignored
        .iter()
        .map(|ignored| (ignored.document, ignored.position.line, ignored.path.as_str()))
        .collect();
    assert_eq!(ignored, [(0, 1, "a"), (0, 2, "a"), (0, 5, "l[0].c"), (1, 7, "e")]);
    for text in ["a: !ignore {b: 1}", "a: !ignore [1]", "a: !ignore 1"] {
        let expected = "1:4: a: has `!ignore` before its value, where Envoy does not heed it; write it before the key: \
                        `!ignore key: value` [PST0021]";
        assert_eq!(told(text), [expected], "{text}");
    }
}

#[test]
fn a_literal_knows_where_its_lines_are_written() {
    for (text, expected) in [
        ("a: |\n  x: 1\n", Some((2, 3))),
        ("a:\n  b: |-\n\n\n      x: 1\n", Some((3, 7))),
        ("a: |2\n    x: 1\n", Some((2, 3))),
        ("a: |\r\n  x: 1\r\n", Some((2, 3))),
        ("a: |\n", None),
        ("a: >\n  x: 1\n", None),
        ("a: \"x: 1\\n\"\n", None),
    ] {
        let loaded = load(text.as_bytes());
        let mut node = &loaded.documents[0];
        while let Some(member) = node.members().first() {
            node = &member.value;
        }
        let begins = node.text_begins.map(|position| (position.line, position.column));
        assert_eq!(begins, expected, "{text:?}");
    }
}

#[test]
fn texts_and_keys_that_aliases_repeat_are_bounded_too() {
    let aliases = vec!["*a"; 1000].join(", ");
    for anchored in [format!("\"{}\"", "x".repeat(100_000)), format!("{{{}: 1}}", "x".repeat(100_000))] {
        let text = format!("a: &a {anchored}\nb: [{aliases}]\n");
        assert!(told(&text)[0].contains("has more than 200000 values"), "{:?}", told(&text));
    }
}

#[test]
fn what_is_no_plain_yaml_is_told_and_never_a_panic() {
    for text in [
        &b"\xff\xfea\x00"[..],
        b"a:\n\t- b\n",
        b"\x00",
        b"a: \x01",
        b"%YAML 9.9\n---\na: 1\n",
        b"a: &",
        b"!!",
        b"? ",
        b"{a: 1",
        b"'",
        b"a: \"\\ud800\"",
        b"--- !<",
        b"*",
        b"a: |\n\x85\xe2",
    ] {
        let _ = load(text);
    }
    let crlf = load(b"\xef\xbb\xbfa: 1\r\nb:\r\n  c: 1\r\n  c: 2\r\n");
    let told: Vec<String> = crlf.findings.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["4:3: b.c: is written twice; leave one of them [PST0002]"]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it is the time that is judged")]
fn an_object_of_very_many_members_takes_no_time_that_grows_with_their_square() {
    let text: String = (0..150_000).map(|i| format!("k{i}: 1\n")).collect();
    let begun = std::time::Instant::now();
    assert_eq!(load(text.as_bytes()).documents.len(), 1);
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn bytes_that_are_not_utf8_are_told_where_they_are() {
    for (bytes, line, column) in [
        (&b"\xff"[..], 1, 1),
        (b"a: b\nc: \xe4\n", 2, 4),
        (b"a: b\r\n\xc3\xa4: \xe4", 2, 4),
        (b"\xef\xbb\xbfa\rb\xc3", 2, 2),
    ] {
        let findings = load(bytes).findings;
        let places: Vec<Position> = findings.iter().map(|finding| finding.position).collect();
        assert_eq!(places, [Position { line, column }], "{}", bytes.escape_ascii());
    }
}
