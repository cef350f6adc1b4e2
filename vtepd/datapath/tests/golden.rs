//! Golden packets, byte for byte: what a running Neutron was seen to do on VXLAN
//! networks (`neutron.json`), and the same on VLAN networks (`vlan.json`, made by the
//! script beside it). The files are read as they are; the outer UDP source port is ours
//! to choose and is masked.

mod common;

use common::{
    Bench, GOLDEN_EXTERNAL, GOLDEN_HM1, GOLDEN_HM2, Golden, GoldenRole, Outcome, SOURCE_PORT,
    golden_compute, golden_host, golden_node, tag,
};
use serde::Deserialize;
use vtepd_datapath::DropReason;
use vtepd_datapath::route::neighbours::Neighbours;
use vtepd_tables::translation::Description;
use vtepd_tables::{Access, Adjacency, InterfaceIndex, NetworkIndex, Role, VrfIndex};
use vtepd_wire::craft;

#[derive(Deserialize)]
struct Case {
    name: String,
    r#in: String,
    out: Vec<Sent>,
}

#[derive(Deserialize)]
struct Sent {
    port: String,
    hex: String,
}

fn case(prefix: &str) -> Case {
    case_of("neutron.json", prefix)
}

fn case_of(file: &str, prefix: &str) -> Case {
    let file = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(file).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    cases
        .into_iter()
        .find(|case| case.name.starts_with(prefix))
        .unwrap_or_else(|| panic!("no case {prefix}"))
}

/// Sends the case's packet in and compares what comes out, where and in bytes, and why
/// something else may have gone no further.
fn check(case: &Case, mut host: Golden, drops: &[DropReason]) {
    let outcome = send(case, &mut host);
    assert_eq!(outcome.drops, drops, "{}: {outcome:?}", case.name);
    compare(case, &host, &outcome.sent);
}

