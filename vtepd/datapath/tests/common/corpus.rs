//! One frame of each kind that a host meets, and where it comes in: for the tests
//! that do the same with all of them.

use vtepd_tables::InterfaceIndex;
use vtepd_wire::{Mac, craft, ipv6};

use super::*;

/// The host of the picture with its router; it learns, carries tenants' tags, guards
/// one port and has all services, and a metadata proxy.
pub fn busy_host() -> Host {
    let mut host = routed_host()
        .guarded(VM2, &[VM2_IP, VM2_IP6], PORT2)
        .allowed(PORT2, &[(VM2, "10.0.0.50/32"), (NOBODY, "fd00::50/128")])
        .metadata(&[red()], Some(LINK_TAG))
        .asker(VM1_NAME, red(), VM1, VM1_IP, (PORT1, 0))
        .asker(VM3_NAME, red(), VM3, VM3_IP, (PORT3, 100))
        .change(red(), |network| {
            network.learning = true;
            network.vlan_transparent = true;
            network.services = vtepd_tables::Services {
                dhcp4: true,
                dhcp6: true,
                advertise: true,
            };
        });
    host.change_gateway(adjacency(AT_BLUE), |gateway| gateway.mtu = 1280);
    host.route(
        1,
        "172.16.0.0/12",
        &[via(AT_RED, VM2_IP), via(AT_BLUE, VM6_IP)],
    );
    host.route(1, "192.0.2.0/24", &[via(AT_RED, GW_RED_IP)]);
    host
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
    let from_hosts = from_hosts().into_iter().map(|frame| tunnelled(&frame));
    let underlay = from_tunnel.chain(from_hosts).chain(others());
    let underlay = underlay.map(|frame| (UNDERLAY, frame));
    let to_gateway = to_gateway().into_iter().map(|frame| (PORT1, frame));
    let guarded = from_guarded().into_iter().map(|frame| (PORT2, frame));
    let on_link = on_link().into_iter();
    let on_link = on_link.map(|frame| (LINK, tagged(LINK_TAG, &frame)));
    from_port
        .clone()
        .chain(from_tagged)
        .chain(to_gateway)
        .chain(guarded)
        .chain(underlay)
        .chain(on_link)
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

/// What a station sends its gateway.
fn to_gateway() -> Vec<Vec<u8>> {
    let v4 = |destination: &str| craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, destination);
    let v6 = |destination: &str| craft::ethernet(GW_RED, VM1).ipv6(VM1_IP6, destination);
    let gateways_group = ipv6::solicited_node(GW_RED_IP6.parse().unwrap());
    vec![
        v4(VM6_IP).udp(1, 2, b"here"),
        v4(VM7_IP).tcp(1, 2, 2, b"there"),
        v4(VM7_IP).options(&[1; 40]).udp(1, 2, &[7; 90]),
        v4(VM6_IP).options(&[131, 7, 4, 10, 1, 0, 7]).udp(1, 2, b""),
        v4(VM6_IP).may_fragment().udp(1, 2, &[7; 1400]),
        v4(VM7_IP).fragment(5, 1480, true).payload(17, &[7; 1400]),
        v4(VM6_IP).udp(1, 2, &[7; 1400]),
        v4(VM6_IP).ttl(1).udp(1, 2, &[7; 601]),
        v4("10.1.0.99").udp(1, 2, b"unknown"),
        v4("172.16.0.1").udp(1, 2, b"two ways"),
        v4("198.51.100.1").udp(1, 2, b"no way"),
        v4("192.0.2.1").udp(1, 2, b"a loop"),
        v4("10.1.0.255").udp(1, 2, b""),
        v4("127.0.0.1").udp(1, 2, b""),
        v4(GW_BLUE_IP).icmp_echo(1, 1, &[7; 301]),
        v4(GW_RED_IP).udp(1, 2, b"nobody listens"),
        v4(GW_RED_IP).payload(132, &[0; 12]),
        craft::pad(v4(VM6_IP).udp(1, 2, b"")),
        v6(VM6_IP6).udp(1, 2, b"here"),
        v6(VM7_IP6)
            .hop_by_hop()
            .destination_options()
            .tcp(1, 2, 2, b"there"),
        v6(VM6_IP6).udp(1, 2, &[7; 1401]),
        v6(VM6_IP6).ttl(1).udp(1, 2, &[7; 1301]),
        v6("fd01::99").udp(1, 2, b"unknown"),
        v6("2001:db8:5::1").udp(1, 2, b"no way"),
        v6(GW_BLUE_IP6).icmp_echo(1, 1, &[7; 301]),
        v6(GW_RED_IP6).hop_by_hop().icmp_echo(1, 1, b""),
        v6(GW_RED_IP6).udp(1, 2, b"nobody listens"),
        v6(GW_RED_IP6).payload(132, &[0; 12]),
        craft::ethernet(BROADCAST, VM1).arp_request(VM1_IP, GW_RED_IP),
        craft::ethernet(GW_RED, VM1).arp_request(VM1_IP, GW_RED_IP),
        craft::ethernet(BROADCAST, VM1).arp_reply(GW_RED_IP, VM2_IP),
        craft::ethernet(Mac::multicast_of_v6(gateways_group), VM1)
            .ipv6(VM1_IP6, gateways_group)
            .solicitation(GW_RED_IP6),
        v4(METADATA_IP).tcp(40_000, 80, 16, &[7; 301]),
        craft::pad(v4(METADATA_IP).tcp(40_000, 80, 2, b"")),
        v4(METADATA_IP).tcp(40_000, 80, 16, &[7; 1450]),
        v4(METADATA_IP).ttl(1).tcp(40_000, 80, 2, b""),
        v4(METADATA_IP).tcp(40_000, 443, 2, b""),
        craft::ethernet(METADATA_MAC, VM1)
            .ipv4(VM1_IP, METADATA_IP)
            .tcp(40_000, 80, 16, b"GET /"),
        craft::ethernet(METADATA_MAC, VM1)
            .ipv4(VM1_IP, METADATA_IP)
            .udp(68, 67, &[1; 300]),
        craft::ethernet(BROADCAST, VM1).arp_request(VM1_IP, METADATA_IP),
        craft::ethernet(METADATA_MAC, VM1).arp_request(VM1_IP, METADATA_IP),
        craft::ethernet(OWN_HM, VM1).arp_reply("10.0.0.99", "0.0.0.0"),
        craft::ethernet(PEER_HM, VM1).arp_reply("10.0.0.99", "0.0.0.0"),
        craft::ethernet(VM2, PEER_HM).payload(0x88b5, b"x"),
        craft::ethernet(BROADCAST, VM1)
            .ipv4("0.0.0.0", "255.255.255.255")
            .udp(68, 67, &[1; 300]),
        craft::ethernet("33:33:00:01:00:02", VM1)
            .ipv6("fe80::1", "ff02::1:2")
            .udp(546, 547, &[1; 100]),
        craft::ethernet("33:33:00:00:00:02", VM1)
            .ipv6("fe80::1", "ff02::2")
            .ttl(255)
            .icmp(133, 0, 0, &[]),
    ]
}

