//! Stage 2: where does this frame go?
//!
//! ```text
//!   learn the source ─► group? ── yes ─► ARP or ND that the table can answer? ── yes ─► back
//!        │                │ no                     │ no
//!        │                ▼                        ▼
//!        ▼              FDB ── unknown ─────────► flood
//!   loop? drop            └─── known ───────────► forward
//! ```

mod suppress;

use vtepd_tables::{Adjacency, AdjacencyIndex, Origin, View};

use crate::context::{Frame, Verdict};
use crate::drop_reason::DropReason;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;
use crate::worker_state::WorkerState;

/// Decides upon a frame of a network.
#[inline]
pub(crate) fn decide<P: Packet>(
    tables: &View<'_>,
    state: &mut WorkerState,
    position: usize,
    frame: Frame,
    packet: &mut P,
    observer: &mut impl Observer,
) -> Verdict {
    if let Err(reason) = learn(tables, state, position, &frame, observer) {
        return reason.into();
    }
    if frame.to_group {
        if suppress::applies(tables, &frame)
            && let Some(verdict) = suppress::answer(tables, &frame, packet)
        {
            observer.note(position, Decision::Suppressed);
            state.counters.suppressed.add(1);
            return verdict;
        }
        observer.note(position, Decision::Flood);
        return Verdict::Flood(frame);
    }
    match tables.fdb.find(frame.destination) {
        Some(hit) => {
            observer.note(position, Decision::Known(hit.entry));
            if hit.entry.adjacency == frame.ingress {
                DropReason::SamePort.into()
            } else {
                Verdict::Forward(frame, hit.entry.adjacency)
            }
        }
        None => {
            observer.note(position, Decision::Unknown);
            Verdict::Flood(frame)
        }
    }
}

/// Checks where the source is known to be. What is new is told to the control
/// thread, which decides (RFC 7348, 4.1: the association of inner source and
/// outer source is learned).
#[inline]
fn learn(
    tables: &View<'_>,
    state: &mut WorkerState,
    position: usize,
    frame: &Frame,
    observer: &mut impl Observer,
) -> Result<(), DropReason> {
    let Some(source) = frame.source else {
        return Ok(());
    };
    match tables.fdb.find(source) {
        Some(hit) if hit.entry.adjacency == frame.ingress => {
            hit.touch(state.now);
            Ok(())
        }
        // Static entries win. One of a port on this host, seen from outside, is
        // our own frame coming back, and a storm if it were let through.
        Some(hit) if hit.entry.origin == Origin::Static => {
            if is_outside(tables, frame.ingress) && !is_outside(tables, hit.entry.adjacency) {
                Err(DropReason::Loop)
            } else {
                Ok(())
            }
        }
        _ if frame.learning => {
            observer.note(position, Decision::Learn(frame.ingress));
            state.tell_seen(source, frame.ingress);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether an adjacency leads to other hosts: a tunnel, or a VLAN segment.
fn is_outside(tables: &View<'_>, adjacency: AdjacencyIndex) -> bool {
    match tables.snapshot.adjacency(adjacency) {
        Adjacency::Port(port) => port.segment,
        Adjacency::Tunnel(_) | Adjacency::Vacant => true,
    }
}
