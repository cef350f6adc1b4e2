//! Ways out: the outer header of a tunnel and the tag of a port, byte by byte as
//! they will stand in front of a frame.
#![cfg(not(loom))]

use vtepd_tables::adjacency::TEMPLATE_LEN;
use vtepd_tables::{Adjacency, InterfaceIndex, Tag, Tunnel, TunnelParameters, VtepPair};
use vtepd_wire::{Mac, VlanId, craft};

const OURS: Mac = Mac([2, 0, 0, 0, 1, 0x11]);
const NEXT_HOP: Mac = Mac([2, 0, 0, 0, 1, 0xfe]);

fn parameters(us: &str, them: &str) -> TunnelParameters {
    TunnelParameters {
        interface: InterfaceIndex(3),
        source_mac: OURS,
        next_hop_mac: Some(NEXT_HOP),
        tag: None,
        addresses: VtepPair::new(us.parse().unwrap(), them.parse().unwrap()).unwrap(),
        udp_port: 8472,
        udp_checksum: true,
        dscp: 46,
        ttl: 17,
        mtu: 1600,
    }
}

fn v4() -> TunnelParameters {
    parameters("192.0.2.11", "192.0.2.12")
}

fn v6() -> TunnelParameters {
    parameters("2001:db8::11", "2001:db8::12")
}

fn tagged(parameters: TunnelParameters, tpid: u16) -> TunnelParameters {
    let tag = Some(Tag::new(tpid, VlanId::new(77).unwrap()));
    TunnelParameters { tag, ..parameters }
}

/// The header; what precedes it is zero.
fn header(tunnel: &Tunnel) -> &[u8] {
    let (before, header) = tunnel
        .template
        .split_at(TEMPLATE_LEN - usize::from(tunnel.header_len));
    assert!(before.iter().all(|&byte| byte == 0));
    header
}

const VXLAN: &str = "0000 2118 0000 0000  0800 0000 0000 0000";
const IPV4: &str = "45b8 0000 0000 4000 1111 0000 c000020b c000020c";
const IPV6: &str =
    "6b80 0000 0000 1111 20010db8000000000000000000000011 20010db8000000000000000000000012";

#[test]
fn ipv4() {
    let tunnel = Tunnel::new(&v4());
    let expected = format!("0200000001fe 020000000111 0800 {IPV4} {VXLAN}");
    assert_eq!(header(&tunnel), craft::hex(&expected));
    assert_eq!(tunnel.header_len, 50);
    assert!(tunnel.resolved && tunnel.udp_checksum && !tunnel.ipv6);
    assert_eq!((tunnel.interface, tunnel.mtu), (InterfaceIndex(3), 1600));
}

#[test]
fn ipv6() {
    let tunnel = Tunnel::new(&v6());
    let expected = format!("0200000001fe 020000000111 86dd {IPV6} {VXLAN}");
    assert_eq!(header(&tunnel), craft::hex(&expected));
    assert_eq!(tunnel.header_len, 70);
    assert!(tunnel.ipv6);
    assert_eq!(tunnel.ipv4_sum, 0);
}

#[test]
fn behind_a_tag() {
    for (tpid, bytes) in [(0x8100, "8100 004d"), (0x88a8, "88a8 004d")] {
        let tunnel = Tunnel::new(&tagged(v4(), tpid));
        let expected = format!("0200000001fe 020000000111 {bytes} 0800 {IPV4} {VXLAN}");
        assert_eq!(header(&tunnel), craft::hex(&expected));
        let tunnel = Tunnel::new(&tagged(v6(), tpid));
        let expected = format!("0200000001fe 020000000111 {bytes} 86dd {IPV6} {VXLAN}");
        assert_eq!(header(&tunnel), craft::hex(&expected));
    }
}

#[test]
fn the_sum_lacks_length_and_mark_only() {
    let whole = craft::ethernet(NEXT_HOP, OURS)
        .ipv4("192.0.2.11", "192.0.2.12")
        .tos(46 << 2)
        .ttl(17)
        .payload(17, &[0; 80]);
    let checksum = u16::from_be_bytes([whole[24], whole[25]]);
    let sum = u32::from(Tunnel::new(&v4()).ipv4_sum) + 100;
    assert_eq!(!((sum & 0xffff) + (sum >> 16)) as u16, checksum);
}

#[test]
fn without_the_next_hops_mac_nothing_can_be_sent() {
    let tunnel = Tunnel::new(&TunnelParameters {
        next_hop_mac: None,
        ..v4()
    });
    assert!(!tunnel.resolved);
    assert_eq!(header(&tunnel)[..6], [0; 6]);
}

#[test]
fn both_ends_are_of_one_family() {
    let [v4, v6] = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap());
    assert!(VtepPair::new(v4, v6).is_none() && VtepPair::new(v6, v4).is_none());
}

#[test]
fn a_way_out_takes_two_cache_lines() {
    assert_eq!((size_of::<Adjacency>(), align_of::<Adjacency>()), (128, 64));
    assert!(!Adjacency::default().is_tunnel());
    assert!(Adjacency::Tunnel(Tunnel::new(&v4())).is_tunnel());
}