fn send(case: &Case, host: &mut Golden) -> Outcome {
    let frame = craft::hex(&case.r#in);
    let from_underlay = frame.starts_with(&[0x02]);
    let interface = if from_underlay {
        host.underlay
    } else {
        host.access
    };
    host.bench.send(interface, &frame)
}

fn compare(case: &Case, host: &Golden, sent: &[(InterfaceIndex, Vec<u8>)]) {
    assert_eq!(sent.len(), case.out.len(), "{}: {sent:?}", case.name);
    for (expected, (interface, sent)) in case.out.iter().zip(sent) {
        let mut sent = sent.clone();
        let to_underlay = expected.port.starts_with("underlay");
        let to = match expected.port.as_str() {
            "vport VM3" => host.access2,
            "external" => GOLDEN_EXTERNAL,
            _ if to_underlay => host.underlay,
            _ => host.access,
        };
        assert_eq!(*interface, to, "{}", case.name);
        let mut expected = craft::hex(&expected.hex);
        if to_underlay {
            let port = u16::from_be_bytes([sent[34], sent[35]]);
            assert!(port >= 49152, "{}: source port {port}", case.name);
            sent[SOURCE_PORT].fill(0);
            expected[SOURCE_PORT].fill(0);
        }
        assert_eq!(sent, expected, "{}", case.name);
        craft::verify(&sent).unwrap();
    }
}

/// The packet comes in by the external network.
#[track_caller]
fn check_from_outside(case: &Case, host: &mut Golden) {
    let outcome = host.bench.send(GOLDEN_EXTERNAL, &craft::hex(&case.r#in));
    assert_eq!(outcome.drops, [], "{}: {outcome:?}", case.name);
    compare(case, host, &outcome.sent);
}

#[track_caller]
fn check_on(case: &Case, host: &mut Golden) {
    let outcome = send(case, host);
    assert_eq!(outcome.drops, [], "{}: {outcome:?}", case.name);
    compare(case, host, &outcome.sent);
}

#[test]
fn s1_snat_is_reached_by_way_of_its_host() {
    check_on(&case("S1"), &mut golden_compute(false));
}

#[test]
fn s2_the_network_node_translates() {
    check_on(&case("S2"), &mut golden_node());
}

#[test]
fn s3_the_way_back_is_straight_to_the_station() {
    let mut node = golden_node();
    check_on(&case("S2"), &mut node);
    check_from_outside(&case("S3"), &mut node);
}

#[test]
fn s4_the_middle_of_a_connection_opens_none() {
    let case = case("S4");
    let outcome = send(&case, &mut golden_node());
    assert_eq!(outcome.dropped(), DropReason::NatNoSession);
    assert_eq!(case.out.len(), 0);
}

#[test]
fn f1_a_floating_ip_leaves_from_its_own_host() {
    check_on(&case("F1"), &mut golden_compute(true));
}

#[test]
fn f2_arp_for_a_floating_ip_is_answered_where_it_lives() {
    check_from_outside(&case("F2"), &mut golden_compute(true));
    // And nowhere else: the question goes on to whoever may be on the network.
    let question = craft::hex(&case("F2").r#in);
    for mut other in [golden_compute(false), golden_node()] {
        let outcome = other.bench.send(GOLDEN_EXTERNAL, &question);
        assert_eq!(outcome.dropped(), DropReason::NoFloodTarget);
    }
}

#[test]
fn f3_to_a_floating_ip_is_to_its_port() {
    check_from_outside(&case("F3"), &mut golden_compute(true));
}

fn h1() -> Golden {
    golden_host(GoldenRole::H1)
}

fn h2() -> Golden {
    golden_host(GoldenRole::H2)
}

#[test]
fn a1_arp_for_the_gateway_is_answered() {
    check(&case("A1"), h1(), &[]);
}

#[test]
fn a2_arp_is_answered_from_the_table() {
    check(&case("A2"), h1(), &[]);
}

#[test]
fn a3_an_announcement_is_not_answered_but_replicated() {
    check(&case("A3"), h1(), &[]);
}

#[test]
fn a4_a_frame_to_the_gateway_from_the_underlay_is_dropped() {
    check(&case("A4"), h1(), &[DropReason::GatewayFromUnderlay]);
}

#[test]
fn e2_same_network_other_host_is_encapsulated() {
    check(&case("E2 same-net diff-host (H1 tx)"), h1(), &[]);
}

#[test]
fn e2_same_network_other_host_is_delivered() {
    check(&case("E2 same-net diff-host (H2 rx)"), h2(), &[]);
}

#[test]
fn e3_other_network_same_host_is_routed() {
    check(&case("E3"), golden_host(GoldenRole::Together), &[]);
}

#[test]
fn e4_other_network_other_host_is_routed_here() {
    check(&case("E4 diff-net diff-host (H1 tx)"), h1(), &[]);
}

#[test]
fn e4_other_network_other_host_arrives_from_the_gateway() {
    check(&case("E4 diff-net diff-host (H2 rx)"), h2(), &[]);
}

/// The bytes of M1 are those of a router that quotes 28 bytes. Ours quotes as much as RFC
/// 1812, 4.3.2.3 asks for, in a packet of internetwork control (4.3.2.5): as the note of
/// the case says, type, code, MTU, addresses and the first 28 quoted bytes are compared.
#[test]
fn m1_too_big_is_told_with_the_mtu() {
    let case = case("M1");
    let mut host = h1();
    let outcome = send(&case, &mut host);
    assert_eq!(outcome.drops, [DropReason::MtuExceeded]);
    let [(interface, sent)] = &outcome.sent[..] else {
        panic!("{outcome:?}");
    };
    assert_eq!(*interface, host.access);
    craft::verify(sent).unwrap();
    let expected = craft::hex(&case.out[0].hex);
    assert_eq!(sent[..14], expected[..14], "Ethernet");
    assert_eq!(sent[26..34], expected[26..34], "addresses");
    assert_eq!(sent[34..36], expected[34..36], "type and code");
    assert_eq!(sent[38..42], expected[38..42], "next-hop MTU");
    assert_eq!(sent[42..70], expected[42..70], "quoted");
    assert_eq!(sent.len(), 14 + 576);
    assert_eq!(sent[15], 0xc0);
}

#[test]
fn p1_an_unknown_neighbour_is_asked_for_by_the_host() {
    let case = case("P1");
    let mut host = h1();
    let gateway = common::adjacency(5);
    let mut neighbours = Neighbours::default();
    let question = neighbours
        .wanted(&host.bench.tables, gateway, common::ip("192.168.2.50"), 0)
        .unwrap();
    let sent = host.bench.deliver(&question);
    // The ports of this host are asked as well: nobody knows where he is.
    let (here, there): (Vec<_>, Vec<_>) = sent
        .into_iter()
        .partition(|(interface, _)| *interface == host.access2);
    assert_eq!(here.len(), 1);
    compare(&case, &host, &there);
}

#[test]
fn g1_echo_to_the_gateway_is_answered() {
    check(&case("G1"), h1(), &[]);
}

/// VLAN networks: on both access interfaces the access VLANs 1 and 2, on the provider
/// interface the segments 196 and 148.
fn vlan_host(role: GoldenRole) -> Golden {
    let mut bench = Bench::default();
    let provider = bench.interface(0, "02:00:00:00:0b:01", 1500);
    let access = bench.interface(1, "02:00:00:00:0a:01", 1500);
    let access2 = bench.interface(2, "02:00:00:00:0a:02", 1500);
    let (red, blue) = (common::network(1), common::network(2));
    let port = bench.bind(1, access, Some(tag(1)), red);
    let port2 = bench.bind(2, access2, Some(tag(2)), blue);
    let segment = |bench: &mut Bench, at, vlan, network| {
        let index = bench.bind(at, provider, Some(tag(vlan)), network);
        bench.access(provider, Some(tag(vlan)), Access::Segment);
        let snapshot = bench.tables.edit();
        if let Adjacency::Port(port) = snapshot.adjacency_mut(index) {
            port.segment = true;
        }
        let entry = snapshot.network_mut(network);
        (entry.segment, entry.suppression) = (Some(index), true);
        index
    };
    let red_segment = segment(&mut bench, 3, 196, red);
    let blue_segment = segment(&mut bench, 4, 148, blue);
    bench.flood(red, &[port, red_segment], &[]);
    bench.flood(blue, &[port2, blue_segment], &[]);
    let first = role != GoldenRole::H2;
    let (vm1, vm2) = if first {
        (port, red_segment)
    } else {
        (red_segment, port)
    };
    let vm3 = if role == GoldenRole::H1 {
        blue_segment
    } else {
        port2
    };
    bench.station(red, "fa:16:3e:9a:b7:d4", &["192.168.1.9"], vm1);
    bench.station(red, "fa:16:3e:b5:f9:75", &["192.168.1.10"], vm2);
    bench.station(blue, "fa:16:3e:ad:31:3c", &["192.168.2.9"], vm3);
    bench.gateway(5, red, 1, "fa:16:3e:5b:89:14", &["192.168.1.1/24"]);
    bench.gateway(6, blue, 1, "fa:16:3e:fa:c6:99", &["192.168.2.1/24"]);
    let (own, other) = if first {
        (GOLDEN_HM1, GOLDEN_HM2)
    } else {
        (GOLDEN_HM2, GOLDEN_HM1)
    };
    bench.host_macs(own, &[(other, red_segment)]);
    Golden {
        bench,
        underlay: provider,
        access,
        access2,
    }
}

/// Which of the host's interfaces has this VLAN.
fn interface_of(host: &Golden, frame: &[u8]) -> InterfaceIndex {
    match u16::from_be_bytes([frame[14], frame[15]]) {
        1 => host.access,
        2 => host.access2,
        _ => host.underlay,
    }
}

/// The host of VM1 with a way outside in VLAN 300: for floating IPs here, for SNAT elsewhere.
fn vlan_compute(floating: bool) -> Golden {
    let mut host = vlan_host(GoldenRole::H1);
    let bench = &mut host.bench;
    let segment = common::adjacency(3);
    bench.station(common::network(1), VLAN_SG, &["192.168.1.11"], segment);
    bench.change_gateway(common::adjacency(5), |gateway| {
        gateway.central_v4 = Some([192, 168, 1, 11].into());
    });
    let outside = vlan_outside(bench, host.underlay);
    let fg = bench.outside_gateway(
        22,
        outside,
        VrfIndex::NOWHERE,
        "fa:16:3e:7d:bd:86",
        &["10.100.0.0/24"],
    );
    bench.way_outside(23, 1, outside, [Some(fg), None], &VLAN_ROUTES);
    let pairs = [("10.100.0.7", "192.168.1.9")];
    let description = Description {
        floating_ips: common::floating(if floating { &pairs } else { &[] }),
        ..common::snat(&[])
    };
    bench.rules(outside, &[(1, &description)]);
    host
}

/// The network node: VM1 is elsewhere, and so is every other station.
fn vlan_node() -> Golden {
    let mut host = vlan_host(GoldenRole::H2);
    let bench = &mut host.bench;
    let sg = bench.gateway(24, common::network(1), 2, VLAN_SG, &["192.168.1.11/24"]);
    bench.change_gateway(sg, |gateway| {
        gateway.role = Role::Central;
        gateway.distributed = false;
    });
    let outside = vlan_outside(bench, host.underlay);
    let qg = bench.outside_gateway(
        22,
        outside,
        common::vrf(2),
        "fa:16:3e:70:a5:d3",
        &["10.100.0.5/24"],
    );
    bench.way_outside(23, 2, outside, [None, Some(qg)], &VLAN_ROUTES);
    bench.rules(outside, &[(2, &common::snat(&["10.100.0.5"]))]);
    host
}

const VLAN_SG: &str = "fa:16:3e:19:e1:98";
const VLAN_ROUTES: [(&str, Option<&str>); 2] =
    [("10.100.0.0/24", None), ("0.0.0.0/0", Some("10.100.0.1"))];

fn vlan_outside(bench: &mut Bench, provider: InterfaceIndex) -> NetworkIndex {
    let outside = common::network(3);
    bench.external_on(outside, provider, Some(tag(300)), 21);
    let out = ("02:00:00:00:0e:14", ["10.100.0.14"]);
    bench.station(outside, out.0, &out.1, common::adjacency(21));
    outside
}

#[track_caller]
fn check_vlan(prefix: &str, role: GoldenRole, drops: &[DropReason]) {
    check_vlan_on(prefix, &mut vlan_host(role), drops);
}

#[track_caller]
fn check_vlan_on(prefix: &str, host: &mut Golden, drops: &[DropReason]) {
    let case = case_of("vlan.json", prefix);
    let frame = craft::hex(&case.r#in);
    let interface = interface_of(host, &frame);
    let outcome = host.bench.send(interface, &frame);
    assert_eq!(outcome.drops, drops, "{}: {outcome:?}", case.name);
    assert_eq!(outcome.events, [], "{}", case.name);
    compare_vlan(&case, host, &outcome.sent);
}

#[track_caller]
fn compare_vlan(case: &Case, host: &Golden, sent: &[(InterfaceIndex, Vec<u8>)]) {
    let expected: Vec<(InterfaceIndex, Vec<u8>)> = case
        .out
        .iter()
        .map(|sent| craft::hex(&sent.hex))
        .map(|frame| (interface_of(host, &frame), frame))
        .collect();
    for ((interface, frame), out) in expected.iter().zip(&case.out) {
        assert_eq!(craft::verify(frame), Ok(()), "{}", case.name);
        assert_eq!(*interface == host.underlay, out.port == "provider");
    }
    assert_eq!(sent, expected, "{}", case.name);
}

#[test]
fn vlan_a1_arp_for_the_gateway_is_answered() {
    check_vlan("A1", GoldenRole::H1, &[]);
}

#[test]
fn vlan_a2_arp_is_answered_from_the_table() {
    check_vlan("A2", GoldenRole::H1, &[]);
}

#[test]
fn vlan_a3_an_announcement_is_not_answered_but_sent_on() {
    check_vlan("A3", GoldenRole::H1, &[]);
}

#[test]
fn vlan_a4_a_frame_to_the_gateway_from_the_segment_is_dropped() {
    check_vlan("A4", GoldenRole::H1, &[DropReason::GatewayFromUnderlay]);
}

#[test]
fn vlan_e2_same_network_other_host_changes_its_tag() {
    check_vlan("E2 same-net diff-host (H1 tx)", GoldenRole::H1, &[]);
}

#[test]
fn vlan_e2_same_network_other_host_is_delivered() {
    check_vlan("E2 same-net diff-host (H2 rx)", GoldenRole::H2, &[]);
}

#[test]
fn vlan_e3_other_network_same_host_is_routed() {
    check_vlan("E3", GoldenRole::Together, &[]);
}

#[test]
fn vlan_e4_other_network_other_host_is_routed_here() {
    check_vlan("E4 diff-net diff-host (H1 tx)", GoldenRole::H1, &[]);
}

#[test]
fn vlan_e4_other_network_other_host_arrives_from_the_gateway() {
    check_vlan("E4 diff-net diff-host (H2 rx)", GoldenRole::H2, &[]);
}

#[test]
fn vlan_p1_an_unknown_neighbour_is_asked_for_by_the_host() {
    let case = case_of("vlan.json", "P1");
    let mut host = vlan_host(GoldenRole::H1);
    let (gateway, address) = (common::adjacency(6), common::ip("192.168.2.50"));
    let mut neighbours = Neighbours::default();
    let question = neighbours
        .wanted(&host.bench.tables, gateway, address, 0)
        .unwrap();
    let sent = host.bench.deliver(&question);
    // The ports of this host are asked as well: nobody knows where he is.
    let (here, there): (Vec<_>, Vec<_>) = sent
        .into_iter()
        .partition(|(interface, _)| *interface == host.access2);
    assert_eq!(here.len(), 1);
    compare_vlan(&case, &host, &there);
}

#[test]
fn vlan_m1_too_big_is_told_with_the_mtu() {
    check_vlan("M1", GoldenRole::H1, &[DropReason::MtuExceeded]);
}

#[test]
fn vlan_g1_echo_to_the_gateway_is_answered() {
    check_vlan("G1", GoldenRole::H1, &[]);
}

#[test]
fn vlan_s1_snat_is_reached_by_way_of_its_host() {
    check_vlan_on("S1", &mut vlan_compute(false), &[]);
}

#[test]
fn vlan_s2_and_s3_the_network_node_translates_there_and_back() {
    let mut node = vlan_node();
    check_vlan_on("S2", &mut node, &[]);
    check_vlan_on("S3", &mut node, &[]);
}

#[test]
fn vlan_s4_the_middle_of_a_connection_opens_none() {
    check_vlan_on("S4", &mut vlan_node(), &[DropReason::NatNoSession]);
}

#[test]
fn vlan_f1_to_f3_a_floating_ip_is_at_home_on_its_own_host() {
    for case in ["F1", "F2", "F3"] {
        check_vlan_on(case, &mut vlan_compute(true), &[]);
    }
}

/// The file is what the script makes of what it says.
#[test]
fn vlan_json_is_what_its_script_writes() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let python = std::process::Command::new("python3")
        .args(["make_vlan.py", "--check"])
        .current_dir(directory)
        .status();
    match python {
        Ok(status) => assert!(status.success()),
        Err(error) => eprintln!("not checked, as there is no Python here: {error}"),
    }
}
