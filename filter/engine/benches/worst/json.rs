//! JSON texts of every kind, made of a few numbers that a search can change.

use crate::numbers::Numbers;

/// A text: parts, each so many times, within so many arrays or objects.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    parts: Vec<(usize, usize)>,
    nesting: usize,
    object: bool,
}

/// What may stand in an array or, with the name that it has, in an object.
const PARTS: [&str; 22] = [
    r#""a":1"#,
    r#""auth":1"#,
    r#""auth":{"token":1}"#,
    r#""auth":{"token":[]}"#,
    r#""auth":{"token":"x"}"#,
    r#""\u0061uth":{}"#,
    r#""\u0061":"\u0061\n\ud83d\ude00""#,
    r#""a":"\"\"\"\"\"\"""#,
    r#""é":"éè""#,
    r#""a":0.12345678901234567890123"#,
    r#""a":1e308"#,
    r#""a":-0.0e-0"#,
    r#""a":123456789012345678901234567890"#,
    r#""a":{}"#,
    r#""a":[[[[]]]]"#,
    r#""a":{"b":{"c":{}}}"#,
    r#""a":true"#,
    r#""a":null   "#,
    r#""":"""#,
    r#""":0"#,
    r#""auth":"token""#,
    r#""auth":{"token":0.5}"#,
];

const MOST: usize = 60_000;

impl Text {
    pub(crate) fn random(numbers: &mut Numbers) -> Self {
        let part = |numbers: &mut Numbers| (numbers.below(PARTS.len()), 1 << numbers.below(12));
        let parts = (0..=numbers.below(3)).map(|_| part(numbers)).collect();
        Self { parts, nesting: 1 << numbers.below(7), object: numbers.below(2) == 0 }
    }

    pub(crate) fn mutated(&self, numbers: &mut Numbers) -> Self {
        let mut next = self.clone();
        let fresh = Self::random(numbers);
        match numbers.below(5) {
            0 => next.nesting = fresh.nesting,
            1 => next.object = fresh.object,
            2 => next.parts.extend(fresh.parts.first()),
            3 if next.parts.len() > 1 => drop(next.parts.remove(numbers.below(next.parts.len()))),
            _ => {
                let at = numbers.below(next.parts.len());
                next.parts[at] = fresh.parts[0];
            }
        }
        next
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut inner = String::new();
        for (part, times) in &self.parts {
            for _ in 0..*times {
                if inner.len() > MOST {
                    break;
                }
                let part = PARTS[*part];
                let value = part.split_once(':').map_or(part, |(_, value)| value);
                inner.push_str(if self.object { part } else { value });
                inner.push(',');
            }
        }
        inner.pop();
        let (open, close) = if self.object { ("{\"auth\":", "}") } else { ("[", "]") };
        let inner = if self.object { format!("{{{inner}}}") } else { inner };
        format!("{}{inner}{}", open.repeat(self.nesting), close.repeat(self.nesting)).into_bytes()
    }
}
