//! Every parser over any bytes: no panic, no endless walk, no offset outside, and the same answer as
//! etherparse where both have one.
#![no_main]

use etherparse::{NetSlice, SlicedPacket};
use libfuzzer_sys::fuzz_target;
use vtepd_wire::checksum::Sum;
use vtepd_wire::flow::{FlowHasher, source_port};
use vtepd_wire::frame::{self, Link, Network};
use vtepd_wire::{
    FromBytes, Malformed, arp, craft, ecn, ethernet, icmp, icmpv6, igmp, ipv4, ipv6, mld, nd, tcp,
    udp, vxlan,
};

const HASHER: FlowHasher = FlowHasher::new(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);

fuzz_target!(|data: &[u8]| {
    frames(data);
    // The same bytes as if the layers below had been stripped, so that a short input gets far.
    network_headers(data);
    transport_headers(data);
});

fn frames(data: &[u8]) {
    let hash = HASHER.hash_frame(data);
    assert!(source_port(hash) >= 49152);
    let _ = craft::verify(data);
    let Ok(link) = frame::link(data) else {
        assert!(data.len() < ethernet::Header::LEN + 2 * ethernet::Tag::LEN);
        return;
    };
    assert!(usize::from(link.l3) <= data.len());
    let (_, l3) = data.split_at(usize::from(link.l3));
    if let Ok((packet, _)) = arp::Packet::ref_from_prefix(l3) {
        assert!(!(packet.is_probe() && packet.is_announcement()));
    }
    match frame::network(data, data.len(), &link) {
        Ok(Some(network)) => {
            assert!(usize::from(link.l3) < network.l4 && network.l4 <= network.end);
            assert!(network.end <= data.len());
            assert!(network.fragment || !network.later_fragment);
            assert!(HASHER.hash_l3(link.ethertype, l3).is_some());
            agree(data, &link, &network);
            vxlan_inside(&data[network.l4..network.end]);
        }
        Ok(None) => assert!(!link.is_ip()),
        Err(error) => assert!(!error.name().is_empty() && !error.to_string().is_empty()),
    }
}

/// What etherparse accepts too, it has to see as we do.
fn agree(data: &[u8], link: &Link, network: &Network) {
    let Ok(packet) = SlicedPacket::from_ethernet(data) else {
        return;
    };
    // More tags than we step over, or MACsec.
    if packet.link_exts.len() != usize::from(link.tag_count) {
        return;
    }
    let payload = match &packet.net {
        Some(NetSlice::Ipv4(slice)) => {
            assert_eq!(slice.is_payload_fragmented(), network.fragment);
            // They step over an authentication header there; to us it is the payload.
            if slice.extensions().auth.is_some() {
                return;
            }
            slice.payload()
        }
        Some(NetSlice::Ipv6(slice)) => {
            // They walk on in a later fragment, take a payload length of zero for "to the end", and
            // see more kinds of extension header than we do.
            let header = slice.header();
            if network.fragment || header.payload_length() == 0 || stranger(network.protocol) {
                return;
            }
            assert!(!slice.is_payload_fragmented());
            slice.payload()
        }
        _ => return,
    };
    assert_eq!(payload.ip_number.0, network.protocol);
    assert_eq!(payload.payload, &data[network.l4..network.end]);
}

/// Mobility, HIP, Shim6 and the two experimental numbers.
fn stranger(protocol: u8) -> bool {
    matches!(protocol, 135 | 139 | 140 | 253 | 254)
}

fn vxlan_inside(l4: &[u8]) {
    let Ok(length) = udp::check(l4, l4.len()) else {
        return;
    };
    let payload = &l4[udp::Header::LEN..length];
    if let Ok((header, inner)) = vxlan::Header::ref_from_prefix(payload) {
        assert!(header.vni() < 1 << 24);
        let _ = HASHER.hash_frame(inner);
        let _ = craft::verify(inner);
    }
}

