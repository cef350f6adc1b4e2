//! `routes`: routes of routers, each a resource of its own: for full tables and routing daemons.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::attachment::find;
use super::prefix::{check_canonical, check_destination};
use super::router::{MAX_NEXT_HOPS, check_family};
use super::{AddressList, Key, Kind, Router, Spec};
use crate::id::{Id, IdError};
use crate::refusal::Refusal;
use crate::state::{Claim, Handle, Staged, StagedTable, State, Table, Used, View};

/// What names a route: written `router/destination`, as in `r1/10.0.0.0/8`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RouteKey {
    /// The router.
    pub router: Id,
    /// The prefix, without bits beyond its length.
    pub destination: IpNet,
}

/// Why a text does not name a route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteKeyError {
    /// There is no slash.
    #[error("a route is named router/prefix, as in r1/10.0.0.0/8")]
    Form,
    /// The part before the first slash is not an identifier.
    #[error(transparent)]
    Router(#[from] IdError),
    /// The rest is not a prefix.
    #[error("{0:?} is not a prefix as 10.0.0.0/8 or 2001:db8::/32")]
    Prefix(String),
    /// It is one with bits beyond its length, and another name for the same would not be found.
    #[error("{}", .0.message)]
    Bits(Refusal),
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.router, self.destination)
    }
}

impl FromStr for RouteKey {
    type Err = RouteKeyError;

    fn from_str(text: &str) -> Result<Self, RouteKeyError> {
        let (router, prefix) = text.split_once('/').ok_or(RouteKeyError::Form)?;
        let destination = prefix
            .parse()
            .map_err(|_| RouteKeyError::Prefix(prefix.chars().take(60).collect()))?;
        check_canonical(&destination, "").map_err(RouteKeyError::Bits)?;
        Ok(Self {
            router: router.parse()?,
            destination,
        })
    }
}

impl Serialize for RouteKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Key for RouteKey {
    fn to_bytes(&self, bytes: &mut Vec<u8>) {
        match self.destination.addr() {
            IpAddr::V4(address) => {
                bytes.push(4);
                bytes.extend(address.octets());
            }
            IpAddr::V6(address) => {
                bytes.push(6);
                bytes.extend(address.octets());
            }
        }
        bytes.push(self.destination.prefix_len());
        self.router.to_bytes(bytes);
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (address, rest): (IpAddr, _) = match bytes.split_first()? {
            (4, rest) => {
                let (octets, rest) = rest.split_first_chunk::<4>()?;
                (Ipv4Addr::from(*octets).into(), rest)
            }
            (6, rest) => {
                let (octets, rest) = rest.split_first_chunk::<16>()?;
                (Ipv6Addr::from(*octets).into(), rest)
            }
            _ => return None,
        };
        let (length, router) = rest.split_first()?;
        Some(Self {
            router: Id::from_bytes(router)?,
            destination: IpNet::new(address, *length).ok()?,
        })
    }
}

/// A route of a router as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RouterRoute)]
pub struct RouterRouteSpec {
    /// `router/prefix`; in a write it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The next hops, each on a subnet of the router. Flows are shared among several.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 16, examples(json!(["192.168.1.254"])))]
    pub via: Vec<IpAddr>,
}

/// A route of a router: 48 bytes, for a full table has a million.
#[derive(Debug, Clone, PartialEq)]
pub struct RouterRoute {
    /// The next hops, 1 to 16.
    pub via: AddressList,
    /// The router.
    pub router: Handle<Router>,
    /// The prefix.
    pub destination: IpNet,
}

impl Spec for RouterRouteSpec {
    fn id(&mut self) -> &mut Option<String> {
        &mut self.id
    }
}

