//! The API as a caller meets it: request in, answer out, and what the control plane was told.

mod support;

use axum::body::Body;
use axum::http::Request;
use mgmt_api::mac::Mac;
use mgmt_api::resources::{Attachment, Network};
use mgmt_api::rest::{self, Config, Endpoint};
use serde_json::{Value, json};
use support::FakeControl;
use support::api::{Answer, Api, fabric};

#[tokio::test]
async fn a_resource_is_created_changed_read_and_deleted() {
    let api = Api::with_fabric().await;
    let port = json!({"network": "blue", "mac": "52:54:00:00:00:01", "addresses": ["10.0.0.1"], "host": "h1"});

    let created = api.put("/v1/ports/p1", port.clone()).await;
    let mut shown = port.clone();
    shown["id"] = "p1".into();
    assert_eq!(created.expect(201), shown);
    assert_eq!(created.headers["location"], "/v1/ports/p1");
    assert_eq!(
        api.put("/v1/ports/p1", port.clone()).await.expect(200),
        shown,
        "again: unchanged"
    );
    assert_eq!(api.get("/v1/ports/p1").await.expect(200), shown);

    // What was read can be written back.
    shown["addresses"] = json!(["10.0.0.2", "2001:db8:1::2"]);
    assert_eq!(
        api.put("/v1/ports/p1", shown.clone()).await.expect(200),
        shown
    );
    assert_eq!(api.get("/v1/ports/p1").await.expect(200), shown);

    assert_eq!(api.delete("/v1/ports/p1").await.expect(204), Value::Null);
    api.get("/v1/ports/p1").await.refused("not-found", None);
    api.delete("/v1/ports/p1").await.refused("not-found", None);
}

#[tokio::test]
async fn the_control_plane_knows_what_was_answered() {
    let api = Api::with_fabric().await;
    let port =
        json!({"network": "blue", "mac": "52:54:00:00:00:01", "interface": "eth1", "vlan": 7});
    api.put("/v1/ports/p1", port).await.expect(201);
    let remote = json!({"host": "h1"});
    api.put("/v1/fdb/blue/52:54:00:00:00:02", remote)
        .await
        .expect(201);
    {
        let mirror = api.control.mirror.lock();
        assert_eq!(mirror.fdb.len(), 2);
        assert_eq!(
            mirror.bindings.len(),
            2,
            "the network's binding and the one its port implies"
        );
        assert_eq!(
            mirror.members.len(),
            1,
            "the static entry makes h1 a member"
        );
    }
    api.delete("/v1/ports/p1").await.expect(204);
    api.delete("/v1/fdb/blue/52:54:00:00:00:02")
        .await
        .expect(204);
    let mirror = api.control.mirror.lock();
    assert_eq!(
        (
            mirror.fdb.len(),
            mirror.bindings.len(),
            mirror.members.len()
        ),
        (0, 1, 0)
    );
}

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

