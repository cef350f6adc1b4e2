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
    (id, vtep).prop_map(|(id, vtep)| Operation::Put("hosts", id, json!({"vtep": vtep})))
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
    ("n[1-3]", segment, bindings, mtu).prop_map(|(id, segment, bindings, mtu)| {
        let document = json!({"segment": segment, "bindings": bindings, "mtu": mtu});
        Operation::Put("networks", id, without_nulls(document))
    })
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

fn deletion() -> impl Strategy<Value = Operation> {
    prop_oneof![
        1 => "eth[01]".prop_map(|id| Operation::Delete("interfaces", id)),
        1 => "h[1-3]".prop_map(|id| Operation::Delete("hosts", id)),
        1 => "n[1-3]".prop_map(|id| Operation::Delete("networks", id)),
        4 => "p[1-6]".prop_map(|id| Operation::Delete("ports", id)),
        1 => "n[1-3]/52:54:00:00:00:0[1-5]".prop_map(|id| Operation::Delete("fdb", id)),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![2 => interface(), 3 => host(), 4 => network(), 8 => port(), 2 => static_entry(), 5 => deletion()]
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
        network.is_none_or(|network| exists("networks", network))
            && field("host").is_none_or(|host| exists("hosts", host))
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
    let addresses = ports.iter().flat_map(|(_, port)| {
        let network = port["network"].as_str().unwrap();
        port["addresses"]
            .as_array()
            .unwrap()
            .iter()
            .map(move |own| (network, own.as_str().unwrap()))
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
    all_different(macs.chain(entries))
        && all_different(addresses)
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
    });
    for ((kind, id), document) in documents {
        let mut defaults = match *kind {
            "interfaces" => json!({"device": id}),
            "hosts" => json!({"udp_port": 4789, "udp_checksum": "auto"}),
            "networks" => json!({
                "flood": {"mode": "ingress-replication"}, "learning": true, "ageing": 300, "learn_limit": 16384,
                "vlan_transparent": false, "arp_suppression": true, "gateway_from_underlay": false,
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
        for (network, host) in mirror.members.keys() {
            assert!(view.member_count(*network, *host) > 0);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn transactions_do_what_the_model_does(
        transactions in prop::collection::vec(prop::collection::vec(operation(), 1..4), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let api = Api::new();
            let mut model = Documents::new();
            let start = [
                Operation::Put("interfaces", "eth0".to_owned(), json!({"addresses": ["192.0.2.11/24"]})),
                Operation::Put("interfaces", "eth1".to_owned(), json!({"addresses": []})),
                Operation::Put("hosts", "h1".to_owned(), json!({"vtep": "192.0.2.12"})),
                Operation::Put("networks", "n1".to_owned(), json!({"segment": {"type": "vxlan", "vni": 1}, "bindings": []})),
            ];
            check_transaction(&api, &mut model, &start).await;
            assert_eq!(model.len(), 4);
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
