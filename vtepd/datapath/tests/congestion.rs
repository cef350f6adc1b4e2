//! Congestion marks through the tunnel (RFC 6040, normal mode).

mod common;

use common::*;
use vtepd_datapath::DropReason;
use vtepd_wire::craft;
use vtepd_wire::ecn::Ecn::{self, Ce, Ect0, Ect1, NotEct};

/// A frame to VM1 whose IP header has a mark.
type Inner = fn(Ecn) -> Vec<u8>;

fn ipv4(mark: Ecn) -> Vec<u8> {
    let packet = craft::ethernet(VM1, VM4).ipv4(VM4_IP, VM1_IP);
    packet.tos(0xb8).ecn(mark).udp(1, 2, b"marked")
}

fn ipv6(mark: Ecn) -> Vec<u8> {
    let packet = craft::ethernet(VM1, VM4).ipv6(VM4_IP6, VM1_IP6);
    packet.tos(0xb8).ecn(mark).udp(1, 2, b"marked")
}

fn with_tag(mark: Ecn) -> Vec<u8> {
    tagged(5, &ipv4(mark))
}

fn with_two_tags(mark: Ecn) -> Vec<u8> {
    tagged_with(0x88a8, 6, &tagged(5, &ipv6(mark)))
}

const INNERS: [Inner; 4] = [ipv4, ipv6, with_tag, with_two_tags];

fn transparent() -> Host {
    host().change(red(), |network| network.vlan_transparent = true)
}

#[test]
fn rfc6040_decapsulation_is_by_the_table_of_section_4_2() {
    // Rows: inner; columns as in figure 4: outer Not-ECT, ECT(0), ECT(1), CE.
    let table = [
        (NotEct, [Some(NotEct), Some(NotEct), Some(NotEct), None]),
        (Ect0, [Some(Ect0), Some(Ect0), Some(Ect1), Some(Ce)]),
        (Ect1, [Some(Ect1), Some(Ect1), Some(Ect1), Some(Ce)]),
        (Ce, [Some(Ce), Some(Ce), Some(Ce), Some(Ce)]),
    ];
    for (inner, row) in table {
        for (outer, expected) in [NotEct, Ect0, Ect1, Ce].into_iter().zip(row) {
            for frame in INNERS {
                for packet in [
                    from_peer().ecn(outer).vxlan(50_000, RED_VNI, &frame(inner)),
                    from_peer6()
                        .ecn(outer)
                        .vxlan(50_000, RED_VNI, &frame(inner)),
                ] {
                    let outcome = transparent().send(UNDERLAY, &packet);
                    match expected {
                        Some(mark) => assert_eq!(
                            outcome.one(),
                            (PORT1, &frame(mark)[..]),
                            "{inner:?} in {outer:?}"
                        ),
                        None => assert_eq!(outcome.dropped(), DropReason::CongestionMarked),
                    }
                }
            }
        }
    }
}

#[test]
fn rfc6040_encapsulation_copies_the_mark() {
    let frames: [Inner; 4] = [
        |mark| {
            craft::ethernet(VM4, VM1)
                .ipv4(VM1_IP, VM4_IP)
                .tos(0xb8)
                .ecn(mark)
                .udp(1, 2, b"")
        },
        |mark| {
            craft::ethernet(VM4, VM1)
                .ipv6(VM1_IP6, VM4_IP6)
                .tos(0xb8)
                .ecn(mark)
                .udp(1, 2, b"")
        },
        |mark| {
            craft::ethernet(VM5, VM1)
                .ipv4(VM1_IP, VM4_IP)
                .tos(0xb8)
                .ecn(mark)
                .udp(1, 2, b"")
        },
        |mark| {
            craft::ethernet(VM5, VM1)
                .ipv6(VM1_IP6, VM5_IP6)
                .tos(0xb8)
                .ecn(mark)
                .udp(1, 2, b"")
        },
    ];
    for frame in frames {
        for mark in [NotEct, Ect0, Ect1, Ce] {
            let outcome = host().send(PORT1, &frame(mark));
            let (_, sent) = outcome.one();
            assert_eq!(craft::verify(sent), Ok(()));
            let class = match sent[12] {
                0x08 => sent[v4::IP + 1],
                _ => sent[v6::IP] << 4 | sent[v6::IP + 1] >> 4,
            };
            // DSCP is the tunnel's own, 0 here.
            assert_eq!(class, mark as u8, "{mark:?}");
            assert!(sent.ends_with(&frame(mark)), "the inner mark stays");
        }
    }
}

#[test]
fn what_is_not_ip_has_no_mark() {
    let inner = craft::ethernet(VM1, VM4).arp_reply(VM4_IP, VM1_IP);
    for outer in [NotEct, Ect0, Ect1, Ce] {
        let packet = from_peer().ecn(outer).vxlan(50_000, RED_VNI, &inner);
        assert_eq!(host().send(UNDERLAY, &packet).one(), (PORT1, &inner[..]));
    }
    let outcome = host().send(PORT1, &craft::ethernet(VM4, VM1).arp_reply(VM1_IP, VM4_IP));
    assert_eq!(outcome.one().1[v4::IP + 1], 0);
}

#[test]
fn an_ip_header_too_short_to_hold_a_mark_is_carried_as_it_is() {
    for ethertype in [0x0800, 0x86dd] {
        for len in 0..20 {
            let inner = craft::ethernet(VM1, VM4).payload(ethertype, &vec![0x45; len]);
            let packet = from_peer().ecn(Ce).vxlan(50_000, RED_VNI, &inner);
            assert_eq!(host().send(UNDERLAY, &packet).one(), (PORT1, &inner[..]));
            let outcome = host().send(
                PORT1,
                &craft::ethernet(VM4, VM1).payload(ethertype, &vec![0x47; len]),
            );
            assert_eq!(outcome.one().1[v4::IP + 1], 0);
        }
    }
}
