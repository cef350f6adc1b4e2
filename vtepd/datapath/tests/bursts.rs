//! Packets of one burst do not touch each other: a burst of any frames gives what
//! as many bursts of one give, in the same order.

mod common;

use common::*;
use proptest::prelude::*;
use vtepd_datapath::Event;
use vtepd_datapath::memory::MemoryPacket;
use vtepd_datapath::packet::BURST;
use vtepd_tables::InterfaceIndex;
use vtepd_tables::translation::Description;
use vtepd_wire::{craft, tcp};

/// Outcomes of the same frames, one by one and all at once.
fn compare(interface: InterfaceIndex, frames: &[Vec<u8>]) {
    compare_at([busy_host(), busy_host()], interface, frames);
}

/// The same at two hosts that are alike.
fn compare_at([mut singly, mut at_once]: [Host; 2], interface: InterfaceIndex, frames: &[Vec<u8>]) {
    let mut expected = singly.send_burst(interface, [].into_iter().collect());
    for frame in frames {
        let outcome = singly.send(interface, frame);
        expected.sent.extend(outcome.sent);
        expected.drops.extend(outcome.drops);
        expected.events.extend(outcome.events);
        expected.consumed += outcome.consumed;
    }
    let burst = frames
        .iter()
        .map(|frame| MemoryPacket::new(frame))
        .collect();
    let outcome = at_once.send_burst(interface, burst);
    expected.drops.sort_by_key(|reason| reason.index());
    assert_eq!(outcome.sent, expected.sent);
    assert_eq!(outcome.drops, expected.drops);
    // What is told waits in three queues, each in its own order; but IPv4 packets to gateways are routed together,
    // after what else the burst has to say.
    let by_queue = |mut events: Vec<Event>| {
        events.sort_by_key(|event| match event {
            Event::Neighbour { .. } | Event::MembershipQuery { .. } => 0,
            Event::Claim { .. } => 1,
            Event::Wanted { address, .. } if address.is_ipv6() => 2,
            Event::Wanted { .. } => 3,
            Event::Seen { .. } => 4,
        });
        events
    };
    assert_eq!(by_queue(outcome.events), by_queue(expected.events));
    assert_eq!(outcome.consumed, expected.consumed);
}

fn frames_by(interface: InterfaceIndex) -> Vec<Vec<u8>> {
    let here = corpus().into_iter().filter(|(by, _)| *by == interface);
    here.map(|(_, frame)| frame).collect()
}

#[test]
fn sixty_four_frames_in_one_burst_are_as_sixty_four_bursts_of_one() {
    for interface in [UNDERLAY, PORT1, PORT2, PORT3] {
        let frames: Vec<Vec<u8>> = frames_by(interface)
            .into_iter()
            .cycle()
            .take(BURST)
            .collect();
        compare(interface, &frames);
    }
}

#[test]
fn an_empty_burst_does_nothing() {
    let outcome = busy_host().send_burst(UNDERLAY, [].into_iter().collect());
    assert_eq!((outcome.sent.len(), outcome.drops.len()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_mix_in_one_burst_is_as_one_by_one(
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..4), 1..=BURST),
        interface in prop::sample::select(vec![UNDERLAY, PORT1, PORT3]),
    ) {
        let known = frames_by(interface);
        let frames: Vec<Vec<u8>> = picks
            .iter()
            .map(|(pick, at, change)| {
                let mut frame = pick.get(&known).clone();
                let at = at.index(frame.len());
                match change {
                    0 => frame[at] ^= 1 << (at % 8),
                    1 => frame.truncate(at),
                    _ => {}
                }
                frame
            })
            .collect();
        compare(interface, &frames);
    }
}

/// One station has a floating IP, another shares the router's address.
fn translating_host() -> Host {
    outside_host(&Description {
        floating_ips: floating(&[(FIP1, VM1_IP)]),
        exempt: vec!["192.0.2.0/24".parse().unwrap()],
        ..snat(&[QG_IP])
    })
}

/// What VM2 sends to the outside: new and old sessions of all kinds, what is refused, what turns round, what is not
/// translated. No parts of datagrams: those that wait for their first go on at the end of the burst.
fn to_the_outside() -> Vec<Vec<u8>> {
    let to = |destination: &str| craft::ethernet(GW_RED, VM2).ipv4(VM2_IP, destination);
    let mut frames = vec![
        to(FAR_IP).udp(4000, 53, b"a"),
        to(FAR_IP).udp(4001, 53, b"b"),
        to(OUT_IP).udp(4000, 53, b"another remote"),
        to(FAR_IP).tcp(4000, 80, tcp::SYN, b""),
        to(FAR_IP).tcp(4000, 80, tcp::ACK, b"c"),
        to(FAR_IP).icmp(8, 0, 7 << 16 | 1, b"echo"),
        to(FAR_IP).icmp(5, 0, 0, b"not translated"),
        to(FAR_IP).ttl(1).udp(4000, 53, b"expired"),
        to(FAR_IP).options(&[7, 3, 4]).udp(4002, 53, b"options"),
        to(FAR_IP).payload(47, b"GRE"),
        to(FIP1).udp(4000, 53, b"hairpin"),
        to("192.0.2.1").udp(4000, 53, b"exempt"),
        to(QG_IP).icmp(8, 0, 7 << 16 | 1, b"the router"),
        to("198.51.100.99").udp(4000, 53, b"nobody there"),
        to(VM6_IP).udp(4000, 53, b"not outside"),
    ];
    let mut padded = to(FAR_IP).udp(4000, 53, b"");
    padded.extend([0; 18]);
    frames.push(padded);
    frames
}

/// And what comes back to the router's address and to the floating IP.
fn from_the_outside() -> Vec<Vec<u8>> {
    let from =
        |to: &str| craft::ethernet(if to == FIP1 { FG } else { QG }, ROUTER).ipv4(FAR_IP, to);
    vec![
        from(QG_IP).udp(53, 4000, b"a"),
        from(QG_IP).udp(53, 4999, b"nobody has asked"),
        from(QG_IP).tcp(80, 4000, tcp::SYN, b""),
        from(QG_IP).icmp(0, 0, 7 << 16 | 1, b"echo"),
        from(QG_IP).icmp(8, 0, 7 << 16 | 1, b"the router"),
        from(FIP1).udp(53, 4000, b"b"),
        from(FIP1).tcp(1, 2, tcp::SYN, b""),
        from(FIP1).ttl(1).udp(53, 4000, b"expired"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_translated_in_one_burst_is_as_one_by_one(
        out in prop::collection::vec(any::<prop::sample::Index>(), 1..=BURST),
        back in prop::collection::vec(any::<prop::sample::Index>(), 1..=BURST),
    ) {
        let pick = |picks: &[prop::sample::Index], known: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
            picks.iter().map(|pick| pick.get(&known).clone()).collect()
        };
        let out = pick(&out, to_the_outside());
        compare_at([translating_host(), translating_host()], PORT2, &out);
        let hosts = [translating_host(), translating_host()].map(|mut host| {
            out.iter().for_each(|frame| drop(host.send(PORT2, frame)));
            host
        });
        compare_at(hosts, EXT, &pick(&back, from_the_outside()));
    }
}
