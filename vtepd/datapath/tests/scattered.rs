//! A frame may lie in several buffers, in front of which there is more or less
//! room: what comes out is the same.

mod common;

use common::*;
use vtepd_datapath::memory::MemoryPacket;
use vtepd_tables::InterfaceIndex;

/// One host that forgets between frames what it told the control thread.
struct Repeat(Host);

impl Repeat {
    fn send(&mut self, interface: InterfaceIndex, packet: MemoryPacket) -> Outcome {
        let outcome = self.0.send_packet(interface, packet);
        self.0.asked();
        // Longer than a packet waits for its neighbour.
        self.0.state.now = self.0.state.now.wrapping_add(4);
        self.0.resume();
        outcome
    }
}

#[test]
fn the_frames_of_the_corpus_meet_every_kind_of_outcome() {
    let mut host = Repeat(busy_host());
    let outcomes: Vec<Outcome> = corpus()
        .iter()
        .map(|(interface, frame)| host.send(*interface, MemoryPacket::new(frame)))
        .collect();
    assert!(outcomes.iter().any(|outcome| outcome.sent.len() == 1));
    assert!(outcomes.iter().any(|outcome| outcome.sent.len() == 4));
    assert!(outcomes.iter().any(|outcome| outcome.consumed == 1));
    assert!(outcomes.iter().any(|outcome| !outcome.events.is_empty()));
    let mut reasons: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.drops).collect();
    reasons.sort_by_key(|reason| reason.index());
    reasons.dedup();
    assert!(reasons.len() >= 14, "{reasons:?}");
}

#[test]
fn two_segments_split_at_every_byte() {
    let mut host = Repeat(busy_host());
    for (interface, frame) in corpus() {
        let whole = host.send(interface, MemoryPacket::new(&frame));
        for at in 0..=frame.len() {
            let (first, second) = frame.split_at(at);
            let outcome = host.send(interface, MemoryPacket::scattered(&[first, second]));
            assert_eq!(outcome, whole, "split at {at}: {frame:02x?}");
        }
    }
}

#[test]
fn three_segments_split_at_every_pair_of_bytes_of_the_headers() {
    let mut host = Repeat(busy_host());
    for (interface, frame) in corpus() {
        let whole = host.send(interface, MemoryPacket::new(&frame));
        let headers = frame.len().min(130);
        for first in (0..headers).step_by(3) {
            for second in (first..headers).step_by(7) {
                let parts = [&frame[..first], &frame[first..second], &frame[second..]];
                let outcome = host.send(interface, MemoryPacket::scattered(&parts));
                assert_eq!(
                    outcome, whole,
                    "split at {first} and {second}: {frame:02x?}"
                );
            }
        }
    }
}

#[test]
fn a_segment_for_each_byte() {
    let mut host = Repeat(busy_host());
    for (interface, frame) in corpus() {
        let whole = host.send(interface, MemoryPacket::new(&frame));
        let parts: Vec<&[u8]> = frame.chunks(1).collect();
        let outcome = host.send(interface, MemoryPacket::scattered(&parts));
        assert_eq!(outcome, whole, "{frame:02x?}");
    }
}

/// With too little room a frame is dropped, or it leaves as it should.
#[test]
fn any_headroom() {
    let mut host = Repeat(busy_host());
    for (interface, frame) in corpus() {
        let whole = host.send(interface, MemoryPacket::new(&frame));
        for headroom in 0..90 {
            let packet = MemoryPacket::with_headroom(headroom, &[&frame]);
            let outcome = host.send(interface, packet);
            let no_headroom = vtepd_datapath::DropReason::NoHeadroom;
            let kept = outcome.sent.iter().all(|sent| whole.sent.contains(sent));
            let reasons = outcome.drops.iter();
            let known = reasons
                .clone()
                .all(|reason| whole.drops.contains(reason) || *reason == no_headroom);
            assert!(kept && known, "headroom {headroom}: {outcome:?}");
            // Without room for an error there is one packet less.
            let untold = usize::from(outcome.drops == [no_headroom] && whole.drops.len() == 1);
            assert_eq!(
                outcome.sent.len() + outcome.drops.len(),
                whole.sent.len() + whole.drops.len() - whole.sent.len().min(untold)
            );
        }
    }
}
