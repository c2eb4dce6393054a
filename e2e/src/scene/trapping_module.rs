//! Copies of a module that trap when a test wants them to.
//!
//! The shipped module has nothing that could make it trap; so the copy is made of its bytes, and one callback that
//! only a certain request causes has an `unreachable` for its body.

use std::path::{Path, PathBuf};

use crate::scene::module;
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

/// The callback for the trailers of a request; no other request causes it.
const REQUEST_TRAILERS: &str = "proxy_on_request_trailers";

const UNREACHABLE: u8 = 0x00;
const NO_OPERATION: u8 = 0x01;
const END: u8 = 0x0b;

/// Writes into `folder` a copy of `module` whose VM traps on the trailers of any request. The dynamic module has no VM, and
/// stays what it is.
pub fn on_trailers(module: &Path, folder: &Path) -> PathBuf {
    if module::is_native() {
        return module.to_owned();
    }
    let mut bytes = std::fs::read(module).expect("a module");
    let body = body_of(&bytes, REQUEST_TRAILERS);
    let [locals, first, rest @ .., last] = &mut bytes[body] else { panic!("the function is too short") };
    (*locals, *first, *last) = (0, UNREACHABLE, END);
    rest.fill(NO_OPERATION);
    let path = folder.join("trapping.wasm");
    std::fs::write(&path, bytes).expect("a writable folder");
    path
}

/// Returns the range of the body of the exported function `name` in the module.
fn body_of(module: &[u8], name: &str) -> std::ops::Range<usize> {
    let (mut imported, mut exported, mut bodies) = (0, None, Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.expect("a sound module") {
            Payload::ImportSection(imports) => {
                let imports = imports.into_imports().map(|import| import.expect("an import").ty);
                imported = imports.filter(|ty| matches!(ty, TypeRef::Func(_))).count();
            }
            Payload::ExportSection(exports) => {
                let exports = exports.into_iter().map(|export| export.expect("an export"));
                let mut functions = exports.filter(|export| export.kind == ExternalKind::Func);
                exported = functions.find(|export| export.name == name).map(|export| export.index);
            }
            Payload::CodeSectionEntry(body) => bodies.push(body.range()),
            _ => {}
        }
    }
    let index = usize::try_from(exported.expect("an exported function")).expect("an index");
    let body = bodies[index - imported].clone();
    let [start, end] = [body.start, body.end].map(|at| usize::try_from(at).expect("an offset"));
    start..end
}
