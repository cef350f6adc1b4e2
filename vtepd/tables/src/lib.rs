//! Forwarding tables with one writer and wait-free readers.
//!
//! ```text
//!   control thread                         worker, once per burst
//!   TablesWriter ──edit, publish──► Tables ◄──view── TablesReader
//!        └── synchronize(): every worker forwards by the new state ──┘
//! ```
//!
//! | table | key → value | form |
//! |---|---|---|
//! | [`fdb`] | (network, MAC) → adjacency | hash, in place, grows |
//! | [`neighbour`] | (network, IP) → MAC, adjacency | hash, in place, grows |
//! | [`remote_vteps`] | outer source → adjacency | hash, in place, grows |
//! | [`vni`] | VNI → network | flat array, in place |
//! | [`snapshot`] | interfaces, networks, flood lists, [`adjacency`], VRFs' [`route`]s and [`translation`] rules, [`metadata`] | immutable, replaced whole |
//!
//! What goes in: indices ([`index`]) and entries from the control thread. What
//! comes out: answers for the packets of one burst, borrowed from the reader so
//! that none outlives it. [`rcu`] says when memory may be used again.
//!
//! Of crossbeam this crate uses `CachePadded`; its epochs do not fit, as [`rcu`] explains.

pub mod adjacency;
mod array;
mod bucket;
pub mod fdb;
pub mod index;
pub mod metadata;
pub mod neighbour;
pub mod outer;
mod pages;
pub mod rcu;
pub mod remote_vteps;
pub mod route;
pub mod snapshot;
mod sync;
mod table;
pub mod translation;
pub mod vni;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use vtepd_wire::Vni;
use vtepd_wire::hash::KeyedHash;

pub use adjacency::{
    Adjacency, Gateway, Outside, Port, Role, Tag, Tunnel, TunnelParameters, VtepPair,
};
pub use array::prefetch_at;
pub use fdb::{FdbEntry, FdbHit, FdbKey, FdbRow, FdbView, FdbWriter, HashedFdbKey, Origin};
pub use index::{AdjacencyIndex, InterfaceIndex, NetworkIndex, VrfIndex};
pub use metadata::{Asker, Metadata, Proxy};
pub use neighbour::{HashedNeighbourKey, Neighbour, NeighbourView, NeighbourWriter};
pub use remote_vteps::{RemoteVtepView, RemoteVtepWriter};
pub use snapshot::{
    Access, AllowedPair, Bound, HostMacs, Interface, LocalAddresses, Network, Services, Snapshot,
    TagKey, Underlay,
};
pub use table::{MAX_LOAD_PERCENT, TableFull, Usage};
pub use vni::VniMap;

/// How many entries the tables may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// MACs, static and learned together.
    pub fdb: usize,
    /// IP addresses of one family.
    pub neighbours: usize,
}

/// The tables that workers read.
pub struct Tables {
    domain: Arc<rcu::Domain>,
    fdb: Arc<fdb::Shared>,
    neighbours: neighbour::Shared,
    remote_vteps: remote_vteps::Shared,
    vnis: VniMap,
    snapshot: rcu::RcuCell<Snapshot>,
}

impl Tables {
    /// Empty tables and their one writer. Hash keys are drawn afresh.
    #[allow(
        clippy::new_ret_no_self,
        reason = "the writer is what the caller holds; it hands the tables out"
    )]
    pub fn new(limits: Limits) -> TablesWriter {
        let domain = rcu::Domain::new();
        let hash = random_hash();
        let (fdb, fdb_writer) = FdbWriter::new(&domain, hash, limits.fdb);
        let (neighbours, neighbour_writer) = NeighbourWriter::new(&domain, hash, limits.neighbours);
        let (remote_vteps, remote_vtep_writer) = RemoteVtepWriter::new(&domain, hash);
        let snapshot = rcu::RcuCell::new(&domain, Arc::new(Snapshot::default()));
        let tables = Arc::new(Self {
            domain: Arc::clone(&domain),
            fdb,
            neighbours,
            remote_vteps,
            vnis: VniMap::new(),
            snapshot,
        });
        TablesWriter {
            limbo: rcu::Limbo::new(&domain),
            tables,
            fdb: fdb_writer,
            neighbours: neighbour_writer,
            remote_vteps: remote_vtep_writer,
            staged: Snapshot::default(),
            changed: false,
        }
    }

    /// Registers a worker. `None` when [`rcu::MAX_READERS`] are registered.
    pub fn reader(self: &Arc<Self>) -> Option<TablesReader> {
        Some(TablesReader {
            reader: self.domain.reader()?,
            tables: Arc::clone(self),
        })
    }
}

