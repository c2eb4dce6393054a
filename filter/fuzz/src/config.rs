//! A policy document as text.
//!
//! Input: the text. Whatever is refused is refused with at least one problem that says what is
//! wrong and what to do, and what is taken can be made ready.

use postern_config::{Config, Problems};
use postern_engine::Engine;

/// Runs one input.
pub fn run(input: &[u8]) {
    let told = |Problems(problems): Problems| {
        assert!(!problems.is_empty());
        for problem in problems {
            assert!(!problem.what.is_empty() && !problem.remedy.is_empty(), "{problem}");
        }
    };
    match Config::from_json(input) {
        Err(problems) => told(problems),
        Ok(config) => {
            let env = |name: &str| (!name.contains('X')).then(|| format!("{name:-<32}"));
            if let Err(problems) = Engine::compile(config, &env, [7; 16]) {
                told(problems);
            }
        }
    }
}
