//! Does a frame hold, to its innermost header?

use super::short;
use crate::checksum::Sum;
use crate::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4};
use crate::ipv4::{PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_IGMP, PROTOCOL_TCP, PROTOCOL_UDP};
use crate::{FromBytes, Malformed, arp, frame, icmp, icmpv6, ipv4, ipv6, tcp, udp, vxlan};

/// Do all lengths and checksums of this frame hold, those of a frame inside VXLAN (ports 4789 and
/// 8472) too? Of a fragment only the IP header is looked at. A UDP checksum of zero holds.
///
/// # Errors
/// What is wrong with the outermost header that is wrong.
pub fn verify(frame: &[u8]) -> Result<(), Malformed> {
    let link = frame::link(frame)?;
    let l3 = usize::from(link.l3);
    if link.ethertype == ETHERTYPE_ARP {
        let (packet, _) =
            arp::Packet::ref_from_prefix(&frame[l3..]).map_err(|_| Malformed::Truncated)?;
        return packet.is_valid().then_some(()).ok_or(Malformed::Field);
    }
    let Some(network) = frame::network(frame, frame.len(), &link)? else {
        return Ok(());
    };
    let message = &frame[network.l4..network.end];
    let pseudo = if link.ethertype == ETHERTYPE_IPV4 {
        ipv4::check(&frame[l3..], frame.len() - l3)?;
        let (header, _) = ipv4::Header::ref_from_prefix(&frame[l3..]).unwrap();
        header.pseudo_header(network.protocol, short(message.len()))
    } else {
        let (header, _) = ipv6::Header::ref_from_prefix(&frame[l3..]).unwrap();
        header.pseudo_header(network.protocol, u32::from(short(message.len())))
    };
    if network.fragment {
        return Ok(());
    }
    verify_transport(network.protocol, pseudo, message)
}

fn verify_transport(protocol: u8, pseudo: Sum, message: &[u8]) -> Result<(), Malformed> {
    let holds = match protocol {
        PROTOCOL_TCP => {
            tcp::check(message, message.len())?;
            tcp::checksum_ok(pseudo, message)
        }
        PROTOCOL_UDP => {
            // Bytes behind the datagram (UDP options) are not summed, nor counted by the pseudo header.
            if udp::check(message, message.len())? != message.len() {
                return Err(Malformed::TotalLength);
            }
            udp::checksum_ok(pseudo, message)
        }
        PROTOCOL_ICMP => icmp::checksum_ok(message),
        PROTOCOL_IGMP => Sum::new().add_bytes(message).is_valid(),
        PROTOCOL_ICMPV6 => icmpv6::checksum_ok(pseudo, message),
        _ => true,
    };
    if !holds {
        return Err(Malformed::Checksum);
    }
    if protocol != PROTOCOL_UDP {
        return Ok(());
    }
    let (header, payload) = udp::Header::ref_from_prefix(message).unwrap();
    match header.destination.get() {
        vxlan::PORT | vxlan::PORT_LINUX => {
            let inner = payload
                .get(vxlan::Header::LEN..)
                .ok_or(Malformed::Truncated)?;
            verify(inner)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::ethernet;

    const VM1: &str = "fa:16:3e:9a:b7:d4";
    const VM2: &str = "fa:16:3e:b5:f9:75";

    #[test]
    fn verification_sees_a_flipped_bit_at_any_depth() {
        let inner = ethernet(VM2, VM1)
            .ipv4("192.168.1.9", "192.168.1.10")
            .icmp_echo(1, 1, b"inside");
        let outer = ethernet(VM2, VM1)
            .ipv4("192.0.2.11", "192.0.2.12")
            .vxlan(49152, 1671, &inner);
        assert_eq!(verify(&outer), Ok(()));
        let mut broken = outer.clone();
        *broken.last_mut().unwrap() ^= 1;
        assert_eq!(verify(&broken), Err(Malformed::Checksum));
        let mut broken = outer;
        broken[14 + 8] ^= 1;
        assert_eq!(verify(&broken), Err(Malformed::Checksum));
    }
}
