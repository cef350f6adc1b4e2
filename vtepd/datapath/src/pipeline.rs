//! The stages over a burst, in fixed order.
//!
//! ```text
//!   burst ─► input ─► decide ─► output ─► device bursts
//!            fetches   finds     fetched    (stages 1, 2, 3)
//!            headers   entries   ways out
//! ```
//!
//! Each stage runs over the whole burst before the next begins: what one asks
//! the caches for has arrived when the next one needs it.
//!
//! ```text
//!   another worker's queue ─► take over ─┐
//!   kept, and named by the translator ───┼─► decide, from the gateway on ─► output
//! ```

use arrayvec::ArrayVec;
use vtepd_nat::{InboundLookup, OutboundLookup};
use vtepd_tables::{InterfaceIndex, View};

use crate::again::Again;
use crate::context::{Ingress, Verdict};
use crate::counters::Stage;
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::event::Delivery;
use crate::input::input;
use crate::kept::Kept;
use crate::observer::Observer;
use crate::output::Output;
use crate::packet::{BURST, Burst, Io, Packet};
use crate::route::Prospect;
use crate::route::held::Held;
use crate::translate::Beforehand;
use crate::worker_state::{FEW_HELD, WorkerState};

/// How many packets ahead the headers are fetched.
const AHEAD: usize = 4;

/// The stages of one worker.
pub struct Pipeline<P> {
    /// Of the packets of the burst, by position.
    verdicts: [Verdict; BURST],
    held: Held<P>,
    kept: Kept<P>,
}

impl<P: Packet> Pipeline<P> {
    /// With room for `kept` packets that wait for a word of the translator
    /// ([`most_held`](vtepd_nat::Translator::most_held)).
    pub fn new(kept: usize) -> Self {
        Self {
            verdicts: [Verdict::Consumed; BURST],
            held: Held::default(),
            kept: Kept::new(kept),
        }
    }

    /// Packets that wait for a neighbour.
    pub fn held(&self) -> &Held<P> {
        &self.held
    }

    /// Packets that wait for a word of the translator.
    pub fn kept(&self) -> &Kept<P> {
        &self.kept
    }

    /// Takes what other workers have handed over through the rest of the stages. Returns how much there was.
    #[inline]
    pub fn take_over<I: Io<Packet = P>, O: Observer>(
        &mut self,
        tables: &View<'_>,
        state: &mut WorkerState,
        io: &mut I,
        observer: &mut O,
    ) -> usize {
        let mut again = self.again(tables, state, io, observer);
        let begin = again.io.cycles();
        let taken = again.take_over();
        if taken > 0 {
            let spent = io.cycles().wrapping_sub(begin);
            state.counters.taken_over.add(taken as u64);
            state.counters.spend(Stage::TakeOver, spent);
        }
        taken
    }

    /// Lets the translator's time pass, with at most `work` steps of each kind. Whether more is left.
    pub fn age<I: Io<Packet = P>, O: Observer>(
        &mut self,
        tables: &View<'_>,
        state: &mut WorkerState,
        io: &mut I,
        observer: &mut O,
        work: u32,
    ) -> bool {
        let begin = io.cycles();
        let more = state.translator.tick(state.seconds, work);
        self.again(tables, state, io, observer).release();
        let spent = io.cycles().wrapping_sub(begin);
        state.counters.spend(Stage::Age, spent);
        more
    }

