//! Packets that begin again at their gateway: handed over by another worker, or kept until the translator knows
//! more about them.
//!
//! ```text
//!   another worker's queue ─► take over ─┐
//!   kept, and named by the translator ───┴─► decide, from the gateway on ─► output
//! ```
//!
//! All packets of a session are its owner's, in both directions: see [`vtepd_nat::Slices`]. One that lands elsewhere
//! crosses once, as it came. What one worker hands another arrives in its order, so a flow keeps its own.

use arrayvec::ArrayVec;
use vtepd_nat::{Fate, Refusal, Release};
use vtepd_tables::View;

use crate::context::{Handed, Verdict};
use crate::decide::Decide;
use crate::kept::Kept;
use crate::observer::Observer;
use crate::output::Output;
use crate::packet::{BURST, Io, Packet};
use crate::route::held::Held;
use crate::worker_state::WorkerState;

/// Packets that a worker takes over in a turn, from all others together: each of them may have polled several queues.
const TAKEN_OVER: usize = 8 * BURST;

/// What such packets need of their worker.
pub(crate) struct Again<'a, I: Io, O: Observer> {
    pub tables: &'a View<'a>,
    pub state: &'a mut WorkerState,
    pub io: &'a mut I,
    pub held: &'a mut Held<I::Packet>,
    pub kept: &'a mut Kept<I::Packet>,
    pub observer: &'a mut O,
}

impl<I: Io, O: Observer> Again<'_, I, O> {
    /// Takes what other workers have handed over through the rest of the stages. Returns how much there was.
    #[inline]
    pub(crate) fn take_over(&mut self) -> usize {
        let mut taken = 0;
        let mut burst = ArrayVec::<(I::Packet, Handed), BURST>::new();
        while taken < TAKEN_OVER {
            while !burst.is_full()
                && let Some((packet, handed)) = self.io.take_handed()
            {
                // Its lines are in another core's cache: all of them are asked for before the first is read.
                packet.prefetch();
                burst.push((packet, handed));
            }
            if burst.is_empty() {
                break;
            }
            taken += burst.len();
            for (position, (packet, handed)) in burst.drain(..).enumerate() {
                self.resume(position, packet, &handed);
            }
            self.release();
        }
        taken
    }

    /// Sends on, or drops, the packets that the translator has named since.
    #[inline]
    pub(crate) fn release(&mut self) {
        while let Some(Release { number, fate }) = self.state.translator.next_release() {
            let Some((packet, handed)) = self.kept.take(number) else {
                continue;
            };
            match fate {
                Fate::Resume(_) => self.resume(0, packet, &handed),
                Fate::Drop(refusal) => self.refuse(packet, &handed, Some(refusal)),
                Fate::Unreachable => self.refuse(packet, &handed, None),
            }
        }
    }

    fn resume(&mut self, position: usize, mut packet: I::Packet, handed: &Handed) {
        let verdict = self
            .decide(position)
            .resume_translation(handed, &mut packet);
        self.dispose(position, packet, &verdict);
    }

    #[cold]
    fn refuse(&mut self, mut packet: I::Packet, handed: &Handed, refusal: Option<Refusal>) {
        let mut stage = self.decide(0);
        let verdict = stage.refuse_translation(handed, &mut packet, refusal);
        self.dispose(0, packet, &verdict);
    }

    fn decide(&mut self, position: usize) -> Decide<'_, O> {
        Decide {
            tables: self.tables,
            state: self.state,
            observer: self.observer,
            position,
        }
    }

    #[inline]
    fn dispose(&mut self, position: usize, packet: I::Packet, verdict: &Verdict) {
        let mut output = Output {
            tables: self.tables,
            state: self.state,
            io: self.io,
            held: self.held,
            kept: self.kept,
            observer: self.observer,
        };
        output.dispose(position, packet, verdict);
    }
}
