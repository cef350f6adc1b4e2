//! UDP in whole Ethernet frames, taken out of them and put into them.

use std::net::{Ipv4Addr, Ipv6Addr};

use vtepd_wire::checksum::{Sum, udp_field};
use vtepd_wire::ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use vtepd_wire::frame::{self, Network};
use vtepd_wire::ipv4::PROTOCOL_UDP;
use vtepd_wire::{FromBytes, IntoBytes, Mac, Malformed, U16, U32, ipv4, ipv6, udp};

/// TTL and hop limit of what this host sends itself.
const TTL: u8 = 64;

/// Where a datagram comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End<A> {
    pub mac: Mac,
    pub address: A,
    pub port: u16,
}

/// A datagram that holds, checksums too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram<'a, A> {
    pub source: End<A>,
    pub destination: End<A>,
    pub payload: &'a [u8],
}

/// The UDP datagram in an untagged frame of IPv4.
///
/// # Errors
/// Truncated, lengths, checksum; field: tagged, a fragment, or something else than UDP over IPv4.
pub(super) fn parse_v4(frame: &[u8]) -> Result<Datagram<'_, Ipv4Addr>, Malformed> {
    let (link, network) = udp_in(frame, ETHERTYPE_IPV4)?;
    let bytes = frame
        .get(ethernet::Header::LEN..)
        .ok_or(Malformed::Truncated)?;
    ipv4::check(bytes, bytes.len())?;
    let (ip, _) = ipv4::Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
    let pseudo = |length| ip.pseudo_header(PROTOCOL_UDP, length);
    let (ports, payload) = datagram(frame, &network, pseudo)?;
    Ok(ends(
        link,
        [ip.source_addr(), ip.destination_addr()],
        ports,
        payload,
    ))
}

/// The UDP datagram in an untagged frame of IPv6, whose checksum must not be absent (RFC 8200, 8.1).
///
/// # Errors
/// As [`parse_v4`].
pub(super) fn parse_v6(frame: &[u8]) -> Result<Datagram<'_, Ipv6Addr>, Malformed> {
    let (link, network) = udp_in(frame, ETHERTYPE_IPV6)?;
    let bytes = frame
        .get(ethernet::Header::LEN..)
        .ok_or(Malformed::Truncated)?;
    let (ip, _) = ipv6::Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
    let pseudo = |length| ip.pseudo_header(PROTOCOL_UDP, u32::from(length));
    let (ports, payload) = datagram(frame, &network, pseudo)?;
    if ports.checksum.get() == 0 {
        return Err(Malformed::Checksum);
    }
    Ok(ends(
        link,
        [ip.source_addr(), ip.destination_addr()],
        ports,
        payload,
    ))
}

fn udp_in(frame: &[u8], ethertype: u16) -> Result<(&ethernet::Header, Network), Malformed> {
    let (header, _) = ethernet::Header::ref_from_prefix(frame).map_err(|_| Malformed::Truncated)?;
    let link = frame::link(frame)?;
    if link.tag_count != 0 || link.ethertype != ethertype {
        return Err(Malformed::Field);
    }
    let network = frame::network(frame, frame.len(), &link)?.ok_or(Malformed::Field)?;
    if network.fragment || network.protocol != PROTOCOL_UDP {
        return Err(Malformed::Field);
    }
    Ok((header, network))
}

fn datagram<'a>(
    frame: &'a [u8],
    network: &Network,
    pseudo: impl Fn(u16) -> Sum,
) -> Result<(&'a udp::Header, &'a [u8]), Malformed> {
    let bytes = frame
        .get(network.l4..network.end)
        .ok_or(Malformed::Truncated)?;
    let length = udp::check(bytes, bytes.len())?;
    let whole = bytes.get(..length).ok_or(Malformed::Truncated)?;
    if !udp::checksum_ok(pseudo(length as u16), whole) {
        return Err(Malformed::Checksum);
    }
    udp::Header::ref_from_prefix(whole).map_err(|_| Malformed::Truncated)
}

fn ends<'a, A>(
    link: &ethernet::Header,
    [source, destination]: [A; 2],
    ports: &udp::Header,
    payload: &'a [u8],
) -> Datagram<'a, A> {
    Datagram {
        source: End {
            mac: link.source,
            address: source,
            port: ports.source.get(),
        },
        destination: End {
            mac: link.destination,
            address: destination,
            port: ports.destination.get(),
        },
        payload,
    }
}

impl Datagram<'_, Ipv4Addr> {
    /// The whole frame; `None` when the payload is too long for a packet.
    pub fn frame(&self) -> Option<Vec<u8>> {
        let udp_len = u16::try_from(udp::Header::LEN + self.payload.len()).ok()?;
        let total = u16::try_from(ipv4::Header::LEN)
            .ok()?
            .checked_add(udp_len)?;
        let mut ip = ipv4::Header {
            version_ihl: ipv4::Header::VERSION_IHL,
            tos: 0,
            total_length: U16::new(total),
            identification: U16::ZERO,
            flags_fragment: U16::new(ipv4::FLAG_DONT_FRAGMENT),
            ttl: TTL,
            protocol: PROTOCOL_UDP,
            checksum: U16::ZERO,
            source: self.source.address.octets(),
            destination: self.destination.address.octets(),
        };
        ip.checksum
            .set(Sum::new().add_bytes(ip.as_bytes()).finish());
        let udp = self.udp(udp_len, ip.pseudo_header(PROTOCOL_UDP, udp_len));
        Some(self.joined(ETHERTYPE_IPV4, ip.as_bytes(), udp))
    }
}

impl Datagram<'_, Ipv6Addr> {
    /// The whole frame; `None` when the payload is too long for a packet.
    pub fn frame(&self) -> Option<Vec<u8>> {
        let udp_len = u16::try_from(udp::Header::LEN + self.payload.len()).ok()?;
        let ip = ipv6::Header {
            version_class_flow: U32::new(6 << 28),
            payload_length: U16::new(udp_len),
            next_header: PROTOCOL_UDP,
            hop_limit: TTL,
            source: self.source.address.octets(),
            destination: self.destination.address.octets(),
        };
        let udp = self.udp(udp_len, ip.pseudo_header(PROTOCOL_UDP, u32::from(udp_len)));
        Some(self.joined(ETHERTYPE_IPV6, ip.as_bytes(), udp))
    }
}

impl<A> Datagram<'_, A> {
    fn udp(&self, length: u16, pseudo: Sum) -> udp::Header {
        let mut header = udp::Header {
            source: U16::new(self.source.port),
            destination: U16::new(self.destination.port),
            length: U16::new(length),
            checksum: U16::ZERO,
        };
        let sum = pseudo.add_bytes(header.as_bytes()).add_bytes(self.payload);
        header.checksum.set(udp_field(sum.finish()));
        header
    }

    fn joined(&self, ethertype: u16, ip: &[u8], udp: udp::Header) -> Vec<u8> {
        let link = ethernet::Header::new(self.destination.mac, self.source.mac, ethertype);
        [link.as_bytes(), ip, udp.as_bytes(), self.payload].concat()
    }
}
