//! What `craft` builds, as an independent parser (the crate `etherparse`) sees it, beside what our own
//! views say of the same bytes.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use crate::craft::{self, Packet};
use crate::ethernet::ETHERTYPE_IPV4;
use crate::{FromBytes, IntoBytes, Mac, U16, U32, checksum, frame, ipv4, ipv6, tcp};

/// An IP packet's fields, chosen freely.
#[derive(Clone, Debug)]
struct Fields {
    destination: [u8; 6],
    source: [u8; 6],
    tags: Vec<u16>,
    /// IPv4 addresses are the first four bytes of each.
    addresses: [[u8; 16]; 2],
    v6: bool,
    ttl: u8,
    tos: u8,
    identification: u16,
    flow_label: u32,
    /// IPv4 options in 32-bit words of "no operation"; over IPv6, bits that choose extension headers.
    extras: u8,
    ports: [u16; 2],
    word: u32,
    payload: Vec<u8>,
}

prop_compose! {
    fn fields()(
        (destination, source) in any::<([u8; 6], [u8; 6])>(),
        tags in prop::collection::vec(0u16..4096, 0..3),
        (addresses, v6, ttl, tos) in any::<([[u8; 16]; 2], bool, u8, u8)>(),
        (identification, flow_label) in (any::<u16>(), 0u32..0x10_0000),
        extras in 0u8..8,
        (ports, word) in any::<([u16; 2], u32)>(),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) -> Fields {
        Fields {
            destination, source, tags, addresses, v6, ttl, tos, identification, flow_label, extras,
            ports, word, payload,
        }
    }
}

impl Fields {
    fn v4_addresses(&self) -> [[u8; 4]; 2] {
        self.addresses
            .map(|address| *address.first_chunk().unwrap())
    }

    fn packet(&self) -> Packet {
        let ethernet = self
            .tags
            .iter()
            .fold(craft::ethernet(self.destination, self.source), |e, tag| {
                e.vlan(*tag)
            });
        if self.v6 {
            let [source, destination] = self.addresses;
            let mut packet = ethernet
                .ipv6(source, destination)
                .flow_label(self.flow_label);
            if self.extras & 1 != 0 {
                packet = packet.hop_by_hop();
            }
            if self.extras & 2 != 0 {
                packet = packet.routing();
            }
            if self.extras & 4 != 0 {
                packet = packet.destination_options();
            }
            packet.ttl(self.ttl).tos(self.tos)
        } else {
            let [source, destination] = self.v4_addresses();
            ethernet
                .ipv4(source, destination)
                .identification(self.identification)
                .options(&vec![1; usize::from(self.extras) * 4])
                .ttl(self.ttl)
                .tos(self.tos)
        }
    }
}

