//! What a worker has told the control thread within this second. A flow from an
//! unknown source would fill the queue otherwise until the FDB has it.

use vtepd_tables::{AdjacencyIndex, FdbKey};

/// Places; a power of two. Colliding sources are told more often, that is all.
const PLACES: usize = 256;

type Seen = (FdbKey, AdjacencyIndex, u16);

pub(crate) struct RecentlySeen {
    places: Box<[Option<Seen>; PLACES]>,
}

impl Default for RecentlySeen {
    fn default() -> Self {
        Self {
            places: Box::new([None; PLACES]),
        }
    }
}

impl RecentlySeen {
    /// Whether this was not yet told in the second `now`; it counts as told.
    pub(crate) fn is_news(&mut self, key: FdbKey, adjacency: AdjacencyIndex, now: u16) -> bool {
        let mac = key.mac().to_u64();
        let position = (mac ^ mac >> 8 ^ mac >> 16 ^ u64::from(adjacency.get())) as usize % PLACES;
        let Some(place) = self.places.get_mut(position) else {
            return true;
        };
        let seen = Some((key, adjacency, now));
        std::mem::replace(place, seen) != seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vtepd_tables::NetworkIndex;
    use vtepd_wire::Mac;

    #[test]
    fn the_same_is_told_once_a_second() {
        let key = FdbKey::new(NetworkIndex::new(1).unwrap(), Mac([2, 0, 0, 0, 0, 1]));
        let [here, there] = [1, 2].map(|index| AdjacencyIndex::new(index).unwrap());
        let mut recent = RecentlySeen::default();
        assert!(recent.is_news(key, here, 5));
        assert!(!recent.is_news(key, here, 5));
        assert!(recent.is_news(key, there, 5), "a move is news");
        assert!(recent.is_news(key, here, 6));
    }
}
