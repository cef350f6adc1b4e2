//! An Ethernet port: opened, started, stopped, closed.
//!
//! A [`Port`] is the control side, for one or more control threads. The packets go through its
//! queues, each taken once at a time by [`take_rx_queue`](Port::take_rx_queue) and
//! [`take_tx_queue`](Port::take_tx_queue) and used by one thread. A queue keeps the port open: it
//! is stopped and closed, and its device removed, when the port *and* its queues are dropped, in
//! any order and on any thread.
//!
//! What the virtual devices can do, as DPDK 22.11 reports it and as it was seen on Linux 6.18:
//!
//! | device | queues | several segments | rights | longest frame |
//! |---|---|---|---|---|
//! | `net_null` | 1024 | joined first | none | any |
//! | `net_ring` | 16 | passed on | none | any |
//! | `net_pcap`, a file | 1 for each file | joined first; taken from 25.11 on | none | any |
//! | `net_pcap`, an interface | 1 | as above | `CAP_NET_RAW` | the interface's |
//! | `net_memif` | 255 | yes | none | an mbuf, or several |
//! | `net_vhost` | `queues=` | yes | none | that of the guest |
//! | `net_tap` | 16 | yes | `CAP_NET_ADMIN`, `/dev/net/tun` | MTU + 22 |
//! | `net_af_packet` | `qpairs=` | yes, copied | `CAP_NET_RAW`, and `CAP_NET_ADMIN` for the MTU | `framesz` - 66 |
//!
//! * `net_tap` takes an MTU of at most 1504; from 24.11 on it takes any. A longer frame is not
//!   sent, and neither are those behind it in the burst; a received one that does not fit an mbuf
//!   is dropped.
//! * `net_af_packet` says 1500 whatever the interface's MTU is and refuses more; the interface
//!   decides what passes ([`PortInfo::if_index`]). **A received frame longer than `framesz` - 66
//!   (1982 with the default of 2048) comes cut off, without a sign of it**; one to be sent counts
//!   as sent and as an error. `framesz` - 32 must fit an mbuf. A sender on the same machine needs
//!   its checksum and segmentation offloads off (`ethtool -K`), or such frames come.
//! * `net_af_packet` puts an 802.1Q tag that the kernel took off back into the data.

use std::{
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Eal, Pool, PortError, PortId, PortInfo, RxQueue, TxQueue,
    eal::{Running, device_of, ports_of},
    error::{Errno, Reason},
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
    /// Longest IP packet in bytes (frame without Ethernet header and FCS); the device's own, unless
    /// set.
    pub mtu: Option<u16>,
    /// Spread flows over the receive queues, and have the hash in the mbufs.
    pub rss: bool,
    /// Send frames of several segments as they are, where the device can. Without it they are
    /// joined by copying, and some drivers use a simpler and faster way to transmit.
    pub tx_segments: bool,
    /// Have the device verify checksums on receipt and fill them in on request
    /// ([`Mbuf::set_tx_checksum`](crate::Mbuf::set_tx_checksum)). `net_tap` does that in software,
    /// at a cost.
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
            tx_segments: true,
            checksums: false,
            promiscuous: false,
            all_multicast: false,
        }
    }
}

/// A port, open.
pub struct Port(pub(crate) Arc<OpenPort>);

impl Port {
    /// Opens a port with its queues set up and its receive buffers from `pool`; it is not started
    /// yet.
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
            // SAFETY: the port is open and configured, and control calls are serialised by the
            // lock.
            let call = || unsafe { sys::rte_eth_dev_start(self.0.id.0) };
            self.0.driver("start it", call)?;
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
            let call = || unsafe { sys::rte_eth_dev_stop(self.0.id.0) };
            self.0.driver("stop it", call)?;
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
        let call = || unsafe { sys::rte_eth_dev_default_mac_addr_set(self.0.id.0, &mut address) };
        self.0.driver("set its MAC address", call)
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
        let call = || unsafe { sys::rte_eth_dev_set_mtu(self.0.id.0, mtu) };
        self.0.driver(&format!("set its MTU to {mtu}"), call)
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
pub(crate) struct Control {
    started: bool,
    rx_taken: Vec<bool>,
    tx_taken: Vec<bool>,
}

impl OpenPort {
    pub(crate) fn control(&self) -> MutexGuard<'_, Control> {
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
        let (port, action) = (self.info.name.clone(), action.to_owned());
        PortError::Driver {
            port,
            action,
            reason: reason.into(),
        }
    }

    /// Makes a call that returns a negative error, and says in its error what it was for.
    pub(crate) fn driver(&self, action: &str, call: impl FnOnce() -> i32) -> Result<(), PortError> {
        driver(&self.info.name, action, call)
    }
}

fn driver(port: &str, action: &str, call: impl FnOnce() -> i32) -> Result<(), PortError> {
    Reason::check(call).map_err(|reason| {
        let (port, action) = (port.to_owned(), action.to_owned());
        PortError::Driver {
            port,
            action,
            reason,
        }
    })
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
    let (rx, tx) = (info.rx_queues, info.tx_queues);
    // SAFETY: the port exists, is nobody's yet, and the configuration outlives the call.
    let call = || unsafe { sys::rte_eth_dev_configure(id.0, rx, tx, &conf) };
    driver(
        &info.name,
        &format!("configure {rx} receive and {tx} transmit queues"),
        call,
    )?;
    set_up_queues(id, info, pool)?;
    set_up_modes(id, config, info)
}

fn set_up_queues(id: PortId, info: &PortInfo, pool: &Pool) -> Result<(), PortError> {
    // Null for the queue configuration: the driver's defaults, and the offloads of the port.
    let socket = info.socket.unwrap_or(sys::SHIM_SOCKET_ANY as u32);
    for queue in 0..info.rx_queues {
        let (count, pool) = (info.rx_desc, pool.as_ptr());
        // SAFETY: the port is configured with that many queues; the pool lives until DPDK ends.
        let call = || unsafe {
            sys::rte_eth_rx_queue_setup(id.0, queue, count, socket, ptr::null(), pool)
        };
        let action = format!("set up receive queue {queue} with {count} descriptors");
        driver(&info.name, &action, call)?;
    }
    for queue in 0..info.tx_queues {
        let count = info.tx_desc;
        // SAFETY: as above.
        let call =
            || unsafe { sys::rte_eth_tx_queue_setup(id.0, queue, count, socket, ptr::null()) };
        let action = format!("set up transmit queue {queue} with {count} descriptors");
        driver(&info.name, &action, call)?;
    }
    Ok(())
}

/// A driver that has no call for one of these has nothing to set: it receives everything.
fn set_up_modes(id: PortId, config: &PortConfig, info: &PortInfo) -> Result<(), PortError> {
    let unless_unsupported = |code: i32| if code == -libc::ENOTSUP { 0 } else { code };
    if let Some(mtu) = config.mtu {
        // SAFETY: the port is configured.
        let call = || unless_unsupported(unsafe { sys::rte_eth_dev_set_mtu(id.0, mtu) });
        driver(&info.name, &format!("set its MTU to {mtu}"), call)?;
    }
    if config.promiscuous {
        // SAFETY: the port is configured.
        let call = || unless_unsupported(unsafe { sys::rte_eth_promiscuous_enable(id.0) });
        driver(&info.name, "make it promiscuous", call)?;
    }
    if config.all_multicast {
        // SAFETY: the port is configured.
        let call = || unless_unsupported(unsafe { sys::rte_eth_allmulticast_enable(id.0) });
        driver(&info.name, "receive all multicast", call)?;
    }
    Ok(())
}
