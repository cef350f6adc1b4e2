//! What DPDK refuses, in words: one enum for each thing that can be asked of it.

use std::{
    ffi::{CStr, NulError, c_int},
    fmt,
};

use crate::{log, sys};

/// A number of `errno.h` or `rte_errno.h`, shown with DPDK's text for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// `ENODEV`.
    pub(crate) const NO_DEVICE: Self = Self(libc::ENODEV);

    /// The calling thread's `rte_errno`, left by the call before.
    pub(crate) fn last() -> Self {
        // SAFETY: reads a thread-local integer.
        Self(unsafe { sys::shim_errno() })
    }

    /// `Ok` for zero and above, as most of ethdev returns.
    pub(crate) fn check(code: c_int) -> Result<(), Self> {
        if code < 0 {
            Err(Self(code.saturating_abs()))
        } else {
            Ok(())
        }
    }

    /// The positive number, as in `errno.h`.
    pub fn code(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: returns a string that is static or in a buffer of this thread, never null, and
        // is copied out before this thread can ask again.
        let text = unsafe { CStr::from_ptr(sys::rte_strerror(self.0)) };
        write!(f, "{} (errno {})", text.to_string_lossy(), self.0)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errno {}

/// Why DPDK or a driver refused: its number, and what it logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    errno: Errno,
    said: Vec<String>,
}

impl Reason {
    /// Makes a call that returns zero or above, or a negative error, and keeps what is logged
    /// meanwhile in case of an error.
    pub(crate) fn check(call: impl FnOnce() -> c_int) -> Result<(), Self> {
        let (code, said) = log::listen(call);
        Errno::check(code).map_err(|errno| Self { errno, said })
    }

    pub(crate) fn new(errno: Errno, said: Vec<String>) -> Self {
        Self { errno, said }
    }

    /// The number. Some drivers return 1 (`EPERM`) for any error.
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// The lines that were logged as errors, when [`LogLevel`](crate::LogLevel) lets them pass.
    pub fn said(&self) -> &[String] {
        &self.said
    }
}

impl From<Errno> for Reason {
    fn from(errno: Errno) -> Self {
        Self {
            errno,
            said: Vec::new(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.said.join("; ");
        match (self.errno.0, said.is_empty()) {
            // -1 is not a number of errno.h when the log has the reason.
            (libc::EPERM, false) => write!(f, "DPDK says: {said}"),
            (_, false) => write!(f, "{}; DPDK says: {said}", self.errno),
            (_, true) => write!(f, "{}", self.errno),
        }
    }
}

/// Starting DPDK, or attaching devices and threads to it.
#[derive(Debug, thiserror::Error)]
pub enum EalError {
    /// DPDK cannot be started again in one process, not even after it ended or failed.
    #[error("DPDK was already started in this process; it can be started once only")]
    AlreadyStarted,
    /// `rte_eal_init` failed; DPDK's log has the details.
    #[error("DPDK did not start with arguments `{arguments}`: {reason}{hint}")]
    Init {
        /// The whole EAL command line.
        arguments: String,
        /// What `rte_errno` said.
        reason: Reason,
        /// What to do about it, when huge pages may be what is missing.
        hint: &'static str,
    },
    /// No core to run on could be found.
    #[error("cannot read which cores this process may use: {0}")]
    Affinity(std::io::Error),
    /// The main core is not one the process can be pinned to.
    #[error(
        "cannot pin DPDK's threads to core {core}: {reason}; is it online and in this process's cpuset?"
    )]
    MainCore {
        /// The core that was asked for.
        core: u32,
        /// What the kernel said.
        reason: std::io::Error,
    },
    /// The thread that starts DPDK could not be made.
    #[error("cannot start the thread that initialises DPDK: {0}")]
    Thread(std::io::Error),
    /// The log hook could not be installed.
    #[error("cannot redirect DPDK's log")]
    Log,
    /// A device string, name or address holds a NUL byte.
    #[error("`{0:?}` contains a NUL byte")]
    Text(String),
    /// The device could not be probed.
    #[error(
        "cannot attach device `{devargs}`: {reason}; check its name, its arguments and the rights it needs"
    )]
    Attach {
        /// The device string as given.
        devargs: String,
        /// What the bus or driver said.
        reason: Reason,
    },
    /// The device, or another of its name, is there.
    #[error(
        "device `{devargs}` is attached already, as {port}; detach that, or choose another name"
    )]
    AlreadyAttached {
        /// The device string as given.
        devargs: String,
        /// The port it is.
        port: crate::PortId,
    },
    /// The device was probed but no network device came of it.
    #[error(
        "device `{devargs}` brought no Ethernet port; is it a network device, and not attached already?"
    )]
    NoPort {
        /// The device string as given.
        devargs: String,
    },
    /// The device is in use by an open [`Port`](crate::Port).
    #[error("{port} is open: drop it, and its queues, to detach its device")]
    PortOpen {
        /// The port that is open.
        port: crate::PortId,
    },
    /// The device could not be removed.
    #[error("cannot detach the device of {port}: {reason}")]
    Detach {
        /// The port as given.
        port: crate::PortId,
        /// What the bus or driver said.
        reason: Reason,
    },
    /// The calling thread holds a [`WorkerThread`](crate::WorkerThread) already.
    #[error("this thread is registered with DPDK already")]
    AlreadyRegistered,
    /// No logical core is left.
    #[error("cannot register this thread with DPDK: {0}; every logical core of DPDK is taken")]
    Register(Errno),
}

