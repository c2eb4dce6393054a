//! The configurations that are shipped beside the pages.

use crate::pages::root;
use crate::postern::{assert_sound, check};

#[test]
fn the_shipped_example_and_the_manifests_are_sound() {
    let folders = ["e2e/istio", "e2e/envoy-gateway"].map(|folder| root().join(folder));
    let listed = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("manifests"));
    let manifests: Vec<_> = listed.map(|entry| entry.expect("an entry").path()).collect();
    assert!(manifests.len() > 1);
    for file in manifests.iter().chain([&root().join("envoy.yaml")]) {
        let name = file.to_str().expect("text");
        assert_sound(name, &check(&root(), &[name]));
    }
}
