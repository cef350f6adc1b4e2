//! What every kind of resource has, and the list of kinds.

use std::borrow::Cow;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::{
    FloatingIp, Host, Interface, NatSettings, Network, Port, Router, RouterRoute, StaticFdb, Tenant,
};
use crate::id::Id;
use crate::refusal::Refusal;
use crate::state::{Claim, Handle, Staged, StagedTable, State, Table, Used, View};

/// What names one resource within its kind, and its text in paths and maps.
pub trait Key:
    Clone + Ord + Hash + Debug + Display + FromStr<Err: Display> + Serialize + Send + Sync + 'static
{
    /// Appends the key as the store keeps it.
    fn to_bytes(&self, bytes: &mut Vec<u8>);

    /// The key that was stored so.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl Key for Id {
    fn to_bytes(&self, bytes: &mut Vec<u8>) {
        self.store(bytes);
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::load(bytes)
    }
}

/// The JSON document of a kind.
pub trait Spec:
    Serialize + DeserializeOwned + ToSchema + Clone + Debug + Send + Sync + 'static
{
    /// The `id` member: shown by reads, optional in writes, where it must then agree with the path.
    fn id(&mut self) -> &mut Option<String>;

    /// Brings into today's ranges what an earlier version took and stored, and says what was changed.
    fn clamp(&mut self) -> Option<String> {
        None
    }
}

/// One kind of resource, seen as its record.
pub trait Kind: Sized + Clone + PartialEq + Debug + Send + Sync + 'static {
    /// The plural, as in paths and members: `networks`.
    const NAME: &'static str;
    /// The byte that begins its keys in the store. Never changes, never 0, never used for two kinds.
    const TAG: u8;
    /// The singular, as in sentences: `network`.
    const SINGULAR: &'static str;
    /// The names of the key's parts in paths.
    const KEY_PARTS: &'static [&'static str] = &["id"];
    /// One sentence on what it is, for the API's document.
    const ABOUT: &'static str;

    /// The parts of the key that its lists stand within, so that `/v1/fdb/blue` lists the entries of `blue`.
    const LISTED_WITHIN: &'static [&'static str] = &[];

    /// What names one.
    type Key: Key;
    /// What the table is ordered by: the key, with a handle for what it stands within. There may be a million.
    type Order: Ord + Hash + Clone + Debug + Send + Sync + 'static;
    /// Its document.
    type Spec: Spec;

    /// Checks the document by itself and resolves its references.
    ///
    /// # Errors
    /// The first field at fault. What concerns several resources is checked when the transaction ends.
    fn resolve(key: &Self::Key, spec: Self::Spec, view: View<'_>) -> Result<Self, Refusal>;

    /// The document again, without `id`.
    fn spec(&self, view: View<'_>) -> Self::Spec;

    /// The key again.
    fn key(&self, view: View<'_>) -> Self::Key;

    /// Where it stands in the order.
    fn order(&self) -> Self::Order;

    /// Where the record of a key stands in the order; `None` if what it stands within does not exist.
    fn order_of<'k>(key: &'k Self::Key, view: View<'_>) -> Option<Cow<'k, Self::Order>>;

    /// The first and the last there can be of those that stand within `used`, if this kind's records stand within such.
    fn within(used: Used) -> Option<(Self::Order, Self::Order)> {
        let _ = used;
        None
    }

    /// Everything this record uses or occupies. `own` is its handle.
    fn claims(&self, own: Handle<Self>, claim: &mut dyn FnMut(Claim));

    /// How references to this record are counted, if there can be any.
    fn as_used(own: Handle<Self>) -> Option<Used> {
        let _ = own;
        None
    }

    /// The table of this kind.
    fn table(state: &State) -> &Table<Self>;
    /// The table of this kind, to change it.
    fn table_mut(state: &mut State) -> &mut Table<Self>;
    /// What a transaction does to this kind.
    fn staged(staged: &Staged) -> &StagedTable<Self>;
    /// What a transaction does to this kind, to change it.
    fn staged_mut(staged: &mut Staged) -> &mut StagedTable<Self>;
}

/// Something to be done for every kind; Rust's way to write a closure over types.
pub trait KindVisitor {
    /// What stops the visit.
    type Error;

    /// Called once per kind.
    ///
    /// # Errors
    /// The visitor's own; the visit ends with it.
    fn visit<K: Kind>(&mut self) -> Result<(), Self::Error>;
}

/// Visits the kinds in the order of their references: no kind refers to a later one.
///
/// # Errors
/// The first error of the visitor.
pub fn each_kind<V: KindVisitor>(visitor: &mut V) -> Result<(), V::Error> {
    visitor.visit::<Interface>()?;
    visitor.visit::<Host>()?;
    visitor.visit::<Network>()?;
    visitor.visit::<Port>()?;
    visitor.visit::<StaticFdb>()?;
    visitor.visit::<Router>()?;
    visitor.visit::<RouterRoute>()?;
    visitor.visit::<FloatingIp>()?;
    visitor.visit::<Tenant>()?;
    visitor.visit::<NatSettings>()
}
