//! `postern check`: judges files and folders, and writes what was found.

use std::io::{self, Stderr, StderrLock, StdoutLock, Write};
use std::path::Path;
use std::process::ExitCode;

use annotate_snippets::Renderer;
use anstream::{AutoStream, ColorChoice};
use clap::Args;

use crate::check::{self, Judgement};
use crate::excerpt::Lines;
use crate::finding::{Code, Finding, Severity};
use crate::report::{Entry, Level, Output, Region, Report, Rule};
use crate::world;

/// The most findings of a file that are shown with their lines; each costs a look at all its secrets.
const MOST_EXCERPTS: usize = 1000;

/// The arguments of `postern check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Files and folders; `-` is the standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Exit with 1 when there are warnings, too.
    #[arg(long)]
    strict: bool,
    /// The form of the findings: lines on stderr, or JSON or SARIF on stdout and nothing else there.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Judges every path.
pub(crate) fn run(arguments: &Check) -> io::Result<ExitCode> {
    let mut checking = Checking::new(arguments.output);
    for path in &arguments.paths {
        match world::files_of(path) {
            Ok(None) => checking.file(path)?,
            Ok(Some(files)) => checking.folder(path, &files)?,
            Err(error) => checking.unreadable(path, &error)?,
        }
    }
    checking.finish(arguments.strict)
}

/// The outcome of the paths so far.
struct Checking {
    output: Output,
    stdout: StdoutLock<'static>,
    stderr: StderrLock<'static>,
    renderer: Renderer,
    has_problems: bool,
    has_warnings: bool,
    /// What is written at the end, unless it is written at once, as text is.
    report: Report,
}

impl Checking {
    fn new(output: Output) -> Self {
        let (stdout, stderr) = (io::stdout().lock(), io::stderr());
        let renderer = if is_coloured(&stderr) { Renderer::styled() } else { Renderer::plain() };
        Self {
            output,
            stdout,
            stderr: stderr.lock(),
            renderer,
            has_problems: false,
            has_warnings: false,
            report: Report::default(),
        }
    }

    fn file(&mut self, name: &str) -> io::Result<()> {
        match world::read(name) {
            Ok(text) => self.tell(name, &text, &check::check(&text)),
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
                    self.tell(&shown, &text, &judgement)?;
                }
                Err(error) => self.unreadable(&shown, &error)?,
            }
        }
        let files_of = |number: usize| format!("{number} {}", if number == 1 { "file" } else { "files" });
        if others == files.len() {
            self.has_problems = true;
            let what = format!("nothing of Postern is in its {}", files_of(others));
            let remedy =
                "name a folder with policies, Envoy configurations or Kubernetes manifests that have";
            self.tell_of_whole(name, Code::NothingFound, &what, remedy)
        } else if others > 0 {
            let line = format!("nothing of Postern is in {} of {}", files_of(others), files.len());
            self.tell_sound(name, &line)
        } else {
            Ok(())
        }
    }

    fn tell(&mut self, name: &str, text: &[u8], judgement: &Judgement) -> io::Result<()> {
        let text = String::from_utf8_lossy(text);
        let lines = Lines::of(&text, &judgement.hidden);
        for (number, finding) in judgement.findings.iter().enumerate() {
            match finding.severity() {
                Severity::Problem => self.has_problems = true,
                Severity::Warning => self.has_warnings = true,
            }
            if self.output == Output::Text {
                writeln!(self.stderr, "{name}:{finding}")?;
                if number < MOST_EXCERPTS && finding.code != Code::NothingFound {
                    self.stderr.write_all(lines.excerpt(finding, &self.renderer).as_bytes())?;
                }
            } else {
                self.report.entries.push(entry(name, finding, &lines));
            }
        }
        judgement.sound.iter().try_for_each(|sound| self.tell_sound(name, sound))
    }

    fn tell_sound(&mut self, name: &str, line: &str) -> io::Result<()> {
        if self.output == Output::Text { writeln!(self.stdout, "{name}: {line}") } else { Ok(()) }
    }

    fn unreadable(&mut self, name: &str, error: &io::Error) -> io::Result<()> {
        self.report.is_cut_short = true;
        let remedy = "name a file or a folder that can be read";
        self.tell_of_whole(name, Code::Unreadable, &format!("cannot be read: {error}"), remedy)
    }

    /// Tells what is wrong with all of a file or folder.
    fn tell_of_whole(&mut self, name: &str, code: Code, what: &str, remedy: &str) -> io::Result<()> {
        if self.output == Output::Text {
            return writeln!(self.stderr, "{name}: {what}; {remedy} [{code}]");
        }
        self.report.entries.push(Entry {
            rule: rule(code),
            file: Some(name.to_owned()),
            region: None,
            path: String::new(),
            message: what.to_owned(),
            remedy: remedy.to_owned(),
        });
        Ok(())
    }

    fn finish(mut self, is_strict: bool) -> io::Result<ExitCode> {
        match self.output {
            Output::Text => {}
            Output::Json => writeln!(self.stdout, "{}", self.report.json()?)?,
            Output::Sarif => writeln!(self.stdout, "{}", self.report.sarif()?)?,
        }
        let is_refused = self.has_problems || (is_strict && self.has_warnings);
        Ok(match (self.report.is_cut_short, is_refused) {
            (true, _) => ExitCode::from(2),
            (false, true) => ExitCode::from(1),
            (false, false) => ExitCode::SUCCESS,
        })
    }
}

/// Says whether colours are wanted: on a terminal, and as `NO_COLOR` and `CLICOLOR_FORCE` say.
fn is_coloured(stderr: &Stderr) -> bool {
    AutoStream::choice(stderr) != ColorChoice::Never
}

fn rule(code: Code) -> Rule {
    let level = match code.severity() {
        Severity::Problem => Level::Error,
        Severity::Warning => Level::Warning,
    };
    Rule { code: code.id(), title: code.title(), page: code.page(), level }
}

fn entry(name: &str, finding: &Finding, lines: &Lines<'_>) -> Entry {
    let Finding { position, code, path, what, remedy } = finding;
    let end_column = lines.end_of(*position);
    Entry {
        rule: rule(*code),
        file: Some(name.to_owned()),
        region: Some(Region { line: position.line, column: position.column, end_column }),
        path: path.clone(),
        message: what.clone(),
        remedy: remedy.clone(),
    }
}

/// Writes the path of a file that nobody has named, without anything that a terminal would act on.
fn shown(path: &Path) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    path.to_string_lossy().chars().map(escaped).collect()
}
