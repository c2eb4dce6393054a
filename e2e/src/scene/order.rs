//! The order by which an Envoy is started, wherever that is, and the processor time and memory that it has used.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};

/// A command line of Envoy, and its surroundings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Envoy's command line.
    pub arguments: Vec<String>,
    /// The variables that are laid over the environment.
    pub environment: BTreeMap<String, String>,
    /// Envoy's working directory.
    pub folder: PathBuf,
}

/// Memory and processor time that a process has used so far.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// Resident memory in bytes.
    pub memory: usize,
    /// Processor time in hundredths of a second.
    pub ticks: u64,
}

impl Usage {
    /// Reads the use of a running process of this machine (Linux only).
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

    /// Returns the use since `before`.
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
