//! Random transactions against a naive model: plain maps, and rules checked by looking at everything.

mod support;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use support::api::Api;

/// Documents by kind and identifier.
type Documents = BTreeMap<(&'static str, String), Value>;

#[derive(Debug, Clone)]
enum Operation {
    Put(&'static str, String, Value),
    Delete(&'static str, String),
}

fn interface() -> impl Strategy<Value = Operation> {
    let addresses = prop_oneof![
        3 => Just(json!([])),
        3 => Just(json!(["192.0.2.11/24"])),
        1 => Just(json!(["198.51.100.11/24", "2001:db8::11/64"])),
        1 => Just(json!(["192.0.2.12/25"])),
    ];
    let mtu = prop_oneof![4 => Just(Value::Null), 1 => Just(json!(1400)), 1 => Just(json!(9000))];
    ("eth[01]", addresses, mtu).prop_map(|(id, addresses, mtu)| {
        Operation::Put(
            "interfaces",
            id,
            without_nulls(json!({"addresses": addresses, "mtu": mtu})),
        )
    })
}

fn host() -> impl Strategy<Value = Operation> {
    let id = prop_oneof![6 => "h[1-3]", 1 => Just("this-host".to_owned())];
    let vtep = prop_oneof!["192\\.0\\.2\\.1[1-3]", Just("2001:db8::12".to_owned())];
    // Now and then one that a gateway may have.
    let dvr_mac = prop_oneof![
        2 => Just(Value::Null),
        4 => (1..4_u8).prop_map(|n| json!(format!("fa:16:3f:00:00:{n:02x}"))),
        1 => Just(json!("52:54:00:00:00:01")),
    ];
    (id, vtep, dvr_mac).prop_map(|(id, vtep, dvr_mac)| {
        let document = json!({"vtep": vtep, "dvr_mac": dvr_mac});
        Operation::Put("hosts", id, without_nulls(document))
    })
}

/// A VLAN of an interface, now and then with the other tag type.
fn tagged() -> impl Strategy<Value = Value> {
    let tpid = prop_oneof![3 => Just(Value::Null), 1 => Just(json!("802.1ad"))];
    ("eth[01]", 1..3_u32, tpid).prop_map(|(own, vlan, tpid)| {
        without_nulls(json!({"interface": own, "vlan": vlan, "tpid": tpid}))
    })
}

fn network() -> impl Strategy<Value = Operation> {
    let segment = prop_oneof![
        3 => (1..4_u32).prop_map(|vni| json!({"type": "vxlan", "vni": vni})),
        1 => (1..3_u32).prop_map(|vlan| json!({"type": "vlan", "interface": "eth1", "vlan": vlan})),
    ];
    let bindings = prop_oneof![
        2 => Just(json!([])),
        1 => tagged().prop_map(|own| json!([own])),
        1 => (tagged(), tagged()).prop_map(|own| json!([own.0, own.1])),
        1 => "eth[01]".prop_map(|own| json!([{"interface": own}])),
    ];
    let mtu = prop_oneof![3 => Just(Value::Null), 1 => Just(json!(1450)), 1 => Just(json!(1430)), 1 => Just(json!(1500))];
    let subnets = prop_oneof![
        3 => Just(json!([])),
        2 => Just(json!([subnet("10.0.0.0/24")])),
        1 => Just(json!([subnet("10.0.0.0/30"), subnet("10.0.0.4/30")])),
    ];
    ("n[1-3]", segment, bindings, mtu, subnets).prop_map(|(id, segment, bindings, mtu, subnets)| {
        let document =
            json!({"segment": segment, "bindings": bindings, "mtu": mtu, "subnets": subnets});
        Operation::Put("networks", id, without_nulls(document))
    })
}

fn subnet(cidr: &str) -> Value {
    json!({"cidr": cidr, "dhcp": true, "lease_seconds": 86400})
}

fn place() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => "h[1-3]".prop_map(|host| json!({"host": host})),
        1 => tagged(),
    ]
}

fn port() -> impl Strategy<Value = Operation> {
    let addresses = prop::collection::btree_set(1..5_u8, 0..3);
    ("p[1-6]", "n[1-3]", 1..6_u8, addresses, place()).prop_map(
        |(id, network, mac, addresses, place)| {
            let addresses: Vec<_> = addresses
                .into_iter()
                .map(|n| format!("10.0.0.{n}"))
                .collect();
            let mac = format!("52:54:00:00:00:{mac:02x}");
            let mut document = json!({"network": network, "mac": mac, "addresses": addresses});
            merge(&mut document, place);
            Operation::Put("ports", id, document)
        },
    )
}

fn static_entry() -> impl Strategy<Value = Operation> {
    ("n[1-3]", 1..6_u8, place()).prop_map(|(network, mac, place)| {
        Operation::Put("fdb", format!("{network}/52:54:00:00:00:{mac:02x}"), place)
    })
}

fn router() -> impl Strategy<Value = Operation> {
    let address = prop_oneof![
        3 => Just("10.0.0.1/24"),
        2 => Just("10.0.0.2/30"),
        2 => Just("10.0.1.1/24"),
        1 => Just("10.0.0.5/30"),
        1 => Just("10.0.0.0/24"),
    ];
    // Mostly one that no port has.
    let mac = prop_oneof![6 => 6..9_u8, 1 => 1..6_u8];
    let interface = ("n[1-3]", mac, address).prop_map(|(network, mac, address)| {
        json!({"network": network, "mac": format!("52:54:00:00:00:{mac:02x}"), "addresses": [address]})
    });
    let route = (destination(), hop())
        .prop_map(|(destination, via)| json!({"destination": destination, "via": via}));
    let place = prop_oneof![
        4 => Just(json!({"distributed": true})),
        1 => Just(json!({"distributed": false})),
        1 => "h[1-3]".prop_map(|host| json!({"distributed": false, "host": host})),
        1 => Just(json!({"distributed": false, "host": "this-host"})),
        1 => Just(json!({"distributed": true, "host": "h1"})),
    ];
    let interfaces = prop::collection::vec(interface, 0..3);
    let routes = prop::collection::vec(route, 0..3);
    ("r[1-2]", interfaces, routes, place).prop_map(|(id, interfaces, routes, place)| {
        let mut document = json!({"interfaces": interfaces, "routes": routes});
        merge(&mut document, place);
        Operation::Put("routers", id, document)
    })
}

fn destination() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "172\\.1[67]\\.0\\.0/16",
        1 => Just("0.0.0.0/0".to_owned()),
        1 => Just("10.0.0.0/24".to_owned()),
        1 => Just("127.0.0.0/8".to_owned()),
    ]
}