impl Kind for RouterRoute {
    const NAME: &'static str = "routes";
    const TAG: u8 = 7;
    const SINGULAR: &'static str = "route";
    const KEY_PARTS: &'static [&'static str] = &["router", "address", "length"];
    const LISTED_WITHIN: &'static [&'static str] = &["router"];
    const ABOUT: &'static str =
        "A route of a router, beside those of the router's own list: for full tables.";

    type Key = RouteKey;
    type Order = (Handle<Router>, IpNet);
    type Spec = RouterRouteSpec;

    fn resolve(key: &RouteKey, spec: RouterRouteSpec, view: View<'_>) -> Result<Self, Refusal> {
        // The key is no field of the document, so the pointer is to the whole of it.
        let router = find::<Router>(&key.router, view, "")?;
        check_destination(&key.destination, "")?;
        if spec.via.is_empty() || spec.via.len() > MAX_NEXT_HOPS {
            let message = format!(
                "a route has 1 to {MAX_NEXT_HOPS} next hops, not {}",
                spec.via.len()
            );
            return Err(Refusal::invalid("/via", message));
        }
        for (index, &via) in spec.via.iter().enumerate() {
            let at = format!("/via/{index}");
            check_family(&key.destination, via, &at)?;
            if spec.via[..index].contains(&via) {
                return Err(Refusal::conflict(at, format!("{via} is given twice")));
            }
        }
        Ok(Self {
            via: spec.via.as_slice().into(),
            router,
            destination: key.destination,
        })
    }

    fn spec(&self, _view: View<'_>) -> RouterRouteSpec {
        RouterRouteSpec {
            id: None,
            via: self.via.iter().collect(),
        }
    }

    fn key(&self, view: View<'_>) -> RouteKey {
        RouteKey {
            router: view.id_of(self.router),
            destination: self.destination,
        }
    }

    fn order(&self) -> Self::Order {
        (self.router, self.destination)
    }

    fn order_of<'k>(key: &'k RouteKey, view: View<'_>) -> Option<Cow<'k, Self::Order>> {
        let router = view.find::<Router>(&key.router)?;
        Some(Cow::Owned((router, key.destination)))
    }

    fn within(used: Used) -> Option<(Self::Order, Self::Order)> {
        const FIRST: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));
        const LAST: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(u128::MAX), 128));
        match used {
            Used::Router(own) => Some(((own, FIRST), (own, LAST))),
            _ => None,
        }
    }

    fn claims(&self, _own: Handle<Self>, claim: &mut dyn FnMut(Claim)) {
        claim(Claim::Uses(Used::Router(self.router)));
    }

    fn table(state: &State) -> &Table<Self> {
        &state.routes
    }
    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.routes
    }
    fn staged(staged: &Staged) -> &StagedTable<Self> {
        &staged.routes
    }
    fn staged_mut(staged: &mut Staged) -> &mut StagedTable<Self> {
        &mut staged.routes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_route_is_as_small_as_its_documentation_says() {
        assert_eq!(size_of::<Option<RouterRoute>>(), 48);
        assert_eq!(size_of::<(Handle<Router>, IpNet)>(), 24);
    }

    #[test]
    fn a_route_has_one_name() {
        for text in ["r1/10.0.0.0/8", "r1/0.0.0.0/0", "r1/2001:db8::/32"] {
            assert_eq!(text.parse::<RouteKey>().unwrap().to_string(), text);
        }
        let error = "r1/10.0.0.1/8".parse::<RouteKey>().unwrap_err().to_string();
        assert!(error.contains("write 10.0.0.0/8"), "{error}");
        for text in [
            "r1",
            "r1/10.0.0.0",
            "r1/10.0.0.0/33",
            "/10.0.0.0/8",
            "r1/x/8",
        ] {
            assert!(text.parse::<RouteKey>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn keys_are_stored_and_read_back(address: IpAddr, length in 0..33_u8, router in "[a-z0-9-]{1,40}") {
            let destination = IpNet::new(address, length).unwrap().trunc();
            let key = RouteKey { router: router.parse().unwrap(), destination };
            let mut bytes = Vec::new();
            key.to_bytes(&mut bytes);
            prop_assert_eq!(RouteKey::from_bytes(&bytes), Some(key));
        }

        #[test]
        fn every_prefix_is_within_its_router(address: IpAddr, length in 0..33_u8) {
            let router = Handle::new(3);
            let order = (router, IpNet::new(address, length).unwrap().trunc());
            let (first, last) = RouterRoute::within(Used::Router(router)).unwrap();
            prop_assert!(first <= order && order <= last);
        }
    }
}
