//! Packets of one burst do not touch each other: a burst of any frames gives what
//! as many bursts of one give, in the same order.

mod common;

use common::*;
use proptest::prelude::*;
use vtepd_datapath::Event;
use vtepd_datapath::memory::MemoryPacket;
use vtepd_datapath::packet::BURST;
use vtepd_tables::InterfaceIndex;

/// Outcomes of the same frames, one by one and all at once.
fn compare(interface: InterfaceIndex, frames: &[Vec<u8>]) {
    let (mut singly, mut at_once) = (busy_host(), busy_host());
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
