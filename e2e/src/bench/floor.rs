//! The filters that decide nothing, as the floor under what Postern costs.

use std::io::Write as _;

use tempfile::NamedTempFile;

use crate::BenchError;

const MODULES: [(&str, &str); 2] = [
    ("empty", include_str!("../../modules/empty.wat")),
    ("reader", include_str!("../../modules/reader.wat")),
];

/// Returns the modules by their names, each in a file that goes with its handle.
pub(crate) fn modules() -> Result<Vec<(&'static str, NamedTempFile)>, BenchError> {
    MODULES.into_iter().map(|(name, text)| Ok((name, assembled(text)?))).collect()
}

fn assembled(text: &str) -> Result<NamedTempFile, BenchError> {
    let mut file = NamedTempFile::new()?;
    file.write_all(&wat::parse_str(text)?)?;
    Ok(file)
}
