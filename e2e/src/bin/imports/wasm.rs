//! The module of WebAssembly, and what it may import.

use wasmparser::{Import, Parser, Payload, TypeRef};

const WASI: &str = "wasi_snapshot_preview1";

/// The functions that Envoy's WASI offers and the Rust standard library needs, without files, sockets and
/// threads.
const WASI_CALLS: [&str; 6] =
    ["clock_time_get", "environ_get", "environ_sizes_get", "fd_write", "proc_exit", "random_get"];

/// Returns what the module asks of its host that is not on the list.
pub(crate) fn faults(module: &[u8]) -> Result<Vec<String>, String> {
    let mut strays = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
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

/// Returns a module with one type, `() -> ()`, and one function import of it.
#[cfg(test)]
pub(crate) fn module_importing(module: &str, name: &str) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_abi_and_the_listed_wasi_calls_are_expected() {
        for (module, name, expected) in [
            ("env", "proxy_log", true),
            (WASI, "fd_write", true),
            (WASI, "path_open", false),
            ("env", "LIMBS_are_zero", false),
            ("__wbindgen_placeholder__", "proxy_log", false),
        ] {
            let faults = faults(&module_importing(module, name)).expect("a sound module");
            assert_eq!(faults.is_empty(), expected, "{module}.{name}");
        }
    }
}