/// What is refused, with which code and field. Every case starts from the same small fabric.
#[tokio::test]
async fn contradictions_are_refused_and_change_nothing() {
    let vxlan = |vni: u32| json!({"type": "vxlan", "vni": vni});
    let vlan =
        |interface: &str, vlan: u32| json!({"type": "vlan", "interface": interface, "vlan": vlan});
    let port = |mac: &str, address: &str| json!({"network": "blue", "mac": mac, "addresses": [address], "host": "h1"});
    let cases: Vec<(&str, Value, &str, Option<&str>)> = vec![
        // Values.
        (
            "networks/n",
            json!({"segment": vxlan(0)}),
            "invalid",
            Some("/segment/vni"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(1 << 24)}),
            "invalid",
            Some("/segment/vni"),
        ),
        (
            "networks/n",
            json!({"segment": {"type": "vxlan"}}),
            "invalid",
            Some("/segment"),
        ),
        (
            "networks/n",
            json!({"segment": {"type": "gre"}}),
            "invalid",
            Some("/segment/type"),
        ),
        (
            "networks/n",
            json!({"segment": vlan("eth1", 4095)}),
            "invalid",
            Some("/segment/vlan"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "ageing": 0}),
            "invalid",
            Some("/ageing"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "ageing": 32_001}),
            "invalid",
            Some("/ageing"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "mtu": 67}),
            "invalid",
            Some("/mtu"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "colour": 1}),
            "invalid",
            Some("/colour"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "bindings": [{"interface": "eth1", "vlan": 0}]}),
            "invalid",
            Some("/bindings/0/vlan"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "bindings": [{"interface": "eth1", "tpid": "802.1ad"}]}),
            "invalid",
            Some("/bindings/0/tpid"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "flood": {"mode": "multicast", "group": "192.0.2.9"}}),
            "invalid",
            Some("/flood/group"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "flood": {"mode": "multicast", "group": "224.0.0.1"}}),
            "invalid",
            Some("/flood/group"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "flood": {"mode": "multicast", "group": "ff02::1"}}),
            "invalid",
            Some("/flood/group"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "flood": {"mode": "multicast", "group": "ff11::7"}}),
            "invalid",
            Some("/flood/group"),
        ),
        (
            "hosts/h",
            json!({"vtep": "255.255.255.255"}),
            "invalid",
            Some("/vtep"),
        ),
        (
            "hosts/h",
            json!({"vtep": "0.0.0.0"}),
            "invalid",
            Some("/vtep"),
        ),
        ("hosts/h", json!({"vtep": "::"}), "invalid", Some("/vtep")),
        (
            "hosts/h",
            json!({"vtep": "127.0.0.1"}),
            "invalid",
            Some("/vtep"),
        ),
        ("hosts/h", json!({"vtep": "::1"}), "invalid", Some("/vtep")),
        (
            "hosts/h",
            json!({"vtep": "ff0e::1"}),
            "invalid",
            Some("/vtep"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "hosts": ["this-host"]}),
            "invalid",
            Some("/hosts/0"),
        ),
        (
            "ports/p",
            port("01:00:5e:00:00:01", "10.0.0.1"),
            "invalid",
            Some("/mac"),
        ),
        (
            "ports/p",
            port("00:00:00:00:00:00", "10.0.0.1"),
            "invalid",
            Some("/mac"),
        ),
        (
            "ports/p",
            port("52:54:00:00:00", "10.0.0.1"),
            "invalid",
            Some("/mac"),
        ),
        (
            "ports/p",
            port("52:54:00:00:00:01", "224.0.0.1"),
            "invalid",
            Some("/addresses/0"),
        ),
        (
            "ports/p",
            port("52:54:00:00:00:01", "10.0.0.256"),
            "invalid",
            Some("/addresses/0"),
        ),
        (
            "ports/p",
            json!({"network": "blue", "mac": "52:54:00:00:00:01"}),
            "invalid",
            Some("/interface"),
        ),
        (
            "ports/p",
            json!({"mac": "52:54:00:00:00:01", "host": "h1"}),
            "invalid",
            Some(""),
        ),
        ("hosts/h", json!({}), "invalid", Some("/vtep")),
        (
            "hosts/h",
            json!({"vtep": "239.1.1.1"}),
            "invalid",
            Some("/vtep"),
        ),
        (
            "hosts/h",
            json!({"vtep": "192.0.2.13", "udp_port": 0}),
            "invalid",
            Some("/udp_port"),
        ),
        (
            "hosts/this-host",
            json!({"vtep": "192.0.2.99"}),
            "invalid",
            Some("/vtep"),
        ),
        (
            "interfaces/small",
            json!({"mtu": 9000}),
            "invalid",
            Some("/mtu"),
        ),
        (
            "interfaces/small",
            json!({"vlan": 5}),
            "invalid",
            Some("/vlan"),
        ),
        (
            "interfaces/small",
            json!({"addresses": ["198.51.100.0/24"]}),
            "invalid",
            Some("/addresses/0"),
        ),
        (
            "interfaces/small",
            json!({"addresses": ["198.51.100.1/24"], "gateway": "198.51.101.1"}),
            "invalid",
            Some("/gateway"),
        ),
        (
            "interfaces/small",
            json!({"addresses": ["198.51.100.1/24"], "routes": [{"destination": "0.0.0.0/0", "via": "203.0.113.1"}]}),
            "invalid",
            Some("/routes/0/via"),
        ),
        // References.
        (
            "interfaces/eth7",
            json!({}),
            "unknown-reference",
            Some("/device"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "bindings": [{"interface": "eth9"}]}),
            "unknown-reference",
            Some("/bindings/0/interface"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "hosts": ["h9"]}),
            "unknown-reference",
            Some("/hosts/0"),
        ),
        (
            "ports/p",
            json!({"network": "no", "mac": "52:54:00:00:00:01", "host": "h1"}),
            "unknown-reference",
            Some("/network"),
        ),
        (
            "ports/p",
            json!({"network": "blue", "mac": "52:54:00:00:00:01", "host": "h9"}),
            "unknown-reference",
            Some("/host"),
        ),
        (
            "fdb/no/52:54:00:00:00:01",
            json!({"host": "h1"}),
            "unknown-reference",
            Some(""),
        ),
        // Contradictions.
        (
            "networks/n",
            json!({"segment": vxlan(10)}),
            "conflict",
            Some("/segment/vni"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "bindings": [{"interface": "eth1", "vlan": 100}]}),
            "conflict",
            Some("/bindings/0"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "bindings": [{"interface": "eth1"}, {"interface": "eth0"}]}),
            "conflict",
            Some("/bindings/1"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "bindings": [{"interface": "eth1"}, {"interface": "eth1"}]}),
            "conflict",
            Some("/bindings/1"),
        ),
        (
            "networks/n",
            json!({"segment": vlan("eth1", 100)}),
            "conflict",
            Some("/segment"),
        ),
        (
            "networks/n",
            json!({"segment": vlan("eth1", 5), "bindings": [{"interface": "eth1", "vlan": 5}]}),
            "conflict",
            Some("/bindings/0"),
        ),
        (
            "networks/n",
            json!({"segment": vlan("eth1", 5), "hosts": ["h1"]}),
            "conflict",
            Some("/hosts"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "mtu": 1451}),
            "conflict",
            Some("/mtu"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "mtu": 1431, "flood": {"mode": "multicast", "group": "ff05::1"}}),
            "conflict",
            Some("/mtu"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "mtu": 1447, "vlan_transparent": true}),
            "conflict",
            Some("/mtu"),
        ),
        (
            "networks/n",
            json!({"segment": vlan("eth1", 5), "mtu": 1501}),
            "conflict",
            Some("/mtu"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "flood": {"mode": "multicast", "group": "239.1.1.1", "interface": "eth1"}}),
            "conflict",
            Some("/flood/interface"),
        ),
        (
            "networks/blue",
            json!({"segment": vxlan(10), "id": "red"}),
            "conflict",
            Some("/id"),
        ),
        (
            "ports/p",
            port("52:54:00:00:00:aa", "10.0.0.1"),
            "conflict",
            Some("/mac"),
        ),
        (
            "ports/p",
            port("52:54:00:00:00:01", "10.0.0.170"),
            "conflict",
            Some("/addresses/0"),
        ),
        (
            "ports/p",
            port("52:54:00:00:00:bb", "10.0.0.1"),
            "conflict",
            Some("/mac"),
        ),
        (
            "ports/p",
            json!({"network": "blue", "mac": "52:54:00:00:00:01", "host": "h1", "vlan": 4}),
            "conflict",
            Some("/vlan"),
        ),
        (
            "ports/p",
            json!({"network": "blue", "mac": "52:54:00:00:00:01", "interface": "eth0"}),
            "conflict",
            Some("/interface"),
        ),
        (
            "ports/p",
            json!({"network": "blue", "mac": "52:54:00:00:00:01", "host": "h1", "addresses": ["10.0.0.1", "10.0.0.1"]}),
            "conflict",
            Some("/addresses/1"),
        ),
        (
            "fdb/blue/52:54:00:00:00:aa",
            json!({"host": "h1"}),
            "conflict",
            Some(""),
        ),
        (
            "hosts/h",
            json!({"vtep": "192.0.2.12"}),
            "conflict",
            Some("/vtep"),
        ),
        (
            "hosts/h",
            json!({"vtep": "2001:db8::11"}),
            "conflict",
            Some("/vtep"),
        ),
        (
            "hosts/h",
            json!({"vtep": "192.0.2.13", "dvr_mac": "fa:16:3f:00:00:01"}),
            "conflict",
            Some("/dvr_mac"),
        ),
        (
            "interfaces/x",
            json!({"device": "eth1"}),
            "conflict",
            Some("/device"),
        ),
        (
            "interfaces/small",
            json!({"addresses": ["192.0.2.77/25"]}),
            "conflict",
            Some("/addresses/0"),
        ),
        (
            "interfaces/small",
            json!({"addresses": ["203.0.113.5/24"]}),
            "conflict",
            Some("/addresses/0"),
        ),
        (
            "interfaces/eth0",
            json!({"addresses": ["192.0.2.11/24"], "mtu": 1400}),
            "conflict",
            Some("/mtu"),
        ),
        (
            "interfaces/eth0",
            json!({"addresses": ["192.0.2.10/24"]}),
            "conflict",
            Some("/addresses"),
        ),
        (
            "interfaces/eth1",
            json!({"addresses": ["198.51.100.1/24"], "vlan": 100}),
            "conflict",
            Some("/vlan"),
        ),
        (
            "hosts/h6",
            json!({"vtep": "2001:db8::12"}),
            "conflict",
            Some("/vtep"),
        ),
    ];

    let api = Api::with_fabric().await;
    let more = json!({"put": {
        "hosts": {"h1": {"vtep": "192.0.2.12", "dvr_mac": "fa:16:3f:00:00:01"}, "far": {"vtep": "203.0.113.5"}},
        "networks": {"tight": {"segment": vxlan(77), "mtu": 1450}},
        "ports": {"taken": port("52:54:00:00:00:aa", "10.0.0.170")},
        "fdb": {"blue/52:54:00:00:00:bb": {"host": "h1"}},
    }});
    api.post("/v1/transaction", more).await.expect(200);
    let before = api.state().await;
    let applied = api
        .control
        .applied
        .load(std::sync::atomic::Ordering::SeqCst);
    for (path, body, code, field) in cases {
        let answer = api.put(&format!("/v1/{path}"), body.clone()).await;
        assert!(!answer.status.is_success(), "{path} took {body}");
        let sentence = answer.refused(code, field);
        assert!(sentence.len() > 20, "{sentence}");
        assert!(
            answer.json()["resource"].is_string(),
            "{path}: {}",
            answer.text
        );
        assert_eq!(api.state().await, before, "{path} {body}");
    }
    assert_eq!(
        api.control
            .applied
            .load(std::sync::atomic::Ordering::SeqCst),
        applied
    );
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
async fn what_is_referred_to_stays() {
    let api = Api::with_fabric().await;
    api.put(
        "/v1/ports/p1",
        json!({"network": "blue", "mac": "52:54:00:00:00:01", "host": "h1"}),
    )
    .await
    .expect(201);
    for (path, user) in [
        ("networks/blue", "ports/p1"),
        ("hosts/h1", "ports/p1"),
        ("interfaces/eth1", "networks/blue"),
    ] {
        let sentence = api
            .delete(&format!("/v1/{path}"))
            .await
            .refused("in-use", None);
        assert!(sentence.contains(user), "{sentence}");
    }
    let all = json!({"delete": {"networks": ["blue"], "ports": ["p1"], "hosts": ["h1"], "interfaces": ["eth1"]}});
    assert_eq!(
        api.post("/v1/transaction", all).await.expect(200)["deleted"],
        4
    );
}

