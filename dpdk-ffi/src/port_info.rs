//! What a device is and can do, and what of a configuration it therefore gets.

use std::{ffi::c_char, fmt, ops::RangeInclusive};

use crate::{Pool, PortConfig, PortError, eal::owned_string, error::Errno, pool::HEADROOM, sys};

/// DPDK's number of a port; only those that exist, or did, are ever made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub(crate) u16);

impl PortId {
    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {}", self.0)
    }
}

/// What is switched on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Frames of several segments can be sent as they are. Without it
    /// [`TxQueue`](crate::TxQueue) makes them one segment first, by copying.
    pub tx_segments: bool,
    /// Received frames may have several segments, for the MTU is larger than an mbuf.
    pub rx_segments: bool,
    /// [`Mbuf::rss_hash`](crate::Mbuf::rss_hash) is there.
    pub rss_hash: bool,
    /// Checksums are verified on receipt.
    pub rx_checksum: bool,
    /// Checksums are filled in on request.
    pub tx_checksum: bool,
}

/// A device and what was granted to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Name of the device: that of a virtual one, or a PCI address.
    pub name: String,
    /// Its driver, as in `net_tap`.
    pub driver: String,
    /// Its MAC address when it was opened.
    pub mac: [u8; 6],
    /// The NUMA node it sits at.
    pub socket: Option<u32>,
    /// Receive queues the device has.
    pub max_rx_queues: u16,
    /// Transmit queues the device has.
    pub max_tx_queues: u16,
    /// Receive queues granted.
    pub rx_queues: u16,
    /// Transmit queues granted.
    pub tx_queues: u16,
    /// Descriptors in each receive queue.
    pub rx_desc: u16,
    /// Descriptors in each transmit queue.
    pub tx_desc: u16,
    /// The MTUs it takes.
    pub mtu: RangeInclusive<u16>,
    /// The kernel's interface behind it, for `net_tap` and `net_af_packet`.
    pub if_index: Option<u32>,
    /// Whether it spreads flows over its receive queues.
    pub rss: bool,
    /// What is switched on.
    pub offloads: Offloads,
}

impl PortInfo {
    pub(crate) fn check_mtu(&self, mtu: u16) -> Result<(), PortError> {
        if self.mtu.contains(&mtu) {
            return Ok(());
        }
        let (port, driver) = (self.name.clone(), self.driver.clone());
        Err(PortError::Mtu {
            port,
            driver,
            mtu,
            least: *self.mtu.start(),
            most: *self.mtu.end(),
        })
    }
}

/// The part of the answer that only DPDK is interested in.
pub(crate) struct Capabilities {
    pub(crate) rx_offloads: u64,
    pub(crate) tx_offloads: u64,
    pub(crate) rss_fields: u64,
}

/// `wanted` if the device has all of it, otherwise nothing.
fn all_or_none(capable: u64, wanted: u64) -> u64 {
    if capable & wanted == wanted {
        wanted
    } else {
        0
    }
}

/// Fits a configuration to a device. Call it under the registry lock.
pub(crate) fn negotiate(
    id: PortId,
    config: &PortConfig,
    pool: &Pool,
) -> Result<(PortInfo, Capabilities), PortError> {
    let mut device = sys::rte_eth_dev_info::default();
    let name = name_of(id);
    let fail = |action: &str| {
        let (port, action) = (name.clone(), action.to_owned());
        move |errno: Errno| PortError::Driver {
            port,
            action,
            reason: errno.into(),
        }
    };
    if config.rx_queues == 0 || config.tx_queues == 0 {
        return Err(PortError::NoQueues {
            port: name,
            rx: config.rx_queues,
            tx: config.tx_queues,
        });
    }
    // SAFETY: fills `device`; an unknown port is an error.
    Errno::check(unsafe { sys::rte_eth_dev_info_get(id.0, &mut device) })
        .map_err(fail("ask what it can do"))?;

    let (mut rx_desc, mut tx_desc) = (config.rx_desc, config.tx_desc);
    // SAFETY: the port exists; both numbers outlive the call.
    Errno::check(unsafe {
        sys::rte_eth_dev_adjust_nb_rx_tx_desc(id.0, &mut rx_desc, &mut tx_desc)
    })
    .map_err(fail("fit its queue lengths"))?;

    let capabilities = choose_offloads(config, &device, pool);
    let rx_on = |offload: u64| capabilities.rx_offloads & offload != 0;
    let tx_on = |offload: u64| capabilities.tx_offloads & offload != 0;
    let info = PortInfo {
        // SAFETY: the driver's name is static, and may be null.
        driver: unsafe { owned_string(device.driver_name) },
        mac: mac_of(id).map_err(fail("read its MAC address"))?,
        // SAFETY: the port exists.
        socket: u32::try_from(unsafe { sys::rte_eth_dev_socket_id(id.0) }).ok(),
        max_rx_queues: device.max_rx_queues,
        max_tx_queues: device.max_tx_queues,
        rx_queues: config.rx_queues.min(device.max_rx_queues),
        tx_queues: config.tx_queues.min(device.max_tx_queues),
        rx_desc,
        tx_desc,
        mtu: device.min_mtu..=max_mtu(&device),
        if_index: (device.if_index != 0).then_some(device.if_index),
        rss: capabilities.rss_fields != 0,
        offloads: Offloads {
            tx_segments: tx_on(sys::SHIM_TX_OFFLOAD_MULTI_SEGS),
            rx_segments: rx_on(sys::SHIM_RX_OFFLOAD_SCATTER),
            rss_hash: rx_on(sys::SHIM_RX_OFFLOAD_RSS_HASH),
            rx_checksum: rx_on(sys::SHIM_RX_OFFLOAD_IPV4_CKSUM),
            tx_checksum: tx_on(sys::SHIM_TX_OFFLOAD_IPV4_CKSUM),
        },
        name,
    };
    if let Some(mtu) = config.mtu {
        info.check_mtu(mtu)?;
    }
    Ok((info, capabilities))
}

