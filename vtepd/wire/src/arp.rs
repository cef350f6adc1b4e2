//! ARP for IPv4 over Ethernet (RFC 826, RFC 5227).

use core::net::Ipv4Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::Mac;
use crate::ethernet::ETHERTYPE_IPV4;

/// Hardware type of Ethernet.
pub const HARDWARE_ETHERNET: u16 = 1;
/// Operation: who has the target address?
pub const REQUEST: u16 = 1;
/// Operation: the sender has the sender address.
pub const REPLY: u16 = 2;

/// The whole packet, after the Ethernet header.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Packet {
    /// [`HARDWARE_ETHERNET`].
    pub hardware_type: U16,
    /// [`ETHERTYPE_IPV4`].
    pub protocol_type: U16,
    /// 6.
    pub hardware_len: u8,
    /// 4.
    pub protocol_len: u8,
    /// [`REQUEST`] or [`REPLY`].
    pub operation: U16,
    /// Who sends.
    pub sender_mac: Mac,
    /// The sender's address; zero in a probe.
    pub sender_ip: [u8; 4],
    /// To whom; not looked at in a request.
    pub target_mac: Mac,
    /// The address asked for, or that of who asked.
    pub target_ip: [u8; 4],
}

impl Packet {
    /// Bytes on the wire.
    pub const LEN: usize = 28;

    /// Who has `target_ip`? Tell `sender_ip`. A probe (RFC 5227, 2.1.1) has 0.0.0.0 there.
    #[inline]
    #[must_use]
    pub const fn request(sender_mac: Mac, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Self {
        Self::new(REQUEST, sender_mac, sender_ip, Mac::ZERO, target_ip)
    }

    /// `sender_ip` is at `sender_mac`, told to the target.
    #[inline]
    #[must_use]
    pub const fn reply(
        sender_mac: Mac,
        sender_ip: Ipv4Addr,
        target_mac: Mac,
        target_ip: Ipv4Addr,
    ) -> Self {
        Self::new(REPLY, sender_mac, sender_ip, target_mac, target_ip)
    }

    /// Does anyone have `target_ip`? Nobody is told an address (RFC 5227, 2.1.1), so that the answer comes
    /// back to `sender_mac` and no neighbour cache on the link changes.
    #[inline]
    #[must_use]
    pub const fn probe(sender_mac: Mac, target_ip: Ipv4Addr) -> Self {
        Self::request(sender_mac, Ipv4Addr::UNSPECIFIED, target_ip)
    }

    /// `ip` is at `mac`, told to everybody, in the form of a request (RFC 5227, 3). Those who
    /// look only at replies need [`Packet::announcement_reply`] as well.
    #[inline]
    #[must_use]
    pub const fn announcement(mac: Mac, ip: Ipv4Addr) -> Self {
        Self::request(mac, ip, ip)
    }

    /// `ip` is at `mac`, told to everybody, in the form of a reply.
    #[inline]
    #[must_use]
    pub const fn announcement_reply(mac: Mac, ip: Ipv4Addr) -> Self {
        Self::reply(mac, ip, mac, ip)
    }

    const fn new(
        operation: u16,
        sender_mac: Mac,
        sender_ip: Ipv4Addr,
        target_mac: Mac,
        target_ip: Ipv4Addr,
    ) -> Self {
        Self {
            hardware_type: U16::new(HARDWARE_ETHERNET),
            protocol_type: U16::new(ETHERTYPE_IPV4),
            hardware_len: 6,
            protocol_len: 4,
            operation: U16::new(operation),
            sender_mac,
            sender_ip: sender_ip.octets(),
            target_mac,
            target_ip: target_ip.octets(),
        }
    }

    /// Are the types and lengths those of IPv4 over Ethernet? Ask before any field is believed.
    #[inline]
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.hardware_type.get() == HARDWARE_ETHERNET
            && self.protocol_type.get() == ETHERTYPE_IPV4
            && self.hardware_len == 6
            && self.protocol_len == 4
    }

    /// Does it ask?
    #[inline]
    #[must_use]
    pub const fn is_request(&self) -> bool {
        self.operation.get() == REQUEST
    }

    /// Does it answer?
    #[inline]
    #[must_use]
    pub const fn is_reply(&self) -> bool {
        self.operation.get() == REPLY
    }

