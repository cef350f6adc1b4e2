//! Golden packets: what a running Neutron was seen to do, byte for byte. The file
//! is read as it is; the outer UDP source port is ours to choose and is masked.

mod common;

use common::{Golden, GoldenRole, Outcome, SOURCE_PORT, golden_host};
use serde::Deserialize;
use vtepd_datapath::DropReason;
use vtepd_datapath::route::neighbours::Neighbours;
use vtepd_tables::InterfaceIndex;
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
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/neutron.json");
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
