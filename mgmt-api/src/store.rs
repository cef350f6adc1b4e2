//! The accepted state on disk: one document per resource, each request one atomic batch, synced before the answer.
//!
//! ```text
//!  kind (1 byte) · key      ──▶  the document as JSON, as the API shows it
//!  0 · "schema"             ──▶  the version of this layout
//! ```
//!
//! Documents and not records are kept: they name what they refer to by identifiers, so a store can be read without
//! regard to what handles were when it was written, and a later version reads it by the rules of the API itself.

use std::path::{Path, PathBuf};

use fjall::config::{CompressionPolicy, FilterPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

use crate::refusal::{Code, Refusal};
use crate::resources::{Key, Kind, KindVisitor, each_kind};
use crate::state::{Staged, State, View};

/// The version of the layout. A store of a newer one is refused.
const SCHEMA: u64 = 1;
const SCHEMA_KEY: &[u8] = b"\0schema";
const KEYSPACE: &str = "resources";

/// Changes are kept in memory until they fill this; the journal has them on disk meanwhile.
const MEMTABLE_BYTES: u64 = 8 << 20;
/// The store is read once, at boot, and in order: a cache would only take memory.
const CACHE_BYTES: u64 = 1 << 20;
/// The journal is cut once it has this much, the least the library allows.
const JOURNAL_BYTES: u64 = 64 << 20;
/// The library does not tell when a flush is done; a large one takes a second.
const FLUSH_POLL: std::time::Duration = std::time::Duration::from_millis(5);
/// How often a repair is tried.
const REPAIR_TRIES: u32 = 20;
/// How long to wait between two of them.
const REPAIR_PAUSE: std::time::Duration = match cfg!(test) {
    true => std::time::Duration::from_millis(1),
    false => std::time::Duration::from_millis(500),
};
/// What must stay free so that the store can still tidy up behind itself.
const RESERVE_BYTES: u64 = 16 << 20;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room.
    #[error(
        "no room for the store in {path}: {free} bytes are free and {needed} are needed; nothing was changed"
    )]
    Full {
        /// Where it is.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// Another process has it open.
    #[error("the store in {0} is in use by another process: is another vtepd running on it?")]
    Locked(PathBuf),
    /// It is of a version that this program does not know.
    #[error(
        "the store in {path} has layout {found}, this program knows {SCHEMA}: run the vtepd that wrote it"
    )]
    Version {
        /// Where it is.
        path: PathBuf,
        /// The version found.
        found: String,
    },
    /// It cannot be read back.
    #[error(
        "the store in {path} is damaged ({what}): restore a copy, or move it away and load the state again"
    )]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The disk or file system failed.
    #[error("the store in {path} failed: {source}; nothing was changed")]
    Failed {
        /// Where it is.
        path: PathBuf,
        /// By what.
        source: fjall::Error,
    },
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Full { .. } => Code::DiskFull,
            _ => Code::StoreFailed,
        };
        Self::new(code, error.to_string())
    }
}

/// The store.
pub struct Store {
    path: PathBuf,
    /// `None` after a failure, until it is [repaired](Self::repair).
    open: Option<Open>,
    /// Undoes a batch whose commit failed but which may have reached the disk all the same.
    undo: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The next commit reaches the disk and fails all the same: the worst that can happen.
    #[cfg(test)]
    pub(crate) fails_next: bool,
    /// And nothing can be written after it.
    #[cfg(test)]
    pub(crate) stays_broken: bool,
}

struct Open {
    database: Database,
    resources: Keyspace,
}

/// A request ready to be committed.
pub struct Batch {
    batch: OwnedWriteBatch,
    bytes: u64,
}

