//! Clouds that translate as documents of the REST API.

use std::fmt::Write as _;
use std::ops::Range;

use serde_json::{Map, Value, json};

use super::fabric::{ACCESS, Kind, SECOND_UNDERLAY, SECOND_UPLINK, UPLINK, uuid};
use super::nat::{Cloud, EXTERNAL, EXTERNAL_PREFIX, FLOATING_MAC, NEXT_HOP, NEXT_HOP_MAC, VLAN};
use super::state::{self, Options, Side};

/// The external network.
const OUTSIDE: &str = "outside";
/// Longer than any run: sessions that take long to be opened, or of which there are many, are
/// not to end meanwhile.
const TIMEOUT: u32 = 7200;

/// The transaction that makes everything but stations and floating IPs.
#[must_use]
pub fn infrastructure(cloud: &Cloud) -> Value {
    let fabric = cloud.fabric();
    let options = Options {
        learning: false,
        bound: true,
    };
    let mut document = state::infrastructure(fabric, options);
    let put = &mut document["put"];
    let interface = match cloud.inside {
        Side::Remote => ACCESS,
        Side::Local => UPLINK,
    };
    put["networks"][OUTSIDE] = json!({
        "segment": { "type": "vlan", "interface": interface, "vlan": VLAN },
        "learning": false,
        "subnets": [{ "cidr": format!("{EXTERNAL}/{EXTERNAL_PREFIX}"), "gateway": NEXT_HOP, "dhcp": false }],
        "external": { "floating_ip_gateways": [{ "mac": FLOATING_MAC.to_string() }] },
    });
    match cloud.second() {
        Some(SECOND_UPLINK) => {
            put["interfaces"][SECOND_UPLINK] = json!({ "addresses": [SECOND_UNDERLAY] });
        }
        Some(access) => {
            put["interfaces"][access] = json!({});
            for network in 0..fabric.networks {
                let binding = json!({ "interface": access, "vlan": fabric.vlan(network) });
                let bindings = &mut put["networks"][uuid(Kind::Network, network)]["bindings"];
                *bindings = json!([bindings[0].take(), binding]);
            }
        }
        None => {}
    }
    // The next hop would be asked for, and nobody is there to answer: it is named.
    put["ports"]["next-hop"] = json!({
        "network": OUTSIDE,
        "mac": NEXT_HOP_MAC.to_string(),
        "addresses": [NEXT_HOP],
        "host": uuid(Kind::Host, 0),
    });
    let router = |network| {
        let addresses = cloud.addresses_of(network);
        let addresses: Vec<String> = addresses
            .map(|address| format!("{address}/{EXTERNAL_PREFIX}"))
            .collect();
        let document = json!({
            "distributed": cloud.is_distributed(),
            "interfaces": [{
                "network": uuid(Kind::Network, network),
                "mac": cloud.gateway_mac(network).to_string(),
                "addresses": [cloud.gateway()],
            }],
            "external_gateway": {
                "network": OUTSIDE,
                "gateways": [{ "mac": cloud.outside_mac(network).to_string(), "addresses": addresses }],
            },
        });
        (router(network), document)
    };
    let routers: Map<String, Value> = (0..fabric.networks).map(router).collect();
    put["routers"] = routers.into();
    // Each router is a tenant; none is to meet its limits here.
    let most = cloud.flows.max(1024) * 2;
    put["nat-settings"]["default"] = json!({
        "timeouts": { "udp": TIMEOUT },
        "limits": { "sessions": most, "sessions_per_second": 100_000_000, "ports": most },
    });
    document
}

fn router(network: u32) -> String {
    format!("r{network}")
}

/// The transaction that makes stations.
#[must_use]
pub fn stations(cloud: &Cloud, stations: Range<u32>) -> String {
    let fabric = cloud.fabric();
    let address = |station| match cloud.inside {
        Side::Remote => fabric.remote_address(station),
        Side::Local => fabric.local_address(station),
    };
    let address = |station| Some(address(station));
    let home = |station| cloud.home(station);
    state::ports_on(fabric, cloud.inside, stations, address, home)
}

