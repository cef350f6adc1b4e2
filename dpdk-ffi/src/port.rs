//! An Ethernet port: opened, started, stopped, closed.
//!
//! A [`Port`] is the control side, for one or more control threads. The packets go through its queues, each
//! taken once at a time by [`take_rx_queue`](Port::take_rx_queue) and
//! [`take_tx_queue`](Port::take_tx_queue) and used by one thread. A queue keeps the port open: it is stopped and closed,
//! and its device removed, when the port *and* its queues are dropped, in any order and on any thread.
//!
//! What the virtual devices of DPDK 22.11 can do, as they report it and as the tests saw it: see
//! [`PortInfo`].

use std::{
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Eal, Pool, PortError, PortId, PortInfo, RxQueue, TxQueue,
    eal::{Running, device_of, owned_string, ports_of},
    error::Errno,
    port_info::{self, Capabilities},
    sys,
};

/// How a port is opened. What the device cannot do is left out, and [`PortInfo`] says what it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// How many receive queues; at most what the device has.
    pub rx_queues: u16,
    /// How many transmit queues; at most what the device has.
    pub tx_queues: u16,
    /// Descriptors in each receive queue, rounded to what the device takes.
    pub rx_desc: u16,
    /// Descriptors in each transmit queue, rounded to what the device takes.
    pub tx_desc: u16,
    /// Longest IP packet in bytes (frame without Ethernet header and FCS); the device's own, unless set.
    pub mtu: Option<u16>,
    /// Spread flows over the receive queues, and have the hash in the mbufs.
    pub rss: bool,
    /// Have the device verify checksums on receipt and fill them in on request
    /// ([`Mbuf::set_tx_checksum`](crate::Mbuf::set_tx_checksum)). `net_tap` does that in software, at a cost.
    pub checksums: bool,
    /// Receive frames to any MAC address, as a bridge must.
    pub promiscuous: bool,
    /// Receive frames to any group address.
    pub all_multicast: bool,
}

impl Default for PortConfig {
    fn default() -> Self {
        Self {
            rx_queues: 1,
            tx_queues: 1,
            rx_desc: 1024,
            tx_desc: 1024,
            mtu: None,
            rss: true,
            checksums: false,
            promiscuous: false,
            all_multicast: false,
        }
    }
}

/// State of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether frames can pass.
    pub up: bool,
    /// Megabits per second; `None` when the device does not know.
    pub speed: Option<u32>,
    /// Whether it is full duplex.
    pub full_duplex: bool,
}

/// Totals since the port was started, as the driver counts them.
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

/// A port, open.
pub struct Port(Arc<OpenPort>);

impl Port {
    /// Opens a port with its queues set up and its receive buffers from `pool`; it is not started yet.
    pub fn open(eal: &Eal, id: PortId, config: PortConfig, pool: &Pool) -> Result<Self, PortError> {
        // Held to the end: two may not open the same port, nor may it be detached meanwhile.
        let mut registry = eal.0.registry();
        // SAFETY: any number may be asked for.
        if unsafe { sys::rte_eth_dev_is_valid_port(id.0) } == 0 {
            return Err(PortError::Unknown(id));
        }
        if registry.open_ports.contains(&id.0) {
            return Err(PortError::AlreadyOpen(id));
        }
        let (info, capabilities) = port_info::negotiate(id, &config, pool)?;
        configure(id, &config, &info, &capabilities, pool)?;
        registry.open_ports.insert(id.0);
        let control = Control {
            started: false,
            rx_taken: vec![false; usize::from(info.rx_queues)],
            tx_taken: vec![false; usize::from(info.tx_queues)],
        };
        let port = OpenPort {
            id,
            info,
            control: Mutex::new(control),
            _pool: pool.clone(),
            eal: eal.0.clone(),
        };
        Ok(Self(Arc::new(port)))
    }

    /// Its number, as in [`Mbuf::port`](crate::Mbuf::port).
    pub fn id(&self) -> PortId {
        self.0.id
    }

    /// What the device is and what was granted of the configuration.
    pub fn info(&self) -> &PortInfo {
        &self.0.info
    }

    /// Starts the device. Starting a started port does nothing.
    pub fn start(&self) -> Result<(), PortError> {
        let mut control = self.0.control();
        if !control.started {
            // SAFETY: the port is open and configured, and control calls are serialised by the lock.
            let code = unsafe { sys::rte_eth_dev_start(self.0.id.0) };
            self.0.driver("start it", code)?;
            control.started = true;
        }
        Ok(())
    }

    /// Stops the device. All queues must have been dropped: a driver may free what they use.
    pub fn stop(&self) -> Result<(), PortError> {
        let mut control = self.0.control();
        let taken = control
            .rx_taken
            .iter()
            .chain(&control.tx_taken)
            .filter(|&&taken| taken)
            .count();
        if taken > 0 {
            return Err(PortError::QueuesInUse {
                port: self.0.info.name.clone(),
                taken,
            });
        }
        if control.started {
            // SAFETY: started, and no queue is in use nor can be taken while we hold the lock.
            let code = unsafe { sys::rte_eth_dev_stop(self.0.id.0) };
            self.0.driver("stop it", code)?;
            control.started = false;
        }
        Ok(())
    }

