//! Random histories: after each transaction the tables are those of a daemon that was
//! started with the whole state, and undoing a transaction leaves no trace of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use mgmt_api::change::Changes;
use mgmt_api::request::Request;
use mgmt_api::resources::Router;
use mgmt_api::state::{State, Transaction};
use proptest::prelude::*;
use vtepd_tables::route::Target;
use vtepd_tables::translation::{Endpoint, Protocol, Rules};
use vtepd_tables::{
    Adjacency, AdjacencyIndex, Bound, NetworkIndex, Origin, Snapshot, TagKey, VrfIndex,
};
use vtepd_wire::Mac;

use super::super::Control;
use super::*;

/// By kind, identifier and the documents that it may have.
const UNIVERSE: &[(&str, &str, &[&str])] = &[
    (
        "interfaces",
        "up0",
        &[
            r#"{ "addresses": ["192.0.2.11/24", "2001:db8:f::11/64"], "gateway": "192.0.2.1" }"#,
            r#"{ "addresses": ["192.0.2.11/24"], "gateway": "192.0.2.1", "mtu": 1500 }"#,
            r#"{ "addresses": ["192.0.2.19/24"], "vlan": 9 }"#,
        ],
    ),
    (
        "hosts",
        "h1",
        &[
            r#"{ "dvr_mac": "fa:16:3f:00:00:01" }"#,
            r#"{ "dvr_mac": "fa:16:3f:00:00:0a" }"#,
            r#"{ "vtep": "192.0.2.11", "dvr_mac": "fa:16:3f:00:00:01" }"#,
        ],
    ),
    (
        "hosts",
        "h2",
        &[
            r#"{ "vtep": "198.51.100.12", "dvr_mac": "fa:16:3f:00:00:02" }"#,
            r#"{ "vtep": "198.51.100.13", "dvr_mac": "fa:16:3f:00:00:03" }"#,
            r#"{ "vtep": "198.51.100.12" }"#,
        ],
    ),
    (
        "hosts",
        "h3",
        &[
            r#"{ "vtep": "198.51.100.13", "dvr_mac": "fa:16:3f:00:00:03" }"#,
            r#"{ "vtep": "198.51.100.12", "dvr_mac": "fa:16:3f:00:00:02" }"#,
        ],
    ),
    (
        "networks",
        "red",
        &[
            r#"{ "segment": { "type": "vxlan", "vni": 10 } }"#,
            r#"{ "segment": { "type": "vxlan", "vni": 11 }, "mtu": 1400, "bindings": [{ "interface": "trunk", "vlan": 7 }],
                 "subnets": [{ "cidr": "10.1.0.0/24", "gateway": "10.1.0.1" }, { "cidr": "2001:db8:1::/64" }] }"#,
            r#"{ "segment": { "type": "vlan", "interface": "trunk", "vlan": 100 }, "gateway_from_underlay": true,
                 "subnets": [{ "cidr": "10.1.0.0/24", "dhcp": false }, { "cidr": "2001:db8:1::/64", "ipv6_mode": "dhcpv6-stateful" }] }"#,
            r#"{ "segment": { "type": "vxlan", "vni": 10 }, "learning": false, "arp_suppression": false,
                 "flood": { "mode": "multicast", "group": "239.1.1.1" } }"#,
        ],
    ),
    (
        "networks",
        "blue",
        &[
            r#"{ "segment": { "type": "vxlan", "vni": 11 } }"#,
            r#"{ "segment": { "type": "vxlan", "vni": 12 }, "subnets": [{ "cidr": "10.2.0.0/24" }, { "cidr": "2001:db8:2::/64" }] }"#,
            r#"{ "segment": { "type": "vlan", "interface": "trunk", "vlan": 7 } }"#,
            r#"{ "segment": { "type": "vxlan", "vni": 10 }, "hosts": ["h3"], "bindings": [{ "interface": "vm1" }] }"#,
        ],
    ),
    (
        "networks",
        "green",
        &[
            r#"{ "segment": { "type": "vxlan", "vni": 13 }, "vlan_transparent": true, "mtu": 1300 }"#,
            r#"{ "segment": { "type": "vlan", "interface": "trunk", "vlan": 101 } }"#,
        ],
    ),
    (
        "ports",
        "p1",
        &[
            r#"{ "network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["10.1.0.5", "2001:db8:1::5"], "interface": "vm1" }"#,
            r#"{ "network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["10.1.0.6", "10.1.0.5"], "interface": "vm1", "anti_spoofing": false }"#,
            r#"{ "network": "blue", "mac": "fa:16:3e:00:00:01", "addresses": ["10.2.0.5"], "interface": "vm1",
                 "allowed_address_pairs": [{ "address": "10.2.0.50" }, { "address": "10.9.0.0/16", "mac": "fa:16:3e:00:00:99" }] }"#,
            r#"{ "network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["10.1.0.5"], "host": "h2" }"#,
        ],
    ),
    (
        "ports",
        "p2",
        &[
            r#"{ "network": "red", "mac": "fa:16:3e:00:00:02", "addresses": ["10.1.0.7"], "interface": "trunk", "vlan": 7 }"#,
            r#"{ "network": "red", "mac": "fa:16:3e:00:00:02", "addresses": ["10.1.0.7"], "interface": "vm1",
                 "dhcp_options": { "domain-name": "example.org" }, "hostname": "two" }"#,
            r#"{ "network": "green", "mac": "fa:16:3e:00:00:02", "interface": "trunk", "vlan": 8 }"#,
            r#"{ "network": "blue", "mac": "fa:16:3e:00:00:02", "addresses": ["10.2.0.7", "2001:db8:2::7"], "host": "h3" }"#,
        ],
    ),
    (
        "ports",
        "p3",
        &[
            r#"{ "network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["10.1.0.6"], "host": "h3" }"#,
            r#"{ "network": "blue", "mac": "fa:16:3e:00:00:03", "addresses": ["10.2.0.5"], "interface": "trunk", "vlan": 8 }"#,
            r#"{ "network": "red", "mac": "fa:16:3e:00:00:03", "addresses": ["10.1.0.8"], "interface": "vm1",
                 "allowed_address_pairs": [{ "address": "10.1.0.50" }] }"#,
        ],
    ),
    (
        "fdb",
        "red/fa:16:3e:00:00:01",
        &[r#"{ "host": "h2" }"#, r#"{ "interface": "vm1" }"#],
    ),
    (
        "fdb",
        "blue/fa:16:3e:00:00:0f",
        &[
            r#"{ "host": "h3" }"#,
            r#"{ "interface": "trunk", "vlan": 8 }"#,
        ],
    ),
    (
        "routers",
        "r1",
        &[
            r#"{ "interfaces": [{ "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.1.0.1/24", "2001:db8:1::1/64"] },
                                { "network": "blue", "mac": "fa:16:3e:01:00:02", "addresses": ["10.2.0.1/24", "2001:db8:2::1/64"] }] }"#,
            r#"{ "interfaces": [{ "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.1.0.1/24"] },
                                { "network": "blue", "mac": "fa:16:3e:01:00:02", "addresses": ["10.2.0.1/24"] }],
                 "routes": [{ "destination": "10.9.0.0/16", "via": "10.1.0.5" }, { "destination": "10.9.0.0/16", "via": "10.2.0.5" },
                            { "destination": "0.0.0.0/0", "via": "10.2.0.7" }] }"#,
            r#"{ "distributed": false, "host": "h2",
                 "interfaces": [{ "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.1.0.1/24", "2001:db8:1::1/64"] }],
                 "routes": [{ "destination": "10.9.0.0/16", "via": "10.1.0.8" }] }"#,
            r#"{ "distributed": false,
                 "interfaces": [{ "network": "red", "mac": "fa:16:3e:01:00:09", "addresses": ["10.1.0.1/24"] },
                                { "network": "green", "mac": "fa:16:3e:01:00:03", "addresses": ["10.8.0.1/24"] }],
                 "routes": [{ "destination": "10.8.0.0/16", "via": "10.1.0.5" }] }"#,
            // The same subnet in another network.
            r#"{ "interfaces": [{ "network": "green", "mac": "fa:16:3e:01:00:03", "addresses": ["10.1.0.1/24"] },
                                { "network": "blue", "mac": "fa:16:3e:01:00:02", "addresses": ["10.2.0.2/24"] }] }"#,
        ],
    ),
    (
        "routers",
        "r2",
        &[
            r#"{ "interfaces": [{ "network": "blue", "mac": "fa:16:3e:01:00:12", "addresses": ["10.2.0.254/24"] }] }"#,
            r#"{ "interfaces": [{ "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.1.0.1/24", "2001:db8:1::1/64"] }] }"#,
            r#"{ "distributed": false, "host": "h3",
                 "interfaces": [{ "network": "blue", "mac": "fa:16:3e:01:00:12", "addresses": ["10.2.0.254/24", "2001:db8:2::1/64"] }] }"#,
        ],
    ),
    (
        "routes",
        "r1/10.9.0.0/16",
        &[
            r#"{ "via": ["10.1.0.5"] }"#,
            r#"{ "via": ["10.1.0.6", "10.2.0.5"] }"#,
        ],
    ),
    (
        "routes",
        "r1/10.8.0.0/24",
        &[r#"{ "via": ["10.1.0.7"] }"#, r#"{ "via": ["10.2.0.7"] }"#],
    ),
    (
        "routes",
        "r1/2001:db8:9::/48",
        &[r#"{ "via": ["2001:db8:1::5"] }"#],
    ),
    ("routes", "r2/0.0.0.0/0", &[r#"{ "via": ["10.2.0.1"] }"#]),
    (
        "networks",
        "public",
        &[
            r#"{ "segment": { "type": "vlan", "interface": "trunk", "vlan": 200 }, "external": {},
                 "subnets": [{ "cidr": "203.0.113.0/24", "gateway": "203.0.113.1", "dhcp": false },
                             { "cidr": "2001:db8:ff::/64", "gateway": "2001:db8:ff::1" }] }"#,
            r#"{ "segment": { "type": "vlan", "interface": "trunk", "vlan": 201 }, "mtu": 1400,
                 "external": { "floating_ip_gateways": [{ "mac": "fa:16:3e:7d:00:01", "address": "203.0.113.2" },
                                                        { "host": "h2", "mac": "fa:16:3e:7d:00:02" }] },
                 "subnets": [{ "cidr": "203.0.113.0/24", "gateway": "203.0.113.1", "dhcp": false },
                             { "cidr": "2001:db8:ff::/64" }] }"#,
            r#"{ "segment": { "type": "flat", "interface": "vm1" },
                 "external": { "floating_ip_gateways": [{ "mac": "fa:16:3e:7d:00:03" }] },
                 "subnets": [{ "cidr": "203.0.113.0/24", "gateway": "203.0.113.9", "dhcp": false },
                             { "cidr": "2001:db8:ff::/64" }] }"#,
            r#"{ "segment": { "type": "vlan", "interface": "trunk", "vlan": 200 } }"#,
        ],
    ),
    (
        "routers",
        "r1",
        &[
            // The central gateway is here.
            r#"{ "interfaces": [{ "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.1.0.1/24", "2001:db8:1::1/64"],
                                  "central": { "mac": "fa:16:3e:5a:00:01", "addresses": ["10.1.0.11", "2001:db8:1::11"] } },
                                { "network": "blue", "mac": "fa:16:3e:01:00:02", "addresses": ["10.2.0.1/24"],
                                  "central": { "mac": "fa:16:3e:5a:00:02", "addresses": ["10.2.0.11"] } }],
                 "external_gateway": { "network": "public", "exempt": ["198.51.100.0/24"],
                   "gateways": [{ "mac": "fa:16:3e:70:00:05", "addresses": ["203.0.113.5/24", "2001:db8:ff::5/64"] }] } }"#,
            // Elsewhere.
            r#"{ "tenant": "acme",
                 "interfaces": [{ "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.1.0.1/24", "2001:db8:1::1/64"],
                                  "central": { "mac": "fa:16:3e:5a:00:01", "addresses": ["10.1.0.11", "2001:db8:1::11"] } },
                                { "network": "blue", "mac": "fa:16:3e:01:00:02", "addresses": ["10.2.0.1/24"],
                                  "central": { "mac": "fa:16:3e:5a:00:02", "addresses": ["10.2.0.11"] } }],
                 "external_gateway": { "network": "public", "filtering": "address-dependent",
                   "gateways": [{ "host": "h2", "mac": "fa:16:3e:70:00:05", "addresses": ["203.0.113.5/24"] }] } }"#,
            // On each host that has one, and on h2 for the others.
            r#"{ "interfaces": [{ "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.1.0.1/24"],
                                  "central": { "mac": "fa:16:3e:5a:00:01", "addresses": ["10.1.0.12"] } },
                                { "network": "blue", "mac": "fa:16:3e:01:00:02", "addresses": ["10.2.0.1/24"],
                                  "central": { "mac": "fa:16:3e:5a:00:02", "addresses": ["10.2.0.11"] } }],
                 "external_gateway": { "network": "public", "floating_ip_hops": 1, "next_hops": ["203.0.113.9"],
                   "gateways": [{ "host": "h2", "mac": "fa:16:3e:70:00:05", "addresses": ["203.0.113.5/24"] },
                                { "mac": "fa:16:3e:70:00:06", "addresses": ["203.0.113.6/24", "203.0.113.16/24"] }] } }"#,
            // This host alone, and as they are.
            r#"{ "distributed": false, "tenant": "acme",
                 "interfaces": [{ "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.1.0.1/24"] },
                                { "network": "blue", "mac": "fa:16:3e:01:00:02", "addresses": ["10.2.0.1/24", "2001:db8:2::1/64"] }],
                 "routes": [{ "destination": "172.16.0.0/12", "via": "203.0.113.9" }],
                 "external_gateway": { "network": "public", "outbound_only_ipv6": true, "same_scope": ["10.2.0.0/16"],
                   "gateways": [{ "mac": "fa:16:3e:70:00:05", "addresses": ["203.0.113.5/24", "2001:db8:ff::5/64"] }] } }"#,
            r#"{ "distributed": false, "host": "h2",
                 "interfaces": [{ "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.1.0.1/24"] }],
                 "external_gateway": { "network": "public",
                   "gateways": [{ "mac": "fa:16:3e:70:00:05", "addresses": ["203.0.113.5/24"] }] } }"#,
        ],
    ),
    (
        "routers",
        "r2",
        &[
            r#"{ "tenant": "umbra", "distributed": false,
                 "interfaces": [{ "network": "blue", "mac": "fa:16:3e:01:00:12", "addresses": ["10.2.0.254/24"] }],
                 "external_gateway": { "network": "public", "snat": false, "next_hops": [],
                   "gateways": [{ "mac": "fa:16:3e:70:00:15", "addresses": ["203.0.113.15/24"] }] } }"#,
            // What r1 may have as well.
            r#"{ "distributed": false,
                 "interfaces": [{ "network": "red", "mac": "fa:16:3e:01:00:19", "addresses": ["10.1.0.254/24"] }],
                 "external_gateway": { "network": "public",
                   "gateways": [{ "mac": "fa:16:3e:70:00:15", "addresses": ["203.0.113.6/24"] }] } }"#,
        ],
    ),
    (
        "floating-ips",
        "f1",
        &[
            r#"{ "address": "203.0.113.101", "network": "public" }"#,
            r#"{ "address": "203.0.113.101", "network": "public", "router": "r1", "port": "p1", "fixed_address": "10.1.0.5" }"#,
            r#"{ "address": "203.0.113.101", "network": "public", "router": "r1", "port": "p1", "fixed_address": "10.1.0.5",
                 "distributed": false }"#,
            r#"{ "address": "203.0.113.102", "network": "public", "router": "r1", "port": "p2" }"#,
            r#"{ "address": "203.0.113.101", "network": "public", "router": "r2", "fixed_address": "10.1.0.5" }"#,
        ],
    ),
    (
        "floating-ips",
        "f2",
        &[
            r#"{ "address": "203.0.113.103", "network": "public" }"#,
            r#"{ "address": "203.0.113.102", "network": "public", "router": "r1",
                 "forwardings": [{ "protocol": "tcp", "port": 80, "to": "10.1.0.5:8080" },
                                 { "protocol": "udp", "port": 53, "to": "10.2.0.5:53" }] }"#,
            r#"{ "address": "203.0.113.102", "network": "public", "router": "r1",
                 "forwardings": [{ "protocol": "tcp", "port": 80, "to": "10.1.0.6:8080" }] }"#,
            r#"{ "address": "203.0.113.103", "network": "public", "router": "r1", "fixed_address": "10.1.0.6" }"#,
            r#"{ "address": "203.0.113.101", "network": "public", "port": "p3", "router": "r1" }"#,
        ],
    ),
    (
        "routes",
        "r1/10.7.0.0/16",
        &[r#"{ "via": ["203.0.113.9"] }"#],
    ),
    (
        "tenants",
        "acme",
        &[
            r#"{ "nat": { "sessions": 7 } }"#,
            r#"{ "nat": { "ports": 9 } }"#,
        ],
    ),
    (
        "nat-settings",
        "default",
        &[
            r#"{ "limits": { "sessions": 100 } }"#,
            r#"{ "timeouts": { "udp": 150 } }"#,
        ],
    ),
];

