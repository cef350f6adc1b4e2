//! Learning sources, as far as it is the worker's: what is new is told to the control
//! thread, which decides (RFC 7348, 4.1: the association of inner source and outer
//! source is learned).

use vtepd_tables::{Adjacency, AdjacencyIndex, FdbHit, FdbKey, HashedFdbKey, Origin, View};
use vtepd_wire::{FromBytes, ethernet};

use crate::context::{Frame, Source};
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::metadata;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;

/// Checks where the source is known to be.
#[inline]
pub(crate) fn learn<P: Packet, O: Observer>(
    stage: &mut Decide<'_, O>,
    frame: &Frame,
    key: HashedFdbKey,
    packet: &P,
    known: Option<&FdbHit<'_>>,
) -> Result<(), DropReason> {
    let is_host_mac = || frame.from_special && is_host_mac(stage.tables, packet);
    if frame.source == Source::Ignored {
        // Other hosts believe a frame with such a source, so that it is looked at always.
        return if is_host_mac() {
            Err(DropReason::RouterMacSource)
        } else {
            Ok(())
        };
    }
    match known {
        Some(hit) if hit.entry.adjacency == frame.ingress => {
            hit.touch(stage.state.now);
            Ok(())
        }
        Some(hit) if hit.entry.origin == Origin::Gateway => Err(DropReason::RouterMacSource),
        // Static entries win. One of a port on this host, seen from outside, is
        // our own frame coming back, and a storm if it were let through.
        Some(hit) if hit.entry.origin.is_static() => {
            if is_outside(stage.tables, frame.ingress)
                && !is_outside(stage.tables, hit.entry.adjacency)
            {
                Err(DropReason::Loop)
            } else {
                Ok(())
            }
        }
        None if is_host_mac() => Err(DropReason::RouterMacSource),
        _ if frame.source == Source::Learned => {
            stage.note(Decision::Learn(frame.ingress));
            stage.state.tell_seen(key, frame.ingress);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether the source is our own DVR host MAC, or another host's in a frame that does
/// not come from there, or the metadata service's. Stage 1 has told most others apart.
#[cold]
fn is_host_mac<P: Packet>(tables: &View<'_>, packet: &P) -> bool {
    let Ok((header, _)) = ethernet::Header::ref_from_prefix(packet.data()) else {
        return false;
    };
    let macs = &tables.snapshot.host_macs;
    let is_other = || {
        let key = tables.fdb.prefetch(FdbKey::host(header.source));
        tables.fdb.find(key).is_some()
    };
    macs.own == Some(header.source)
        || macs.may_be_other(header.source) && is_other()
        || header.source == metadata::MAC
}

/// Whether an adjacency leads to other hosts: a tunnel, or a VLAN segment.
fn is_outside(tables: &View<'_>, adjacency: AdjacencyIndex) -> bool {
    match tables.snapshot.adjacency(adjacency) {
        Adjacency::Port(port) => port.segment,
        Adjacency::Gateway(_) | Adjacency::Outside(_) => false,
        Adjacency::Tunnel(_) | Adjacency::Vacant => true,
    }
}
