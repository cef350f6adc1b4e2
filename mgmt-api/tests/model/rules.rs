//! The naive model: plain maps of documents, and rules checked by looking at everything.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::operations::Operation;
use crate::outside::{
    central_host, is_next_hop_outside, is_taken_outside, outside_makes_sense, taken,
};

/// Documents by kind and identifier.
pub type Documents = BTreeMap<(&'static str, String), Value>;

/// The documents after a transaction, if it makes sense.
pub fn after(before: &Documents, operations: &[Operation]) -> Option<Documents> {
    let mut documents = before.clone();
    let mut touched = Vec::new();
    for operation in operations {
        let (kind, id) = match operation {
            Operation::Put(kind, id, _) | Operation::Delete(kind, id) => (*kind, id.clone()),
        };
        if touched.contains(&(kind, id.clone())) {
            return None;
        }
        touched.push((kind, id.clone()));
        match operation {
            Operation::Put(_, _, document) => {
                documents.insert((kind, id), document.clone());
            }
            Operation::Delete(..) => {
                documents.remove(&(kind, id))?;
            }
        }
    }
    is_sound(&documents).then_some(documents)
}

pub fn of<'a>(documents: &'a Documents, kind: &str) -> Vec<(&'a str, &'a Value)> {
    let all = documents.iter().filter(|((own, _), _)| *own == kind);
    all.map(|((_, id), document)| (id.as_str(), document))
        .collect()
}

pub fn all_different<T: Ord + Clone>(items: impl IntoIterator<Item = T>) -> bool {
    let mut items: Vec<T> = items.into_iter().collect();
    let len = items.len();
    items.sort();
    items.dedup();
    items.len() == len
}

fn nets(interface: &Value) -> Vec<IpNet> {
    let addresses = interface["addresses"].as_array().into_iter().flatten();
    addresses
        .map(|address| address.as_str().unwrap().parse().unwrap())
        .collect()
}

/// The rules of the state, each by looking at everything.
fn is_sound(documents: &Documents) -> bool {
    references_hold(documents)
        && addresses_are_unique(documents)
        && places_are_unique(documents)
        && mtus_fit(documents)
        && stations_fit_subnets(documents)
        && routers_make_sense(documents)
        && routes_make_sense(documents)
        && dvr_macs_are_there(documents)
        && outside_makes_sense(documents)
}

pub fn list<'a>(document: &'a Value, field: &str) -> &'a [Value] {
    document[field]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

pub fn net(text: &Value) -> IpNet {
    text.as_str().unwrap().parse().unwrap()
}

pub fn address(text: &Value) -> IpAddr {
    text.as_str().unwrap().parse().unwrap()
}

/// Every interface of every router.
fn gateways(documents: &Documents) -> Vec<&Value> {
    let routers = of(documents, "routers").into_iter();
    routers
        .flat_map(|(_, router)| list(router, "interfaces"))
        .collect()
}

/// A network's own address and its broadcast address are no station's.
pub fn is_station(address: IpAddr, subnet: IpNet) -> bool {
    subnet.contains(&address) && address != subnet.network() && address != subnet.broadcast()
}

fn stations_fit_subnets(documents: &Documents) -> bool {
    let subnets = |network: &Value| -> Vec<IpNet> {
        let network = &documents[&("networks", network.as_str().unwrap().to_owned())];
        let subnets = list(network, "subnets").iter();
        subnets.map(|subnet| net(&subnet["cidr"])).collect()
    };
    let ports = of(documents, "ports");
    let ports = ports.iter().all(|(_, port)| {
        let subnets = subnets(&port["network"]);
        let fits = |own: &Value| {
            subnets
                .iter()
                .any(|subnet| is_station(address(own), *subnet))
        };
        subnets.is_empty() || list(port, "addresses").iter().all(fits)
    });
    ports
        && gateways(documents).iter().all(|own| {
            let subnets = subnets(&own["network"]);
            let fits = |own: &Value| subnets.contains(&net(own).trunc());
            subnets.is_empty() || list(own, "addresses").iter().all(fits)
        })
}

