//! Packets that are too long for the network they are routed to, and may be cut (RFC
//! 791, 3.2): the parts make up the packet, wherever its bytes lay.

mod common;

use common::*;
use proptest::prelude::*;
use vtepd_datapath::DropReason;
use vtepd_datapath::memory::MemoryPacket;
use vtepd_datapath::observer::Decision;
use vtepd_wire::craft::{self, Packet};
use vtepd_wire::{FromBytes, ipv4};

const MORE: u16 = 0x2000;

fn host_with_mtu(mtu: u16) -> Host {
    let mut host = routed_host();
    host.change_gateway(adjacency(AT_BLUE), |gateway| gateway.mtu = mtu);
    host
}

fn to_gateway() -> Packet {
    craft::ethernet(GW_RED, VM1)
        .ipv4(VM1_IP, VM6_IP)
        .may_fragment()
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 256) as u8).collect()
}

/// One part: where its payload goes in the datagram, and whether more follow.
struct Part {
    header: ipv4::Header,
    payload: Vec<u8>,
    options: Vec<u8>,
}

#[track_caller]
fn part(frame: &[u8]) -> Part {
    assert_eq!(craft::verify(frame), Ok(()));
    let (header, _) = ipv4::Header::ref_from_prefix(&frame[14..]).unwrap();
    let end = 14 + usize::from(header.total_length.get());
    assert_eq!(end, frame.len(), "without padding");
    let l4 = 14 + header.header_len();
    Part {
        header: *header,
        payload: frame[l4..end].to_vec(),
        options: frame[34..l4].to_vec(),
    }
}

/// Puts parts together, in whatever order they are; none overlaps another, none is
/// missing but at the end, where a fragment of a fragment has more to follow.
#[track_caller]
fn reassemble(frames: &[Vec<u8>]) -> (u16, Vec<u8>, bool) {
    let mut parts: Vec<Part> = frames.iter().map(|frame| part(frame)).collect();
    parts.sort_by_key(|part| part.header.fragment_offset());
    let first = parts[0].header;
    let mut whole = Vec::new();
    let base = first.fragment_offset();
    let last = parts.len() - 1;
    for (position, part) in parts.iter().enumerate() {
        assert_eq!(part.header.fragment_offset(), base + whole.len());
        assert_eq!(part.header.identification, first.identification);
        assert_eq!((part.header.ttl, part.header.tos), (first.ttl, first.tos));
        assert!(position == last || part.header.more_fragments());
        whole.extend(&part.payload);
    }
    (base as u16, whole, parts[last].header.more_fragments())
}

#[track_caller]
fn sent_to_vm6(outcome: &Outcome) -> Vec<Vec<u8>> {
    assert!(outcome.drops.is_empty(), "{outcome:?}");
    for (to, frame) in &outcome.sent {
        assert_eq!(*to, PORT4);
        assert_eq!(
            frame[..14],
            craft::ethernet(VM6, GW_BLUE).payload(0x0800, b"")
        );
    }
    outcome
        .sent
        .iter()
        .map(|(_, frame)| frame.clone())
        .collect()
}

#[test]
fn rfc1812_section_4_2_2_7_parts_make_up_the_packet() {
    for (mtu, len) in [
        (1450, 1480),
        (1280, 1480),
        (576, 1480),
        (68, 1000),
        (1449, 1480),
    ] {
        let payload = payload(len);
        let frame = to_gateway()
            .identification(0xbeef)
            .tos(0x2c)
            .payload(99, &payload);
        let outcome = host_with_mtu(mtu).send(PORT1, &frame);
        let parts = sent_to_vm6(&outcome);
        assert!(parts.len() > 1);
        assert!(parts.iter().all(|part| part.len() <= 14 + usize::from(mtu)));
        assert_eq!(reassemble(&parts), (0, payload, false), "MTU {mtu}");
        let first = part(&parts[0]).header;
        assert_eq!((first.ttl, first.tos), (63, 0x2c));
        assert_eq!(first.identification.get(), 0xbeef);
        let count = Decision::Fragments(parts.len() as u8);
        assert!(outcome.decisions.contains(&count));
    }
}

#[test]
fn rfc791_section_3_2_a_fragment_is_cut_like_any_other() {
    for (offset, more) in [
        (0, true),
        (1480, true),
        (2960, false),
        (65528 - 1480, false),
    ] {
        let payload = payload(1400);
        let frame = to_gateway().fragment(7, offset, more).payload(17, &payload);
        let outcome = host_with_mtu(600).send(PORT1, &frame);
        let parts = sent_to_vm6(&outcome);
        assert_eq!(reassemble(&parts), (offset, payload, more));
        let flags = part(parts.last().unwrap()).header.flags_fragment.get();
        assert_eq!(flags & MORE != 0, more);
    }
    // One that reaches past the longest datagram is an attack, and not made more of.
    let frame = to_gateway()
        .fragment(7, 65528, false)
        .payload(17, &payload(1400));
    let outcome = host_with_mtu(600).send(PORT1, &frame);
    assert_eq!(outcome.dropped(), DropReason::IpMalformed);
}

