//! Links, anchors and paths: each leads somewhere.

use std::path::Path;

use crate::pages::{FINDINGS, Page, page, pages, read, root};

/// The most lines of README.md, which says where to read on and no more.
const README_LINES: usize = 200;

/// The folders of the repository with which a path in a code span begins.
const FOLDERS: [&str; 5] = [".ci/", "config/", "docs/", "e2e/", "filter/"];

/// The folder from which rooms of the engine are named.
const ROOMS_FROM: &str = "filter/engine/src";

#[test]
fn every_link_leads_to_a_file_and_every_anchor_to_a_heading() {
    let mut followed = 0;
    for page in pages() {
        for link in links(&page) {
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) =
                link.split_once('#').map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
            let target = target(&page, path);
            assert!(root().join(&target).exists(), "{}: {link} leads nowhere", page.name);
            if let Some(anchor) = anchor {
                let is_there = crate::pages::page(&target).anchors().iter().any(|heading| heading == anchor);
                assert!(is_there, "{}: {link}: {target} has no such heading", page.name);
            }
            followed += 1;
        }
    }
    assert!(followed > 50, "{followed}");
}

/// Returns the path, from the root of the repository, of what `path` on `page` leads to.
fn target(page: &Page, path: &str) -> String {
    if path.is_empty() {
        return page.name.clone();
    }
    let folder = Path::new(&page.name).parent().expect("a folder");
    folder.join(path).to_str().expect("text").to_owned()
}

/// Returns the targets of the links in the prose, outside of code spans.
fn links(page: &Page) -> Vec<String> {
    let prose: String = page.prose().split('`').step_by(2).collect::<Vec<_>>().join("``");
    prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
}

#[test]
fn every_path_that_a_page_names_is_there() {
    let mut named = 0;
    for page in pages() {
        for span in page.spans().iter().filter(|span| is_path(span)) {
            let is_there = root().join(span).exists() || root().join(ROOMS_FROM).join(span).exists();
            assert!(is_there, "{}: `{span}` is not there", page.name);
            named += 1;
        }
    }
    assert!(named > 50, "{named}");
}

/// Says whether a code span is the path of one file or folder of this repository, or the name of a room.
fn is_path(span: &str) -> bool {
    let is_plain = span.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b));
    let is_folder = span.ends_with('/') && !span.starts_with(['/', '.']);
    is_plain && (is_folder || FOLDERS.iter().any(|folder| span.starts_with(folder)))
}

#[test]
fn the_readme_is_short_and_leads_to_every_page() {
    let readme = page("README.md");
    let lines = readme.text.lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines; more belongs into docs/");
    let links = links(&readme);
    // The table of the findings leads to the page of each.
    let is_led_to =
        |page: &&Page| page.name != "README.md" && !page.name.starts_with(&format!("{FINDINGS}/PST"));
    for page in pages().iter().filter(is_led_to) {
        assert!(links.contains(&page.name), "README.md does not lead to {}", page.name);
    }
}

#[test]
fn contributors_are_led_to_the_architecture_and_to_the_tests() {
    let text = read("CONTRIBUTING.md");
    for name in ["docs/architecture.md", "docs/testing.md", "docs/lexicon.md"] {
        assert!(text.contains(&format!("({name})")), "CONTRIBUTING.md does not lead to {name}");
    }
}
