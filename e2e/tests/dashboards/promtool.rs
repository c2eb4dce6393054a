//! promtool, of Debian's package `prometheus`.

use std::path::PathBuf;

use postern_e2e::not_run::not_run;

/// Finds it on the path. Returns `None`, after saying so loudly, where it is not; with `CI=true` that is a failure.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found =
        std::env::split_paths(&path).map(|folder| folder.join("promtool")).find(|file| file.is_file());
    if found.is_none() {
        not_run("there is no promtool to judge rules with; Debian's package `prometheus` has it");
    }
    found
}