    /// A request whose sender has no address yet: nobody may learn from it (RFC 5227, 1.1).
    #[inline]
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.is_request() && u32::from_be_bytes(self.sender_ip) == 0
    }

    /// The sender tells its own address, as request or as reply ("gratuitous ARP"; RFC 5227, 3).
    #[inline]
    #[must_use]
    pub const fn is_announcement(&self) -> bool {
        let sender = u32::from_be_bytes(self.sender_ip);
        sender != 0 && sender == u32::from_be_bytes(self.target_ip)
    }

    /// The sender's address.
    #[inline]
    #[must_use]
    pub const fn sender_addr(&self) -> Ipv4Addr {
        let [a, b, c, d] = self.sender_ip;
        Ipv4Addr::new(a, b, c, d)
    }

    /// The target's address.
    #[inline]
    #[must_use]
    pub const fn target_addr(&self) -> Ipv4Addr {
        let [a, b, c, d] = self.target_ip;
        Ipv4Addr::new(a, b, c, d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::hex;

    const VM1: Mac = Mac([0xfa, 0x16, 0x3e, 0x9a, 0xb7, 0xd4]);
    const GATEWAY: Mac = Mac([0xfa, 0x16, 0x3e, 0x5b, 0x89, 0x14]);
    const VM1_IP: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 9);
    const GATEWAY_IP: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

    #[test]
    fn a_question_and_its_answer_byte_for_byte() {
        let question = Packet::request(VM1, VM1_IP, GATEWAY_IP);
        assert_eq!(
            question.as_bytes(),
            hex("0001080006040001fa163e9ab7d4c0a80109000000000000c0a80101")
        );
        let answer = Packet::reply(GATEWAY, GATEWAY_IP, VM1, VM1_IP);
        assert_eq!(
            answer.as_bytes(),
            hex("0001080006040002fa163e5b8914c0a80101fa163e9ab7d4c0a80109")
        );
        assert!(question.is_valid() && question.is_request() && !question.is_reply());
        assert!(answer.is_valid() && answer.is_reply());
        assert_eq!(
            (answer.sender_addr(), answer.target_addr()),
            (GATEWAY_IP, VM1_IP)
        );
    }

    #[test]
    fn probes_and_announcements_rfc5227() {
        let probe = Packet::probe(VM1, VM1_IP);
        assert!(probe.is_probe() && !probe.is_announcement());
        let announcement = Packet::announcement(VM1, VM1_IP);
        assert!(announcement.is_announcement() && !announcement.is_probe());
        let unsolicited = Packet::announcement_reply(VM1, VM1_IP);
        assert!(unsolicited.is_announcement() && !unsolicited.is_probe());
        let nobody = Packet::request(VM1, Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED);
        assert!(nobody.is_probe() && !nobody.is_announcement());
    }

    /// A router's probe for an address without a port (golden P1), and what tells of a floating IP (F4).
    #[test]
    fn rfc5227_probe_and_announcements_byte_for_byte() {
        let host = Mac([0xfa, 0x16, 0x3f, 0x7d, 0xd0, 0xdb]);
        let probe = crate::craft::ethernet(Mac::BROADCAST, host)
            .arp(Packet::probe(host, Ipv4Addr::new(192, 168, 2, 50)));
        assert_eq!(
            probe,
            hex("ffffffffffff fa163f7dd0db 0806 0001080006040001
                 fa163f7dd0db 00000000 000000000000 c0a80232")
        );
        let outside = Mac([0xfa, 0x16, 0x3e, 0x7d, 0xbd, 0x86]);
        let address = Ipv4Addr::new(10, 100, 0, 7);
        assert_eq!(
            Packet::announcement(outside, address).as_bytes(),
            hex("0001080006040001 fa163e7dbd86 0a640007 000000000000 0a640007")
        );
        assert_eq!(
            Packet::announcement_reply(outside, address).as_bytes(),
            hex("0001080006040002 fa163e7dbd86 0a640007 fa163e7dbd86 0a640007")
        );
    }

    #[test]
    fn other_hardware_or_protocols_are_not_valid() {
        let good = Packet::request(VM1, VM1_IP, GATEWAY_IP);
        for at in [0, 1, 2, 3, 4, 5] {
            let mut bytes = [0; Packet::LEN];
            bytes.copy_from_slice(good.as_bytes());
            bytes[at] ^= 0x10;
            assert!(!Packet::ref_from_bytes(&bytes).unwrap().is_valid(), "{at}");
        }
    }
}
