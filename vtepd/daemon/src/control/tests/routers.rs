//! Routers: documents in, routed frames out.

use super::*;

use mgmt_api::control::ControlPlane;

/// DVR host MACs.
const HM1: &str = "fa:16:3f:00:00:01";
const HM2: &str = "fa:16:3f:00:00:02";
/// The gateways' MACs in red and blue.
const GW_RED: &str = "fa:16:3e:01:00:01";
const GW_BLUE: &str = "fa:16:3e:01:00:02";
/// Of red: here and on h2. Of blue: here and on h2.
const RED1: &str = "fa:16:3e:00:01:05";
const RED2: &str = "fa:16:3e:00:01:06";
const BLUE1: &str = "fa:16:3e:00:02:05";
const BLUE2: &str = "fa:16:3e:00:02:06";

/// The VLANs of red's and blue's stations on the trunk.
const RED_VLAN: u16 = 11;
const BLUE_VLAN: u16 = 12;

pub const ROUTED: &str = r#"{
  "interfaces": {
    "up0": { "addresses": ["192.0.2.11/24"], "gateway": "192.0.2.1" },
    "vm1": { "mtu": 1500 }, "trunk": { "mtu": 1500 }
  },
  "hosts": {
    "h1": { "dvr_mac": "fa:16:3f:00:00:01" },
    "h2": { "vtep": "198.51.100.12", "dvr_mac": "fa:16:3f:00:00:02" }
  },
  "networks": {
    "red": { "segment": { "type": "vxlan", "vni": 1671 } },
    "blue": { "segment": { "type": "vxlan", "vni": 1672 } }
  },
  "ports": {
    "red1": { "network": "red", "mac": "fa:16:3e:00:01:05", "addresses": ["10.1.0.5"], "interface": "trunk", "vlan": 11 },
    "red2": { "network": "red", "mac": "fa:16:3e:00:01:06", "addresses": ["10.1.0.6"], "host": "h2" },
    "blue1": { "network": "blue", "mac": "fa:16:3e:00:02:05", "addresses": ["10.2.0.5"], "interface": "trunk", "vlan": 12 },
    "blue2": { "network": "blue", "mac": "fa:16:3e:00:02:06", "addresses": ["10.2.0.6"], "host": "h2" }
  },
  "routers": { "r1": { "interfaces": [
    { "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.1.0.1/24"] },
    { "network": "blue", "mac": "fa:16:3e:01:00:02", "addresses": ["10.2.0.1/24"] }
  ] } }
}"#;

/// Red's interface of the router, then what follows it.
fn r1(rest: &str) -> String {
    format!(
        r#"{{ "interfaces": [{{ "network": "red", "mac": "{GW_RED}", "addresses": ["10.1.0.1/24"] }},
        {{ "network": "blue", "mac": "{GW_BLUE}", "addresses": ["10.2.0.1/24"] }}] {rest} }}"#
    )
}

fn from_red1(to: &str) -> Vec<u8> {
    let to: std::net::Ipv4Addr = to.parse().unwrap();
    craft::ethernet(GW_RED, RED1)
        .vlan(RED_VLAN)
        .ipv4("10.1.0.5", to)
        .udp(1, 2, b"hello")
}

/// The same packet, one router further.
fn routed(to_mac: &'static str, from_mac: &'static str, vlan: Option<u16>, to: &str) -> Vec<u8> {
    let to: std::net::Ipv4Addr = to.parse().unwrap();
    let ethernet = craft::ethernet(to_mac, from_mac);
    let ethernet = match vlan {
        Some(vlan) => ethernet.vlan(vlan),
        None => ethernet,
    };
    ethernet.ipv4("10.1.0.5", to).ttl(63).udp(1, 2, b"hello")
}

impl Bench {
    fn routed() -> Self {
        Self::connected(ROUTED)
    }

