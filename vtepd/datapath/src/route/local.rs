//! Packets to a gateway's own addresses: echo is answered (RFC 1812, 4.3.3.6; RFC 4443,
//! 4.2), DHCP goes to its service, and nothing else listens. Nothing is reassembled:
//! a fragment is dropped, the first one of a datagram that nobody listens to being told so.

use core::net::IpAddr;

use vtepd_wire::checksum::Sum;
use vtepd_wire::ipv4::{Checked, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP};
use vtepd_wire::{FromBytes, ethernet, icmp, icmp_error, icmpv6, icmpv6_error, ipv4, ipv6};

use super::L3;
use crate::context::{Frame, Verdict};
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::echo;
use crate::limit::Class;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;
use crate::resolution::Kind;

impl<O: Observer> Decide<'_, O> {
    #[cold]
    pub(crate) fn deliver_v4<P: Packet>(
        &mut self,
        frame: Frame,
        packet: &mut P,
        checked: Checked,
    ) -> Verdict {
        if let Some(service) = self.service_of(&frame, packet.data(), Kind::Other) {
            self.note(Decision::Asked(service));
            return self.state.ask(service, &frame, packet);
        }
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let Ok((&header, _)) = ipv4::Header::ref_from_prefix(bytes) else {
            return DropReason::IpMalformed.into();
        };
        let l4 = L3 + checked.header_len;
        let own = Some(IpAddr::V4(header.destination_addr()));
        match header.protocol {
            PROTOCOL_ICMP if header.is_fragment() => DropReason::GatewayService.into(),
            PROTOCOL_ICMP => {
                let len = checked.total_len - checked.header_len;
                if !packet.sum(Sum::new(), l4, len).is_some_and(Sum::is_valid) {
                    return DropReason::IpMalformed.into();
                }
                if !self.state.allow(&frame, Class::Resolution) {
                    return DropReason::EchoLimit.into();
                }
                match echo::answer_v4(packet, L3, l4) {
                    Some(true) => self.reply(frame, packet),
                    Some(false) => Verdict::Consumed,
                    None => DropReason::IpMalformed.into(),
                }
            }
            PROTOCOL_UDP | PROTOCOL_TCP => {
                let error = icmp_error::Error::unreachable(icmp::PORT_UNREACHABLE);
                self.error_v4(&frame, own, packet, error, DropReason::GatewayService)
            }
            _ => {
                let error = icmp_error::Error::unreachable(PROTOCOL_UNREACHABLE);
                self.error_v4(&frame, own, packet, error, DropReason::GatewayService)
            }
        }
    }

    #[cold]
    pub(crate) fn deliver_v6<P: Packet>(
        &mut self,
        frame: Frame,
        packet: &mut P,
        kind: Kind,
    ) -> Verdict {
        if let Some(service) = self.service_of(&frame, packet.data(), kind) {
            self.note(Decision::Asked(service));
            return self.state.ask(service, &frame, packet);
        }
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let Ok((&header, chain)) = ipv6::Header::ref_from_prefix(bytes) else {
            return DropReason::IpMalformed.into();
        };
        let Ok(upper) = ipv6::walk_extensions(chain, header.next_header) else {
            return DropReason::IpMalformed.into();
        };
        let l4 = L3 + ipv6::Header::LEN + upper.offset;
        let own = Some(IpAddr::V6(header.destination_addr()));
        let error = match upper.protocol {
            _ if !upper.is_first() => return DropReason::GatewayService.into(),
            PROTOCOL_ICMPV6 if upper.fragment.is_some() => {
                return DropReason::GatewayService.into();
            }
            PROTOCOL_ICMPV6 => {
                let len = packet.frame_len().saturating_sub(l4);
                let pseudo = header.pseudo_header(PROTOCOL_ICMPV6, len as u32);
                if !packet.sum(pseudo, l4, len).is_some_and(Sum::is_valid) {
                    return DropReason::IpMalformed.into();
                }
                if !self.state.allow(&frame, Class::Resolution) {
                    return DropReason::EchoLimit.into();
                }
                return match echo::answer_v6(packet, L3, l4) {
                    Some(true) => self.reply(frame, packet),
                    // What a station says of itself was heard already.
                    Some(false) => Verdict::Consumed,
                    None => DropReason::IpMalformed.into(),
                };
            }
            PROTOCOL_UDP | PROTOCOL_TCP => {
                icmpv6_error::Error::unreachable(icmpv6::PORT_UNREACHABLE)
            }
            NO_NEXT_HEADER => return Verdict::Consumed,
            // RFC 8200, 4: an unknown protocol, named by the byte before it.
            _ if upper.offset == 0 => icmpv6_error::Error {
                code: UNRECOGNISED_NEXT_HEADER,
                ..icmpv6_error::Error::parameter_problem(NEXT_HEADER_AT)
            },
            _ => return DropReason::GatewayService.into(),
        };
        self.error_v6(&frame, own, packet, error, DropReason::GatewayService)
    }

    /// The packet goes back to whom it came from.
    fn reply<P: Packet>(&mut self, frame: Frame, packet: &mut P) -> Verdict {
        let Ok((header, _)) = ethernet::Header::mut_from_prefix(packet.data_mut()) else {
            return DropReason::SharedBuffer.into();
        };
        (header.destination, header.source) = (header.source, header.destination);
        self.note(Decision::Answered);
        self.send_back(frame, packet)
    }
}

/// IPv6: nothing follows (RFC 8200, 4.7).
const NO_NEXT_HEADER: u8 = 59;
/// ICMPv6 code of a parameter problem (RFC 4443, 3.4).
const UNRECOGNISED_NEXT_HEADER: u8 = 1;
/// Where the fixed IPv6 header names what follows it.
const NEXT_HEADER_AT: u32 = 6;
/// ICMP code: no such protocol here (RFC 792).
const PROTOCOL_UNREACHABLE: u8 = 2;
