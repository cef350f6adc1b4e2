//! What a worker has told the control thread within this second. A flow from an
//! unknown source would fill the queue otherwise until the FDB has it.

use vtepd_tables::{AdjacencyIndex, FdbKey, HashedFdbKey};

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
    pub(crate) fn is_news(
        &mut self,
        source: HashedFdbKey,
        adjacency: AdjacencyIndex,
        now: u16,
    ) -> bool {
        // By the FDB's keyed hash: nobody can choose MACs that push each other out.
        let position = source.hash() as usize % PLACES;
        let Some(place) = self.places.get_mut(position) else {
            return true;
        };
        let seen = Some((source.key(), adjacency, now));
        std::mem::replace(place, seen) != seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vtepd_tables::{Limits, NetworkIndex, Tables};
    use vtepd_wire::Mac;

    #[test]
    fn the_same_is_told_once_a_second() {
        let tables = Tables::new(Limits {
            fdb: 1,
            neighbours: 1,
        });
        let reader = tables.tables().reader().unwrap();
        let key = FdbKey::new(NetworkIndex::new(1).unwrap(), Mac([2, 0, 0, 0, 0, 1]));
        let source = reader.view().fdb.prefetch(key);
        let [here, there] = [1, 2].map(|index| AdjacencyIndex::new(index).unwrap());
        let mut recent = RecentlySeen::default();
        assert!(recent.is_news(source, here, 5));
        assert!(!recent.is_news(source, here, 5));
        assert!(recent.is_news(source, there, 5), "a move is news");
        assert!(recent.is_news(source, here, 6));
    }
}
