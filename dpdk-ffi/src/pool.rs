//! Packet buffers, preallocated: where every mbuf comes from and goes back to.

use std::{ptr::NonNull, sync::Arc};

use crate::{
    Eal, Mbuf, PoolError,
    eal::{PoolPointer, Running},
    error::{Errno, c_string},
    sys,
};

/// Bytes DPDK leaves free before the data of a fresh mbuf; outer headers are written there.
pub const HEADROOM: u16 = sys::SHIM_HEADROOM;

/// What a pool consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// How many; memory is used best by a power of two less one.
    pub mbufs: u32,
    /// How many each registered thread may keep for itself, 0 for none. At most 512 and two thirds
    /// of `mbufs`; threads take and give back up to half as many again at a time.
    pub cache: u32,
    /// Bytes per mbuf, [`HEADROOM`] included. The default holds a frame of 2048 bytes.
    pub data_room: u16,
    /// The NUMA node of the memory, or any.
    pub socket: Option<u32>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            mbufs: 16_383,
            cache: 256,
            data_room: sys::SHIM_DEFAULT_DATA_ROOM,
            socket: None,
        }
    }
}

/// A pool of mbufs. A clone is another handle to the same pool.
///
/// Its memory is kept until DPDK ends, also when the last handle is dropped: an [`Mbuf`] carries no
/// count of its own (that would be a shared cache line written per packet), so it cannot be known
/// cheaply that no thread and no device is about to give one back. Make pools at start, one for
/// each NUMA node.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    pool: NonNull<sys::rte_mempool>,
    mbufs: u32,
    data_room: u16,
    _eal: Arc<Running>,
}

// SAFETY: a mempool of the default kind ("ring_mp_mc") may be used by any number of threads at
// once; caches are per thread.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Pool {
    /// Creates a pool, all its memory at once. Names are unique in the process, and stay taken.
    pub fn create(eal: &Eal, name: &str, config: PoolConfig) -> Result<Self, PoolError> {
        let PoolConfig {
            mbufs,
            cache,
            data_room,
            socket,
        } = config;
        let most = sys::SHIM_POOL_CACHE_MAX.min((u64::from(mbufs) * 2 / 3) as u32);
        if cache > most {
            return Err(PoolError::Cache {
                pool: name.into(),
                cache,
                most,
                mbufs,
            });
        }
        if data_room <= HEADROOM {
            return Err(PoolError::DataRoom {
                pool: name.into(),
                data_room,
                headroom: HEADROOM,
            });
        }
        let c_name = c_string(name).map_err(PoolError::Name)?;
        let socket = socket.map_or(sys::SHIM_SOCKET_ANY, |socket| socket as i32);
        // SAFETY: a NUL-terminated name, copied by DPDK; EAL runs, as `eal` proves.
        let pool = unsafe {
            sys::rte_pktmbuf_pool_create(c_name.as_ptr(), mbufs, cache, 0, data_room, socket)
        };
        let Some(pool) = NonNull::new(pool) else {
            // 128 bytes of struct rte_mbuf and 64 of mempool header stand before each buffer.
            let mib = (u64::from(mbufs) * (u64::from(data_room) + 192)) >> 20;
            return Err(PoolError::Create {
                pool: name.into(),
                mbufs,
                data_room,
                mib,
                reason: Errno::last(),
            });
        };
        eal.0.registry().pools.push((PoolPointer(pool), mbufs));
        Ok(Self(Arc::new(Inner {
            pool,
            mbufs,
            data_room,
            _eal: eal.0.clone(),
        })))
    }

    /// An empty frame of one segment with full [`HEADROOM`], or `None` when the pool is exhausted.
    #[inline]
    pub fn alloc(&self) -> Option<Mbuf> {
        // SAFETY: the pool is alive; what it returns is one mbuf that nobody else holds.
        unsafe {
            let mbuf = sys::shim_pktmbuf_alloc(self.0.pool.as_ptr());
            NonNull::new(mbuf).map(|mbuf| Mbuf::from_raw(mbuf))
        }
    }

    /// How many mbufs are in the pool or in a thread's cache. Exact when nothing is moving; it
    /// walks all caches.
    pub fn available(&self) -> u32 {
        // SAFETY: the pool is alive.
        unsafe { sys::rte_mempool_avail_count(self.as_ptr()) }
    }

    /// How many mbufs are held by this program and its devices (a started port keeps some in
    /// its receive queues). Exact when nothing is moving.
    pub fn in_use(&self) -> u32 {
        self.0.mbufs.saturating_sub(self.available())
    }

    /// How many mbufs there are in all.
    pub fn capacity(&self) -> u32 {
        self.0.mbufs
    }

    /// Bytes per mbuf, [`HEADROOM`] included.
    pub fn data_room(&self) -> u16 {
        self.0.data_room
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::rte_mempool {
        self.0.pool.as_ptr()
    }
}
