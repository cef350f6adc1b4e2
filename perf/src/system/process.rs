//! A child process that does not outlive us.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A running program whose output goes to a file.
pub struct Process {
    child: Child,
    log: PathBuf,
    name: String,
}

impl Process {
    /// Starts a program. `keep_input` leaves its standard input open.
    pub fn start(mut command: Command, log: &Path, keep_input: bool) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
        let input = if keep_input {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        command.stdin(input).stdout(file.try_clone()?).stderr(file);
        let child = super::cores::on_all(|| command.spawn())?
            .with_context(|| format!("cannot start {name}: is it installed?"))?;
        Ok(Self {
            child,
            log: log.to_owned(),
            name,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until something about it is true, at most so long.
    pub fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut is_true: impl FnMut() -> bool,
    ) -> Result<Duration> {
        let start = Instant::now();
        while !is_true() {
            super::interrupt::check()?;
            if let Some(status) = self.child.try_wait()? {
                bail!("{} has ended ({status}): {}", self.name, self.last_words());
            }
            if start.elapsed() > limit {
                bail!(
                    "{} has not come so far within {limit:?}: {what}; {}",
                    self.name,
                    self.last_words()
                );
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(start.elapsed())
    }

    /// The end of its output.
    pub fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// Asks it to end and waits until it has.
    pub fn terminate(self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended()
    }

    /// Waits until one that was asked to end has done so.
    pub fn ended(mut self) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > Duration::from_secs(30) {
                bail!("{} does not end when asked to", self.name);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it as the kernel's out-of-memory killer would.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("a process without an id")?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended long ago, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