impl Store {
    /// Opens the store in a directory, or makes one there.
    ///
    /// # Errors
    /// It cannot be made, is in use, is damaged, or is of another version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let open = Open::new(path)?;
        let store = Self {
            path: path.to_owned(),
            open: Some(open),
            undo: Vec::new(),
            #[cfg(test)]
            fails_next: false,
            #[cfg(test)]
            stays_broken: false,
        };
        store.check_schema()?;
        Ok(store)
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn check_schema(&self) -> Result<(), StoreError> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let failed = |source| failed(&self.path, source);
        match open.resources.get(SCHEMA_KEY).map_err(failed)? {
            Some(found) if *found == SCHEMA.to_be_bytes() => Ok(()),
            Some(found) => {
                let found = <[u8; 8]>::try_from(&*found).map_or_else(
                    |_| "unknown".to_owned(),
                    |found| u64::from_be_bytes(found).to_string(),
                );
                Err(StoreError::Version {
                    path: self.path.clone(),
                    found,
                })
            }
            None if open.resources.is_empty().map_err(failed)? => {
                open.resources
                    .insert(SCHEMA_KEY, SCHEMA.to_be_bytes())
                    .map_err(failed)?;
                open.database.persist(PersistMode::SyncAll).map_err(failed)
            }
            None => Err(self.damaged("it has resources and no layout version")),
        }
    }

    fn damaged(&self, what: impl Into<String>) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            what: what.into(),
        }
    }

    /// Every document of a kind, in the order of the stored keys.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn documents<K: Kind>(
        &self,
    ) -> impl Iterator<Item = Result<(K::Key, K::Spec), StoreError>> {
        let guards = self
            .open
            .iter()
            .flat_map(|open| open.resources.prefix([K::TAG]));
        guards.map(|guard| {
            let (key, value) = guard
                .into_inner()
                .map_err(|source| failed(&self.path, source))?;
            let text = || {
                String::from_utf8_lossy(&value)
                    .chars()
                    .take(200)
                    .collect::<String>()
            };
            let key = K::Key::from_bytes(&key[1..])
                .ok_or_else(|| self.damaged(format!("a key of {} cannot be read", K::NAME)))?;
            let spec = serde_json::from_slice(&value).map_err(|error| {
                self.damaged(format!(
                    "{}/{key} cannot be read: {error} in {}",
                    K::NAME,
                    text()
                ))
            })?;
            Ok((key, spec))
        })
    }

    /// Encodes a request, without writing anything.
    ///
    /// # Errors
    /// There is no room for it, or the store failed before and is not repaired.
    pub fn prepare(&self, base: &State, staged: &Staged) -> Result<Batch, StoreError> {
        let Some(open) = &self.open else {
            return Err(self.damaged("it is not open"));
        };
        let mut batch = open.database.batch();
        let mut bytes = 0;
        encode(
            base.view(),
            View::new(base, Some(staged)),
            staged,
            |key, document| {
                bytes += (key.len() + document.map_or(0, <[u8]>::len)) as u64;
                put(&mut batch, &open.resources, key, document);
            },
        );
        self.check_room(bytes)?;
        Ok(Batch { batch, bytes })
    }

    /// Writes a request whole, and returns when the disk has it.
    ///
    /// # Errors
    /// The disk failed or is full. The request may have reached it all the same: [`repair`](Self::repair) before anyone
    /// is told that it was not made, or a restart could bring it back.
    pub fn commit(
        &mut self,
        batch: Batch,
        base: &State,
        staged: &Staged,
    ) -> Result<(), StoreError> {
        let Batch { batch, bytes } = batch;
        let committed = batch.durability(Some(PersistMode::SyncAll)).commit();
        #[cfg(test)]
        let committed = match std::mem::take(&mut self.fails_next) {
            true => Err(fjall::Error::Poisoned),
            false => committed,
        };
        match committed {
            Ok(()) => {
                self.settle(bytes);
                Ok(())
            }
            Err(source) => {
                self.open = None;
                let mut undo = Vec::new();
                encode(
                    View::new(base, Some(staged)),
                    base.view(),
                    staged,
                    |key, document| {
                        undo.push((key.to_vec(), document.map(<[u8]>::to_vec)));
                    },
                );
                self.undo = undo;
                Err(match &source {
                    fjall::Error::Io(error) if is_full(error) => StoreError::Full {
                        path: self.path.clone(),
                        free: 0,
                        needed: bytes,
                    },
                    _ => failed(&self.path, source),
                })
            }
        }
    }

    /// A batch that is much larger than the part kept in memory stays there whole, and in the journal, until it is
    /// flushed: done here, so that neither memory nor the next boot pays for it.
    fn settle(&self, bytes: u64) {
        let Some(open) = self.open.as_ref().filter(|_| bytes > 2 * MEMTABLE_BYTES) else {
            return;
        };
        let settled = flush(&open.resources).and_then(|()| {
            // The library lets go of what it flushed when it next has something newer to flush: 280 of 450 MiB
            // after a million ports.
            open.resources.insert(SCHEMA_KEY, SCHEMA.to_be_bytes())?;
            open.resources.insert(SCHEMA_KEY, SCHEMA.to_be_bytes())?;
            flush(&open.resources)
        });
        if let Err(error) = settled {
            // The journal has it: the next write will tell if the store is really broken.
            tracing::warn!(%error, "the store could not be tidied up after a large write");
        }
    }

    /// After a failed [`commit`](Self::commit): opens the store again, since the library refuses all writes after a
    /// failure, and undoes on the disk what may have reached it. Tried for ten seconds: a disk may fill up and empty.
    ///
    /// # Errors
    /// It cannot be done. What a restart would find is not known then.
    pub fn repair(&mut self) -> Result<(), StoreError> {
        let mut tries = 1;
        while let Err(error) = self.try_repair() {
            if tries == REPAIR_TRIES {
                return Err(error);
            }
            tracing::warn!(%error, tries, "the store is not repaired yet");
            tries += 1;
            std::thread::sleep(REPAIR_PAUSE);
        }
        Ok(())
    }

    fn try_repair(&mut self) -> Result<(), StoreError> {
        if self.open.is_some() {
            return Ok(());
        }
        #[cfg(test)]
        if self.stays_broken {
            return Err(failed(&self.path, fjall::Error::Poisoned));
        }
        let open = Open::new(&self.path)?;
        let mut batch = open.database.batch();
        for (key, document) in &self.undo {
            put(&mut batch, &open.resources, key, document.as_deref());
        }
        let committed = batch.durability(Some(PersistMode::SyncAll)).commit();
        committed.map_err(|source| failed(&self.path, source))?;
        self.undo = Vec::new();
        self.open = Some(open);
        Ok(())
    }

    /// Looks before writing: a journal that runs into a full disk can only be opened again from the start.
    fn check_room(&self, bytes: u64) -> Result<(), StoreError> {
        // Journal, table, and the merge of tables hold a document at once.
        let needed = bytes * 3 + RESERVE_BYTES;
        let Ok(stat) = rustix::fs::statvfs(&self.path) else {
            return Ok(());
        };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free >= needed {
            return Ok(());
        }
        Err(StoreError::Full {
            path: self.path.clone(),
            free,
            needed,
        })
    }
}

