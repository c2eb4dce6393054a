//! The configurations that are shipped beside the pages.

use crate::pages::root;
use crate::postern::{assert_sound, check};

#[test]
fn the_shipped_example_and_the_manifests_are_sound() {
    let listed = std::fs::read_dir(root().join("e2e/istio")).expect("manifests");
    let manifests: Vec<_> = listed.map(|entry| entry.expect("an entry").path()).collect();
    assert!(!manifests.is_empty());
    for file in manifests.iter().chain([&root().join("envoy.yaml")]) {
        let name = file.to_str().expect("text");
        assert_sound(name, &check(&root(), &[name]));
    }
}
