//! Random transactions against a naive model.

#[path = "../support/mod.rs"]
mod support;

mod operations;
mod outside;
mod rules;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use operations::{Operation, merge, operations};
use rules::{Documents, after};
use support::api::Api;

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
                if let Some(host) = router.central_host().filter(|_| own.central.is_some()) {
                    assert!(mirror.members.contains_key(&(own.network, host)));
                }
            }
        }
        for (handle, own) in view.iter::<mgmt_api::resources::FloatingIp>() {
            let router = own.router.unwrap();
            let outside = view.get(router).unwrap().external_gateway.as_ref().unwrap();
            assert_eq!(outside.network, own.network);
            let routers: Vec<_> = view.routers_outside_by(own.network).collect();
            assert!(routers.contains(&router));
            let is_it = |(other, _): (mgmt_api::state::Handle<_>, _)| other == handle;
            assert!(view.floating_ips_of(router).any(is_it));
            assert!(view.floating_ips_in(own.network).any(is_it));
            let of_port = own
                .port
                .map(|port| view.floating_ips_of_port(port).any(is_it));
            assert_ne!(of_port, Some(false));
            assert_eq!(view.host_of_floating_ip(own).is_some(), own.is_associated());
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
                Operation::Put("networks", "ext".to_owned(), json!({
                    "segment": {"type": "flat", "interface": "eth1"}, "bindings": [],
                    "subnets": [{"cidr": "10.1.0.0/24", "gateway": "10.1.0.1", "dhcp": true, "lease_seconds": 86400}],
                    "external": {},
                })),
                Operation::Put("ports", "p1".to_owned(), json!({
                    "network": "n1", "mac": "52:54:00:00:00:05", "addresses": ["10.0.0.4"], "host": "h1",
                })),
                Operation::Put("floating-ips", "f1".to_owned(), json!({
                    "address": "10.1.0.9", "network": "ext", "router": "r1", "port": "p1", "fixed_address": "10.0.0.4",
                })),
                Operation::Put("routers", "r1".to_owned(), json!({"distributed": true, "interfaces": [
                    {"network": "n1", "mac": "52:54:00:00:00:07", "addresses": ["10.0.0.1/24"],
                        "central": {"mac": "52:54:00:00:00:0f", "addresses": ["10.0.0.3"]}},
                    {"network": "n2", "mac": "52:54:00:00:00:08", "addresses": ["10.0.1.1/24"]},
                ], "routes": [{"destination": "172.17.0.0/16", "via": "10.0.1.9"}], "external_gateway": {
                    "network": "ext", "gateways": [{"mac": "52:54:00:00:00:0d", "addresses": ["10.1.0.8/24"]}],
                    "snat": true, "filtering": "endpoint-independent", "outbound_only_ipv6": false, "floating_ip_hops": 2,
                }})),
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
