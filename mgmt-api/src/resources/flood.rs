//! How broadcast, unknown unicast and multicast of a network reach the other hosts.

use std::net::IpAddr;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Interface;
use super::attachment::find;
use crate::id::Id;
use crate::refusal::Refusal;
use crate::state::{Handle, View};

/// How a network floods, as written in the API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "mode", rename_all = "kebab-case", try_from = "FloodFields")]
#[schema(as = Flood)]
pub enum FloodSpec {
    /// One copy for each remote VTEP.
    #[default]
    IngressReplication,
    /// One copy to an underlay multicast group.
    Multicast {
        /// The group.
        #[schema(value_type = String, examples("239.1.1.1"))]
        group: IpAddr,
        /// The underlay interface it is joined on; by default the one of the VTEP's source address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interface: Option<Id>,
        /// The UDP port that its receivers listen to; by default that of the first member host, or 4789.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<u16>, minimum = 1)]
        udp_port: Option<NonZeroU16>,
    },
}

/// The same with every field in sight: serde reads a tagged enum by way of a buffer, which loses the path
/// of the field at fault.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FloodFields {
    mode: FloodMode,
    group: Option<IpAddr>,
    interface: Option<Id>,
    udp_port: Option<NonZeroU16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FloodMode {
    IngressReplication,
    Multicast,
}

impl TryFrom<FloodFields> for FloodSpec {
    type Error = &'static str;

    fn try_from(fields: FloodFields) -> Result<Self, &'static str> {
        let FloodFields {
            mode,
            group,
            interface,
            udp_port,
        } = fields;
        match (mode, group, interface, udp_port) {
            (FloodMode::IngressReplication, None, None, None) => Ok(Self::IngressReplication),
            (FloodMode::Multicast, Some(group), interface, udp_port) => Ok(Self::Multicast {
                group,
                interface,
                udp_port,
            }),
            (FloodMode::IngressReplication, ..) => {
                Err("flooding by ingress-replication has no further fields")
            }
            (FloodMode::Multicast, ..) => Err("flooding by multicast needs `group`"),
        }
    }
}

/// How broadcast, unknown unicast and multicast reach the other hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// One copy for each remote VTEP.
    IngressReplication,
    /// One copy to an underlay multicast group.
    Multicast {
        /// The group.
        group: IpAddr,
        /// Where it is joined; `None`: on the interface of the VTEP's source address.
        interface: Option<Handle<Interface>>,
        /// The UDP port of its receivers; `None`: that of the first member host.
        udp_port: Option<NonZeroU16>,
    },
}

/// Groups that no router forwards and for which switches keep no members: 224.0.0.0/24 (RFC 5771 §4) and IPv6 groups
/// of a scope up to a link's (RFC 4291 §2.7).
fn is_link_local(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.octets()[..3] == [224, 0, 0],
        IpAddr::V6(group) => group.octets()[1] & 0xf <= 2,
    }
}

impl Flood {
    pub(super) fn resolve(spec: &FloodSpec, view: View<'_>) -> Result<Self, Refusal> {
        let FloodSpec::Multicast {
            group,
            interface,
            udp_port,
        } = spec
        else {
            return Ok(Self::IngressReplication);
        };
        if !group.is_multicast() {
            let message =
                format!("{group} is not a multicast group: give one of 224.0.0.0/4 or ff00::/8");
            return Err(Refusal::invalid("/flood/group", message));
        }
        if is_link_local(*group) {
            let message = format!(
                "{group} stays on its link, where it is not joined and reaches every host: give one of \
                 239.0.0.0/8 or ff05::/16"
            );
            return Err(Refusal::invalid("/flood/group", message));
        }
        let interface = interface.as_ref();
        let interface = interface
            .map(|id| find::<Interface>(id, view, "/flood/interface"))
            .transpose()?;
        Ok(Self::Multicast {
            group: *group,
            interface,
            udp_port: *udp_port,
        })
    }

    pub(super) fn spec(self, view: View<'_>) -> FloodSpec {
        match self {
            Self::IngressReplication => FloodSpec::IngressReplication,
            Self::Multicast {
                group,
                interface,
                udp_port,
            } => FloodSpec::Multicast {
                group,
                interface: interface.map(|own| view.id_of(own)),
                udp_port,
            },
        }
    }
}
