//! Safe ownership of DPDK: EAL, pools, mbufs, bursts, ports and rings.
//!
//! The only crate of the workspace that touches DPDK. Device strings and configurations come in;
//! out go queues that fill and empty [`Burst`]s of owned [`Mbuf`]s. Nothing here knows a packet
//! format.
//!
//! ```text
//!  Eal ──attach──▶ PortId ──Port::open──▶ Port ──take_rx_queue──▶ RxQueue ──receive──▶┐
//!   │                          ▲           │                                        Burst of Mbuf ◀─▶ ring
//!   └──Pool::create──▶ Pool ───┘           └────take_tx_queue──▶ TxQueue ◀─transmit──┘
//! ```
//!
//! What holds, by type: an mbuf has one owner and is freed once; a queue is used by one thread at a
//! time and not after its port is closed; bytes that two frames share are not written; DPDK ends
//! after everything made of it. No raw pointer leaves the crate.
//!
//! ```no_run
//! use dpdk_ffi::{Burst, Eal, EalConfig, Memory, Pool, PoolConfig, Port, PortConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let memory = Memory::NoHuge { mb: 128 };
//! let eal = Eal::start(EalConfig { memory, ..EalConfig::default() })?;
//! let pool = Pool::create(&eal, "pool", PoolConfig::default())?;
//! let port = Port::open(&eal, eal.attach("net_ring0")?, PortConfig::default(), &pool)?;
//! port.start()?;
//! let (mut rx, mut tx) = (port.take_rx_queue(0)?, port.take_tx_queue(0)?);
//! let _worker = eal.register_worker()?; // on the thread that polls
//! let mut burst = Burst::new();
//! loop {
//!     rx.receive(&mut burst);
//!     tx.transmit_or_free(&mut burst);
//! }
//! # }
//! ```
//!
//! Built and tested against DPDK 22.11, 24.11 and 25.11 of Debian; `pkg-config` finds it. The tests
//! of `net_tap` and `net_af_packet` need root, and say so when they are skipped.

mod burst;
mod cycles;
mod eal;
mod error;
#[cfg(feature = "hash")]
mod hash;
mod log;
mod mbuf;
mod offload;
mod pool;
mod port;
mod port_info;
mod port_stats;
mod queue;
mod ring;
mod segment;
mod sys;
mod thread;

pub use burst::{Burst, Drain};
pub use cycles::{rdtsc, tsc_hz};
pub use eal::{Eal, EalConfig, Memory};
pub use error::{EalError, Errno, PoolError, PortError, Reason, RingError};
#[cfg(feature = "hash")]
pub use hash::{BULK, Hash, HashError};
pub use log::{LogHook, LogLevel};
pub use mbuf::Mbuf;
pub use offload::{RxChecksum, TxChecksum, TxL4};
pub use pool::{HEADROOM, Pool, PoolConfig};
pub use port::{Port, PortConfig};
pub use port_info::{Offloads, PortId, PortInfo};
pub use port_stats::{Link, PortStats};
pub use queue::{RxQueue, Sent, TxQueue};
pub use ring::{RingConsumer, RingProducer, ring};
pub use thread::WorkerThread;
