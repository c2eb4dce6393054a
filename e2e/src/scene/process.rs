//! The process of an Envoy, on this machine or behind a launcher. Dropping it kills the Envoy.

use std::io;
use std::path::PathBuf;
use std::process::Child;

use crate::environment::{self, Environment};
use crate::scene::bootstrap::workspace;
use crate::scene::envoy::EnvoyError;
use crate::scene::launcher::Launched;
use crate::scene::order::{Order, Usage, spawn};

/// A started Envoy.
#[derive(Debug)]
pub(crate) enum Process {
    Native(Child),
    Launched(Launched),
}

impl Process {
    /// Starts Envoy in the environment that the variables name; `binary` returns the one on this machine.
    pub(crate) fn start(
        binary: impl FnOnce() -> Result<PathBuf, EnvoyError>,
        arguments: Vec<String>,
        environment: &[(String, String)],
    ) -> Result<Self, EnvoyError> {
        let environment = environment.iter().cloned().collect();
        let order = Order { arguments, environment, folder: workspace() };
        match environment::current() {
            Environment::Native => {
                let binary = binary()?;
                let child = spawn(&binary, &order);
                child.map(Self::Native).map_err(|error| EnvoyError::Unstartable(binary, error))
            }
            Environment::Containers(addresses) => {
                let launched = Launched::start(addresses.launcher, &order);
                launched.map(Self::Launched).map_err(EnvoyError::Launcher)
            }
        }
    }

    /// Returns the number of the process, where it runs.
    pub(crate) fn id(&self) -> u32 {
        match self {
            Self::Native(child) => child.id(),
            Self::Launched(launched) => launched.id(),
        }
    }

    /// Returns the status by which the process ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        match self {
            Self::Native(child) => match child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some(status.to_string()),
                Err(error) => Some(error.to_string()),
            },
            Self::Launched(launched) => launched.ended(),
        }
    }

    /// Returns the process's use of memory and processor so far.
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        match self {
            Self::Native(child) => Usage::of(child.id()),
            Self::Launched(launched) => launched.usage(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Self::Native(child) = self {
            // The process may have ended by itself, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