    fn again<'a, I: Io<Packet = P>, O: Observer>(
        &'a mut self,
        tables: &'a View<'a>,
        state: &'a mut WorkerState,
        io: &'a mut I,
        observer: &'a mut O,
    ) -> Again<'a, I, O> {
        Again {
            tables,
            state,
            io,
            held: &mut self.held,
            kept: &mut self.kept,
            observer,
        }
    }

    /// Sends what has waited long enough, or for a neighbour that is known by now.
    #[cold]
    pub fn resume<I: Io<Packet = P>, O: Observer>(
        &mut self,
        tables: &View<'_>,
        state: &mut WorkerState,
        io: &mut I,
        observer: &mut O,
    ) {
        while let Some(mut freed) = self.held.free(tables, state.now) {
            let mut stage = Decide {
                tables,
                state,
                observer,
                position: 0,
            };
            let verdict = stage.resume(&mut freed);
            let mut output = Output {
                tables,
                state,
                io,
                held: &mut self.held,
                kept: &mut self.kept,
                observer,
            };
            output.dispose(0, freed.packet, &verdict);
        }
    }

    /// Sends a frame of the control thread into its network.
    #[cold]
    pub fn deliver<I: Io<Packet = P>, O: Observer>(
        &mut self,
        tables: &View<'_>,
        state: &mut WorkerState,
        io: &mut I,
        delivery: &Delivery,
        observer: &mut O,
    ) {
        let Some(mut packet) = io.allocate() else {
            state.counters.count_drop(DropReason::NoBuffer, 1);
            return;
        };
        state.counters.originated.add(1);
        let mut output = Output {
            tables,
            state,
            io,
            held: &mut self.held,
            kept: &mut self.kept,
            observer,
        };
        match packet.append(delivery.frame.len()) {
            Some(room) => {
                room.copy_from_slice(&delivery.frame);
                output.deliver(packet, delivery);
            }
            None => output.dispose(0, packet, &DropReason::NoTailroom.into()),
        }
    }
}

impl<P: Packet> Default for Pipeline<P> {
    /// For a worker whose translator nobody has given another size.
    fn default() -> Self {
        Self::new(FEW_HELD as usize)
    }
}

impl<P: Packet> Pipeline<P> {
    /// Takes a burst that came in by `interface` through all stages; afterwards
    /// every packet was handed back to `io`, to be sent or freed, or is held.
    #[inline]
    pub fn process<I: Io<Packet = P>, O: Observer>(
        &mut self,
        tables: &View<'_>,
        state: &mut WorkerState,
        io: &mut I,
        interface: InterfaceIndex,
        burst: &mut Burst<P>,
        observer: &mut O,
    ) {
        let begin = io.cycles();
        self.input(tables, state, interface, burst, observer);
        let classified = io.cycles();
        self.decide(tables, state, burst, observer);
        let decided = io.cycles();
        let mut output = Output {
            tables,
            state,
            io,
            held: &mut self.held,
            kept: &mut self.kept,
            observer,
        };
        for (position, (packet, verdict)) in burst.drain(..).zip(&self.verdicts).enumerate() {
            output.dispose(position, packet, verdict);
        }
        let done = io.cycles();
        state
            .counters
            .spend(Stage::Input, classified.wrapping_sub(begin));
        state
            .counters
            .spend(Stage::Decide, decided.wrapping_sub(classified));
        state
            .counters
            .spend(Stage::Output, done.wrapping_sub(decided));
        self.again(tables, state, io, observer).release();
    }

    #[inline]
    fn input(
        &mut self,
        tables: &View<'_>,
        state: &WorkerState,
        index: InterfaceIndex,
        burst: &mut Burst<P>,
        observer: &mut impl Observer,
    ) {
        for packet in burst.iter().take(AHEAD) {
            packet.prefetch();
        }
        let Some(interface) = tables.snapshot.interface(index) else {
            self.verdicts = [Verdict::Drop(DropReason::Unbound); BURST];
            return;
        };
        let mut bytes = 0;
        for position in 0..burst.len() {
            if let Some(next) = burst.get(position + AHEAD) {
                next.prefetch();
            }
            let (Some(packet), Some(verdict)) =
                (burst.get_mut(position), self.verdicts.get_mut(position))
            else {
                break;
            };
            bytes += packet.frame_len() as u64;
            input(
                tables,
                state,
                Ingress {
                    position,
                    index,
                    interface,
                },
                packet,
                observer,
                verdict,
            );
        }
        let counters = state.counters.interface(index);
        counters.rx_packets.add(burst.len() as u64);
        counters.rx_bytes.add(bytes);
    }

