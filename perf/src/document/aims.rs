//! What is aimed at, and what others were measured to need.
//!
//! Cycles per packet of a time stamp counter of 2.1 GHz, one worker, without the device; of
//! Open vSwitch with it. The peers were measured on this kind of machine with the same work: FD.io
//! VPP 26.06 with its packet generator on the worker, in its best configuration and as installed,
//! and Debian's Open vSwitch with DPDK, as it comes and built with care.

use crate::frames::Label;

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    /// The workload.
    pub workload: &'static str,
    /// Its size.
    pub size: u32,
    /// Its variant.
    pub variant: &'static str,
    /// Cycles of a packet above `io`, at most. Of `new-sessions`: million a second, at least.
    pub aim: f64,
    /// VPP in its best configuration: best window, median.
    pub vpp_best: &'static str,
    /// VPP as installed: median.
    pub vpp: &'static str,
    /// Open vSwitch: Debian's, a tuned build.
    pub ovs: &'static str,
}

impl Aim {
    /// The one for a row.
    #[must_use]
    pub fn of(label: &Label) -> Option<&'static Self> {
        AIMS.iter().find(|aim| {
            aim.workload == label.workload && aim.size == label.size && aim.variant == label.variant
        })
    }

    /// Whether it is that one.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let key = |aim: &Self| (aim.workload, aim.size, aim.variant);
        key(self) == key(other)
    }

    /// Whether more is better.
    #[must_use]
    pub fn is_rate(&self) -> bool {
        self.workload == "new-sessions"
    }
}

const fn aim(
    (workload, size, variant): (&'static str, u32, &'static str),
    aim: f64,
    [vpp_best, vpp, ovs]: [&'static str; 3],
) -> Aim {
    Aim {
        workload,
        size,
        variant,
        aim,
        vpp_best,
        vpp,
        ovs,
    }
}

const OFF: &str = "learning off";
const ON: &str = "learning on";
const K: u32 = 1000;
const M: u32 = 1_000_000;

/// All of them.
pub const AIMS: &[Aim] = &[
    aim(("decap", K, OFF), 80.0, ["116 / 164", "208", "348 / 310"]),
    aim(("decap", K, ON), 95.0, ["116 / 164", "208", "348 / 310"]),
    aim(
        ("decap", 100 * K, OFF),
        100.0,
        ["– / 216", "347", "905 / 577"],
    ),
    aim(("decap", M, OFF), 120.0, ["231 / 312", "501", "950–1900"]),
    aim(("encap", K, OFF), 80.0, ["118 / 163", "187", "245 / 225"]),
    aim(
        ("encap", 100 * K, OFF),
        100.0,
        ["195 / 202", "307", "802 / 587"],
    ),
    aim(
        ("encap", M, OFF),
        120.0,
        ["224 / 325", "469", "never settles"],
    ),
    aim(
        ("routed", K, "1 router"),
        110.0,
        ["208 / 261", "277", "272 / 254"],
    ),
    aim(
        ("routed", 100 * K, "1 router"),
        150.0,
        ["241 / 287", "301", "809 / 566"],
    ),
    aim(("snat", 1, "vlan, out"), 100.0, ["132 / –", "143", "475"]),
    aim(
        ("snat", 64 * K, "vlan, out"),
        130.0,
        ["205 / –", "266", "744"],
    ),
    aim(("snat", M, "vlan, out"), 190.0, ["423 / –", "461", "1157"]),
    aim(
        ("snat", 64 * K, "vxlan, out"),
        190.0,
        ["357 / 436", "488", "–"],
    ),
    aim(
        ("new-sessions", 4 * M, "vxlan"),
        3.0,
        ["0.87 / –", "0.64–0.78", "0.55–0.63 / 0.73"],
    ),
];
