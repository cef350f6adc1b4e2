//! Names of routers and tenants by the numbers that workers know them by.
//!
//! A name stays until its number is another's: workers speak of a router for a while after it has gone.

use std::collections::HashMap;

use mgmt_api::id::Id;
use parking_lot::RwLock;
use vtepd_tables::VrfIndex;
use vtepd_tables::translation::SubscriberIndex;

/// See the module. Written under the control side's lock, read by whoever tells people something.
#[derive(Default)]
pub struct NatNames {
    routers: RwLock<HashMap<VrfIndex, Id>>,
    tenants: RwLock<HashMap<SubscriberIndex, Id>>,
}

impl NatNames {
    pub fn set_router(&self, index: VrfIndex, name: &Id) {
        self.routers.write().insert(index, name.clone());
    }

    pub fn set_tenant(&self, index: SubscriberIndex, name: &Id) {
        self.tenants.write().insert(index, name.clone());
    }

    pub fn router(&self, index: VrfIndex) -> Option<Id> {
        self.routers.read().get(&index).cloned()
    }

    pub fn tenant(&self, index: SubscriberIndex) -> Option<Id> {
        self.tenants.read().get(&index).cloned()
    }
}
