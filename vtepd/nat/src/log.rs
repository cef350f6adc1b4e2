//! Who had which outside port when, for operators who must be able to tell (RFC 6888, REQ-12): by blocks where ports
//! are given in blocks, by mappings else. Destinations are not in it.

use core::fmt;
use core::net::Ipv4Addr;
use core::ops::RangeInclusive;

use crate::key::{Endpoint, Protocol};
use crate::pool::SubscriberIndex;
use crate::slices::{RUN, Slices};
use crate::translator::Translator;

/// What became of ports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Logged {
    /// A block is an inside address's now, for all protocols.
    BlockTaken,
    /// And is nobody's any more: its ports have rested.
    BlockFreed,
    /// A port outside all blocks is an inside address's now.
    PortTaken,
    /// And is nobody's any more: it has rested.
    PortFreed,
    /// No port was left: another's is used as well, for some destinations.
    PortBorrowed,
    /// And not any more by this session.
    PortReturned,
}

impl Logged {
    /// For the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BlockTaken => "block-taken",
            Self::BlockFreed => "block-freed",
            Self::PortTaken => "port-taken",
            Self::PortFreed => "port-freed",
            Self::PortBorrowed => "port-borrowed",
            Self::PortReturned => "port-returned",
        }
    }
}

/// One entry of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRecord {
    /// The second, as it was told to the translator.
    pub second: u32,
    /// What happened.
    pub what: Logged,
    /// The router.
    pub router: u16,
    /// The tenant.
    pub subscriber: SubscriberIndex,
    /// The host inside.
    pub inside: Ipv4Addr,
    /// What the outside sees in its place.
    pub outside: Ipv4Addr,
    /// `None`: all of them.
    pub protocol: Option<Protocol>,
    /// Which ports, or identifiers of queries.
    pub ports: PortSet,
}

/// One port, or a block of them. Where ports are dealt to several workers, a block is one worker's: runs of 16 that lie as
/// far apart as there are workers (the port sets of RFC 7597, 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PortSet {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
    /// From the beginning of a run of 16 ports to the next: 16 when all from the first to the last belong to it.
    pub stride: u16,
}

impl PortSet {
    pub(crate) fn one(port: u16) -> Self {
        Self {
            first: port,
            last: port,
            stride: RUN as u16,
        }
    }

    pub(crate) fn block(slices: &Slices, numbers: &core::ops::Range<u32>) -> Self {
        Self {
            first: slices.port(numbers.start),
            last: slices.port(numbers.end.saturating_sub(1)),
            stride: slices.workers() * RUN as u16,
        }
    }

    /// Is this port one of them?
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
            && u32::from(port - self.first) % u32::from(self.stride) < RUN
    }

    /// The ports without gaps: one range, or a run for each stride.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u16>> {
        let Self {
            first,
            last,
            stride,
        } = *self;
        let run = if u32::from(stride) == RUN {
            last - first
        } else {
            RUN as u16 - 1
        };
        let next = move |start: &u16| start.checked_add(stride);
        let begun =
            core::iter::successors(Some(first), next).take_while(move |start| *start <= last);
        let count = if u32::from(stride) == RUN {
            1
        } else {
            usize::MAX
        };
        begun
            .take(count)
            .map(move |start| start..=start.saturating_add(run).min(last))
    }
}

impl fmt::Display for PortSet {
    /// `5000`, `1024-1279`, or `1024-1535/64`: 16 ports of each 64 of these.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first,
            last,
            stride,
        } = self;
        if first == last {
            return write!(f, "{first}");
        }
        write!(f, "{first}-{last}")?;
        if u32::from(*stride) == RUN {
            return Ok(());
        }
        write!(f, "/{stride}")
    }
}

impl Translator {
    /// The next record; none where [`Capacity::log`](crate::Capacity::log) is zero.
    pub fn next_log(&mut self) -> Option<LogRecord> {
        self.log.pop()
    }

    pub(crate) fn log_block(
        &mut self,
        what: Logged,
        pool: u16,
        inside: u32,
        numbers: &core::ops::Range<u32>,
        now: u32,
    ) {
        if self.log.limit() > 0 {
            let ports = PortSet::block(&self.slices, numbers);
            self.push_log(what, pool, inside, None, ports, now);
        }
    }

    pub(crate) fn log_port(
        &mut self,
        what: Logged,
        pool: u16,
        protocol: Protocol,
        inside: Endpoint,
        port: u16,
        now: u32,
    ) {
        if self.log.limit() > 0 {
            let ports = PortSet::one(port);
            self.push_log(what, pool, inside.address, Some(protocol), ports, now);
        }
    }

    #[cold]
    fn push_log(
        &mut self,
        what: Logged,
        pool: u16,
        inside: u32,
        protocol: Option<Protocol>,
        ports: PortSet,
        now: u32,
    ) {
        let Some(pool) = self.pools.get(pool) else {
            return;
        };
        self.log.push(LogRecord {
            second: now,
            what,
            router: pool.router,
            subscriber: SubscriberIndex(pool.subscriber),
            inside: Ipv4Addr::from_bits(inside),
            outside: Ipv4Addr::from_bits(pool.address),
            protocol,
            ports,
        });
    }
}

#[cfg(test)]
mod tests {
    use vtepd_wire::hash::KeyedHash;

    use super::*;

    #[test]
    fn a_set_is_its_workers_ports_and_no_others() {
        for workers in [1, 2, 7] {
            let hash = KeyedHash::new(1, 2);
            let slices = Slices::new(workers - 1, workers, hash).unwrap();
            let numbers = slices.low_ports() + 64..slices.low_ports() + 128;
            let set = PortSet::block(&slices, &numbers);
            let mut ports: Vec<u16> = numbers.map(|number| slices.port(number)).collect();
            ports.sort_unstable();
            let listed: Vec<u16> = set.ranges().flatten().collect();
            assert_eq!(listed, ports);
            let contained = (0..=u16::MAX).filter(|port| set.contains(*port));
            assert_eq!(contained.collect::<Vec<_>>(), ports);
            assert_eq!(set.ranges().count(), if workers == 1 { 1 } else { 4 });
        }
        let text = |first, last, stride| {
            let set = PortSet {
                first,
                last,
                stride,
            };
            set.to_string()
        };
        assert_eq!(text(5000, 5000, 16), "5000");
        assert_eq!(text(1024, 1279, 16), "1024-1279");
        assert_eq!(text(1024, 1231, 64), "1024-1231/64");
        assert_eq!(PortSet::one(7).ranges().collect::<Vec<_>>(), [7..=7]);
        let last = PortSet {
            first: 65_520 - 64,
            last: u16::MAX,
            stride: 64,
        };
        assert_eq!(last.ranges().count(), 2);
    }
}
