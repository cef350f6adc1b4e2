//! Anti-spoofing: a port sends from its own MAC and addresses and its allowed
//! pairs, in Ethernet, IP, ARP and ND alike (RFC 2827; RFC 5227 and RFC 4861 for
//! what is in ARP and ND), and is neither router nor DHCP server.
//!
//! The FDB entry of the source, which learning has looked up anyway, says whether
//! the MAC is at home here, and which IPv4 address it has. Only what differs from
//! that is looked up further: other addresses of the port in the neighbour table,
//! allowed pairs in the snapshot.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vtepd_tables::{Access, FdbHit, Neighbour, Origin, View};
use vtepd_wire::ipv4::{PROTOCOL_ICMPV6, PROTOCOL_UDP};
use vtepd_wire::{FromBytes, Mac, arp, dhcp, ethernet, frame, icmpv6, ipv4, ipv6, mld, nd, udp};

use crate::context::Frame;
use crate::drop_reason::DropReason;

/// Who sends, as far as the FDB knows.
struct Sender<'a> {
    tables: &'a View<'a>,
    frame: &'a Frame,
    mac: Mac,
    /// The port's first IPv4 address, 0.0.0.0 if it has none or speaks by a pair.
    address: Ipv4Addr,
}

/// Checks a frame that came in where [`Access`] says so. `data` begins with its
/// headers; `known` is the FDB's entry of its source.
#[inline]
pub(crate) fn check(
    tables: &View<'_>,
    frame: &Frame,
    data: &[u8],
    known: Option<&FdbHit<'_>>,
) -> Result<(), DropReason> {
    let at_home = known.filter(|hit| hit.entry.adjacency == frame.ingress);
    let address = match at_home.map(|hit| hit.entry.origin) {
        Some(Origin::Guarded(address)) => Some(address),
        Some(Origin::Static) => return Ok(()),
        // One that was learned by a pair is still the pair's, which may be gone.
        _ if frame.access == Access::Guarded => None,
        // A port that is checked elsewhere is not to be played here either.
        _ if known.is_some_and(|hit| matches!(hit.entry.origin, Origin::Guarded(_))) => None,
        _ => return Ok(()),
    };
    let Ok((header, _)) = ethernet::Header::ref_from_prefix(data) else {
        return Err(DropReason::Truncated);
    };
    let sender = Sender {
        tables,
        frame,
        mac: header.source,
        address: address.unwrap_or(Ipv4Addr::UNSPECIFIED),
    };
    if address.is_none() && !sender.has_pair() {
        return Err(DropReason::SpoofedMac);
    }
    // The usual packet: untagged IPv4 from the port's first address.
    let link = frame::link(data).map_err(|_| DropReason::Truncated)?;
    let packet = data.get(usize::from(link.l3)..).unwrap_or_default();
    match link.ethertype {
        ethernet::ETHERTYPE_IPV4 => sender.check_ipv4(packet),
        ethernet::ETHERTYPE_IPV6 => sender.check_ipv6(packet),
        ethernet::ETHERTYPE_ARP => sender.check_arp(packet),
        ethertype => check_other(ethertype, packet),
    }
}

/// Neither IP nor ARP, unless they are behind a third tag or in LLC/SNAP, which some
/// systems look into (CVE-2021-27853 and -27861).
#[cold]
fn check_other(ethertype: u16, packet: &[u8]) -> Result<(), DropReason> {
    let is_snap = ethertype < LEAST_ETHERTYPE && packet.starts_with(&SNAP);
    if is_snap || ethernet::is_tag(ethertype) {
        Err(DropReason::HiddenHeaders)
    } else {
        Ok(())
    }
}

/// What an ICMPv6 message says of its sender.
#[derive(Default)]
struct Said {
    /// Whether it may come from ::.
    may_be_nameless: bool,
    /// An address that it claims.
    claimed: Option<Ipv6Addr>,
}

