//! Stage 1: what is this frame, and whose?
//!
//! ```text
//!   Ethernet, tag ──► binding ─┬─ nothing      drop
//!                              ├─ the underlay  terminate VXLAN, or a message to us
//!                              ├─ the metadata proxy's link
//!                              └─ a network     take the tag off
//!                                     │ the frame of a network
//!                                     ▼
//!                              classify: sane? fetch its FDB lines
//! ```

use vtepd_tables::{Access, AdjacencyIndex, Bound, FdbKey, Interface, NetworkIndex, TagKey, View};
use vtepd_wire::{FromBytes, ethernet};

use crate::context::{Frame, HEADERS, Ingress, Keys, OwnTags, Source, Verdict};
use crate::drop_reason::DropReason;
use crate::metadata;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;
use crate::underlay::{self, Terminated};
use crate::worker_state::WorkerState;

/// Looks at a frame as it came off the wire, takes off what belongs to the way
/// it came, and says what to do with it.
///
/// The verdict is written in its place: returned, it would be copied there right behind being put together, out of
/// bytes that are still on their way to memory; about 15 cycles for each packet.
#[inline]
pub(crate) fn input<P: Packet>(
    tables: &View<'_>,
    state: &WorkerState,
    ingress: Ingress<'_>,
    packet: &mut P,
    observer: &mut impl Observer,
    verdict: &mut Verdict,
) {
    if let Err(reason) = look(tables, state, ingress, packet, observer, verdict) {
        *verdict = reason.into();
    }
}

/// Writes the verdict, unless the frame goes no further.
#[inline]
fn look<P: Packet>(
    tables: &View<'_>,
    state: &WorkerState,
    ingress: Ingress<'_>,
    packet: &mut P,
    observer: &mut impl Observer,
    verdict: &mut Verdict,
) -> Result<(), DropReason> {
    if packet.data().len() < packet.frame_len() && !packet.pull_up(HEADERS) {
        return Err(DropReason::Scattered);
    }
    if packet.is_unfinished() {
        return Err(DropReason::Unfinished);
    }
    let Ok((header, rest)) = ethernet::Header::ref_from_prefix(packet.data()) else {
        return Err(DropReason::Truncated);
    };
    let mut tag_len = 0;
    let mut tag_key = TagKey::UNTAGGED;
    if ethernet::is_tag(header.ethertype.get()) {
        let Ok((tag, _)) = ethernet::Tag::ref_from_prefix(rest) else {
            return Err(DropReason::Truncated);
        };
        tag_key = TagKey::new(header.ethertype.get(), tag.vid());
        tag_len = ethernet::Tag::LEN;
    }
    let mut bound = ingress.interface.bound(tag_key);
    if bound == Bound::Nothing && tag_key != TagKey::UNTAGGED {
        (bound, tag_len) = (tenants_own_tag(tables, ingress.interface), 0);
    }
    match bound {
        Bound::Nothing => Err(DropReason::Unbound),
        Bound::Metadata => {
            *verdict = metadata::receive(tables, state, ingress, packet, tag_len, observer);
            Ok(())
        }
        Bound::Network {
            network,
            adjacency,
            access,
        } => {
            observer.note(ingress.position, Decision::Bound(network, adjacency));
            if tag_len != 0 {
                take_tag_off(packet)?;
            }
            let way = Way {
                network,
                adjacency,
                access,
                tunnel: false,
            };
            classify(tables, packet, way, verdict)
        }
        Bound::Underlay => {
            observer.note(ingress.position, Decision::Underlay);
            let bridge = |packet: &mut P, terminated: Terminated, verdict: &mut Verdict| {
                let Terminated {
                    vni,
                    network,
                    adjacency,
                } = terminated;
                let decision = Decision::Terminated(vni, network, adjacency);
                observer.note(ingress.position, decision);
                let way = Way {
                    network,
                    adjacency,
                    access: Access::Open,
                    tunnel: true,
                };
                classify(tables, packet, way, verdict)
            };
            underlay::receive(tables, state, ingress, packet, tag_len, verdict, bridge)
        }
    }
}

