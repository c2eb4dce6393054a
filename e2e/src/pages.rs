//! The pages of this repository, and the blocks of code in them.

use std::path::{Path, PathBuf};

use crate::scene::bootstrap::workspace;

/// Returns the paths of all pages: README.md, and what is in `docs`, but for the pages of single findings.
pub fn all() -> Vec<String> {
    let entries = std::fs::read_dir(workspace().join("docs")).expect("pages");
    let paths = entries.map(|entry| Path::new("docs").join(entry.expect("an entry").file_name()));
    let pages = paths.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut pages: Vec<PathBuf> = pages.chain(["README.md".into()]).collect();
    pages.sort();
    pages.into_iter().map(|page| page.to_str().expect("text").to_owned()).collect()
}

/// Returns the blocks of a page that are marked as `kind`, such as `yaml envoy`.
pub fn blocks(page: &str, kind: &str) -> Vec<String> {
    let path = workspace().join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let begin = format!("{kind}\n");
    text.split("\n```").filter_map(|block| block.strip_prefix(&begin)).map(str::to_owned).collect()
}
