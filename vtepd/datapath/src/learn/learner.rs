//! The control thread's side of learning.

use std::collections::HashMap;

use vtepd_tables::{AdjacencyIndex, FdbEntry, FdbKey, FdbRow, NetworkIndex, Origin, TablesWriter};

/// Moves of one MAC within [`MOVE_WINDOW`] seconds after which it is held where
/// it is: two hosts with one MAC, or a loop. RFC 7432, section 15.1, has the same
/// numbers for EVPN: 5 moves in 180 seconds; a shorter window lets a migration
/// that goes back and forth by hand pass.
const MAX_MOVES: u8 = 5;
/// Seconds in which moves are counted.
const MOVE_WINDOW: u32 = 10;
/// Seconds that a MAC is held after too many moves.
const HOLD: u32 = 30;

/// How a network learns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetworkLearning {
    /// Seconds without a frame after which a learned MAC is forgotten; at most
    /// 32,767, as stamps are kept modulo 2^16.
    pub ageing: u16,
    /// The most learned MACs.
    pub limit: u32,
}

/// What the learner has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LearnerCounters {
    /// Entries added.
    pub learned: u64,
    /// Entries that changed their place.
    pub moved: u64,
    /// Entries that were forgotten by age.
    pub aged: u64,
    /// Moves refused because a MAC moved too often.
    pub refused_moves: u64,
    /// Entries refused because the network had its limit.
    pub refused_limit: u64,
    /// Entries refused because the FDB, or its part for learned MACs, was full.
    pub refused_full: u64,
}

struct Learning {
    settings: NetworkLearning,
    learned: u32,
}

struct Moves {
    count: u8,
    since: u32,
    held_until: u32,
}

/// Decides what is learned, and forgets it again.
pub struct Learner {
    networks: HashMap<NetworkIndex, Learning>,
    /// Learned MACs of all networks, and the most there may be: the rest of the
    /// FDB is kept for what the management plane says.
    total: usize,
    total_limit: usize,
    moves: HashMap<FdbKey, Moves>,
    counters: LearnerCounters,
    /// Where the next round of [`age`](Self::age) goes on.
    cursor: usize,
    sweep_started: u32,
}

impl Learner {
    /// Learns up to `total_limit` MACs in all networks together.
    pub fn new(total_limit: usize) -> Self {
        Self {
            networks: HashMap::new(),
            total: 0,
            total_limit,
            moves: HashMap::new(),
            counters: LearnerCounters::default(),
            cursor: 0,
            sweep_started: 0,
        }
    }

    /// What was done so far.
    pub fn counters(&self) -> LearnerCounters {
        self.counters
    }

    /// Learned MACs of a network.
    pub fn learned(&self, network: NetworkIndex) -> u32 {
        self.networks
            .get(&network)
            .map_or(0, |learning| learning.learned)
    }

    /// Sets how a network learns; `None`: it does not. What it has learned stays
    /// until [`forget`](Self::forget).
    pub fn set_network(&mut self, network: NetworkIndex, settings: Option<NetworkLearning>) {
        match settings {
            Some(settings) => {
                self.networks
                    .entry(network)
                    .or_insert(Learning {
                        settings,
                        learned: 0,
                    })
                    .settings = settings;
            }
            None => {
                self.networks.remove(&network);
            }
        }
    }

    /// A worker saw the MAC at `adjacency`. `now` is in seconds since the start.
    pub fn seen(
        &mut self,
        tables: &mut TablesWriter,
        key: FdbKey,
        adjacency: AdjacencyIndex,
        now: u32,
    ) {
        // The event may have been on its way while its network or the way back went.
        let Some(network) = key.network() else { return };
        if !self.networks.contains_key(&network)
            || matches!(
                tables.staged().adjacency(adjacency),
                vtepd_tables::Adjacency::Vacant
            )
        {
            return;
        }
        match tables.fdb.get(key) {
            Some(FdbEntry {
                origin: Origin::Static,
                ..
            }) => {}
            Some(known) if known.adjacency == adjacency => {}
            Some(_) => self.move_to(tables, key, adjacency, now),
            None => self.add(tables, network, key, adjacency, now),
        }
    }

