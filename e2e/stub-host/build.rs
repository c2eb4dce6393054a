//! Exports the callbacks of the program to the library that it loads, as Envoy exports its own.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=-rdynamic");
}
