//! The files of the suite, as they are.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// A schema, and values that are valid by it or are not.
#[derive(Deserialize)]
pub(crate) struct Group {
    #[serde(skip)]
    pub(crate) file: String,
    #[serde(rename = "description")]
    pub(crate) name: String,
    pub(crate) schema: Value,
    #[serde(rename = "tests")]
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    #[serde(rename = "description")]
    pub(crate) name: String,
    pub(crate) data: Value,
    pub(crate) valid: bool,
}

/// Returns the groups of all files in the folder itself: those in folders below are not required.
pub(crate) fn read(folder: &Path) -> Vec<Group> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let of_file = |path: std::path::PathBuf| {
        let text = std::fs::read(&path).unwrap();
        let groups: Vec<Group> = serde_json::from_slice(&text).unwrap();
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        groups.into_iter().map(move |group| Group { file: file.clone(), ..group })
    };
    paths.into_iter().flat_map(of_file).collect()
}
