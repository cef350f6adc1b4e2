//! Receive and transmit queues: the only way packets come in and go out.
//!
//! A queue belongs to one thread at a time: it is not `Clone`, and polling takes `&mut`. It may be
//! sent to the thread that will use it.

use std::sync::Arc;

use crate::{Burst, PortId, port::OpenPort, sys};

/// What became of a burst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Frames given to the device or ring.
    pub sent: usize,
    /// Frames freed, since there was no room for them or the device cannot send them.
    pub dropped: usize,
}

/// A receive queue of a started port.
pub struct RxQueue {
    port: Arc<OpenPort>,
    port_id: u16,
    queue: u16,
}

impl RxQueue {
    pub(crate) fn new(port: Arc<OpenPort>, queue: u16) -> Self {
        Self {
            port_id: port.id.0,
            port,
            queue,
        }
    }

    /// Appends received frames to `burst`, as many as there are and it has room for, and returns
    /// how many. Best with an empty burst: vector drivers return nothing when asked for fewer than
    /// 4 to 32.
    #[inline]
    pub fn receive(&mut self, burst: &mut Burst) -> usize {
        let room = burst.room() as u16;
        if room == 0 {
            return 0;
        }
        // SAFETY: the port is started as long as a queue of it is out, `&mut self` makes us the
        // queue's only user, and there is room for that many. The driver gives the chains away.
        unsafe {
            let count = sys::shim_rx_burst(self.port_id, self.queue, burst.spare(), room);
            burst.grow(usize::from(count));
            usize::from(count)
        }
    }

    /// The port it belongs to.
    pub fn port_id(&self) -> PortId {
        self.port.id
    }

    /// Its number within the port.
    pub fn index(&self) -> u16 {
        self.queue
    }
}

impl Drop for RxQueue {
    fn drop(&mut self) {
        self.port.give_back_rx(self.queue);
    }
}

/// A transmit queue of a started port.
pub struct TxQueue {
    port: Arc<OpenPort>,
    port_id: u16,
    queue: u16,
    /// The driver takes frames of several segments.
    segments: bool,
    unsendable: u64,
}

impl TxQueue {
    pub(crate) fn new(port: Arc<OpenPort>, queue: u16) -> Self {
        let segments = port.info.offloads.tx_segments;
        Self {
            port_id: port.id.0,
            port,
            queue,
            segments,
            unsendable: 0,
        }
    }

    /// Gives frames from the front of `burst` to the device, as many as it has room for, and
    /// returns how many; the rest stays.
    ///
    /// Do not wait for the rest to go: some drivers stop for good at a frame they cannot send, such
    /// as one longer than the MTU. Frames of several segments that the device cannot take so, and
    /// that cannot be made one segment ([`Mbuf::linearize`](crate::Mbuf::linearize)), are freed and
    /// counted in [`unsendable`](Self::unsendable).
    #[inline]
    pub fn transmit(&mut self, burst: &mut Burst) -> usize {
        if !self.segments {
            self.join_segments(burst);
        }
        if burst.is_empty() {
            return 0;
        }
        // SAFETY: the port is started as long as a queue of it is out, and `&mut self` makes us the
        // queue's only user. The driver owns the chains it took; they are forgotten here.
        let count = unsafe {
            sys::shim_tx_burst(self.port_id, self.queue, burst.as_raw(), burst.len() as u16)
        };
        burst.forget_front(usize::from(count));
        usize::from(count)
    }

    /// Gives all of `burst` to the device, and frees what it has no room for.
    #[inline]
    pub fn transmit_or_free(&mut self, burst: &mut Burst) -> Sent {
        let before = burst.len();
        let sent = self.transmit(burst);
        burst.clear();
        Sent {
            sent,
            dropped: before - sent,
        }
    }

    /// Frames freed so far since the device could not take their segments.
    pub fn unsendable(&self) -> u64 {
        self.unsendable
    }

    /// The port it belongs to.
    pub fn port_id(&self) -> PortId {
        self.port.id
    }

    /// Its number within the port.
    pub fn index(&self) -> u16 {
        self.queue
    }

    fn join_segments(&mut self, burst: &mut Burst) {
        if burst.iter().all(|mbuf| mbuf.segments() == 1) {
            return;
        }
        let mut whole = Burst::new();
        for mut mbuf in burst.drain() {
            if !mbuf.linearize() || whole.push(mbuf).is_err() {
                self.unsendable += 1;
            }
        }
        std::mem::swap(burst, &mut whole);
    }
}

impl Drop for TxQueue {
    fn drop(&mut self) {
        self.port.give_back_tx(self.queue);
    }
}
