//! Whose an outside address is.

use core::net::Ipv4Addr;

use super::rules::{Map, Rules, RulesError};
use crate::index::VrfIndex;

/// The outside addresses of one external network that this host answers for, and whose they are: another immutable
/// snapshot. What is sent to one of them turns round here (hairpin), and what arrives for one is looked up here.
#[derive(Clone, Debug, Default)]
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
        for rules in rules {
            for address in rules.outside_addresses() {
                let before = externals.routers.insert(address.to_bits(), rules.router());
                if before.is_some() {
                    return Err(RulesError::Outside(address));
                }
            }
        }
        Ok(externals)
    }

    /// The router that an outside address belongs to.
    #[inline]
    pub fn router(&self, address: Ipv4Addr) -> Option<VrfIndex> {
        self.routers.get(&address.to_bits()).copied()
    }
}