    /// Takes a receive queue of a started port. It can be taken again when it was dropped.
    pub fn take_rx_queue(&self, queue: u16) -> Result<RxQueue, PortError> {
        self.take(queue, "receive", |control| &mut control.rx_taken)?;
        Ok(RxQueue::new(self.0.clone(), queue))
    }

    /// Takes a transmit queue of a started port. It can be taken again when it was dropped.
    pub fn take_tx_queue(&self, queue: u16) -> Result<TxQueue, PortError> {
        self.take(queue, "transmit", |control| &mut control.tx_taken)?;
        Ok(TxQueue::new(self.0.clone(), queue))
    }

    fn take(
        &self,
        queue: u16,
        direction: &'static str,
        taken: impl FnOnce(&mut Control) -> &mut Vec<bool>,
    ) -> Result<(), PortError> {
        let port = || self.0.info.name.clone();
        let mut control = self.0.control();
        if !control.started {
            return Err(PortError::NotStarted(port()));
        }
        let taken = taken(&mut control);
        let count = taken.len() as u16;
        match taken.get_mut(usize::from(queue)) {
            None => Err(PortError::NoSuchQueue {
                port: port(),
                direction,
                queue,
                count,
            }),
            Some(true) => Err(PortError::QueueTaken {
                port: port(),
                direction,
                queue,
            }),
            Some(free) => {
                *free = true;
                Ok(())
            }
        }
    }

    /// Its MAC address.
    pub fn mac(&self) -> Result<[u8; 6], PortError> {
        let _control = self.0.control();
        port_info::mac_of(self.0.id).map_err(|reason| self.0.error("read its MAC address", reason))
    }

    /// Gives it another MAC address.
    pub fn set_mac(&self, mac: [u8; 6]) -> Result<(), PortError> {
        let mut address = sys::rte_ether_addr { addr_bytes: mac };
        let _control = self.0.control();
        // SAFETY: the port is open, and the address outlives the call.
        let code = unsafe { sys::rte_eth_dev_default_mac_addr_set(self.0.id.0, &mut address) };
        self.0.driver("set its MAC address", code)
    }

    /// Longest IP packet it sends and receives, in bytes.
    pub fn mtu(&self) -> Result<u16, PortError> {
        let _control = self.0.control();
        port_info::mtu_of(self.0.id).map_err(|reason| self.0.error("read its MTU", reason))
    }

    /// Sets the MTU within [`PortInfo::mtu`]. Some drivers take it only while the port is stopped.
    pub fn set_mtu(&self, mtu: u16) -> Result<(), PortError> {
        self.0.info.check_mtu(mtu)?;
        let _control = self.0.control();
        // SAFETY: the port is open, and control calls are serialised by the lock.
        self.0.driver(&format!("set its MTU to {mtu}"), unsafe {
            sys::rte_eth_dev_set_mtu(self.0.id.0, mtu)
        })
    }

    /// State of the link now, without waiting for a negotiation to end.
    pub fn link(&self) -> Result<Link, PortError> {
        let mut link = sys::shim_link::default();
        let _control = self.0.control();
        // SAFETY: the port is open, and the place for the answer is alive.
        self.0.driver("read its link state", unsafe {
            sys::shim_link_get(self.0.id.0, &mut link)
        })?;
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
        self.0.driver("read its counters", unsafe {
            sys::rte_eth_stats_get(self.0.id.0, &mut stats)
        })?;
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
        let action = "read its extended counters";
        // SAFETY: asks for the count.
        let count = unsafe { sys::rte_eth_xstats_get_names(id, ptr::null_mut(), 0) };
        self.0.driver(action, count)?;
        let count = count as usize;
        let mut names = vec![sys::rte_eth_xstat_name::default(); count];
        let mut values = vec![sys::rte_eth_xstat::default(); count];
        // SAFETY: both arrays have `count` elements; the calls write at most that many.
        let (named, counted) = unsafe {
            (
                sys::rte_eth_xstats_get_names(id, names.as_mut_ptr(), count as u32),
                sys::rte_eth_xstats_get(id, values.as_mut_ptr(), count as u32),
            )
        };
        self.0.driver(action, named)?;
        self.0.driver(action, counted)?;
        values.truncate((counted as usize).min(count));
        let named = |value: &sys::rte_eth_xstat| {
            let name = names.get(value.id as usize)?;
            // SAFETY: the driver ends the name by a NUL within its array.
            Some((unsafe { owned_string(name.name.as_ptr()) }, value.value))
        };
        Ok(values.iter().filter_map(named).collect())
    }
}

/// A port, for itself and its queues.
pub(crate) struct OpenPort {
    pub(crate) id: PortId,
    pub(crate) info: PortInfo,
    control: Mutex<Control>,
    /// The receive queues hold mbufs of it.
    _pool: Pool,
    eal: Arc<Running>,
}