fn choose_offloads(
    config: &PortConfig,
    device: &sys::rte_eth_dev_info,
    pool: &Pool,
) -> Capabilities {
    let (rx, tx) = (device.rx_offload_capa, device.tx_offload_capa);
    let mut rx_offloads = 0;
    let mut tx_offloads = 0;
    if config.tx_segments {
        tx_offloads |= tx & sys::SHIM_TX_OFFLOAD_MULTI_SEGS;
    }
    let mut rss_fields = 0;
    if config.rss {
        rss_fields = device.flow_type_rss_offloads
            & (sys::SHIM_RSS_IP | sys::SHIM_RSS_TCP | sys::SHIM_RSS_UDP);
        if rss_fields != 0 {
            rx_offloads |= rx & sys::SHIM_RX_OFFLOAD_RSS_HASH;
        }
    }
    if config.checksums {
        rx_offloads |= all_or_none(
            rx,
            sys::SHIM_RX_OFFLOAD_IPV4_CKSUM
                | sys::SHIM_RX_OFFLOAD_TCP_CKSUM
                | sys::SHIM_RX_OFFLOAD_UDP_CKSUM,
        );
        tx_offloads |= all_or_none(
            tx,
            sys::SHIM_TX_OFFLOAD_IPV4_CKSUM
                | sys::SHIM_TX_OFFLOAD_TCP_CKSUM
                | sys::SHIM_TX_OFFLOAD_UDP_CKSUM,
        );
    }
    const TWO_TAGS: u32 = 8;
    let frame = u32::from(config.mtu.unwrap_or(1500)) + FRAME_OVERHEAD + TWO_TAGS;
    if frame > u32::from(pool.data_room() - HEADROOM) {
        rx_offloads |= rx & sys::SHIM_RX_OFFLOAD_SCATTER;
    }
    Capabilities {
        rx_offloads,
        tx_offloads,
        rss_fields,
    }
}

/// Bytes of a frame that are not MTU: Ethernet header and FCS. What ethdev reckons with, unless a
/// driver states a longest frame and a greatest MTU that say otherwise.
const FRAME_OVERHEAD: u32 = 14 + 4;

/// Drivers that say nothing of their MTU are held to their longest frame by ethdev.
fn max_mtu(device: &sys::rte_eth_dev_info) -> u16 {
    if device.max_mtu != u16::MAX {
        return device.max_mtu;
    }
    let longest = device.max_rx_pktlen.saturating_sub(FRAME_OVERHEAD);
    u16::try_from(longest).unwrap_or(u16::MAX)
}

pub(crate) fn mac_of(id: PortId) -> Result<[u8; 6], Errno> {
    let mut mac = sys::rte_ether_addr::default();
    // SAFETY: fills `mac`; an unknown port is an error.
    Errno::check(unsafe { sys::rte_eth_macaddr_get(id.0, &mut mac) })?;
    Ok(mac.addr_bytes)
}

pub(crate) fn mtu_of(id: PortId) -> Result<u16, Errno> {
    let mut mtu = 0;
    // SAFETY: fills `mtu`; an unknown port is an error.
    Errno::check(unsafe { sys::rte_eth_dev_get_mtu(id.0, &mut mtu) })?;
    Ok(mtu)
}

fn name_of(id: PortId) -> String {
    let mut name = [0 as c_char; sys::SHIM_DEVICE_NAME_MAX];
    // SAFETY: DPDK writes a NUL-terminated name of at most that length, or nothing.
    unsafe {
        sys::rte_eth_dev_get_name_by_port(id.0, name.as_mut_ptr());
        owned_string(name.as_ptr())
    }
}
