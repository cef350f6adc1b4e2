//! The model's ways outside: external networks, the routers' gateways there, floating IPs.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::operations::{Operation, merge, without_nulls};
use crate::rules::{Documents, address, all_different, connected, is_station, list, net, of};

/// A host of a list of gateways: none is this one.
fn host() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => Just(Value::Null),
        2 => "h[1-3]".prop_map(Value::from),
        1 => Just(json!("this-host")),
    ]
}

fn mac(numbers: std::ops::Range<u8>) -> impl Strategy<Value = String> {
    numbers.prop_map(|n| format!("52:54:00:00:00:{n:02x}"))
}

pub fn external_network() -> impl Strategy<Value = Operation> {
    let segment = prop_oneof![
        3 => Just(json!({"type": "flat", "interface": "eth1"})),
        2 => Just(json!({"type": "vlan", "interface": "eth1", "vlan": 3})),
        1 => Just(json!({"type": "vxlan", "vni": 3})),
    ];
    let subnet = prop_oneof![
        4 => Just(json!({"cidr": "10.1.0.0/24", "gateway": "10.1.0.1"})),
        1 => Just(json!({"cidr": "10.1.0.0/29", "gateway": "10.1.0.1"})),
        1 => Just(json!({"cidr": "10.1.0.0/24"})),
    ];
    let own = prop_oneof![2 => Just(Value::Null), 1 => "10\\.1\\.0\\.[1-4]".prop_map(Value::from)];
    let gateway = (host(), mac(9..12), own).prop_map(|(host, mac, address)| {
        without_nulls(json!({"host": host, "mac": mac, "address": address}))
    });
    let external = prop_oneof![
        4 => prop::collection::vec(gateway, 1..3).prop_map(|own| json!({"floating_ip_gateways": own})),
        2 => Just(json!({})),
        1 => Just(Value::Null),
    ];
    (segment, subnet, external).prop_map(|(segment, mut subnet, external)| {
        merge(&mut subnet, json!({"dhcp": true, "lease_seconds": 86400}));
        let document = json!({
            "segment": segment, "bindings": [], "subnets": [subnet], "external": external,
        });
        Operation::Put("networks", "ext".to_owned(), without_nulls(document))
    })
}

pub fn way_outside() -> impl Strategy<Value = Value> {
    let length = prop_oneof![5 => Just(24), 1 => Just(29)];
    let gateway = (host(), mac(11..15), 1..9_u8, length).prop_map(|(host, mac, n, length)| {
        without_nulls(
            json!({"host": host, "mac": mac, "addresses": [format!("10.1.0.{n}/{length}")]}),
        )
    });
    let next_hops = prop_oneof![
        3 => Just(Value::Null),
        1 => Just(json!([])),
        1 => "10\\.1\\.0\\.[1-9]".prop_map(|own| json!([own])),
    ];
    let network = prop_oneof![8 => Just("ext"), 1 => Just("n1")];
    let gateways = prop::collection::vec(gateway, 1..3);
    (network, gateways, next_hops).prop_map(|(network, gateways, next_hops)| {
        without_nulls(json!({
            "network": network, "gateways": gateways, "next_hops": next_hops, "snat": true,
            "filtering": "endpoint-independent", "outbound_only_ipv6": false, "floating_ip_hops": 2,
        }))
    })
}

/// The central port of an interface.
pub fn central() -> impl Strategy<Value = Value> {
    let address = prop_oneof!["10\\.0\\.0\\.[34]", Just("10.0.1.4".to_owned())];
    (mac(14..17), address).prop_map(|(mac, own)| json!({"mac": mac, "addresses": [own]}))
}

pub fn floating_ip() -> impl Strategy<Value = Operation> {
    let distributed = prop_oneof![
        3 => Just(Value::Null),
        1 => Just(json!(true)),
        1 => Just(json!(false)),
    ];
    let inside = "10\\.0\\.0\\.[1-5]";
    let to_port = ("p[1-6]", inside, distributed).prop_map(|(port, fixed, distributed)| {
        without_nulls(json!({"port": port, "fixed_address": fixed, "distributed": distributed}))
    });
    let forwarding = (
        prop_oneof!["tcp", "udp"],
        80..82_u16,
        inside,
    )
        .prop_map(|(protocol, port, to)| {
            json!({"protocol": protocol, "port": port, "to": format!("{to}:{port}")})
        });
    let leads_to = prop_oneof![
        4 => to_port,
        2 => inside.prop_map(|fixed| json!({"fixed_address": fixed})),
        2 => prop::collection::vec(forwarding, 1..3).prop_map(|own| json!({"forwardings": own})),
        1 => Just(json!({})),
    ];
    let network = prop_oneof![8 => Just("ext"), 1 => Just("n1")];
    ("f[1-3]", "10\\.1\\.0\\.[1-9]", network, "r[1-2]", leads_to).prop_map(
        |(id, address, network, router, leads_to)| {
            let mut document = json!({"address": address, "network": network, "router": router});
            merge(&mut document, leads_to);
            Operation::Put("floating-ips", id, document)
        },
    )
}

