//! What few ports have, kept apart so that a million plain ones stay small.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use super::dhcp_option::{DhcpOptions, is_label};
use super::host::check_unicast;
use super::prefix::check_canonical;
use crate::mac::Mac;
use crate::refusal::Refusal;

/// More of them are a prefix.
const MAX_PAIRS: usize = 64;
/// The longest domain name as text (RFC 1035 §2.3.4, less length bytes).
const MAX_HOSTNAME: usize = 253;

/// An address or prefix that a port may send from beside its own, as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AddressPair)]
pub struct AddressPairSpec {
    /// An address or a prefix.
    #[serde(serialize_with = "write_prefix", deserialize_with = "read_prefix")]
    #[schema(value_type = String, examples("192.168.1.50", "10.1.0.0/24"))]
    pub address: IpNet,
    /// The MAC address that goes with it; by default the port's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
}

/// Addresses that a port may send from beside its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPair {
    /// The addresses; one alone has the full prefix length.
    pub prefix: IpNet,
    /// The MAC address that goes with them; `None`: the port's.
    pub mac: Option<Mac>,
}

/// What few ports have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PortExtras {
    /// Addresses it may send from beside its own.
    pub allowed_address_pairs: Box<[AddressPair]>,
    /// DHCPv4 options that win over those of its subnet.
    pub dhcp_options: DhcpOptions,
    /// The name DHCP tells it.
    pub hostname: Option<Box<str>>,
}

impl PortExtras {
    /// The extras in a box, or nothing if there are none.
    pub(super) fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// One address without its length, as people write it.
fn write_prefix<S: Serializer>(prefix: &IpNet, serializer: S) -> Result<S::Ok, S::Error> {
    match prefix.prefix_len() == prefix.max_prefix_len() {
        true => serializer.collect_str(&prefix.addr()),
        false => serializer.collect_str(prefix),
    }
}

fn read_prefix<'de, D: Deserializer<'de>>(from: D) -> Result<IpNet, D::Error> {
    let text = String::deserialize(from)?;
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address.or_else(|_| text.parse()).map_err(|_| {
        let text: String = text.chars().take(60).collect();
        serde::de::Error::custom(format!("{text:?} is neither an address nor a prefix"))
    })
}

pub(super) fn resolve_pairs(spec: &[AddressPairSpec]) -> Result<Box<[AddressPair]>, Refusal> {
    const AT: &str = "/allowed_address_pairs";
    if spec.len() > MAX_PAIRS {
        let message = format!(
            "at most {MAX_PAIRS} pairs, not {}: give prefixes, or `anti_spoofing` false",
            spec.len()
        );
        return Err(Refusal::invalid(AT, message));
    }
    let mut pairs: Vec<AddressPair> = Vec::with_capacity(spec.len());
    for (index, AddressPairSpec { address, mac }) in spec.iter().enumerate() {
        let at = format!("{AT}/{index}/address");
        check_canonical(address, &at)?;
        let is_one = address.prefix_len() == address.max_prefix_len();
        if address.addr().is_multicast() || is_one && address.addr().is_unspecified() {
            let message = format!("{address} cannot be the source of a packet");
            return Err(Refusal::invalid(at, message));
        }
        if let Some(mac) = mac {
            check_unicast(*mac, &format!("{AT}/{index}/mac"))?;
        }
        let pair = AddressPair {
            prefix: *address,
            mac: *mac,
        };
        if pairs.contains(&pair) {
            let message = format!("{address} is given twice with the same MAC address");
            return Err(Refusal::conflict(at, message));
        }
        pairs.push(pair);
    }
    Ok(pairs.into())
}

/// Refuses what is no host name: labels of letters, digits and hyphens (RFC 1123 §2.1).
pub(super) fn check_hostname(name: &str) -> Result<(), Refusal> {
    let is_name = name.len() <= MAX_HOSTNAME && name.split('.').all(is_label);
    if is_name && !name.contains('_') {
        return Ok(());
    }
    let message = format!(
        "{name:?} is no host name: letters, digits and hyphens, in parts of up to 63 separated by dots"
    );
    Err(Refusal::invalid("/hostname", message))
}
