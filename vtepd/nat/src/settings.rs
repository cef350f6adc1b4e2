//! What an operator can set: sizes at the start, the rest at any time.

use crate::key::Protocol;
use crate::tcp::State;

/// Sizes of one worker's tables, fixed when they are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// Sessions; 4,000,000 of them with all that belongs to them take less than 1 GiB.
    pub sessions: u32,
    /// Outside addresses of SNAT.
    pub pools: u16,
    /// Tenants with limits of their own.
    pub subscribers: u16,
    /// Fragmented datagrams at a time.
    pub datagrams: u32,
    /// Packets that wait: fragments for their first, and unsolicited SYNs for their answer.
    pub held: u32,
    /// IPv6 sessions of routers that let in only what the inside began; 80 bytes each.
    pub outbound_only: u32,
    /// Records of the log that wait to be taken; 0: nothing is logged.
    pub log: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            sessions: 1 << 20,
            pools: 1024,
            subscribers: 1024,
            datagrams: 8192,
            held: 1024,
            outbound_only: 1 << 16,
            log: 0,
        }
    }
}

impl Capacity {
    /// Blocks of ports, where ports are given in blocks: one for each eight sessions.
    pub(crate) fn blocks(&self) -> u32 {
        self.sessions.div_ceil(8)
    }

    /// Mappings are kept after their last session until their ports have rested; a quarter more than sessions.
    /// When they are all taken, the one that has rested longest gives way.
    pub(crate) fn mappings(&self) -> u32 {
        self.sessions.saturating_add(self.sessions / 4)
    }
}

/// How long things last without use, in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// Connections (RFC 5382, REQ-5: at least 2 hours 4 minutes).
    pub tcp_established: u32,
    /// Connections that open or close, or have been reset (RFC 5382, REQ-5: at least 4 minutes).
    pub tcp_transitory: u32,
    /// RFC 4787, REQ-5: at least 2 minutes, 5 recommended.
    pub udp: u32,
    /// RFC 5508, REQ-2: at least 60 s.
    pub icmp: u32,
    /// How long a port is not given to another host after its last session (RFC 6888, REQ-8: 120 s).
    pub rest: u32,
    /// How long fragments wait for their first one, and are known by it.
    pub fragment: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_established: 7440,
            tcp_transitory: 240,
            udp: 300,
            icmp: 60,
            rest: 120,
            fragment: 5,
        }
    }
}

impl Timeouts {
    /// Of a session.
    #[inline(always)]
    pub(crate) fn of(&self, protocol: u8, state: State) -> u32 {
        match Protocol::from_number(protocol) {
            Some(Protocol::Tcp) if state.is_established() => self.tcp_established,
            Some(Protocol::Tcp) => self.tcp_transitory,
            Some(Protocol::Icmp) => self.icmp,
            _ => self.udp,
        }
    }
}

/// What becomes of a SYN from outside that nobody waits for (RFC 5382, REQ-4).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UnsolicitedSyn {
    /// It is dropped.
    #[default]
    Silent,
    /// It waits for six seconds whether a SYN goes the other way (simultaneous open); if not, the sender is
    /// told.
    Unreachable,
}

/// Limits of one tenant (RFC 6888, REQ-4 and REQ-5). Each worker counts for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Sessions at a time.
    pub sessions: u32,
    /// New sessions in a second.
    pub sessions_per_second: u32,
    /// Mappings at a time: outside ports.
    pub ports: u32,
    /// Fragmented datagrams and held packets at a time.
    pub fragments: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 1 << 18,
            sessions_per_second: 50_000,
            ports: 64_512,
            fragments: 256,
        }
    }
}

/// What may change while packets flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// See there.
    pub timeouts: Timeouts,
    /// Do packets from outside keep a session of UDP or ICMP alive (RFC 4787, REQ-6)? Those of TCP do.
    pub inbound_refresh: bool,
    /// See there.
    pub unsolicited_syn: UnsolicitedSyn,
    /// Of tenants that have none of their own.
    pub limits: Limits,
    /// Ports of the blocks that inside addresses take their outside ports from: 16 to 4096, a multiple of 16. 0: from
    /// anywhere. A change holds for blocks that are taken from now on; until they are gone, the others are nobody else's.
    pub port_block: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            inbound_refresh: true,
            unsolicited_syn: UnsolicitedSyn::default(),
            limits: Limits::default(),
            port_block: 0,
        }
    }
}
