//! The tables that are compared, by one interface. It works on whole lists, so that
//! the call through it costs nothing that can be seen.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use anyhow::Result;
use vtepd_tables::{AdjacencyIndex, FdbEntry, FdbKey, Limits, NetworkIndex, Origin};
use vtepd_tables::{HashedFdbKey, Tables, TablesReader, TablesWriter};
use vtepd_wire::Mac;

/// Keys of a look-up: the packets of a worker's burst.
pub const BURST: usize = 64;

/// A table.
pub trait Contender {
    /// What it is called in reports.
    fn name(&self) -> &'static str;
    /// Makes it anew and fills it, from its smallest size on where it can grow.
    fn fill(&mut self, keys: &[u64], value: fn(u64) -> u16) -> Result<()>;
    /// Looks all keys up; the sum of the values found.
    fn look_up(&self, bursts: &[[u64; BURST]]) -> u64;
    /// Gives its memory back.
    fn clear(&mut self);
}

/// The FDB first: the others are compared with it.
pub fn contenders(entries: usize) -> Result<Vec<Box<dyn Contender>>> {
    let mut all: Vec<Box<dyn Contender>> = vec![
        Box::new(Fdb::new(entries)),
        Box::new(StdMap::<foldhash::fast::RandomState>::new(
            "HashMap, foldhash",
        )),
        Box::new(StdMap::<RandomState>::new("HashMap")),
    ];
    add_rte_hash(&mut all, entries)?;
    Ok(all)
}

#[cfg(feature = "dpdk")]
fn add_rte_hash(all: &mut Vec<Box<dyn Contender>>, entries: usize) -> Result<()> {
    all.push(Box::new(super::rte_hash::RteHash::new(entries)?));
    Ok(())
}

#[cfg(not(feature = "dpdk"))]
fn add_rte_hash(_: &mut Vec<Box<dyn Contender>>, _: usize) -> Result<()> {
    Ok(())
}

/// Ours, with a registered reader, as a worker has it.
struct Fdb {
    entries: usize,
    tables: Option<(TablesWriter, TablesReader)>,
}

impl Fdb {
    fn new(entries: usize) -> Self {
        Self {
            entries,
            tables: None,
        }
    }
}

/// `None` for network 0, which no key has.
fn fdb_key(key: u64) -> Option<FdbKey> {
    let network = NetworkIndex::new((key >> 48) as u16)?;
    Some(FdbKey::new(network, Mac::from_u64(key & 0xffff_ffff_ffff)))
}

impl Contender for Fdb {
    fn name(&self) -> &'static str {
        "vtepd FDB"
    }

    fn fill(&mut self, keys: &[u64], value: fn(u64) -> u16) -> Result<()> {
        let mut writer = Tables::new(Limits {
            fdb: self.entries,
            neighbours: 0,
        });
        for (count, &key) in keys.iter().enumerate() {
            if let (Some(fdb_key), Some(adjacency)) =
                (fdb_key(key), AdjacencyIndex::new(value(key)))
            {
                let entry = FdbEntry {
                    adjacency,
                    origin: Origin::Static,
                };
                writer.fdb.insert(fdb_key, entry, 0)?;
            }
            // As between transactions: what it outgrew is freed.
            if count % 10_000 == 0 {
                writer.collect();
            }
        }
        writer.collect();
        let reader = writer.tables().reader();
        self.tables = reader.map(|reader| (writer, reader));
        Ok(())
    }

    fn look_up(&self, bursts: &[[u64; BURST]]) -> u64 {
        let Some((_, reader)) = &self.tables else {
            return 0;
        };
        let view = reader.view();
        let mut sum = 0;
        let mut hashed: [Option<HashedFdbKey>; BURST] = [None; BURST];
        for burst in bursts {
            for (hashed, key) in hashed.iter_mut().zip(burst) {
                *hashed = fdb_key(*key).map(|key| view.fdb.prefetch(key));
            }
            for key in hashed.iter().flatten() {
                if let Some(hit) = view.fdb.find(*key) {
                    sum += u64::from(hit.entry.adjacency.get());
                }
            }
        }
        sum
    }

    fn clear(&mut self) {
        self.tables = None;
    }
}

/// The standard library's map.
struct StdMap<S> {
    name: &'static str,
    map: HashMap<u64, u16, S>,
}

impl<S: Default> StdMap<S> {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            map: HashMap::default(),
        }
    }
}

impl<S: BuildHasher + Default> Contender for StdMap<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn fill(&mut self, keys: &[u64], value: fn(u64) -> u16) -> Result<()> {
        self.map = HashMap::default();
        self.map.extend(keys.iter().map(|key| (*key, value(*key))));
        Ok(())
    }

    fn look_up(&self, bursts: &[[u64; BURST]]) -> u64 {
        let found = bursts.iter().flatten().filter_map(|key| self.map.get(key));
        found.map(|value| u64::from(*value)).sum()
    }

    fn clear(&mut self) {
        self.map = HashMap::default();
    }
}
