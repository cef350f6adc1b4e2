//! The whole pipeline over any frames, by any interface, in any buffers, with
//! several settings of the tables. Nothing panics; every packet and every buffer is
//! accounted for; what leaves for the underlay has a sound outer header, and is sound
//! to its end when it came in so; tenants never meet.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;

use std::cell::RefCell;
use std::collections::HashMap;

use common::*;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use vtepd_datapath::memory::MemoryPacket;
use vtepd_datapath::packet::BURST;
use vtepd_tables::InterfaceIndex;
use vtepd_wire::{FromBytes, craft, ethernet, frame, ipv4, ipv6, udp, vxlan};

const BLUE_VNI: u32 = 2000;
const BLUE1: InterfaceIndex = InterfaceIndex(5);
const BLUE2: InterfaceIndex = InterfaceIndex(6);
const INTERFACES: [InterfaceIndex; 6] = [UNDERLAY, PORT1, PORT2, PORT3, BLUE1, BLUE2];

#[derive(Arbitrary, Debug)]
struct Input {
    settings: u8,
    pool: u8,
    arrivals: Vec<Arrival>,
}

#[derive(Arbitrary, Debug)]
struct Arrival {
    interface: u8,
    headroom: u8,
    splits: [u8; 2],
    frame: Frame,
}

#[derive(Arbitrary, Debug)]
enum Frame {
    /// Any bytes.
    Raw(Vec<u8>),
    /// Any bytes behind sound outer headers.
    Tunnelled {
        v6: bool,
        blue: bool,
        inner: Vec<u8>,
    },
    /// A frame of the corpus with changes, its IPv4 header sealed again or not.
    Known {
        pick: u8,
        changes: Vec<(u8, u8)>,
        cut: Option<u8>,
        seal: bool,
    },
}

impl Frame {
    fn bytes(&self, corpus: &[(InterfaceIndex, Vec<u8>)]) -> Vec<u8> {
        match self {
            Self::Raw(bytes) => bytes.clone(),
            Self::Tunnelled { v6, blue, inner } => {
                let vni = if *blue { BLUE_VNI } else { RED_VNI };
                let begin = if *v6 { from_peer6() } else { from_peer() };
                begin.vxlan(50_000, vni, inner)
            }
            Self::Known {
                pick,
                changes,
                cut,
                seal,
            } => {
                let mut frame = corpus[usize::from(*pick) % corpus.len()].1.clone();
                for (at, value) in changes {
                    let at = usize::from(*at) % frame.len();
                    frame[at] = *value;
                }
                if *seal && frame.len() >= v4::IP + 60 {
                    seal_ipv4(&mut frame);
                }
                if let Some(cut) = cut {
                    frame.truncate(usize::from(*cut));
                }
                frame
            }
        }
    }
}

impl Arrival {
    fn packet(&self, frame: &[u8]) -> MemoryPacket {
        let mut splits = self.splits.map(|at| usize::from(at).min(frame.len()));
        splits.sort_unstable();
        let [first, second] = splits;
        let parts = [&frame[..first], &frame[first..second], &frame[second..]];
        let headroom = usize::from(self.headroom % 129);
        match self.splits {
            [0, 0] => MemoryPacket::with_headroom(headroom, &[frame]),
            _ => MemoryPacket::with_headroom(headroom, &parts),
        }
    }
}

/// Two tenants with the same MACs and addresses; each bit of `settings` changes something.
fn host_with(settings: u8) -> Host {
    let blue = network(2);
    let bit = |position: u8| settings >> position & 1 == 1;
    let change = |network: &mut vtepd_tables::Network| {
        network.learning = bit(0);
        network.vlan_transparent = bit(1);
        network.suppression = bit(2);
    };
    let tunnel = |tunnel: &mut vtepd_tables::TunnelParameters| {
        tunnel.udp_checksum = bit(3);
        tunnel.mtu = if bit(4) { 200 } else { UNDERLAY_MTU };
        tunnel.tag = bit(5).then(|| tag(77));
    };
    host()
        .network(blue, BLUE_VNI)
        .port(blue, BLUE1, 0)
        .port(blue, BLUE2, 9)
        .remote_with(red(), PEER, tunnel)
        .remote_with(red(), PEER6, tunnel)
        .remote_with(blue, PEER, tunnel)
        .vm(VM1, &[VM1_IP, VM1_IP6], BLUE1, 0)
        .vm(VM2, &[VM2_IP, VM2_IP6], BLUE2, 9)
        .change(red(), change)
        .change(blue, change)
}

