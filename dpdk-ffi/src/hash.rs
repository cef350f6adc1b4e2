//! DPDK's hash table (`rte_hash`) of 64-bit keys and values, as a yardstick for tables
//! of our own. The daemon does without it.
//!
//! It is made with lock-free readers (`RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF`), as a
//! table that workers read while it changes would have to be, and with DPDK's default
//! hash function, an unkeyed CRC32C where the CPU has one.

use std::{
    ffi::{c_int, c_void},
    ptr::{self, NonNull},
    sync::Arc,
};

use crate::{
    Eal,
    eal::Running,
    error::{Errno, c_string},
    sys,
};

/// The most keys of one [`Hash::find_bulk`].
pub const BULK: usize = sys::SHIM_HASH_BULK as usize;

/// Creating or filling a [`Hash`].
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// DPDK refused: no memory (`ENOMEM`), no entries or too many (`EINVAL`), or the name is
    /// taken (`EEXIST`).
    #[error("cannot create hash table `{table}` of {entries} entries: {reason}")]
    Create {
        /// Name of the table.
        table: String,
        /// What was asked for.
        entries: u32,
        /// What `rte_errno` said.
        reason: Errno,
    },
    /// The name cannot be given to DPDK.
    #[error("hash table name `{0:?}` contains a NUL byte")]
    Name(String),
    /// There is no place for another key.
    #[error("the hash table is full: {0}")]
    Full(Errno),
}

/// A hash table from `u64` to `u64`.
pub struct Hash {
    table: NonNull<sys::rte_hash>,
    _eal: Arc<Running>,
}

// SAFETY: the table is memory of DPDK's heap without ties to a thread; changes need `&mut`.
unsafe impl Send for Hash {}
// SAFETY: look-ups write nothing, and there is no change beside them as changes need `&mut`.
unsafe impl Sync for Hash {}

impl Hash {
    /// Makes a table with room for `entries`, out of DPDK's memory: about 40 bytes each. The
    /// name is unique among the tables that are alive.
    ///
    /// # Errors
    /// DPDK refuses.
    pub fn create(eal: &Eal, name: &str, entries: u32) -> Result<Self, HashError> {
        let c_name = c_string(name).map_err(HashError::Name)?;
        let parameters = sys::rte_hash_parameters {
            name: c_name.as_ptr(),
            entries,
            key_len: size_of::<u64>() as u32,
            socket_id: sys::SHIM_SOCKET_ANY,
            extra_flag: sys::SHIM_HASH_LOCK_FREE,
            ..Default::default()
        };
        // SAFETY: a whole structure whose name is NUL-terminated and copied by DPDK; EAL runs, as
        // `eal` proves.
        let table = unsafe { sys::rte_hash_create(&raw const parameters) };
        let Some(table) = NonNull::new(table) else {
            return Err(HashError::Create {
                table: name.into(),
                entries,
                reason: Errno::last(),
            });
        };
        Ok(Self {
            table,
            _eal: eal.0.clone(),
        })
    }

    /// Adds or replaces an entry.
    ///
    /// # Errors
    /// The table is full; the entries are as before.
    pub fn insert(&mut self, key: u64, value: u64) -> Result<(), HashError> {
        // The value is kept as the pointer it is for DPDK, and never followed.
        let value = ptr::without_provenance_mut::<c_void>(value as usize);
        // SAFETY: the key is read for its `key_len`, 8 bytes, and copied.
        let code = unsafe {
            sys::rte_hash_add_key_data(self.table.as_ptr(), (&raw const key).cast(), value)
        };
        Errno::check(code).map_err(HashError::Full)
    }

    /// Removes an entry. Whether it was there.
    pub fn remove(&mut self, key: u64) -> bool {
        let table = self.table.as_ptr();
        // SAFETY: the key is read for its `key_len`, 8 bytes. The position it had is freed at
        // once, which is allowed as nobody reads: we have `&mut`.
        unsafe {
            let position = sys::rte_hash_del_key(table, (&raw const key).cast());
            position >= 0 && sys::rte_hash_free_key_with_position(table, position) == 0
        }
    }

    /// Looks up to [`BULK`] keys up, with prefetching. Returns a mask with a bit for each that is
    /// there, the first key's being the lowest; its value stands at the same place in `values`,
    /// of which the others are not touched.
    ///
    /// # Panics
    /// There are no keys, more than [`BULK`], or more keys than room for values.
    #[inline]
    pub fn find_bulk(&self, keys: &[u64], values: &mut [u64; BULK]) -> u64 {
        const { assert!(size_of::<u64>() == size_of::<*mut c_void>()) };
        assert!(!keys.is_empty() && keys.len() <= BULK, "1 to {BULK} keys");
        let mut pointers = [ptr::null::<c_void>(); BULK];
        for (pointer, key) in pointers.iter_mut().zip(keys) {
            *pointer = ptr::from_ref(key).cast();
        }
        let mut mask = 0;
        // SAFETY: as many pointers to keys of 8 bytes as the count says; `values` has room for as
        // many pointers, which are as large as they are.
        let code: c_int = unsafe {
            sys::rte_hash_lookup_bulk_data(
                self.table.as_ptr(),
                pointers.as_mut_ptr(),
                keys.len() as u32,
                &raw mut mask,
                values.as_mut_ptr().cast(),
            )
        };
        if code > 0 { mask } else { 0 }
    }
}

impl Drop for Hash {
    fn drop(&mut self) {
        // SAFETY: nobody else refers to it.
        unsafe { sys::rte_hash_free(self.table.as_ptr()) };
    }
}