/// The subnets of a router with its own address in each.
pub fn connected(router: &Value) -> Vec<IpNet> {
    let interfaces = list(router, "interfaces").iter();
    interfaces
        .flat_map(|own| list(own, "addresses"))
        .map(net)
        .collect()
}

fn is_next_hop(via: &Value, router: &Value, documents: &Documents) -> bool {
    let via = address(via);
    let connected = connected(router);
    let mut near = connected.iter().filter(|own| own.contains(&via));
    match near.next() {
        Some(own) => is_station(via, *own) && own.addr() != via,
        None => is_next_hop_outside(via, router, documents),
    }
}

fn is_destination(destination: &Value, router: &Value, documents: &Documents) -> bool {
    let destination = net(destination);
    let mut connected = connected(router).into_iter();
    destination != net(&json!("127.0.0.0/8"))
        && connected.all(|own| own.trunc() != destination)
        && !is_taken_outside(destination, router, documents)
}

fn routers_make_sense(documents: &Documents) -> bool {
    of(documents, "routers").iter().all(|(_, router)| {
        let connected = connected(router);
        let interfaces = list(router, "interfaces").iter();
        let interfaces = interfaces.map(|own| (own["network"].to_string(), own["mac"].to_string()));
        let disjoint = connected.iter().enumerate().all(|(index, a)| {
            connected[..index]
                .iter()
                .all(|b| !a.contains(&b.addr()) && !b.contains(&a.addr()))
        });
        let routes = list(router, "routes");
        let is_good = |route: &Value| {
            is_next_hop(&route["via"], router, documents)
                && is_destination(&route["destination"], router, documents)
        };
        all_different(interfaces)
            && disjoint
            && connected.iter().all(|own| is_station(own.addr(), *own))
            && all_different(routes.iter().map(Value::to_string))
            && routes.iter().all(is_good)
            && !(router["distributed"] == true && router["host"].is_string())
    })
}

fn routes_make_sense(documents: &Documents) -> bool {
    of(documents, "routes").iter().all(|(id, route)| {
        let (router, destination) = id.split_once('/').unwrap();
        let Some(router) = documents.get(&("routers", router.to_owned())) else {
            return false;
        };
        let mut own = list(router, "routes").iter();
        let via = list(route, "via");
        is_destination(&json!(destination), router, documents)
            && own.all(|own| own["destination"] != destination)
            && all_different(via.iter().map(Value::to_string))
            && via.iter().all(|via| is_next_hop(via, router, documents))
    })
}

fn dvr_macs_are_there(documents: &Documents) -> bool {
    let hosts = of(documents, "hosts");
    let macs: Vec<_> = hosts
        .iter()
        .filter_map(|(_, host)| host["dvr_mac"].as_str())
        .collect();
    let gateways = gateways(documents);
    let gateway_macs = gateways.iter().map(|own| own["mac"].as_str().unwrap());
    let outside = taken(documents);
    let mut gateway_macs = gateway_macs.chain(outside.iter().map(|(_, mac, _)| *mac));
    let has_own = hosts
        .iter()
        .any(|(id, host)| *id == "this-host" && host["dvr_mac"].is_string());
    // Networks with a station on another host.
    let mut spread = Vec::new();
    for (id, station) in of(documents, "ports")
        .into_iter()
        .chain(of(documents, "fdb"))
    {
        if station["host"].is_string() {
            let network = station["network"].as_str();
            spread.push(network.or(id.split('/').next()).unwrap());
        }
    }
    let routers = of(documents, "routers");
    for (_, router) in &routers {
        if router["host"]
            .as_str()
            .is_some_and(|host| host != "this-host")
        {
            let own = list(router, "interfaces").iter();
            spread.extend(own.map(|own| own["network"].as_str().unwrap()));
        }
        if central_host(router).is_some() {
            let own = list(router, "interfaces").iter();
            let central = own.filter(|own| own.get("central").is_some());
            spread.extend(central.map(|own| own["network"].as_str().unwrap()));
        }
    }
    let mut distributed = routers
        .iter()
        .filter(|(_, router)| router["distributed"] == true)
        .flat_map(|(_, router)| list(router, "interfaces"));
    let needs_own = distributed.any(|own| spread.contains(&own["network"].as_str().unwrap()));
    gateway_macs.all(|mac| !macs.contains(&mac)) && all_different(macs) && (has_own || !needs_own)
}

