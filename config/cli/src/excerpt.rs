//! The line of a finding as it is shown: without secrets, without what a terminal would act on, and not too long.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::finding::{Finding, Severity};
use crate::yaml::{Hidden, Position, may_have_secrets};

/// The most characters that are shown before the place and behind it.
const BEFORE: usize = 60;
const BEHIND: usize = 80;

/// The characters on either side of the place that are looked at: a key or a token that begins before them is still one.
const AROUND: usize = 4096;

/// The longest line of which anything is shown, in bytes.
const LONGEST_LINE: usize = 256 << 10;

/// The characters that stand for a secret.
const MASK: &str = "***";

/// The characters that stand for the rest of a long line.
const CUT: char = '…';

/// The shortest run of characters that is taken for a key or a token, whatever it stands under.
const SHORTEST_TOKEN: usize = 24;

/// The indent below the line of the finding.
const INDENT: &str = "    ";

/// The lines of a file.
#[derive(Debug)]
pub(crate) struct Lines<'t> {
    lines: Vec<&'t str>,
    hidden: &'t [Hidden],
}

/// One character, with its column in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    character: char,
    column: usize,
    is_masked: bool,
}

impl<'t> Lines<'t> {
    /// Parts a text into its lines. `hidden` are the places of its secrets.
    pub(crate) fn of(text: &'t str, hidden: &'t [Hidden]) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // As the parser counts lines: it takes a carriage return alone for the end of one too.
        let ended = text.split_inclusive(['\n', '\r']);
        let mut lines: Vec<&str> = Vec::new();
        let mut is_returned = false;
        for line in ended {
            if !(is_returned && line == "\n") {
                lines.push(line.trim_end_matches(['\n', '\r']));
            }
            is_returned = line.ends_with('\r');
        }
        Self { lines, hidden }
    }

    /// Returns the column behind the key or value at a place.
    pub(crate) fn end_of(&self, at: Position) -> usize {
        let line = self.line(at.line).unwrap_or_default();
        let extent = line.chars().skip(at.column.saturating_sub(1));
        at.column.saturating_add(extent_of(extent).max(1))
    }

    /// Returns the line of a finding with its place marked, each line indented; nothing where the line has nothing.
    pub(crate) fn excerpt(&self, finding: &Finding, renderer: &Renderer) -> String {
        let at = finding.position;
        let Some(line) = self.line(at.line).filter(|line| !line.trim().is_empty()) else {
            return String::new();
        };
        let (shown, marked) = cut(&self.masked(line, at), at.column);
        let level = match finding.severity() {
            Severity::Problem => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mark = AnnotationKind::Primary.span(marked);
        let snippet = Snippet::source(shown).line_start(at.line).fold(false).annotation(mark);
        let rendered = renderer.render(&[Group::with_level(level).element(snippet)]);
        rendered.lines().map(|line| format!("{INDENT}{line}\n")).collect()
    }

    fn line(&self, number: usize) -> Option<&'t str> {
        self.lines.get(number.checked_sub(1)?).copied().filter(|line| line.len() <= LONGEST_LINE)
    }

    /// Returns the characters of a line around a place, with [`MASK`] in the place of each secret.
    fn masked(&self, line: &str, at: Position) -> Vec<Shown> {
        let first = at.column.saturating_sub(AROUND);
        let part: String = line.chars().skip(first).take(AROUND.saturating_mul(2)).collect();
        let mut is_hidden: Vec<bool> = part.chars().map(|_| false).collect();
        for Hidden { begin, end } in self.hidden.iter().filter(|hidden| hidden.covers(at.line)) {
            let index = |column: usize| column.saturating_sub(1).saturating_sub(first);
            let from = if begin.line == at.line { index(begin.column) } else { 0 };
            let to = if end.line == at.line { index(end.column) } else { is_hidden.len() };
            is_hidden.iter_mut().take(to).skip(from).for_each(|is_hidden| *is_hidden = true);
        }
        hide_tokens(&part, &mut is_hidden);
        hide_comment(&part, &mut is_hidden);
        let mut shown: Vec<Shown> = Vec::new();
        for (column, (character, is_hidden)) in (first.saturating_add(1)..).zip(part.chars().zip(is_hidden)) {
            if !is_hidden {
                // A tab is shown as the blanks that the renderer makes of it.
                let is_unshown = character.is_control() && character != '\t';
                let character = if is_unshown { '\u{fffd}' } else { character };
                shown.push(Shown { character, column, is_masked: false });
            } else if shown.last().is_none_or(|last| !last.is_masked) {
                shown.extend(MASK.chars().map(|character| Shown { character, column, is_masked: true }));
            }
        }
        shown
    }
}

