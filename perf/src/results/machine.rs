//! Where and of what figures are.

use serde::{Deserialize, Serialize};

/// A run and its machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// What was called.
    pub command: String,
    /// When it began, UTC, to the minute (RFC 3339).
    pub began: String,
    /// How long it took.
    pub minutes: f64,
    /// The commit that was built; `+` behind it for changes since.
    pub revision: String,
    /// The processor.
    pub cpu: String,
    /// Cores that the system has.
    pub cores: usize,
    /// Ticks of the time stamp counter a second, measured.
    pub tsc_hz: f64,
    /// Caches as the kernel names them: level and type, size.
    pub caches: Vec<(String, String)>,
    /// Memory, bytes.
    pub memory: u64,
    /// Whether it is a virtual machine.
    pub is_virtual: bool,
    /// The distribution.
    pub system: String,
    /// The kernel's release.
    pub kernel: String,
    /// The version of libdpdk.
    pub dpdk: String,
}
