//! The files of a folder, of which there are not too many.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The limits of a folder: files that are read, entries of any kind, and folders inside folders.
const MOST_FILES: usize = 1000;
const MOST_ENTRIES: usize = 100_000;
const DEEPEST_FOLDER: usize = 16;

/// The most bytes of all files of a folder.
const LONGEST_FOLDER: u64 = 256 << 20;

/// The endings of the names of files that are read in folders.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];

/// Returns the files of the folder `name` and of those inside it, in order; `None` when it is no folder. A
/// file that several links lead to comes once. Names that begin with a dot are left out: Kubernetes keeps
/// what it mounts behind such.
pub(crate) fn files_of(name: &str) -> io::Result<Option<Vec<PathBuf>>> {
    if name == "-" || !fs::metadata(name).is_ok_and(|found| found.is_dir()) {
        return Ok(None);
    }
    let mut folder = Folder::default();
    folder.take(Path::new(name), 0)?;
    Ok(Some(folder.files))
}

/// The files found in a folder so far.
#[derive(Default)]
struct Folder {
    files: Vec<PathBuf>,
    /// The files and folders that links lead to in the end.
    seen: HashSet<PathBuf>,
    entries: usize,
    bytes: u64,
}

impl Folder {
    fn take(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        if depth > DEEPEST_FOLDER {
            return Err(io::Error::other(format!("it has more than {DEEPEST_FOLDER} folders in each other")));
        }
        if !self.seen.insert(fs::canonicalize(folder)?) {
            return Ok(());
        }
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder)? {
            self.entries = self.entries.saturating_add(1);
            if self.entries > MOST_ENTRIES {
                return Err(io::Error::other(format!("it has more than {MOST_ENTRIES} entries")));
            }
            let path = entry?.path();
            let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            paths.extend((!is_hidden).then_some(path));
        }
        paths.sort();
        paths.iter().try_for_each(|path| self.take_entry(path, depth))
    }

    fn take_entry(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        // A link that leads nowhere is nothing.
        let Ok(found) = fs::metadata(path) else { return Ok(()) };
        if found.is_dir() {
            return self.take(path, depth.saturating_add(1));
        }
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        let is_read = found.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()));
        if !is_read || !self.seen.insert(fs::canonicalize(path)?) {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(found.len());
        if self.files.len() >= MOST_FILES || self.bytes > LONGEST_FOLDER {
            let most = LONGEST_FOLDER >> 20;
            return Err(io::Error::other(format!("it has more than {MOST_FILES} files or {most} MiB")));
        }
        self.files.push(path.to_owned());
        Ok(())
    }
}