fn hop() -> impl Strategy<Value = String> {
    prop_oneof![3 => "10\\.0\\.0\\.[1-5]", 2 => Just("10.0.1.9".to_owned()), 1 => Just("10.0.0.255".to_owned())]
}

fn route() -> impl Strategy<Value = Operation> {
    let via = prop::collection::vec(hop(), 1..3);
    ("r[1-2]", destination(), via).prop_map(|(router, destination, via)| {
        Operation::Put(
            "routes",
            format!("{router}/{destination}"),
            json!({"via": via}),
        )
    })
}

fn deletion() -> impl Strategy<Value = Operation> {
    prop_oneof![
        1 => "eth[01]".prop_map(|id| Operation::Delete("interfaces", id)),
        1 => "h[1-3]".prop_map(|id| Operation::Delete("hosts", id)),
        1 => Just(Operation::Delete("hosts", "this-host".to_owned())),
        2 => "r[1-2]".prop_map(|id| Operation::Delete("routers", id)),
        2 => ("r[1-2]", destination()).prop_map(|(id, to)| Operation::Delete("routes", format!("{id}/{to}"))),
        1 => "n[1-3]".prop_map(|id| Operation::Delete("networks", id)),
        4 => "p[1-6]".prop_map(|id| Operation::Delete("ports", id)),
        1 => "n[1-3]/52:54:00:00:00:0[1-5]".prop_map(|id| Operation::Delete("fdb", id)),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        2 => interface(), 3 => host(), 4 => network(), 8 => port(), 2 => static_entry(), 6 => router(), 4 => route(),
        6 => deletion(),
    ]
}

/// Mostly one at a time: of several, one is likely to be refused, and all with it.
fn operations() -> impl Strategy<Value = Vec<Operation>> {
    prop_oneof![
        3 => prop::collection::vec(operation(), 1),
        1 => prop::collection::vec(operation(), 2..4),
    ]
}

fn without_nulls(mut document: Value) -> Value {
    document
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    document
}

fn merge(document: &mut Value, with: Value) {
    document
        .as_object_mut()
        .unwrap()
        .extend(with.as_object().unwrap().clone());
}

/// The documents after a transaction, if it makes sense.
fn after(before: &Documents, operations: &[Operation]) -> Option<Documents> {
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

fn of<'a>(documents: &'a Documents, kind: &str) -> Vec<(&'a str, &'a Value)> {
    let all = documents.iter().filter(|((own, _), _)| *own == kind);
    all.map(|((_, id), document)| (id.as_str(), document))
        .collect()
}

fn all_different<T: Ord + Clone>(items: impl IntoIterator<Item = T>) -> bool {
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
}

