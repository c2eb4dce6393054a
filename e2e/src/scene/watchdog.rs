//! The end of an Envoy whose owner is never dropped: statics are not, and nothing is in a process that is killed.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Waits for the end of its input, which is that of the process that has started it, and then kills an Envoy and removes
/// its folder. Whatever ends a group of processes ends the Envoy too, yet leaves the folder to be removed.
const SCRIPT: &str = r#"trap "" INT TERM HUP; read -r _; kill -KILL "$1" 2>/dev/null; rm -rf "$2""#;

/// A process that outlives this one by the time that it takes to clean up.
#[derive(Debug)]
pub(crate) struct Watchdog {
    // Holds its input open.
    _process: Child,
}

impl Watchdog {
    /// Has the process `envoy` of this machine killed and `folder` removed when this process has ended, however it ends.
    pub(crate) fn start(envoy: u32, folder: &Path) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "watchdog"]).arg(envoy.to_string()).arg(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { _process: command.spawn()? })
    }
}