fn references_hold(documents: &Documents) -> bool {
    let exists = |kind: &'static str, id: &str| documents.contains_key(&(kind, id.to_owned()));
    documents.iter().all(|((kind, id), document)| {
        let field = |name: &str| document[name].as_str();
        let network = match *kind {
            "fdb" => id.split('/').next(),
            _ => field("network"),
        };
        let bindings = document["bindings"].as_array().into_iter().flatten();
        let bound = bindings.map(|binding| binding["interface"].as_str());
        let interfaces = [
            field("interface"),
            document["segment"]["interface"].as_str(),
        ];
        let gateways = list(document, "interfaces").iter();
        let routed = gateways.map(|own| own["network"].as_str());
        let is_here = *kind == "routers" && document["host"] == "this-host";
        let outside = &document["external_gateway"];
        let outside_hosts = list(outside, "gateways").iter();
        let outside_hosts =
            outside_hosts.chain(list(&document["external"], "floating_ip_gateways"));
        let mut outside_hosts = outside_hosts.filter_map(|own| own["host"].as_str());
        let is_router = |own: &str| exists("routers", own);
        network
            .into_iter()
            .chain(routed.flatten())
            .chain(outside["network"].as_str())
            .all(|network| exists("networks", network))
            && field("router").is_none_or(is_router)
            && field("port").is_none_or(|port| exists("ports", port))
            && outside_hosts.all(|host| host == "this-host" || exists("hosts", host))
            && field("host").is_none_or(|host| is_here || exists("hosts", host))
            && interfaces
                .into_iter()
                .chain(bound)
                .flatten()
                .all(|own| exists("interfaces", own))
    })
}

fn addresses_are_unique(documents: &Documents) -> bool {
    let ports = of(documents, "ports");
    let macs = ports.iter().map(|(_, port)| {
        (
            port["network"].as_str().unwrap(),
            port["mac"].as_str().unwrap(),
        )
    });
    let entries = of(documents, "fdb");
    let entries = entries.iter().map(|(id, _)| id.split_once('/').unwrap());
    let routed = gateways(documents);
    let gateway_macs = routed.iter().map(|own| {
        (
            own["network"].as_str().unwrap(),
            own["mac"].as_str().unwrap(),
        )
    });
    let gateway_addresses = routed.iter().flat_map(|own| {
        let network = own["network"].as_str().unwrap();
        let addresses = list(own, "addresses").iter();
        addresses.map(move |own| (network, net(own).addr().to_string()))
    });
    let addresses = ports.iter().flat_map(|(_, port)| {
        let network = port["network"].as_str().unwrap();
        port["addresses"]
            .as_array()
            .unwrap()
            .iter()
            .map(move |own| (network, own.as_str().unwrap().to_owned()))
    });
    let own: Vec<IpNet> = of(documents, "interfaces")
        .iter()
        .flat_map(|(_, own)| nets(own))
        .collect();
    let disjoint = own.iter().enumerate().all(|(index, a)| {
        own[..index]
            .iter()
            .all(|b| !a.contains(&b.network()) && !b.contains(&a.network()))
    });
    let hosts = of(documents, "hosts");
    let vteps = hosts.iter().map(|(id, host)| {
        (
            *id,
            host["vtep"].as_str().unwrap().parse::<IpAddr>().unwrap(),
        )
    });
    let vteps: Vec<_> = vteps.collect();
    let is_own = |vtep: &IpAddr| own.iter().any(|net| net.addr() == *vtep);
    let outside = taken(documents);
    let outside_macs = outside.iter().map(|(network, mac, _)| (*network, *mac));
    let outside_addresses = outside.iter().flat_map(|(network, _, addresses)| {
        let addresses = addresses.iter();
        addresses.map(move |own| (*network, own.clone()))
    });
    let floating_ips = of(documents, "floating-ips");
    let floating_ips = floating_ips.iter().map(|(_, own)| {
        let address = own["address"].as_str().unwrap();
        (own["network"].as_str().unwrap(), address.to_owned())
    });
    all_different(macs.chain(entries).chain(gateway_macs).chain(outside_macs))
        && all_different(
            addresses
                .chain(gateway_addresses)
                .chain(outside_addresses)
                .chain(floating_ips),
        )
        && disjoint
        && all_different(vteps.iter().map(|(_, vtep)| vtep))
        && vteps
            .iter()
            .all(|(id, vtep)| is_own(vtep) == (*id == "this-host"))
}

