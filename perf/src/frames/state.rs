//! The fabric as documents of the REST API.

use std::fmt::Write as _;
use std::ops::Range;

use serde_json::{Map, Value, json};

use super::fabric::{ACCESS, Fabric, Kind, LOCAL_HOST, OWN_VTEP, UNDERLAY_PREFIX, UPLINK, uuid};

/// What a fabric's networks do besides forwarding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Whether source addresses are learned.
    pub learning: bool,
    /// Whether every network is bound to the access interface, by its VLAN.
    pub bound: bool,
}

/// The transaction that makes everything but ports.
#[must_use]
pub fn infrastructure(fabric: Fabric, options: Options) -> Value {
    let mut hosts = Map::new();
    hosts.insert(LOCAL_HOST.to_owned(), json!({ "vtep": OWN_VTEP }));
    for vtep in 0..fabric.vteps {
        let host = json!({ "vtep": fabric.vtep(vtep) });
        hosts.insert(uuid(Kind::Host, vtep), host);
    }
    let network = |network| {
        let mut document = json!({
            "segment": { "type": "vxlan", "vni": fabric.vni(network) },
            "learning": options.learning,
        });
        if let (true, Some(vlan)) = (options.bound, fabric.vlan(network)) {
            document["bindings"] = json!([{ "interface": ACCESS, "vlan": vlan }]);
        }
        (uuid(Kind::Network, network), document)
    };
    let networks: Map<String, Value> = (0..fabric.networks).map(network).collect();
    json!({ "put": {
        "interfaces": {
            UPLINK: { "addresses": [format!("{OWN_VTEP}/{UNDERLAY_PREFIX}")] },
            ACCESS: {},
        },
        "hosts": hosts,
        "networks": networks,
    } })
}

/// Where the stations of a transaction live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Behind remote VTEPs.
    Remote,
    /// On the access interface.
    Local,
}

/// The transaction that makes ports of some stations, with their addresses or with
/// MACs alone. Written by hand: a million of them by way of `Value` take seconds.
#[must_use]
pub fn ports(fabric: Fabric, side: Side, stations: Range<u32>, addresses: bool) -> String {
    let mut body = String::with_capacity(stations.len() * 280);
    body.push_str("{\"put\":{\"ports\":{");
    for station in stations {
        if !body.ends_with('{') {
            body.push(',');
        }
        let network = fabric.network_of(station);
        let (kind, mac, address) = match side {
            Side::Remote => (
                Kind::Remote,
                fabric.remote_mac(station),
                fabric.remote_address(station),
            ),
            Side::Local => (
                Kind::Local,
                fabric.local_mac(station),
                fabric.local_address(station),
            ),
        };
        // Writing to a string does not fail.
        let _ = write!(
            body,
            "\"{}\":{{\"network\":\"{}\",\"mac\":\"{mac}\"",
            uuid(kind, station),
            uuid(Kind::Network, network)
        );
        if addresses {
            let _ = write!(body, ",\"addresses\":[\"{address}\"]");
        }
        let _ = match side {
            Side::Remote => write!(
                body,
                ",\"host\":\"{}\"}}",
                uuid(Kind::Host, fabric.vtep_of(station))
            ),
            Side::Local => {
                let vlan = fabric.vlan(network).unwrap_or_default();
                write!(body, ",\"interface\":\"{ACCESS}\",\"vlan\":{vlan}}}")
            }
        };
    }
    body.push_str("}}}");
    body
}

/// The transaction that moves remote stations to the VTEP `by` places further on:
/// each is one change of the FDB and, with addresses, one of the neighbours.
#[must_use]
pub fn static_macs(fabric: Fabric, stations: Range<u32>, by: u32) -> String {
    let mut body = String::with_capacity(stations.len() * 130);
    body.push_str("{\"put\":{\"fdb\":{");
    for station in stations {
        if !body.ends_with('{') {
            body.push(',');
        }
        let _ = write!(
            body,
            "\"{}/{}\":{{\"host\":\"{}\"}}",
            uuid(Kind::Network, fabric.network_of(station)),
            fabric.remote_mac(station),
            uuid(Kind::Host, (fabric.vtep_of(station) + by) % fabric.vteps)
        );
    }
    body.push_str("}}}");
    body
}
