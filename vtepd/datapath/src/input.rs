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

use vtepd_tables::{
    Access, AdjacencyIndex, Bound, FdbKey, Interface, Network, NetworkIndex, TagKey, View,
};
use vtepd_wire::{FromBytes, Mac, ethernet};

use crate::context::{Frame, HEADERS, Ingress, OwnTags, Verdict};
use crate::drop_reason::DropReason;
use crate::metadata;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;
use crate::underlay::{self, Terminated};
use crate::worker_state::WorkerState;

/// Looks at a frame as it came off the wire, takes off what belongs to the way
/// it came, and says what to do with it.
#[inline]
pub(crate) fn input<P: Packet>(
    tables: &View<'_>,
    state: &WorkerState,
    ingress: Ingress<'_>,
    packet: &mut P,
    observer: &mut impl Observer,
) -> Verdict {
    if packet.data().len() < packet.frame_len() && !packet.pull_up(HEADERS) {
        return DropReason::Scattered.into();
    }
    if packet.is_unfinished() {
        return DropReason::Unfinished.into();
    }
    let Ok((header, rest)) = ethernet::Header::ref_from_prefix(packet.data()) else {
        return DropReason::Truncated.into();
    };
    let mut tag_len = 0;
    let mut tag_key = TagKey::UNTAGGED;
    if ethernet::is_tag(header.ethertype.get()) {
        let Ok((tag, _)) = ethernet::Tag::ref_from_prefix(rest) else {
            return DropReason::Truncated.into();
        };
        tag_key = TagKey::new(header.ethertype.get(), tag.vid());
        tag_len = ethernet::Tag::LEN;
    }
    let mut bound = ingress.interface.bound(tag_key);
    if bound == Bound::Nothing && tag_key != TagKey::UNTAGGED {
        (bound, tag_len) = (tenants_own_tag(tables, ingress.interface), 0);
    }
    match bound {
        Bound::Nothing => DropReason::Unbound.into(),
        Bound::Metadata => metadata::receive(tables, state, ingress, packet, tag_len, observer),
        Bound::Network {
            network,
            adjacency,
            access,
        } => {
            observer.note(ingress.position, Decision::Bound(network, adjacency));
            if tag_len != 0
                && let Err(reason) = take_tag_off(packet)
            {
                return reason.into();
            }
            let way = Way {
                network,
                adjacency,
                access,
                tunnel: false,
            };
            classify(tables, packet, way)
        }
        Bound::Underlay => {
            observer.note(ingress.position, Decision::Underlay);
            match underlay::receive(tables, state, ingress, packet, tag_len) {
                Ok(Terminated {
                    vni,
                    network,
                    adjacency,
                }) => {
                    observer.note(
                        ingress.position,
                        Decision::Terminated(vni, network, adjacency),
                    );
                    let way = Way {
                        network,
                        adjacency,
                        access: Access::Open,
                        tunnel: true,
                    };
                    classify(tables, packet, way)
                }
                Err(verdict) => verdict,
            }
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
fn classify<P: Packet>(tables: &View<'_>, packet: &P, way: Way) -> Verdict {
    let Ok((header, _)) = ethernet::Header::ref_from_prefix(packet.data()) else {
        return DropReason::InnerTruncated.into();
    };
    let Some(network) = tables.snapshot.network(way.network) else {
        return DropReason::Vacant.into();
    };
    if let Err(reason) = check(header, network) {
        return reason.into();
    }
    let fetch = |mac: Mac| tables.fdb.prefetch(FdbKey::new(way.network, mac));
    let to_group = header.destination.is_multicast();
    let outside = way.tunnel || way.access == Access::Segment;
    let from_router = outside && tables.snapshot.host_macs.may_be_other(header.source);
    let checked = matches!(way.access, Access::Known | Access::Guarded);
    let destination = fetch(header.destination);
    let source_matters = from_router || network.learning || to_group || checked;
    let source = if from_router {
        tables.fdb.prefetch(FdbKey::host(header.source))
    } else if source_matters {
        fetch(header.source)
    } else {
        destination
    };
    Verdict::Bridge(Frame {
        network: way.network,
        ingress: way.adjacency,
        from_tunnel: way.tunnel,
        access: way.access,
        from_router,
        to_group,
        ethertype: header.ethertype.get(),
        tags: if ethernet::is_tag(header.ethertype.get()) {
            own_tags(packet.data())
        } else {
            OwnTags::NONE
        },
        destination,
        learning: network.learning,
        source,
        source_matters,
    })
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

#[inline]
fn check(header: &ethernet::Header, network: &Network) -> Result<(), DropReason> {
    if header.source.is_multicast() || header.source.is_zero() {
        return Err(DropReason::InvalidSourceMac);
    }
    if header.destination.is_link_local_group() {
        return Err(DropReason::ReservedGroup);
    }
    if ethernet::is_tag(header.ethertype.get()) && !network.vlan_transparent {
        return Err(DropReason::UnexpectedTag);
    }
    Ok(())
}
