//! The process that an Envoy is, on this machine or behind a launcher. It is killed when this is dropped.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::bootstrap::workspace;
use crate::launcher::Launched;
use crate::place::{self, Place};

/// What is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Envoy's command line.
    pub arguments: Vec<String>,
    /// Laid over the environment.
    pub environment: BTreeMap<String, String>,
    /// Envoy's working directory.
    pub folder: PathBuf,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// Resident memory in bytes.
    pub memory: usize,
    /// Processor time in hundredths of a second.
    pub ticks: u64,
}

impl Usage {
    /// Of a running process of this machine (Linux only).
    pub fn of(process: u32) -> io::Result<Self> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}"));
        let (statm, stat) = (read("statm")?, read("stat")?);
        let strange = || io::Error::from(io::ErrorKind::InvalidData);
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
        // User and system time are the fourteenth and fifteenth field; the second is in brackets.
        let behind_name = stat.rsplit(')').next().unwrap_or_default();
        let times = behind_name.split(' ').skip(12).take(2).map(str::parse::<u64>);
        Ok(Self {
            memory: pages.ok_or_else(strange)? * 4096,
            ticks: times.sum::<Result<u64, _>>().map_err(|_| strange())?,
        })
    }

    /// What has been used since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { memory: self.memory.saturating_sub(before.memory), ticks: self.ticks - before.ticks }
    }
}

/// Starts `binary` as it was ordered.
pub(crate) fn spawn(binary: &Path, order: &Order) -> io::Result<Child> {
    Command::new(binary)
        .args(&order.arguments)
        .envs(&order.environment)
        .current_dir(&order.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// A started Envoy.
#[derive(Debug)]
pub(crate) enum Process {
    Here(Child),
    There(Launched),
}

impl Process {
    /// Starts Envoy in the place that the environment names; `binary` says which on this machine.
    pub(crate) fn start(
        binary: impl FnOnce() -> Result<PathBuf, crate::EnvoyError>,
        arguments: Vec<String>,
        environment: &[(String, String)],
    ) -> Result<Self, crate::EnvoyError> {
        let environment = environment.iter().cloned().collect();
        let order = Order { arguments, environment, folder: workspace() };
        match place::current() {
            Place::Here => {
                let binary = binary()?;
                let child = spawn(&binary, &order);
                child.map(Self::Here).map_err(|error| crate::EnvoyError::Unstartable(binary, error))
            }
            Place::There(containers) => {
                let launched = Launched::start(containers.launcher, &order);
                launched.map(Self::There).map_err(crate::EnvoyError::Launcher)
            }
        }
    }

    /// Its number, where it runs.
    pub(crate) fn id(&self) -> u32 {
        match self {
            Self::Here(child) => child.id(),
            Self::There(launched) => launched.id(),
        }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        match self {
            Self::Here(child) => match child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some(status.to_string()),
                Err(error) => Some(error.to_string()),
            },
            Self::There(launched) => launched.ended(),
        }
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        match self {
            Self::Here(child) => Usage::of(child.id()),
            Self::There(launched) => launched.usage(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Self::Here(child) = self {
            // It may have ended by itself, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
