//! A lock-free queue of frames from one thread to one other.

use std::{ptr::NonNull, sync::Arc};

use crate::{
    Burst, Eal, RingError, Sent,
    eal::Running,
    error::{Errno, c_string},
    sys,
};

/// Makes a ring that holds exactly `size` frames. The name is unique among the rings that are
/// alive. What is inside when both ends are gone is freed.
pub fn ring(eal: &Eal, name: &str, size: u32) -> Result<(RingProducer, RingConsumer), RingError> {
    let c_name = c_string(name).map_err(RingError::Name)?;
    // SAFETY: a NUL-terminated name, copied by DPDK; EAL runs, as `eal` proves.
    let ring = unsafe {
        sys::rte_ring_create(
            c_name.as_ptr(),
            size,
            sys::SHIM_SOCKET_ANY,
            sys::SHIM_RING_SP_SC_EXACT,
        )
    };
    let Some(ring) = NonNull::new(ring) else {
        return Err(RingError::Create {
            ring: name.into(),
            size,
            reason: Errno::last(),
        });
    };
    let ring = Arc::new(Ring {
        ring,
        _eal: eal.0.clone(),
    });
    Ok((RingProducer(ring.clone()), RingConsumer(ring)))
}

struct Ring {
    ring: NonNull<sys::rte_ring>,
    _eal: Arc<Running>,
}

// SAFETY: one thread may enqueue while one dequeues; `&mut` of the only producer and the only
// consumer keeps it to that.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    fn len(&self) -> usize {
        // SAFETY: the ring is alive; reading its indices is allowed to anyone.
        unsafe { sys::shim_ring_count(self.ring.as_ptr()) as usize }
    }

    /// # Safety
    /// The caller is the only consumer.
    #[inline]
    unsafe fn dequeue(&self, burst: &mut Burst) -> usize {
        // SAFETY: there is room for that many; the ring holds chains that were enqueued by a
        // producer, which gave them away.
        unsafe {
            let count = sys::shim_ring_dequeue(
                self.ring.as_ptr(),
                burst.spare().cast(),
                burst.room() as u32,
            );
            burst.grow(count as usize);
            count as usize
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let mut burst = Burst::new();
        // SAFETY: both ends are gone, so we are the only consumer.
        while unsafe { self.dequeue(&mut burst) } > 0 {
            burst.clear();
        }
        // SAFETY: nobody refers to the ring any more, and it is empty.
        unsafe { sys::rte_ring_free(self.ring.as_ptr()) };
    }
}

/// The end of a ring that frames go into.
pub struct RingProducer(Arc<Ring>);

impl RingProducer {
    /// Moves frames from the front of `burst` into the ring, as many as fit; the rest stays.
    #[inline]
    pub fn enqueue(&mut self, burst: &mut Burst) -> usize {
        // SAFETY: the burst's frames are chains we own; those that went in are forgotten here. We
        // are the only producer.
        let count = unsafe {
            sys::shim_ring_enqueue(
                self.0.ring.as_ptr(),
                burst.as_raw().cast(),
                burst.len() as u32,
            )
        };
        burst.forget_front(count as usize);
        count as usize
    }

    /// Moves all of `burst` into the ring, and frees what does not fit.
    #[inline]
    pub fn enqueue_or_free(&mut self, burst: &mut Burst) -> Sent {
        let sent = self.enqueue(burst);
        let dropped = burst.len();
        burst.clear();
        Sent { sent, dropped }
    }

    /// How many frames are inside; it may have changed on return.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is inside; it may have changed on return.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The end of a ring that frames come out of, in order.
pub struct RingConsumer(Arc<Ring>);

impl RingConsumer {
    /// Appends frames to `burst`, as many as there are and it has room for.
    #[inline]
    pub fn dequeue(&mut self, burst: &mut Burst) -> usize {
        // SAFETY: we are the only consumer.
        unsafe { self.0.dequeue(burst) }
    }

    /// How many frames are inside; it may have changed on return.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is inside; it may have changed on return.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
