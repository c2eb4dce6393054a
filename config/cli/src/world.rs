//! The outside of the command: files, the time, variables, and chance. Nothing else here touches it.

mod folder;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) use folder::files_of;

/// The most bytes of one file.
const LONGEST_FILE: u64 = 16 << 20;

/// Returns the bytes of a file, or of the standard input for `-`; an error when there are more than 16 MiB.
pub(crate) fn read(name: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let more = LONGEST_FILE.saturating_add(1);
    if name.as_ref() == Path::new("-") {
        io::stdin().lock().take(more).read_to_end(&mut bytes)?;
    } else {
        File::open(name)?.take(more).read_to_end(&mut bytes)?;
    }
    if u64::try_from(bytes.len()).is_ok_and(|read| read <= LONGEST_FILE) {
        Ok(bytes)
    } else {
        Err(io::Error::other(format!("it has more than {} MiB", LONGEST_FILE >> 20)))
    }
}

/// Returns the time since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "a command is where the time comes from")]
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns the present moment, to measure how long something takes.
#[expect(clippy::disallowed_methods, reason = "a command is where the time comes from")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Returns the environment variable `name`, if it is set to text.
#[expect(clippy::disallowed_methods, reason = "a command is where the environment comes from")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Returns 32 hexadecimal digits that nobody can guess.
pub(crate) fn random_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