/// Creating a [`Pool`](crate::Pool).
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The cache is larger than DPDK or the pool can bear.
    #[error(
        "pool `{pool}`: a cache of {cache} mbufs per thread is too large; at most {most} with {mbufs} mbufs in all"
    )]
    Cache {
        /// Name of the pool.
        pool: String,
        /// What was asked for.
        cache: u32,
        /// The largest cache this pool can have.
        most: u32,
        /// The pool's size.
        mbufs: u32,
    },
    /// The data room does not even hold the headroom.
    #[error(
        "pool `{pool}`: a data room of {data_room} bytes leaves nothing after the headroom of {headroom} bytes"
    )]
    DataRoom {
        /// Name of the pool.
        pool: String,
        /// What was asked for.
        data_room: u16,
        /// DPDK's headroom.
        headroom: u16,
    },
    /// DPDK refused: no memory (`ENOMEM`), or the name is taken (`EEXIST`).
    #[error(
        "cannot create pool `{pool}` of {mbufs} mbufs with {data_room} bytes each ({mib} MiB): {reason}; \
         is the name unused, and does DPDK have that much memory?"
    )]
    Create {
        /// Name of the pool.
        pool: String,
        /// What was asked for.
        mbufs: u32,
        /// What was asked for.
        data_room: u16,
        /// About how much memory that is.
        mib: u64,
        /// What `rte_errno` said.
        reason: Errno,
    },
    /// The name cannot be given to DPDK.
    #[error("pool name `{0:?}` contains a NUL byte")]
    Name(String),
}

/// Creating a ring.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// DPDK refused: no memory (`ENOMEM`), too large (`EINVAL`), or the name is taken (`EEXIST`).
    #[error("cannot create ring `{ring}` of {size} mbufs: {reason}")]
    Create {
        /// Name of the ring.
        ring: String,
        /// What was asked for.
        size: u32,
        /// What `rte_errno` said.
        reason: Errno,
    },
    /// The name cannot be given to DPDK.
    #[error("ring name `{0:?}` contains a NUL byte")]
    Name(String),
}

/// Opening and controlling a [`Port`](crate::Port).
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Its device is gone or was never attached.
    #[error("{0} does not exist: attach its device first")]
    Unknown(crate::PortId),
    /// Someone holds it, or one of its queues.
    #[error("{0} is open already")]
    AlreadyOpen(crate::PortId),
    /// A port without queues cannot be opened.
    #[error(
        "port `{port}`: asked for {rx} receive and {tx} transmit queues; each must be at least 1"
    )]
    NoQueues {
        /// Name of the port.
        port: String,
        /// What was asked for.
        rx: u16,
        /// What was asked for.
        tx: u16,
    },
    /// The device has another range.
    #[error(
        "port `{port}`: an MTU of {mtu} is outside what its driver {driver} takes, {least} to {most}"
    )]
    Mtu {
        /// Name of the port.
        port: String,
        /// Its driver.
        driver: String,
        /// What was asked for.
        mtu: u16,
        /// The device's least MTU.
        least: u16,
        /// The device's greatest MTU.
        most: u16,
    },
    /// The driver or the kernel said no.
    #[error("port `{port}`: cannot {action}: {reason}")]
    Driver {
        /// Name of the port.
        port: String,
        /// What was tried, as in "cannot ...".
        action: String,
        /// What the driver said.
        reason: Reason,
    },
    /// The queue does not exist; the device may have granted fewer than were asked for.
    #[error("port `{port}`: there is no {direction} queue {queue}, only {count}")]
    NoSuchQueue {
        /// Name of the port.
        port: String,
        /// "receive" or "transmit".
        direction: &'static str,
        /// What was asked for.
        queue: u16,
        /// How many there are.
        count: u16,
    },
    /// Each queue is owned by one thread at a time.
    #[error("port `{port}`: {direction} queue {queue} is taken already")]
    QueueTaken {
        /// Name of the port.
        port: String,
        /// "receive" or "transmit".
        direction: &'static str,
        /// The queue.
        queue: u16,
    },
    /// A driver may free what its queues use when it stops.
    #[error(
        "port `{port}`: {taken} of its queues are still in use; drop them before it is stopped"
    )]
    QueuesInUse {
        /// Name of the port.
        port: String,
        /// How many queues are out.
        taken: usize,
    },
    /// Queues are handed out by a started port only.
    #[error("port `{0}` is not started")]
    NotStarted(String),
}

/// A C string of `text`, or `text` back when it holds a NUL byte.
pub(crate) fn c_string(text: &str) -> Result<std::ffi::CString, String> {
    std::ffi::CString::new(text).map_err(|_: NulError| text.to_owned())
}
