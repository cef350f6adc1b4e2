//! What a router makes of any packet: fragments make up the packet, errors hold, and what is told to hosts
//! is believed by them.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use vtepd_wire::checksum::Sum;
use vtepd_wire::nd::router::{self, RouterAdvertisement};
use vtepd_wire::{FromBytes, Mac, craft, icmp_error, icmpv6_error, ipv4, ipv6, nd};

fuzz_target!(|data: &[u8]| {
    let [seed, data @ ..] = data else { return };
    version_4(data, *seed);
    version_6(data, *seed);
    advertisement(data, *seed);
});

fn version_4(data: &[u8], seed: u8) {
    let mut packet = data.to_vec();
    // Nearly no random header sums up.
    let Some(header_len) = packet.first().map(|first| usize::from(first & 15) * 4) else {
        return;
    };
    if header_len < 20 || packet.len() < header_len {
        return;
    }
    packet[10..12].fill(0);
    let check = Sum::new().add_bytes(&packet[..header_len]).finish();
    packet[10..12].copy_from_slice(&check.to_be_bytes());
    let Ok(checked) = ipv4::check(&packet, packet.len()) else {
        return;
    };
    let options = ipv4::options(&packet, checked);
    if let Err(bad) = ipv4::has_source_route(options) {
        assert!((20..header_len).contains(&usize::from(bad.pointer)));
    }
    fragments_make_up(&packet, checked, 20 + usize::from(seed));
    if icmp_error::may_send(&packet, false) {
        let (ip, _) = ipv4::Header::ref_from_prefix(&packet).expect("was checked");
        let quoted = &packet[..icmp_error::quoted_len(checked.total_len)];
        let error = icmp_error::Error::fragmentation_needed(u16::from(seed));
        let to = ip.source_addr();
        assert!(!to.is_multicast() && !to.is_broadcast() && !to.is_unspecified());
        let sum = Sum::new().add_bytes(quoted);
        let front = icmp_error::headers(error, [192, 0, 2, 1].into(), to, quoted.len(), sum);
        let message = [&[0; 12], &[8, 0][..], &front, quoted].concat();
        assert!(message.len() <= 14 + icmp_error::MAX_LEN);
        assert_eq!(craft::verify(&message), Ok(()));
        assert!(!icmp_error::may_send(&message[14..], false));
    }
}

fn fragments_make_up(packet: &[u8], checked: ipv4::Checked, mtu: usize) {
    let Some(plan) = ipv4::fragments(packet, checked, mtu) else {
        return;
    };
    let (original, _) = ipv4::Header::ref_from_prefix(packet).expect("was checked");
    let mut held = BTreeMap::new();
    for piece in plan {
        let whole = [piece.header(), &packet[piece.payload.clone()]].concat();
        assert!(whole.len() <= mtu);
        let checked = ipv4::check(&whole, whole.len()).expect("a sound fragment");
        assert_eq!(checked.total_len, whole.len());
        let (header, _) = ipv4::Header::ref_from_prefix(&whole).expect("was checked");
        assert_eq!(header.identification, original.identification);
        let key = (header.fragment_offset(), header.more_fragments());
        held.insert(key, whole[checked.header_len..].to_vec());
    }
    let mut expected = original.fragment_offset();
    let count = held.len();
    for (at, ((offset, more), payload)) in held.iter().enumerate() {
        assert_eq!(*offset, expected);
        assert_eq!(*more, original.more_fragments() || at + 1 < count);
        expected += payload.len();
    }
    let payload: Vec<u8> = held.into_values().flatten().collect();
    assert_eq!(payload, packet[checked.header_len..checked.total_len]);
}

fn version_6(data: &[u8], seed: u8) {
    let Ok(payload_len) = ipv6::check(data, data.len()) else {
        return;
    };
    let error = icmpv6_error::Error::packet_too_big(u32::from(seed));
    if icmpv6_error::may_send(error, data, false) {
        let (ip, rest) = ipv6::Header::ref_from_prefix(data).expect("was checked");
        let quoted = &data[..icmpv6_error::quoted_len(ipv6::Header::LEN + payload_len)];
        let sum = Sum::new().add_bytes(quoted);
        let router = ipv6::link_local(Mac([2, 0, 0, 0, 0, 1]));
        let to = ip.source_addr();
        let front = icmpv6_error::headers(error, router, to, quoted.len(), sum);
        let message = [&[0; 12], &[0x86, 0xdd][..], &front, quoted].concat();
        assert_eq!(craft::verify(&message), Ok(()));
        assert!(!icmpv6_error::may_send(error, &message[14..], false));
        let _ = router::check_router_solicitation(ip, rest);
        let _ = nd::check_solicitation(ip, rest);
    }
}

fn advertisement(data: &[u8], seed: u8) {
    let text = String::from_utf8_lossy(data);
    let search: Vec<&str> = text.split(' ').collect();
    let told = RouterAdvertisement {
        lifetime: u16::from(seed),
        search: &search,
        ..RouterAdvertisement::default()
    };
    let mut out = [0; 600];
    let source = ipv6::link_local(told.mac);
    if let Some(message) = told.write(source, router::ALL_NODES, &mut out) {
        let frame = craft::ethernet([2; 6], [2; 6])
            .ipv6(source, router::ALL_NODES)
            .ttl(nd::HOP_LIMIT)
            .payload(ipv4::PROTOCOL_ICMPV6, message);
        let (ip, message) = ipv6::Header::ref_from_prefix(&frame[14..]).expect("built whole");
        assert!(router::check_router_advertisement(ip, message).is_ok());
    }
}
