//! Every manifest as a configuration of Envoy, and every configuration of Envoy on the pages.

use std::path::{Path, PathBuf};

use postern_e2e::mesh::{self, Authority, Credentials, Manifests};
use postern_e2e::scene::bootstrap::workspace;
use postern_e2e::scene::{envoy, module};
use postern_e2e::tls::{Certificate, LOCAL};
use postern_e2e::{Bootstrap, Value, json, pages};

/// A module that loads at once and takes any policy: policies are not what is tested where it is.
const IDLE_MODULE: &str = include_str!("../../modules/empty.wat");

/// The place of the filters of a connection manager in the shipped file.
const NETWORK_FILTERS: &str = "/static_resources/listeners/0/filter_chains/0/filters";

fn idle_module(folder: &Path) -> PathBuf {
    let module = folder.join("idle.wasm");
    std::fs::write(&module, wat::parse_str(IDLE_MODULE).expect("a module")).expect("a writable folder");
    module
}

/// Writes a bootstrap in YAML, or JSON, which is YAML too, and has Envoy load it.
async fn load(bootstrap: &str, folder: &Path, name: &str) {
    let config = folder.join("bootstrap.yaml");
    std::fs::write(&config, bootstrap).expect("a writable folder");
    envoy::validate(&config).await.unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Returns the shipped file with a certificate in `folder`.
fn shipped(folder: &Path) -> Bootstrap {
    let mut bootstrap = Bootstrap::shipped().expect("the shipped file");
    let (chain, key) = Certificate::self_signed(&LOCAL).write(folder).expect("a writable folder");
    bootstrap.certificate(&chain, &key);
    bootstrap
}

/// Puts a part of a configuration, as a page has it, where it belongs in a whole one.
fn framed(part: Value, bootstrap: &mut Value, folder: &Path) {
    let filters = bootstrap.pointer_mut(NETWORK_FILTERS).expect("a list of filters");
    if part["name"] == "envoy.filters.network.http_connection_manager" {
        filters[0] = part;
        return;
    }
    let manager = &mut filters[0]["typed_config"];
    if let Some(own) = part["http_filters"].as_array() {
        // The file that it names is there, as it is for an operator.
        std::fs::write(folder.join("postern.yaml"), "").expect("a writable folder");
        manager["http_filters"].as_array_mut().expect("a list of filters").splice(..1, own.clone());
        bootstrap["node"] = json!({"id": "edge", "cluster": "edge"});
        return;
    }
    let filter = &part["resources"][0];
    assert!(filter["typed_config"].is_object(), "no frame is known here for {part}");
    manager["http_filters"][0] = json!({"name": filter["name"], "typed_config": filter["typed_config"]});
}

/// Returns every block of Envoy's configuration, with its page.
fn all_blocks() -> impl Iterator<Item = (String, String)> {
    let of_page =
        |page: String| pages::blocks(&page, "yaml envoy").into_iter().map(move |block| (page.clone(), block));
    pages::all().into_iter().flat_map(of_page)
}

#[tokio::test]
async fn envoy_loads_every_configuration_of_envoy_on_the_pages() {
    if module::lacks("configurations of WebAssembly") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let module = idle_module(folder.path());
    let mut loaded = 0;
    for (page, block) in all_blocks() {
        let here = block
            .replace("/etc/envoy/postern.wasm", &module.display().to_string())
            .replace("/etc/envoy", &folder.path().display().to_string());
        let part: Value =
            serde_saphyr::from_str(&here).unwrap_or_else(|error| panic!("{page}: {error}\n{block}"));
        // Its certificate is in the folder from here on.
        let mut bootstrap = shipped(folder.path());
        let whole = if part["static_resources"].is_object() {
            // Envoy reads numbers in octal, which are decimal in JSON.
            here
        } else {
            bootstrap.wasm(&module);
            framed(part, bootstrap.value_mut(), folder.path());
            bootstrap.render()
        };
        load(&whole, folder.path(), &format!("{page}:\n{block}")).await;
        loaded += 1;
    }
    assert!(loaded > 3, "{loaded}");
}

#[tokio::test]
async fn envoy_loads_what_istio_makes_of_every_manifest_in_the_repository_and_on_the_pages() {
    if module::lacks("configurations of WebAssembly") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let module = idle_module(folder.path());
    let entries = std::fs::read_dir(workspace().join("e2e/istio")).expect("manifests");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
    let all = pages::all();
    let pages = all.iter().flat_map(|page| Manifests::of_page(page));
    let files: Vec<Manifests> = names.map(|name| Manifests::shipped(&name)).chain(pages).collect();
    let authority = Authority::new();
    let (credentials, peer) =
        (Credentials::fixed(authority.identity("bot"), &authority), authority.identity("chat").name);
    let mut loaded = 0;
    for (manifests, (name, context)) in files
        .iter()
        .flat_map(|manifests| manifests.plugins().into_iter().map(move |plugin| (manifests, plugin)))
    {
        let mut bootstrap = shipped(folder.path());
        match context {
            "GATEWAY" => mesh::gateway(bootstrap.value_mut(), &credentials, &peer),
            "SIDECAR_OUTBOUND" => mesh::outbound(bootstrap.value_mut(), &credentials, &peer),
            _ => mesh::inbound(bootstrap.value_mut(), &credentials),
        }
        manifests.apply(bootstrap.value_mut(), &name, &module, context);
        load(&bootstrap.render(), folder.path(), &format!("{name} in {context}")).await;
        loaded += 1;
    }
    assert!(loaded > 10, "{loaded}");
}
