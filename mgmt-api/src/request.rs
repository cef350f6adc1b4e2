//! Writes as the manager takes them: something that can be staged over a state, more than once if need be.

use bytes::Bytes;

use crate::document;
use crate::refusal::Refusal;
use crate::resources::Kind;
use crate::state::{Difference, Outcome, Transaction};

/// A write.
pub trait Request: Send + Sync {
    /// Stages it. Called again from the start if a request of the same group is refused.
    ///
    /// # Errors
    /// Why it is refused.
    fn stage(&self, transaction: &mut Transaction<'_>) -> Result<Counts, Refusal>;

    /// True if it is small enough to share a commit with others.
    fn is_small(&self) -> bool;
}

/// How a write is to be answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Only say what would change.
    pub dry_run: bool,
    /// Say what changes, resource by resource. Implied by `dry_run`.
    pub diff: bool,
}

/// How many resources a write names, by what it does to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Created.
    pub created: u64,
    /// Changed.
    pub changed: u64,
    /// Deleted.
    pub deleted: u64,
    /// As they were.
    pub unchanged: u64,
}

impl Counts {
    pub(crate) fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Created => self.created += 1,
            Outcome::Changed => self.changed += 1,
            Outcome::Unchanged => self.unchanged += 1,
        }
    }
}

/// What a write did, or would do.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// How many resources.
    pub counts: Counts,
    /// Which, if that was asked for.
    pub differences: Option<Vec<Difference>>,
}

/// Creates or changes one resource.
#[derive(Debug, Clone)]
pub struct Put<K: Kind> {
    /// Its key.
    pub key: K::Key,
    /// Its document.
    pub spec: K::Spec,
}

impl<K: Kind> Request for Put<K> {
    fn stage(&self, transaction: &mut Transaction<'_>) -> Result<Counts, Refusal> {
        let (outcome, _) = transaction.put::<K>(&self.key, self.spec.clone())?;
        let mut counts = Counts::default();
        counts.count(outcome);
        Ok(counts)
    }

    fn is_small(&self) -> bool {
        true
    }
}

/// Removes one resource.
#[derive(Debug, Clone)]
pub struct Delete<K: Kind> {
    /// Its key.
    pub key: K::Key,
}

impl<K: Kind> Request for Delete<K> {
    fn stage(&self, transaction: &mut Transaction<'_>) -> Result<Counts, Refusal> {
        transaction.remove::<K>(&self.key)?;
        Ok(Counts {
            deleted: 1,
            ..Counts::default()
        })
    }

    fn is_small(&self) -> bool {
        true
    }
}

/// Bodies up to this share a commit with other requests.
const SMALL_BODY: usize = 16 << 10;

/// Many puts and deletions, as one body of JSON.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `{"put": {"networks": {"blue": {…}}}, "delete": {"ports": ["p1"]}}`
    pub body: Bytes,
}

impl Request for Batch {
    fn stage(&self, transaction: &mut Transaction<'_>) -> Result<Counts, Refusal> {
        document::stage_transaction(&self.body, transaction)
    }

    fn is_small(&self) -> bool {
        self.body.len() <= SMALL_BODY
    }
}

/// The whole state, as one body of JSON: what it does not name is deleted.
#[derive(Debug, Clone)]
pub struct Replace {
    /// `{"networks": {"blue": {…}}, "ports": {…}}`
    pub body: Bytes,
}

impl Request for Replace {
    fn stage(&self, transaction: &mut Transaction<'_>) -> Result<Counts, Refusal> {
        document::stage_state(&self.body, transaction)
    }

    fn is_small(&self) -> bool {
        false
    }
}