#[tokio::test]
async fn a_transaction_is_judged_by_its_result() {
    let api = Api::with_fabric().await;
    let port = |mac: &str| json!({"network": "blue", "mac": mac, "host": "h1"});
    let two =
        json!({"put": {"ports": {"a": port("52:54:00:00:00:01"), "b": port("52:54:00:00:00:02")}}});
    assert_eq!(
        api.post("/v1/transaction", two).await.expect(200)["created"],
        2
    );

    // One by one these would collide: the two swap their addresses, and the network's VNI goes to another.
    let swap = json!({"put": {
        "ports": {"a": port("52:54:00:00:00:02"), "b": port("52:54:00:00:00:01")},
        "networks": {
            "blue": {"segment": {"type": "vxlan", "vni": 11}},
            "red": {"segment": {"type": "vxlan", "vni": 10}, "bindings": [{"interface": "eth1", "vlan": 100}]},
        },
    }});
    let answer = api.post("/v1/transaction", swap).await.expect(200);
    assert_eq!(
        (answer["changed"].as_u64(), answer["created"].as_u64()),
        (Some(3), Some(1))
    );
    assert_eq!(
        api.get("/v1/ports/a").await.expect(200)["mac"],
        "52:54:00:00:00:02"
    );

    let twice =
        json!({"put": {"ports": {"a": port("52:54:00:00:00:03")}}, "delete": {"ports": ["a"]}});
    api.post("/v1/transaction", twice)
        .await
        .refused("conflict", Some(""));
    let unknown = json!({"put": {"prots": {}}});
    api.post("/v1/transaction", unknown)
        .await
        .refused("invalid", Some("/put/prots"));
    let missing = json!({"delete": {"ports": ["zz"]}});
    api.post("/v1/transaction", missing)
        .await
        .refused("not-found", None);
    let no_key = json!({"put": {"ports": {"a/b": port("52:54:00:00:00:03")}}});
    api.post("/v1/transaction", no_key)
        .await
        .refused("invalid", Some(""));

    // One bad member spoils it all, and is named.
    let before = api.state().await;
    let bad = json!({"put": {"ports": {"c": port("52:54:00:00:00:04"), "d": {"network": "blue", "mac": "x"}}}});
    let answer = api.post("/v1/transaction", bad).await;
    answer.refused("invalid", Some("/mac"));
    assert_eq!(answer.json()["resource"], "ports/d");
    assert_eq!(api.state().await, before);
}

