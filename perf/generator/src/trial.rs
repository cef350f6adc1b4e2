//! One trial: so many packets a second, for so long.

use anyhow::{Context, Result, bail};
use dpdk_ffi::{Burst, Eal, Pool, Port, RxQueue, TxQueue, rdtsc, tsc_hz};
use hdrhistogram::Histogram;
use vtepd_perf::generating::{Outcome, PERCENTILES, Trial};

use super::frames::Frames;
use super::said;

/// Packets of one turn at most. After a pause the packets that are overdue are sent over several
/// turns, or none would be received meanwhile.
const TURN: u64 = 32;
/// How long is waited for the last packets, seconds.
const LAST: f64 = 0.05;
/// Of the histograms: three digits.
const DIGITS: u8 = 3;
/// The longest time that is told from longer ones, seconds.
const LONGEST: f64 = 10.0;

/// The devices, and what is sent.
pub struct Wire {
    pool: Pool,
    out: TxQueue,
    /// What the box says by that device is none of ours: questions for neighbours.
    aside: RxQueue,
    back: RxQueue,
    frames: Frames,
    hz: f64,
}

/// What is counted while a trial runs.
struct Counts {
    outcome: Outcome,
    times: Histogram<u64>,
    pauses: Histogram<u64>,
}

impl Wire {
    /// Of started ports.
    pub fn new(eal: &Eal, pool: Pool, out: &Port, back: &Port, frames: Frames) -> Result<Self> {
        Ok(Self {
            out: out.take_tx_queue(0).map_err(said)?,
            aside: out.take_rx_queue(0).map_err(said)?,
            back: back.take_rx_queue(0).map_err(said)?,
            pool,
            frames,
            hz: tsc_hz(eal) as f64,
        })
    }

    /// Runs a trial.
    pub fn run(&mut self, trial: Trial) -> Result<Outcome> {
        if !(trial.rate > 0.0 && trial.rate < 1e9 && trial.seconds > 0.0 && trial.seconds < 600.0) {
            bail!("{trial:?} cannot be done");
        }
        let most = (self.hz * LONGEST) as u64;
        let histogram = || Histogram::new_with_bounds(1, most, DIGITS);
        let mut counts = Counts {
            outcome: Outcome::default(),
            times: histogram().context("the histogram")?,
            pauses: histogram().context("the histogram")?,
        };
        self.frames.rewind();
        self.send_and_receive(trial, &mut counts)?;
        self.receive_last(trial.compare, &mut counts);
        let us = |ticks: u64| ticks as f64 / self.hz * 1e6;
        let percentiles = |all: &Histogram<u64>| {
            let at = |percent| (percent, us(all.value_at_percentile(percent)));
            PERCENTILES.map(at).to_vec()
        };
        Ok(Outcome {
            times: percentiles(&counts.times),
            pauses: percentiles(&counts.pauses),
            ..counts.outcome
        })
    }

    fn send_and_receive(&mut self, trial: Trial, counts: &mut Counts) -> Result<()> {
        let interval = self.hz / trial.rate;
        let length = (trial.seconds * self.hz) as u64;
        let begin = rdtsc();
        let mut before = begin;
        loop {
            let now = rdtsc();
            counts.pauses.saturating_record(now - before);
            before = now;
            let passed = now - begin;
            if passed >= length {
                counts.outcome.due = (length as f64 / interval) as u64;
                counts.outcome.seconds = passed as f64 / self.hz;
                return Ok(());
            }
            let due = (passed as f64 / interval) as u64;
            let count = (due - counts.outcome.offered.min(due)).min(TURN);
            if count > 0 {
                self.send(begin, interval, count, &mut counts.outcome)?;
            }
            self.receive(trial.compare, counts);
        }
    }

    /// Sends packets, each with the moment when it was due.
    fn send(&mut self, begin: u64, interval: f64, count: u64, outcome: &mut Outcome) -> Result<()> {
        let mut burst = Burst::new();
        for number in outcome.offered..outcome.offered + count {
            let (head, tail) = self.frames.next();
            let mut mbuf = self.pool.alloc().context("no packet buffer is free")?;
            let stamp = (begin + (number as f64 * interval) as u64).to_be_bytes();
            let len = head.len() + stamp.len() + tail.len();
            let room = mbuf
                .append(len)
                .context("a frame longer than a packet buffer")?;
            room[..head.len()].copy_from_slice(head);
            room[head.len()..head.len() + stamp.len()].copy_from_slice(&stamp);
            room[head.len() + stamp.len()..].copy_from_slice(tail);
            // A turn fits.
            drop(burst.push(mbuf));
        }
        outcome.offered += count;
        outcome.refused += self.out.transmit_or_free(&mut burst).dropped as u64;
        Ok(())
    }

    fn receive(&mut self, compare: bool, counts: &mut Counts) {
        let mut burst = Burst::new();
        self.back.receive(&mut burst);
        let now = rdtsc();
        for mbuf in burst.iter() {
            let frame = mbuf.data();
            let Some(stamp) = self.frames.stamp_of(frame) else {
                continue;
            };
            counts.outcome.received += 1;
            counts.times.saturating_record(now.saturating_sub(stamp));
            if compare {
                match self.frames.compare(frame) {
                    Ok(()) => counts.outcome.compared += 1,
                    Err(wrong) => {
                        counts.outcome.wrong.get_or_insert(wrong);
                    }
                }
            }
        }
        burst.clear();
        self.aside.receive(&mut burst);
        burst.clear();
    }

    /// Waits for what is still on its way.
    fn receive_last(&mut self, compare: bool, counts: &mut Counts) {
        let begin = rdtsc();
        while rdtsc() - begin < (LAST * self.hz) as u64 {
            self.receive(compare, counts);
        }
    }
}