/// The transaction that gives stations their floating IPs.
#[must_use]
pub fn floating_ips(cloud: &Cloud, stations: Range<u32>) -> String {
    let kind = match cloud.inside {
        Side::Remote => Kind::Remote,
        Side::Local => Kind::Local,
    };
    let mut body = String::with_capacity(stations.len() * 160);
    body.push_str("{\"put\":{\"floating-ips\":{");
    for station in stations {
        if !body.ends_with('{') {
            body.push(',');
        }
        // Writing to a string does not fail.
        let _ = write!(
            body,
            "\"f{station}\":{{\"address\":\"{}\",\"network\":\"{OUTSIDE}\",\"router\":\"{}\",\"port\":\"{}\"}}",
            cloud.floating_ip(station),
            router(cloud.fabric().network_of(station)),
            uuid(kind, station)
        );
    }
    body.push_str("}}}");
    body
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::nat::{MOST_KEPT, Translation};
    use super::*;

    fn cloud(translation: Translation, inside: Side) -> Cloud {
        Cloud {
            translation,
            inside,
            flows: 1000,
            seed: 7,
            most_kept: MOST_KEPT,
        }
    }

    #[test]
    fn every_router_has_its_network_and_its_addresses() {
        for inside in [Side::Local, Side::Remote] {
            let cloud = cloud(Translation::SnatOfMany, inside);
            let put = &infrastructure(&cloud)["put"];
            let routers = put["routers"].as_object().unwrap();
            assert_eq!(routers.len(), 16);
            let mut addresses = HashSet::new();
            for router in routers.values() {
                let network = router["interfaces"][0]["network"].as_str().unwrap();
                assert!(put["networks"][network].is_object());
                let gateway = &router["external_gateway"]["gateways"][0];
                for address in gateway["addresses"].as_array().unwrap() {
                    assert!(addresses.insert(address.as_str().unwrap().to_owned()));
                }
            }
            assert_eq!(addresses.len(), cloud.addresses() as usize);
        }
    }

    #[test]
    fn stations_whose_frames_are_not_kept_are_on_another_device() {
        let cloud = Cloud {
            most_kept: 500,
            ..cloud(Translation::Snat, Side::Local)
        };
        let put = &infrastructure(&cloud)["put"];
        let second = cloud.second().unwrap();
        assert!(put["interfaces"][second].is_object());
        for network in 0..16 {
            let network = &put["networks"][uuid(Kind::Network, network)];
            let bindings = network["bindings"].as_array().unwrap();
            assert_eq!(bindings.len(), 2);
            assert_eq!(bindings[0]["vlan"], bindings[1]["vlan"]);
        }
        let stations: Value = serde_json::from_str(&stations(&cloud, 0..1000)).unwrap();
        let ports = stations["put"]["ports"].as_object().unwrap().values();
        assert_eq!(
            ports.filter(|port| port["interface"] == second).count(),
            500
        );
    }

    #[test]
    fn every_station_has_a_floating_ip_that_is_its_own() {
        for inside in [Side::Local, Side::Remote] {
            let cloud = cloud(Translation::FloatingIp, inside);
            let parse = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
            let stations = parse(&stations(&cloud, 0..1000));
            let floating_ips = parse(&floating_ips(&cloud, 0..1000));
            let stations = stations["put"]["ports"].as_object().unwrap();
            let mut addresses = HashSet::new();
            for own in floating_ips["put"]["floating-ips"]
                .as_object()
                .unwrap()
                .values()
            {
                let station = &stations[own["port"].as_str().unwrap()];
                let routers = &infrastructure(&cloud)["put"]["routers"];
                let router = &routers[own["router"].as_str().unwrap()];
                assert_eq!(router["interfaces"][0]["network"], station["network"]);
                assert!(addresses.insert(own["address"].as_str().unwrap().to_owned()));
            }
            assert_eq!(addresses.len(), 1000);
        }
    }
}