#[tokio::test]
async fn a_whole_state_is_replaced_by_its_difference() {
    let api = Api::with_fabric().await;
    api.put(
        "/v1/ports/p1",
        json!({"network": "blue", "mac": "52:54:00:00:00:01", "host": "h1"}),
    )
    .await
    .expect(201);
    let mut state = api.state().await;
    let same = api.put("/v1/state", state.clone()).await.expect(200);
    assert_eq!(
        (same["unchanged"].as_u64(), same["changed"].as_u64()),
        (Some(6), Some(0))
    );

    state["ports"] = json!({"p2": {"network": "blue", "mac": "52:54:00:00:00:01", "host": "h1"}});
    state["networks"]["blue"]["ageing"] = json!(60);
    let preview = api
        .put("/v1/state?dry_run=true", state.clone())
        .await
        .expect(200);
    assert_eq!(preview["dry_run"], true);
    assert_eq!(api.get("/v1/ports/p2").await.status, 404);
    let done = api
        .put("/v1/state?diff=true", state.clone())
        .await
        .expect(200);
    assert_eq!(done["diff"], preview["diff"]);
    let changes: Vec<_> = done["diff"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            (
                change["id"].as_str().unwrap(),
                change["old"].is_object(),
                change["new"].is_object(),
            )
        })
        .collect();
    assert_eq!(
        changes,
        [
            ("blue", true, true),
            ("p2", false, true),
            ("p1", true, false)
        ]
    );
    assert_eq!(api.state().await, state);

    // A reference to what the body leaves out is a reference to nothing.
    state["networks"] = json!({});
    api.put("/v1/state", state)
        .await
        .refused("unknown-reference", Some("/network"));
    api.put("/v1/state", json!({})).await.expect(200);
    assert!(api.control.mirror.lock().names.is_empty());
}