/// Link and network headers as the other parser sees them are those that were asked for, and
/// both parsers agree on where the payload lies.
fn agree_up_to_ip(fields: &Fields, bytes: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(craft::verify(bytes), Ok(()));
    let theirs = SlicedPacket::from_ethernet(bytes).unwrap();
    let link = frame::link(bytes).unwrap();
    let network = frame::network(bytes, bytes.len(), &link).unwrap().unwrap();

    let ids: Vec<u16> = theirs.vlan_ids().iter().map(|id| id.value()).collect();
    prop_assert_eq!(&ids, &fields.tags);
    prop_assert_eq!(usize::from(link.tag_count), fields.tags.len());
    prop_assert_eq!(&link.tags[..fields.tags.len()], &fields.tags[..]);
    let ethernet = theirs
        .link
        .as_ref()
        .unwrap()
        .to_header()
        .unwrap()
        .ethernet2();
    let ethernet = ethernet.unwrap();
    prop_assert_eq!(Mac(ethernet.source), Mac(fields.source));
    prop_assert_eq!(Mac(ethernet.destination), Mac(fields.destination));

    let payload = theirs.ip_payload().unwrap();
    prop_assert_eq!(payload.ip_number.0, network.protocol);
    prop_assert_eq!(payload.payload, &bytes[network.l4..network.end]);
    match theirs.net.as_ref().unwrap() {
        NetSlice::Ipv4(slice) => {
            let header = slice.header().to_header();
            let [source, destination] = fields.v4_addresses();
            prop_assert_eq!((header.source, header.destination), (source, destination));
            prop_assert_eq!(header.time_to_live, fields.ttl);
            prop_assert_eq!(header.dscp.value() << 2 | header.ecn.value(), fields.tos);
            prop_assert_eq!(header.identification, fields.identification);
            prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
        }
        NetSlice::Ipv6(slice) => {
            let header = slice.header().to_header();
            prop_assert_eq!([header.source, header.destination], fields.addresses);
            prop_assert_eq!(header.hop_limit, fields.ttl);
            prop_assert_eq!(slice.header().traffic_class(), fields.tos);
            prop_assert_eq!(header.flow_label.value(), fields.flow_label);
            let (ours, _) = ipv6::Header::ref_from_prefix(&bytes[usize::from(link.l3)..]).unwrap();
            prop_assert_eq!(ours.flow_label(), fields.flow_label);
            prop_assert_eq!(ours.traffic_class(), fields.tos);
        }
        other => prop_assert!(false, "{other:?}"),
    }
    Ok(())
}

fn transport(bytes: &[u8]) -> TransportSlice<'_> {
    let packet = SlicedPacket::from_ethernet(bytes).unwrap();
    packet.transport.expect("a transport header")
}

