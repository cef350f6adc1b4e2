//! What a large state costs.

use serde::{Deserialize, Serialize};

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Ports loaded.
    pub ports: u32,
    /// Wall time of all port transactions.
    pub seconds: f64,
    /// Ports over that time.
    pub ports_per_second: f64,
    /// CPU time of the daemon's control side over the same time.
    pub cpu_seconds: f64,
    /// Resident memory of an empty daemon, bytes, huge pages aside.
    pub empty_bytes: u64,
    /// The same with interfaces, hosts and networks.
    pub infrastructure_bytes: u64,
    /// The same with the ports.
    pub loaded_bytes: u64,
    /// The most there ever was.
    pub peak_bytes: u64,
    /// Bytes of a port: what the loaded daemon has above the empty one.
    pub bytes_per_port: f64,
    /// What the kept state takes on disk.
    pub disk_bytes: u64,
    /// From the start after `kill -9` to the first packet on the wire.
    pub restart_seconds: f64,
    /// CPU time of the daemon's control side until then.
    pub restart_cpu_seconds: f64,
    /// Resident memory then.
    pub restarted_bytes: u64,
    /// Packets compared after the restart.
    pub packets_checked: u64,
}