#[tokio::test]
async fn a_full_table_is_an_error_to_the_caller() {
    let control = FakeControl {
        capacity: 2,
        ..FakeControl::default()
    };
    let api = Api::over(control, None, Config::default());
    api.post("/v1/transaction", fabric()).await.expect(200);
    let port =
        |n: u8| json!({"network": "blue", "mac": format!("52:54:00:00:00:{n:02x}"), "host": "h1"});
    api.put("/v1/ports/p1", port(1)).await.expect(201);
    api.put("/v1/ports/p2", port(2)).await.expect(201);
    let before = api.state().await;
    let answer = api.put("/v1/ports/p3", port(3)).await;
    assert_eq!(answer.status, 507);
    answer.refused("table-full", Some("/mac"));
    assert_eq!(answer.json()["resource"], "ports/p3");
    assert_eq!(api.state().await, before);
    api.delete("/v1/ports/p1").await.expect(204);
    api.put("/v1/ports/p3", port(3)).await.expect(201);
}

#[tokio::test]
async fn lists_come_in_pages_that_hold_still() {
    let api = Api::with_fabric().await;
    let ports: serde_json::Map<String, Value> = (0..25_u8)
        .map(|n| {
            let place = if n % 5 == 0 {
                json!({"interface": "eth1", "vlan": 100})
            } else {
                json!({"host": "h1"})
            };
            let mut port = json!({"network": "blue", "mac": format!("52:54:00:00:00:{n:02x}")});
            port.as_object_mut()
                .unwrap()
                .extend(place.as_object().unwrap().clone());
            (format!("p{n:02}"), port)
        })
        .collect();
    api.post("/v1/transaction", json!({"put": {"ports": ports}}))
        .await
        .expect(200);

    let mut seen = Vec::new();
    let mut next = Some("/v1/ports?limit=10".to_owned());
    while let Some(path) = next {
        let page = api.get(&path).await.expect(200);
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|port| port["id"].as_str().unwrap().to_owned()),
        );
        if seen.len() == 10 {
            // Someone writes between two pages: before the cursor and after it.
            api.delete("/v1/ports/p03").await.expect(204);
            api.delete("/v1/ports/p15").await.expect(204);
        }
        next = page["next"].as_str().map(str::to_owned);
    }
    let expected: Vec<_> = (0..25)
        .filter(|n| *n != 15)
        .map(|n| format!("p{n:02}"))
        .collect();
    assert_eq!(seen, expected);

    let ids = |answer: Answer| {
        let page = answer.expect(200);
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ids(api.get("/v1/ports?host=this-host").await),
        ["p00", "p05", "p10", "p20"]
    );
    assert_eq!(
        ids(api.get("/v1/ports?host=h1&network=blue&limit=2").await),
        ["p01", "p02"]
    );
    assert_eq!(
        ids(api.get("/v1/ports?interface=eth1&after=p05").await),
        ["p10", "p20"]
    );
    assert_eq!(ids(api.get("/v1/networks?interface=eth1").await), ["blue"]);
    api.get("/v1/ports?network=no")
        .await
        .refused("not-found", None);
    api.get("/v1/ports?limit=0").await.refused("invalid", None);
    api.get("/v1/ports?limit=10001")
        .await
        .refused("invalid", None);
    api.get("/v1/ports?colour=red")
        .await
        .refused("invalid", None);
}

