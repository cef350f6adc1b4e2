//! Which host something runs on: a document names it, or leaves it out for this one.

use super::Host;
use super::attachment::find;
use crate::id::Id;
use crate::refusal::Refusal;
use crate::state::{Handle, View};

/// The remote host, if it is one, and whether the document names this host: an export must mean the same on another.
pub(super) fn resolve_host(
    spec: Option<&Id>,
    view: View<'_>,
    field: &str,
) -> Result<(Option<Handle<Host>>, bool), Refusal> {
    match spec {
        Some(host) if *host != view.facts().local_host => {
            Ok((Some(find::<Host>(host, view, field)?), false))
        }
        named => Ok((None, named.is_some())),
    }
}

/// The field again.
pub(super) fn host_spec(
    host: Option<Handle<Host>>,
    names_local_host: bool,
    view: View<'_>,
) -> Option<Id> {
    let local = names_local_host.then(|| view.facts().local_host.clone());
    host.map(|host| view.id_of(host)).or(local)
}
