//! The configurations that are shipped beside the pages.

use crate::pages::root;
use crate::postern::{assert_sound, check};

/// The manifest that is weak by intention.
const MEANT: &str = "e2e/istio/outbound.yaml";

#[test]
fn the_shipped_example_and_the_manifests_are_sound() {
    let folders = ["e2e/istio", "e2e/envoy-gateway"].map(|folder| root().join(folder));
    let listed = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("manifests"));
    let manifests: Vec<_> = listed.map(|entry| entry.expect("an entry").path()).collect();
    assert!(manifests.len() > 1);
    for file in manifests.iter().chain([&root().join("envoy.yaml")]) {
        let name = file.to_str().expect("text");
        if !name.ends_with(MEANT) {
            assert_sound(name, &check(&root(), &[name]));
        }
    }
}

#[test]
fn what_a_manifest_for_outgoing_sockets_is_warned_of_is_what_its_comment_says_is_meant() {
    let outcome = check(&root(), &[MEANT]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let told = outcome.stderr.lines().filter(|line| line.starts_with(MEANT));
    let codes: Vec<&str> = told.filter_map(|line| line.rsplit(' ').next()).collect();
    // What comes in goes unjudged, without TLS, and without a token.
    assert_eq!(codes, ["[PST0055]", "[PST0101]", "[PST0106]"], "{}", outcome.stderr);
}