#[tokio::test]
async fn the_mac_table_shows_configured_and_learned_and_forgets() {
    let api = Api::with_fabric().await;
    api.put(
        "/v1/ports/p1",
        json!({"network": "blue", "mac": "52:54:00:00:00:05", "host": "h1"}),
    )
    .await
    .expect(201);
    let (network, interface) = api.manager.read(|state| {
        let view = state.view();
        (
            view.find(&"blue".parse().unwrap()).unwrap(),
            view.find(&"eth1".parse().unwrap()).unwrap(),
        )
    });
    for n in 1..=4 {
        let attachment = Attachment {
            interface,
            tag: None,
        };
        api.control
            .learned
            .lock()
            .insert((network, Mac([2, 0, 0, 0, 0, n])), attachment);
    }
    let first = api.get("/v1/fdb?network=blue&limit=3").await.expect(200);
    assert_eq!(
        first["items"][0],
        json!({"mac": "02:00:00:00:00:01", "origin": "learned", "age_seconds": 12, "interface": "eth1"})
    );
    let next = first["next"].as_str().unwrap();
    let second = api.get(next).await.expect(200);
    assert_eq!(
        second["items"][1],
        json!({"mac": "52:54:00:00:00:05", "origin": "configured", "host": "h1", "vtep": "192.0.2.12"})
    );
    assert_eq!(second["next"], Value::Null);

    assert_eq!(
        api.delete("/v1/fdb?network=blue&mac=02:00:00:00:00:01")
            .await
            .expect(200)["forgotten"],
        1
    );
    assert_eq!(api.delete("/v1/fdb").await.expect(200)["forgotten"], 3);
    api.get("/v1/fdb").await.refused("invalid", None);
    api.get("/v1/fdb?network=no")
        .await
        .refused("not-found", None);
}