/// An interface and VLAN, and who holds it: the tag type and the owner.
type Held = ((String, Option<u64>), (String, String));

/// Everyone who holds an (interface, VLAN) and with which tag type, once for each owner.
fn places_are_unique(documents: &Documents) -> bool {
    let vnis = of(documents, "networks");
    let vnis = vnis
        .iter()
        .filter_map(|(_, network)| network["segment"]["vni"].as_u64());
    let place = |value: &Value| {
        (
            value["interface"].as_str().unwrap().to_owned(),
            value["vlan"].as_u64(),
        )
    };
    let owner = |value: &Value, id: &str| {
        let tpid = value["tpid"].as_str().unwrap_or("802.1q");
        (tpid.to_owned(), id.to_owned())
    };
    let mut holders: Vec<Held> = Vec::new();
    for (id, interface) in of(documents, "interfaces") {
        if !nets(interface).is_empty() {
            holders.push(((id.to_owned(), None), owner(&Value::Null, "underlay")));
        }
    }
    for (id, network) in of(documents, "networks") {
        let bindings = network["bindings"].as_array().unwrap();
        if !all_different(bindings.iter().map(place)) {
            return false;
        }
        if network["segment"]["type"] != "vxlan" {
            let own = place(&network["segment"]);
            if bindings.iter().any(|binding| place(binding) == own) {
                return false;
            }
            holders.push((own, owner(&network["segment"], id)));
        }
        holders.extend(bindings.iter().map(|own| (place(own), owner(own, id))));
    }
    for (id, station) in of(documents, "ports")
        .into_iter()
        .chain(of(documents, "fdb"))
    {
        if station["interface"].is_string() {
            let network = station["network"]
                .as_str()
                .or(id.split('/').next())
                .unwrap();
            holders.push((place(station), owner(station, network)));
        }
    }
    holders.sort();
    holders.dedup();
    all_different(vnis) && all_different(holders.into_iter().map(|(place, _)| place))
}

fn mtus_fit(documents: &Documents) -> bool {
    let interfaces = of(documents, "interfaces");
    let mtu = |interface: &Value| interface["mtu"].as_u64().unwrap_or(1500);
    let underlay = interfaces
        .iter()
        .filter(|(_, interface)| !nets(interface).is_empty());
    let underlay = underlay.map(|(_, interface)| mtu(interface)).min();
    let hosts = of(documents, "hosts");
    let has_ipv6 = hosts
        .iter()
        .any(|(id, host)| *id != "this-host" && host["vtep"].as_str().unwrap().contains(':'));
    let overhead = if has_ipv6 { 70 } else { 50 };
    of(documents, "networks").iter().all(|(_, network)| {
        let Some(own) = network["mtu"].as_u64() else {
            return true;
        };
        match network["segment"]["interface"].as_str() {
            Some(id) => {
                let found = interfaces.iter().find(|(own, _)| *own == id).unwrap();
                own <= mtu(found.1)
            }
            None => underlay.is_none_or(|underlay| own + overhead <= underlay),
        }
    })
}