    /// Which station behind the trunk or on h2 a packet of red1 comes to.
    #[track_caller]
    fn reaches(&mut self, to: &str) -> &'static str {
        let (interface, frame) = self.forwarded(TRUNK, &from_red1(to));
        let (source, vlan, inner) = match interface {
            UP => (HM1, None, frame[50..].to_vec()),
            _ => (GW_BLUE, Some(BLUE_VLAN), frame),
        };
        let (red, blue) = (Some(RED_VLAN), Some(BLUE_VLAN));
        let stations = [
            (RED1, GW_RED, red),
            (BLUE1, GW_BLUE, blue),
            (RED2, HM1, None),
            (BLUE2, HM1, None),
        ];
        let found = stations
            .into_iter()
            .find(|(mac, source, vlan)| inner == routed(mac, source, *vlan, to));
        let (mac, ..) = found.unwrap_or_else(|| panic!("{source} {vlan:?} {inner:02x?}"));
        mac
    }

    fn route(&self, destination: &str, via: &str) {
        self.put(
            "routes",
            &format!("r1/{destination}"),
            &format!(r#"{{ "via": {via} }}"#),
        );
    }

    fn routes_used(&self) -> u64 {
        let tables = self.plane.tables();
        tables
            .iter()
            .find(|table| table.name == "routes")
            .unwrap()
            .used
    }
}

#[test]
fn case_3_another_network_on_this_host() {
    let mut bench = Bench::routed();
    let (interface, frame) = bench.forwarded(TRUNK, &from_red1("10.2.0.5"));
    assert_eq!(interface, TRUNK);
    assert_eq!(frame, routed(BLUE1, GW_BLUE, Some(BLUE_VLAN), "10.2.0.5"));
}

#[test]
fn case_4_another_network_on_another_host_both_ways() {
    let mut bench = Bench::routed();
    let (interface, frame) = bench.forwarded(TRUNK, &from_red1("10.2.0.6"));
    assert_eq!(
        (interface, &frame[46..49]),
        (UP, &[0, 6, 0x88][..]),
        "blue's VNI"
    );
    assert_eq!(frame[50..], routed(BLUE2, HM1, None, "10.2.0.6"));
    // The other host has routed its answer: it comes in the network of its destination.
    let answer = |source| {
        craft::ethernet(RED1, source)
            .ipv4("10.2.0.6", "10.1.0.5")
            .ttl(63)
            .udp(2, 1, b"hello")
    };
    let (interface, frame) = bench.forwarded(UP, &outer(1671, &answer(HM2)));
    let shall = craft::ethernet(RED1, GW_RED)
        .vlan(RED_VLAN)
        .ipv4("10.2.0.6", "10.1.0.5")
        .ttl(63)
        .udp(2, 1, b"hello");
    assert_eq!((interface, frame), (TRUNK, shall));
    bench.tick();
    assert!(!bench.macs().contains(&HM2.to_owned()), "never learned");
    // Nobody's DVR host MAC: bridged, whatever it says.
    let strange = answer("fa:16:3f:00:00:77");
    assert_eq!(bench.forwarded(UP, &outer(1671, &strange)).0, TRUNK);
}