/// Where the options of a router solicitation begin (RFC 4861, 4.1).
const ROUTER_SOLICITATION_LEN: usize = 8;
/// Smaller numbers are lengths: an LLC header follows (IEEE 802.3, 3.2.6).
const LEAST_ETHERTYPE: u16 = 0x600;
/// LLC header of a SNAP frame, which names an ethertype of its own (IEEE 802).
const SNAP: [u8; 2] = [0xaa, 0xaa];

impl Sender<'_> {
    fn has_pair(&self) -> bool {
        let pairs = self.tables.snapshot.allowed(self.frame.ingress);
        pairs.iter().any(|pair| pair.mac == self.mac)
    }

    /// Whether an IPv4 address is the sender's.
    #[inline]
    fn owns_v4(&self, address: Ipv4Addr) -> bool {
        address == self.address && !address.is_unspecified() || self.owns(IpAddr::V4(address))
    }

    /// Whether an address beyond the first is the sender's.
    #[inline(never)]
    fn owns(&self, address: IpAddr) -> bool {
        let network = self.frame.network;
        let neighbour = match address {
            IpAddr::V4(address) => self.tables.neighbours.find_v4(network, address),
            IpAddr::V6(address) => self.tables.neighbours.find_v6(network, address),
        };
        let own = Neighbour {
            mac: self.mac,
            adjacency: self.frame.ingress,
        };
        let pairs = self.tables.snapshot.allowed(self.frame.ingress);
        let by_pair = || {
            pairs
                .iter()
                .any(|pair| pair.mac == self.mac && pair.addresses.contains(&address))
        };
        address == IpAddr::V6(ipv6::link_local(self.mac)) || neighbour == Some(own) || by_pair()
    }

    #[inline]
    fn check_ipv4(&self, packet: &[u8]) -> Result<(), DropReason> {
        let Ok((header, _)) = ipv4::Header::ref_from_prefix(packet) else {
            return Err(DropReason::IpMalformed);
        };
        let source = header.source_addr();
        let ports = match header.protocol {
            PROTOCOL_UDP if header.fragment_offset() == 0 => {
                let segment = packet.get(header.header_len()..).unwrap_or_default();
                Some(ports(segment).ok_or(DropReason::IpMalformed)?)
            }
            _ => None,
        };
        // Clients look at the port that they listen on, not at where it comes from.
        if ports
            .is_some_and(|(from, to)| from == dhcp::V4_SERVER_PORT || to == dhcp::V4_CLIENT_PORT)
        {
            return Err(DropReason::RogueServer);
        }
        // Who has no address yet asks for one (RFC 2131, 4.1).
        let asks =
            source.is_unspecified() && ports == Some((dhcp::V4_CLIENT_PORT, dhcp::V4_SERVER_PORT));
        if asks || self.owns_v4(source) {
            Ok(())
        } else {
            Err(DropReason::SpoofedAddress)
        }
    }

    fn check_ipv6(&self, packet: &[u8]) -> Result<(), DropReason> {
        let Ok((header, rest)) = ipv6::Header::ref_from_prefix(packet) else {
            return Err(DropReason::IpMalformed);
        };
        let rest = rest
            .get(..header.payload_length.get().into())
            .unwrap_or(rest);
        let upper =
            ipv6::walk_extensions(rest, header.next_header).map_err(|_| DropReason::IpMalformed)?;
        let message = rest.get(upper.offset..).unwrap_or_default();
        let source = header.source_addr();
        let mut said = Said::default();
        if upper.is_first() {
            match upper.protocol {
                PROTOCOL_ICMPV6 => {
                    let whole = upper.fragment.is_none();
                    said = self.check_icmpv6(source, message, whole)?;
                }
                PROTOCOL_UDP => check_dhcp6(message)?,
                _ => {}
            }
        }
        let may_be_nameless = said.may_be_nameless && source.is_unspecified();
        if !may_be_nameless && !self.owns(IpAddr::V6(source)) {
            return Err(DropReason::SpoofedAddress);
        }
        match said.claimed {
            Some(address) if !self.owns(IpAddr::V6(address)) => Err(DropReason::SpoofedArpNd),
            _ => Ok(()),
        }
    }

    /// `message` is the beginning of an ICMPv6 message, or all of it. One whose type is
    /// not there to be seen could be any (RFC 7113, 3).
    fn check_icmpv6(
        &self,
        source: Ipv6Addr,
        message: &[u8],
        whole: bool,
    ) -> Result<Said, DropReason> {
        let mut said = Said::default();
        match *message.first().ok_or(DropReason::IpMalformed)? {
            icmpv6::ROUTER_ADVERTISEMENT | icmpv6::REDIRECT => {
                return Err(DropReason::RogueServer);
            }
            icmpv6::NEIGHBOUR_ADVERTISEMENT => {
                said.claimed = Some(self.spoken_of(message, whole)?);
            }
            // Duplicate address detection, and the groups that go with it (RFC 4862,
            // 5.4.2; RFC 3590).
            icmpv6::NEIGHBOUR_SOLICITATION => {
                said.may_be_nameless = true;
                let target = self.spoken_of(message, whole)?;
                said.claimed = source.is_unspecified().then_some(target);
            }
            icmpv6::ROUTER_SOLICITATION => {
                said.may_be_nameless = true;
                self.check_options(message.get(ROUTER_SOLICITATION_LEN..), whole)?;
            }
            mld::V1_REPORT | mld::V2_REPORT => said.may_be_nameless = true,
            _ => {}
        }
        Ok(said)
    }

    /// The target of a neighbour solicitation or advertisement, both of which have it at
    /// the same place.
    fn spoken_of(&self, message: &[u8], whole: bool) -> Result<Ipv6Addr, DropReason> {
        let Ok((fixed, _)) = nd::Advertisement::ref_from_prefix(message) else {
            return Err(DropReason::SpoofedArpNd);
        };
        self.check_options(message.get(nd::Advertisement::LEN..), whole)?;
        Ok(fixed.target_addr())
    }

    /// The MACs that a message of neighbour discovery tells are the sender's. What is not
    /// whole hides its options, and nobody may act on it (RFC 6980, 5).
    fn check_options(&self, options: Option<&[u8]>, whole: bool) -> Result<(), DropReason> {
        let own = |option: nd::DiscoveryOption<'_>| {
            let kinds = [nd::OPTION_SOURCE_LINK_LAYER, nd::OPTION_TARGET_LINK_LAYER];
            !kinds.contains(&option.kind) || option.link_layer(option.kind) == Some(self.mac)
        };
        let options = options.filter(|_| whole);
        let sound =
            options.is_some_and(|bytes| nd::options(bytes).all(|option| option.is_ok_and(own)));
        if sound {
            Ok(())
        } else {
            Err(DropReason::SpoofedArpNd)
        }
    }

    fn check_arp(&self, packet: &[u8]) -> Result<(), DropReason> {
        let Ok((arp, _)) = arp::Packet::ref_from_prefix(packet) else {
            return Err(DropReason::SpoofedArpNd);
        };
        // A probe is for the address that its sender is about to take (RFC 5227, 2.1.1).
        let address = if arp.is_probe() {
            arp.target_addr()
        } else {
            arp.sender_addr()
        };
        if arp.sender_mac == self.mac && self.owns_v4(address) {
            Ok(())
        } else {
            Err(DropReason::SpoofedArpNd)
        }
    }
}

fn ports(segment: &[u8]) -> Option<(u16, u16)> {
    let (header, _) = udp::Header::ref_from_prefix(segment).ok()?;
    Some((header.source.get(), header.destination.get()))
}

fn check_dhcp6(segment: &[u8]) -> Result<(), DropReason> {
    match ports(segment) {
        None => Err(DropReason::IpMalformed),
        Some((from, to)) if from == dhcp::V6_SERVER_PORT || to == dhcp::V6_CLIENT_PORT => {
            Err(DropReason::RogueServer)
        }
        Some(_) => Ok(()),
    }
}