/// What the metadata proxy sends.
fn on_link() -> Vec<Vec<u8>> {
    let to = |name: &str| craft::ethernet(LINK_MAC, PROXY).ipv4(PROXY_IP, name);
    vec![
        to(VM1_NAME).tcp(PROXY_PORT, 40_000, 16, &[7; 301]),
        to(VM3_NAME).tcp(PROXY_PORT, 40_000, 16, b"answer"),
        craft::pad(to(VM1_NAME).tcp(PROXY_PORT, 40_000, 18, b"")),
        to(VM1_NAME).tcp(PROXY_PORT, 40_000, 16, &[7; 1420]),
        to(VM2_IP).tcp(PROXY_PORT, 40_000, 16, b"nobody"),
        to(VM1_NAME).udp(53, 53, b""),
        craft::ethernet(BROADCAST, PROXY).arp_request(PROXY_IP, VM1_NAME),
        craft::ethernet(LINK_MAC, PROXY).arp_reply(PROXY_IP, LINK_IP),
    ]
}

/// What a guarded port may send, and what not.
fn from_guarded() -> Vec<Vec<u8>> {
    let v4 = |source: &str| craft::ethernet(VM1, VM2).ipv4(source, VM1_IP);
    let v6 = |source: &str| craft::ethernet(VM1, VM2).ipv6(source, VM1_IP6);
    let all = || craft::ethernet("33:33:00:00:00:01", VM2).ipv6(VM2_IP6, "ff02::1");
    vec![
        v4(VM2_IP).udp(1, 2, b"own"),
        v4("10.0.0.50").udp(1, 2, b"of a pair"),
        v4(VM3_IP).udp(1, 2, b"spoofed"),
        v4(VM2_IP).udp(67, 68, b"offer"),
        v6(VM2_IP6).udp(1, 2, b"own"),
        v6(VM1_IP6).udp(1, 2, b"spoofed"),
        v6(VM2_IP6)
            .hop_by_hop()
            .fragment(1, 0, true)
            .payload(17, &[7; 80]),
        all().advertisement(VM2_IP6, 1 << 29),
        all().advertisement(GW_RED_IP6, 1 << 29),
        all()
            .destination_options()
            .ttl(255)
            .icmp(134, 0, 0, &[0; 8]),
        craft::ethernet(BROADCAST, VM2).arp_request(VM2_IP, VM1_IP),
        craft::ethernet(BROADCAST, VM2).arp_request(VM3_IP, VM1_IP),
        craft::ethernet(VM1, NOBODY)
            .ipv6("fd00::50", VM1_IP6)
            .udp(1, 2, b""),
        craft::ethernet(VM1, VM3).payload(0x88b5, b"x"),
        craft::ethernet(VM1, VM2).payload(40, &[0xaa; 40]),
        tagged(5, &tagged(6, &tagged(7, &v4(VM2_IP).udp(1, 2, b"")))),
        craft::ethernet(GW_RED, VM2)
            .ipv4(VM2_IP, VM6_IP)
            .udp(1, 2, b"routed"),
    ]
}

/// What the routers of other hosts send to this one's stations.
fn from_hosts() -> Vec<Vec<u8>> {
    let probe =
        vtepd_wire::arp::Packet::probe(PEER_HM.parse().unwrap(), "10.0.0.99".parse().unwrap());
    vec![
        craft::ethernet(VM1, PEER_HM)
            .ipv4(VM7_IP, VM1_IP)
            .udp(1, 2, b"routed"),
        craft::ethernet(VM3, PEER_HM)
            .ipv6(VM7_IP6, VM1_IP6)
            .udp(1, 2, b"routed"),
        craft::ethernet(VM4, PEER_HM)
            .ipv4(VM7_IP, VM4_IP)
            .udp(1, 2, b"not here"),
        craft::ethernet(BROADCAST, PEER_HM).arp(probe),
        craft::ethernet(BROADCAST, PEER_HM).payload(0x88b5, b"x"),
        craft::ethernet(VM1, OWN_HM).payload(0x88b5, b"x"),
        craft::ethernet(GW_RED, VM4)
            .ipv4(VM4_IP, VM6_IP)
            .udp(1, 2, b""),
        craft::ethernet(BROADCAST, VM4).arp_request(VM4_IP, GW_RED_IP),
        craft::ethernet(OWN_HM, VM4).arp_reply("10.0.0.98", "0.0.0.0"),
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
