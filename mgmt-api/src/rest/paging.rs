//! Lists in pages: ordered by identifier, so that a page stays the same while others write.

use std::borrow::Cow;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::mac::Mac;
use crate::refusal::{Code, Refusal};
use crate::resources::{Host, Interface, Kind, Network, Router, Spec};
use crate::state::{Claim, Place, State, Used, View};

/// Items of a page unless asked otherwise.
pub(super) const DEFAULT_LIMIT: usize = 100;
/// The most items of a page.
pub(super) const MAX_LIMIT: usize = 10_000;
/// Records looked at before the state is let go for a moment: some milliseconds.
pub(super) const SCAN: usize = 20_000;

/// The parameters of a list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListParams {
    pub limit: Option<usize>,
    pub after: Option<String>,
    pub network: Option<Id>,
    pub host: Option<Id>,
    pub interface: Option<Id>,
    /// Given by the path only.
    #[serde(skip)]
    pub router: Option<Id>,
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    pub items: Vec<T>,
    /// The path of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The number of items asked for, within bounds.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Refusal> {
    match asked.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        limit => {
            let message = format!("`limit` is 1 to {MAX_LIMIT}, not {limit}");
            Err(Refusal::new(Code::Invalid, message))
        }
    }
}

/// The path of the page after `last`.
pub(super) fn next_path(path: &str, params: &[(&str, &str)]) -> String {
    let query = params
        .iter()
        .map(|(name, value)| format!("{name}={}", escape(value)));
    format!("{path}?{}", query.collect::<Vec<_>>().join("&"))
}

/// Identifiers, MAC addresses and numbers need no escape in a query, but for the slash of static entries' names.
fn escape(value: &str) -> String {
    value.replace('/', "%2F")
}

/// Collects a page of documents, letting writers in between scans.
pub(super) fn page<K: Kind>(
    read: impl Fn(&mut dyn FnMut(&State)),
    path: &str,
    params: &ListParams,
) -> Result<Page<K::Spec>, Refusal> {
    let limit = limit(params.limit)?;
    let after = params.after.as_deref().map(parse_after::<K>).transpose()?;
    let mut from = None;
    let mut items = Vec::new();
    let mut last = None;
    let mut more = true;
    let mut refused = None;
    while more && items.len() <= limit && refused.is_none() {
        read(&mut |state| match Filter::new(params, state.view()) {
            Err(refusal) => refused = Some(refusal),
            Ok(filter) => {
                let view = state.view();
                let mut scanned = 0;
                let range = filter.range::<K>(from.take(), after.as_ref(), view);
                for (order, _, record) in state.table::<K>().range(range).take(SCAN) {
                    scanned += 1;
                    if filter.takes(record) {
                        if items.len() == limit {
                            // One more than asked for: there is a next page.
                            items.push(None);
                            return;
                        }
                        let key = record.key(view);
                        items.push(Some(named_spec(record, &key, view)));
                        last = Some(key);
                    }
                    from = Some(order.clone());
                }
                more = scanned == SCAN;
            }
        });
    }
    if let Some(refusal) = refused {
        return Err(refusal);
    }
    let has_next = items.len() > limit;
    let next = last.filter(|_| has_next).map(|last| {
        let (limit, last) = (limit.to_string(), last.to_string());
        let mut query = vec![("limit", limit.as_str()), ("after", last.as_str())];
        let filters = [
            ("network", &params.network),
            ("host", &params.host),
            ("interface", &params.interface),
        ];
        let filters = filters.map(|(name, id)| (name, id.as_ref().map(Id::to_string)));
        query.extend(
            filters
                .iter()
                .filter_map(|(name, id)| Some((*name, id.as_deref()?))),
        );
        next_path(path, &query)
    });
    Ok(Page {
        items: items.into_iter().flatten().collect(),
        next,
    })
}

fn parse_after<K: Kind>(after: &str) -> Result<K::Key, Refusal> {
    after.parse().map_err(|error| {
        Refusal::new(
            Code::Invalid,
            format!("`after` is no {}: {error}", K::SINGULAR),
        )
    })
}

/// A document with its identifier, as reads show it.
pub(super) fn named_spec<K: Kind>(record: &K, key: &K::Key, view: View<'_>) -> K::Spec {
    let mut spec = record.spec(view);
    *spec.id() = Some(key.to_string());
    spec
}

/// Takes what refers to all of the given resources.
struct Filter {
    uses: Vec<Used>,
    local: bool,
}

impl Filter {
    fn new(params: &ListParams, view: View<'_>) -> Result<Self, Refusal> {
        let mut filter = Self {
            uses: Vec::new(),
            local: false,
        };
        if let Some(network) = &params.network {
            filter
                .uses
                .push(Used::Network(find::<Network>(network, view)?));
        }
        match &params.host {
            Some(host) if *host == view.facts().local_host => filter.local = true,
            Some(host) => filter.uses.push(Used::Host(find::<Host>(host, view)?)),
            None => {}
        }
        if let Some(router) = &params.router {
            filter
                .uses
                .push(Used::Router(find::<Router>(router, view)?));
        }
        if let Some(interface) = &params.interface {
            filter
                .uses
                .push(Used::Interface(find::<Interface>(interface, view)?));
        }
        Ok(filter)
    }

    /// The part of the table to look through: what stands within one of the given resources, after the last one that
    /// was looked at or else after the one asked for.
    fn range<K: Kind>(
        &self,
        looked_at: Option<K::Order>,
        after: Option<&K::Key>,
        view: View<'_>,
    ) -> (Bound<K::Order>, Bound<K::Order>) {
        let within = self.uses.iter().find_map(|used| K::within(*used));
        let after = after.and_then(|after| K::order_of(after, view));
        let from = looked_at.or(after.map(Cow::into_owned));
        match (within, from) {
            (Some((first, last)), Some(from)) if first <= from => (
                Bound::Excluded(from.min(last.clone())),
                Bound::Included(last),
            ),
            (Some((first, last)), _) => (Bound::Included(first), Bound::Included(last)),
            (None, Some(from)) => (Bound::Excluded(from), Bound::Unbounded),
            (None, None) => (Bound::Unbounded, Bound::Unbounded),
        }
    }

    fn takes<K: Kind>(&self, record: &K) -> bool {
        if self.uses.is_empty() && !self.local {
            return true;
        }
        let mut found = 0_u32;
        let mut local = !self.local;
        record.claims(crate::state::Handle::new(0), &mut |claim| match claim {
            Claim::Uses(used) => {
                let at = self.uses.iter().position(|wanted| *wanted == used);
                found |= at.map_or(0, |at| 1 << at);
            }
            Claim::Holds(Place::Attachment(_), _) => local = true,
            _ => {}
        });
        local && found.count_ones() as usize == self.uses.len()
    }
}

pub(super) fn find<K: Kind<Key = Id>>(
    id: &Id,
    view: View<'_>,
) -> Result<crate::state::Handle<K>, Refusal> {
    view.find::<K>(id).ok_or_else(|| {
        let message = format!("there is no {} {id}", K::SINGULAR);
        Refusal::new(Code::NotFound, message).of(format!("{}/{id}", K::NAME))
    })
}

/// The place in a MAC table to go on from.
pub(super) fn parse_mac_after(after: Option<&str>) -> Result<Option<Mac>, Refusal> {
    let parse = |after: &str| {
        after
            .parse()
            .map_err(|error| Refusal::new(Code::Invalid, format!("`after`: {error}")))
    };
    after.map(parse).transpose()
}