/// Addresses that stations, routes or packets of the universe have.
const ADDRESSES: &[&str] = &[
    "10.1.0.1",
    "10.1.0.5",
    "10.1.0.6",
    "10.1.0.7",
    "10.1.0.8",
    "10.1.0.200",
    "10.2.0.1",
    "10.2.0.2",
    "10.2.0.5",
    "10.2.0.7",
    "10.2.0.254",
    "10.8.0.1",
    "10.8.1.1",
    "10.9.1.1",
    "172.16.0.1",
    "198.51.100.12",
    "198.51.100.13",
    "192.0.2.11",
    "192.0.2.19",
    "239.1.1.1",
    "2001:db8:1::1",
    "2001:db8:1::5",
    "2001:db8:2::1",
    "2001:db8:2::7",
    "2001:db8:9::9",
    "fe80::f816:3eff:fe01:1",
    "fe80::f816:3eff:fe01:2",
    "fe80::f816:3eff:fe01:3",
    "fe80::f816:3eff:fe01:9",
    "fe80::f816:3eff:fe01:12",
    "fe80::f816:3eff:fe01:19",
    "10.1.0.11",
    "10.1.0.12",
    "10.1.0.254",
    "10.2.0.11",
    "10.7.0.1",
    "198.51.100.80",
    "203.0.113.1",
    "203.0.113.2",
    "203.0.113.5",
    "203.0.113.6",
    "203.0.113.9",
    "203.0.113.15",
    "203.0.113.16",
    "203.0.113.101",
    "203.0.113.102",
    "203.0.113.103",
    "2001:db8:1::11",
    "2001:db8:ff::1",
    "2001:db8:ff::5",
    "2001:db8:99::1",
    "fe80::f816:3eff:fe5a:1",
    "fe80::f816:3eff:fe5a:2",
    "fe80::f816:3eff:fe70:5",
    "fe80::f816:3eff:fe70:6",
    "fe80::f816:3eff:fe70:15",
    "fe80::f816:3eff:fe7d:1",
    "fe80::f816:3eff:fe7d:3",
    // Of the device.
    "fe80::1ff:fe00:113",
];

