//! The check of the licence of every dependency, on all platforms and with all features, against the list in
//! `deny.toml`.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

use std::process::ExitCode;

use cargo_metadata::{CargoOpt, MetadataCommand, Package};
use postern_e2e::scene::bootstrap::workspace;
use spdx::{Expression, LicenseReq, ParseMode};

fn main() -> ExitCode {
    match check() {
        Ok(problems) if problems.is_empty() => {
            println!("licences: every dependency is under a licence that deny.toml allows");
            ExitCode::SUCCESS
        }
        Ok(problems) => {
            for problem in problems {
                eprintln!("licences: {problem}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("licences: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns one line for each package that may not be used.
fn check() -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let root = workspace();
    let deny: toml::Table = std::fs::read_to_string(root.join("deny.toml"))?.parse()?;
    let allowed =
        deny.get("licenses").and_then(|licenses| licenses.get("allow")).and_then(toml::Value::as_array);
    let allowed: Vec<&str> =
        allowed.ok_or("deny.toml has no licenses.allow")?.iter().flat_map(toml::Value::as_str).collect();

    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .other_options(vec!["--locked".to_owned()])
        .exec()?;
    Ok(metadata.packages.iter().filter_map(|package| problem_of(package, &allowed)).collect())
}

fn problem_of(package: &Package, allowed: &[&str]) -> Option<String> {
    let name = format!("{} {}", package.name, package.version);
    let Some(text) = &package.license else {
        return Some(format!("{name} names no licence"));
    };
    match Expression::parse_mode(text, ParseMode::LAX) {
        Ok(expression) if expression.evaluate(|licence| is_allowed(licence, allowed)) => None,
        Ok(_) => Some(format!("{name} is under {text}, which deny.toml does not allow")),
        Err(error) => {
            Some(format!("{name} is under {text:?}, which is no SPDX expression: {}", error.reason))
        }
    }
}

/// Says whether a licence is allowed. Exceptions only widen what a licence permits, so it is allowed with any
/// of them.
fn is_allowed(licence: &LicenseReq, allowed: &[&str]) -> bool {
    licence.license.id().is_some_and(|id| allowed.contains(&id.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(expression: &str) -> bool {
        let expression = Expression::parse_mode(expression, ParseMode::LAX).expect("an SPDX expression");
        expression.evaluate(|licence| is_allowed(licence, &["MIT", "Apache-2.0"]))
    }

    #[test]
    fn one_side_of_an_or_and_both_sides_of_an_and_must_be_allowed() {
        assert!(passes("MIT"));
        assert!(passes("GPL-3.0-only OR MIT"));
        assert!(passes("MIT/Apache-2.0"));
        assert!(passes("Apache-2.0 WITH LLVM-exception"));
        assert!(!passes("GPL-3.0-only AND MIT"));
        assert!(!passes("GPL-3.0-only"));
    }
}
