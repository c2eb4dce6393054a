//! The capabilities that a module needs if Envoy restricts what modules may do
//! (`capability_restriction_config`).

use wasmparser::{Parser, Payload};

/// Returns the functions that the module imports and exports, by name.
pub(crate) fn of(module: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload.expect("a module") {
            Payload::ImportSection(imports) => {
                let imports = imports.into_imports().map(|import| import.expect("an import"));
                names.extend(imports.map(|import| import.name.to_owned()));
            }
            Payload::ExportSection(exports) => {
                let exports = exports.into_iter().map(|export| export.expect("an export"));
                names.extend(exports.map(|export| export.name.to_owned()));
            }
            _ => {}
        }
    }
    names
}
