//! Networks: their bindings, their flooding, what they come to.

use mgmt_api::resources::Network;
use serde_json::{Value, json};

use crate::support::api::Api;

#[tokio::test]
async fn a_vlan_id_has_one_tag_type_on_an_interface() {
    let api = Api::with_fabric().await;
    let red =
        |bindings: Value| json!({"segment": {"type": "vxlan", "vni": 11}, "bindings": bindings});
    let service = |vlan: u16| json!({"interface": "eth1", "vlan": vlan, "tpid": "802.1ad"});
    let customer = |vlan: u16| json!({"interface": "eth1", "vlan": vlan});

    // Another network's VLAN: `blue` is bound to 100 with an 802.1Q tag.
    let answer = api
        .put("/v1/networks/red", red(json!([customer(5), service(100)])))
        .await;
    let sentence = answer.refused("conflict", Some("/bindings/1"));
    assert!(
        sentence.contains("networks/blue") && sentence.contains("choose another VLAN"),
        "{sentence}"
    );
    // Both in one network: its bindings, its segment, and a port of it.
    api.put("/v1/networks/red", red(json!([customer(5), service(5)])))
        .await
        .refused("conflict", Some("/bindings/1"));
    let provider = json!({"segment": {"type": "vlan", "interface": "eth1", "vlan": 6}, "bindings": [service(6)]});
    let answer = api.put("/v1/networks/provider", provider).await;
    let sentence = answer.refused("conflict", Some("/bindings/0"));
    assert!(sentence.contains("same `tpid`"), "{sentence}");
    let port = json!({"network": "blue", "mac": "52:54:00:00:00:01", "interface": "eth1", "vlan": 100, "tpid": "802.1ad"});
    api.put("/v1/ports/p", port)
        .await
        .refused("conflict", Some("/interface"));
    // The underlay's own tag, whichever comes first.
    let underlay = json!({"addresses": ["198.51.100.1/24"], "vlan": 7});
    api.put("/v1/interfaces/small", underlay.clone())
        .await
        .expect(201);
    let on_underlay = red(json!([{"interface": "small", "vlan": 7, "tpid": "802.1ad"}]));
    let answer = api.put("/v1/networks/red", on_underlay.clone()).await;
    let sentence = answer.refused("conflict", Some("/bindings/0"));
    assert!(sentence.contains("underlay"), "{sentence}");
    api.put("/v1/interfaces/small", json!({})).await.expect(200);
    api.put("/v1/networks/red", on_underlay).await.expect(201);
    api.put("/v1/interfaces/small", underlay)
        .await
        .refused("conflict", Some("/vlan"));

    // Changing the type of a binding is no contradiction, and leaves it bound, in either direction.
    for tpid in ["802.1ad", "802.1q"] {
        let bindings = json!([{"interface": "eth1", "vlan": 100, "tpid": tpid}]);
        let blue = json!({"segment": {"type": "vxlan", "vni": 10}, "bindings": bindings});
        api.put("/v1/networks/blue", blue).await.expect(200);
        let mirror = api.control.mirror.lock();
        let types = mirror.bindings.keys();
        let types: Vec<_> = types
            .filter_map(|own| own.tag)
            .filter(|tag| tag.vid.get() == 100)
            .map(|tag| serde_json::to_value(tag.tpid).unwrap())
            .collect();
        assert_eq!(types, [json!(tpid)]);
        assert_eq!(mirror.slots.len(), mirror.bindings.len());
    }
}

#[tokio::test]
async fn one_network_cannot_learn_all_there_is_room_for() {
    let api = Api::with_fabric().await;
    let network =
        |limit: Value| json!({"segment": {"type": "vxlan", "vni": 10}, "learn_limit": limit});
    let limit = |shown: Value| shown["learn_limit"].as_u64().unwrap();
    let shown = api.get("/v1/networks/blue").await.expect(200);
    assert_eq!(limit(shown), 16_384, "left out");
    for (given, comes_to) in [
        (json!(5), 5),
        (Value::Null, 16_384),
        (json!(1 << 20), 1 << 20),
    ] {
        let shown = api.put("/v1/networks/blue", network(given)).await;
        assert_eq!(limit(shown.expect(200)), comes_to);
        let held = api.manager.read(|state| {
            let view = state.view();
            let blue = view.find::<Network>(&"blue".parse().unwrap()).unwrap();
            view.get(blue).unwrap().learn_limit
        });
        assert_eq!(u64::from(held), comes_to, "as the control plane sees it");
    }
    api.put("/v1/networks/blue", network(json!(-1)))
        .await
        .refused("invalid", Some("/learn_limit"));
}

#[tokio::test]
async fn a_group_needs_an_underlay_of_its_family() {
    let api = Api::new();
    let network = |vni: u32, group: &str| json!({"segment": {"type": "vxlan", "vni": vni}, "flood": {"mode": "multicast", "group": group}});
    let sentence = api
        .put("/v1/networks/six", network(6, "ff05::6"))
        .await
        .refused("conflict", Some("/flood/group"));
    assert!(sentence.contains("IPv6"), "{sentence}");
    api.put("/v1/networks/four", network(4, "239.1.1.1"))
        .await
        .refused("conflict", Some("/flood/group"));
    // The underlay may come in the same transaction, of either family.
    let both = json!({"put": {
        "interfaces": {"eth0": {"addresses": ["192.0.2.11/24", "2001:db8::11/64"]}},
        "networks": {"four": network(4, "239.1.1.1"), "six": network(6, "ff05::6")},
    }});
    api.post("/v1/transaction", both).await.expect(200);
    // And cannot go from under it.
    let only_ipv4 = json!({"addresses": ["192.0.2.11/24"]});
    let answer = api.put("/v1/interfaces/eth0", only_ipv4.clone()).await;
    let sentence = answer.refused("conflict", Some("/addresses"));
    assert!(sentence.contains("networks/six"), "{sentence}");
    assert_eq!(answer.json()["resource"], "interfaces/eth0");
    api.delete("/v1/networks/six").await.expect(204);
    api.put("/v1/interfaces/eth0", only_ipv4).await.expect(200);
}

#[tokio::test]
async fn a_network_tells_what_it_comes_to() {
    let api = Api::with_fabric().await;
    let ports = json!({
        "p1": {"network": "blue", "mac": "52:54:00:00:00:01", "host": "h1"},
        "p2": {"network": "blue", "mac": "52:54:00:00:00:02", "interface": "eth1", "vlan": 7},
    });
    api.post("/v1/transaction", json!({"put": {"ports": ports}}))
        .await
        .expect(200);
    let mut expected = json!({
        "id": "blue", "mtu": 1450, "hosts": ["h1"],
        "bindings": [{"interface": "eth1", "vlan": 7}, {"interface": "eth1", "vlan": 100}],
    });
    assert_eq!(
        api.get("/v1/networks/blue/status").await.expect(200),
        expected
    );
    // A remote VTEP with an IPv6 address makes every outer header larger.
    api.put("/v1/hosts/h6", json!({"vtep": "2001:db8::12"}))
        .await
        .expect(201);
    expected["mtu"] = 1430.into();
    assert_eq!(
        api.get("/v1/networks/blue/status").await.expect(200),
        expected
    );
}
