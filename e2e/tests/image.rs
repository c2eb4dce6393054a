//! The image of the module: the form that Istio and Envoy Gateway expect, and the same bytes every time.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output};

use flate2::read::GzDecoder;
use postern_e2e::Value;

fn pack(module: &Path, archive: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_image"));
    command.arg(module).arg(archive).output().expect("a packer")
}

fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().expect("an archive").map(|entry| {
        let mut entry = entry.expect("an entry");
        let header = entry.header();
        assert_eq!((header.mtime().ok(), header.uid().ok()), (Some(0), Some(0)), "a time or an owner");
        let name = entry.path().expect("a name").display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("a whole entry");
        (name, bytes)
    });
    entries.collect()
}

/// Returns the file that a descriptor of the OCI layout points to.
fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
    let digest = descriptor["digest"].as_str().expect("a digest").replace("sha256:", "blobs/sha256/");
    let bytes = &files[&digest];
    assert_eq!(descriptor["size"], bytes.len(), "{digest}");
    bytes
}

#[test]
fn the_same_module_makes_the_same_archive_and_another_module_another() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("a.wasm"), "a module").expect("a writable folder");
    std::fs::write(at("b.wasm"), "another module").expect("a writable folder");
    let archive = |module: &str, archive: &str| {
        let output = pack(&at(module), &at(archive));
        assert!(output.status.success(), "{output:?}");
        std::fs::read(at(archive)).expect("an archive")
    };
    let first = archive("a.wasm", "1.tar");
    assert!(first == archive("a.wasm", "2.tar"), "two archives of one module differ");
    assert!(first != archive("b.wasm", "3.tar"), "archives of two modules do not differ");
}

#[test]
fn it_is_one_compressed_layer_with_the_module_in_the_compat_form() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (module, archive) = (folder.path().join("a.wasm"), folder.path().join("image.tar"));
    std::fs::write(&module, "a module").expect("a writable folder");
    let output = pack(&module, &archive);
    let files = files(&std::fs::read(&archive).expect("an archive"));
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");

    let described = parse(&files["index.json"])["manifests"][0].clone();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains(described["digest"].as_str().expect("a digest")), "{printed}");
    let manifest = parse(blob(&files, &described));
    assert_eq!(manifest["annotations"]["module.wasm.image/variant"], "compat");
    let layers = manifest["layers"].as_array().expect("layers");
    assert_eq!(layers.len(), 1);
    assert_eq!(layers[0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let mut layer = Vec::new();
    GzDecoder::new(blob(&files, &layers[0])).read_to_end(&mut layer).expect("a compressed layer");
    let inside = self::files(&layer);
    assert_eq!(inside.into_iter().collect::<Vec<_>>(), [("plugin.wasm".to_owned(), b"a module".to_vec())]);
    assert_eq!(
        parse(blob(&files, &manifest["config"]))["rootfs"]["diff_ids"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn a_module_that_is_not_there_is_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("image.tar");
    let output = pack(&folder.path().join("nowhere.wasm"), &archive);
    assert!(!output.status.success() && !archive.exists());
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        printed.starts_with("image: ") && printed.contains("nowhere.wasm") && printed.lines().count() == 1,
        "{printed}"
    );
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("the docker command");
    assert!(output.status.success(), "docker {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
#[ignore = "needs a Docker engine; `make e2e-compose` runs it"]
fn an_engine_loads_it_and_finds_the_module_in_its_root() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("a.wasm"), "a module").expect("a writable folder");
    let name = format!("postern-e2e-image:{}", std::process::id());
    let packed = Command::new(env!("CARGO_BIN_EXE_image"))
        .args([&at("a.wasm"), &at("image.tar"), "--name", &name])
        .output();
    assert!(packed.expect("a packer").status.success());
    docker(&["load", "--input", &at("image.tar")]);
    let container = docker(&["create", &name, "nothing"]);
    docker(&["cp", &format!("{container}:/plugin.wasm"), &at("found.wasm")]);
    docker(&["rm", &container]);
    docker(&["rmi", &name]);
    assert_eq!(std::fs::read(at("found.wasm")).expect("a module"), b"a module");
}
