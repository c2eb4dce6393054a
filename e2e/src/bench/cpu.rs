//! The CPU time that a process has used, to the nanosecond, and the CPU on which it runs.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The time in which a thread that has nothing left to do goes to sleep.
const SETTLE: Duration = Duration::from_millis(2);

/// The CPU time of one process over all of its threads, in user mode and in the kernel.
///
/// The time is read from the scheduler's own count (`/proc/<pid>/task/*/schedstat`, Linux only): `utime` and
/// `stime` of `/proc/<pid>/stat` come in hundredths of a second, which a round of a few thousand messages
/// does not fill.
#[derive(Clone, Debug)]
pub(crate) struct Cpu {
    tasks: PathBuf,
}

impl Cpu {
    /// Returns the clock of a running process.
    pub(crate) fn of(process: u32) -> Self {
        Self { tasks: PathBuf::from(format!("/proc/{process}/task")) }
    }

    /// Returns the time that the process has used, once it uses no more: the count of a thread that runs is
    /// behind.
    pub(crate) async fn settled(&self) -> io::Result<Duration> {
        let mut before = self.now()?;
        loop {
            tokio::time::sleep(SETTLE).await;
            let now = self.now()?;
            // A worker's timers use some microseconds now and then.
            if now.saturating_sub(before) < SETTLE / 10 {
                return Ok(now);
            }
            before = now;
        }
    }

    /// Returns the time that the process has used, as far as its threads have counted it.
    pub(crate) fn now(&self) -> io::Result<Duration> {
        let mut nanoseconds = 0;
        for task in std::fs::read_dir(&self.tasks)? {
            match std::fs::read_to_string(task?.path().join("schedstat")) {
                Ok(text) => nanoseconds += first_number(&text).ok_or(io::ErrorKind::InvalidData)?,
                // The thread ended after the folder was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

/// Keeps every thread of a process on one CPU, with `taskset` of util-linux.
///
/// The cost of a message depends more on where the scheduler puts those that talk to each other than on
/// Postern, and stays so for many rounds: how often a thread is woken, and how much there is to read when it
/// is.
pub(crate) fn pin(process: u32, cpu: usize) -> io::Result<()> {
    let mut command = Command::new("taskset");
    command.args(["-a", "-p", "-c"]).arg(cpu.to_string()).arg(process.to_string());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("taskset: {status}"))) }
}

/// Returns the time on the CPU, which comes first, in nanoseconds.
fn first_number(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_shows_and_rest_does_not() {
        let cpu = Cpu::of(std::process::id());
        let before = cpu.now().unwrap();
        let end = std::time::Instant::now() + Duration::from_millis(30);
        let spun = std::thread::spawn(move || {
            while std::time::Instant::now() < end {
                std::hint::spin_loop();
            }
            // The count is read while the thread lives: that of a thread that has ended is gone.
            cpu.now().unwrap()
        });
        assert!(spun.join().unwrap() > before);
        assert!(Cpu::of(u32::MAX).now().is_err());
    }
}
