//! `[nat]`: how much each worker can translate, and whether it is logged.

use std::path::PathBuf;

use serde::Deserialize;
use vtepd_nat::Capacity;

use super::ConfigError;
use crate::nat_log::{self, Target};

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
    pub log: NatLog,
}

/// `[nat.log]`: one of both, or none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NatLog {
    pub file: Option<PathBuf>,
    pub syslog: Option<String>,
}

impl NatLog {
    /// Where the log goes. `None`: there is none.
    pub fn target(&self) -> Result<Option<Target>, ConfigError> {
        let fail = |what: String| Err(ConfigError(what));
        let absolute = |path: &PathBuf| path.is_absolute();
        match (&self.file, &self.syslog) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => fail("nat.log has both a file and syslog: choose one".to_owned()),
            (Some(file), None) if absolute(file) => Ok(Some(Target::File(file.clone()))),
            (Some(file), None) => fail(format!("nat.log.file {file:?} is no absolute path")),
            (None, Some(syslog)) => {
                if let Some(server) = syslog.strip_prefix("udp://") {
                    return match server.parse() {
                        Ok(server) => Ok(Some(Target::Udp(server))),
                        Err(_) => fail(format!(
                            "nat.log.syslog {syslog:?} is no address with a port, as in \"udp://192.0.2.1:514\""
                        )),
                    };
                }
                let path = PathBuf::from(syslog);
                match absolute(&path) {
                    true => Ok(Some(Target::Local(path))),
                    false => fail(format!(
                        "nat.log.syslog {syslog:?} is neither \"udp://ADDRESS:PORT\" nor a socket as \"/dev/log\""
                    )),
                }
            }
        }
    }

    /// Records that may wait on each worker.
    pub fn room(&self) -> u32 {
        match (&self.file, &self.syslog) {
            (None, None) => 0,
            _ => nat_log::ROOM,
        }
    }
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
            log: NatLog::default(),
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
            log: nat.log.room(),
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
        self.log.target()?;
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
    fn the_log_is_off_unless_it_goes_somewhere() {
        let nat = parse("").unwrap().nat;
        assert_eq!(nat.log.target().unwrap(), None);
        assert_eq!(Capacity::from(&nat).log, 0);
        for (keys, target) in [
            (
                "file = \"/var/log/vtepd/nat.log\"",
                Target::File("/var/log/vtepd/nat.log".into()),
            ),
            (
                "syslog = \"udp://[2001:db8::9]:514\"",
                Target::Udp("[2001:db8::9]:514".parse().unwrap()),
            ),
            ("syslog = \"/dev/log\"", Target::Local("/dev/log".into())),
        ] {
            let nat = parse(&format!("[nat.log]\n{keys}")).unwrap().nat;
            assert_eq!(nat.log.target().unwrap(), Some(target));
            assert!(Capacity::from(&nat).log > 0);
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (keys, part) in [
            ("session = 1", "session"),
            ("pools = 65536", "pools = 65536"),
            ("sessions = -1", "sessions = -1"),
            ("sessions = 4000000000", "lower nat.sessions"),
            ("[nat.log]\nfile = \"nat.log\"", "no absolute path"),
            ("[nat.log]\nsyslog = \"udp://loghost\"", "no address"),
            ("[nat.log]\nsyslog = \"loghost\"", "/dev/log"),
            (
                "[nat.log]\nfile = \"/a\"\nsyslog = \"/dev/log\"",
                "choose one",
            ),
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
