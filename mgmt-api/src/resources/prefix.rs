//! What a prefix or an address of the overlay may be.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::refusal::Refusal;

/// Blocks that no router forwards to, and why (RFC 1812 §5.3.7, RFC 6890, RFC 4291 §2.5).
const MARTIANS_V4: [(Ipv4Net, &str); 5] = [
    (v4([0, 0, 0, 0], 8), "\"this network\""),
    (v4([127, 0, 0, 0], 8), "loopback"),
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([224, 0, 0, 0], 4), "multicast"),
    (v4([240, 0, 0, 0], 4), "reserved"),
];
const MARTIANS_V6: [(Ipv6Net, &str); 5] = [
    (v6([0; 8], 128), "the unspecified address"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback"),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), "IPv4-mapped"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"),
];

const fn v4([a, b, c, d]: [u8; 4], len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), len)
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], len: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), len)
}

/// What block no router forwards to this prefix is in. The default prefixes are in none, they hold all.
fn martian(prefix: &IpNet) -> Option<&'static str> {
    if prefix.prefix_len() == 0 {
        return None;
    }
    match prefix {
        IpNet::V4(own) => {
            let mut blocks = MARTIANS_V4.iter();
            blocks
                .find(|(block, _)| block.contains(own))
                .map(|(_, name)| *name)
        }
        IpNet::V6(own) => {
            let mut blocks = MARTIANS_V6.iter();
            blocks
                .find(|(block, _)| block.contains(own))
                .map(|(_, name)| *name)
        }
    }
}

/// Refuses destinations that a router must not forward to.
pub(super) fn check_destination(destination: &IpNet, field: &str) -> Result<(), Refusal> {
    match martian(destination) {
        None => Ok(()),
        Some(what) => {
            let message =
                format!("{destination} is {what}: packets to such addresses are not routed");
            Err(Refusal::invalid(field, message))
        }
    }
}

/// Refuses what cannot be a subnet of stations, and host bits in it.
pub(super) fn check_subnet(subnet: &IpNet, field: &str) -> Result<(), Refusal> {
    if subnet.prefix_len() == 0 {
        let message = format!("{subnet} is every address: give the subnet's own prefix length");
        return Err(Refusal::invalid(field, message));
    }
    check_canonical(subnet, field)?;
    match martian(subnet) {
        // RFC 3927 addresses are no martians on their own link.
        None | Some("link-local") if subnet.addr().is_ipv4() => Ok(()),
        None => Ok(()),
        Some(what) => {
            let message = format!("{subnet} is {what}: stations have no such addresses");
            Err(Refusal::invalid(field, message))
        }
    }
}

/// Refuses a prefix with bits beyond its length.
pub(super) fn check_canonical(prefix: &IpNet, field: &str) -> Result<(), Refusal> {
    let network = prefix.trunc();
    if network == *prefix {
        return Ok(());
    }
    let message = format!("{prefix} has bits beyond its prefix length: write {network}");
    Err(Refusal::invalid(field, message))
}

/// Refuses an address with prefix length that cannot be that of a host in its subnet.
pub(super) fn check_host_in_subnet(own: &IpNet, field: &str) -> Result<(), Refusal> {
    let address = own.addr();
    let subnet = own.trunc();
    check_subnet(&subnet, field)?;
    if is_reserved_in(address, &subnet) {
        let message = format!(
            "{address} is {subnet}'s own or its broadcast address: give a host's address in it"
        );
        return Err(Refusal::invalid(field, message));
    }
    Ok(())
}

/// True for a subnet's own address and, with IPv4, its broadcast address. Subnets of two addresses and single ones have
/// neither (RFC 3021, RFC 6164).
pub(super) fn is_reserved_in(address: IpAddr, subnet: &IpNet) -> bool {
    let has_reserved = subnet.max_prefix_len() - subnet.prefix_len() > 1;
    let is_broadcast = address.is_ipv4() && address == subnet.broadcast();
    has_reserved && (address == subnet.network() || is_broadcast)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn defaults_and_supernets_are_no_martians() {
        for text in ["0.0.0.0/0", "::/0", "128.0.0.0/1", "10.0.0.0/8", "2000::/3"] {
            assert_eq!(martian(&net(text)), None, "{text}");
        }
        for text in [
            "0.0.0.0/8",
            "127.0.0.1/32",
            "169.254.169.254/32",
            "239.1.0.0/16",
            "255.255.255.255/32",
            "::1/128",
            "fe80::/64",
            "ff02::1/128",
            "::ffff:10.0.0.0/104",
        ] {
            assert!(martian(&net(text)).is_some(), "{text}");
            assert!(check_destination(&net(text), "").is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_has_neither_the_first_nor_the_last_address() {
        for text in [
            "192.168.1.0/24",
            "192.168.1.255/24",
            "2001:db8::/64",
            "10.0.0.1/0",
        ] {
            assert!(check_host_in_subnet(&net(text), "").is_err(), "{text}");
        }
        for text in [
            "192.168.1.1/24",
            "192.168.1.0/31",
            "192.168.1.1/32",
            "2001:db8::/127",
            "2001:db8::ffff:ffff:ffff:ffff/64",
        ] {
            check_host_in_subnet(&net(text), "").unwrap();
        }
    }
}
