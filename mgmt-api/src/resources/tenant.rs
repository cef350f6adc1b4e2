//! `tenants`: what address translation may cost each.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Kind, NatLimits, Spec};
use crate::id::Id;
use crate::refusal::Refusal;
use crate::state::{Claim, Handle, Staged, StagedTable, State, Table, View};

/// A tenant as written in the API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Tenant)]
pub struct TenantSpec {
    /// The identifier; in a write it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Limits of address translation; what is left out is as `nat-settings` have it.
    #[serde(default, skip_serializing_if = "NatLimitsSpec::is_empty")]
    pub nat: NatLimitsSpec,
}

/// Limits of address translation as written in the API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = NatLimits)]
pub struct NatLimitsSpec {
    /// Sessions at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
    /// New sessions in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_per_second: Option<u32>,
    /// Ports of outside addresses at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<u32>,
    /// Fragmented datagrams and held packets at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fragments: Option<u32>,
}

impl NatLimitsSpec {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These over others.
    #[must_use]
    pub fn over(self, others: NatLimits) -> NatLimits {
        NatLimits {
            sessions: self.sessions.unwrap_or(others.sessions),
            sessions_per_second: self
                .sessions_per_second
                .unwrap_or(others.sessions_per_second),
            ports: self.ports.unwrap_or(others.ports),
            fragments: self.fragments.unwrap_or(others.fragments),
        }
    }
}

/// A tenant. Routers name it by its identifier, and need not: one that is not here has the limits of `nat-settings`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Its identifier.
    pub id: Id,
    /// For people.
    pub description: Option<Box<str>>,
    /// Its own limits; [`View::nat_limits`] fills in the others.
    pub nat: NatLimitsSpec,
}

impl Spec for TenantSpec {
    fn id(&mut self) -> &mut Option<String> {
        &mut self.id
    }
}

impl Kind for Tenant {
    const NAME: &'static str = "tenants";
    const TAG: u8 = 9;
    const SINGULAR: &'static str = "tenant";
    const ABOUT: &'static str =
        "A tenant: limits of address translation for all routers that name it.";

    type Key = Id;
    type Order = Id;
    type Spec = TenantSpec;

    fn resolve(key: &Id, spec: TenantSpec, _view: View<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            id: key.clone(),
            description: spec.description.map(Into::into),
            nat: spec.nat,
        })
    }

    fn spec(&self, _view: View<'_>) -> TenantSpec {
        TenantSpec {
            id: None,
            description: self.description.as_deref().map(Into::into),
            nat: self.nat,
        }
    }

    fn key(&self, _view: View<'_>) -> Id {
        self.id.clone()
    }

    fn order(&self) -> Id {
        self.id.clone()
    }

    fn order_of<'k>(key: &'k Id, _view: View<'_>) -> Option<Cow<'k, Id>> {
        Some(Cow::Borrowed(key))
    }

    fn claims(&self, _own: Handle<Self>, _claim: &mut dyn FnMut(Claim)) {}

    fn table(state: &State) -> &Table<Self> {
        &state.tenants
    }
    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.tenants
    }
    fn staged(staged: &Staged) -> &StagedTable<Self> {
        &staged.tenants
    }
    fn staged_mut(staged: &mut Staged) -> &mut StagedTable<Self> {
        &mut staged.tenants
    }
}