/// A tag that nothing is bound to is the tenant's own when untagged frames belong
/// to a network that carries such tags.
#[cold]
fn tenants_own_tag(tables: &View<'_>, interface: &Interface) -> Bound {
    match interface.bound(TagKey::UNTAGGED) {
        bound @ Bound::Network { network, .. }
            if tables
                .snapshot
                .network(network)
                .is_some_and(|network| network.vlan_transparent) =>
        {
            bound
        }
        _ => Bound::Nothing,
    }
}

/// Moves the MACs over the tag of the binding.
#[inline]
pub(crate) fn take_tag_off<P: Packet>(packet: &mut P) -> Result<(), DropReason> {
    let Some(front) = packet.data_mut().first_chunk_mut::<16>() else {
        return Err(DropReason::SharedBuffer);
    };
    front.copy_within(0..12, 4);
    if packet.strip_front(4) {
        Ok(())
    } else {
        Err(DropReason::Truncated)
    }
}

/// The way that a frame came into its network.
#[derive(Clone, Copy)]
struct Way {
    network: NetworkIndex,
    adjacency: AdjacencyIndex,
    access: Access,
    tunnel: bool,
}

/// The frame lies bare now: is it sane, and what is to be looked up?
#[inline]
fn classify<P: Packet>(
    tables: &View<'_>,
    packet: &P,
    way: Way,
    verdict: &mut Verdict,
) -> Result<(), DropReason> {
    let Ok((header, _)) = ethernet::Header::ref_from_prefix(packet.data()) else {
        return Err(DropReason::InnerTruncated);
    };
    let Some(network) = tables.snapshot.network(way.network) else {
        return Err(DropReason::Vacant);
    };
    let header = header.numbers();
    let is_tagged = ethernet::is_tag(header.ethertype);
    if header.source.is_multicast() || header.source.is_zero() {
        return Err(DropReason::InvalidSourceMac);
    }
    if header.destination.is_link_local_group() {
        return Err(DropReason::ReservedGroup);
    }
    if is_tagged && !network.vlan_transparent {
        return Err(DropReason::UnexpectedTag);
    }
    let macs = &tables.snapshot.host_macs;
    let fetch = |mac| tables.fdb.prefetch(FdbKey::new(way.network, mac));
    let destination = fetch(header.destination);
    let to_group = header.destination.is_multicast();
    let outside = way.tunnel || way.access == Access::Segment;
    let may_be_host = macs.may_be_other(header.source);
    let from_router = outside && may_be_host;
    let source_use = if network.learning {
        Source::Learned
    } else if from_router || to_group || matches!(way.access, Access::Known | Access::Guarded) {
        Source::Checked
    } else {
        Source::Ignored
    };
    let source = if from_router {
        tables.fdb.prefetch(FdbKey::host(header.source))
    } else if source_use != Source::Ignored {
        fetch(header.source)
    } else {
        destination
    };
    let frame = Frame {
        network: way.network,
        ingress: way.adjacency,
        from_tunnel: way.tunnel,
        access: way.access,
        from_router,
        from_special: may_be_host
            || macs.is_own(header.source)
            || header.source == metadata::MAC.bits(),
        to_group,
        ethertype: header.ethertype,
        tags: if is_tagged {
            own_tags(packet.data())
        } else {
            OwnTags::NONE
        },
        source: source_use,
    };
    *verdict = Verdict::Bridge(
        frame,
        Keys {
            destination,
            source,
        },
    );
    Ok(())
}

#[cold]
fn own_tags(frame: &[u8]) -> OwnTags {
    let link = vtepd_wire::frame::link(frame);
    let tpid = ethernet::Header::ref_from_prefix(frame).map(|(header, _)| header.ethertype.get());
    match (link, tpid) {
        (Ok(link), Ok(tpid)) => OwnTags {
            count: link.tag_count,
            outer: TagKey::new(tpid, link.outer_tag().unwrap_or(0)),
        },
        _ => OwnTags::NONE,
    }
}
