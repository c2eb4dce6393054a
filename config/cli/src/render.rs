//! `postern render`: a policy with all that must be around it, ready for Envoy, Istio or Envoy Gateway.
//!
//! What is rendered are the shipped configurations, with the policy in the place of theirs. So nothing is said here that
//! they do not say.

mod dynamic_module;
mod endpoint;
mod envoy;
mod gateway;
mod istio;
mod needs;
mod policy;
mod template;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::world;
use policy::Rendered;

/// The platform that is rendered for.
#[derive(Debug, Subcommand)]
pub(crate) enum Render {
    /// Render a whole configuration for Envoy, fit to run.
    Envoy(envoy::Arguments),
    /// Render manifests for Istio: a WasmPlugin, and the EnvoyFilters that it needs.
    Istio(istio::Arguments),
    /// Render manifests for Envoy Gateway: an EnvoyExtensionPolicy, and what it needs.
    EnvoyGateway(gateway::Arguments),
}

/// Where the policy is.
#[derive(Args, Debug)]
struct Source {
    /// A file with one configuration of Postern, as `check` takes it; `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    policy_file: String,
}

/// The reason why nothing is rendered.
#[derive(Debug)]
enum Failure {
    /// The policy has problems, or what was rendered of it would: exit code 1.
    Problems(Vec<String>),
    /// A wrong use of the command: exit code 2.
    Use(String),
}

/// Writes what is rendered to the standard output, and warnings to the standard error.
pub(crate) fn run(render: &Render) -> io::Result<ExitCode> {
    let (name, rendered) = match render {
        Render::Envoy(arguments) => (&arguments.source.policy_file, envoy::render(arguments)),
        Render::Istio(arguments) => (&arguments.source.policy_file, istio::render(arguments)),
        Render::EnvoyGateway(arguments) => (&arguments.source.policy_file, gateway::render(arguments)),
    };
    let mut stderr = io::stderr().lock();
    match rendered {
        Ok(Rendered { text, warnings }) => {
            warnings.iter().try_for_each(|warning| writeln!(stderr, "{name}:{warning}"))?;
            io::stdout().lock().write_all(text.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(Failure::Problems(problems)) => {
            problems.iter().try_for_each(|problem| writeln!(stderr, "{name}:{problem}"))?;
            Ok(ExitCode::from(1))
        }
        Err(Failure::Use(message)) => {
            writeln!(stderr, "{message}")?;
            Ok(ExitCode::from(2))
        }
    }
}

impl Source {
    fn read(&self) -> Result<policy::Policy, Failure> {
        let name = &self.policy_file;
        let text =
            world::read(name).map_err(|error| Failure::Use(format!("{name}: cannot be read: {error}")))?;
        policy::Policy::read(&text)
    }
}