fn list<'a>(document: &'a Value, field: &str) -> &'a [Value] {
    document[field]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn net(text: &Value) -> IpNet {
    text.as_str().unwrap().parse().unwrap()
}

fn address(text: &Value) -> IpAddr {
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
fn is_station(address: IpAddr, subnet: IpNet) -> bool {
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
fn connected(router: &Value) -> Vec<IpNet> {
    let interfaces = list(router, "interfaces").iter();
    interfaces
        .flat_map(|own| list(own, "addresses"))
        .map(net)
        .collect()
}

fn is_next_hop(via: &Value, router: &Value) -> bool {
    let via = address(via);
    connected(router)
        .iter()
        .any(|own| is_station(via, *own) && own.addr() != via)
}

fn is_destination(destination: &Value, router: &Value) -> bool {
    let destination = net(destination);
    let mut connected = connected(router).into_iter();
    destination != net(&json!("127.0.0.0/8")) && connected.all(|own| own.trunc() != destination)
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
            is_next_hop(&route["via"], router) && is_destination(&route["destination"], router)
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
        is_destination(&json!(destination), router)
            && own.all(|own| own["destination"] != destination)
            && all_different(via.iter().map(Value::to_string))
            && via.iter().all(|via| is_next_hop(via, router))
    })
}