#[test]
fn rfc791_section_3_1_options_are_copied_that_say_so() {
    let options = [&[7, 7, 4, 0, 0, 0, 0][..], &[148, 4, 0, 0], &[1]].concat();
    let payload = payload(1400);
    let frame = to_gateway().options(&options).payload(17, &payload);
    let parts = sent_to_vm6(&host_with_mtu(600).send(PORT1, &frame));
    assert_eq!(reassemble(&parts).1, payload);
    assert_eq!(part(&parts[0]).options, options);
    for later in &parts[1..] {
        assert_eq!(part(later).options, [148, 4, 0, 0]);
    }
}

#[test]
fn parts_cross_the_underlay_under_the_host_mac() {
    let payload = payload(1480);
    let frame = craft::ethernet(GW_RED, VM1)
        .ipv4(VM1_IP, VM7_IP)
        .may_fragment();
    let mut host = host_with_mtu(1000);
    let outcome = host.send(PORT1, &frame.payload(17, &payload));
    let parts: Vec<Vec<u8>> = outcome
        .sent
        .iter()
        .map(|(_, sent)| inner(BLUE_VNI, sent).to_vec())
        .collect();
    assert_eq!(reassemble(&parts), (0, payload, false));
    let ports: Vec<&[u8]> = outcome
        .sent
        .iter()
        .map(|(_, sent)| &sent[SOURCE_PORT])
        .collect();
    assert!(
        ports.windows(2).all(|pair| pair[0] == pair[1]),
        "by one path of the underlay"
    );
    for part in parts {
        assert_eq!(
            part[..12],
            craft::ethernet(VM7, OWN_HM).payload(0, b"")[..12]
        );
    }
}

#[test]
fn a_packet_from_several_buffers_with_padding_behind() {
    let payload = payload(1480);
    let frame = [to_gateway().payload(17, &payload), vec![0xee; 30]].concat();
    for splits in [
        [14, 34],
        [20, 300],
        [256, 257],
        [700, 1400],
        [1494, 1500],
        [1, 1520],
    ] {
        let [a, b] = splits;
        let parts = [&frame[..a], &frame[a..b], &frame[b..]];
        let outcome = host_with_mtu(600).send_packet(PORT1, MemoryPacket::scattered(&parts));
        let parts = sent_to_vm6(&outcome);
        assert_eq!(
            reassemble(&parts),
            (0, payload.clone(), false),
            "{splits:?}"
        );
    }
}

/// All of it leaves, or nothing.
#[test]
fn an_empty_pool_drops_the_packet_whole() {
    let frame = to_gateway().payload(17, &payload(1480));
    for pool in 0..3 {
        let mut host = host_with_mtu(600);
        host.io.pool = Some(pool);
        let outcome = host.send(PORT1, &frame);
        assert_eq!(outcome.dropped(), DropReason::NoBuffer);
        assert_eq!(host.io.discarded, 1 + pool);
    }
    let mut host = host_with_mtu(600);
    host.io.pool = Some(3);
    assert_eq!(host.send(PORT1, &frame).sent.len(), 3);
    // More parts than a packet may be cut in.
    let mut host = host_with_mtu(28);
    assert_eq!(host.send(PORT1, &frame).dropped(), DropReason::MtuExceeded);
    let mut host = host_with_mtu(27);
    assert_eq!(host.send(PORT1, &frame).dropped(), DropReason::IpMalformed);
}

#[test]
fn an_mtu_above_that_of_the_port_is_the_ports_to_refuse() {
    let mut host = host_with_mtu(1700);
    let frame = to_gateway().payload(17, &payload(1600));
    assert_eq!(host.send(PORT1, &frame).dropped(), DropReason::PortMtu);
}

#[test]
fn ipv6_is_never_cut() {
    let frame = craft::ethernet(GW_RED, VM1)
        .ipv6(VM1_IP6, VM6_IP6)
        .udp(1, 2, &[0; 1400]);
    let outcome = host_with_mtu(1280).send(PORT1, &frame);
    assert_eq!((outcome.drops.len(), outcome.sent.len()), (1, 1));
    assert_eq!(outcome.one().1[54], 2);
}

proptest! {
    #[test]
    fn whatever_is_cut_is_whole_again(
        mtu in 68u16..1500,
        payload in prop::collection::vec(any::<u8>(), 0..1440),
        offset in 0u16..7000,
        more in any::<bool>(),
        options in prop::sample::select(vec![vec![], vec![1; 3], vec![148, 4, 0, 0], vec![7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0]]),
        splits in any::<[prop::sample::Index; 2]>(),
    ) {
        let payload = if more { payload[..payload.len() / 8 * 8].to_vec() } else { payload };
        prop_assume!(!payload.is_empty());
        let frame = to_gateway().options(&options).fragment(7, offset * 8, more).payload(99, &payload);
        let mut at = splits.map(|split| split.index(frame.len()));
        at.sort_unstable();
        let buffers = [&frame[..at[0]], &frame[at[0]..at[1]], &frame[at[1]..]];
        let outcome = host_with_mtu(mtu).send_packet(PORT1, MemoryPacket::scattered(&buffers));
        let parts = sent_to_vm6(&outcome);
        prop_assert!(parts.iter().all(|part| part.len() <= 14 + usize::from(mtu)));
        prop_assert_eq!(reassemble(&parts), (offset * 8, payload, more));
    }
}
