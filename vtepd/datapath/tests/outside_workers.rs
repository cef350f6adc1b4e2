//! Translation by several workers: whichever of them a packet comes to, its owner translates
//! it, and what comes of it is the same.

mod common;

use common::*;
use vtepd_datapath::DropReason;
use vtepd_nat::{Settings, UnsolicitedSyn};
use vtepd_tables::InterfaceIndex;
use vtepd_tables::translation::Description;
use vtepd_wire::{craft, tcp};

const WORKERS: usize = 3;

fn usual() -> Description {
    Description {
        floating_ips: floating(&[(FIP6, VM6_IP)]),
        ..snat(&[QG_IP])
    }
}

fn several(settings: Settings) -> Several {
    let description = usual();
    let host = outside_host(&description);
    Several::new(host, WORKERS as u16, (ROUTER_1, &description), settings)
}

fn from_vm2(destination: &str) -> craft::Packet {
    craft::ethernet(GW_RED, VM2).ipv4(VM2_IP, destination)
}

/// What `frame` becomes, whichever worker it comes to; each but its owner hands it over once.
#[track_caller]
fn everywhere(all: &mut Several, interface: InterfaceIndex, frame: &[u8]) -> Vec<u8> {
    let outcomes: Vec<Crossed> = (0..WORKERS)
        .map(|worker| all.send(worker, interface, frame))
        .collect();
    let crossings: u64 = outcomes.iter().map(|one| one.handed_over).sum();
    assert_eq!(crossings, WORKERS as u64 - 1);
    let first = outcomes[0].one().1.to_vec();
    // But for the identification, which is drawn anew.
    for one in &outcomes {
        let (_, sent) = one.one();
        assert_eq!(craft::verify(sent), Ok(()));
        assert_eq!(sent[..18], first[..18]);
        assert_eq!(sent[26..], first[26..]);
    }
    first
}

#[test]
fn each_direction_of_a_session_lands_on_its_owner() {
    let mut all = several(Settings::default());
    for port in 4000..4064 {
        let there = from_vm2(FAR_IP).udp(port, 53, b"there");
        let seen = everywhere(&mut all, PORT2, &there);
        let outside = u16::from_be_bytes([seen[34], seen[35]]);
        let back = craft::ethernet(QG, ROUTER).ipv4(FAR_IP, QG_IP);
        let back = back.udp(53, outside, b"back");
        let delivered = everywhere(&mut all, EXT, &back);
        let expected = craft::ethernet(VM2, GW_RED).ipv4(FAR_IP, VM2_IP).ttl(63);
        assert_eq!(delivered, expected.udp(53, port, b"back"));
    }
}

/// Out by the owner of the sender, in by the owner of the port that is sent to.
#[test]
fn rfc4787_req9_a_hairpin_across_workers() {
    let mut all = several(Settings::default());
    // VM3 has a port outside that VM2 sends to.
    let begin = craft::ethernet(GW_RED, VM3).ipv4(VM3_IP, FAR_IP);
    let opened = all.send(0, PORT3, &tagged(100, &begin.udp(9000, 53, b"")));
    let seen = opened.one().1.to_vec();
    let port = u16::from_be_bytes([seen[34], seen[35]]);
    for worker in 0..WORKERS {
        let knock = from_vm2(QG_IP).udp(4000, port, b"knock");
        let crossed = all.send(worker, PORT2, &knock);
        let (interface, delivered) = crossed.one();
        assert_eq!(interface, PORT3);
        assert_eq!(craft::verify(delivered), Ok(()));
        let inner = [&delivered[..12], &delivered[16..]].concat();
        assert_eq!(inner[..12], [mac(VM3).0, mac(GW_RED).0].concat());
        assert_eq!(inner[22], 62, "one router out, one in");
        let from = u16::from_be_bytes([inner[34], inner[35]]);
        // And back.
        let answer = craft::ethernet(GW_RED, VM3).ipv4(VM3_IP, QG_IP);
        let answer = tagged(100, &answer.udp(9000, from, b"come in"));
        let crossed = all.send(worker, PORT3, &answer);
        let delivered = craft::ethernet(VM2, GW_RED).ipv4(QG_IP, VM2_IP).ttl(62);
        let expected = delivered.udp(port, 4000, b"come in");
        let (interface, sent) = crossed.one();
        assert_eq!((interface, &sent[..18]), (PORT2, &expected[..18]));
        assert_eq!(sent[26..], expected[26..]);
    }
}

