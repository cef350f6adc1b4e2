//! DPDK's hash table, on huge pages and with bulk look-ups, as a DPDK program has it.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use dpdk_ffi::{BULK, Eal, EalConfig, Hash, LogLevel, Memory};

use super::contenders::{BURST, Contender};
use crate::system::huge_pages::HugePages;

/// DPDK's memory of an entry: key, value, its bucket's share, its place in the list of
/// free ones, all of powers of two.
const BYTES_PER_ENTRY: u64 = 96;

/// A table of fixed size.
pub struct RteHash {
    entries: u32,
    table: Option<Hash>,
    _huge: HugePages,
}

/// DPDK starts once in a process and takes pages as it needs them.
fn eal() -> Result<&'static Eal> {
    static EAL: OnceLock<Eal> = OnceLock::new();
    if let Some(eal) = EAL.get() {
        return Ok(eal);
    }
    let started = Eal::start(EalConfig {
        memory: Memory::HugePages { limit_mb: None },
        file_prefix: format!("vtepd-perf-{}", std::process::id()),
        telemetry: false,
        log_level: LogLevel::Error,
        ..EalConfig::default()
    });
    let started = started.context("rte_hash needs DPDK")?;
    Ok(EAL.get_or_init(|| started))
}

impl RteHash {
    /// None yet, but the memory for it.
    pub fn new(entries: usize) -> Result<Self> {
        let huge = HugePages::take(entries as u64 * BYTES_PER_ENTRY / (1 << 20) + 128)?;
        eal()?;
        Ok(Self {
            // Lock-free tables keep some places back, and a bucket may fill before the table.
            entries: entries as u32 + entries as u32 / 8 + 64,
            table: None,
            _huge: huge,
        })
    }
}

impl Contender for RteHash {
    fn name(&self) -> &'static str {
        "rte_hash"
    }

    fn fill(&mut self, keys: &[u64], value: fn(u64) -> u16) -> Result<()> {
        self.table = None;
        let mut table = Hash::create(eal()?, "perf", self.entries)?;
        for &key in keys {
            table.insert(key, u64::from(value(key)))?;
        }
        self.table = Some(table);
        Ok(())
    }

    fn look_up(&self, bursts: &[[u64; BURST]]) -> u64 {
        const { assert!(BURST <= BULK) };
        let Some(table) = &self.table else {
            return 0;
        };
        let mut values = [0; BULK];
        let mut sum = 0;
        for burst in bursts {
            let mut mask = table.find_bulk(burst, &mut values);
            while mask != 0 {
                sum += values[mask.trailing_zeros() as usize];
                mask &= mask - 1;
            }
        }
        sum
    }

    fn clear(&mut self) {
        self.table = None;
    }
}
