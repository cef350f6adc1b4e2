//! Whose an outside address is.

use core::net::Ipv4Addr;

use super::rules::{Map, Rules, RulesError};
use crate::index::VrfIndex;

/// The outside addresses of one external network that this host answers for, and whose they are: another immutable
/// snapshot. What is sent to one of them turns round here (hairpin), and what arrives for one is looked up here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Externals {
    routers: Map<u32, VrfIndex>,
}

impl Externals {
    /// Of all routers on one external network.
    ///
    /// # Errors
    /// Two of them use one address.
    pub fn new<'r>(rules: impl IntoIterator<Item = &'r Rules>) -> Result<Self, RulesError> {
        let mut externals = Self::default();
        externals.add(rules)?;
        Ok(externals)
    }

    fn add<'r>(&mut self, rules: impl IntoIterator<Item = &'r Rules>) -> Result<(), RulesError> {
        for rules in rules {
            for address in rules.outside_addresses() {
                let before = self.routers.insert(address.to_bits(), rules.router());
                if before.is_some() {
                    return Err(RulesError::Outside(address));
                }
            }
        }
        Ok(())
    }

    /// The same after some routers have other rules: among 10,000 of them, copying the map and changing what one has takes a
    /// twentieth of making it anew.
    ///
    /// # Errors
    /// Two routers use one address.
    pub fn replaced<'r>(
        &self,
        former: impl IntoIterator<Item = &'r Rules>,
        present: impl IntoIterator<Item = &'r Rules>,
    ) -> Result<Self, RulesError> {
        let mut externals = self.clone();
        for rules in former {
            for address in rules.outside_addresses() {
                let own = externals.routers.remove(&address.to_bits());
                if let Some(other) = own.filter(|own| *own != rules.router()) {
                    externals.routers.insert(address.to_bits(), other);
                }
            }
        }
        externals.add(present)?;
        Ok(externals)
    }

    /// The router that an outside address belongs to.
    #[inline]
    pub fn router(&self, address: Ipv4Addr) -> Option<VrfIndex> {
        self.routers.get(&address.to_bits()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Description, OutsideAddress, PoolIndex};
    use super::*;

    fn rules(router: u16, addresses: &[u8]) -> Rules {
        let outside = addresses.iter().map(|last| OutsideAddress {
            address: Ipv4Addr::new(192, 0, 2, *last),
            pool: PoolIndex(u16::from(*last)),
        });
        let description = Description {
            outside: outside.collect(),
            ..Description::default()
        };
        Rules::new(VrfIndex::new(router).unwrap(), &description).unwrap()
    }

    #[test]
    fn what_is_replaced_is_as_if_it_were_made_anew() {
        let (one, two) = (rules(1, &[1, 2]), rules(2, &[3]));
        let (other_one, other_two) = (rules(1, &[2, 4]), rules(2, &[1]));
        let before = Externals::new([&one, &two]).unwrap();
        assert_eq!(
            before.replaced([&one], [&other_one]),
            Externals::new([&other_one, &two])
        );
        // An address goes from one to the other, whatever comes first.
        let after = Externals::new([&other_one, &other_two]);
        assert_eq!(
            before.replaced([&one, &two], [&other_two, &other_one]),
            after
        );
        assert_eq!(
            before.replaced([&two, &one], [&other_one, &other_two]),
            after
        );
        assert_eq!(before.replaced([&two], []), Externals::new([&one]));
        // Who has let nothing go keeps it.
        let twice = before.replaced([&two], [&other_two]);
        assert_eq!(twice, Err(RulesError::Outside(Ipv4Addr::new(192, 0, 2, 1))));
        assert_eq!(before.replaced([&other_two], []), Ok(before.clone()));
    }
}