/// What fails when the packet is with the owner of the port: the sender inside is told all the
/// same, about what he sent.
#[test]
fn rfc5508_req7_an_error_about_a_hairpin_finds_its_way_back() {
    let mut all = several(Settings::default());
    let begin = craft::ethernet(GW_RED, VM3).ipv4(VM3_IP, FAR_IP);
    let opened = all.send(0, PORT3, &tagged(100, &begin.udp(9000, 53, b"")));
    let port = u16::from_be_bytes([opened.one().1[34], opened.one().1[35]]);
    for worker in 0..WORKERS {
        let knock = from_vm2(QG_IP).ttl(2).udp(4000, port, b"knock");
        let crossed = all.send(worker, PORT2, &knock);
        assert_eq!(crossed.drops, [DropReason::TtlExceeded]);
        let (interface, sent) = crossed.one();
        assert_eq!(interface, PORT2);
        assert_eq!(craft::verify(sent), Ok(()));
        assert_eq!(sent[30..34], [10, 0, 0, 2]);
        assert_eq!(sent[34..36], [11, 0]);
        // The quote: from VM2 and its port, to the port that it sent to.
        let quoted = &sent[42..];
        assert_eq!(quoted[12..16], [10, 0, 0, 2]);
        let ports = [4000u16.to_be_bytes(), port.to_be_bytes()].concat();
        assert_eq!(quoted[20..24], ports);
    }
}

#[test]
fn rfc4787_req14_fragments_in_any_order_at_any_worker() {
    let payload: Vec<u8> = (0..3000u32).map(|at| at as u8).collect();
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]] {
        for worker in 0..WORKERS {
            let mut all = several(Settings::default());
            let whole = from_vm2(FAR_IP).may_fragment().udp(4000, 53, &payload);
            let there = craft::fragments(&whole, 1400, 77);
            let mut sent = Vec::new();
            for (at, part) in order.iter().enumerate() {
                let crossed = all.send((worker + at) % WORKERS, PORT2, &there[*part]);
                assert_eq!(crossed.drops, []);
                sent.extend(crossed.sent);
            }
            assert_eq!((sent.len(), all.waiting()), (3, 0));
            let first = sent
                .iter()
                .find(|(_, part)| part[20] & 0x1f == 0 && part[21] == 0);
            let first = &first.unwrap().1;
            let outside = u16::from_be_bytes([first[34], first[35]]);
            for (interface, part) in &sent {
                assert_eq!(*interface, EXT);
                assert_eq!(part[26..30], [198, 51, 100, 5]);
                assert_eq!(part[18..20], first[18..20], "one identification");
            }
            // And the answer, in fragments of its own.
            let whole = craft::ethernet(QG, ROUTER).ipv4(FAR_IP, QG_IP);
            let whole = whole.may_fragment().udp(53, outside, &payload);
            let back = craft::fragments(&whole, 1400, 78);
            let mut sent = Vec::new();
            for (at, part) in order.iter().enumerate() {
                let crossed = all.send((worker + at) % WORKERS, EXT, &back[*part]);
                assert_eq!(crossed.drops, [], "{order:?}");
                sent.extend(crossed.sent);
            }
            assert_eq!((sent.len(), all.waiting()), (3, 0), "{order:?}");
            for (interface, part) in &sent {
                assert_eq!(*interface, PORT2);
                assert_eq!(part[30..34], [10, 0, 0, 2]);
            }
        }
    }
}

#[test]
fn rfc5382_req4_an_unsolicited_syn_is_told_of_after_six_seconds() {
    let settings = Settings {
        unsolicited_syn: UnsolicitedSyn::Unreachable,
        ..Settings::default()
    };
    let mut all = several(settings);
    let syn = craft::ethernet(QG, OUT).ipv4(OUT_IP, QG_IP);
    let syn = syn.tcp(999, 80, tcp::SYN, b"");
    assert!(all.send(0, EXT, &syn).sent.is_empty());
    assert!(all.age(5).sent.is_empty());
    let told = all.age(6);
    assert_eq!(told.drops, [DropReason::NatNoMapping]);
    let error = craft::ethernet(OUT, QG).ipv4(QG_IP, OUT_IP).tos(0xc0);
    assert_eq!(told.one(), (EXT, &error.icmp(3, 3, 0, &syn[14..])[..]));
}

#[test]
fn what_an_older_table_meant_is_not_acted_upon() {
    let mut all = several(Settings::default());
    let whole = from_vm2(FAR_IP).may_fragment().udp(4000, 53, &[7; 3000]);
    let parts = craft::fragments(&whole, 1400, 77);
    all.send(0, PORT2, &parts[1]);
    all.host.tables.edit().generation += 1;
    let crossed = all.send(0, PORT2, &parts[0]);
    assert_eq!(crossed.drops, [DropReason::Vacant]);
    assert_eq!(crossed.sent.len(), 1);
}
