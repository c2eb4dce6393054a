//! The language whole, by files: `tests/fixtures` has one for each way to be right or wrong.
//!
//! The lines of a fixture that begin with `#! ` are the problems it has, all of them and in order.

use std::fs;
use std::path::{Path as FilePath, PathBuf};

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

use crate::config::Config;
use crate::problem::Problems;

mod fixtures;
mod overlay;
mod whole;

/// Returns a YAML document as the filter receives it.
pub(crate) fn document(yaml: &str) -> Value {
    let documents = Yaml::load_from_str(yaml).expect("a fixture is YAML");
    json(documents.first().expect("a fixture has a document"))
}

fn json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => Value::from(*value),
        Yaml::Value(Scalar::Integer(value)) => Value::from(*value),
        Yaml::Value(Scalar::FloatingPoint(value)) => Value::from(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => Value::from(value.as_ref()),
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(members) => Value::Object(
            members
                .iter()
                .map(|(key, member)| (key.as_str().expect("keys are strings").to_owned(), json(member)))
                .collect::<Map<_, _>>(),
        ),
        other => panic!("no fixture has {other:?}"),
    }
}

/// Returns the YAML files in a directory of this crate, in order; there are some.
pub(crate) fn files(directory: &str) -> Vec<(PathBuf, String)> {
    let directory = FilePath::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", directory.display());
    files
}
