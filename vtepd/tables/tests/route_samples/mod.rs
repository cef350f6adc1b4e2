//! Routes as tests make them.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use vtepd_tables::AdjacencyIndex;
use vtepd_tables::route::{NextHop, Target};

/// SplitMix64: the same numbers for a seed on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn next_u128(&mut self) -> u128 {
        u128::from(self.next_u64()) << 64 | u128::from(self.next_u64())
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

pub fn v4(address: u32, len: u8) -> IpNet {
    Ipv4Net::new(Ipv4Addr::from_bits(address), len)
        .unwrap()
        .trunc()
        .into()
}

pub fn v6(address: u128, len: u8) -> IpNet {
    Ipv6Net::new(Ipv6Addr::from_bits(address), len)
        .unwrap()
        .trunc()
        .into()
}

/// The target number `number`, all different.
pub fn target(number: u16) -> Target {
    match number {
        0 => Target::Unreachable,
        1 => Target::Blackhole,
        _ => Target::from(NextHop {
            gateway: AdjacencyIndex::new(1).unwrap(),
            address: Some(Ipv4Addr::from_bits(0x0a00_0000 + u32::from(number)).into()),
        }),
    }
}