/// The external network of a router's way outside, and that way.
pub fn outside_of<'a>(
    router: &'a Value,
    documents: &'a Documents,
) -> Option<(&'a Value, &'a Value)> {
    let outside = router.get("external_gateway")?;
    let network = outside["network"].as_str()?.to_owned();
    Some((documents.get(&("networks", network))?, outside))
}

pub fn subnets(network: &Value) -> Vec<IpNet> {
    let subnets = list(network, "subnets").iter();
    subnets.map(|subnet| net(&subnet["cidr"])).collect()
}

/// An address of ours outside: in a subnet, and not its gateway.
fn is_outside(own: IpAddr, network: &Value) -> bool {
    let mut subnets = list(network, "subnets").iter();
    subnets
        .any(|subnet| is_station(own, net(&subnet["cidr"])) && subnet["gateway"] != own.to_string())
}

pub fn is_next_hop_outside(via: IpAddr, router: &Value, documents: &Documents) -> bool {
    outside_of(router, documents).is_some_and(|(network, outside)| {
        let gateways = list(outside, "gateways").iter();
        let mut own = gateways.flat_map(|own| list(own, "addresses"));
        let mut subnets = subnets(network).into_iter();
        subnets.any(|subnet| is_station(via, subnet)) && own.all(|own| net(own).addr() != via)
    })
}

/// A subnet outside is reached without a next hop, and the default by those of the way outside.
pub fn is_taken_outside(destination: IpNet, router: &Value, documents: &Documents) -> bool {
    outside_of(router, documents).is_some_and(|(network, outside)| {
        let named = outside["next_hops"].as_array();
        let mut told = list(network, "subnets").iter();
        let has_default = named.map_or_else(
            || told.any(|own| own["gateway"].is_string()),
            |own| !own.is_empty(),
        );
        subnets(network).contains(&destination) || destination.prefix_len() == 0 && has_default
    })
}

/// The host in a list of gateways; `None` is this one.
fn host_of(own: &Value) -> Option<&str> {
    own["host"].as_str().filter(|host| *host != "this-host")
}

/// The remote host that has a router's central gateway.
pub fn central_host(router: &Value) -> Option<&str> {
    let first = list(router.get("external_gateway")?, "gateways").first()?;
    match router["distributed"] == true {
        true => host_of(first),
        false => host_of(router),
    }
}

/// Every MAC address of a way outside, with its network and the IP addresses that go with it.
pub fn taken(documents: &Documents) -> Vec<(&str, &str, Vec<String>)> {
    let mut taken = Vec::new();
    let text = |own: &Value| match own.as_str().unwrap().split_once('/') {
        Some((address, _)) => address.to_owned(),
        None => own.as_str().unwrap().to_owned(),
    };
    for (id, network) in of(documents, "networks") {
        for own in list(&network["external"], "floating_ip_gateways") {
            let address = own["address"].as_str().map(str::to_owned);
            taken.push((
                id,
                own["mac"].as_str().unwrap(),
                address.into_iter().collect(),
            ));
        }
    }
    for (_, router) in of(documents, "routers") {
        let interfaces = list(router, "interfaces").iter();
        let central = interfaces.filter_map(|own| Some((&own["network"], own.get("central")?)));
        let outside = &router["external_gateway"];
        let gateways = list(outside, "gateways").iter();
        for (network, own) in central.chain(gateways.map(|own| (&outside["network"], own))) {
            let addresses = list(own, "addresses").iter().map(text).collect();
            let mac = own["mac"].as_str().unwrap();
            taken.push((network.as_str().unwrap(), mac, addresses));
        }
    }
    taken
}

pub fn outside_makes_sense(documents: &Documents) -> bool {
    let networks = of(documents, "networks");
    networks.iter().all(|(_, network)| is_external(network))
        && of(documents, "routers")
            .iter()
            .all(|(_, router)| leads_outside(router, documents))
        && floating_ips_lead_somewhere(documents)
}

fn is_external(network: &Value) -> bool {
    let Some(external) = network.get("external") else {
        return true;
    };
    let gateways = list(external, "floating_ip_gateways");
    let mut addresses = gateways.iter().filter_map(|own| own.get("address"));
    network["segment"]["type"] != "vxlan"
        && !list(network, "subnets").is_empty()
        && all_different(gateways.iter().map(host_of))
        && addresses.all(|own| is_outside(address(own), network))
}

