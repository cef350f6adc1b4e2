//! Do the tables agree with each other? For tests, fuzzing, and an operator who suspects that they do not.

use std::collections::{HashMap, HashSet};

use crate::key::{Endpoint, Protocol};
use crate::tcp::State;
use crate::translator::Translator;

impl Translator {
    /// Looks at every entry of every table; takes memory, and time by the sizes of the tables.
    ///
    /// # Errors
    /// What does not hold.
    pub fn audit(&self) -> Result<(), String> {
        self.audit_sessions()?;
        self.audit_ports()?;
        self.audit_blocks()?;
        self.flows.audit()
    }

    /// Each session is found from both sides, no two share a tuple on either, and all that is counted is counted right.
    fn audit_sessions(&self) -> Result<(), String> {
        let mut tuples = HashSet::new();
        let mut by_mapping: HashMap<u32, u32> = HashMap::new();
        let mut by_pool: HashMap<u16, u32> = HashMap::new();
        for number in 0..self.sessions.slab.capacity() as u32 {
            let Some(session) = self.sessions.slab.get(number) else {
                continue;
            };
            if session.state == State::Vacant {
                continue;
            }
            *by_mapping.entry(session.mapping).or_default() += 1;
            *by_pool.entry(session.pool).or_default() += 1;
            let mapping = self.mappings.slab.get(session.mapping);
            let right = mapping.is_some_and(|mapping| {
                mapping.pool == session.pool
                    && mapping.port == session.outside_port
                    && mapping.protocol == session.key.protocol_number()
            });
            if !right {
                return Err(format!("session {session:?} has another's mapping"));
            }
            if !self.pools.is_open(session.pool) {
                continue;
            }
            let outside = session.outside_key();
            let fresh = tuples.insert((true, outside.0)) && tuples.insert((false, session.key.0));
            let hash = self.sessions.hash_outside(outside);
            let from_outside = self.sessions.find_outside(outside, hash);
            let hash = self.sessions.hash_inside(session.key);
            let open = |pool| self.pools.is_open(pool);
            let from_inside = self.sessions.find_inside(session.key, hash, open);
            if !fresh || from_outside != Some(number) || from_inside != Some(number) {
                return Err(format!("session {session:?} is not alone with its tuples"));
            }
        }
        for number in 0..self.mappings.slab.capacity() as u32 {
            let held = by_mapping.get(&number).copied().unwrap_or(0);
            let counted = self
                .mappings
                .slab
                .get(number)
                .map_or(0, |mapping| mapping.sessions);
            if held != counted {
                return Err(format!(
                    "mapping {number} counts {counted} of {held} sessions"
                ));
            }
        }
        for (pool, held) in by_pool {
            let counted = self.pools.get(pool).map_or(0, |pool| pool.session_count);
            if counted != held {
                return Err(format!("pool {pool} counts {counted} of {held} sessions"));
            }
        }
        Ok(())
    }

    /// Each block is its host's alone, and counts the ports that mappings own.
    fn audit_blocks(&self) -> Result<(), String> {
        let mut by_block: HashMap<u32, u16> = HashMap::new();
        for number in 0..self.mappings.slab.capacity() as u32 {
            let Some(mapping) = self.mappings.slab.get(number) else {
                continue;
            };
            let inside = Endpoint::from(mapping.inside).address;
            if mapping.protocol == 0 {
                continue;
            }
            let Some(block) = self.ports.block_of(mapping.pool, mapping.port) else {
                continue;
            };
            *by_block.entry(block).or_default() += 1;
            let owner = self.blocks.audited(block);
            if owner.is_none_or(|(pool, host, ..)| (pool, host) != (mapping.pool, inside)) {
                return Err(format!("mapping {number} is in another's block {block}"));
            }
        }
        let mut blocks = 0;
        for number in 0..self.blocks.slab().capacity() as u32 {
            let Some((pool, _, numbers, used)) = self.blocks.audited(number) else {
                continue;
            };
            blocks += 1;
            let held = by_block.get(&number).copied().unwrap_or(0);
            if used != held || used == 0 {
                return Err(format!("block {number} counts {used} of {held} ports"));
            }
            let mut ports = numbers.map(|number| self.slices.port(number));
            if ports.any(|port| self.ports.block_of(pool, port) != Some(number)) {
                return Err(format!("ports of block {number} are not its own"));
            }
        }
        let used = self.blocks.slab().used();
        if blocks != used {
            return Err(format!("{used} places are taken for {blocks} blocks"));
        }
        Ok(())
    }

    /// Each port is free, or is a mapping's that owns it or rests.
    fn audit_ports(&self) -> Result<(), String> {
        let mut owned = HashMap::new();
        for number in 0..self.mappings.slab.capacity() as u32 {
            let Some(mapping) = self.mappings.slab.get(number) else {
                continue;
            };
            let Some(protocol) = Protocol::from_number(mapping.protocol) else {
                continue;
            };
            let place = (mapping.pool, protocol, mapping.port);
            if owned.insert(place, number).is_some() {
                return Err(format!("two mappings own {place:?}"));
            }
            if !self.ports.is_taken(mapping.pool, protocol, mapping.port) {
                return Err(format!("{place:?} is free and owned"));
            }
            if self
                .mappings
                .find_outside(mapping.pool, protocol, mapping.port)
                != Some(number)
            {
                return Err(format!("mapping of {place:?} is not found"));
            }
        }
        if owned.len() != self.mappings.slab.used() {
            return Err("mappings without a protocol".into());
        }
        let mut by_map: HashMap<(u16, Protocol), u32> = HashMap::new();
        for (pool, protocol, _) in owned.keys() {
            *by_map.entry((*pool, *protocol)).or_default() += 1;
        }
        let zero = u32::from(self.slices.number(0).is_some());
        for ((pool, protocol), taken) in by_map {
            let all = self.slices.ports() - zero;
            let free = self.ports.free(pool, protocol);
            if free + taken != all {
                return Err(format!(
                    "pool {pool} {}: {free} free and {taken} taken of {all}",
                    protocol.name()
                ));
            }
        }
        Ok(())
    }
}
