//! The worker loop: poll, run to completion, send, report quiescence.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vtepd_tables::TablesReader;

use crate::clock::Seconds;
use crate::counters::Stage;
use crate::drop_reason::DropReason;
use crate::event::Command;
use crate::observer::Unobserved;
use crate::packet::{BURST, Burst, Io, Packet};
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

/// Translations that are ended in a turn, when many are due: as many as a burst can begin. Of a million sessions, 64 end in
/// 5 µs on average; a second in which nothing is due costs 0.1 µs, however many there are. No session lasts longer for it: what
/// is overdue is not used any more.
const AGEING_STEPS: u32 = BURST as u32;

/// One worker.
pub struct Worker<I: Io> {
    io: I,
    reader: TablesReader,
    state: WorkerState,
    pipeline: Pipeline<I::Packet>,
    /// The second in which waiting packets were last looked at.
    looked_at: u16,
    /// The second up to which translations have been aged; `None` while work is left.
    aged: Option<u32>,
    clock: Arc<Seconds>,
    idle: Idle,
}

impl<I: Io> Worker<I> {
    /// A worker on the queues of `io`.
    pub fn new(
        io: I,
        reader: TablesReader,
        state: WorkerState,
        idle: Idle,
        clock: Arc<Seconds>,
    ) -> Self {
        let pipeline = Pipeline::new(state.translator.most_held());
        Self {
            io,
            reader,
            state,
            pipeline,
            looked_at: 0,
            aged: None,
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
        self.state.set_time(self.clock.get());
        // Before any look at the tables: whoever sees rules has opened their pools.
        let heard = self.state.attend();
        let taken = self.take_over();
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
        let commands = self.carry_out_commands() | self.deliver();
        if !self.pipeline.held().is_empty() && self.looked_at != self.state.now {
            self.resume();
        }
        let more = self.aged != Some(self.state.seconds) && self.age();
        self.state.tell_of_translations();
        let begin = self.io.cycles();
        self.flush();
        self.reader.quiescent();
        let counters = &self.state.counters;
        counters.loops.add(1);
        if packets + taken > 0 {
            counters.spend(Stage::Transmit, self.io.cycles().wrapping_sub(begin));
            counters.busy_loops.add(1);
            counters.packets.add(packets as u64);
        }
        packets + taken > 0 || commands || heard || more
    }

    /// This worker's state.
    pub fn state(&self) -> &WorkerState {
        &self.state
    }

    /// This worker's devices.
    pub fn io(&mut self) -> &mut I {
        &mut self.io
    }

    /// Packets that wait for a neighbour, and for a word of the translator.
    pub fn waiting(&self) -> usize {
        self.pipeline.held().len() + self.pipeline.kept().len()
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
            let (interface, frame) = match command {
                Command::Transmit { interface, frame } => (interface, frame),
                Command::Resume => {
                    self.resume();
                    continue;
                }
            };
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

    /// Looks at the packets that wait for a neighbour.
    #[cold]
    fn resume(&mut self) {
        let tables = self.reader.view();
        self.looked_at = self.state.now;
        self.pipeline
            .resume(&tables, &mut self.state, &mut self.io, &mut Unobserved);
    }

    /// Takes over what other workers have handed to this one.
    #[inline]
    fn take_over(&mut self) -> usize {
        let tables = self.reader.view();
        self.pipeline
            .take_over(&tables, &mut self.state, &mut self.io, &mut Unobserved)
    }

    /// Ends translations whose time is over, some in each turn. Whether more are left.
    #[cold]
    fn age(&mut self) -> bool {
        let tables = self.reader.view();
        let Self {
            state,
            io,
            pipeline,
            ..
        } = self;
        let more = pipeline.age(&tables, state, io, &mut Unobserved, AGEING_STEPS);
        self.aged = (!more).then_some(self.state.seconds);
        more
    }

    fn deliver(&mut self) -> bool {
        if self.state.channel().deliveries.is_empty() {
            return false;
        }
        let tables = self.reader.view();
        while let Some(delivery) = self.state.channel().deliveries.pop() {
            self.pipeline.deliver(
                &tables,
                &mut self.state,
                &mut self.io,
                &delivery,
                &mut Unobserved,
            );
        }
        true
    }
}
