//! README.md, CHANGELOG.md, CONTRIBUTING.md and docs/ against what they describe: every configuration in them is judged by
//! the built binary, their tables are those of the code, and what they name is there.
//!
//! Pages are found by listing the folder, so that a new one is covered by itself.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail anywhere")]

mod asvs;
mod blocks;
mod commands;
mod explained;
mod keys;
mod links;
mod manifests;
mod metrics;
mod pages;
mod postern;
mod reasons;
mod schema;
mod shipped;
