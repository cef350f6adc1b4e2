//! The kinds of resource: what the operator writes, and what the state keeps of it.
//!
//! Each kind has one file with two types. The *document* (`NetworkSpec`) is the JSON of the API: text
//! identifiers, optional fields, unknown fields refused. The *record* (`Network`) is what the state keeps and the
//! control plane sees: references resolved to [`Handle`]s, defaults filled in, compact enough for a million.
//!
//! ```text
//!            resolve (references looked up, fields checked)
//!  NetworkSpec ───────────────────────────────────────────▶ Network ──▶ claims: what it uses and occupies
//!      ▲                                                       │
//!      └───────────────────────── spec ────────────────────────┘
//! ```
//!
//! [`Kind`] ties the two together. To add a kind: write its file, implement [`Kind`], add it to
//! [`each_kind`] and give it a table in `State`; the REST paths, the store, transactions, diffs, the export and
//! the OpenAPI document follow from that.

mod addresses;
mod attachment;
mod dhcp_option;
mod external_gateway;
mod external_network;
mod fdb;
mod floating_ip;
mod flood;
mod host;
mod interface;
mod kind;
mod location;
mod nat_settings;
mod network;
mod placed;
mod port;
mod port_extras;
mod prefix;
mod router;
mod router_interface;
mod router_route;
mod segment;
mod subnet;
mod tenant;

pub use addresses::AddressList;
pub use attachment::{Attachment, Tag, Tpid, Vid};
pub use dhcp_option::{DhcpOption, DhcpOptions, DhcpOptionsSpec};
pub use external_gateway::{
    ExternalGateway, ExternalGatewaySpec, Filtering, OutsideGateway, OutsideGatewaySpec,
};
pub use external_network::{External, ExternalSpec, FloatingIpGateway, FloatingIpGatewaySpec};
pub use fdb::{FdbKey, FdbKeyError, StaticFdb, StaticFdbSpec};
pub use floating_ip::{FloatingIp, FloatingIpSpec, ForwardedProtocol, Forwarding};
pub use flood::{Flood, FloodSpec};
pub use host::{Host, HostSpec, UdpChecksum, VXLAN_PORT};
pub(crate) use interface::overlap;
pub use interface::{DeviceIndex, Interface, InterfaceSpec, Route, RouteSpec};
pub use kind::{Key, Kind, KindVisitor, Spec, each_kind};
pub use location::Location;
pub use nat_settings::{
    NatLimits, NatSettings, NatSettingsSpec, NatTimeouts, SettingsKey, SettingsKeyError,
    UnsolicitedSyn,
};
pub use network::{BindingSpec, Network, NetworkSpec};
pub use port::{Port, PortSpec};
pub use port_extras::{AddressPair, AddressPairSpec, PortExtras};
pub use router::{Router, RouterSpec};
pub use router_interface::{CentralPort, CentralPortSpec, RouterInterface, RouterInterfaceSpec};
pub use router_route::{RouteKey, RouteKeyError, RouterRoute, RouterRouteSpec};
pub use segment::{Segment, SegmentSpec, Vni};
pub use subnet::{Ipv6Mode, Subnet, SubnetSpec};
pub use tenant::{NatLimitsSpec, Tenant, TenantSpec};

pub use crate::state::Handle;