/// Ports that are forwarded, on either side.
const PORTS: &[u16] = &[53, 80, 8080];

const VLANS: &[u16] = &[0, 7, 8, 9, 100, 101, 200, 201];
const VNIS: &[u32] = &[10, 11, 12, 13];
const DVR_MACS: &[[u8; 6]] = &[
    [0xfa, 0x16, 0x3f, 0, 0, 1],
    [0xfa, 0x16, 0x3f, 0, 0, 2],
    [0xfa, 0x16, 0x3f, 0, 0, 3],
    [0xfa, 0x16, 0x3f, 0, 0, 0x0a],
    [0xfa, 0x16, 0x3e, 0, 0, 1],
];

/// A resource of the universe is put with one of its documents, or deleted.
#[derive(Clone, Copy, Debug)]
struct Step {
    resource: usize,
    /// Beyond the last one: it is deleted.
    document: usize,
}

impl Step {
    fn text(self, state: &State) -> String {
        let (kind, id, documents) = UNIVERSE[self.resource];
        if let Some(document) = documents.get(self.document) {
            return format!(r#"{{ "put": {{ "{kind}": {{ "{id}": {document} }} }} }}"#);
        }
        // A router goes with its routes.
        let view = state.view();
        let router = Some(id).filter(|_| kind == "routers");
        let router = router.and_then(|id| view.find::<Router>(&id.parse().unwrap()));
        let routes = router.into_iter().flat_map(|router| view.routes_of(router));
        let routes: Vec<String> = routes
            .map(|(_, route)| format!(r#""{id}/{}""#, route.destination))
            .collect();
        let routes = Some(routes.join(", ")).filter(|routes| !routes.is_empty());
        let routes = routes.map_or(String::new(), |routes| format!(r#", "routes": [{routes}]"#));
        format!(r#"{{ "delete": {{ "{kind}": ["{id}"]{routes} }} }}"#)
    }
}

fn step() -> impl Strategy<Value = Step> {
    // Routers and floating IPs depend on most others, and what depends on others is often refused.
    let depends = |resource: &usize| {
        let kind = UNIVERSE[*resource].0;
        kind.starts_with("rout") || kind == "floating-ips"
    };
    let dependent: Vec<usize> = (0..UNIVERSE.len()).filter(depends).collect();
    let resource = prop_oneof![0..UNIVERSE.len(), proptest::sample::select(dependent)];
    resource.prop_flat_map(|resource| {
        let documents = UNIVERSE[resource].2.len();
        (0..=documents).prop_map(move |document| Step { resource, document })
    })
}

/// Where histories begin: the first document of everything that goes together.
fn ground() -> String {
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let apart = [
        "p3",
        "red/fa:16:3e:00:00:01",
        "r1/10.8.0.0/24",
        "r1/10.7.0.0/16",
    ];
    let together = UNIVERSE.iter().filter(|(_, id, _)| !apart.contains(id));
    let mut ids = BTreeSet::new();
    for (kind, id, documents) in together {
        // What comes twice in the universe is there once.
        if !ids.insert((kind, id)) {
            continue;
        }
        let put = format!(r#""{id}": {}"#, documents[0]);
        kinds.entry(kind).or_default().push(put);
    }
    let interfaces = kinds.entry("interfaces").or_default();
    interfaces.push(r#""vm1": {}, "trunk": {}"#.to_owned());
    let kinds = kinds.iter();
    let kinds: Vec<String> = kinds
        .map(|(kind, puts)| format!(r#""{kind}": {{ {} }}"#, puts.join(", ")))
        .collect();
    format!(r#"{{ "put": {{ {} }} }}"#, kinds.join(", "))
}

/// All of the steps if they can be made together, or else those that can one after another.
fn possible(state: &State, steps: &[Step]) -> Vec<String> {
    let all: Vec<String> = steps.iter().map(|step| step.text(state)).collect();
    if stage(state, &all).is_ok() {
        return all;
    }
    let mut some = Vec::new();
    for request in all {
        some.push(request);
        if stage(state, &some).is_err() {
            some.pop();
        }
    }
    some
}

/// Requests that share a transaction, as the manager makes groups of them.
fn stage<'a>(state: &'a State, requests: &[String]) -> Result<Transaction<'a>, Refusal> {
    let mut transaction = Transaction::new(state);
    for request in requests {
        let body = request.clone().into();
        Batch { body }.stage(&mut transaction)?;
        transaction.check()?;
    }
    Ok(transaction)
}

/// Everything that workers and stations may see of a state, by what indices stand for.
fn picture(plane: &Plane) -> BTreeSet<String> {
    let control = plane.control.lock();
    let reader = plane.laboratory.tables.reader().unwrap();
    let tables = reader.view();
    let mut picture = BTreeSet::new();
    let mut note = |line: String| assert!(picture.insert(line.clone()), "twice: {line}");
    let place = |index: AdjacencyIndex| format!("{:?}", control.places.owner(index));

    let fdb = &control.tables.fdb;
    fdb.scan(0, fdb.buckets(), |row| {
        if row.entry.origin != Origin::Learned {
            let to = place(row.entry.adjacency);
            note(format!("fdb {:?} {:?} {to}", row.key, row.entry.origin));
        }
    });
    for network in (1..8).filter_map(NetworkIndex::new) {
        for address in addresses() {
            if let Some(known) = tables.neighbours.find(network, address) {
                let to = place(known.adjacency);
                note(format!("neighbour {network} {address} {} {to}", known.mac));
            }
        }
        note(network_line(tables.snapshot, network, place));
    }
    for vni in VNIS {
        note(format!("vni {vni} {:?}", tables.vnis.find(*vni)));
    }
    for address in addresses() {
        let vtep = match address {
            IpAddr::V4(address) => tables.remote_vteps.find_v4(address),
            IpAddr::V6(address) => tables.remote_vteps.find_v6(address),
        };
        let vtep = vtep.map(place);
        let own = match address {
            IpAddr::V4(address) => tables.snapshot.local.has_v4(address),
            IpAddr::V6(address) => tables.snapshot.local.has_v6(address),
        };
        let joined = tables.snapshot.local.joined(address);
        note(format!("underlay {address} {vtep:?} {own} {joined}"));
    }
    for (interface, vlan) in [UP, VM, TRUNK]
        .into_iter()
        .flat_map(|interface| VLANS.iter().map(move |vlan| (interface, *vlan)))
    {
        let entry = tables.snapshot.interface(interface).cloned();
        let entry = entry.unwrap_or_default();
        let bound = entry.bound(TagKey::new(0x8100, vlan));
        let line = match bound {
            Bound::Network {
                network,
                adjacency,
                access,
            } => format!("{network} {} {access:?}", place(adjacency)),
            other => format!("{other:?}"),
        };
        note(format!("binding {interface} {vlan} {line}"));
        // What is left of one that is gone is met by nobody.
        if vlan == 0 && control.underlay.interface_id(interface).is_some() {
            let (mac, mtu, underlay) = (entry.mac, entry.mtu, entry.underlay);
            note(format!("interface {interface} {mac} {mtu} {underlay:?}"));
        }
    }
    for index in (1..100).filter_map(AdjacencyIndex::new) {
        let adjacency = tables.snapshot.adjacency(index);
        let pairs = tables.snapshot.allowed(index);
        match control.places.owner(index) {
            Some(owner) => {
                let way = way_line(adjacency, place);
                note(format!("way {owner:?} {way} {pairs:?}"));
            }
            None => assert!(
                matches!(adjacency, Adjacency::Vacant) && pairs.is_empty(),
                "nobody's: {adjacency:?} {pairs:?}"
            ),
        }
    }
    for vrf in (1..12).filter_map(VrfIndex::new) {
        let Some(routes) = tables.snapshot.vrf(vrf) else {
            continue;
        };
        note(format!("vrf {vrf}"));
        for address in addresses() {
            if let Some(Target::NextHops(hops)) = routes.find(address) {
                let hops = hops.as_slice().iter();
                let hops: BTreeSet<String> = hops
                    .map(|hop| format!("{} {:?}", place(hop.gateway), hop.address))
                    .collect();
                note(format!("route {vrf} {address} {hops:?}"));
            }
        }
    }
    for vrf in (1..12).filter_map(VrfIndex::new) {
        if let Some(rules) = tables.snapshot.rules(vrf) {
            note(format!("rules {vrf} {}", rules_line(&control, rules)));
        }
    }
    for network in (1..8).filter_map(NetworkIndex::new) {
        let externals = tables.snapshot.network(network);
        let Some(externals) = externals.and_then(|network| network.externals.as_ref()) else {
            continue;
        };
        note(format!("external {network}"));
        for address in addresses_v4() {
            if let Some(vrf) = externals.router(address) {
                note(format!("external {network} {address} {vrf}"));
            }
        }
    }
    let mut pools: Vec<_> = control.translation.pools().collect();
    pools.sort_unstable();
    for (space, address, _) in pools {
        note(format!("pool {space:?} {address}"));
    }
    // Some are kept for pools that workers still clear up.
    let used = control.translation.used.values();
    let used: BTreeSet<_> = used.map(|used| &used.tenant).collect();
    for (tenant, _, limits) in control.translation.tenants() {
        if used.contains(tenant) {
            note(format!("tenant {tenant} {limits:?}"));
        }
    }
    for (gateway, address) in control.next_hops.list() {
        note(format!("next hop {} {address}", place(gateway)));
    }
    let macs = &tables.snapshot.host_macs;
    let others = DVR_MACS.iter().map(|mac| macs.may_be_other(Mac(*mac)));
    let others: Vec<bool> = others.collect();
    note(format!("host macs {:?} {others:?}", macs.own));
    note(format!("routes {}", control.vrfs.usage().used));
    note(format!("next hops {:?}", control.underlay.next_hops()));
    control.served.picture().into_iter().for_each(note);
    picture
}

/// An adjacency, others that it names by what they stand for.
fn way_line(adjacency: &Adjacency, place: impl Fn(AdjacencyIndex) -> String) -> String {
    match adjacency {
        Adjacency::Outside(outside) => format!(
            "outside {} {:?} {:?}",
            outside.network,
            outside.floating.map(&place),
            outside.own.map(&place)
        ),
        other => format!("{other:?}"),
    }
}

/// What rules say of all addresses, pools and tenants by name.
fn rules_line(control: &Control, rules: &Rules) -> String {
    let mut line = String::new();
    let tenant = control.nat_names.tenant(rules.subscriber());
    let _ = write!(
        line,
        "{tenant:?} {:?} {} {}",
        rules.filtering(),
        rules.floating_hops(),
        rules.outbound_only_ipv6()
    );
    let outside: BTreeSet<Ipv4Addr> = rules.outside_addresses().collect();
    let _ = write!(line, " {outside:?}");
    for address in addresses_v4() {
        let bits = address.to_bits();
        let shared = rules.pool_of(bits).map(|shared| {
            let (space, address) = control.translation.pool(shared.pool).unwrap();
            assert_eq!(address, shared.address);
            format!("{space:?} {address}")
        });
        let floats = [rules.floating_outside(bits), rules.floating_inside(bits)];
        let floats = floats.map(|other| other.map(Ipv4Addr::from_bits));
        let plain = [rules.is_exempt(bits), rules.is_same_scope(bits)];
        let _ = write!(line, "\n  {address} {shared:?} {floats:?} {plain:?}");
        for (port, protocol) in PORTS
            .iter()
            .flat_map(|port| [Protocol::Tcp, Protocol::Udp].map(|protocol| (*port, protocol)))
        {
            let end = Endpoint::new(bits, port);
            let forwarded = [
                rules.forwarding_outside(protocol, end),
                rules.forwarding_inside(protocol, end),
            ];
            if forwarded.iter().any(Option::is_some) {
                let forwarded = forwarded.map(|other| other.map(Endpoint::socket));
                let _ = write!(line, " {protocol:?} {port} {forwarded:?}");
            }
        }
    }
    line
}

fn addresses_v4() -> impl Iterator<Item = Ipv4Addr> {
    addresses().filter_map(|address| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    })
}

fn network_line(
    snapshot: &Snapshot,
    index: NetworkIndex,
    place: impl Fn(AdjacencyIndex) -> String,
) -> String {
    let mut line = format!("network {index}");
    let Some(network) = snapshot.network(index) else {
        // Beyond the end there are none either.
        return line + " None false false false None {} {} {}";
    };
    let names = |list: &[AdjacencyIndex]| -> BTreeSet<String> {
        let names: BTreeSet<String> = list.iter().map(|index| place(*index)).collect();
        assert_eq!(names.len(), list.len(), "twice in a list");
        names
    };
    let services = Some(network.services).filter(|services| *services != Default::default());
    let _ = write!(
        line,
        " {:?} {} {} {} {:?} {:?} {:?} {:?}",
        network.vni,
        network.learning,
        network.vlan_transparent,
        network.suppression,
        network.segment.map(&place),
        names(network.gateways()),
        names(network.flood_from_port()),
        names(network.flood_from_tunnel()),
    );
    if let Some(services) = services {
        let _ = write!(line, " {services:?}");
    }
    line
}

fn addresses() -> impl Iterator<Item = IpAddr> {
    ADDRESSES.iter().map(|address| address.parse().unwrap())
}

/// Numbers of pools do not come back while no worker runs.
const AMPLE: Room = Room {
    translation: TranslationCapacity {
        pools: 4096,
        spare_pools: 4096,
        tenants: 4096,
    },
    ..ROOM
};

/// What a daemon makes of a state that it starts with.
fn fresh(state: &State) -> Arc<Plane> {
    let (plane, _) = plane(AMPLE);
    let empty = State::new(Arc::new(facts()));
    plane.apply(&Changes::whole(&empty, state)).unwrap();
    plane
}

#[track_caller]
fn assert_same(is: &BTreeSet<String>, shall: &BTreeSet<String>, what: &str) {
    let more: Vec<_> = is.difference(shall).collect();
    let less: Vec<_> = shall.difference(is).collect();
    assert!(
        more.is_empty() && less.is_empty(),
        "{what}: too much {more:#?}, missing {less:#?}"
    );
}

fn run(history: &[Vec<Step>]) {
    let mut state = State::new(Arc::new(facts()));
    let (plane, _) = plane(AMPLE);
    advance(&plane, &mut state, &[ground()]);
    for steps in history {
        let requests = possible(&state, steps);
        advance(&plane, &mut state, &requests);
    }
}

/// Makes a transaction, after having made and undone it once.
fn advance(plane: &Plane, state: &mut State, requests: &[String]) {
    let staged = stage(state, requests).unwrap().into_staged();
    let before = picture(plane);
    {
        let changes = Changes::staged(state, &staged);
        plane.apply(&changes).unwrap();
        plane.apply(&changes.inverse()).unwrap();
        assert_same(&picture(plane), &before, "undone");
        plane.apply(&changes).unwrap();
    }
    state.merge(staged);
    let shall = picture(&fresh(state));
    assert_same(&picture(plane), &shall, &requests.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn tables_are_those_of_a_daemon_started_with_the_state(
        history in proptest::collection::vec(proptest::collection::vec(step(), 1..6), 1..24)
    ) {
        run(&history);
    }
}

/// A step by the first document that contains a text, or the deletion.
fn named(kind: &str, id: &str, text: Option<&str>) -> Step {
    let resources = UNIVERSE.iter().enumerate();
    let mut of_id = resources.filter(|(_, own)| (own.0, own.1) == (kind, id));
    let found = of_id.find_map(|(resource, (_, _, documents))| {
        let document = match text {
            None => documents.len(),
            Some(text) => documents.iter().position(|own| own.contains(text))?,
        };
        Some(Step { resource, document })
    });
    found.unwrap()
}

/// Found by the random ones.
#[test]
fn a_tenant_may_go_with_one_router_and_come_with_another_at_once() {
    let with = named("routers", "r2", Some("umbra"));
    let without = named("routers", "r2", None);
    // The routes beside its list would be in the way.
    let bare = named("routes", "r2/0.0.0.0/0", None);
    run(&[vec![bare], vec![with], vec![without, with]]);
}
