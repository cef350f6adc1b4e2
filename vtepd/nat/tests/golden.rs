//! The golden packets of SNAT and floating IPs at the level of IP: what routers do besides, TTL and MACs, is
//! done here by hand.

mod common;

use common::*;
use vtepd_nat::{Description, Refusal, Settings};
use vtepd_wire::craft::hex;
use vtepd_wire::{FromBytes, ipv4};

/// An Ethernet header, which translation knows nothing of.
const LINK: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];

fn frame(packet: &str) -> Vec<u8> {
    [&LINK[..], &hex(packet)].concat()
}

fn routed(mut frame: Vec<u8>, times: usize) -> Vec<u8> {
    let (header, _) = ipv4::Header::mut_from_prefix(&mut frame[14..]).unwrap();
    (0..times).for_each(|_| header.decrement_ttl());
    frame
}

/// As the network node gets it from the compute host (S1).
const S1: &str = "45000028 12344000 3f065d79 c0a80109 0a64000e
    9c400050 000003e8 00000000 5002faf0 48560000";

#[test]
fn s2_source_becomes_the_gateway_address() {
    let mut world = World::snat();
    assert_eq!(
        routed(world.out(&frame(S1)), 1),
        frame(
            "45000028 12344000 3e0615c2 0a640005 0a64000e
             9c400050 000003e8 00000000 5002faf0 ff9e0000"
        )
    );
}

#[test]
fn s3_the_answer_finds_its_way_back() {
    let mut world = World::snat();
    world.out(&frame(S1));
    let answer = frame(
        "45000028 12344000 400613c2 0a64000e 0a640005
         00509c40 00001388 000003e9 5012faf0 ec050000",
    );
    assert_eq!(
        routed(world.inn(&answer), 1),
        frame(
            "45000028 12344000 3f065d79 0a64000e c0a80109
             00509c40 00001388 000003e9 5012faf0 34bd0000"
        )
    );
}

#[test]
fn s4_what_comes_in_the_middle_of_a_stream_is_refused() {
    let mut world = World::snat();
    let segment = frame(
        "45000028 12344000 3f065d79 c0a80109 0a64000e
         9c410050 000003e8 00000001 5010faf0 48460000",
    );
    assert_eq!(world.out_refused(&segment), Refusal::NoSession);
    assert_eq!(world.sessions(), 0);
    world.out(&frame(S1));
    assert_eq!(world.out_refused(&segment), Refusal::NoSession);
}

fn with_floating_ip() -> World {
    let description = Description {
        floating_ips: vec![floating("10.100.0.7", VM)],
        ..Description::default()
    };
    World::with(Settings::default(), description)
}

#[test]
fn f1_a_floating_ip_wins_over_snat_and_keeps_identifiers() {
    let mut world = with_floating_ip();
    let echo = frame(
        "4500002c 12344000 40015c7a c0a80109 0a64000e
         08001b10 00070001 76746570642d676f6c64656e2d313662",
    );
    assert_eq!(
        routed(world.out(&echo), 2),
        frame(
            "4500002c 12344000 3e0115c1 0a640007 0a64000e
             08001b10 00070001 76746570642d676f6c64656e2d313662"
        )
    );
    assert_eq!(world.sessions(), 0);
}

#[test]
fn f3_what_comes_for_a_floating_ip_goes_to_the_fixed_address() {
    let mut world = with_floating_ip();
    let reply = frame(
        "4500002c 12344000 400113c1 0a64000e 0a640007
         00002310 00070001 76746570642d676f6c64656e2d313662",
    );
    assert_eq!(
        routed(world.inn(&reply), 2),
        frame(
            "4500002c 12344000 3e015e7a 0a64000e c0a80109
             00002310 00070001 76746570642d676f6c64656e2d313662"
        )
    );
}
