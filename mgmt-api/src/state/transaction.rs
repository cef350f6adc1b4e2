//! Staging a request: puts and removals, the claims they make, and what they change.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::fingerprints::fingerprint;
use super::validate::{Checks, Origin};
use super::{Claim, Handle, Holder, Staged, State, View, station_key};
use crate::refusal::{Code, Refusal};
use crate::resources::Kind;

/// What a put did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There was none of this name.
    Created,
    /// It was different.
    Changed,
    /// It was the same.
    Unchanged,
}

/// One resource that a write adds, changes or removes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Difference {
    /// The kind of resource, as in paths.
    #[schema(value_type = String, examples("networks"))]
    pub kind: &'static str,
    /// Its identifier.
    pub id: String,
    /// The resource before; absent if it is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub old: Option<Box<RawValue>>,
    /// The resource after; absent if it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub new: Option<Box<RawValue>>,
}

/// Requests being staged over a state. Several may follow each other; each ends with [`check`](Self::check).
#[derive(Debug)]
pub struct Transaction<'a> {
    base: &'a State,
    staged: Staged,
    checks: Checks,
    differences: Option<Vec<Difference>>,
    /// Kept for its memory: the claims of the record at hand.
    claims: Vec<Claim>,
}

impl<'a> Transaction<'a> {
    /// Begins a transaction that changes nothing yet.
    #[must_use]
    pub fn new(base: &'a State) -> Self {
        Self {
            base,
            staged: Staged::default(),
            checks: Checks::default(),
            differences: None,
            claims: Vec::new(),
        }
    }

    /// The state as this transaction would leave it.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View::new(self.base, Some(&self.staged))
    }

    /// The state it began from.
    #[must_use]
    pub fn base(&self) -> &'a State {
        self.base
    }

    /// From here on keeps what changes, in the order it is staged.
    pub fn record_differences(&mut self) {
        self.differences = Some(Vec::new());
    }

    /// What changed since [`record_differences`](Self::record_differences).
    pub fn take_differences(&mut self) -> Option<Vec<Difference>> {
        self.differences.take()
    }

    /// Creates or changes a resource.
    ///
    /// # Errors
    /// The first field at fault. The transaction is then good for nothing but to be dropped.
    pub fn put<K: Kind>(
        &mut self,
        key: &K::Key,
        spec: K::Spec,
    ) -> Result<(Outcome, Handle<K>), Refusal> {
        let named = |refusal: Refusal| refusal.or_of(|| format!("{}/{key}", K::NAME));
        let record = K::resolve(key, spec, self.view()).map_err(named)?;
        let existing = self.view().find::<K>(key);
        let old = existing.and_then(|handle| Some((handle, self.view().get(handle)?)));
        let (outcome, handle) = match old {
            Some((handle, old)) if *old == record => return Ok((Outcome::Unchanged, handle)),
            Some((handle, old)) => {
                let old = old.clone();
                self.note_difference(key, Some(&old), Some(&record));
                self.claim(&old, handle, -1);
                K::staged_mut(&mut self.staged).change(handle, record.clone());
                (Outcome::Changed, handle)
            }
            None => {
                self.note_difference(key, None, Some(&record));
                let table = K::table(self.base);
                let staged = K::staged_mut(&mut self.staged);
                (Outcome::Created, staged.create(table, record.clone()))
            }
        };
        self.claim(&record, handle, 1);
        Ok((outcome, handle))
    }

    /// Removes a resource.
    ///
    /// # Errors
    /// [`Code::NotFound`]. That nothing refers to it any more is checked at the end.
    pub fn remove<K: Kind>(&mut self, key: &K::Key) -> Result<(), Refusal> {
        match self.view().find::<K>(key) {
            Some(handle) => {
                self.remove_found(key, handle);
                Ok(())
            }
            None => {
                let message = format!("there is no {} {key}", K::SINGULAR);
                let name = format!("{}/{key}", K::NAME);
                Err(Refusal::new(Code::NotFound, message).of(name))
            }
        }
    }

    /// Removes a resource that is there, whose key may stand within one that has been removed already.
    pub(crate) fn remove_found<K: Kind>(&mut self, key: &K::Key, handle: Handle<K>) {
        let Some(old) = self.view().get(handle).cloned() else {
            return;
        };
        self.note_difference(key, Some(&old), None);
        self.claim(&old, handle, -1);
        self.checks
            .removed
            .extend(K::as_used(handle).map(|used| (used, Origin::of(handle))));
        K::staged_mut(&mut self.staged).remove(handle, old.order());
    }

    /// Checks what concerns several resources, for everything staged since the last check.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&mut self) -> Result<(), Refusal> {
        let checks = std::mem::take(&mut self.checks);
        checks.run(self.base.view(), self.view(), &self.staged)
    }

    /// True if nothing is staged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    /// Ends the staging.
    #[must_use]
    pub fn into_staged(self) -> Staged {
        self.staged
    }

    fn note_difference<K: Kind>(&mut self, key: &K::Key, old: Option<&K>, new: Option<&K>) {
        let Some(mut differences) = self.differences.take() else {
            return;
        };
        let view = self.view();
        let document = |record: &K| serde_json::value::to_raw_value(&record.spec(view)).ok();
        differences.push(Difference {
            kind: K::NAME,
            id: key.to_string(),
            old: old.and_then(document),
            new: new.and_then(document),
        });
        self.differences = Some(differences);
    }

    /// Makes the claims of a record (`by` = 1) or gives them back (`by` = -1).
    fn claim<K: Kind>(&mut self, record: &K, handle: Handle<K>, by: i64) {
        let mut claims = std::mem::take(&mut self.claims);
        record.claims(handle, &mut |claim| claims.push(claim));
        for claim in claims.drain(..) {
            self.staged.tallies.add(claim, by);
            if by > 0 {
                self.note_claim(claim, Origin::of(handle));
            }
        }
        self.claims = claims;
    }

    /// Remembers what is to be looked at again once the whole request is staged: what looks like a
    /// contradiction now may be resolved by a later part of it.
    fn note_claim(&mut self, claim: Claim, origin: Origin) {
        if let Claim::Holds(place, owner) = claim {
            self.checks.places.push((place, owner, origin));
        }
        if let Some((key, holder)) = station_key(claim) {
            if self.view().holders(key).any(|other| other != holder) {
                self.checks.stations.push((key, holder));
            }
            let fingerprint = fingerprint(&self.base.keyed, key);
            match holder {
                Holder::Port(port) => self.staged.port_keys.insert(fingerprint, port),
                Holder::Gateway(router) => self.staged.gateway_keys.insert(fingerprint, router),
                Holder::FloatingGateway(network) => {
                    self.staged.host_gateway_keys.insert(fingerprint, network);
                }
                Holder::FloatingIp(own) => self.staged.floating_keys.insert(fingerprint, own),
                // Found by its key.
                Holder::Static(_) => {}
            }
        }
    }
}

impl Staged {
    /// True if nothing is staged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        use crate::resources::{KindVisitor, each_kind};
        struct Touched<'a>(&'a Staged, usize);
        impl KindVisitor for Touched<'_> {
            type Error = std::convert::Infallible;
            fn visit<K: Kind>(&mut self) -> Result<(), Self::Error> {
                self.1 += K::staged(self.0).len();
                Ok(())
            }
        }
        let mut touched = Touched(self, 0);
        let Ok(()) = each_kind(&mut touched);
        touched.1 == 0
    }
}
