//! The worker loop: poll, run to completion, send, report quiescence.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vtepd_tables::TablesReader;

use crate::counters::Stage;
use crate::drop_reason::DropReason;
use crate::event::Command;
use crate::observer::Unobserved;
use crate::packet::{Burst, Io, Packet};
use crate::pipeline::Pipeline;
use crate::worker_state::WorkerState;

/// What a worker does when no queue has packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Idle {
    /// Polls on: lowest latency, a whole core.
    Poll,
    /// Sleeps for a while after some empty polls: for laptops, labs and shared cores.
    Sleep(Duration),
}

/// Empty polls before the first sleep, so that a packet that follows another
/// closely does not wait for a timer.
const POLLS_BEFORE_SLEEP: u32 = 64;

/// One worker.
pub struct Worker<I: Io> {
    io: I,
    reader: TablesReader,
    state: WorkerState,
    pipeline: Pipeline,
    clock: Clock,
    idle: Idle,
}

impl<I: Io> Worker<I> {
    /// A worker on the queues of `io`. `start_cycles` is when second 0 began; all
    /// workers and the control thread must agree upon it.
    pub fn new(
        io: I,
        reader: TablesReader,
        state: WorkerState,
        idle: Idle,
        start_cycles: u64,
    ) -> Self {
        let clock = Clock::new(start_cycles, io.cycles_per_second());
        Self {
            io,
            reader,
            state,
            pipeline: Pipeline::default(),
            clock,
            idle,
        }
    }

    /// Runs until `stop` is set; sends what is still to be sent, and returns the
    /// devices.
    pub fn run(mut self, stop: &AtomicBool) -> I {
        let mut empty_polls = 0u32;
        while !stop.load(Ordering::Relaxed) {
            if self.once() {
                empty_polls = 0;
                continue;
            }
            empty_polls = empty_polls.saturating_add(1);
            match self.idle {
                Idle::Sleep(time) if empty_polls > POLLS_BEFORE_SLEEP => {
                    self.reader.offline();
                    std::thread::sleep(time);
                    self.reader.online();
                }
                Idle::Poll | Idle::Sleep(_) => core::hint::spin_loop(),
            }
        }
        self.flush();
        self.io
    }

    /// One round over all queues. Whether there was anything to do.
    #[inline]
    pub fn once(&mut self) -> bool {
        self.state.now = self.clock.seconds(self.io.cycles());
        let mut packets = 0;
        let mut burst = Burst::new();
        for queue in 0..self.io.queues() {
            let begin = self.io.cycles();
            let interface = self.io.receive(queue, &mut burst);
            if burst.is_empty() {
                continue;
            }
            packets += burst.len();
            self.state
                .counters
                .spend(Stage::Receive, self.io.cycles().wrapping_sub(begin));
            let tables = self.reader.view();
            let Self {
                state,
                io,
                pipeline,
                ..
            } = self;
            pipeline.process(&tables, state, io, interface, &mut burst, &mut Unobserved);
        }
        let commands = self.carry_out_commands();
        let begin = self.io.cycles();
        self.flush();
        self.reader.quiescent();
        let counters = &self.state.counters;
        counters.loops.add(1);
        if packets > 0 {
            counters.spend(Stage::Transmit, self.io.cycles().wrapping_sub(begin));
            counters.busy_loops.add(1);
            counters.packets.add(packets as u64);
        }
        packets > 0 || commands
    }

    fn flush(&mut self) {
        let counters = &self.state.counters;
        self.io.flush(|interface, reason, refused| {
            if reason == DropReason::TransmitFull {
                counters.interface(interface).tx_refused.add(refused);
            }
            counters.count_drop(reason, refused);
        });
    }

    fn carry_out_commands(&mut self) -> bool {
        if self.state.channel().commands.is_empty() {
            return false;
        }
        while let Some(command) = self.state.channel().commands.pop() {
            let Command::Transmit { interface, frame } = command;
            let Some(mut packet) = self.io.allocate() else {
                self.state.counters.count_drop(DropReason::NoBuffer, 1);
                continue;
            };
            match packet.append(frame.len()) {
                Some(room) => {
                    room.copy_from_slice(&frame);
                    let counters = self.state.counters.interface(interface);
                    counters.tx_packets.add(1);
                    counters.tx_bytes.add(frame.len() as u64);
                    self.io.transmit(interface, packet);
                }
                None => {
                    self.state.counters.count_drop(DropReason::NoTailroom, 1);
                    self.io.discard(packet);
                }
            }
        }
        true
    }
}

/// Seconds since the start out of cycles, without a division per poll.
struct Clock {
    next_second_at: u64,
    cycles_per_second: u64,
    seconds: u16,
}

impl Clock {
    fn new(start_cycles: u64, cycles_per_second: u64) -> Self {
        let cycles_per_second = cycles_per_second.max(1);
        Self {
            next_second_at: start_cycles.wrapping_add(cycles_per_second),
            cycles_per_second,
            seconds: 0,
        }
    }

    #[inline]
    fn seconds(&mut self, now: u64) -> u16 {
        if now >= self.next_second_at {
            self.catch_up(now);
        }
        self.seconds
    }

    #[cold]
    fn catch_up(&mut self, now: u64) {
        let passed = (now - self.next_second_at) / self.cycles_per_second + 1;
        self.seconds = self.seconds.wrapping_add(passed as u16);
        self.next_second_at += passed * self.cycles_per_second;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_counts_seconds_however_late_it_is_read() {
        let mut clock = Clock::new(1000, 100);
        let read: Vec<u16> = [1000, 1099, 1100, 1101, 1350, 1399, 1400]
            .map(|now| clock.seconds(now))
            .to_vec();
        assert_eq!(read, [0, 0, 1, 1, 3, 3, 4]);
        assert_eq!(
            clock.seconds(1000 + 100 * 65_536),
            0,
            "stamps are modulo 2^16"
        );
    }
}
