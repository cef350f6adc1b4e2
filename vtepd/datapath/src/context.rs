//! What the stages know about a packet of the burst.

use vtepd_nat::PortPair;
use vtepd_tables::{
    Access, AdjacencyIndex, HashedFdbKey, Interface, InterfaceIndex, NetworkIndex, TagKey,
};

use crate::drop_reason::DropReason;
use crate::route::Prospect;
use crate::route::held::Waiting;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug)]
pub enum Verdict {
    /// A frame of a network: look it up.
    Bridge(Frame, Keys),
    /// An IPv4 packet to a gateway: route it.
    Route(Frame, AdjacencyIndex),
    /// A usual one, whose neighbour is being fetched: send it on.
    SendOn(Frame, AdjacencyIndex, Prospect),
    /// A usual one to the outside, whose session is being fetched, too.
    SendOut(Frame, AdjacencyIndex, Prospect),
    /// A frame of a network leaves by one adjacency.
    Forward(Frame, AdjacencyIndex),
    /// A frame of a network goes to everybody else in it.
    Flood(Frame),
    /// A routed IPv4 packet leaves by one adjacency in parts.
    Fragment {
        /// The frame, of the network that it leaves to.
        frame: Frame,
        /// The way out.
        to: AdjacencyIndex,
        /// The network's MTU.
        mtu: u16,
    },
    /// A routed packet waits for its neighbour.
    Hold(Waiting),
    /// Its translation is another worker's.
    HandOver {
        /// Which.
        worker: u16,
        /// What that one needs to begin again.
        handed: Handed,
    },
    /// Waits until the translator names its number.
    KeepForTranslation {
        /// The number.
        number: u32,
        /// What is needed to begin again.
        handed: Handed,
    },
    /// Leaves by an interface as it is.
    Reply(InterfaceIndex),
    /// Leaves to the metadata proxy, with its tag if it has one.
    ToProxy,
    /// Was for us; there is nothing more to do with it.
    Consumed,
    /// Goes no further.
    Drop(DropReason),
}

impl From<DropReason> for Verdict {
    fn from(reason: DropReason) -> Self {
        Self::Drop(reason)
    }
}

/// The tags of a tenant's own that a frame has.
#[derive(Clone, Copy, Debug)]
pub struct OwnTags {
    /// How many, up to two.
    pub count: u8,
    /// The outer one.
    pub outer: TagKey,
}

impl OwnTags {
    /// No tag.
    pub const NONE: Self = Self {
        count: 0,
        outer: TagKey::UNTAGGED,
    };
}

/// What the FDB is asked about a frame; the lines that answer are being fetched.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Whom it is for.
    pub destination: HashedFdbKey,
    /// Who has sent it: the same as `destination`, and not to be looked at, when the [source
    /// is ignored](Source::Ignored).
    pub source: HashedFdbKey,
}

/// What the FDB is asked about the source of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Nothing: it does not matter to one station, in a network that does not learn, from where nothing is
    /// checked.
    Ignored,
    /// Where it is at home.
    Checked,
    /// That, and it is learned.
    Learned,
}

/// A frame of a network: untagged (its binding's tag and its tunnel's headers are off). It is written by one stage
/// and read by the next for each packet of a burst, and 16 bytes for that; the keys, which are large, are not part
/// of it.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Whose frame it is.
    pub network: NetworkIndex,
    /// The way it came, which is the way back.
    pub ingress: AdjacencyIndex,
    /// Whether it came in by a tunnel.
    pub from_tunnel: bool,
    /// Whom the network meets where it came in.
    pub access: Access,
    /// Whether the source may be another host's DVR host MAC; the source's key is that then.
    pub from_router: bool,
    /// Whether the source may be a MAC that no station has: a host's, or the metadata service's.
    pub from_special: bool,
    /// Whether the destination is a group.
    pub to_group: bool,
    /// The ethertype behind the MACs.
    pub ethertype: u16,
    /// The tenant's own tags.
    pub tags: OwnTags,
    /// What is asked about the source.
    pub source: Source,
}

impl Frame {
    /// Whether it came from another host: by a tunnel, or the network's VLAN segment.
    #[inline(always)]
    pub fn is_from_outside(&self) -> bool {
        self.from_tunnel || self.access == Access::Segment
    }
}

/// A packet that was sent to a gateway and begins again there: later, or on another worker. It
/// is as it came, but for its binding's tag or its tunnel's headers.
#[derive(Clone, Copy, Debug)]
pub struct Handed {
    /// The frame.
    pub frame: Frame,
    /// The gateway.
    pub at: AdjacencyIndex,
    /// Of a fragment, the ports that the first one of its datagram had.
    pub ports: Option<PortPair>,
    /// Of the tables that the indices are from
    /// ([`Snapshot::generation`](vtepd_tables::Snapshot::generation)).
    pub generation: u32,
}

/// Headers that the stages look at lie within this much of a frame: outer
/// Ethernet, tag, IPv6 with an extension header, UDP, VXLAN, and the inner
/// frame's down to the ports, with IPv6 and an extension header again.
pub(crate) const HEADERS: usize = 256;

/// The position of a packet in its burst, and where it came in.
#[derive(Clone, Copy)]
pub(crate) struct Ingress<'v> {
    pub position: usize,
    pub index: InterfaceIndex,
    pub interface: &'v Interface,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verdicts are written by one stage and read by the next, for each packet of a burst.
    #[test]
    fn a_verdict_stays_small() {
        assert!(size_of::<Frame>() <= 16, "{}", size_of::<Frame>());
        assert!(size_of::<Verdict>() <= 56, "{}", size_of::<Verdict>());
    }
}
