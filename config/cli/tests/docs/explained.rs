//! The example of docs/explain.md: the command says of the request under the policy what the page says.

use crate::pages::page;
use crate::postern::run_with;

#[test]
fn the_example_of_explain_is_what_the_command_says() {
    let page = page("docs/explain.md");
    let blocks = page.blocks();
    let of_kind = |kind: &str| &blocks.iter().find(|block| block.kind == kind).expect(kind).text;
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("policy.yaml"), of_kind("yaml policies"))
        .expect("a writable directory");
    let words = shlex::split(of_kind("sh")).expect("a command line");
    let words: Vec<&str> = words.iter().map(String::as_str).skip_while(|word| *word != "explain").collect();
    let outcome =
        run_with(directory.path(), &words, &[("POSTERN_EDGE_SECRET", "a secret of 32 bytes and some more")]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, *of_kind("text"));
}