    fn add(
        &mut self,
        tables: &mut TablesWriter,
        network: NetworkIndex,
        key: FdbKey,
        adjacency: AdjacencyIndex,
        now: u32,
    ) {
        let Some(learning) = self.networks.get_mut(&network) else {
            return;
        };
        if learning.learned >= learning.settings.limit {
            self.counters.refused_limit += 1;
            return;
        }
        if self.total >= self.total_limit {
            self.counters.refused_full += 1;
            return;
        }
        match tables.fdb.insert(
            key,
            FdbEntry {
                adjacency,
                origin: Origin::Learned,
            },
            now as u16,
        ) {
            Ok(_) => {
                learning.learned += 1;
                self.total += 1;
                self.counters.learned += 1;
            }
            Err(_) => self.counters.refused_full += 1,
        }
    }

    fn move_to(
        &mut self,
        tables: &mut TablesWriter,
        key: FdbKey,
        adjacency: AdjacencyIndex,
        now: u32,
    ) {
        let moves = self.moves.entry(key).or_insert(Moves {
            count: 0,
            since: now,
            held_until: 0,
        });
        if now < moves.held_until {
            self.counters.refused_moves += 1;
            return;
        }
        if now - moves.since >= MOVE_WINDOW {
            *moves = Moves {
                count: 0,
                since: now,
                held_until: 0,
            };
        }
        moves.count += 1;
        if moves.count > MAX_MOVES {
            moves.held_until = now + HOLD;
            self.counters.refused_moves += 1;
            return;
        }
        // Replacing needs no room.
        if tables
            .fdb
            .insert(
                key,
                FdbEntry {
                    adjacency,
                    origin: Origin::Learned,
                },
                now as u16,
            )
            .is_ok()
        {
            self.counters.moved += 1;
        }
    }

    /// The management plane took over or removed an entry that had been learned.
    pub fn replaced(&mut self, key: FdbKey) {
        if let Some(learning) = key
            .network()
            .and_then(|network| self.networks.get_mut(&network))
        {
            learning.learned = learning.learned.saturating_sub(1);
        }
        self.total = self.total.saturating_sub(1);
        self.moves.remove(&key);
    }

    /// Forgets learned entries of which `which` says so; how many there were.
    pub fn forget(
        &mut self,
        tables: &mut TablesWriter,
        mut which: impl FnMut(&FdbRow) -> bool,
    ) -> usize {
        let mut gone = Vec::new();
        tables.fdb.scan(0, tables.fdb.buckets(), |row| {
            if row.entry.origin == Origin::Learned && which(&row) {
                gone.push(row.key);
            }
        });
        for &key in &gone {
            tables.fdb.remove(key);
            self.replaced(key);
        }
        gone.len()
    }

    /// Forgets what has not been seen for too long. Looks at a part of the table
    /// only, such that the whole is seen about once a second when called every
    /// `tick_ms` milliseconds.
    pub fn age(&mut self, tables: &mut TablesWriter, now: u32, tick_ms: u32) {
        let buckets = tables.fdb.buckets();
        if self.cursor >= buckets {
            // One sweep a second: entries age by whole seconds anyway.
            if now == self.sweep_started {
                return;
            }
            self.cursor = 0;
            self.sweep_started = now;
            self.moves
                .retain(|_, moves| now < moves.held_until || now - moves.since < MOVE_WINDOW);
        }
        let share = (buckets as u64 * u64::from(tick_ms) / 1000) as usize + 64;
        let mut old = Vec::new();
        tables.fdb.scan(self.cursor, share, |row| {
            if row.entry.origin == Origin::Learned && self.is_old(&row, now) {
                old.push(row.key);
            }
        });
        self.cursor += share;
        for key in old {
            tables.fdb.remove(key);
            self.replaced(key);
            self.counters.aged += 1;
        }
    }

    fn is_old(&self, row: &FdbRow, now: u32) -> bool {
        let age = age_of(row, now);
        let network = row
            .key
            .network()
            .and_then(|network| self.networks.get(&network));
        network.is_none_or(|network| age >= network.settings.ageing)
    }
}

