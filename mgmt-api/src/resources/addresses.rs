//! The addresses of a port, sized for a million ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A list of addresses in 24 bytes when it has none or one, which nearly all ports have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressList(Repr);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Repr {
    #[default]
    None,
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    Many(Box<[IpAddr]>),
}

impl AddressList {
    /// The addresses in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let (one, many): (Option<IpAddr>, &[IpAddr]) = match &self.0 {
            Repr::None => (None, &[]),
            Repr::V4(address) => (Some(IpAddr::V4(*address)), &[]),
            Repr::V6(address) => (Some(IpAddr::V6(*address)), &[]),
            Repr::Many(addresses) => (None, addresses),
        };
        one.into_iter().chain(many.iter().copied())
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::None => 0,
            Repr::V4(_) | Repr::V6(_) => 1,
            Repr::Many(addresses) => addresses.len(),
        }
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Repr::None)
    }

    /// True if `address` is among them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.iter().any(|own| own == address)
    }
}

impl From<&[IpAddr]> for AddressList {
    fn from(addresses: &[IpAddr]) -> Self {
        Self(match addresses {
            [] => Repr::None,
            [IpAddr::V4(address)] => Repr::V4(*address),
            [IpAddr::V6(address)] => Repr::V6(*address),
            many => Repr::Many(many.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_stays_small() {
        assert_eq!(size_of::<AddressList>(), 24);
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        for addresses in [&[][..], &[v4], &[v6], &[v6, v4]] {
            let list = AddressList::from(addresses);
            assert_eq!(list.iter().collect::<Vec<_>>(), addresses);
            assert_eq!(list.len(), addresses.len());
            assert_eq!(list.contains(v4), addresses.contains(&v4));
        }
    }
}
