//! `postern check`: judges files and folders, and writes what was found.

use std::io::{self, StderrLock, StdoutLock, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::check::{self, Judgement};
use crate::finding::Severity;
use crate::world;

/// Judges every path.
pub(crate) fn run(paths: &[String]) -> io::Result<ExitCode> {
    let (stdout, stderr) = (io::stdout().lock(), io::stderr().lock());
    let mut checking = Checking { stdout, stderr, has_problems: false, is_wrong_use: false };
    for path in paths {
        match world::files_of(path) {
            Ok(None) => checking.file(path)?,
            Ok(Some(files)) => checking.folder(path, &files)?,
            Err(error) => checking.unreadable(path, &error)?,
        }
    }
    Ok(match (checking.is_wrong_use, checking.has_problems) {
        (true, _) => ExitCode::from(2),
        (false, true) => ExitCode::from(1),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// The outcome of the paths so far.
struct Checking {
    stdout: StdoutLock<'static>,
    stderr: StderrLock<'static>,
    has_problems: bool,
    is_wrong_use: bool,
}

impl Checking {
    fn file(&mut self, name: &str) -> io::Result<()> {
        match world::read(name) {
            Ok(text) => self.tell(name, &check::check(&text)),
            Err(error) => self.unreadable(name, &error),
        }
    }

    /// Judges the files of a folder that have something of Postern, and counts the others.
    fn folder(&mut self, name: &str, files: &[impl AsRef<Path>]) -> io::Result<()> {
        let mut others = 0_usize;
        for file in files {
            let shown = shown(file.as_ref());
            match world::read(file) {
                Ok(text) => {
                    let judgement = check::check_in_folder(&text);
                    others = others.saturating_add(usize::from(!judgement.has_anything));
                    self.tell(&shown, &judgement)?;
                }
                Err(error) => self.unreadable(&shown, &error)?,
            }
        }
        let files_of = |number: usize| format!("{number} {}", if number == 1 { "file" } else { "files" });
        if others == files.len() {
            self.has_problems = true;
            let remedy =
                "name a folder with policies, Envoy configurations or Kubernetes manifests that have";
            writeln!(self.stderr, "{name}: nothing of Postern is in its {}; {remedy}", files_of(others))
        } else if others > 0 {
            writeln!(self.stdout, "{name}: nothing of Postern is in {} of {}", files_of(others), files.len())
        } else {
            Ok(())
        }
    }

    fn tell(&mut self, name: &str, judgement: &Judgement) -> io::Result<()> {
        for finding in &judgement.findings {
            self.has_problems |= finding.severity == Severity::Problem;
            writeln!(self.stderr, "{name}:{finding}")?;
        }
        judgement.sound.iter().try_for_each(|sound| writeln!(self.stdout, "{name}: {sound}"))
    }

    fn unreadable(&mut self, name: &str, error: &io::Error) -> io::Result<()> {
        self.is_wrong_use = true;
        writeln!(self.stderr, "{name}: cannot be read: {error}")
    }
}

/// Writes the path of a file that nobody has named, without anything that a terminal would act on.
fn shown(path: &Path) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    path.to_string_lossy().chars().map(escaped).collect()
}