fn dvr_macs_are_there(documents: &Documents) -> bool {
    let hosts = of(documents, "hosts");
    let macs: Vec<_> = hosts
        .iter()
        .filter_map(|(_, host)| host["dvr_mac"].as_str())
        .collect();
    let gateways = gateways(documents);
    let mut gateway_macs = gateways.iter().map(|own| own["mac"].as_str().unwrap());
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
        network
            .into_iter()
            .chain(routed.flatten())
            .all(|network| exists("networks", network))
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
    all_different(macs.chain(entries).chain(gateway_macs))
        && all_different(addresses.chain(gateway_addresses))
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
        if network["segment"]["type"] == "vlan" {
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

fn transaction(operations: &[Operation]) -> Value {
    let (mut puts, mut deletes) = (Map::new(), Map::new());
    for operation in operations {
        match operation {
            Operation::Put(kind, id, document) => {
                let kind = puts.entry(kind.to_owned()).or_insert_with(|| json!({}));
                kind[id] = document.clone();
            }
            Operation::Delete(kind, id) => {
                let kind = deletes.entry(kind.to_owned()).or_insert_with(|| json!([]));
                kind.as_array_mut().unwrap().push(id.as_str().into());
            }
        }
    }
    json!({"put": puts, "delete": deletes})
}

/// The model's documents as the API would show them: with its defaults.
fn shown(documents: &Documents) -> Value {
    let mut state = json!({
        "interfaces": {}, "hosts": {}, "networks": {}, "ports": {}, "fdb": {}, "routers": {}, "routes": {},
        "floating-ips": {}, "tenants": {}, "nat-settings": {},
    });
    for ((kind, id), document) in documents {
        let mut defaults = match *kind {
            "interfaces" => json!({"device": id}),
            "hosts" => json!({"udp_port": 4789, "udp_checksum": "auto"}),
            "networks" => json!({
                "flood": {"mode": "ingress-replication"}, "learning": true, "ageing": 300, "learn_limit": 16384,
                "vlan_transparent": false, "arp_suppression": true, "gateway_from_underlay": false,
                "metadata": true,
            }),
            _ => json!({}),
        };
        let mut document = document.clone();
        document
            .as_object_mut()
            .unwrap()
            .retain(|_, value| *value != json!([]));
        merge(&mut defaults, document);
        state[*kind][id] = defaults;
    }
    state
}

/// Applies a diff to a state.
fn patched(mut state: Value, diff: &Value) -> Value {
    for change in diff.as_array().unwrap() {
        let kind = state[change["kind"].as_str().unwrap()]
            .as_object_mut()
            .unwrap();
        let id = change["id"].as_str().unwrap();
        assert_eq!(
            kind.remove(id).as_ref(),
            change.get("old"),
            "the old document is what was there"
        );
        if let Some(new) = change.get("new") {
            kind.insert(id.to_owned(), new.clone());
        }
    }
    state
}

async fn check_transaction(api: &Api, model: &mut Documents, operations: &[Operation]) {
    // The map of JSON cannot name a resource twice, so neither may the model.
    let mut operations = operations.to_vec();
    let mut named = Vec::new();
    operations.retain(|operation| {
        let (Operation::Put(kind, id, _) | Operation::Delete(kind, id)) = operation;
        let is_first = !named.contains(&(*kind, id.clone()));
        named.push((*kind, id.clone()));
        is_first
    });
    let body = transaction(&operations);
    let before = api.state().await;
    let preview = api.post("/v1/transaction?dry_run=true", body.clone()).await;
    assert_eq!(api.state().await, before, "a dry run changes nothing");
    let done = api.post("/v1/transaction?diff=true", body).await;
    assert_eq!(preview.status, done.status, "{}", done.text);
    let now = api.state().await;
    match after(model, &operations) {
        None => {
            assert!(
                done.status.is_client_error(),
                "{operations:#?} over {model:#?}"
            );
            assert_eq!(now, before, "what is refused changes nothing");
        }
        Some(documents) => {
            let done = done.expect(200);
            assert_eq!(done["diff"], preview.json()["diff"]);
            assert_eq!(
                patched(before, &done["diff"]),
                now,
                "the diff is the difference"
            );
            assert_eq!(now, shown(&documents));
            *model = documents;
        }
    }
    check_mirror(api);
}

/// The control plane, told of changes alone, has come to what the state says as a whole.
fn check_mirror(api: &Api) {
    let mirror = api.control.mirror.lock();
    api.manager.read(|state| {
        let view = state.view();
        let stations = view.iter::<mgmt_api::resources::Port>().count()
            + view.iter::<mgmt_api::resources::StaticFdb>().count();
        assert_eq!(mirror.fdb.len(), stations);
        assert_eq!(mirror.slots.len(), mirror.bindings.len());
        for (attachment, network) in &mirror.bindings {
            let device = view.get(attachment.interface).unwrap().device.0;
            let slot = (device, attachment.tag.map(|tag| tag.vid));
            assert_eq!(mirror.slots.get(&slot), Some(network));
            assert_eq!(view.network_at(*attachment), Some(*network));
        }
        for (_, port) in view.iter::<mgmt_api::resources::Port>() {
            match port.location {
                mgmt_api::resources::Location::Local(attachment) => {
                    assert_eq!(mirror.bindings.get(&attachment), Some(&port.network));
                }
                mgmt_api::resources::Location::Remote(host) => {
                    assert!(mirror.members.contains_key(&(port.network, host)));
                }
            }
        }
        for (_, router) in view.iter::<mgmt_api::resources::Router>() {
            for own in &router.interfaces {
                assert!(
                    view.gateways_in(own.network)
                        .any(|(_, _, other)| other == own)
                );
                if let Some(host) = router.host {
                    assert!(mirror.members.contains_key(&(own.network, host)));
                }
            }
        }
        for (router, _) in view.iter::<mgmt_api::resources::Router>() {
            for (handle, route) in view.routes_of(router) {
                assert_eq!(route.router, router);
                assert_eq!(view.get(handle), Some(route));
            }
        }
        for (network, host) in mirror.members.keys() {
            assert!(view.member_count(*network, *host) > 0);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn transactions_do_what_the_model_does(
        transactions in prop::collection::vec(operations(), 1..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let api = Api::new();
            let mut model = Documents::new();
            let start = [
                Operation::Put("interfaces", "eth0".to_owned(), json!({"addresses": ["192.0.2.11/24"]})),
                Operation::Put("interfaces", "eth1".to_owned(), json!({"addresses": []})),
                Operation::Put("hosts", "h1".to_owned(), json!({"vtep": "192.0.2.12"})),
                Operation::Put("hosts", "this-host".to_owned(), json!({"vtep": "192.0.2.11", "dvr_mac": "fa:16:3f:00:00:01"})),
                Operation::Put("networks", "n1".to_owned(), json!({"segment": {"type": "vxlan", "vni": 1}, "bindings": []})),
                Operation::Put("networks", "n2".to_owned(), json!({"segment": {"type": "vxlan", "vni": 2}, "bindings": []})),
                Operation::Put("routers", "r1".to_owned(), json!({"distributed": true, "interfaces": [
                    {"network": "n1", "mac": "52:54:00:00:00:07", "addresses": ["10.0.0.1/24"]},
                    {"network": "n2", "mac": "52:54:00:00:00:08", "addresses": ["10.0.1.1/24"]},
                ], "routes": [{"destination": "172.17.0.0/16", "via": "10.0.1.9"}]})),
                Operation::Put("routes", "r1/172.16.0.0/16".to_owned(), json!({"via": ["10.0.0.5"]})),
            ];
            check_transaction(&api, &mut model, &start).await;
            assert_eq!(model.len(), start.len());
            for operations in transactions {
                check_transaction(&api, &mut model, &operations).await;
            }
            // And the whole of it, taken back by its difference to nothing.
            let state = api.state().await;
            api.put("/v1/state", json!({})).await.expect(200);
            api.put("/v1/state", state.clone()).await.expect(200);
            assert_eq!(api.state().await, state);
            check_mirror(&api);
        });
    }
}
