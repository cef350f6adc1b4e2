//! Why a packet was dropped: one enum for everything.

use vtepd_nat::Refusal;

macro_rules! drop_reasons {
    (
        $($name:ident = $code:literal: $text:literal,)*
        => Refusal { $($refused:ident = $refusal:ident,)* }
    ) => {
        /// Why a packet went no further. Every drop has exactly one reason, a
        /// counter of its own and a name that metrics, API and traces share.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum DropReason {
            $(#[doc = $text] $name,)*
            $(#[doc = concat!("Translation refused it: see [`Refusal::", stringify!($refusal), "`].")]
            $refused,)*
        }

        impl DropReason {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)* $(Self::$refused,)*];

            /// The name in metrics and the API.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                    $(Self::$refused => Refusal::$refusal.name(),)*
                }
            }

            /// What it means, for people.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    $(Self::$refused => Refusal::$refusal.description(),)*
                }
            }
        }

        impl From<Refusal> for DropReason {
            fn from(refusal: Refusal) -> Self {
                match refusal { $(Refusal::$refusal => Self::$refused,)* }
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
    // Who may send what
    SpoofedMac = "spoofed-mac": "the source MAC is not one of the port's (anti_spoofing)",
    SpoofedAddress = "spoofed-address": "the source address is neither the port's nor of its allowed_address_pairs (RFC 2827)",
    SpoofedArpNd = "spoofed-arp-nd": "ARP or ND speaks for an address or MAC that is not the port's",
    HiddenHeaders = "hidden-headers": "from a guarded port, behind more than two VLAN tags or in LLC/SNAP, where its addresses cannot be checked",
    RogueServer = "rogue-server": "a router advertisement, redirect or DHCP answer from a guarded port",
    RouterMacSource = "router-mac-source": "the source is a gateway's MAC, a DVR host MAC or the metadata service's, which no station has",
    ArpNdLimit = "arp-nd-limit": "more ARP and ND from one port than it may send in a second",
    EchoLimit = "echo-limit": "more echo requests to gateways, ARP and ND from one port than it may send in a second",
    ServiceLimit = "service-limit": "more DHCP and router solicitations from one port than it may send in a second",
    ServiceQueue = "service-queue-full": "the control thread has too many DHCP and router solicitations waiting",
    // Between the hosts of a distributed router
    GatewayFromUnderlay = "gateway-from-underlay": "to a gateway from another host, which has one of its own (gateway_from_underlay is off)",
    DvrDestination = "dvr-destination": "routed by another host, and its destination is no port of this one",
    DvrNotRouted = "dvr-not-routed": "routed by another host into a network that has no router here",
    // Routing
    GatewayProtocol = "gateway-protocol": "neither IPv4, IPv6 nor ARP, and sent to a gateway",
    IpMalformed = "ip-malformed": "a length, version or option of the IP header is wrong",
    IpChecksum = "ip-checksum": "the checksum of the IPv4 header is wrong (RFC 1812, 5.2.2)",
    SourceRoute = "source-route": "source routed (RFC 7126, 4.3 and 4.4)",
    Martian = "martian": "the source or destination is none that a router forwards (RFC 1812, 5.3.7; RFC 4291, 2.5)",
    TtlExceeded = "ttl-exceeded": "the TTL or hop limit has run out; the sender is told",
    NoRoute = "no-route": "the router has no route to the destination; the sender is told",
    Blackhole = "blackhole": "its route leads nowhere",
    NeighbourUnknown = "neighbour-unknown": "nobody has said yet that the next hop's address is his; he is being asked",
    ProbeLimit = "probe-limit": "more packets to unknown neighbours from one port than it may send in a second",
    MtuExceeded = "mtu-exceeded": "too big for the network it is routed to, and not to be fragmented; the sender is told",
    GatewayService = "gateway-service": "to a gateway's own address, where nothing of the kind listens; the sender is told",
    // Metadata
    MetadataUnknown = "metadata-unknown": "to 169.254.169.254 from an address that is none of a port of this host with metadata, or from the metadata proxy to one that stands for nobody",
    MetadataProtocol = "metadata-protocol": "to 169.254.169.254 or from its proxy, and no whole TCP segment of the right port without IP options",
    MetadataLimit = "metadata-limit": "more packets to 169.254.169.254 from one port than it may send in a second",
    MetadataUnresolved = "metadata-unresolved": "the metadata proxy has not answered ARP yet",
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
    // Between the inside and the outside
    => Refusal {
        NatMalformed = Malformed,
        NatScattered = Scattered,
        NatNoRule = NoRule,
        NatNotOurs = NotOurs,
        NatNoMapping = NoMapping,
        NatNoSession = NoSession,
        NatFiltered = Filtered,
        NatProtocol = Protocol,
        NatIcmpType = IcmpType,
        NatIcmpChecksum = IcmpChecksum,
        NatQuoteMalformed = QuoteMalformed,
        NatQuoteUnknown = QuoteUnknown,
        NatSessionsFull = SessionsFull,
        NatPortsExhausted = PortsExhausted,
        NatTupleTaken = TupleTaken,
        NatSubscriberUnknown = SubscriberUnknown,
        NatSubscriberSessions = SubscriberSessions,
        NatSubscriberRate = SubscriberRate,
        NatSubscriberPorts = SubscriberPorts,
        NatFragmentTiny = FragmentTiny,
        NatFragmentLimit = FragmentLimit,
        NatFragmentTimeout = FragmentTimeout,
        NatFragmentRefused = FragmentRefused,
        NatSynCrossed = SynCrossed,
        NatHoldFull = HoldFull,
        NatPoolClosed = PoolClosed,
        NatUnsolicited = Unsolicited,
        NatOutboundOnlyFull = OutboundOnlyFull,
    }
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
