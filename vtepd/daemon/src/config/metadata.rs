//! `[metadata]`: the proxy that answers for 169.254.169.254.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;
use vtepd_wire::VlanId;

use super::ConfigError;

/// `[metadata]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    pub device: String,
    pub vlan: Option<u16>,
    pub proxy: Ipv4Addr,
    #[serde(default = "default_port")]
    pub port: u16,
    #[serde(default = "default_range")]
    pub range: Ipv4Net,
}

fn default_port() -> u16 {
    vtepd_datapath::metadata::PORT
}

/// Reserved since 1989 (RFC 1112, 4), and used by nobody.
fn default_range() -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 16)
}

/// Prefix lengths with room for us, the proxy and a few ports, and no more than one network of old.
const PREFIX_LENGTHS: std::ops::RangeInclusive<u8> = 8..=29;

impl Metadata {
    /// vtepd's own address on the link: the first of the range.
    pub fn own(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.range.network().to_bits() + 1)
    }

    /// The tag of the link; checked.
    pub fn vlan(&self) -> Option<VlanId> {
        VlanId::new(self.vlan?)
    }

    pub(super) fn check(&self, devices: &[super::Device]) -> Result<(), ConfigError> {
        let fail = |what: String| Err(ConfigError(what));
        if !devices.iter().any(|device| device.name == self.device) {
            return fail(format!(
                "metadata.device: there is no [[device]] named {:?}",
                self.device
            ));
        }
        if self.vlan.is_some() && self.vlan().is_none() {
            return fail("metadata.vlan is out of 1 to 4094".to_owned());
        }
        if self.port == 0 {
            return fail(
                "metadata.port is 0: it is the TCP port that the proxy listens on".to_owned(),
            );
        }
        let (range, proxy) = (self.range, self.proxy);
        if range.trunc() != range {
            return fail(format!(
                "metadata.range {range} has bits beyond its prefix: it should be {}",
                range.trunc()
            ));
        }
        if !PREFIX_LENGTHS.contains(&range.prefix_len()) {
            return fail(format!("metadata.range {range} is no prefix of /8 to /29"));
        }
        if !is_unicast(range.network()) || range.contains(&vtepd_datapath::metadata::ADDRESS) {
            return fail(format!(
                "metadata.range {range} has addresses that are no host's, or 169.254.169.254 itself"
            ));
        }
        if !is_unicast(proxy) || proxy == range.network() || proxy == range.broadcast() {
            return fail(format!("metadata.proxy {proxy} is no address of a host"));
        }
        if proxy == self.own() {
            return fail(format!(
                "metadata.proxy {proxy} is vtepd's own address on the link, the first of metadata.range; use another"
            ));
        }
        Ok(())
    }
}

fn is_unicast(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && !address.is_loopback() && !address.is_multicast() && !address.is_broadcast()
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn parse(keys: &str) -> Result<Config, String> {
        let text = format!(
            "host = \"h1\"\n[metadata]\n{keys}\n[[device]]\nname = \"meta0\"\ndevargs = \"net_null0\""
        );
        Config::parse(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_device_and_a_proxy_are_enough() {
        let config = parse("device = \"meta0\"\nproxy = \"192.0.2.1\"").unwrap();
        let metadata = config.metadata.unwrap();
        assert_eq!(metadata.port, 80);
        assert_eq!(metadata.range.to_string(), "240.0.0.0/16");
        assert_eq!(metadata.own().to_string(), "240.0.0.1");
        assert_eq!(metadata.vlan(), None);
        let without = Config::parse("host = \"h1\"").unwrap();
        assert!(without.metadata.is_none());
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (keys, part) in [
            ("proxy = \"192.0.2.1\"", "device"),
            ("device = \"meta0\"", "proxy"),
            (
                "device = \"meta1\"\nproxy = \"192.0.2.1\"",
                "no [[device]] named \"meta1\"",
            ),
            (
                "device = \"meta0\"\nproxy = \"192.0.2.1\"\nprots = 80",
                "prots",
            ),
            (
                "device = \"meta0\"\nproxy = \"192.0.2.1\"\nport = 0",
                "metadata.port",
            ),
            (
                "device = \"meta0\"\nproxy = \"192.0.2.1\"\nvlan = 4095",
                "metadata.vlan",
            ),
            (
                "device = \"meta0\"\nproxy = \"192.0.2.1\"\nrange = \"240.0.0.9/16\"",
                "should be 240.0.0.0/16",
            ),
            (
                "device = \"meta0\"\nproxy = \"192.0.2.1\"\nrange = \"240.0.0.0/30\"",
                "/8 to /29",
            ),
            (
                "device = \"meta0\"\nproxy = \"192.0.2.1\"\nrange = \"224.0.0.0/8\"",
                "no host's",
            ),
            (
                "device = \"meta0\"\nproxy = \"192.0.2.1\"\nrange = \"169.254.0.0/16\"",
                "itself",
            ),
            ("device = \"meta0\"\nproxy = \"240.0.0.1\"", "vtepd's own"),
            (
                "device = \"meta0\"\nproxy = \"240.0.255.255\"",
                "no address of a host",
            ),
            (
                "device = \"meta0\"\nproxy = \"127.0.0.1\"",
                "no address of a host",
            ),
        ] {
            let error = parse(keys).unwrap_err();
            assert!(error.contains(part), "{keys}: {error}");
            assert_eq!(error.lines().count(), 1);
        }
    }
}