/// A hash that nobody can predict: the standard library draws keys from the
/// system's random source for its own tables, and these are made from them.
pub fn random_hash() -> KeyedHash {
    let draw = || RandomState::new().hash_one(0);
    KeyedHash::new(draw(), draw())
}

/// A worker's access to the tables.
pub struct TablesReader {
    tables: Arc<Tables>,
    reader: rcu::Reader,
}

impl TablesReader {
    /// The tables for one burst.
    #[inline]
    pub fn view(&self) -> View<'_> {
        let Self { tables, reader } = self;
        View {
            fdb: FdbView::new(&tables.fdb, reader),
            neighbours: NeighbourView::new(&tables.neighbours, reader),
            remote_vteps: RemoteVtepView::new(&tables.remote_vteps, reader),
            vnis: &tables.vnis,
            snapshot: tables.snapshot.read(reader),
        }
    }

    /// Reports that the burst is done. Nothing borrowed from a view is left, as
    /// `&mut` shows.
    #[inline]
    pub fn quiescent(&mut self) {
        self.reader.quiescent();
    }

    /// Before a sleep: the writer no longer waits for this worker.
    pub fn offline(&mut self) {
        self.reader.offline();
    }

    /// After a sleep.
    pub fn online(&mut self) {
        self.reader.online();
    }
}

/// The tables for one burst.
#[derive(Clone, Copy)]
pub struct View<'r> {
    /// (network, MAC) → where it is.
    pub fdb: FdbView<'r>,
    /// (network, IP) → who has it.
    pub neighbours: NeighbourView<'r>,
    /// Outer source → which VTEP that is.
    pub remote_vteps: RemoteVtepView<'r>,
    /// VNI → network.
    pub vnis: &'r VniMap,
    /// Interfaces, networks, ways out.
    pub snapshot: &'r Snapshot,
}

/// The control thread's access to the tables: the only writer.
///
/// The order that keeps packets from seeing a reference to something missing:
/// edit and [`publish`](Self::publish) what is new in the snapshot, then enter
/// VNIs, VTEPs, MACs and neighbours that refer to it; to remove, go the other way
/// with a [`synchronize`](Self::synchronize) between, and only after another one
/// give an index to something else.
pub struct TablesWriter {
    tables: Arc<Tables>,
    /// (network, MAC) → where it is.
    pub fdb: FdbWriter,
    /// (network, IP) → who has it.
    pub neighbours: NeighbourWriter,
    /// Outer source → which VTEP that is.
    pub remote_vteps: RemoteVtepWriter,
    staged: Snapshot,
    changed: bool,
    limbo: rcu::Limbo,
}

impl TablesWriter {
    /// The tables, to register workers with.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// The snapshot as it will be published next.
    pub fn staged(&self) -> &Snapshot {
        &self.staged
    }

    /// The snapshot to edit; nothing is seen before [`publish`](Self::publish).
    pub fn edit(&mut self) -> &mut Snapshot {
        self.changed = true;
        &mut self.staged
    }

    /// Publishes the edited snapshot, if it was edited.
    pub fn publish(&mut self) {
        if std::mem::take(&mut self.changed) {
            self.staged.settle();
            self.tables
                .snapshot
                .replace(Arc::new(self.staged.clone()), &mut self.limbo);
        }
    }

    /// Says which network a VNI stands for.
    pub fn set_vni(&mut self, vni: Vni, network: Option<NetworkIndex>) {
        self.tables.vnis.set(vni, network);
    }

    /// Waits until every worker works with all that was published and entered
    /// before this call, and frees what they have left behind. `false` when a
    /// worker is stuck ([`rcu::PATIENCE`]): what it may look at stays.
    #[must_use = "indices may be used again only when no worker can mean their former owners"]
    pub fn synchronize(&mut self) -> bool {
        let done = self.tables.domain.synchronize();
        self.collect();
        done
    }

    /// Frees what workers have left behind; does not wait. To be called now and
    /// then when nobody calls [`synchronize`](Self::synchronize).
    pub fn collect(&mut self) {
        self.tables.domain.advance();
        self.limbo.collect();
        self.fdb.collect();
        self.neighbours.collect();
        self.remote_vteps.collect();
    }
}