/// Seconds since the entry was last seen as a source, up to 32,767. A stamp that
/// a worker with a slightly faster clock has set is not from the past.
pub fn age_of(row: &FdbRow, now: u32) -> u16 {
    let age = (now as u16).wrapping_sub(row.seen);
    if age > u16::MAX / 2 { 0 } else { age }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vtepd_tables::{Adjacency, InterfaceIndex, Limits, Port, Tables};
    use vtepd_wire::Mac;

    const SETTINGS: NetworkLearning = NetworkLearning {
        ageing: 300,
        limit: 3,
    };

    fn network() -> NetworkIndex {
        NetworkIndex::new(1).unwrap()
    }

    fn place(index: u16) -> AdjacencyIndex {
        AdjacencyIndex::new(index).unwrap()
    }

    fn key(last: u8) -> FdbKey {
        FdbKey::new(network(), Mac([2, 0, 0, 0, 0, last]))
    }

    fn set_up() -> (TablesWriter, Learner) {
        let mut tables = Tables::new(Limits {
            fdb: 5,
            neighbours: 5,
        });
        for index in 1..4 {
            *tables.edit().adjacency_mut(place(index)) = Adjacency::Port(Port {
                interface: InterfaceIndex(0),
                network: network(),
                tag: None,
                segment: false,
            });
        }
        let mut learner = Learner::new(4);
        learner.set_network(network(), Some(SETTINGS));
        (tables, learner)
    }

    #[test]
    fn a_source_is_learned_moves_and_ages() {
        let (mut tables, mut learner) = set_up();
        learner.seen(&mut tables, key(1), place(1), 10);
        assert_eq!(
            tables.fdb.get(key(1)),
            Some(FdbEntry {
                adjacency: place(1),
                origin: Origin::Learned
            })
        );
        learner.seen(&mut tables, key(1), place(2), 20);
        assert_eq!(tables.fdb.get(key(1)).unwrap().adjacency, place(2));
        learner.age(&mut tables, 319, 1000);
        assert!(tables.fdb.get(key(1)).is_some());
        learner.age(&mut tables, 320, 1000);
        assert_eq!(tables.fdb.get(key(1)), None);
        assert_eq!(learner.learned(network()), 0);
        let counters = learner.counters();
        assert_eq!((counters.learned, counters.moved, counters.aged), (1, 1, 1));
    }

    #[test]
    fn static_entries_win() {
        let (mut tables, mut learner) = set_up();
        let fixed = FdbEntry {
            adjacency: place(1),
            origin: Origin::Static,
        };
        tables.fdb.insert(key(1), fixed, 0).unwrap();
        learner.seen(&mut tables, key(1), place(2), 10);
        learner.age(&mut tables, 30_000, 1000);
        assert_eq!(tables.fdb.get(key(1)), Some(fixed));
    }

    #[test]
    fn a_mac_that_moves_too_often_is_held_for_a_while() {
        let (mut tables, mut learner) = set_up();
        learner.seen(&mut tables, key(1), place(1), 0);
        for round in 0..10u16 {
            learner.seen(&mut tables, key(1), place(1 + (round + 1) % 2), 1);
        }
        assert_eq!(learner.counters().moved, u64::from(MAX_MOVES));
        // Of the five frames that followed, two came from where it is held.
        assert_eq!(learner.counters().refused_moves, 3);
        let held_at = tables.fdb.get(key(1)).unwrap().adjacency;
        let other = if held_at == place(1) {
            place(2)
        } else {
            place(1)
        };
        learner.seen(&mut tables, key(1), other, HOLD);
        assert_eq!(tables.fdb.get(key(1)).unwrap().adjacency, held_at);
        learner.seen(&mut tables, key(1), other, HOLD + 1 + MOVE_WINDOW);
        assert_eq!(tables.fdb.get(key(1)).unwrap().adjacency, other);
    }

    #[test]
    fn limits_of_the_network_and_of_the_table_hold() {
        let (mut tables, mut learner) = set_up();
        for last in 0..4 {
            learner.seen(&mut tables, key(last), place(1), 0);
        }
        assert_eq!(
            (learner.learned(network()), learner.counters().refused_limit),
            (3, 1)
        );
        learner.set_network(
            network(),
            Some(NetworkLearning {
                limit: 100,
                ..SETTINGS
            }),
        );
        for last in 0..6 {
            learner.seen(&mut tables, key(last), place(1), 0);
        }
        assert_eq!(
            (learner.learned(network()), learner.counters().refused_full),
            (4, 2)
        );
    }

    #[test]
    fn late_events_for_what_is_gone_do_nothing() {
        let (mut tables, mut learner) = set_up();
        learner.seen(&mut tables, key(1), place(9), 0);
        learner.set_network(network(), None);
        learner.seen(&mut tables, key(1), place(1), 0);
        assert_eq!(tables.fdb.get(key(1)), None);
    }

    #[test]
    fn forgetting_gives_the_room_back() {
        let (mut tables, mut learner) = set_up();
        for last in 0..3 {
            learner.seen(&mut tables, key(last), place(1 + u16::from(last) % 2), 0);
        }
        assert_eq!(
            learner.forget(&mut tables, |row| row.entry.adjacency == place(1)),
            2
        );
        assert_eq!(learner.learned(network()), 1);
        learner.seen(&mut tables, key(0), place(1), 0);
        assert_eq!(learner.learned(network()), 2);
    }
}