    #[inline]
    fn decide(
        &mut self,
        tables: &View<'_>,
        state: &mut WorkerState,
        burst: &mut Burst<P>,
        observer: &mut impl Observer,
    ) {
        let mut to_route = false;
        for (position, (packet, verdict)) in burst.iter_mut().zip(&mut self.verdicts).enumerate() {
            if let Verdict::Bridge(mut frame, keys) = *verdict {
                let mut stage = Decide {
                    tables,
                    state,
                    observer,
                    position,
                };
                *verdict = match stage.decide(&mut frame, keys, packet) {
                    Ok(to) => Verdict::Forward(frame, to),
                    Err(other) => {
                        to_route |= matches!(other, Verdict::Route(..));
                        other
                    }
                };
            }
        }
        if to_route {
            self.route(tables, state, burst, observer);
        }
    }

    /// Packets to gateways, in passes, so that what one asks the caches for is there when the next needs it. What is unusual comes
    /// last, in its order: sessions depend on it.
    #[inline(never)]
    fn route(
        &mut self,
        tables: &View<'_>,
        state: &mut WorkerState,
        burst: &mut Burst<P>,
        observer: &mut impl Observer,
    ) {
        let mut outbound = ArrayVec::<(Prospect, OutboundLookup), BURST>::new();
        let mut inbound = ArrayVec::<(usize, InboundLookup), BURST>::new();
        let mut unusual = false;
        let packets = burst.iter().zip(&mut self.verdicts).enumerate();
        for (position, (packet, verdict)) in packets {
            if let Verdict::Route(frame, at) = *verdict {
                let stage = Decide {
                    tables,
                    state,
                    observer,
                    position,
                };
                match stage.look_ahead(at, packet) {
                    Some(prospect) if prospect.outside => {
                        unusual = true;
                        if let Some(lookup) = stage.foresee_outbound(&prospect, packet) {
                            outbound.push((prospect, lookup));
                            *verdict = Verdict::SendOut(frame, at, prospect);
                        }
                    }
                    Some(prospect) => *verdict = Verdict::SendOn(frame, at, prospect),
                    None => {
                        unusual = true;
                        if let Some(lookup) = stage.foresee_inbound(at, packet) {
                            inbound.push((position, lookup));
                        }
                    }
                }
            }
        }
        for (prospect, lookup) in &outbound {
            if let Some(rules) = tables.snapshot.rules(prospect.vrf) {
                state.translator.outbound_prefetch(rules, lookup);
            }
        }
        for (_, lookup) in &inbound {
            state.translator.inbound_prefetch(lookup);
        }
        let packets = burst.iter_mut().zip(&mut self.verdicts).enumerate();
        for (position, (packet, verdict)) in packets {
            if let Verdict::SendOn(ref frame, at, ref prospect) = *verdict {
                let mut stage = Decide {
                    tables,
                    state,
                    observer,
                    position,
                };
                *verdict = match stage.send_on(frame, prospect, packet) {
                    Some((frame, to)) => Verdict::Forward(frame, to),
                    None => {
                        unusual = true;
                        Verdict::Route(*frame, at)
                    }
                };
            }
        }
        if !unusual {
            return;
        }
        let (mut outbound, mut inbound) = (outbound.iter(), inbound.iter().peekable());
        let packets = burst.iter_mut().zip(&mut self.verdicts).enumerate();
        for (position, (packet, verdict)) in packets {
            let mut stage = Decide {
                tables,
                state,
                observer,
                position,
            };
            match *verdict {
                Verdict::SendOut(ref frame, at, ref prospect) => {
                    let Some((_, lookup)) = outbound.next() else {
                        continue;
                    };
                    *verdict = match stage.send_out(frame, at, prospect, lookup, packet) {
                        Ok(Some((frame, to))) => Verdict::Forward(frame, to),
                        Ok(None) => stage.route_any_v4(*frame, at, packet, Beforehand::Nothing),
                        Err(other) => other,
                    };
                }
                Verdict::Route(frame, at) => {
                    let foreseen = inbound.next_if(|(of, _)| *of == position);
                    let known =
                        foreseen.map_or(Beforehand::Nothing, |(_, it)| Beforehand::Lookup(it));
                    *verdict = stage.route_any_v4(frame, at, packet, known);
                }
                _ => {}
            }
        }
    }
}
