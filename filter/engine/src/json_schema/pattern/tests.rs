use super::*;

fn is_match(pattern: &str, text: &str) -> bool {
    Pattern::compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).is_match(text)
}

#[test]
fn patterns_mean_what_they_mean_in_ecma_262() {
    // The pattern, what it matches, and what it does not.
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("", &["", "a"], &[]),
        ("b", &["b", "abc"], &["", "B"]),
        ("^b$", &["b"], &["ab", "b\n", "bb"]),
        ("^(a|bc|)$", &["a", "bc", ""], &["b", "abc"]),
        ("^a*b+c?$", &["b", "aabbc"], &["a", "bcc"]),
        ("^a*?b+?c??$", &["b", "aabbc"], &["a", "bcc"]),
        ("^a{2}b{1,}c{0,2}$", &["aab", "aabbcc"], &["ab", "aabccc"]),
        ("^(?:ab){2}$", &["abab"], &["ab"]),
        ("^(?<year>[0-9]{4})$", &["2026"], &["226"]),
        (".", &["a", "é", "\u{85}"], &["", "\n", "\r", "\u{2028}", "\u{2029}"]),
        (r"^\d\D$", &["1a", "1é"], &["11", "aa", "\u{661}a"]),
        (r"^\w\W$", &["_-", "aé"], &["aa", "é-"]),
        (r"^\s\S$", &[" a", "\u{feff}a", "\u{2028}a", "\u{b}é"], &["a ", "  ", "\u{180e}a"]),
        (r"\bword\b", &["a word.", "word"], &["words", "sword"]),
        (r"^a\Bb$", &["ab"], &["a b"]),
        ("^[abc]$", &["b"], &["d", ""]),
        ("^[^abc]$", &["d", "é", "\n"], &["a"]),
        ("^[a-c-]$", &["b", "-"], &["d"]),
        ("^[-a]$", &["-", "a"], &["b"]),
        (r"^[\w-.]$", &["a", "-", "."], &["+"]),
        (r"^[\w.]$", &["a", "."], &["-"]),
        (r"^[^\W_]$", &["a"], &["_", "-"]),
        (r"^[\b]$", &["\u{8}"], &["b"]),
        ("^[[&&--~~]$", &["[", "&", "~"], &["a"]),
        ("^[]$", &[], &["", "a"]),
        ("^[^]$", &["a", "\n"], &[""]),
        (r"^\x41\u0042\u{43}\cJ\0\t\v\f$", &["ABC\n\0\t\u{b}\u{c}"], &["abc"]),
        (r"^\ud83d\ude00$", &["😀"], &["😁"]),
        (r"^\/\.\-\^\$$", &["/.-^$"], &["/a-^$"]),
        ("^]{}$", &["]{}"], &["]"]),
        ("^a{,2}$", &["a{,2}"], &["aa"]),
        ("^\u{1f409}*$", &["", "🐉🐉"], &["🐲"]),
        ("^(^a)$", &["a"], &["b"]),
    ];
    for (pattern, matching, others) in cases {
        for text in *matching {
            assert!(is_match(pattern, text), "{pattern} matches {text:?}");
        }
        for text in *others {
            assert!(!is_match(pattern, text), "{pattern} does not match {text:?}");
        }
    }
}

#[test]
fn what_one_pass_cannot_follow_is_refused() {
    for (pattern, error) in [
        ("(?=a)", PatternError::LookAround),
        ("(?!a)", PatternError::LookAround),
        ("(?<=a)", PatternError::LookAround),
        ("(?<!a)", PatternError::LookAround),
        (r"(a)\1", PatternError::BackReference),
        (r"(?<n>a)\k<n>", PatternError::BackReference),
        (r"\p{L}", PatternError::UnicodeProperty),
        (r"[\P{Lu}]", PatternError::UnicodeProperty),
    ] {
        assert_eq!(Pattern::compile(pattern).err(), Some(error), "{pattern}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_and_never_read_as_another_one() {
    for pattern in [
        "(",
        ")",
        "(a",
        "a)",
        "[",
        "[a",
        "[a-",
        "*",
        "+a",
        "?",
        "{2}",
        "a|*",
        "a**",
        "a{2}{3}",
        "a+*",
        "^*",
        r"\",
        r"\a",
        r"\A",
        r"\z",
        r"\Q",
        r"\x4",
        r"\u12",
        r"\u{110000}",
        r"\u{}",
        r"\ud800",
        r"\ud800\u0041",
        r"\c1",
        r"\00",
        "[b-a]",
        "(?i)a",
        "(?P<a>b)",
        "(?<>a)",
        "(?<a",
        "(?",
        "a{2,1}",
    ] {
        assert!(matches!(Pattern::compile(pattern), Err(PatternError::Malformed(_))), "{pattern}");
    }
}

#[test]
fn patterns_that_would_grow_without_bound_are_refused() {
    let nested = format!("{}a{}", "(".repeat(1000), ")".repeat(1000));
    assert_eq!(Pattern::compile(&nested).err(), Some(PatternError::Depth));
    let counted = "((((a{1,100}){1,100}){1,100}){1,100})";
    for pattern in
        ["a{100001}", "a{99999999999999999999}", "^a{90000}$", "a.{30}b", "[a-z][0-9a-z]{25}$", counted]
    {
        assert_eq!(Pattern::compile(pattern).err(), Some(PatternError::Size), "{pattern}");
    }
}

#[test]
fn patterns_as_people_write_them_are_compiled() {
    for (pattern, text) in [
        (
            "^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
            "123e4567-e89b-12d3-a456-426614174000",
        ),
        (r"^[^@\s]+@[^@\s]+\.[^@\s]+$", "a@b.example"),
        ("^.{1,200}$", "hello, wörld"),
        (r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$", "2026-11-29T10:00:00Z"),
        ("^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$", "aGVsbG8="),
        (r"^\+?[1-9]\d{1,14}$", "+4915112345678"),
        ("^(join|leave|say)$", "say"),
        ("^x-", "x-trace"),
        ("(a+)+$", "aaaa"),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a.b.Cd"),
        ("(.*a){20}", &"ba".repeat(20)),
    ] {
        assert!(is_match(pattern, text), "{pattern}");
    }
}
