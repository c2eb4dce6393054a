//! The grammar of ECMA-262 §22.2.1 with the flag `u`, without what one pass cannot follow.
//!
//! As browsers do without that flag, `]`, `{` and `}` stand for themselves where nothing else can be meant, and so does a `-` beside
//! `\w` and the like in a class, and any ASCII punctuation behind a backslash.

use std::iter::Peekable;
use std::str::Chars;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, Look, Repetition};

use super::PatternError;

/// The most bytes of a pattern. What is made of them on the way to an automaton takes many times that.
const MAX_BYTES: usize = 64 << 10;
/// The deepest nesting of groups: each level is a call.
const MAX_DEPTH: u32 = 64;
/// The most that a repetition can count to. The size of the automaton is bounded besides.
const MAX_COUNT: u32 = 100_000;

const DIGIT: &[(char, char)] = &[('0', '9')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
/// White space and line terminators (ECMA-262 §12.2 and §12.3).
const SPACE: &[(char, char)] = &[
    ('\t', '\r'),
    (' ', ' '),
    ('\u{a0}', '\u{a0}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{2028}', '\u{2029}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{205f}'),
    ('\u{3000}', '\u{3000}'),
    ('\u{feff}', '\u{feff}'),
];
const LINE_TERMINATOR: &[(char, char)] = &[('\n', '\n'), ('\r', '\r'), ('\u{2028}', '\u{2029}')];

/// Parses a pattern.
pub(super) fn parse(text: &str) -> Result<Hir, PatternError> {
    if text.len() > MAX_BYTES {
        return Err(PatternError::Length);
    }
    let mut parser = Parser { rest: text.chars().peekable() };
    let hir = parser.alternatives(0)?;
    match parser.rest.next() {
        None => Ok(hir),
        Some(_) => Err(PatternError::Malformed("a `)` closes nothing")),
    }
}

struct Parser<'p> {
    rest: Peekable<Chars<'p>>,
}

/// What a term is: only what reads something can be repeated.
enum Term {
    Atom(Hir),
    Assertion(Hir),
}

/// What an escape stands for.
enum Escape {
    Char(char),
    Class(ClassUnicode),
}