#[tokio::test]
async fn a_broken_request_is_told_where() {
    let api = Api::with_fabric().await;
    let put = |body: &'static str, media_type: &'static str| {
        Request::put("/v1/networks/n")
            .header("content-type", media_type)
            .body(Body::from(body))
            .unwrap()
    };
    let sentence = api
        .send(put("{\n  \"segment\": ,", "application/json"))
        .await
        .refused("malformed-json", None);
    assert!(sentence.starts_with("line 2, column 14"), "{sentence}");
    api.send(put("", "application/json"))
        .await
        .refused("malformed-json", None);
    api.send(put("[]", "application/json"))
        .await
        .refused("invalid", Some(""));
    api.send(put("{}", "text/plain"))
        .await
        .refused("unsupported-media-type", None);
    // What a page of another site can make a browser send unasked.
    let undeclared = Request::put("/v1/networks/n").body(Body::from("{}"));
    let answer = api.send(undeclared.unwrap()).await;
    assert_eq!(answer.status, 415);
    answer.refused("unsupported-media-type", None);
    api.get("/v1/nothing").await.refused("unknown-path", None);
    let answer = api.post("/v1/workers", json!({})).await;
    answer.refused("method-not-allowed", None);
    assert_eq!(answer.headers["allow"], "GET,HEAD");
    api.get("/v1/ports/a%2Fb").await.refused("invalid", None);
}

#[tokio::test]
async fn pages_of_other_sites_may_not_ask() {
    let api = Api::with_fabric().await;
    let ask = |origin: &'static str| {
        let request = Request::get("/v1/state")
            .header("host", "localhost:4788")
            .header("origin", origin);
        api.send(request.body(Body::empty()).unwrap())
    };
    ask("http://localhost:4788").await.expect(200);
    for origin in [
        "http://evil.example",
        "http://localhost:4789",
        "http://localhost:4788.evil.example",
        "null",
        "",
    ] {
        let answer = ask(origin).await;
        assert_eq!(answer.status, 403, "{origin}");
        answer.refused("forbidden", None);
    }
}

