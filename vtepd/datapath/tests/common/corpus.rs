//! One frame of each kind that a host meets, and where it comes in: for the tests
//! that do the same with all of them.

use vtepd_tables::InterfaceIndex;
use vtepd_wire::{Mac, craft, ipv6};

use super::*;

/// The host of the picture; it learns, and carries tenants' tags.
pub fn busy_host() -> Host {
    host().change(red(), |network| {
        network.learning = true;
        network.vlan_transparent = true;
    })
}

/// Frames, each with the interface it comes in by.
pub fn corpus() -> Vec<(InterfaceIndex, Vec<u8>)> {
    let from_port = from_port().into_iter().map(|frame| (PORT1, frame));
    let from_tagged = from_port
        .clone()
        .filter(|(_, frame)| frame.len() >= 12)
        .map(|(_, frame)| (PORT3, tagged(100, &frame)));
    let from_tunnel = inner()
        .into_iter()
        .flat_map(|frame| [tunnelled(&frame), tunnelled6(&frame)]);
    let underlay = from_tunnel.chain(others()).map(|frame| (UNDERLAY, frame));
    from_port
        .clone()
        .chain(from_tagged)
        .chain(underlay)
        .collect()
}

fn solicitation(who: &str, source: &str, target: &str) -> Vec<u8> {
    let group = ipv6::solicited_node(target.parse().unwrap());
    craft::ethernet(Mac::multicast_of_v6(group), who)
        .ipv6(source, group)
        .solicitation(target)
}

fn from_port() -> Vec<Vec<u8>> {
    let probe: std::net::Ipv6Addr = VM2_IP6.parse().unwrap();
    let group = ipv6::solicited_node(probe);
    vec![
        udp(VM2, VM1, 0),
        udp(VM3, VM1, 33),
        udp(VM4, VM1, 64),
        udp(VM5, VM1, 301),
        udp6(VM4, VM1, 7),
        udp6(VM5, VM1, 600),
        udp(NOBODY, VM1, 20),
        udp6(BROADCAST, VM1, 400),
        tagged(5, &udp(VM4, VM1, 20)),
        tagged_with(0x88a8, 6, &tagged(5, &udp(BROADCAST, VM1, 20))),
        tagged(0, &udp(VM2, VM1, 20)),
        udp(VM2, BROADCAST, 1),
        udp("01:80:c2:00:00:00", VM1, 1),
        udp(VM4, VM1, 1500),
        udp(VM2, VM1, 1480),
        craft::pad(craft::ethernet(BROADCAST, VM1).arp_request(VM1_IP, VM2_IP)),
        craft::ethernet(BROADCAST, VM1).arp_request(VM1_IP, VM4_IP),
        craft::ethernet(BROADCAST, VM1).arp_request(VM1_IP, VM1_IP),
        solicitation(VM1, VM1_IP6, VM2_IP6),
        craft::ethernet(Mac::multicast_of_v6(group), VM1)
            .ipv6("::", group)
            .ttl(255)
            .icmp(135, 0, 0, &probe.octets()),
        craft::ethernet(VM4, VM1)
            .ipv4(VM1_IP, VM4_IP)
            .options(&[1; 40])
            .tcp(1, 2, 2, b"syn"),
        craft::ethernet(VM4, VM1)
            .ipv6(VM1_IP6, VM4_IP6)
            .hop_by_hop()
            .routing()
            .tcp(1, 2, 2, b"syn"),
        craft::ethernet(VM4, VM1).payload(0x88b5, b"x"),
        vec![0; 10],
    ]
}

fn inner() -> Vec<Vec<u8>> {
    vec![
        udp(VM1, VM4, 0),
        udp6(VM3, VM4, 301),
        udp(BROADCAST, VM4, 40),
        udp(VM5, VM4, 1),
        udp(VM1, VM3, 1),
        tagged(5, &udp(VM1, VM4, 20)),
        craft::ethernet(BROADCAST, VM4).arp_request(VM4_IP, VM1_IP),
        solicitation(VM4, VM4_IP6, VM1_IP6),
    ]
}

fn others() -> Vec<Vec<u8>> {
    use vtepd_wire::ecn::Ecn::{Ce, Ect0, Ect1};
    let marked = |inner, outer| {
        let frame = craft::ethernet(VM1, VM4)
            .ipv4(VM4_IP, VM1_IP)
            .ecn(inner)
            .udp(1, 2, b"mark");
        from_peer().ecn(outer).vxlan(50_000, RED_VNI, &frame)
    };
    let group = ipv6::solicited_node(US6.parse().unwrap());
    let mut flags = tunnelled(&udp(VM1, VM4, 1));
    flags[v4::VXLAN] = 0;
    vec![
        marked(Ect0, Ce),
        marked(Ect0, Ect1),
        from_peer()
            .ecn(Ce)
            .vxlan(50_000, RED_VNI, &udp(VM1, VM4, 1)),
        from_peer()
            .options(&[1; 40])
            .vxlan(50_000, RED_VNI, &udp(VM1, VM4, 400)),
        from_peer6().hop_by_hop().destination_options().vxlan(
            50_000,
            RED_VNI,
            &udp6(VM1, VM4, 400),
        ),
        from_peer().udp(50_000, 4789, &tunnelled(&udp(VM1, VM4, 700))[v4::VXLAN..]),
        [tunnelled(&udp(VM1, VM4, 1)), vec![0; 9]].concat(),
        from_peer().vxlan(50_000, 99, &udp(VM1, VM4, 1)),
        to_us()
            .ipv4(STRANGER, US)
            .vxlan(50_000, RED_VNI, &udp(VM1, VM4, 1)),
        from_peer().vxlan_to(50_000, 4790, RED_VNI, &udp(VM1, VM4, 1)),
        to_us()
            .ipv4(US, US)
            .vxlan(50_000, RED_VNI, &udp(VM1, VM4, 1)),
        flags,
        from_peer6()
            .fragment(1, 0, true)
            .vxlan(50_000, RED_VNI, &udp(VM1, VM4, 1)),
        from_peer().tcp(1, 2, 2, b""),
        craft::pad(craft::ethernet(BROADCAST, ROUTER_MAC).arp_request(PEER, US)),
        craft::ethernet(OUR_MAC, ROUTER_MAC).arp_reply(PEER, US),
        from_peer().icmp_echo(1, 1, &[7; 301]),
        from_peer6().icmp_echo(1, 1, &[7; 300]),
        craft::ethernet(Mac::multicast_of_v6(group), ROUTER_MAC)
            .ipv6(PEER6, group)
            .solicitation(US6),
        from_peer6().advertisement(PEER6, 3 << 29),
        craft::ethernet("33:33:00:00:00:01", ROUTER_MAC)
            .ipv6("fe80::1", "ff02::1")
            .ttl(1)
            .icmp(130, 0, 0, &[0; 20]),
        craft::ethernet("01:00:5e:00:00:01", ROUTER_MAC)
            .ipv4(PEER, "224.0.0.1")
            .payload(2, &craft::hex("1164 ee9b 00000000")),
    ]
}
