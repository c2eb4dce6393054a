//! Every manifest as a configuration of Envoy.

use postern_e2e::Bootstrap;
use postern_e2e::mesh::{self, Authority, Credentials, Manifests};
use postern_e2e::scene::bootstrap::workspace;
use postern_e2e::scene::envoy;
use postern_e2e::tls::{Certificate, LOCAL};

/// A module that loads at once and takes any policy: policies are not what is tested where it is.
const IDLE_MODULE: &str = include_str!("../../modules/empty.wat");

#[tokio::test]
async fn envoy_loads_what_istio_makes_of_every_manifest_in_the_repository_and_on_the_pages() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let module = folder.path().join("idle.wasm");
    std::fs::write(&module, wat::parse_str(IDLE_MODULE).expect("a module")).expect("a writable folder");
    let entries = std::fs::read_dir(workspace().join("e2e/istio")).expect("manifests");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
    let pages = ["README.md", "docs/istio.md"].into_iter().flat_map(Manifests::of_page);
    let files: Vec<Manifests> = names.map(|name| Manifests::shipped(&name)).chain(pages).collect();
    let authority = Authority::new();
    let (credentials, peer) =
        (Credentials::fixed(authority.identity("bot"), &authority), authority.identity("chat").name);
    let mut loaded = 0;
    for (manifests, (name, context)) in files
        .iter()
        .flat_map(|manifests| manifests.plugins().into_iter().map(move |plugin| (manifests, plugin)))
    {
        let mut bootstrap = Bootstrap::shipped().expect("the shipped file");
        let (chain, key) = Certificate::self_signed(&LOCAL).write(folder.path()).expect("a writable folder");
        bootstrap.certificate(&chain, &key);
        match context {
            "GATEWAY" => mesh::gateway(bootstrap.value_mut(), &credentials, &peer),
            "SIDECAR_OUTBOUND" => mesh::outbound(bootstrap.value_mut(), &credentials, &peer),
            _ => mesh::inbound(bootstrap.value_mut(), &credentials),
        }
        manifests.apply(bootstrap.value_mut(), &name, &module, context);
        let config = folder.path().join(format!("{loaded}.json"));
        std::fs::write(&config, bootstrap.render()).expect("a writable folder");
        envoy::validate(&config).await.unwrap_or_else(|error| panic!("{name} in {context}: {error}"));
        loaded += 1;
    }
    assert!(loaded > 10, "{loaded}");
}
