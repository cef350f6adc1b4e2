//! Threads of ours that DPDK knows, so that pools keep a cache for each.

use std::{cell::Cell, marker::PhantomData, sync::Arc};

use crate::{Eal, EalError, eal::Running, error::Errno, sys};

thread_local! {
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
}

/// The calling thread's place among DPDK's logical cores, given back on drop. It stays on the
/// thread that made it.
pub struct WorkerThread {
    _eal: Arc<Running>,
    _not_send: PhantomData<*const ()>,
}

impl WorkerThread {
    pub(crate) fn register(eal: &Eal) -> Result<Self, EalError> {
        if REGISTERED.get() {
            return Err(EalError::AlreadyRegistered);
        }
        // SAFETY: EAL runs, as `eal` proves, and this thread is not registered yet.
        if unsafe { sys::rte_thread_register() } != 0 {
            return Err(EalError::Register(Errno::last()));
        }
        REGISTERED.set(true);
        Ok(Self {
            _eal: eal.0.clone(),
            _not_send: PhantomData,
        })
    }
}

impl Drop for WorkerThread {
    fn drop(&mut self) {
        // SAFETY: this is the thread that registered: the type cannot leave it.
        unsafe { sys::rte_thread_unregister() };
        REGISTERED.set(false);
    }
}
