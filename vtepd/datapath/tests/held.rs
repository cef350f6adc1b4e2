//! Packets that wait for a neighbour: the first of a conversation is not lost, nobody
//! waits for ever, and nobody takes others' places.

mod common;

use common::*;
use vtepd_datapath::DropReason;
use vtepd_datapath::observer::Decision;
use vtepd_datapath::route::neighbours::Neighbours;
use vtepd_tables::Neighbour;
use vtepd_wire::craft;

const GATEWAY: &str = "fa:16:3e:5b:89:14";
const VM: &str = "fa:16:3e:9a:b7:d4";
const STRANGER: &str = "fa:16:3e:00:00:50";

fn to_stranger(identification: u16) -> Vec<u8> {
    craft::ethernet(GATEWAY, VM)
        .ipv4("192.168.1.9", "192.168.2.50")
        .identification(identification)
        .udp(1, 2, b"hello")
}

#[test]
fn rfc1122_the_first_packets_go_on_in_order_when_the_neighbour_answers() {
    let mut host = golden_host(GoldenRole::H1);
    for identification in 1..=3 {
        let outcome = host.bench.send(host.access, &to_stranger(identification));
        assert!(
            outcome.sent.is_empty() && outcome.drops.is_empty(),
            "{outcome:?}"
        );
        assert!(outcome.decisions.contains(&Decision::Held));
    }
    assert!(host.bench.resume().is_empty(), "nobody has answered");
    let mut neighbours = Neighbours::default();
    let neighbour = Neighbour {
        mac: mac(STRANGER),
        adjacency: adjacency(3),
    };
    let known = neighbours.claimed(
        &mut host.bench.tables,
        network(2),
        ip("192.168.2.50"),
        neighbour,
        0,
    );
    assert!(known);
    let sent = host.bench.resume();
    let expected = (1..=3u16).map(|identification| {
        let frame = craft::ethernet(STRANGER, "fa:16:3e:fa:c6:99")
            .ipv4("192.168.1.9", "192.168.2.50")
            .identification(identification)
            .ttl(63)
            .udp(1, 2, b"hello");
        (host.access2, frame)
    });
    assert_eq!(sent, expected.collect::<Vec<_>>());
}

#[test]
fn rfc1812_the_sender_is_told_when_nobody_answers() {
    let mut host = golden_host(GoldenRole::H1);
    host.bench.send(host.access, &to_stranger(1));
    host.bench.state.now += 2;
    assert!(host.bench.resume().is_empty());
    host.bench.state.now += 1;
    let sent = host.bench.resume();
    let [(interface, error)] = &sent[..] else {
        panic!("{sent:?}");
    };
    craft::verify(error).unwrap();
    assert_eq!(*interface, host.access);
    assert_eq!(error[26..34], [192, 168, 1, 1, 192, 168, 1, 9]);
    assert_eq!(error[34..36], [3, 1], "host unreachable");
    assert_eq!(host.bench.counters.drops(DropReason::NeighbourUnknown), 1);
}

#[test]
fn one_port_fills_its_own_places_only() {
    let mut host = golden_host(GoldenRole::H1);
    let dropped = |host: &mut Golden, interface| {
        let outcome = host.bench.send(interface, &to_stranger(1));
        outcome.drops == [DropReason::NeighbourUnknown]
    };
    for packet in 0..20 {
        let access = host.access;
        assert_eq!(dropped(&mut host, access), packet >= 8, "{packet}");
    }
    // The other port is in the other network: its stranger is in this one.
    let frame = craft::ethernet("fa:16:3e:fa:c6:99", "fa:16:3e:ad:31:3c")
        .ipv4("192.168.2.9", "192.168.1.50")
        .udp(1, 2, b"");
    let outcome = host.bench.send(host.access2, &frame);
    assert!(outcome.drops.is_empty());
}

#[test]
fn when_all_places_are_taken_the_greediest_gives_one_up() {
    let mut host = golden_host(GoldenRole::H1);
    let red = network(1);
    // Eight ports with eight packets each.
    for port in 0..8u8 {
        let interface = host.bench.interface(10 + port, "02:00:00:00:0a:10", 1500);
        host.bench.bind(20 + u16::from(port), interface, None, red);
        for _ in 0..8 {
            assert!(host.bench.send(interface, &to_stranger(1)).drops.is_empty());
        }
    }
    let newcomer = host.bench.send(host.access, &to_stranger(2));
    assert_eq!(
        newcomer.drops,
        [DropReason::NeighbourUnknown],
        "one of the others'"
    );
    host.bench.state.now += 3;
    let told = host.bench.resume();
    let told_newcomer = told.iter().filter(|(to, _)| *to == host.access);
    assert_eq!((told.len(), told_newcomer.count()), (64, 1));
}

#[test]
fn nobody_waits_across_a_change_of_owners() {
    let mut host = golden_host(GoldenRole::H1);
    host.bench.send(host.access, &to_stranger(1));
    host.bench.tables.edit().generation += 1;
    assert!(host.bench.resume().is_empty());
    assert_eq!(host.bench.counters.drops(DropReason::Vacant), 1);
}