proptest! {
    #[test]
    fn udp(fields in fields()) {
        let [source, destination] = fields.ports;
        let bytes = fields.packet().udp(source, destination, &fields.payload);
        agree_up_to_ip(&fields, &bytes)?;
        let TransportSlice::Udp(slice) = transport(&bytes) else { panic!("not UDP") };
        prop_assert_eq!((slice.source_port(), slice.destination_port()), (source, destination));
        prop_assert_eq!(slice.payload(), &fields.payload[..]);
        let header = slice.to_header();
        let expected = if fields.v6 {
            let [source, destination] = fields.addresses;
            header.calc_checksum_ipv6_raw(source, destination, &fields.payload)
        } else {
            let [source, destination] = fields.v4_addresses();
            header.calc_checksum_ipv4_raw(source, destination, &fields.payload)
        };
        prop_assert_eq!(slice.checksum(), expected.unwrap());
    }

    #[test]
    fn tcp_with_options(fields in fields(), flags: u8, window: u16, words in 0usize..10) {
        let [source, destination] = fields.ports;
        let header = tcp::Header {
            source: U16::new(source),
            destination: U16::new(destination),
            sequence: U32::new(fields.word),
            acknowledgement: U32::new(!fields.word),
            data_offset: 0,
            flags,
            window: U16::new(window),
            checksum: U16::ZERO,
            urgent: U16::ZERO,
        };
        let options = [&vec![1; words * 4][..], &[2, 4, 5, 0xb4]].concat();
        let bytes = fields.packet().tcp_segment(header, &options, &fields.payload);
        agree_up_to_ip(&fields, &bytes)?;
        let TransportSlice::Tcp(slice) = transport(&bytes) else { panic!("not TCP") };
        let theirs = slice.to_header();
        prop_assert_eq!((theirs.source_port, theirs.destination_port), (source, destination));
        prop_assert_eq!(theirs.sequence_number, fields.word);
        prop_assert_eq!(theirs.acknowledgment_number, !fields.word);
        let of = |flag: u8| flags & flag != 0;
        prop_assert_eq!(
            [theirs.fin, theirs.syn, theirs.rst, theirs.psh, theirs.ack, theirs.urg, theirs.ece, theirs.cwr],
            [tcp::FIN, tcp::SYN, tcp::RST, tcp::PSH, tcp::ACK, tcp::URG, tcp::ECE, tcp::CWR].map(of)
        );
        prop_assert_eq!(theirs.window_size, window);
        prop_assert_eq!(slice.payload(), &fields.payload[..]);
        let expected = if fields.v6 {
            let [source, destination] = fields.addresses;
            slice.calc_checksum_ipv6(source, destination)
        } else {
            let [source, destination] = fields.v4_addresses();
            slice.calc_checksum_ipv4(source, destination)
        };
        prop_assert_eq!(slice.checksum(), expected.unwrap());
        // The MSS option is where their iterator sees it.
        let header_len = tcp::check(slice.slice(), slice.slice().len()).unwrap();
        prop_assert_eq!(tcp::mss_at(&slice.slice()[..header_len]), Some(20 + words * 4 + 2));
        let mss = slice.options_iterator().find_map(|option| match option {
            Ok(etherparse::TcpOptionElement::MaximumSegmentSize(mss)) => Some(mss),
            _ => None,
        });
        prop_assert_eq!(mss, Some(1460));
    }

    #[test]
    fn icmp_echo(fields in fields()) {
        let [identifier, sequence] = fields.ports;
        let bytes = fields.packet().icmp_echo(identifier, sequence, &fields.payload);
        agree_up_to_ip(&fields, &bytes)?;
        let echo = etherparse::IcmpEchoHeader { id: identifier, seq: sequence };
        match transport(&bytes) {
            TransportSlice::Icmpv4(slice) => {
                prop_assert_eq!(slice.icmp_type(), etherparse::Icmpv4Type::EchoRequest(echo));
                let expected = slice.icmp_type().calc_checksum(&fields.payload);
                prop_assert_eq!(slice.checksum(), expected);
            }
            TransportSlice::Icmpv6(slice) => {
                prop_assert_eq!(slice.icmp_type(), etherparse::Icmpv6Type::EchoRequest(echo));
                let [source, destination] = fields.addresses;
                prop_assert!(slice.is_checksum_valid(source, destination));
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn vxlan_carries_the_inner_frame_whole(outer in fields(), inner in fields(), vni in 1u32..1 << 24) {
        let carried = inner.packet().udp(1, 2, &inner.payload);
        let bytes = outer.packet().vxlan(outer.ports[0], vni, &carried);
        agree_up_to_ip(&outer, &bytes)?;
        let TransportSlice::Udp(slice) = transport(&bytes) else { panic!("not UDP") };
        prop_assert_eq!(slice.destination_port(), 4789);
        prop_assert_eq!(slice.checksum() == 0, !outer.v6);
        let (header, frame) = crate::vxlan::Header::ref_from_prefix(slice.payload()).unwrap();
        prop_assert!(header.has_vni());
        prop_assert_eq!(header.vni(), vni);
        agree_up_to_ip(&inner, frame)?;
    }

    #[test]
    fn fragments_are_seen_as_such(mut fields in fields(), mtu in 200usize..400) {
        fields.payload.resize(1000, 0x5a);
        // Etherparse takes the payload of a later fragment for extension headers.
        fields.extras &= if fields.v6 { 1 } else { 7 };
        let whole = fields.packet().udp(1, 2, &fields.payload);
        let pieces = craft::fragments(&whole, mtu, u32::from(fields.identification));
        prop_assert!(pieces.len() > 1);
        for piece in &pieces {
            prop_assert_eq!(craft::verify(piece), Ok(()));
            let theirs = SlicedPacket::from_ethernet(piece).unwrap();
            prop_assert!(theirs.is_ip_payload_fragmented());
            let link = frame::link(piece).unwrap();
            prop_assert!(frame::network(piece, piece.len(), &link).unwrap().unwrap().fragment);
            prop_assert!(piece.len() <= usize::from(link.l3) + mtu);
        }
    }

    #[test]
    fn arp(source: [u8; 6], addresses: [[u8; 4]; 2]) {
        let [sender, target] = addresses;
        let bytes = craft::ethernet(Mac::BROADCAST, source).arp_request(sender, target);
        let packet = SlicedPacket::from_ethernet(&bytes).unwrap();
        let Some(NetSlice::Arp(slice)) = packet.net else { panic!("not ARP") };
        prop_assert_eq!(slice.sender_hw_addr(), source);
        prop_assert_eq!(slice.sender_protocol_addr(), sender);
        prop_assert_eq!(slice.target_protocol_addr(), target);
        prop_assert_eq!(slice.operation().0, 1);
    }

    #[test]
    fn sums_agree(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let theirs = etherparse::checksum::Sum16BitWords::new().add_slice(&bytes);
        // Theirs is in machine order.
        let expected = theirs.ones_complement().to_be();
        prop_assert_eq!(checksum::Sum::new().add_bytes(&bytes).finish(), expected);
    }

    /// A NAT's work: addresses and a port change, both checksums are patched, and the packet is the one
    /// that would have been built with the new values.
    #[test]
    fn patching_equals_rebuilding(mut fields in fields(), to: [u8; 4], port: u16, ttl: u8) {
        fields.v6 = false;
        let [source, destination] = fields.ports;
        for checked in [true, false] {
            let build = |fields: &Fields, port| match checked {
                true => fields.packet().udp(port, destination, &fields.payload),
                false => fields.packet().udp_unchecked(port, destination, &fields.payload),
            };
            let mut bytes = build(&fields, source);
            let mut translated = fields.clone();
            translated.addresses[0][..4].copy_from_slice(&to);
            translated.ttl = ttl;
            let expected = build(&translated, port);

            let link = frame::link(&bytes).unwrap();
            let (ip, rest) = ipv4::Header::mut_from_prefix(&mut bytes[usize::from(link.l3)..]).unwrap();
            let options = ip.header_len() - ipv4::Header::LEN;
            let (udp, _) = crate::udp::Header::mut_from_prefix(&mut rest[options..]).unwrap();
            let address = checksum::Delta::new()
                .u32(u32::from_be_bytes(ip.source), u32::from_be_bytes(to));
            let hops = address.u16(u16::from(ip.ttl) << 8, u16::from(ttl) << 8);
            ip.checksum.set(hops.apply(ip.checksum.get()));
            udp.checksum.set(address.u16(source, port).apply_udp(udp.checksum.get()));
            (ip.source, ip.ttl) = (to, ttl);
            udp.source.set(port);
            prop_assert_eq!(bytes, expected);
        }
    }

    /// Whatever the bytes: no panic, and offsets stay within the frame.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..120), ethertype: bool) {
        let mut bytes = bytes;
        if ethertype && bytes.len() > 14 {
            let [high, low] = ETHERTYPE_IPV4.to_be_bytes();
            (bytes[12], bytes[13], bytes[14]) = (high, low, 0x45);
        }
        if let Ok(link) = frame::link(&bytes)
            && let Ok(Some(network)) = frame::network(&bytes, bytes.len(), &link)
        {
            prop_assert!(usize::from(link.l3) < network.l4 && network.l4 <= network.end);
            prop_assert!(network.end <= bytes.len());
        }
        let _ = craft::verify(&bytes);
    }
}

#[test]
fn membership_reports_are_igmp_to_others_too() {
    let source = [192, 0, 2, 1].into();
    let group = [239, 1, 2, 3].into();
    let report = crate::igmp::v3_report(Mac([2, 0, 0, 0, 0, 1]), source, 4, group);
    let packet = SlicedPacket::from_ethernet(report.as_bytes()).unwrap();
    assert!(matches!(packet.transport, Some(TransportSlice::Igmp(_))));
    assert_eq!(craft::verify(report.as_bytes()), Ok(()));
    let report = crate::igmp::v2_report(Mac([2, 0, 0, 0, 0, 1]), source, group);
    assert_eq!(craft::verify(report.as_bytes()), Ok(()));
}
