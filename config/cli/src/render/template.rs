//! The shipped configurations as templates: lines that are exchanged, and blocks that are put in the place of others.

/// Returns `text` as YAML that nothing can break out of: a quoted scalar, unless it is plainly a word.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"./_-".contains(&b))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { escaped(text) }
}

/// Returns `text` as a JSON string in which no reader of YAML sees the end of a line.
pub(super) fn escaped(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.replace('\u{7f}', "\\u007f")
        .replace('\u{85}', "\\u0085")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
        .replace('\u{feff}', "\\ufeff")
}

/// Writes a flow list of names.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(quoted).collect();
    format!("[{}]", names.join(", "))
}

/// Puts `block` in the place of what lies under the line `key`, which is alone on its line.
pub(super) fn under(template: &str, key: &str, block: &[String]) -> String {
    let mut text = String::new();
    // The indentation of the key, while what is under it is left out.
    let mut left_out: Option<usize> = None;
    for line in template.lines() {
        let depth = line.len().saturating_sub(line.trim_start().len());
        if let Some(above) = left_out {
            if line.trim().is_empty() || depth > above {
                continue;
            }
            left_out = None;
        }
        text.extend([line, "\n"]);
        if line.trim() == key {
            left_out = Some(depth);
            for line in block {
                if !line.trim().is_empty() {
                    text.extend(std::iter::repeat_n(' ', depth.saturating_add(2)));
                }
                text.extend([line.trim_end(), "\n"]);
            }
        }
    }
    text
}

/// Takes out the line `key`, what lies under it, and the comment right above it.
pub(super) fn without(template: &str, key: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut left_out: Option<usize> = None;
    for line in template.lines() {
        let depth = line.len().saturating_sub(line.trim_start().len());
        if left_out.is_some_and(|above| depth > above) {
            continue;
        }
        left_out = None;
        if line.trim() == key {
            while kept.last().is_some_and(|line| line.trim_start().starts_with('#')) {
                kept.pop();
            }
            left_out = Some(depth);
            continue;
        }
        kept.push(line);
    }
    kept.iter().flat_map(|line| [*line, "\n"]).collect()
}

/// Returns the documents of a file, without the lines between them.
pub(super) fn documents(template: &str) -> Vec<String> {
    template.split("\n---\n").map(|document| format!("{}\n", document.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_takes_the_place_of_what_was_under_the_key() {
        let template = "a:\n  value:\n    x: 1\n\n    # of x\n    y: 2\n  z: 3\n";
        let block = ["p:".to_owned(), "  q: 1".to_owned(), String::new(), "r: 2".to_owned()];
        assert_eq!(
            under(template, "value:", &block),
            "a:\n  value:\n    p:\n      q: 1\n\n    r: 2\n  z: 3\n"
        );
    }

    #[test]
    fn a_key_goes_with_its_comment_and_what_is_under_it() {
        assert_eq!(without("a: 1\n# of b\n# and more\nb:\n  c: 2\nd: 3\n", "b:"), "a: 1\nd: 3\n");
    }

    #[test]
    fn nothing_breaks_out_of_quotes() {
        for text in ["a: b", "x\ny: 1", "\"", "\u{2028}k: v", "- a", "#", "yes", "1", "", "{", "\u{85}"] {
            let quoted = quoted(text);
            assert!(!quoted.contains(['\n', '\u{85}', '\u{2028}']), "{quoted}");
            let loaded = crate::yaml::load(format!("k: {quoted}").as_bytes());
            assert_eq!(
                loaded.documents[0].get("k").and_then(crate::yaml::Node::text),
                Some(text),
                "{quoted}"
            );
        }
        assert_eq!(quoted("/etc/envoy/tls.crt"), "/etc/envoy/tls.crt");
    }
}
