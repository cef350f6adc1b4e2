//! Which index belongs to what. An adjacency's that was given up rests until no
//! worker can still mean its former owner.

use std::collections::HashMap;

use mgmt_api::mac::Mac;
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::resources::{Attachment, Host, Network, Router};
use mgmt_api::state::Handle;
use vtepd_tables::{AdjacencyIndex, NetworkIndex, VrfIndex};

/// What an adjacency leads to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Place {
    /// A binding: an access port or a VLAN segment.
    Attachment(Attachment),
    /// A remote VTEP.
    Host(Handle<Host>),
    /// The multicast group of a network.
    Group(Handle<Network>),
    /// A router's interface in a network, by its MAC there.
    Gateway(Handle<Router>, Handle<Network>, Mac),
    /// This host's gateway for floating IPs on an external network.
    FloatingIps(Handle<Network>),
    /// The way outside of a router's address space.
    Outside(Handle<Router>, Side),
}

/// Which of the two address spaces of a router on a host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// The router as its stations meet it, on every host that it runs on.
    Own,
    /// What other hosts send to, on the host that leads outside for them.
    Central,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Own, Self::Central];
}

/// The index of a network: handles are dense, and one that was freed is not given
/// out again within the transaction that freed it, as [`NetworkIndex`] needs it.
pub fn network_index(network: Handle<Network>) -> Option<NetworkIndex> {
    NetworkIndex::new(u16::try_from(network.index() + 1).ok()?)
}

/// The index of a router's address space, for the same reason.
pub fn vrf_index(router: Handle<Router>) -> Option<VrfIndex> {
    VrfIndex::new(u16::try_from(2 * router.index() + 1).ok()?)
}

/// The index of its address space on the host that leads outside for all hosts.
pub fn central_vrf_index(router: Handle<Router>) -> Option<VrfIndex> {
    let index = VrfIndex::new(u16::try_from(2 * router.index() + 2).ok()?)?;
    (index != VrfIndex::NOWHERE).then_some(index)
}

/// Whose address space it is.
pub fn router_of(index: VrfIndex) -> Handle<Router> {
    Handle::new(u32::from(index.get() - 1) / 2)
}

/// Routers that may have both.
pub const MAX_ROUTERS: u16 = VrfIndex::MAX / 2;

/// The adjacency indices in use.
#[derive(Default)]
pub struct Places {
    indices: HashMap<Place, AdjacencyIndex>,
    /// By index.
    owners: Vec<Option<Place>>,
    free: Vec<AdjacencyIndex>,
    resting: Vec<AdjacencyIndex>,
}

impl Places {
    /// The index of a place, if it has one.
    pub fn get(&self, place: Place) -> Option<AdjacencyIndex> {
        self.indices.get(&place).copied()
    }

    /// What an index leads to.
    pub fn owner(&self, index: AdjacencyIndex) -> Option<Place> {
        self.owners.get(index.as_usize()).copied().flatten()
    }

    /// Whether `additional` places more would have indices.
    pub fn check_room(&self, additional: usize) -> Result<(), Refusal> {
        let never_used = usize::from(AdjacencyIndex::MAX) - self.owners.len().saturating_sub(1);
        if additional <= self.free.len() + never_used {
            return Ok(());
        }
        let message = format!(
            "there are {} bindings, remote hosts, multicast groups and router interfaces already, and at most {} are possible",
            self.indices.len(),
            AdjacencyIndex::MAX
        );
        Err(Refusal::new(Code::TableFull, message))
    }

    /// The index of a place; it gets one if it has none. `None` when all are taken.
    pub fn take(&mut self, place: Place) -> Option<AdjacencyIndex> {
        if let Some(index) = self.get(place) {
            return Some(index);
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => AdjacencyIndex::new(u16::try_from(self.owners.len().max(1)).ok()?)?,
        };
        if self.owners.len() <= index.as_usize() {
            self.owners.resize(index.as_usize() + 1, None);
        }
        self.owners[index.as_usize()] = Some(place);
        self.indices.insert(place, index);
        Some(index)
    }

    /// Takes the index from a place; it rests until [`release`](Self::release).
    pub fn give_up(&mut self, place: Place) -> Option<AdjacencyIndex> {
        let index = self.indices.remove(&place)?;
        self.owners[index.as_usize()] = None;
        self.resting.push(index);
        Some(index)
    }

    /// No worker means the former owners any more.
    pub fn release(&mut self) {
        self.free.append(&mut self.resting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(index: u32) -> Place {
        Place::Host(Handle::new(index))
    }

    #[test]
    fn an_index_rests_before_it_is_given_to_another() {
        let mut places = Places::default();
        let first = places.take(host(0)).unwrap();
        assert_eq!(places.take(host(0)), Some(first));
        assert_eq!(places.owner(first), Some(host(0)));
        assert_eq!(places.give_up(host(0)), Some(first));
        assert_ne!(places.take(host(1)), Some(first));
        places.release();
        assert_eq!(places.take(host(2)), Some(first));
    }

    #[test]
    fn there_are_as_many_as_the_type_says() {
        let mut places = Places::default();
        for index in 0..u32::from(AdjacencyIndex::MAX) {
            places.check_room(1).unwrap();
            places.take(host(index)).unwrap();
        }
        assert_eq!(places.check_room(1).unwrap_err().code, Code::TableFull);
        assert_eq!(places.take(host(1 << 20)), None);
        places.give_up(host(5));
        places.release();
        places.check_room(1).unwrap();
    }
}
