//! The networks, VTEPs and stations of a benchmark, all by number.
//!
//! ```text
//!   remote station i ── VTEP (i / networks) mod vteps ══ VXLAN ══ up0 │ vtepd │ acc0 ── VLAN ── local station i
//!                                 network i mod networks, VNI 1000 + n, VLAN 101 + n
//! ```

use core::net::Ipv4Addr;

use vtepd_wire::Mac;

use super::random::mix;

/// How many networks and remote VTEPs there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fabric {
    /// Networks, at least 1.
    pub networks: u32,
    /// Remote VTEPs, at least 1 and at most 60,000.
    pub vteps: u32,
}

/// The kinds of things with identifiers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A network.
    Network,
    /// A remote host.
    Host,
    /// A port on the other side of the fabric.
    Remote,
    /// A port on this host.
    Local,
}

/// The device and interface of the underlay.
pub const UPLINK: &str = "up0";
/// The device and interface of the local stations.
pub const ACCESS: &str = "acc0";
/// Our own entry in `hosts`.
pub const LOCAL_HOST: &str = "this";

impl Fabric {
    /// That of most workloads: 16 networks and 16 remote VTEPs.
    pub const SMALL: Self = Self {
        networks: 16,
        vteps: 16,
    };

    /// The VNI of a network.
    #[must_use]
    pub fn vni(self, network: u32) -> u32 {
        1000 + network
    }

    /// The tag of a network on the access interface; `None` beyond the last VLAN.
    #[must_use]
    pub fn vlan(self, network: u32) -> Option<u16> {
        u16::try_from(101 + network)
            .ok()
            .filter(|vlan| *vlan < 4095)
    }

    /// The network of a station and of its peer.
    #[must_use]
    pub fn network_of(self, station: u32) -> u32 {
        station % self.networks
    }

    /// The VTEP that a remote station is behind: others for those of a network, and others for
    /// those of the same place in their networks.
    #[must_use]
    pub fn vtep_of(self, station: u32) -> u32 {
        (station / self.networks + station) % self.vteps
    }

    /// The address of a VTEP.
    #[must_use]
    pub fn vtep(self, vtep: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(UNDERLAY) + 256 + vtep)
    }

    /// The MAC of a VTEP on the underlay, where all are neighbours.
    #[must_use]
    pub fn vtep_mac(self, vtep: u32) -> Mac {
        numbered(1, vtep)
    }

    /// The MAC of a local station.
    #[must_use]
    pub fn local_mac(self, station: u32) -> Mac {
        numbered(0x10, station)
    }

    /// The MAC of a remote station.
    #[must_use]
    pub fn remote_mac(self, station: u32) -> Mac {
        numbered(0x20, station)
    }

    /// The IP address of a local station, in 10.0.0.0/9.
    #[must_use]
    pub fn local_address(self, station: u32) -> Ipv4Addr {
        Ipv4Addr::from(0x0a00_0000 | (station / self.networks + FIRST_HOST) & 0x007f_ffff)
    }

    /// The IP address of a remote station, in 10.128.0.0/9.
    #[must_use]
    pub fn remote_address(self, station: u32) -> Ipv4Addr {
        Ipv4Addr::from(0x0a80_0000 | (station / self.networks + FIRST_HOST) & 0x007f_ffff)
    }
}

/// The number of a network's first station within its subnet. The ten bits below are those of
/// the stations of a [cloud](super::nat), so that no addition carries out of them.
const FIRST_HOST: u32 = 1024;

const UNDERLAY: Ipv4Addr = Ipv4Addr::new(172, 20, 0, 0);

/// The MAC of the underlay's device, the first `net_pcap` device of a process: its
/// driver's name in ASCII, and a number from 0 on.
pub const UPLINK_MAC: Mac = Mac([2, b'p', b'c', b'a', b'p', 0]);

/// The device and interface of a second underlay, where there is one.
pub const SECOND_UPLINK: &str = "up1";
/// Its address and prefix length: nobody is there.
pub const SECOND_UNDERLAY: &str = "172.21.0.1/16";
/// The MAC of its device, the second `net_pcap` device of a process.
pub const SECOND_UPLINK_MAC: Mac = Mac([2, b'p', b'c', b'a', b'p', 1]);

/// The device and interface of more local stations, where there is one.
pub const SECOND_ACCESS: &str = "acc1";

/// Our VTEP address.
pub const OWN_VTEP: Ipv4Addr = Ipv4Addr::new(172, 20, 0, 1);
/// Its prefix: all VTEPs are neighbours.
pub const UNDERLAY_PREFIX: u8 = 16;

/// A locally administered MAC that says what it is and which.
pub(super) fn numbered(kind: u8, number: u32) -> Mac {
    let [a, b, c, d] = number.to_be_bytes();
    Mac([2, kind, a, b, c, d])
}

/// An identifier as random as Neutron's, in the form of a version 4 UUID.
#[must_use]
pub fn uuid(kind: Kind, number: u32) -> String {
    let high = mix((kind as u64) << 32 | u64::from(number));
    let low = mix(high ^ 0x5bd1_e995);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_and_addresses_are_unique() {
        let fabric = Fabric::SMALL;
        let mut seen = HashSet::new();
        for station in 0..100_000 {
            assert!(seen.insert(uuid(Kind::Local, station)));
            assert!(seen.insert(uuid(Kind::Remote, station)));
            let network = fabric.network_of(station);
            let local = format!("{network} {}", fabric.local_address(station));
            let remote = format!("{network} {}", fabric.remote_address(station));
            assert!(seen.insert(local) && seen.insert(remote));
        }
    }

    #[test]
    fn every_vtep_has_stations_of_every_network() {
        let fabric = Fabric::SMALL;
        let pairs: HashSet<(u32, u32)> = (0..1000)
            .map(|i| (fabric.network_of(i), fabric.vtep_of(i)))
            .collect();
        assert_eq!(pairs.len(), 256);
    }
}
