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

use vtepd_tables::{Adjacency, Origin, View};

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
    let hit = tables.fdb.find(source);
    match hit {
        Some(hit) if hit.entry.adjacency == frame.ingress => {
            hit.touch(state.now);
            Ok(())
        }
        // Static entries win. One of a port on this host, seen from a tunnel, is
        // our own frame coming back, and a storm if it were let through.
        Some(hit) if hit.entry.origin == Origin::Static => {
            let local = matches!(
                tables.snapshot.adjacency(hit.entry.adjacency),
                Adjacency::Port(_)
            );
            if frame.from_tunnel && local {
                Err(DropReason::Loop)
            } else {
                Ok(())
            }
        }
        _ => {
            observer.note(position, Decision::Learn(frame.ingress));
            state.tell_seen(source.key(), frame.ingress);
            Ok(())
        }
    }
}
