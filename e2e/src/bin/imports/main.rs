//! The check of what a built module asks of its host. A stray dependency that wants a clock, a file or a
//! thread the host does not have would otherwise show only when Envoy refuses to load the module. The module
//! must not name the place where it was built either: the same sources make the same bytes in every folder
//! and for everyone.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod elf;
mod wasm;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use postern_e2e::scene::bootstrap::workspace;

/// The beginning of every file that the loader of Linux loads.
const ELF: &[u8] = b"\x7fELF";

/// Checks what a module asks of its host, and that no folder of this machine is named in it. One of WebAssembly may import the
/// proxy-wasm ABI and the few WASI calls that Envoy offers; a dynamic module what Envoy 1.40 and the C library of Linux have.
#[derive(Debug, Parser)]
struct Arguments {
    /// The module.
    module: PathBuf,
}

fn main() -> ExitCode {
    let module = Arguments::parse().module;
    match std::fs::read(&module).map_err(|error| error.to_string()).and_then(|bytes| judge(&bytes)) {
        Ok(()) => {
            println!("imports: {} asks only for what Envoy offers", module.display());
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("imports: {} {problem}", module.display());
            ExitCode::FAILURE
        }
    }
}

/// Returns the faults of the module as an error, if it has any.
fn judge(module: &[u8]) -> Result<(), String> {
    let faults = if module.starts_with(ELF) { elf::faults(module) } else { wasm::faults(module) };
    let faults =
        faults.map_err(|error| format!("cannot be read: {}", error.lines().next().unwrap_or_default()))?;
    if !faults.is_empty() {
        return Err(format!("asks for what Envoy may not offer: {}", faults.join(", ")));
    }
    match folders().find(|folder| names(module, folder)) {
        Some(folder) => Err(format!("names the folder {folder}, in which it was built")),
        None => Ok(()),
    }
}

/// Returns the folders of this machine that a build could tell of.
fn folders() -> impl Iterator<Item = String> {
    let cargo = std::env::var("CARGO_HOME").ok();
    let home = std::env::var("HOME").ok().map(|home| format!("{home}/.cargo"));
    // The workspace itself is not looked for: it may be `/src`, which is a part of many a path.
    let ours = ["filter/src", "filter/engine/src", "config/src"]
        .map(|part| workspace().join(part).display().to_string());
    let registries = [cargo, home].into_iter().flatten().map(|cargo| format!("{cargo}/registry"));
    ours.into_iter().chain(registries)
}

/// Says whether a path in this folder is somewhere in the module.
fn names(module: &[u8], folder: &str) -> bool {
    let path = format!("{folder}/");
    module.windows(path.len()).any(|bytes| bytes == path.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_is_an_error() {
        assert!(judge(b"#!/bin/sh").is_err_and(|error| error.starts_with("cannot be read: ")));
        assert!(judge(b"\x7fELF and no more").is_err_and(|error| error.starts_with("cannot be read: ")));
    }

    #[test]
    fn a_module_that_tells_where_it_was_built_is_found() {
        let sound = wasm::module_importing("env", "proxy_log");
        assert_eq!(judge(&sound), Ok(()));
        let mut relative = sound.clone();
        relative.extend(b"\0\x11\x01pfilter/src/x.rs");
        assert_eq!(judge(&relative), Ok(()));
        let path = workspace().join("filter/src/lib.rs").display().to_string();
        let (name, mut telling) = ([1, b'p'], sound);
        telling.extend([0, u8::try_from(name.len() + path.len()).unwrap()]);
        telling.extend(name);
        telling.extend(path.as_bytes());
        assert!(judge(&telling).is_err_and(|error| error.contains(&workspace().display().to_string())));
    }
}