fn network_headers(data: &[u8]) {
    if let Ok(checked) = ipv4::check(data, data.len()) {
        assert!(ipv4::Header::LEN <= checked.header_len);
        assert!(checked.header_len <= checked.total_len && checked.total_len <= data.len());
        assert_eq!(
            ipv4::options(data, checked).len(),
            checked.header_len - ipv4::Header::LEN
        );
        ipv4_patches(data, checked);
    }
    if let Ok(payload_len) = ipv6::check(data, data.len()) {
        assert!(ipv6::Header::LEN + payload_len <= data.len());
    }
    let [first, chain @ ..] = data else { return };
    let found = ipv6::find_fragment(chain, *first);
    match ipv6::walk_extensions(chain, *first) {
        Ok(upper) => {
            assert!(upper.offset <= chain.len());
            let fragment = found.expect("a shorter walk over the same bytes").fragment;
            assert_eq!(fragment, upper.fragment);
            if let Some(fragment) = fragment {
                assert!(fragment.at + ipv6::FragmentHeader::LEN <= upper.offset);
                assert_eq!(fragment.offset % 8, 0);
            }
        }
        Err(error) => assert!(matches!(error, Malformed::Truncated | Malformed::Extension)),
    }
}

/// A sound header stays sound when it is patched.
fn ipv4_patches(data: &[u8], checked: ipv4::Checked) {
    let mut bytes = data[..checked.header_len].to_vec();
    let Ok((header, _)) = ipv4::Header::mut_from_prefix(&mut bytes) else {
        return;
    };
    header.decrement_ttl();
    if let Ok(mark) = ecn::decapsulate(header.ecn(), ecn::Ecn::Ce) {
        header.set_ecn(mark);
    }
    assert!(ipv4::checksum_ok(&bytes));
}

fn transport_headers(data: &[u8]) {
    if let Ok(header_len) = tcp::check(data, data.len()) {
        let header = &data[..header_len];
        if let Some(at) = tcp::mss_at(header) {
            assert!(tcp::Header::LEN + 2 <= at && at + 2 <= header_len);
            assert_eq!(header[at - 2..at], [2, 4]);
        }
    }
    let _ = icmp::checksum_ok(data);
    if let Ok((header, _)) = icmp::Header::ref_from_prefix(data) {
        assert!(!(header.is_echo() && header.is_error()));
    }
    if let Ok((header, _)) = icmpv6::Header::ref_from_prefix(data) {
        assert!(!(header.is_echo() && header.is_error()));
    }
    let options = nd::options(data);
    assert!(options.count() <= data.len() / 8 + 1);
    igmp_messages(data);
    icmpv6_messages(data);
}

fn igmp_messages(data: &[u8]) {
    let message = sealed(data, Sum::new());
    if let Ok(Some(query)) = igmp::query(&message) {
        assert!((1..=3).contains(&query.version));
    }
    if let Ok(records) = igmp::v3_records(&message) {
        assert!(records.count() <= message.len() / igmp::GroupRecord::LEN + 1);
    }
}

fn icmpv6_messages(data: &[u8]) {
    let Ok((ip, rest)) = ipv6::Header::ref_from_prefix(data) else {
        return;
    };
    let pseudo = ip.pseudo_header(ipv4::PROTOCOL_ICMPV6, rest.len() as u32);
    let message = sealed(rest, pseudo);
    if let Ok(Some(query)) = mld::query(ip, &message) {
        assert!((1..=2).contains(&query.version));
    }
    if let Ok(records) = mld::v2_records(ip, &message) {
        assert!(records.count() <= message.len() / mld::GroupRecord::LEN + 1);
    }
    if let Ok((solicitation, mac)) = nd::check_solicitation(ip, &message) {
        assert!(!solicitation.target_addr().is_multicast());
        assert!(mac.is_none() || !ip.source_addr().is_unspecified());
    }
    if let Ok((advertisement, _)) = nd::check_advertisement(ip, &message) {
        assert!(!advertisement.target_addr().is_multicast());
    }
}

/// The message with its checksum put right, or nothing would get past it.
fn sealed(data: &[u8], pseudo: Sum) -> Vec<u8> {
    let mut message = data.to_vec();
    if let Some(field) = message.get_mut(2..4) {
        field.fill(0);
    }
    let check = pseudo.add_bytes(&message).finish();
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&check.to_be_bytes());
    }
    message
}