fn leads_outside(router: &Value, documents: &Documents) -> bool {
    let interfaces = list(router, "interfaces");
    let mut central = interfaces.iter().filter(|own| own.get("central").is_some());
    let Some((network, outside)) = outside_of(router, documents) else {
        return router.get("external_gateway").is_none() && central.next().is_none();
    };
    let is_distributed = router["distributed"] == true;
    let gateways = list(outside, "gateways");
    let mut addresses = gateways.iter().flat_map(|own| list(own, "addresses"));
    let own_subnet = |own: &Value| subnets(network).contains(&net(own).trunc());
    let mut next_hops = list(outside, "next_hops").iter();
    let mut inside = connected(router).into_iter();
    let overlaps = |own: IpNet| {
        let mut outside = subnets(network).into_iter();
        outside.any(|other| other.contains(&own.addr()) || own.contains(&other.addr()))
    };
    network.get("external").is_some()
        && (is_distributed || gateways.len() == 1 && gateways[0].get("host").is_none())
        && (is_distributed || central.next().is_none())
        && all_different(gateways.iter().map(host_of))
        && addresses.all(|own| own_subnet(own) && is_outside(net(own).addr(), network))
        && next_hops.all(|via| is_next_hop_outside(address(via), router, documents))
        && interfaces
            .iter()
            .all(|own| own["network"] != outside["network"])
        && !inside.any(overlaps)
        && interfaces
            .iter()
            .all(|own| has_central(own, router, documents) && central_fits(own))
}

fn central_fits(interface: &Value) -> bool {
    let subnets: Vec<IpNet> = list(interface, "addresses").iter().map(net).collect();
    let central = interface.get("central").into_iter();
    let mut central = central.flat_map(|own| list(own, "addresses")).map(address);
    central.all(|own| {
        let mut subnets = subnets.iter();
        subnets.any(|subnet| is_station(own, *subnet) && subnet.addr() != own)
    })
}

/// Hosts without a gateway outside need the central port.
fn has_central(interface: &Value, router: &Value, documents: &Documents) -> bool {
    let gateways = list(&router["external_gateway"], "gateways");
    let goes_out = |host: Option<&str>| gateways.iter().any(|own| host_of(own) == host);
    let mut members = members(interface["network"].as_str().unwrap(), documents).into_iter();
    interface.get("central").is_some()
        || router["distributed"] != true
        || goes_out(None) && members.all(|host| goes_out(Some(host)))
}

/// The remote hosts with a part in a network.
pub fn members<'a>(network: &str, documents: &'a Documents) -> Vec<&'a str> {
    let stations = of(documents, "ports").into_iter();
    let stations = stations.chain(of(documents, "fdb"));
    let stations = stations
        .filter(|(id, own)| own["network"].as_str().or(id.split('/').next()) == Some(network));
    let mut members: Vec<&str> = stations
        .filter_map(|(_, own)| own["host"].as_str())
        .collect();
    for (_, router) in of(documents, "routers") {
        for own in list(router, "interfaces") {
            if own["network"] == network {
                members.extend(host_of(router));
                members.extend(central_host(router).filter(|_| own.get("central").is_some()));
            }
        }
    }
    members
}

fn floating_ips_lead_somewhere(documents: &Documents) -> bool {
    let floating_ips = of(documents, "floating-ips");
    let mut whole = Vec::new();
    let mut forwarded = Vec::new();
    let sound = floating_ips.iter().all(|(_, own)| {
        let document = |kind, field: &str| documents.get(&(kind, own[field].as_str()?.to_owned()));
        let (Some(network), Some(router)) = (
            document("networks", "network"),
            document("routers", "router"),
        ) else {
            return false;
        };
        let port = document("ports", "port");
        let forwardings = list(own, "forwardings");
        let to = |own: &Value| {
            own["to"]
                .as_str()
                .unwrap()
                .split_once(':')
                .unwrap()
                .0
                .to_owned()
        };
        let fixed = own["fixed_address"].as_str().map(str::to_owned);
        let mut inside = fixed.iter().cloned().chain(forwardings.iter().map(to));
        let name = |own: &Value, field: &str| (own["protocol"].to_string(), own[field].to_string());
        let router_id = own["router"].to_string();
        whole.extend(fixed.iter().map(|fixed| (router_id.clone(), fixed.clone())));
        forwarded.extend(
            forwardings
                .iter()
                .map(|own| (router_id.clone(), to(own), name(own, "to"))),
        );
        network.get("external").is_some()
            && is_outside(address(&own["address"]), network)
            && router["external_gateway"]["network"] == own["network"]
            && (own["distributed"] != true || router["distributed"] == true)
            && port.is_none_or(|port| list(port, "addresses").contains(&own["fixed_address"]))
            && all_different(forwardings.iter().map(|own| name(own, "port")))
            && inside.all(|inside| {
                let inside: IpAddr = inside.parse().unwrap();
                let mut interfaces = list(router, "interfaces").iter();
                interfaces.any(|own| {
                    let mut subnets = list(own, "addresses").iter().map(net);
                    subnets.any(|subnet| is_station(inside, subnet) && subnet.addr() != inside)
                        && port.is_none_or(|port| port["network"] == own["network"])
                        && !list(&own["central"], "addresses").contains(&inside.to_string().into())
                })
            })
    });
    let ways: Vec<_> = forwarded
        .iter()
        .map(|(router, to, _)| (router.clone(), to.clone()))
        .collect();
    sound
        && all_different(forwarded)
        && !whole.iter().any(|own| ways.contains(own))
        && all_different(whole)
}
