//! `postern completions` and `postern man`: what a shell and a manual say of the command.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// The exit codes that all commands have.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 when all is well; 1 when there are problems with what was judged, which are written to stderr; 2 when the \
command is used wrongly, or something cannot be read.";

/// Writes the completions of a shell to the standard output.
pub(crate) fn completions(mut command: Command, shell: Shell) -> io::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "postern", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of the command to the standard output, or that of each command into a folder.
pub(crate) fn pages(command: Command, into: Option<&Path>) -> io::Result<ExitCode> {
    let Some(folder) = into else {
        Man::new(command).render(&mut io::stdout().lock())?;
        return Ok(ExitCode::SUCCESS);
    };
    // The pages of help say what `--help` says.
    if let Err(error) = clap_mangen::generate_to(command.disable_help_subcommand(true), folder) {
        writeln!(io::stderr().lock(), "{}: cannot be written: {error}", folder.display())?;
        return Ok(ExitCode::from(2));
    }
    Ok(ExitCode::SUCCESS)
}