/// The status line and body of a request for `/v1/version` with these headers.
async fn ask_over<S>(mut connection: S, headers: &str) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let request = format!("GET /v1/version HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_name_that_was_made_to_resolve_to_loopback_is_not_ours() {
    let api = Api::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    let loopback = Endpoint::Tcp("127.0.0.1:0".parse().unwrap());
    let tcp = rest::bind(&loopback).await.unwrap();
    let address = tcp.tcp_address().unwrap();
    let unix = rest::bind(&Endpoint::Unix(path.clone())).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(rest::serve(
        vec![tcp, unix],
        api.router.clone(),
        async move {
            let _ = stopped.await;
        },
    ));
    let over_tcp = async |headers: &str| {
        let connection = tokio::net::TcpStream::connect(address).await.unwrap();
        ask_over(connection, headers).await
    };
    let own = format!("Host: {address}\r\n");
    let page = format!("Host: {address}\r\nOrigin: http://{address}\r\n");
    for headers in [&own, &page, "Host: localhost\r\n", "Host: [::1]:1\r\n"] {
        let answer = over_tcp(headers).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{headers}{answer}");
    }
    let rebound = "Host: evil.example\r\nOrigin: http://evil.example\r\n";
    for headers in ["Host: evil.example:4788\r\n", rebound, "Host: vtepd\r\n"] {
        let answer = over_tcp(headers).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{headers}{answer}");
        assert!(answer.contains(r#""code":"forbidden""#), "{answer}");
    }
    // No page reaches a Unix socket, and its callers make up a name.
    let connection = tokio::net::UnixStream::connect(&path).await.unwrap();
    let answer = ask_over(connection, "Host: vtepd\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(stop);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn large_bodies_have_a_limit() {
    let config = Config {
        body_limit: 4096,
        ..Config::default()
    };
    let api = Api::over(FakeControl::default(), None, config);
    let body = format!("{{\"put\": {{}}{}}}", " ".repeat(4096));
    let post = || Request::post("/v1/transaction").header("content-type", "application/json");
    let declared = post().header("content-length", body.len());
    api.send(declared.body(Body::from(body.clone())).unwrap())
        .await
        .refused("body-too-large", None);
    // Without a declared length it is found out on the way.
    let pieces = body
        .into_bytes()
        .chunks(1000)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect::<Vec<_>>();
    let streamed = post().body(Body::from_stream(futures_util::stream::iter(pieces)));
    api.send(streamed.unwrap())
        .await
        .refused("body-too-large", None);
}

#[tokio::test]
async fn health_and_metrics_follow_the_workers() {
    let api = Api::with_fabric().await;
    assert_eq!(
        api.get("/healthz").await.expect(200),
        json!({"status": "ok"})
    );
    api.control
        .sick
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let answer = api.get("/healthz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.refused("unhealthy", None).contains("worker 0"));

    let metrics = api.get("/metrics").await;
    assert!(
        metrics.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    for line in [
        "vtepd_resources{kind=\"networks\"} 1",
        "vtepd_drops_total{interface=\"\",reason=\"vni-unknown\"} 7",
        "vtepd_worker_busy_ratio{core=\"3\",worker=\"0\"} 0.25",
        "vtepd_stage_cycles_total{stage=\"parse\",worker=\"0\"} 400",
        "vtepd_interface_receive_bytes_total{device=\"eth0\",interface=\"eth0\"} 640",
        "vtepd_interface_speed_bytes_per_second{device=\"eth1\",interface=\"eth1\"} 1250000000",
        "vtepd_healthy 0",
        "vtepd_api_request_duration_seconds_count{method=\"GET\",path=\"/healthz\",status=\"503\"} 1",
    ] {
        assert!(
            metrics.text.lines().any(|found| found == line),
            "{line} is not in\n{}",
            metrics.text
        );
    }
}

#[tokio::test]
async fn an_export_means_the_same_on_another_host() {
    let api = Api::with_fabric().await;
    let here = json!({"network": "blue", "mac": "52:54:00:00:00:01", "host": "this-host", "interface": "eth1", "vlan": 100});
    let anywhere =
        json!({"network": "blue", "mac": "52:54:00:00:00:02", "interface": "eth1", "vlan": 100});
    api.put("/v1/ports/here", here.clone()).await.expect(201);
    api.put("/v1/ports/anywhere", anywhere.clone())
        .await
        .expect(201);
    let state = api.state().await;
    assert_eq!(
        (&state["ports"]["here"], &state["ports"]["anywhere"]),
        (&here, &anywhere)
    );
}

#[tokio::test]
async fn requests_that_wait_share_a_commit_and_are_judged_one_by_one() {
    let api = Api::with_fabric().await;
    let applied = || {
        api.control
            .applied
            .load(std::sync::atomic::Ordering::SeqCst)
    };
    let before = applied();
    let gate = api.control.gate.lock();
    let puts = (0..40_u8).map(|n| {
        // Two of them want the same address.
        let mac = format!("52:54:00:00:00:{:02x}", if n == 30 { 20 } else { n + 1 });
        let path = format!("/v1/ports/p{n}");
        let api = &api;
        async move {
            api.put(&path, json!({"network": "blue", "mac": mac, "host": "h1"}))
                .await
        }
    });
    let puts = futures_util::future::join_all(puts);
    let release = async {
        // By now every request was polled once, and waits for the writer, who waits at the gate.
        tokio::task::yield_now().await;
        drop(gate);
    };
    let (answers, ()) = tokio::join!(puts, release);
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status != 201)
        .collect();
    assert_eq!(refused.len(), 1);
    refused[0].refused("conflict", Some("/mac"));
    assert!(applied() - before <= 3, "{} commits", applied() - before);
    assert_eq!(api.state().await["ports"].as_object().unwrap().len(), 39);
    assert_eq!(api.control.mirror.lock().fdb.len(), 39);
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
