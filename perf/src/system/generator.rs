//! The generator process, which sends packets to a box and takes them back.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use vtepd_perf::generating::{Outcome, Trial};

use super::cores::ThreadTime;
use super::vtepd::beside_us;

/// A generator that is joined to a box.
pub struct Generator {
    child: Child,
    trials: ChildStdin,
    answers: BufReader<ChildStdout>,
    log: std::path::PathBuf,
}

/// What it sends, and where.
pub struct Sent<'a> {
    /// The sockets of the box's devices: where packets go and where they come back.
    pub sockets: [&'a Path; 2],
    /// What is sent, and what comes back for it.
    pub files: [&'a Path; 2],
    /// Where the time stamp is in both.
    pub stamps: [usize; 2],
}

impl Generator {
    /// Starts it where we run, and waits until it is joined to the box.
    pub fn start(sent: &Sent<'_>, folder: &Path) -> Result<Self> {
        let program = beside_us("vtepd-perf-generator")?;
        let log = folder.join("generator.log");
        let device = |number: usize| {
            let socket = sent.sockets[number].display();
            format!("net_memif{number},role=client,id=0,socket={socket},socket-abstract=no")
        };
        let mut child = Command::new(&program)
            .args(["--out", &device(0), "--back", &device(1)])
            .arg("--frames")
            .arg(sent.files[0])
            .arg("--expected")
            .arg(sent.files[1])
            .args(["--stamp", &sent.stamps[0].to_string()])
            .args(["--stamp-back", &sent.stamps[1].to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}: is it built?", program.display()))?;
        let (trials, answers) = (child.stdin.take(), child.stdout.take());
        let mut generator = Self {
            trials: trials.context("the generator has no input")?,
            answers: BufReader::new(answers.context("the generator has no output")?),
            child,
            log,
        };
        let ready: String = generator.answer()?;
        if ready != "ready" {
            bail!("the generator says {ready:?}");
        }
        Ok(generator)
    }

    /// How its time was spent so far.
    fn time(&self) -> Result<ThreadTime> {
        ThreadTime::read(self.child.id(), self.child.id())
    }

    /// Has it run a trial, and says how long it waited for its core meanwhile: the packets of that
    /// time wait with it.
    pub fn run_watched(&mut self, trial: Trial) -> Result<(Outcome, Duration)> {
        let before = self.time()?.waited;
        let outcome = self.run(trial)?;
        Ok((outcome, self.time()?.waited.saturating_sub(before)))
    }

    fn answer<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        let told = self.answers.read_line(&mut line).unwrap_or(0);
        if told == 0 {
            let words = std::fs::read_to_string(&self.log).unwrap_or_default();
            bail!("the generator has ended: {}", words.trim());
        }
        serde_json::from_str(&line).with_context(|| format!("the generator says {line:?}"))
    }

    /// Has it run a trial.
    pub fn run(&mut self, trial: Trial) -> Result<Outcome> {
        let line = serde_json::to_string(&trial)? + "\n";
        // That it has ended is told by the answer.
        let _ = self.trials.write_all(line.as_bytes());
        let outcome: Outcome = self.answer()?;
        match &outcome.wrong {
            Some(wrong) => bail!("{wrong}"),
            None => Ok(outcome),
        }
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // It may have ended long ago, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