#[test]
fn a_host_s_dvr_mac_may_change_and_go() {
    let mut bench = Bench::routed();
    let from = |source: &'static str| {
        let inner = craft::ethernet(RED1, source)
            .ipv4("10.2.0.6", "10.1.0.5")
            .udp(2, 1, b"");
        outer(1671, &inner)
    };
    bench.put(
        "hosts",
        "h2",
        r#"{ "vtep": "198.51.100.12", "dvr_mac": "fa:16:3f:00:00:77" }"#,
    );
    let source = |frame: &[u8]| frame[6..12].to_vec();
    let gateway = source(&craft::ethernet(RED1, GW_RED).payload(0x800, &[]));
    let (_, frame) = bench.forwarded(UP, &from("fa:16:3f:00:00:77"));
    assert_eq!(source(&frame), gateway);
    let (_, frame) = bench.forwarded(UP, &from(HM2));
    assert_ne!(
        source(&frame),
        gateway,
        "it is a station's like any other now"
    );
    // Ours is in what we route to others.
    bench.put("hosts", "h1", r#"{ "dvr_mac": "fa:16:3f:00:00:0a" }"#);
    let (_, frame) = bench.forwarded(TRUNK, &from_red1("10.2.0.6"));
    assert_eq!(frame[56..62], [0xfa, 0x16, 0x3f, 0, 0, 0x0a]);
    let refusal = bench
        .transact(r#"{ "delete": { "hosts": ["h1"] } }"#)
        .unwrap_err();
    assert_eq!(refusal.code, Code::Conflict);
}

#[test]
fn routes_of_the_list_and_beside_it() {
    let mut bench = Bench::routed();
    let (sent, drops) = bench.send(TRUNK, &from_red1("10.9.1.1"));
    assert_eq!(drops, [DropReason::NoRoute]);
    assert_eq!(sent.len(), 1, "the sender is told");
    bench.route("10.9.0.0/16", r#"["10.2.0.5"]"#);
    assert_eq!(bench.reaches("10.9.1.1"), BLUE1);
    bench.route("10.9.0.0/16", r#"["10.2.0.6"]"#);
    assert_eq!(bench.reaches("10.9.1.1"), BLUE2);
    bench.put(
        "routers",
        "r1",
        &r1(r#", "routes": [{ "destination": "10.9.1.0/24", "via": "10.2.0.5" }]"#),
    );
    assert_eq!(bench.reaches("10.9.1.1"), BLUE1, "the longer prefix");
    assert_eq!(bench.reaches("10.9.2.1"), BLUE2);
    assert_eq!(bench.routes_used(), 4);
    bench.put("routers", "r1", &r1(""));
    assert_eq!(bench.reaches("10.9.1.1"), BLUE2);
    bench.delete("routes", "r1/10.9.0.0/16");
    assert_eq!(
        bench.send(TRUNK, &from_red1("10.9.1.1")).1,
        [DropReason::NoRoute]
    );
    assert_eq!(bench.routes_used(), 2);
}

#[test]
fn a_destination_may_go_from_the_list_to_routes_and_back_in_one_transaction() {
    let mut bench = Bench::routed();
    let listed = r1(r#", "routes": [{ "destination": "10.9.0.0/16", "via": "10.2.0.5" }]"#);
    bench.put("routers", "r1", &listed);
    assert_eq!(bench.reaches("10.9.1.1"), BLUE1);
    for _ in 0..2 {
        let bare = r1("");
        bench
            .transact(&format!(
                r#"{{ "put": {{ "routers": {{ "r1": {bare} }}, "routes": {{ "r1/10.9.0.0/16": {{ "via": ["10.2.0.6"] }} }} }} }}"#
            ))
            .unwrap();
        assert_eq!((bench.reaches("10.9.1.1"), bench.routes_used()), (BLUE2, 3));
        bench
            .transact(&format!(
                r#"{{ "delete": {{ "routes": ["r1/10.9.0.0/16"] }}, "put": {{ "routers": {{ "r1": {listed} }} }} }}"#
            ))
            .unwrap();
        assert_eq!((bench.reaches("10.9.1.1"), bench.routes_used()), (BLUE1, 3));
    }
}

#[test]
fn a_route_s_destination_may_become_a_subnet_of_the_router() {
    let mut bench = Bench::routed();
    bench.route("10.3.0.0/24", r#"["10.2.0.6"]"#);
    assert_eq!(bench.reaches("10.3.0.5"), BLUE2);
    bench
        .transact(&format!(
            r#"{{ "delete": {{ "routes": ["r1/10.3.0.0/24"] }}, "put": {{
            "ports": {{ "blue1": {{ "network": "blue", "mac": "{BLUE1}", "addresses": ["10.3.0.5"], "interface": "trunk", "vlan": 12 }} }},
            "routers": {{ "r1": {{ "interfaces": [
                {{ "network": "red", "mac": "{GW_RED}", "addresses": ["10.1.0.1/24"] }},
                {{ "network": "blue", "mac": "{GW_BLUE}", "addresses": ["10.2.0.1/24", "10.3.0.1/24"] }}] }} }} }} }}"#
        ))
        .unwrap();
    assert_eq!(bench.reaches("10.3.0.5"), BLUE1);
}

#[test]
fn a_router_may_move_to_another_host_and_back() {
    let mut bench = Bench::routed();
    let elsewhere = r1(r#", "distributed": false, "host": "h2""#);
    bench.route("10.9.0.0/16", r#"["10.2.0.5"]"#);
    for _ in 0..2 {
        bench.put("routers", "r1", &elsewhere);
        // The gateway is a station of the other host.
        let (interface, frame) = bench.forwarded(TRUNK, &from_red1("10.2.0.5"));
        assert_eq!(
            (interface, frame[50 + 12 + 2 + 8]),
            (UP, 64),
            "bridged to it as it is"
        );
        assert_eq!(bench.routes_used(), 0);
        bench.put("routers", "r1", &r1(""));
        assert_eq!(bench.reaches("10.2.0.5"), BLUE1);
        assert_eq!(
            bench.reaches("10.9.1.1"),
            BLUE1,
            "its routes have come with it"
        );
        // On this host alone: no DVR host MAC, and others may send to the gateway.
        bench.put("routers", "r1", &r1(r#", "distributed": false"#));
        let (_, frame) = bench.forwarded(TRUNK, &from_red1("10.2.0.6"));
        assert_eq!(frame[50..], routed(BLUE2, GW_BLUE, None, "10.2.0.6"));
        let in_red = craft::ethernet(GW_RED, RED2)
            .ipv4("10.1.0.6", "10.2.0.5")
            .udp(1, 2, b"");
        assert_eq!(bench.forwarded(UP, &outer(1671, &in_red)).0, TRUNK);
    }
    bench.put("routers", "r1", &r1(""));
    let in_red = craft::ethernet(GW_RED, RED2)
        .ipv4("10.1.0.6", "10.2.0.5")
        .udp(1, 2, b"");
    assert_eq!(
        bench.dropped(UP, &outer(1671, &in_red)),
        DropReason::GatewayFromUnderlay
    );
}

#[test]
fn interfaces_come_go_and_change_hands() {
    let mut bench = Bench::routed();
    bench.put(
        "routers",
        "r1",
        &format!(r#"{{ "interfaces": [{{ "network": "red", "mac": "{GW_RED}", "addresses": ["10.1.0.1/24"] }}] }}"#),
    );
    assert_eq!(
        bench.send(TRUNK, &from_red1("10.2.0.5")).1,
        [DropReason::NoRoute]
    );
    bench.put("routers", "r1", &r1(""));
    assert_eq!(bench.reaches("10.2.0.5"), BLUE1);
    // Another router takes both gateways over, MACs and addresses.
    let both = r1("");
    bench
        .transact(&format!(
            r#"{{ "delete": {{ "routers": ["r1"] }}, "put": {{ "routers": {{ "r2": {both} }} }} }}"#
        ))
        .unwrap();
    assert_eq!(bench.reaches("10.2.0.6"), BLUE2);
    bench.delete("routers", "r2");
    assert_eq!(bench.routes_used(), 0);
    // Nobody has the gateway's MAC: flooded as that of any stranger.
    assert_eq!(bench.forwarded(TRUNK, &from_red1("10.2.0.5")).0, UP);
    // Handles and indices are used again.
    bench.put("routers", "r3", &r1(""));
    assert_eq!(bench.reaches("10.2.0.5"), BLUE1);
}

#[test]
fn a_network_s_segment_and_mtu_may_change_under_a_router() {
    let mut bench = Bench::routed();
    bench.put(
        "networks",
        "blue",
        r#"{ "segment": { "type": "vlan", "interface": "vm1", "vlan": 148 } }"#,
    );
    let (interface, frame) = bench.forwarded(TRUNK, &from_red1("10.2.0.6"));
    assert_eq!(
        (interface, frame),
        (VM, routed(BLUE2, HM1, Some(148), "10.2.0.6"))
    );
    bench.put(
        "networks",
        "blue",
        r#"{ "segment": { "type": "vxlan", "vni": 1672 }, "mtu": 1000 }"#,
    );
    let large = craft::ethernet(GW_RED, RED1)
        .vlan(RED_VLAN)
        .ipv4("10.1.0.5", "10.2.0.6")
        .udp(1, 2, &[0; 1100]);
    let (sent, drops) = bench.send(TRUNK, &large);
    assert_eq!((sent.len(), drops), (1, vec![DropReason::MtuExceeded]));
    // Type 3, code 4, with the MTU of blue (RFC 1191).
    assert_eq!(sent[0].1[18 + 20..][..2], [3, 4]);
    assert_eq!(sent[0].1[18 + 26..][..2], 1000u16.to_be_bytes());
}

#[test]
fn the_gateway_answers_for_itself() {
    let mut bench = Bench::routed();
    let who_has = craft::ethernet(BROADCAST, RED1)
        .vlan(RED_VLAN)
        .arp_request("10.1.0.5", "10.1.0.1");
    let answer = craft::ethernet(RED1, GW_RED)
        .vlan(RED_VLAN)
        .arp_reply("10.1.0.1", "10.1.0.5");
    assert_eq!(bench.forwarded(TRUNK, &who_has), (TRUNK, answer));
    let ping = craft::ethernet(GW_RED, RED1)
        .vlan(RED_VLAN)
        .ipv4("10.1.0.5", "10.2.0.1")
        .icmp_echo(7, 1, b"ping");
    let (interface, frame) = bench.forwarded(TRUNK, &ping);
    assert_eq!(
        (interface, frame[18 + 20]),
        (TRUNK, 0),
        "an echo reply, by whichever address"
    );
}

#[test]
fn a_full_route_table_refuses_the_whole_transaction_and_counts_what_goes() {
    let mut bench = Bench::with(Room { routes: 4, ..ROOM });
    bench.replace(ROUTED).unwrap();
    bench.hop_answers("192.0.2.1");
    bench.route("10.8.0.0/16", r#"["10.2.0.5"]"#);
    bench.route("10.9.0.0/16", r#"["10.2.0.5"]"#);
    let refusal = bench
        .transact(r#"{ "put": { "routes": { "r1/10.7.0.0/16": { "via": ["10.2.0.5"] } } } }"#)
        .unwrap_err();
    assert_eq!(refusal.code, Code::TableFull);
    // One goes and one comes: there is room, in whatever order.
    bench
        .transact(
            r#"{ "delete": { "routes": ["r1/10.9.0.0/16"] }, "put": { "routes": { "r1/10.7.0.0/16": { "via": ["10.2.0.6"] } } } }"#,
        )
        .unwrap();
    assert_eq!(bench.reaches("10.7.1.1"), BLUE2);
    assert_eq!(bench.reaches("10.8.1.1"), BLUE1);
    assert_eq!(bench.routes_used(), 4);
    // A router elsewhere takes no room, and comes back only where there is some.
    bench.put(
        "routers",
        "r1",
        &r1(r#", "distributed": false, "host": "h2""#),
    );
    bench.route("10.6.0.0/16", r#"["10.2.0.5"]"#);
    let here = r1("");
    let refusal = bench
        .transact(&format!(
            r#"{{ "put": {{ "routers": {{ "r1": {here} }} }} }}"#
        ))
        .unwrap_err();
    assert_eq!(refusal.code, Code::TableFull);
    assert_eq!(bench.routes_used(), 0);
    bench.delete("routes", "r1/10.6.0.0/16");
    bench.put("routers", "r1", &here);
    assert_eq!(bench.reaches("10.7.1.1"), BLUE2);
}

#[test]
fn too_many_sets_of_next_hops_are_refused_before_anything_changes() {
    let bench = Bench::with(Room {
        routes: 100_000,
        ..ROOM
    });
    bench.replace(ROUTED).unwrap();
    bench.put(
        "routers",
        "r1",
        &format!(r#"{{ "interfaces": [{{ "network": "red", "mac": "{GW_RED}", "addresses": ["10.16.0.1/12"] }}] }}"#),
    );
    let routes = |numbers: std::ops::Range<u32>| -> String {
        let routes = numbers.map(|number| {
            let prefix = std::net::Ipv4Addr::from(0x2000_0000 + (number << 8));
            let via = std::net::Ipv4Addr::from(0x0a10_0002 + number);
            format!(r#""r1/{prefix}/24": {{ "via": ["{via}"] }}"#)
        });
        let routes: Vec<String> = routes.collect();
        format!(
            r#"{{ "put": {{ "routes": {{ {} }} }} }}"#,
            routes.join(", ")
        )
    };
    bench.transact(&routes(0..65_534)).unwrap();
    let refusal = bench.transact(&routes(65_534..65_536)).unwrap_err();
    assert_eq!(refusal.code, Code::TableFull);
    assert_eq!(bench.routes_used(), 65_535);
    // One to where others lead already.
    bench
        .transact(r#"{ "put": { "routes": { "r1/10.200.0.0/16": { "via": ["10.16.0.2"] } } } }"#)
        .unwrap();
    assert_eq!(bench.routes_used(), 65_536);
}

/// Neutron makes one interface, with a MAC of its own, for each IPv4 subnet of a network.
#[test]
fn a_router_has_an_interface_for_each_subnet_of_a_network() {
    let mut bench = Bench::new();
    let state = r#"{
      "interfaces": { "vm1": { "mtu": 1500 }, "trunk": { "mtu": 1500 } },
      "networks": {
        "red": {
          "segment": { "type": "vxlan", "vni": 1671 },
          "subnets": [{ "cidr": "10.1.0.0/24" }, { "cidr": "10.2.0.0/24" }]
        }
      },
      "routers": { "r1": { "interfaces": [
        { "network": "red", "mac": "fa:16:3e:00:01:01", "addresses": ["10.1.0.1/24"] },
        { "network": "red", "mac": "fa:16:3e:00:02:01", "addresses": ["10.2.0.1/24"] }
      ] } },
      "ports": {
        "p1": { "network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["10.1.0.5"], "interface": "vm1" },
        "p2": { "network": "red", "mac": "fa:16:3e:00:00:02", "addresses": ["10.2.0.5"], "interface": "trunk" }
      }
    }"#;
    bench.replace(state).unwrap();
    let packet = |destination: &'static str, source: &'static str, from, to, ttl| {
        craft::ethernet(destination, source)
            .ipv4(from, to)
            .ttl(ttl)
            .udp(1, 2, b"hello")
    };
    let there = packet("fa:16:3e:00:01:01", VM1, "10.1.0.5", "10.2.0.5", 64);
    let arrives = packet(VM2, "fa:16:3e:00:02:01", "10.1.0.5", "10.2.0.5", 63);
    assert_eq!(bench.send(VM, &there), (vec![(TRUNK, arrives)], vec![]));
    let back = packet("fa:16:3e:00:02:01", VM2, "10.2.0.5", "10.1.0.5", 64);
    let arrives = packet(VM1, "fa:16:3e:00:01:01", "10.2.0.5", "10.1.0.5", 63);
    assert_eq!(bench.send(TRUNK, &back), (vec![(VM, arrives)], vec![]));
}