/// What there is of lengths and checksums down to the inner frame holds.
fn assert_outer_is_sound(sent: &[u8]) {
    let link = frame::link(sent).expect("a whole Ethernet header");
    let l3 = &sent[usize::from(link.l3)..];
    let Some(network) = frame::network(sent, sent.len(), &link).expect("a sound IP header") else {
        return craft::verify(sent).expect("sound ARP");
    };
    let message = &sent[network.l4..network.end];
    let pseudo = if link.ethertype == ethernet::ETHERTYPE_IPV4 {
        ipv4::check(l3, l3.len()).expect("a sound IPv4 header");
        let (header, _) = ipv4::Header::ref_from_prefix(l3).expect("checked");
        header.pseudo_header(network.protocol, message.len() as u16)
    } else {
        let (header, _) = ipv6::Header::ref_from_prefix(l3).expect("checked");
        header.pseudo_header(network.protocol, message.len() as u32)
    };
    if network.protocol != ipv4::PROTOCOL_UDP {
        return craft::verify(sent).expect("an answer of ours");
    }
    assert_eq!(udp::check(message, message.len()), Ok(message.len()));
    assert!(udp::checksum_ok(pseudo, message));
}

/// The VNI of a tunnel packet.
fn vni(sent: &[u8]) -> Option<u32> {
    let link = frame::link(sent).ok()?;
    let network = frame::network(sent, sent.len(), &link).ok()??;
    let payload = sent.get(network.l4 + udp::Header::LEN..)?;
    let is_udp = network.protocol == ipv4::PROTOCOL_UDP;
    let (header, _) = vxlan::Header::ref_from_prefix(payload).ok()?;
    is_udp.then(|| header.vni())
}

/// Frames of one tenant's ports stay with that tenant.
fn assert_tenants_do_not_meet(from: InterfaceIndex, to: InterfaceIndex, sent: &[u8]) {
    let (ports, own) = match from {
        UNDERLAY => return,
        BLUE1 | BLUE2 => ([BLUE1, BLUE2, BLUE2], BLUE_VNI),
        _ => ([PORT1, PORT2, PORT3], RED_VNI),
    };
    match to {
        UNDERLAY => assert_eq!(vni(sent), Some(own)),
        _ => assert!(ports.contains(&to)),
    }
}

fn is_sound(bytes: &[u8]) -> bool {
    // Behind a third tag nothing is verified, and it may come to light.
    let hidden = frame::link(bytes).is_ok_and(|link| ethernet::is_tag(link.ethertype));
    !hidden && craft::verify(bytes).is_ok()
}

fn run(host: &mut Host, input: &Input, corpus: &[(InterfaceIndex, Vec<u8>)]) {
    for arrivals in input.arrivals.chunks(BURST) {
        for from in INTERFACES {
            let here = arrivals.iter().filter(|arrival| {
                INTERFACES[usize::from(arrival.interface) % INTERFACES.len()] == from
            });
            let frames: Vec<_> = here
                .map(|arrival| (arrival, arrival.frame.bytes(corpus)))
                .collect();
            let all_sound = frames.iter().all(|(_, frame)| is_sound(frame));
            let burst = frames
                .iter()
                .map(|(arrival, frame)| arrival.packet(frame))
                .collect();
            host.io.pool = Some(usize::from(input.pool));
            host.io.discarded = 0;
            host.state.now = host.state.now.wrapping_add(1);
            let outcome = host.send_burst(from, burst);
            let copied = usize::from(input.pool) - host.io.pool.unwrap_or_default();
            assert_eq!(
                frames.len() + copied,
                outcome.sent.len() + host.io.discarded
            );
            for (to, sent) in &outcome.sent {
                if *to == UNDERLAY {
                    assert_outer_is_sound(sent);
                }
                if all_sound {
                    craft::verify(sent).expect("sound in, sound out");
                }
                assert_tenants_do_not_meet(from, *to, sent);
            }
        }
    }
}

thread_local! {
    static CORPUS: Vec<(InterfaceIndex, Vec<u8>)> = corpus();
    /// Hosts by their settings: frames leave no trace in the tables but stamps.
    static HOSTS: RefCell<HashMap<u8, Host>> = RefCell::new(HashMap::new());
}

fuzz_target!(|input: Input| {
    let settings = input.settings & 0x3f;
    CORPUS.with(|corpus| {
        HOSTS.with_borrow_mut(|hosts| {
            let host = hosts.entry(settings).or_insert_with(|| host_with(settings));
            run(host, &input, corpus);
        });
    });
});
