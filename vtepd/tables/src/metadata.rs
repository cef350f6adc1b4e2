//! Metadata: which address stands for which port towards the proxy of this host, and
//! back. A few thousand ports at most, looked up only by packets to and from the proxy:
//! two maps that are replaced whole.

use core::net::Ipv4Addr;
use std::collections::HashMap;

use vtepd_wire::Mac;

use crate::adjacency::Tag;
use crate::index::{AdjacencyIndex, InterfaceIndex, NetworkIndex};

/// The proxy that answers for the metadata service, and the link to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proxy {
    /// The interface that it is behind; used for nothing else.
    pub interface: InterfaceIndex,
    /// The tag of frames there.
    pub tag: Option<Tag>,
    /// Our own address on the link.
    pub own: Ipv4Addr,
    /// Its address.
    pub address: Ipv4Addr,
    /// The TCP port that it listens on.
    pub port: u16,
    /// Its MAC, once it has answered ARP.
    pub mac: Option<Mac>,
}

/// One address of a port of this host, which the proxy knows by another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    /// The port's network.
    pub network: NetworkIndex,
    /// Its MAC.
    pub mac: Mac,
    /// Its address in the network.
    pub address: Ipv4Addr,
    /// The way to it.
    pub at: AdjacencyIndex,
    /// Largest IP packet of the network.
    pub mtu: u16,
}

impl Asker {
    fn key(&self) -> (NetworkIndex, Mac, Ipv4Addr) {
        (self.network, self.mac, self.address)
    }
}

/// The proxy and everybody who may ask it.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// The proxy.
    pub proxy: Proxy,
    addresses: HashMap<(NetworkIndex, Mac, Ipv4Addr), Ipv4Addr>,
    askers: HashMap<Ipv4Addr, Asker>,
}

impl Metadata {
    /// A proxy that nobody may ask yet.
    pub fn new(proxy: Proxy) -> Self {
        Self {
            proxy,
            addresses: HashMap::new(),
            askers: HashMap::new(),
        }
    }

    /// The address by which the proxy knows a sender.
    pub fn address(&self, network: NetworkIndex, mac: Mac, source: Ipv4Addr) -> Option<Ipv4Addr> {
        self.addresses.get(&(network, mac, source)).copied()
    }

    /// Whom the proxy knows by an address.
    pub fn asker(&self, address: Ipv4Addr) -> Option<&Asker> {
        self.askers.get(&address)
    }

    /// Whether ARP for an address is answered on the link to the proxy.
    pub fn answers_for(&self, address: Ipv4Addr) -> bool {
        address == self.proxy.own || self.askers.contains_key(&address)
    }

    /// Says whom an address stands for; `None`: nobody.
    pub fn set(&mut self, address: Ipv4Addr, asker: Option<Asker>) {
        let old = match asker {
            Some(asker) => self.askers.insert(address, asker),
            None => self.askers.remove(&address),
        };
        // Unless another address of the proxy's stands for the same asker by now.
        if let Some(old) = old
            && self.addresses.get(&old.key()) == Some(&address)
        {
            self.addresses.remove(&old.key());
        }
        if let Some(asker) = asker {
            self.addresses.insert(asker.key(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(mac: u8) -> Asker {
        Asker {
            network: NetworkIndex::new(1).unwrap(),
            mac: Mac([2, 0, 0, 0, 0, mac]),
            address: Ipv4Addr::new(10, 0, 0, 1),
            at: AdjacencyIndex::new(1).unwrap(),
            mtu: 1450,
        }
    }

    fn find(metadata: &Metadata, asker: &Asker) -> Option<Ipv4Addr> {
        metadata.address(asker.network, asker.mac, asker.address)
    }

    #[test]
    fn both_ways_always_agree() {
        let mut metadata = Metadata::new(Proxy {
            interface: InterfaceIndex(0),
            tag: None,
            own: Ipv4Addr::new(240, 0, 0, 1),
            address: Ipv4Addr::new(192, 0, 2, 1),
            port: 80,
            mac: None,
        });
        let [first, second] = [2, 3].map(|last| Ipv4Addr::new(240, 0, 0, last));
        metadata.set(first, Some(asker(1)));
        metadata.set(second, Some(asker(2)));
        assert_eq!(find(&metadata, &asker(1)), Some(first));
        assert_eq!(metadata.asker(second), Some(&asker(2)));
        // An address goes to another, whom it stood for before loses it.
        metadata.set(first, Some(asker(3)));
        assert_eq!(find(&metadata, &asker(1)), None);
        // Two that change places, one after the other.
        metadata.set(first, Some(asker(2)));
        metadata.set(second, Some(asker(3)));
        assert_eq!(find(&metadata, &asker(2)), Some(first));
        assert_eq!(find(&metadata, &asker(3)), Some(second));
        metadata.set(first, None);
        assert_eq!(find(&metadata, &asker(2)), None);
        assert!(!metadata.answers_for(first) && metadata.answers_for(second));
        assert!(metadata.answers_for(metadata.proxy.own));
    }
}
