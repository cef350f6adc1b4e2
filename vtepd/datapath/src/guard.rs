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
        Some(Origin::Guarded(address)) => address,
        Some(Origin::Static) => return Ok(()),
        _ if frame.access == Access::Guarded => Ipv4Addr::UNSPECIFIED,
        _ => return Ok(()),
    };
    let Ok((header, _)) = ethernet::Header::ref_from_prefix(data) else {
        return Err(DropReason::Truncated);
    };
    let sender = Sender {
        tables,
        frame,
        mac: header.source,
        address,
    };
    if at_home.is_none() && !sender.has_pair() {
        return Err(DropReason::SpoofedMac);
    }
    // The usual packet: untagged IPv4 from the port's first address.
    let link = frame::link(data).map_err(|_| DropReason::Truncated)?;
    let packet = data.get(usize::from(link.l3)..).unwrap_or_default();
    match link.ethertype {
        ethernet::ETHERTYPE_IPV4 => sender.check_ipv4(packet),
        ethernet::ETHERTYPE_IPV6 => sender.check_ipv6(packet),
        ethernet::ETHERTYPE_ARP => sender.check_arp(packet),
        _ => Ok(()),
    }
}

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
                ports(packet.get(header.header_len()..).unwrap_or_default())
            }
            _ => None,
        };
        if ports.is_some_and(|(from, _)| from == dhcp::V4_SERVER_PORT) {
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
        let upper =
            ipv6::walk_extensions(rest, header.next_header).map_err(|_| DropReason::IpMalformed)?;
        let message = rest.get(upper.offset..).unwrap_or_default();
        let source = header.source_addr();
        let kind = message.first().copied();
        let (mut nameless, mut claimed) = (false, None);
        match upper.protocol {
            PROTOCOL_ICMPV6 if upper.is_first() => match kind {
                Some(icmpv6::ROUTER_ADVERTISEMENT | icmpv6::REDIRECT) => {
                    return Err(DropReason::RogueServer);
                }
                Some(icmpv6::NEIGHBOUR_ADVERTISEMENT) => claimed = Some(claim(message)?),
                // Duplicate address detection, and the groups that go with it (RFC 4862,
                // 5.4.2; RFC 3590).
                Some(icmpv6::NEIGHBOUR_SOLICITATION) => {
                    nameless = true;
                    if source.is_unspecified() {
                        claimed = Some(probed(message)?);
                    }
                }
                Some(icmpv6::ROUTER_SOLICITATION | mld::V1_REPORT | mld::V2_REPORT) => {
                    nameless = true;
                }
                _ => {}
            },
            PROTOCOL_UDP if upper.is_first() && is_from(message, dhcp::V6_SERVER_PORT) => {
                return Err(DropReason::RogueServer);
            }
            _ => {}
        }
        let may_be_nameless = nameless && source.is_unspecified();
        if !may_be_nameless && !self.owns(IpAddr::V6(source)) {
            return Err(DropReason::SpoofedAddress);
        }
        match claimed {
            Some(address) if !self.owns(IpAddr::V6(address)) => Err(DropReason::SpoofedArpNd),
            _ => Ok(()),
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

fn is_from(segment: &[u8], port: u16) -> bool {
    ports(segment).is_some_and(|(from, _)| from == port)
}

/// The address that a neighbour advertisement speaks for.
fn claim(message: &[u8]) -> Result<Ipv6Addr, DropReason> {
    let parsed = nd::Advertisement::ref_from_prefix(message);
    parsed.map_or(Err(DropReason::SpoofedArpNd), |(message, _)| {
        Ok(message.target_addr())
    })
}

/// The address that a nameless solicitation is about to take.
fn probed(message: &[u8]) -> Result<Ipv6Addr, DropReason> {
    let parsed = nd::Solicitation::ref_from_prefix(message);
    parsed.map_or(Err(DropReason::SpoofedArpNd), |(message, _)| {
        Ok(message.target_addr())
    })
}