impl Open {
    fn new(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| failed(path, source);
        let database = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(1)
            .open()
            .map_err(failed)?;
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES)
                .data_block_compression_policy(CompressionPolicy::all(fjall::CompressionType::Lz4))
                // Filters serve look-ups of single keys, and there are none.
                .filter_policy(FilterPolicy::disabled())
        };
        let resources = database.keyspace(KEYSPACE, options).map_err(failed)?;
        Ok(Self {
            database,
            resources,
        })
    }
}

/// Writes what is in memory to tables and waits for it, whoever of us and the library's own thread begins it.
fn flush(resources: &Keyspace) -> fjall::Result<()> {
    resources.rotate_memtable_and_wait()?;
    while resources.sealed_memtable_count() > 0 {
        std::thread::sleep(FLUSH_POLL);
    }
    Ok(())
}

fn put(batch: &mut OwnedWriteBatch, resources: &Keyspace, key: &[u8], document: Option<&[u8]>) {
    match document {
        Some(document) => batch.insert(resources, key, document),
        None => batch.remove(resources, key),
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    )
}

fn failed(path: &Path, source: fjall::Error) -> StoreError {
    let path = path.to_owned();
    match source {
        fjall::Error::Locked => StoreError::Locked(path),
        fjall::Error::Io(_) | fjall::Error::Poisoned => StoreError::Failed { path, source },
        damage => StoreError::Damaged {
            path,
            what: damage.to_string(),
        },
    }
}

/// Calls `write` for every stored key that differs between two views of what `staged` touches, with the document
/// after or `None` if it goes.
fn encode(
    before: View<'_>,
    after: View<'_>,
    staged: &Staged,
    write: impl FnMut(&[u8], Option<&[u8]>),
) {
    let mut encode = Encode {
        before,
        after,
        staged,
        write,
        key: Vec::new(),
        document: Vec::new(),
    };
    let Ok(()) = each_kind(&mut encode);
}

struct Encode<'a, W> {
    before: View<'a>,
    after: View<'a>,
    staged: &'a Staged,
    write: W,
    key: Vec<u8>,
    document: Vec<u8>,
}

impl<W: FnMut(&[u8], Option<&[u8]>)> KindVisitor for Encode<'_, W> {
    type Error = std::convert::Infallible;

    fn visit<K: Kind>(&mut self) -> Result<(), Self::Error> {
        let Self {
            before,
            after,
            staged,
            write,
            key,
            document,
        } = self;
        let store_key = |of: &K::Key, key: &mut Vec<u8>| {
            key.clear();
            key.push(K::TAG);
            of.to_bytes(key);
        };
        // Removals first: a name may go and come back with another handle.
        for (handle, _) in K::staged(staged).iter() {
            if after.get(handle).is_none()
                && let Some(old) = before.get(handle)
            {
                store_key(&old.key(*before), key);
                write(key, None);
            }
        }
        for (handle, _) in K::staged(staged).iter() {
            if let Some(new) = after.get(handle) {
                store_key(&new.key(*after), key);
                document.clear();
                let written = serde_json::to_writer(&mut *document, &new.spec(*after));
                written.expect("a document has text keys and plain values");
                write(key, Some(document));
            }
        }
        Ok(())
    }
}
