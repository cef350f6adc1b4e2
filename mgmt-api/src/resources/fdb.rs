//! `fdb`: static MAC entries of stations that are no ports: no addresses, no identifier of their own.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::attachment::find;
use super::host::check_unicast;
use super::location::LocationFields;
use super::{Key, Kind, Location, Network, Spec, Tpid, Vid};
use crate::id::{Id, IdError};
use crate::mac::{Mac, MacError};
use crate::refusal::Refusal;
use crate::state::{Claim, Handle, Staged, StagedTable, State, Table, Used, View};

/// What names a static entry: written `network/mac`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FdbKey {
    /// The network.
    pub network: Id,
    /// The address.
    pub mac: Mac,
}

/// Why a text does not name a static entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FdbKeyError {
    /// There is no slash.
    #[error("a static entry is named network/mac, as in blue/52:54:00:12:34:56")]
    Form,
    /// The part before the slash is not an identifier.
    #[error(transparent)]
    Network(#[from] IdError),
    /// The part after the slash is not a MAC address.
    #[error(transparent)]
    Mac(#[from] MacError),
}

impl fmt::Display for FdbKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.mac)
    }
}

impl FromStr for FdbKey {
    type Err = FdbKeyError;

    fn from_str(text: &str) -> Result<Self, FdbKeyError> {
        let (network, mac) = text.split_once('/').ok_or(FdbKeyError::Form)?;
        Ok(Self {
            network: network.parse()?,
            mac: mac.parse()?,
        })
    }
}

impl Serialize for FdbKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Key for FdbKey {
    fn to_bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.mac.0);
        self.network.to_bytes(bytes);
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (mac, network) = bytes.split_first_chunk()?;
        Some(Self {
            network: Id::from_bytes(network)?,
            mac: Mac(*mac),
        })
    }
}

/// A static entry as written in the API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StaticFdbEntry)]
pub struct StaticFdbSpec {
    /// `network/mac`; in a write it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The remote host it lives on; absent: this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Id>,
    /// On this host: the interface it is reached by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Id>,
    /// The tag of its frames on that interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vid>,
    /// The tag's type; `802.1q` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpid: Option<Tpid>,
}

/// A static MAC entry.
#[derive(Debug, Clone, PartialEq)]
pub struct StaticFdb {
    /// Its network.
    pub network: Handle<Network>,
    /// The address.
    pub mac: Mac,
    /// Where the station lives.
    pub location: Location,
    /// True if the document names this host rather than leaving it out.
    pub names_local_host: bool,
}

impl Spec for StaticFdbSpec {
    fn id(&mut self) -> &mut Option<String> {
        &mut self.id
    }
}

impl Kind for StaticFdb {
    const NAME: &'static str = "fdb";
    const TAG: u8 = 5;
    const SINGULAR: &'static str = "static MAC entry";
    const KEY_PARTS: &'static [&'static str] = &["network", "mac"];
    const LISTED_WITHIN: &'static [&'static str] = &["network"];
    const ABOUT: &'static str = "A static MAC entry: a station that is no port.";

    type Key = FdbKey;
    type Order = (Handle<Network>, Mac);
    type Spec = StaticFdbSpec;

    fn resolve(key: &FdbKey, spec: StaticFdbSpec, view: View<'_>) -> Result<Self, Refusal> {
        // The key is no field of the document, so the pointer is to the whole of it.
        let network = find::<Network>(&key.network, view, "")?;
        check_unicast(key.mac, "")?;
        let location = Location::resolve(
            &LocationFields {
                host: spec.host.as_ref(),
                interface: spec.interface.as_ref(),
                vlan: spec.vlan,
                tpid: spec.tpid,
            },
            view,
        )?;
        let names_local_host = spec.host.is_some() && matches!(location, Location::Local(_));
        Ok(Self {
            network,
            mac: key.mac,
            location,
            names_local_host,
        })
    }

    fn spec(&self, view: View<'_>) -> StaticFdbSpec {
        let (host, interface, vlan, tpid) = self.location.fields(view);
        let local_host = self
            .names_local_host
            .then(|| view.facts().local_host.clone());
        StaticFdbSpec {
            id: None,
            host: host.or(local_host),
            interface,
            vlan,
            tpid,
        }
    }

    fn key(&self, view: View<'_>) -> FdbKey {
        FdbKey {
            network: view.id_of(self.network),
            mac: self.mac,
        }
    }

    fn order(&self) -> Self::Order {
        (self.network, self.mac)
    }

    fn order_of<'k>(key: &'k FdbKey, view: View<'_>) -> Option<Cow<'k, Self::Order>> {
        let network = view.find::<Network>(&key.network)?;
        Some(Cow::Owned((network, key.mac)))
    }

    fn within(used: Used) -> Option<(Self::Order, Self::Order)> {
        match used {
            Used::Network(own) => Some(((own, Mac([0; 6])), (own, Mac([0xff; 6])))),
            _ => None,
        }
    }

    fn claims(&self, own: Handle<Self>, claim: &mut dyn FnMut(Claim)) {
        claim(Claim::StaticMac(self.network, self.mac, own));
        self.location.claims(self.network, claim);
    }

    fn table(state: &State) -> &Table<Self> {
        &state.fdb
    }
    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.fdb
    }
    fn staged(staged: &Staged) -> &StagedTable<Self> {
        &staged.fdb
    }
    fn staged_mut(staged: &mut Staged) -> &mut StagedTable<Self> {
        &mut staged.fdb
    }
}
