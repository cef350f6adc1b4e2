//! What a port is doing: its link and its counters.

use std::ptr;

use crate::{Port, PortError, eal::owned_string, sys};

/// State of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether frames can pass.
    pub up: bool,
    /// Megabits per second; `None` when the device does not know. Virtual devices make one up.
    pub speed: Option<u32>,
    /// Whether it is full duplex.
    pub full_duplex: bool,
}

/// Totals since the device was attached, as the driver counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames the device dropped since its receive queues were full: we poll too slowly.
    pub rx_missed: u64,
    /// Frames received with an error.
    pub rx_errors: u64,
    /// Frames lost since the pool was exhausted.
    pub rx_no_mbuf: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames that could not be sent.
    pub tx_errors: u64,
}

impl Port {
    /// State of the link now, without waiting for a negotiation to end.
    pub fn link(&self) -> Result<Link, PortError> {
        let mut link = sys::shim_link::default();
        let _control = self.0.control();
        // SAFETY: the port is open, and the place for the answer is alive.
        let call = || unsafe { sys::shim_link_get(self.0.id.0, &mut link) };
        self.0.driver("read its link state", call)?;
        // 0 is "none" and the largest number is "unknown".
        let speed = Some(link.speed_mbps).filter(|&speed| speed != 0 && speed != u32::MAX);
        Ok(Link {
            up: link.up != 0,
            speed,
            full_duplex: link.full_duplex != 0,
        })
    }

    /// The driver's totals.
    pub fn stats(&self) -> Result<PortStats, PortError> {
        let mut stats = sys::rte_eth_stats::default();
        let _control = self.0.control();
        // SAFETY: the port is open, and the place for the answer is alive.
        let call = || unsafe { sys::rte_eth_stats_get(self.0.id.0, &mut stats) };
        self.0.driver("read its counters", call)?;
        Ok(PortStats {
            rx_packets: stats.ipackets,
            rx_bytes: stats.ibytes,
            rx_missed: stats.imissed,
            rx_errors: stats.ierrors,
            rx_no_mbuf: stats.rx_nombuf,
            tx_packets: stats.opackets,
            tx_bytes: stats.obytes,
            tx_errors: stats.oerrors,
        })
    }

    /// Everything the driver counts, by its own names.
    pub fn xstats(&self) -> Result<Vec<(String, u64)>, PortError> {
        let id = self.0.id.0;
        let _control = self.0.control();
        let names = self.all("read the names of its extended counters", |names, room| {
            // SAFETY: the driver writes at most `room` elements.
            unsafe { sys::rte_eth_xstats_get_names(id, names, room) }
        })?;
        let values = self.all("read its extended counters", |values, room| {
            // SAFETY: the driver writes at most `room` elements.
            unsafe { sys::rte_eth_xstats_get(id, values, room) }
        })?;
        let named = |value: &sys::rte_eth_xstat| {
            let name = names.get(value.id as usize)?;
            // SAFETY: the driver ends the name by a NUL within its array.
            Some((unsafe { owned_string(name.name.as_ptr()) }, value.value))
        };
        Ok(values.iter().filter_map(named).collect())
    }

    /// Asks a driver how many there are, then for all of them.
    fn all<T: Clone + Default>(
        &self,
        action: &str,
        ask: impl Fn(*mut T, u32) -> i32,
    ) -> Result<Vec<T>, PortError> {
        let mut count = 0;
        self.0.driver(action, || {
            count = ask(ptr::null_mut(), 0);
            count
        })?;
        let mut all = vec![T::default(); count as usize];
        self.0.driver(action, || {
            count = ask(all.as_mut_ptr(), all.len() as u32);
            count
        })?;
        all.truncate(count as usize);
        Ok(all)
    }
}
