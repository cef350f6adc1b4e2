//! Turning an echo request into its answer, in place: for our own addresses and for
//! those of gateways.

use vtepd_wire::{FromBytes, checksum, icmp, icmpv6, ipv4, ipv6};

use crate::packet::Packet;

/// TTL and hop limit of answers (RFC 1122, 3.2.1.7 wants it settable at the source; 64
/// is the number that IANA recommends).
const TTL: u8 = 64;

/// IPv4 at `l3`, ICMP at `l4`. Whether it was an echo request; `None` when the headers
/// are not there to be written.
pub(crate) fn answer_v4<P: Packet>(packet: &mut P, l3: usize, l4: usize) -> Option<bool> {
    let (front, message) = packet.data_mut().split_at_mut_checked(l4)?;
    let (ip, _) = ipv4::Header::mut_from_prefix(front.get_mut(l3..)?).ok()?;
    let (echo, _) = icmp::Header::mut_from_prefix(message).ok()?;
    if echo.kind != icmp::ECHO_REQUEST || echo.code != 0 {
        return Some(false);
    }
    let kind = [icmp::ECHO_REQUEST, icmp::ECHO_REPLY].map(|kind| u16::from(kind) << 8);
    echo.kind = icmp::ECHO_REPLY;
    echo.checksum
        .set(checksum::update_u16(echo.checksum.get(), kind[0], kind[1]));
    (ip.source, ip.destination) = (ip.destination, ip.source);
    let ttl = [ip.ttl, TTL].map(|ttl| u16::from(ttl) << 8);
    ip.ttl = TTL;
    ip.checksum
        .set(checksum::update_u16(ip.checksum.get(), ttl[0], ttl[1]));
    Some(true)
}

/// The same for IPv6 and ICMPv6. From nobody, or to a group, nothing is answered.
pub(crate) fn answer_v6<P: Packet>(packet: &mut P, l3: usize, l4: usize) -> Option<bool> {
    let (front, message) = packet.data_mut().split_at_mut_checked(l4)?;
    let (ip, _) = ipv6::Header::mut_from_prefix(front.get_mut(l3..)?).ok()?;
    let (echo, _) = icmpv6::Header::mut_from_prefix(message).ok()?;
    if echo.kind != icmpv6::ECHO_REQUEST
        || ip.source_addr().is_unspecified()
        || ip.source_addr().is_multicast()
        || ip.destination_addr().is_multicast()
    {
        return Some(false);
    }
    let kind = [icmpv6::ECHO_REQUEST, icmpv6::ECHO_REPLY].map(|kind| u16::from(kind) << 8);
    echo.kind = icmpv6::ECHO_REPLY;
    echo.checksum
        .set(checksum::update_u16(echo.checksum.get(), kind[0], kind[1]));
    (ip.source, ip.destination) = (ip.destination, ip.source);
    ip.hop_limit = TTL;
    Some(true)
}