impl Hidden {
    fn covers(&self, line: usize) -> bool {
        (self.begin.line..=self.end.line).contains(&line)
    }
}

/// Hides what looks like a key or a token, wherever it stands.
fn hide_tokens(line: &str, is_hidden: &mut [bool]) {
    let characters: Vec<char> = line.chars().collect();
    let is_part = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-');
    let mut begin = 0;
    for run in characters.split(|c| !is_part(c)) {
        let has = |test: fn(&char) -> bool| run.iter().any(test);
        let is_token = run.len() >= SHORTEST_TOKEN
            && has(char::is_ascii_digit)
            && (has(char::is_ascii_uppercase) || run.iter().all(char::is_ascii_hexdigit));
        if is_token {
            is_hidden.iter_mut().skip(begin).take(run.len()).for_each(|is_hidden| *is_hidden = true);
        }
        begin = begin.saturating_add(run.len()).saturating_add(1);
    }
}

/// Hides a comment that may have secrets: there they stand under no key.
fn hide_comment(line: &str, is_hidden: &mut [bool]) {
    let mut before = ' ';
    for (index, (at, c)) in line.char_indices().enumerate() {
        if c == '#' && before.is_whitespace() {
            let is_secret = line.get(at..).is_some_and(may_have_secrets);
            is_hidden.iter_mut().skip(index).for_each(|is_hidden| *is_hidden |= is_secret);
            return;
        }
        before = c;
    }
}

/// Returns the part of a line around `column`, and the bytes of it that are marked.
fn cut(line: &[Shown], column: usize) -> (String, Range<usize>) {
    let place = line.iter().rposition(|shown| shown.column <= column).unwrap_or_default();
    // All of a mask is marked.
    let place = match line.get(place) {
        Some(shown) if shown.is_masked => {
            line.iter().position(|other| other.column == shown.column).unwrap_or(place)
        }
        _ => place,
    };
    let first = place.saturating_sub(BEFORE);
    let mut text = String::new();
    text.extend((first > 0).then_some(CUT));
    let characters = |shown: &[Shown]| shown.iter().map(|shown| shown.character).collect::<String>();
    text.push_str(&characters(line.get(first..place).unwrap_or_default()));
    let begin = text.len();
    let behind: Vec<Shown> = line.iter().skip(place).take(BEHIND).copied().collect();
    let extent = match behind.first() {
        Some(shown) if shown.is_masked => MASK.len(),
        _ => extent_of(behind.iter().map(|shown| shown.character)),
    };
    let end = begin.saturating_add(characters(behind.get(..extent).unwrap_or_default()).len());
    text.push_str(&characters(&behind));
    text.extend((line.len() > place.saturating_add(behind.len())).then_some(CUT));
    (text, begin..end)
}

/// Returns the number of characters of the key or value that begins a text; of a list or an object its first one.
fn extent_of(characters: impl Iterator<Item = char>) -> usize {
    let mut characters = characters.peekable();
    let mut extent = 0_usize;
    match characters.next() {
        None => return 0,
        Some('[' | '{' | '|' | '>' | '-') => return 1,
        Some(quote @ ('"' | '\'')) => {
            let mut is_escaped = false;
            for c in characters {
                extent = extent.saturating_add(1);
                if c == quote && !is_escaped {
                    break;
                }
                is_escaped = c == '\\' && !is_escaped && quote == '"';
            }
            return extent.saturating_add(1);
        }
        Some(_) => {}
    }
    let mut blanks = 0_usize;
    while let Some(c) = characters.next() {
        let ends_key = c == ':' && characters.peek().is_none_or(|next| next.is_whitespace());
        if ends_key || matches!(c, ',' | ']' | '}') || (c == '#' && blanks > 0) {
            break;
        }
        if c.is_whitespace() {
            blanks = blanks.saturating_add(1);
        } else {
            extent = extent.saturating_add(blanks).saturating_add(1);
            blanks = 0;
        }
    }
    extent.saturating_add(1)
}

#[cfg(test)]
mod tests;
