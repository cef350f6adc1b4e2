//! `[nat]`: how much each worker can translate.

use serde::Deserialize;
use vtepd_nat::Capacity;

use super::ConfigError;

/// `[nat]`, of each worker.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nat {
    pub sessions: u32,
    pub pools: u16,
    pub tenants: u16,
    pub datagrams: u32,
    pub held: u32,
    pub outbound_only_sessions: u32,
}

impl Default for Nat {
    fn default() -> Self {
        let capacity = Capacity::default();
        Self {
            sessions: capacity.sessions,
            pools: capacity.pools,
            tenants: capacity.subscribers,
            datagrams: capacity.datagrams,
            held: capacity.held,
            outbound_only_sessions: capacity.outbound_only,
        }
    }
}

impl From<&Nat> for Capacity {
    fn from(nat: &Nat) -> Self {
        Self {
            sessions: nat.sessions,
            pools: nat.pools,
            subscribers: nat.tenants,
            datagrams: nat.datagrams,
            held: nat.held,
            outbound_only: nat.outbound_only_sessions,
            log: 0,
        }
    }
}

/// Memory in bytes, as measured, of a session with its share of the mappings and indices; of an IPv6 one; of a
/// fragmented datagram; of a packet held; of an outside address, once it is used; and of a tenant.
const BYTES: [u64; 6] = [200, 80, 64, 160, 41_100, 48];

impl Nat {
    /// Memory of one worker, in MiB, about.
    fn memory_mb(&self) -> u64 {
        let counts = [
            self.sessions,
            self.outbound_only_sessions,
            self.datagrams,
            self.held,
            u32::from(self.pools),
            u32::from(self.tenants),
        ];
        let bytes = counts
            .iter()
            .zip(BYTES)
            .map(|(count, each)| u64::from(*count) * each);
        bytes.sum::<u64>() >> 20
    }

    /// Memory that was promised and is not there would end in the out-of-memory killer.
    pub(super) fn check(&self, workers: usize, machine_mb: Option<u64>) -> Result<(), ConfigError> {
        let wanted = self.memory_mb() * workers as u64;
        match machine_mb {
            Some(has) if wanted > has => Err(ConfigError(format!(
                "[nat] asks for about {wanted} MiB, {} for each of {workers} workers, and the machine has {has} MiB in all: \
                 lower nat.sessions",
                self.memory_mb()
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use vtepd_nat::{Settings, Slices, Translator};
    use vtepd_wire::hash::KeyedHash;

    use super::super::Config;
    use super::*;

    fn parse(keys: &str) -> Result<Config, String> {
        let text = format!("host = \"h1\"\n[nat]\n{keys}");
        Config::parse(&text).map_err(|error| error.to_string())
    }

    fn translator(nat: &Nat) -> Translator {
        let hash = KeyedHash::new(1, 2);
        let slices = Slices::alone(hash);
        Translator::new(nat.into(), Settings::default(), slices, hash, 0)
    }

    #[test]
    fn nothing_is_needed_and_everything_can_be_set() {
        let defaults = parse("").unwrap().nat;
        assert_eq!(Capacity::from(&defaults), Capacity::default());
        let own = parse(
            "sessions = 1\npools = 2\ntenants = 3\ndatagrams = 4\nheld = 5\noutbound_only_sessions = 6",
        );
        let own = Capacity::from(&own.unwrap().nat);
        let expected = Capacity {
            sessions: 1,
            pools: 2,
            subscribers: 3,
            datagrams: 4,
            held: 5,
            outbound_only: 6,
            log: 0,
        };
        assert_eq!(own, expected);
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (keys, part) in [
            ("session = 1", "session"),
            ("pools = 65536", "pools = 65536"),
            ("sessions = -1", "sessions = -1"),
            ("sessions = 4000000000", "lower nat.sessions"),
        ] {
            let error = parse(keys).unwrap_err();
            assert!(error.contains(part), "{keys}: {error}");
            assert_eq!(error.lines().count(), 1);
        }
    }

    #[test]
    fn the_memory_is_about_as_foretold() {
        let nat = Nat {
            sessions: 200_000,
            outbound_only_sessions: 100_000,
            ..Nat::default()
        };
        let used = translator(&nat).usage().bytes as u64 >> 20;
        let told = nat.memory_mb();
        let about = used - used / 20..used + used / 5;
        assert!(about.contains(&told), "{told} MiB foretold, {used} used");
    }

    #[test]
    fn a_host_that_translates_nothing_needs_no_room() {
        let none = "sessions = 0\npools = 0\ntenants = 0\ndatagrams = 0\nheld = 0\noutbound_only_sessions = 0";
        let mut none = translator(&parse(none).unwrap().nat);
        assert!(!none.tick(1, 64));
        assert!(none.usage().bytes < 2 << 20, "{}", none.usage().bytes);
    }
}
