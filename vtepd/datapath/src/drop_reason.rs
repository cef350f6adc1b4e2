//! Why a packet was dropped: one enum for everything.

macro_rules! drop_reasons {
    ($($name:ident = $code:literal: $text:literal,)*) => {
        /// Why a packet went no further. Every drop has exactly one reason, a
        /// counter of its own and a name that metrics, API and traces share.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum DropReason {
            $(#[doc = $text] $name,)*
        }

        impl DropReason {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name in metrics and the API.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// What it means, for people.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

drop_reasons! {
    // Any frame
    Truncated = "truncated": "the frame ends inside its Ethernet header or VLAN tag",
    Scattered = "scattered-headers": "the headers lie in several buffers that could not be joined",
    SharedBuffer = "shared-buffer": "the headers lie in a buffer that must not be written",
    Unfinished = "unfinished": "a virtual device handed over a frame without its checksum, or several in one; switch its offloads off",
    InvalidSourceMac = "invalid-source-mac": "the source MAC is zero or a group address",
    ReservedGroup = "reserved-group": "the destination is one of the groups 01:80:c2:00:00:0x that bridges keep on their link (IEEE 802.1Q, 8.6.3)",
    Unbound = "unbound": "no network is bound to the interface and VLAN tag that the frame came with",
    UnexpectedTag = "unexpected-vlan-tag": "the frame has an inner VLAN tag and its network is not vlan_transparent (RFC 7348, 6.1)",
    // The underlay
    OtherMac = "other-mac": "a packet of the underlay for another host's MAC",
    OuterMalformed = "outer-malformed": "a length, version or option of the outer IP header is wrong",
    OuterChecksum = "outer-checksum": "the checksum of the outer IPv4 header is wrong",
    OuterSource = "outer-source": "the outer source address is no host's: unspecified, loopback or a group",
    OuterFragment = "outer-fragment": "a fragment: tunnel packets must not be fragmented (RFC 7348, 4.3)",
    OuterDestination = "outer-destination": "the outer destination is neither a VTEP address of ours nor a group we have joined",
    OwnPacket = "own-packet": "the outer source is our own address: a loop in the underlay",
    UnderlayProtocol = "underlay-protocol": "a protocol that a VTEP does not speak on the underlay",
    UnderlayMalformed = "underlay-malformed": "an ARP, ND, ICMP or IGMP message of the underlay is malformed",
    UdpMalformed = "udp-malformed": "the length of the outer UDP header is wrong",
    UdpPort = "udp-port": "UDP to our address, but not to a VXLAN port",
    UdpChecksum = "udp-checksum": "the outer UDP checksum is neither zero nor right (RFC 7348, 5)",
    // VXLAN
    VxlanFlags = "vxlan-flags": "the VXLAN header has no I flag (RFC 7348, 5)",
    UnknownVni = "unknown-vni": "no network has the VNI",
    UnknownVtep = "unknown-vtep": "no host has the outer source address as its VTEP",
    InnerTruncated = "inner-truncated": "the VXLAN packet ends inside the inner Ethernet header",
    CongestionMarked = "ecn-ce-on-not-ect": "congestion was marked on a flow that does not understand it (RFC 6040, 4.2)",
    // Bridging
    SamePort = "same-port": "the destination is where the frame came from",
    SplitHorizon = "split-horizon": "from a tunnel to a tunnel",
    Loop = "loop": "from a tunnel with the source MAC of a port on this host",
    NoFloodTarget = "no-flood-target": "broadcast, multicast or unknown, and nobody else is in the network",
    ForeignVlan = "foreign-vlan": "the frame's own VLAN tag belongs to another network on the untagged port that it should leave by",
    Vacant = "vacant-adjacency": "the way out was taken away while the frame was on it",
    // Sending
    NextHopUnresolved = "next-hop-unresolved": "the MAC of the underlay's next hop is not known yet",
    TunnelMtu = "tunnel-mtu": "too big for the underlay once encapsulated",
    PortMtu = "port-mtu": "too big for the interface",
    NoHeadroom = "no-headroom": "the buffer has no room in front for a header",
    NoTailroom = "no-tailroom": "the buffer has no room behind for an answer",
    NoBuffer = "no-buffer": "the packet pool is empty",
    HandOffFull = "hand-off-full": "the ring to the worker that the flow belongs to is full",
    TransmitFull = "transmit-full": "the interface took no more frames",
}

impl DropReason {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The position in [`ALL`](Self::ALL).
    #[inline(always)]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_fit_for_labels() {
        let names: HashSet<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), DropReason::COUNT);
        for (position, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), position);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(reason.name().chars().all(plain), "{}", reason.name());
        }
    }
}
