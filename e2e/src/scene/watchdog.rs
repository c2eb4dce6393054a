//! The end of an Envoy whose owner is never dropped: statics are not, and nothing is in a process that is killed.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A script that waits for the end of its input, which comes with the end of the process that has started it,
/// and then kills an Envoy and removes its folder. A signal that ends the whole group of processes ends the
/// Envoy too, yet leaves the folder to be removed.
const SCRIPT: &str = r#"trap "" INT TERM HUP; read -r _; kill -KILL "$1" 2>/dev/null; rm -rf "$2""#;

/// A process that outlives this one until it has cleaned up.
#[derive(Debug)]
pub(crate) struct Watchdog {
    // The child holds the pipe to the script's input open; the script waits so long.
    _process: Child,
}

impl Watchdog {
    /// Has the process `envoy` of this machine killed and `folder` removed once this process has ended, in
    /// whatever way.
    pub(crate) fn start(envoy: u32, folder: &Path) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "watchdog"]).arg(envoy.to_string()).arg(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { _process: command.spawn()? })
    }
}
