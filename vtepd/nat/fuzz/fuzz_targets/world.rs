//! A translator with a shared address, a floating IP and a port forwarding, and a session of each protocol.

use vtepd_nat::{
    Capacity, Description, Externals, FloatingIp, Forwarding, OutsideAddress, PoolIndex, PoolOwner,
    Protocol, Rules, Settings, Slices, SubscriberIndex, Translator, Verdict,
};
use vtepd_tables::VrfIndex;
use vtepd_wire::craft::{self, Packet};
use vtepd_wire::hash::KeyedHash;

pub const VM: [u8; 4] = [192, 168, 1, 9];
pub const FLOATING_VM: [u8; 4] = [192, 168, 1, 10];
pub const OUTSIDE: [u8; 4] = [10, 100, 0, 5];
pub const FLOATING: [u8; 4] = [10, 100, 0, 7];
pub const FORWARDED: [u8; 4] = [10, 100, 0, 9];
pub const SERVER: [u8; 4] = [10, 100, 0, 14];

pub struct World {
    pub nat: Translator,
    pub rules: Rules,
    pub externals: Externals,
}

pub fn ip(source: [u8; 4], destination: [u8; 4]) -> Packet {
    craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ipv4(source, destination)
}

pub fn world() -> World {
    let capacity = Capacity {
        sessions: 64,
        pools: 1,
        subscribers: 1,
        datagrams: 16,
        held: 16,
        outbound_only: 16,
        log: 0,
    };
    let keys = KeyedHash::new(1, 2);
    let slices = Slices::new(0, 1, keys).unwrap();
    let mut nat = Translator::new(capacity, Settings::default(), slices, keys, 0);
    let router = VrfIndex::new(1).unwrap();
    let owner = PoolOwner {
        router,
        subscriber: SubscriberIndex(0),
        address: OUTSIDE.into(),
    };
    nat.open_pool(PoolIndex(0), owner).unwrap();
    let description = Description {
        outside: vec![OutsideAddress {
            address: OUTSIDE.into(),
            pool: PoolIndex(0),
        }],
        floating_ips: vec![FloatingIp {
            outside: FLOATING.into(),
            inside: FLOATING_VM.into(),
        }],
        forwardings: vec![Forwarding {
            protocol: Protocol::Tcp,
            outside: "10.100.0.9:80".parse().unwrap(),
            inside: "192.168.1.9:8080".parse().unwrap(),
        }],
        outbound_only_ipv6: true,
        ..Description::default()
    };
    let rules = Rules::new(router, &description).unwrap();
    let externals = Externals::new([&rules]).unwrap();
    let mut world = World {
        nat,
        rules,
        externals,
    };
    for frame in [
        ip(VM, SERVER).udp(5000, 53, b"data"),
        ip(VM, SERVER).tcp(5000, 80, 2, b""),
        ip(VM, SERVER).icmp_echo(5000, 1, b"data"),
    ] {
        let mut packet = frame[14..].to_vec();
        let verdict = world.out(&mut packet, 1);
        assert_eq!(verdict, Verdict::Translated { hairpin: false });
    }
    world
}

impl World {
    pub fn out(&mut self, packet: &mut [u8], now: u32) -> Verdict {
        let before = packet.to_vec();
        let verdict = self.nat.outbound(&self.rules, &self.externals, packet, now);
        check(&before, packet, verdict);
        verdict
    }

    pub fn inn(&mut self, packet: &mut [u8], now: u32) -> Verdict {
        let before = packet.to_vec();
        let verdict = self.nat.inbound(&self.rules, packet, now);
        check(&before, packet, verdict);
        verdict
    }
}

/// What is translated holds if it held before; what is not is as it was.
fn check(before: &[u8], after: &[u8], verdict: Verdict) {
    let frame = |packet: &[u8]| [&[0; 12], &[8, 0][..], packet].concat();
    match verdict {
        Verdict::Translated { .. } => {
            if craft::verify(&frame(before)).is_ok() {
                assert_eq!(craft::verify(&frame(after)), Ok(()));
            }
        }
        _ => assert_eq!(before, after),
    }
}
