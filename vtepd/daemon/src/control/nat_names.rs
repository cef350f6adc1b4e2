//! Names of routers and tenants by the numbers that workers know them by.
//!
//! A name stays until its number is another's: workers speak of a router for a while after it has gone. The log must not
//! mix two up whose number is the same, so it asks by pool, whose names stay until every worker has cleared it up.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use mgmt_api::id::Id;
use parking_lot::RwLock;
use vtepd_nat::PoolOwner;
use vtepd_tables::VrfIndex;
use vtepd_tables::translation::SubscriberIndex;

/// What a pool is known by: its router, its tenant and its address.
pub type PoolKey = (VrfIndex, SubscriberIndex, Ipv4Addr);

/// See the module. Written under the control side's lock, read by whoever tells people something.
#[derive(Default)]
pub struct NatNames {
    routers: RwLock<HashMap<VrfIndex, Id>>,
    tenants: RwLock<HashMap<SubscriberIndex, Id>>,
    pools: RwLock<HashMap<PoolKey, (Id, Id)>>,
}

impl NatNames {
    pub fn set_router(&self, index: VrfIndex, name: &Id) {
        self.routers.write().insert(index, name.clone());
    }

    pub fn set_tenant(&self, index: SubscriberIndex, name: &Id) {
        self.tenants.write().insert(index, name.clone());
    }

    /// Whose a pool is that is opened: the router's and the tenant's name.
    pub fn set_pool(&self, owner: &PoolOwner, router: &Id, tenant: &Id) {
        let names = (router.clone(), tenant.clone());
        self.pools.write().insert(key_of(owner), names);
    }

    /// Forgets the others' names.
    pub fn keep_pools(&self, keys: &HashSet<PoolKey>) {
        self.pools.write().retain(|key, _| keys.contains(key));
    }

    pub fn router(&self, index: VrfIndex) -> Option<Id> {
        self.routers.read().get(&index).cloned()
    }

    pub fn tenant(&self, index: SubscriberIndex) -> Option<Id> {
        self.tenants.read().get(&index).cloned()
    }

    /// The router and the tenant of a pool.
    pub fn pool(&self, key: &PoolKey) -> Option<(Id, Id)> {
        self.pools.read().get(key).cloned()
    }
}

pub fn key_of(owner: &PoolOwner) -> PoolKey {
    (owner.router, owner.subscriber, owner.address)
}
