use super::*;

fn excerpt(text: &str, line: usize, column: usize) -> String {
    let lines = Lines::of(text, &[]);
    let finding = Finding::new(Position { line, column }, crate::finding::Code::UnknownKey, "", "", "");
    lines.excerpt(&finding, &Renderer::plain())
}

#[test]
fn the_key_or_value_at_the_place_is_marked() {
    for (text, column, expected) in [
        ("a: b c # d", 1, "^"),
        ("abc: b", 1, "^^^"),
        ("a: b c # d", 4, "^^^"),
        ("a: 'b'' c', d", 4, "^^^"),
        ("a: \"b\\\" c\", d", 4, "^^^^^^^"),
        ("a: [b, c]", 4, "^"),
        ("a: [bc, c]", 5, "^^"),
        ("a: https://b:1/c", 4, "^^^^^^^^^^^^^"),
        ("a: é→x", 4, "^^^"),
    ] {
        let shown = excerpt(text, 1, column);
        let marked = shown.lines().last().unwrap_or_default();
        assert_eq!(marked.trim_start_matches([' ', '|']).trim_end(), expected, "{shown}");
    }
}

#[test]
fn of_a_long_line_the_part_around_the_place_is_shown_and_of_an_endless_one_nothing() {
    let text = format!("{{\"a\": \"{}\", \"b\": 1}}", "x ".repeat(10_000));
    let shown = excerpt(&text, 1, 20_011);
    assert!(shown.contains("x x \", \"b\": 1}") && shown.contains('…'), "{shown}");
    let marked = shown.lines().last().unwrap_or_default();
    assert_eq!(marked.trim_start_matches([' ', '|']), "^^^", "{shown}");
    assert_eq!(excerpt(&"x ".repeat(1 << 20), 1, 1), "");
    let token = format!("a: {}7B{}", "x".repeat(5000), "x".repeat(5000));
    assert!(!excerpt(&token, 1, 1).contains("xxx"), "a key that goes on is one");
}

#[test]
fn lines_are_counted_as_the_parser_counts_them() {
    for text in ["a\nbcd\n", "a\r\nbcd\r\n", "a\rbcd\r", "\u{feff}a\nbcd"] {
        assert!(excerpt(text, 2, 1).contains("2 | bcd\n"), "{text:?}");
    }
    assert_eq!(excerpt("a\n\n", 2, 1), "");
    assert_eq!(excerpt("a\n", 7, 1), "");
    assert_eq!(excerpt("", 1, 1), "");
}

#[test]
fn a_place_beyond_the_line_is_shown_at_its_end() {
    assert!(excerpt("abc", 1, 99).contains("1 | abc"));
}

#[test]
fn the_place_behind_a_tab_is_marked_where_a_terminal_shows_it() {
    let shown = excerpt("\t\ta: b", 1, 3);
    let mut lines = shown.lines().rev();
    let (marked, line) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    assert_eq!((line.find("a: b"), line.contains(['\t', '\u{fffd}'])), (marked.find('^'), false), "{shown}");
}
