//! A metadata proxy beside a host: behind [`LINK`], known to nobody but the tests' askers.

use core::net::Ipv4Addr;

use vtepd_tables::{Asker, Bound, InterfaceIndex, Metadata, NetworkIndex, Proxy};

use super::*;

/// The interface that leads to the proxy, and its MAC.
pub const LINK: InterfaceIndex = InterfaceIndex(10);
pub const LINK_MAC: &str = "02:00:00:00:0a:0a";
pub const LINK_MTU: u16 = 1480;
/// Our own address there.
pub const LINK_IP: &str = "240.0.0.1";
pub const PROXY: &str = "02:00:00:00:0b:01";
pub const PROXY_IP: &str = "192.0.2.80";
pub const PROXY_PORT: u16 = 8775;
/// Whom stations ask.
pub const METADATA_IP: &str = "169.254.169.254";
pub const METADATA_MAC: &str = "02:00:a9:fe:a9:fe";

/// By which names the proxy knows stations.
pub const VM1_NAME: &str = "240.0.7.1";
pub const VM3_NAME: &str = "240.0.7.3";
pub const VM6_NAME: &str = "240.0.7.6";
/// The VLAN id of the link, in the corpus.
pub const LINK_TAG: u16 = 7;

/// The MTU of the askers' networks.
pub const ASKER_MTU: u16 = 1450;

fn ipv4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

impl Host {
    /// Adds a proxy for networks.
    pub fn metadata(mut self, networks: &[NetworkIndex], link_tag: Option<u16>) -> Self {
        self.interface(LINK.0, LINK_MAC, LINK_MTU);
        let tables = self.tables.edit();
        tables
            .interface_mut(LINK)
            .bind(link_tag.map(tag).into(), Bound::Metadata);
        tables.set_metadata(Some(Metadata::new(Proxy {
            interface: LINK,
            tag: link_tag.map(tag),
            own: ipv4(LINK_IP),
            address: ipv4(PROXY_IP),
            port: PROXY_PORT,
            mac: Some(mac(PROXY)),
        })));
        for network in networks {
            tables.network_mut(*network).metadata = true;
        }
        self
    }

    /// Lets an address of a MAC on a port ask, in the name of another.
    pub fn asker(
        mut self,
        name: &str,
        network: NetworkIndex,
        mac_address: &str,
        address: &str,
        (interface, vlan): (InterfaceIndex, u16),
    ) -> Self {
        let asker = Asker {
            network,
            mac: mac(mac_address),
            address: ipv4(address),
            at: self.at_port(interface, vlan),
            mtu: ASKER_MTU,
        };
        let metadata = self.tables.edit().metadata_mut().unwrap();
        metadata.set(ipv4(name), Some(asker));
        self
    }
}
