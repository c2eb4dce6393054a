//! The end of an Envoy whose owner is never dropped: statics are not, and nothing is in a process that is killed.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::environment::{self, Environment};
use crate::scene::envoy::Envoy;

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
    /// Has `envoy` and its folder go with this process. `None` in containers: a launcher ends the Envoys of a process
    /// that is gone, and the folders go with the containers.
    pub(crate) fn of(envoy: &Envoy, folder: &Path) -> Option<Self> {
        match environment::current() {
            Environment::Native => Some(Self::start(envoy.process_id(), folder).expect("a shell")),
            Environment::Containers(_) => None,
        }
    }

    /// Has the process `envoy` of this machine killed and `folder` removed once this process has ended, in
    /// whatever way.
    fn start(envoy: u32, folder: &Path) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "watchdog"]).arg(envoy.to_string()).arg(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { _process: command.spawn()? })
    }
}