impl Parser<'_> {
    fn take(&mut self, wanted: char) -> bool {
        self.rest.next_if_eq(&wanted).is_some()
    }

    fn alternatives(&mut self, depth: u32) -> Result<Hir, PatternError> {
        let mut all = vec![self.sequence(depth)?];
        while self.take('|') {
            all.push(self.sequence(depth)?);
        }
        Ok(Hir::alternation(all))
    }

    fn sequence(&mut self, depth: u32) -> Result<Hir, PatternError> {
        let mut terms = Vec::new();
        while let Some(next) = self.rest.next_if(|next| !matches!(next, '|' | ')')) {
            let term = match self.term(next, depth)? {
                Term::Assertion(hir) => hir,
                Term::Atom(hir) => self.repeated(hir)?,
            };
            terms.push(term);
        }
        Ok(Hir::concat(terms))
    }

    fn term(&mut self, first: char, depth: u32) -> Result<Term, PatternError> {
        Ok(match first {
            '^' => Term::Assertion(Hir::look(Look::Start)),
            '$' => Term::Assertion(Hir::look(Look::End)),
            '(' => Term::Atom(self.group(depth)?),
            '[' => Term::Atom(self.class()?),
            '.' => Term::Atom(class_of(negated(ranges(LINE_TERMINATOR)))),
            '*' | '+' | '?' => return Err(PatternError::Malformed("nothing is there to repeat")),
            '{' if self.count()?.is_some() => {
                return Err(PatternError::Malformed("nothing is there to repeat"));
            }
            '\\' => match self.rest.next_if(|next| matches!(next, 'b' | 'B')) {
                Some('b') => Term::Assertion(Hir::look(Look::WordAscii)),
                Some(_) => Term::Assertion(Hir::look(Look::WordAsciiNegate)),
                None => Term::Atom(match self.escape()? {
                    Escape::Char(found) => literal(found),
                    Escape::Class(class) => class_of(class),
                }),
            },
            other => Term::Atom(literal(other)),
        })
    }

    fn group(&mut self, depth: u32) -> Result<Hir, PatternError> {
        if depth >= MAX_DEPTH {
            return Err(PatternError::Depth);
        }
        if self.take('?') {
            match self.rest.next() {
                Some(':') => {}
                Some('<') => self.group_name()?,
                Some('=' | '!') => return Err(PatternError::LookAround),
                _ => return Err(PatternError::Malformed("a group begins with `(?` and no known sign")),
            }
        }
        let inner = self.alternatives(depth + 1)?;
        if self.take(')') { Ok(inner) } else { Err(PatternError::Malformed("a `(` is not closed")) }
    }

    fn group_name(&mut self) -> Result<(), PatternError> {
        if matches!(self.rest.peek(), Some('=' | '!')) {
            return Err(PatternError::LookAround);
        }
        let mut len = 0;
        for next in self.rest.by_ref() {
            match next {
                '>' if len > 0 => return Ok(()),
                next if next.is_alphanumeric() || matches!(next, '_' | '$') => len += 1,
                _ => break,
            }
        }
        Err(PatternError::Malformed("the name of a group is no name"))
    }

    /// The term with the quantifier that follows it, if one does.
    fn repeated(&mut self, hir: Hir) -> Result<Hir, PatternError> {
        let (min, max) = match self.rest.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                let mut ahead = Parser { rest: self.rest.clone() };
                ahead.rest.next();
                let Some(counts) = ahead.count()? else { return Ok(hir) };
                self.rest = ahead.rest;
                return self.repeat(hir, counts);
            }
            _ => return Ok(hir),
        };
        self.rest.next();
        self.repeat(hir, (min, max))
    }

    fn repeat(&mut self, hir: Hir, (min, max): (u32, Option<u32>)) -> Result<Hir, PatternError> {
        // Whether as few as possible are taken does not matter to whether there is a match.
        self.take('?');
        if matches!(self.rest.peek(), Some('*' | '+' | '?')) {
            return Err(PatternError::Malformed("a repetition is repeated"));
        }
        Ok(Hir::repetition(Repetition { min, max, greedy: true, sub: Box::new(hir) }))
    }

    /// The counts behind a `{`, up to their `}`. Nothing is read where there are none.
    fn count(&mut self) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        let mut ahead = Parser { rest: self.rest.clone() };
        let Some(min) = ahead.number()? else { return Ok(None) };
        let max = if ahead.take(',') { ahead.number()? } else { Some(min) };
        if !ahead.take('}') {
            return Ok(None);
        }
        self.rest = ahead.rest;
        match max {
            Some(max) if max < min => {
                Err(PatternError::Malformed("a repetition has its counts in the wrong order"))
            }
            max => Ok(Some((min, max))),
        }
    }

    fn number(&mut self) -> Result<Option<u32>, PatternError> {
        let mut number = None;
        while let Some(digit) = self.rest.peek().and_then(|next| next.to_digit(10)) {
            self.rest.next();
            let read = number.unwrap_or(0) * 10 + digit;
            if read > MAX_COUNT {
                return Err(PatternError::Size);
            }
            number = Some(read);
        }
        Ok(number)
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<Escape, PatternError> {
        let Some(first) = self.rest.next() else {
            return Err(PatternError::Malformed("a backslash is the last character"));
        };
        Ok(match first {
            'd' => Escape::Class(ranges(DIGIT)),
            'D' => Escape::Class(negated(ranges(DIGIT))),
            'w' => Escape::Class(ranges(WORD)),
            'W' => Escape::Class(negated(ranges(WORD))),
            's' => Escape::Class(ranges(SPACE)),
            'S' => Escape::Class(negated(ranges(SPACE))),
            'f' => Escape::Char('\u{c}'),
            'n' => Escape::Char('\n'),
            'r' => Escape::Char('\r'),
            't' => Escape::Char('\t'),
            'v' => Escape::Char('\u{b}'),
            '0' if !matches!(self.rest.peek(), Some('0'..='9')) => Escape::Char('\0'),
            'c' => Escape::Char(self.control()?),
            'x' => Escape::Char(self.code_point(2)?),
            'u' => Escape::Char(self.unicode()?),
            'p' | 'P' => return Err(PatternError::UnicodeProperty),
            'k' | '1'..='9' => return Err(PatternError::BackReference),
            other if other.is_ascii_punctuation() => Escape::Char(other),
            _ => {
                return Err(PatternError::Malformed(
                    "a backslash stands before a character without a meaning",
                ));
            }
        })
    }

    fn control(&mut self) -> Result<char, PatternError> {
        match self.rest.next_if(char::is_ascii_alphabetic) {
            Some(letter) => Ok(char::from_u32(u32::from(letter) % 32).unwrap_or_default()),
            None => Err(PatternError::Malformed("`\\c` has no letter")),
        }
    }

    /// What follows `\u`: a code point, in the UTF-16 of JavaScript also of two surrogates.
    fn unicode(&mut self) -> Result<char, PatternError> {
        const WRONG: PatternError = PatternError::Malformed("`\\u` names no character");
        if self.take('{') {
            let mut value = self.hex(1)?;
            while let Some(digit) = self.rest.peek().and_then(|next| next.to_digit(16)) {
                self.rest.next();
                value = value.checked_mul(16).ok_or(WRONG)? + digit;
            }
            return if self.take('}') { char::from_u32(value).ok_or(WRONG) } else { Err(WRONG) };
        }
        let high = self.hex(4)?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).ok_or(WRONG);
        }
        if !(self.take('\\') && self.take('u')) {
            return Err(WRONG);
        }
        let low = self.hex(4)?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(WRONG);
        }
        char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)).ok_or(WRONG)
    }

    fn code_point(&mut self, digits: usize) -> Result<char, PatternError> {
        char::from_u32(self.hex(digits)?).ok_or(PatternError::Malformed("an escape names no character"))
    }

    fn hex(&mut self, digits: usize) -> Result<u32, PatternError> {
        (0..digits).try_fold(0, |value, _| {
            let digit = self.rest.next().and_then(|next| next.to_digit(16));
            digit
                .map(|digit| value * 16 + digit)
                .ok_or(PatternError::Malformed("an escape has too few digits"))
        })
    }

    /// A class, behind its `[`.
    fn class(&mut self) -> Result<Hir, PatternError> {
        const OPEN: PatternError = PatternError::Malformed("a `[` is not closed");
        let is_negated = self.take('^');
        let mut class = Vec::new();
        loop {
            let first = match self.rest.next().ok_or(OPEN)? {
                ']' => break,
                next => self.class_atom(next)?,
            };
            if !self.take('-') {
                class.extend(first.into_ranges());
                continue;
            }
            if self.rest.peek() == Some(&']') {
                class.extend(first.into_ranges());
                class.push(ClassUnicodeRange::new('-', '-'));
                continue;
            }
            let next = self.rest.next().ok_or(OPEN)?;
            match (first, self.class_atom(next)?) {
                (Escape::Char(from), Escape::Char(to)) if from <= to => {
                    class.push(ClassUnicodeRange::new(from, to));
                }
                (Escape::Char(_), Escape::Char(_)) => {
                    return Err(PatternError::Malformed(
                        "a range of characters has its ends in the wrong order",
                    ));
                }
                // A class is no end of a range: the `-` stands for itself.
                (first, last) => {
                    class.extend(first.into_ranges());
                    class.push(ClassUnicodeRange::new('-', '-'));
                    class.extend(last.into_ranges());
                }
            }
        }
        // Put in order once: a class may have thousands of characters.
        let class = ClassUnicode::new(class);
        Ok(class_of(if is_negated { negated(class) } else { class }))
    }

    fn class_atom(&mut self, first: char) -> Result<Escape, PatternError> {
        match first {
            '\\' if self.take('b') => Ok(Escape::Char('\u{8}')),
            '\\' => self.escape(),
            other => Ok(Escape::Char(other)),
        }
    }
}

impl Escape {
    fn into_ranges(self) -> Vec<ClassUnicodeRange> {
        match self {
            Self::Char(found) => vec![ClassUnicodeRange::new(found, found)],
            Self::Class(class) => class.ranges().to_vec(),
        }
    }
}

fn ranges(of: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(of.iter().map(|(from, to)| ClassUnicodeRange::new(*from, *to)))
}

fn negated(mut class: ClassUnicode) -> ClassUnicode {
    class.negate();
    class
}

fn class_of(class: ClassUnicode) -> Hir {
    Hir::class(Class::Unicode(class))
}

fn literal(found: char) -> Hir {
    Hir::literal(found.encode_utf8(&mut [0; 4]).as_bytes())
}
