//! The packer of the module as the image that Istio and Envoy Gateway pull: one layer with `/plugin.wasm` in
//! it, in the "compat" form of the Wasm image specification. The same module makes the same bytes: there is
//! no time and no machine in it.
//!
//! The archive is an OCI layout (`oci-archive:` for skopeo and podman) and one that `docker load` takes.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Packs a Wasm module as an image.
#[derive(Debug, Parser)]
struct Arguments {
    /// The module.
    module: PathBuf,
    /// The archive that is written.
    archive: PathBuf,
    /// The image's name in the archive.
    #[arg(long, default_value = "postern:latest")]
    name: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let packed = std::fs::read(&arguments.module)
        .map_err(|error| format!("{}: {error}", arguments.module.display()))
        .and_then(|module| {
            pack(&module, &arguments.name, &arguments.archive)
                .map_err(|error| format!("{}: {error}", arguments.archive.display()))
        });
    match packed {
        Ok(digest) => {
            println!("{} {digest}", arguments.archive.display());
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("image: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// A blob of the image, known by its digest.
struct Blob {
    bytes: Vec<u8>,
    digest: String,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        let digest = hex(&bytes);
        Self { bytes, digest }
    }

    fn json(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": format!("sha256:{}", self.digest), "size": self.bytes.len()})
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the archive and returns the digest of the manifest, which is the image's.
fn pack(module: &[u8], name: &str, archive: &Path) -> io::Result<String> {
    let files = tar(&[("plugin.wasm".to_owned(), module)])?;
    let difference = format!("sha256:{}", hex(&files));
    let mut compressed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    compressed.write_all(&files)?;
    let layer = Blob::new(compressed.finish()?);
    // The module is for Envoy's machine, whatever machine pulls it.
    let config = Blob::json(&json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [difference]},
    }));
    let manifest = Blob::json(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(CONFIG),
        "layers": [layer.descriptor(LAYER)],
        "annotations": {"module.wasm.image/variant": "compat"},
    }));
    let mut described = manifest.descriptor(MANIFEST);
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    if let Some(fields) = described.as_object_mut() {
        fields.insert("annotations".to_owned(), json!({"org.opencontainers.image.ref.name": tag}));
    }
    let index = json!({"schemaVersion": 2, "manifests": [described]}).to_string();
    let for_docker =
        json!([{"Config": config.path(), "RepoTags": [name], "Layers": [layer.path()]}]).to_string();
    let whole = tar(&[
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json".to_owned(), index.as_bytes()),
        ("manifest.json".to_owned(), for_docker.as_bytes()),
        (config.path(), &config.bytes),
        (layer.path(), &layer.bytes),
        (manifest.path(), &manifest.bytes),
    ])?;
    std::fs::write(archive, whole)?;
    Ok(format!("sha256:{}", manifest.digest))
}

/// Returns an archive of these files, of nobody and of no time.
fn tar(files: &[(String, &[u8])]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, name, *bytes)?;
    }
    archive.into_inner()
}
