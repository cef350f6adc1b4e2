//! What is sent and what must come back.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use vtepd_perf::frames::pcap;
use vtepd_perf::generating::STAMP;

use super::Options;

/// Frames to be sent, with those that come back for them.
pub struct Frames {
    sent: Vec<Vec<u8>>,
    expected: Vec<Vec<u8>>,
    stamp: usize,
    stamp_back: usize,
    next: usize,
    next_back: usize,
}

impl Frames {
    /// Reads the files.
    pub fn read(options: &Options) -> Result<Self> {
        let frames = Self {
            sent: read(&options.frames, options.stamp)?,
            expected: read(&options.expected, options.stamp_back)?,
            stamp: options.stamp,
            stamp_back: options.stamp_back,
            next: 0,
            next_back: 0,
        };
        if frames.sent.is_empty() || frames.sent.len() != frames.expected.len() {
            let (sent, expected) = (frames.sent.len(), frames.expected.len());
            bail!("{sent} frames to be sent, and {expected} to come back");
        }
        Ok(frames)
    }

    /// The next one is the first again.
    pub fn rewind(&mut self) {
        (self.next, self.next_back) = (0, 0);
    }

    /// The bytes of the next one before its stamp and after it.
    #[inline]
    pub fn next(&mut self) -> (&[u8], &[u8]) {
        let frame = &self.sent[self.next];
        self.next = (self.next + 1) % self.sent.len();
        (&frame[..self.stamp], &frame[self.stamp + STAMP..])
    }

    /// The stamp of one that has come back.
    #[inline]
    pub fn stamp_of(&self, frame: &[u8]) -> Option<u64> {
        let bytes = frame.get(self.stamp_back..)?.first_chunk()?;
        Some(u64::from_be_bytes(*bytes))
    }

    /// Compares the next one that has come back, its stamp left out.
    pub fn compare(&mut self, frame: &[u8]) -> Result<(), String> {
        let number = self.next_back;
        let expected = &self.expected[number];
        self.next_back = (number + 1) % self.expected.len();
        let (begin, end) = (self.stamp_back, self.stamp_back + STAMP);
        let same = frame.len() == expected.len()
            && frame[..begin] == expected[..begin]
            && frame[end..] == expected[end..];
        match same {
            true => Ok(()),
            false => Err(format!(
                "frame {number} came back as {frame:02x?} and should as {expected:02x?}"
            )),
        }
    }
}

/// Frames, each with room for a stamp.
fn read(file: &Path, stamp: usize) -> Result<Vec<Vec<u8>>> {
    let open = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut frames = Vec::new();
    for frame in pcap::read(open)? {
        let frame = frame?;
        if frame.len() < stamp + STAMP {
            bail!(
                "a frame of {} bytes has no room for a time stamp at {stamp}",
                frame.len()
            );
        }
        frames.push(frame);
    }
    Ok(frames)
}
