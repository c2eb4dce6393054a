//! The check of what the built module asks of its host. A stray dependency that wants a clock, a file or a
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

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use postern_e2e::scene::bootstrap::workspace;
use wasmparser::{Import, Payload, TypeRef};

const WASI: &str = "wasi_snapshot_preview1";

/// The functions that Envoy's WASI offers and the Rust standard library needs, without files, sockets and
/// threads.
const WASI_CALLS: [&str; 6] =
    ["clock_time_get", "environ_get", "environ_sizes_get", "fd_write", "proc_exit", "random_get"];

/// Checks that a module imports nothing but the proxy-wasm ABI and the few WASI calls that Envoy offers, and that no
/// folder of this machine is named in it.
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
    let strays = strays(module)
        .map_err(|error| format!("cannot be read: {}", error.lines().next().unwrap_or_default()))?;
    if !strays.is_empty() {
        return Err(format!("asks for what Envoy may not offer: {}", strays.join(", ")));
    }
    let cargo = std::env::var("CARGO_HOME").ok();
    let home = std::env::var("HOME").ok().map(|home| format!("{home}/.cargo"));
    // The workspace itself is not looked for: it may be `/src`, which is a part of many a path.
    let ours = ["filter/src", "config/src"].map(|part| workspace().join(part).display().to_string());
    let registries = [cargo, home].into_iter().flatten().map(|cargo| format!("{cargo}/registry"));
    let mut folders = ours.into_iter().chain(registries);
    match folders.find(|folder| names(module, folder)) {
        Some(folder) => Err(format!("names the folder {folder}, in which it was built")),
        None => Ok(()),
    }
}

/// Says whether a path in this folder is somewhere in the module.
fn names(module: &[u8], folder: &str) -> bool {
    let path = format!("{folder}/");
    module.windows(path.len()).any(|bytes| bytes == path.as_bytes())
}

/// Returns the imports that are not on the list.
fn strays(module: &[u8]) -> Result<Vec<String>, String> {
    let mut strays = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        if let Payload::ImportSection(imports) = payload.map_err(|error| error.to_string())? {
            for import in imports.into_imports() {
                let import = import.map_err(|error| error.to_string())?;
                if !is_expected(&import) {
                    strays.push(format!("{}.{}", import.module, import.name));
                }
            }
        }
    }
    Ok(strays)
}

fn is_expected(import: &Import<'_>) -> bool {
    let is_function = matches!(import.ty, TypeRef::Func(_));
    let is_ours = match import.module {
        "env" => import.name.starts_with("proxy_"),
        WASI => WASI_CALLS.contains(&import.name),
        _ => false,
    };
    is_function && is_ours
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a module with one type, `() -> ()`, and one function import of it.
    fn module_importing(module: &str, name: &str) -> Vec<u8> {
        let mut import = vec![1, u8::try_from(module.len()).unwrap()];
        import.extend(module.as_bytes());
        import.push(u8::try_from(name.len()).unwrap());
        import.extend(name.as_bytes());
        import.extend([0, 0]);
        let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02".to_vec();
        bytes.push(u8::try_from(import.len()).unwrap());
        bytes.extend(import);
        bytes
    }

    #[test]
    fn only_the_abi_and_the_listed_wasi_calls_are_expected() {
        for (module, name, expected) in [
            ("env", "proxy_log", true),
            (WASI, "fd_write", true),
            (WASI, "path_open", false),
            ("env", "LIMBS_are_zero", false),
            ("__wbindgen_placeholder__", "proxy_log", false),
        ] {
            let strays = strays(&module_importing(module, name)).expect("a sound module");
            assert_eq!(strays.is_empty(), expected, "{module}.{name}");
        }
    }

    #[test]
    fn what_is_no_module_is_an_error() {
        assert!(judge(b"#!/bin/sh").is_err_and(|error| error.starts_with("cannot be read: ")));
    }

    #[test]
    fn a_module_that_tells_where_it_was_built_is_found() {
        let sound = module_importing("env", "proxy_log");
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
