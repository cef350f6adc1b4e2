//! The fabric as documents of the REST API.

use core::net::Ipv4Addr;
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
    ports_at(fabric, side, stations, |station| {
        addresses.then(|| match side {
            Side::Remote => fabric.remote_address(station),
            Side::Local => fabric.local_address(station),
        })
    })
}

/// The same with addresses of another plan.
#[must_use]
pub fn ports_at(
    fabric: Fabric,
    side: Side,
    stations: Range<u32>,
    address: impl Fn(u32) -> Option<Ipv4Addr>,
) -> String {
    ports_on(fabric, side, stations, address, |_| ACCESS)
}

/// The same with local stations on several interfaces.
#[must_use]
pub fn ports_on(
    fabric: Fabric,
    side: Side,
    stations: Range<u32>,
    address: impl Fn(u32) -> Option<Ipv4Addr>,
    interface: impl Fn(u32) -> &'static str,
) -> String {
    let mut body = String::with_capacity(stations.len() * 280);
    body.push_str("{\"put\":{\"ports\":{");
    for station in stations {
        if !body.ends_with('{') {
            body.push(',');
        }
        let network = fabric.network_of(station);
        let (kind, mac) = match side {
            Side::Remote => (Kind::Remote, fabric.remote_mac(station)),
            Side::Local => (Kind::Local, fabric.local_mac(station)),
        };
        // Writing to a string does not fail.
        let _ = write!(
            body,
            "\"{}\":{{\"network\":\"{}\",\"mac\":\"{mac}\"",
            uuid(kind, station),
            uuid(Kind::Network, network)
        );
        if let Some(address) = address(station) {
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
                let interface = interface(station);
                write!(body, ",\"interface\":\"{interface}\",\"vlan\":{vlan}}}")
            }
        };
    }
    body.push_str("}}}");
    body
}

/// What happens to static entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MacChange {
    /// They are behind the VTEP so many places after that of the station.
    PutAt(u32),
    /// They are gone.
    Delete,
}

/// The transaction that changes the static entries of remote stations: one change of
/// the MAC table each.
#[must_use]
pub fn static_macs(fabric: Fabric, stations: Range<u32>, change: MacChange) -> String {
    let mut body = String::with_capacity(stations.len() * 130);
    let (open, close) = match change {
        MacChange::PutAt(_) => ("{\"put\":{\"fdb\":{", "}}}"),
        MacChange::Delete => ("{\"delete\":{\"fdb\":[", "]}}"),
    };
    body.push_str(open);
    for station in stations {
        if body.len() > open.len() {
            body.push(',');
        }
        // Writing to a string does not fail.
        let _ = write!(
            body,
            "\"{}/{}\"",
            uuid(Kind::Network, fabric.network_of(station)),
            fabric.remote_mac(station),
        );
        if let MacChange::PutAt(by) = change {
            let vtep = (fabric.vtep_of(station) + by) % fabric.vteps;
            let _ = write!(body, ":{{\"host\":\"{}\"}}", uuid(Kind::Host, vtep));
        }
    }
    body.push_str(close);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_static_entries_are_what_the_api_takes() {
        let fabric = Fabric::SMALL;
        let parse =
            |change| -> Value { serde_json::from_str(&static_macs(fabric, 5..8, change)).unwrap() };
        let (put, moved, gone) = (
            parse(MacChange::PutAt(0)),
            parse(MacChange::PutAt(1)),
            parse(MacChange::Delete),
        );
        let [put, moved] = [&put, &moved].map(|body| body["put"]["fdb"].as_object().unwrap());
        assert_eq!(put.len(), 3);
        for (key, entry) in put {
            assert_ne!(entry["host"], moved[key]["host"]);
            assert!(
                gone["delete"]["fdb"]
                    .as_array()
                    .unwrap()
                    .contains(&json!(key))
            );
        }
    }
}
