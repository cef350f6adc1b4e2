//! Nothing is lost and nothing counted twice, whatever comes in: every packet and
//! every copy leaves, is dropped for one reason, or is consumed; every buffer is
//! sent or freed. (The fixture asserts the first with every burst of every test.)

mod common;

use common::*;
use proptest::prelude::*;
use vtepd_datapath::Burst;
use vtepd_datapath::memory::MemoryPacket;
use vtepd_datapath::packet::{BURST, Packet};
use vtepd_tables::InterfaceIndex;
use vtepd_wire::ethernet::is_tag;
use vtepd_wire::{craft, frame};

/// What was done to a frame on its way to us.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Extend(u8),
    /// Another byte, and the outer IPv4 checksum put right.
    Forge(prop::sample::Index, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::None),
        (any::<prop::sample::Index>(), 1u8..).prop_map(|(at, by)| Damage::Flip(at, by)),
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        (1u8..).prop_map(Damage::Extend),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, to)| Damage::Forge(at, to)),
    ]
}

fn damaged(mut frame: Vec<u8>, damage: &Damage) -> Vec<u8> {
    match damage {
        Damage::None => {}
        Damage::Flip(at, by) => *at.get_mut(&mut frame) ^= by,
        Damage::Cut(at) => frame.truncate(at.index(frame.len())),
        Damage::Extend(by) => frame.extend(vec![0xee; usize::from(*by)]),
        Damage::Forge(at, to) => {
            *at.get_mut(&mut frame) = *to;
            if frame.len() >= 34 + 40 {
                seal_ipv4(&mut frame);
            }
        }
    }
    frame
}

#[derive(Clone, Debug)]
struct Arrival {
    interface: InterfaceIndex,
    frame: Vec<u8>,
    headroom: usize,
    split: prop::sample::Index,
}

impl Arrival {
    fn packet(&self) -> MemoryPacket {
        let (first, second) = self.frame.split_at(self.split.index(self.frame.len() + 1));
        MemoryPacket::with_headroom(self.headroom, &[first, second])
    }
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let headroom = prop_oneof![Just(128usize), 0usize..128];
    let parts = (
        prop::sample::select(corpus()),
        damage(),
        headroom,
        any::<prop::sample::Index>(),
    );
    parts.prop_map(|((interface, frame), damage, headroom, split)| Arrival {
        interface,
        frame: damaged(frame, &damage),
        headroom,
        split,
    })
}

/// Sums over the interfaces: frames and bytes in, frames and bytes out.
fn traffic(host: &Host) -> [u64; 4] {
    let all = (0..=255).map(|index| host.counters.interface(InterfaceIndex(index)));
    all.fold([0; 4], |[a, b, c, d], counters| {
        [
            a + counters.rx_packets.get(),
            b + counters.rx_bytes.get(),
            c + counters.tx_packets.get(),
            d + counters.tx_bytes.get(),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_comes_in_is_accounted_for(
        arrivals in prop::collection::vec(arrival(), 1..=BURST),
        pool in prop_oneof![Just(1000usize), 0usize..20],
    ) {
        let mut host = busy_host();
        host.io.pool = Some(pool);
        for interface in [UNDERLAY, PORT1, PORT2, PORT3] {
            let here: Vec<&Arrival> = arrivals.iter().filter(|a| a.interface == interface).collect();
            let burst: Burst<MemoryPacket> = here.iter().map(|arrival| arrival.packet()).collect();
            let bytes: usize = burst.iter().map(Packet::frame_len).sum();
            let before = (traffic(&host), host.io.discarded, host.io.pool.unwrap());
            let waited = host.held();
            // Conservation of packets is asserted in here.
            let outcome = host.send_burst(interface, burst);
            let after = (traffic(&host), host.io.discarded, host.io.pool.unwrap());
            let waiting = host.held() - waited;
            let sent: usize = outcome.sent.iter().map(|(_, frame)| frame.len()).sum();
            let expected = [here.len(), bytes, outcome.sent.len(), sent];
            for (position, expected) in expected.into_iter().enumerate() {
                prop_assert_eq!(after.0[position] - before.0[position], expected as u64);
            }
            let (freed, copied) = (after.1 - before.1, before.2 - after.2);
            prop_assert_eq!(here.len() + copied, outcome.sent.len() + freed + waiting, "buffers");
        }
        prop_assert_eq!(host.counters.events_lost.get(), 0);
        // Who waits is told, or not, and gone.
        host.state.now += 4;
        let (freed, waiting) = (host.io.discarded, host.held());
        let sent = host.resume().len();
        prop_assert_eq!((host.held(), sent + host.io.discarded - freed), (0, waiting));
    }

    /// What is forwarded is the tenant's frame, unharmed: only its tag may have changed
    /// place and only a congestion mark its value.
    #[test]
    fn what_is_sound_stays_sound(arrivals in prop::collection::vec(arrival(), 1..=BURST)) {
        let mut host = busy_host();
        for arrival in &arrivals {
            // Behind a third tag nothing is verified, and it may come to light.
            let hidden = frame::link(&arrival.frame).is_ok_and(|link| is_tag(link.ethertype));
            if hidden || craft::verify(&arrival.frame).is_err() {
                continue;
            }
            for (_, sent) in host.send_packet(arrival.interface, arrival.packet()).sent {
                prop_assert_eq!(craft::verify(&sent), Ok(()), "{:02x?}", arrival.frame);
            }
        }
    }
}