/// What control calls change; its lock serialises them, as ethdev requires for each port.
struct Control {
    started: bool,
    rx_taken: Vec<bool>,
    tx_taken: Vec<bool>,
}

impl OpenPort {
    fn control(&self) -> MutexGuard<'_, Control> {
        // Its values change one at a time, so a panic cannot leave them inconsistent.
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn give_back_rx(&self, queue: u16) {
        if let Some(taken) = self.control().rx_taken.get_mut(usize::from(queue)) {
            *taken = false;
        }
    }

    pub(crate) fn give_back_tx(&self, queue: u16) {
        if let Some(taken) = self.control().tx_taken.get_mut(usize::from(queue)) {
            *taken = false;
        }
    }

    fn error(&self, action: &str, reason: Errno) -> PortError {
        PortError::Driver {
            port: self.info.name.clone(),
            action: action.into(),
            reason,
        }
    }

    fn driver(&self, action: &str, code: i32) -> Result<(), PortError> {
        Errno::check(code).map_err(|reason| self.error(action, reason))
    }
}

impl Drop for OpenPort {
    /// Stops and closes the port and removes its device, which frees the mbufs in its queues.
    fn drop(&mut self) {
        let started = self
            .control
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .started;
        let mut registry = self.eal.registry();
        let device = device_of(self.id);
        // SAFETY: neither the port nor a queue is left, so nobody polls. What fails is lost anyway.
        unsafe {
            if started {
                sys::rte_eth_dev_stop(self.id.0);
            }
            sys::rte_eth_dev_close(self.id.0);
        }
        registry.open_ports.remove(&self.id.0);
        if let Ok(device) = device
            && ports_of(device).is_empty()
        {
            // SAFETY: the device lives until it is removed, which happens under the registry lock.
            unsafe { sys::rte_dev_remove(device.as_ptr()) };
        }
    }
}

/// Everything between the negotiation and the start.
fn configure(
    id: PortId,
    config: &PortConfig,
    info: &PortInfo,
    capabilities: &Capabilities,
    pool: &Pool,
) -> Result<(), PortError> {
    let driver = |action: String, code: i32| {
        Errno::check(code).map_err(|reason| PortError::Driver {
            port: info.name.clone(),
            action,
            reason,
        })
    };
    let mut conf = sys::rte_eth_conf::default();
    conf.rxmode.mtu = config.mtu.unwrap_or(0).into();
    conf.rxmode.offloads = capabilities.rx_offloads;
    conf.txmode.offloads = capabilities.tx_offloads;
    conf.rxmode.mq_mode = if info.rss {
        sys::SHIM_MQ_RX_RSS
    } else {
        sys::SHIM_MQ_RX_NONE
    };
    conf.rx_adv_conf.rss_conf.rss_hf = capabilities.rss_fields;
    // SAFETY: the port exists, is nobody's yet, and the configuration outlives the call.
    let code = unsafe { sys::rte_eth_dev_configure(id.0, info.rx_queues, info.tx_queues, &conf) };
    driver(
        format!(
            "configure {} receive and {} transmit queues",
            info.rx_queues, info.tx_queues
        ),
        code,
    )?;

    // Null for the queue configuration: the driver's defaults, and the offloads set above.
    let socket = info.socket.unwrap_or(sys::SHIM_SOCKET_ANY as u32);
    for queue in 0..info.rx_queues {
        // SAFETY: the port is configured with that many queues; the pool is kept with the port.
        let code = unsafe {
            sys::rte_eth_rx_queue_setup(
                id.0,
                queue,
                info.rx_desc,
                socket,
                ptr::null(),
                pool.as_ptr(),
            )
        };
        driver(
            format!(
                "set up receive queue {queue} with {} descriptors",
                info.rx_desc
            ),
            code,
        )?;
    }
    for queue in 0..info.tx_queues {
        // SAFETY: as above.
        let code =
            unsafe { sys::rte_eth_tx_queue_setup(id.0, queue, info.tx_desc, socket, ptr::null()) };
        driver(
            format!(
                "set up transmit queue {queue} with {} descriptors",
                info.tx_desc
            ),
            code,
        )?;
    }

    if let Some(mtu) = config.mtu {
        // SAFETY: the port is configured.
        let code = unsafe { sys::rte_eth_dev_set_mtu(id.0, mtu) };
        // A driver without the call has nothing to set: any frame passes.
        if code != -libc::ENOTSUP {
            driver(format!("set its MTU to {mtu}"), code)?;
        }
    }
    // A driver without these modes receives everything.
    let unless_unsupported = |code: i32| if code == -libc::ENOTSUP { 0 } else { code };
    if config.promiscuous {
        // SAFETY: the port is configured.
        let code = unsafe { sys::rte_eth_promiscuous_enable(id.0) };
        driver("make it promiscuous".into(), unless_unsupported(code))?;
    }
    if config.all_multicast {
        // SAFETY: the port is configured.
        let code = unsafe { sys::rte_eth_allmulticast_enable(id.0) };
        driver("receive all multicast".into(), unless_unsupported(code))?;
    }
    Ok(())
}
