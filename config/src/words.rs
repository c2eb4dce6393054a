//! The words in problems: lists of those allowed, the nearest one, and what was written.

/// The most characters of a written value that a problem shows.
const SHOWN: usize = 64;

/// Writes `a, b and c`, each between backticks.
pub(crate) fn listed<S: AsRef<str>>(words: &[S]) -> String {
    let mut text = String::new();
    for (i, word) in words.iter().enumerate() {
        if i > 0 {
            text.push_str(if i.saturating_add(1) == words.len() { " and " } else { ", " });
        }
        text.push('`');
        text.push_str(word.as_ref());
        text.push('`');
    }
    text
}

/// Returns the one of `allowed` that `written` may have been meant to be.
pub(crate) fn nearest<'a, S: AsRef<str>>(written: &str, allowed: &'a [S]) -> Option<&'a str> {
    // A word as long as this was not meant to be any of them, and comparing costs length by length.
    if written.len() > SHOWN {
        return None;
    }
    allowed
        .iter()
        .map(|word| (strsim::damerau_levenshtein(written, word.as_ref()), word.as_ref()))
        .min()
        .filter(|(distance, word)| *distance <= word.len().div_ceil(3))
        .map(|(_, word)| word)
}

/// Returns what to write in place of `written`: the nearest of the allowed words, then all of them.
pub(crate) fn suggestion<S: AsRef<str>>(written: &str, allowed: &[S]) -> String {
    match nearest(written, allowed) {
        _ if allowed.is_empty() => "nothing is allowed here".to_owned(),
        Some(word) => format!("did you mean `{word}`? allowed: {}", listed(allowed)),
        None => format!("allowed: {}", listed(allowed)),
    }
}

/// Returns `written` between backticks, on one line and not too long.
pub(crate) fn shown(written: &str) -> String {
    let mut text: String = written.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if written.chars().nth(SHOWN).is_some() {
        text.push('…');
    }
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_only_when_it_is_near() {
        for (written, expected) in [
            ("origns", "did you mean `origins`? allowed: `auth` and `origins`"),
            ("orgins", "did you mean `origins`? allowed: `auth` and `origins`"),
            ("colour", "allowed: `auth` and `origins`"),
        ] {
            assert_eq!(suggestion(written, &["auth", "origins"]), expected);
        }
    }

    #[test]
    fn what_is_shown_stays_on_one_line_and_short() {
        assert_eq!(shown("a\nb"), r"`a\nb`");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), SHOWN + 3);
    }
}
