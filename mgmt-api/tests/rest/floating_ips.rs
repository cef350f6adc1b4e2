//! Floating IPs: what they lead to, who translates them, and what they may not contradict.

use mgmt_api::resources::{FloatingIp, Port, Router};
use serde_json::{Value, json};

use crate::support::api::{Api, cloud, cloud_router};

fn floating_ip(more: Value) -> Value {
    let mut document = json!({"address": "10.100.0.7", "network": "public"});
    let members = more.as_object().unwrap().clone();
    document.as_object_mut().unwrap().extend(members);
    document
}

fn forwarding(protocol: &str, port: u16, to: &str) -> Value {
    json!({"protocol": protocol, "port": port, "to": to})
}

#[tokio::test]
async fn a_floating_ip_is_read_with_what_was_left_out() {
    let api = Api::with_cloud().await;
    let shown = api
        .put("/v1/floating-ips/fip1", floating_ip(json!({"port": "vm1"})))
        .await
        .expect(201);
    let expected = floating_ip(
        json!({"id": "fip1", "router": "r1", "port": "vm1", "fixed_address": "192.168.1.9"}),
    );
    assert_eq!(shown, expected);
    for document in [shown, floating_ip(json!({"port": "vm1"}))] {
        let answer = api
            .put("/v1/floating-ips/fip1?diff=true", document)
            .await
            .expect(200);
        assert_eq!(answer["unchanged"], 1, "{answer}");
    }
    let full = floating_ip(json!({
        "description": "All fields.", "router": "r1", "port": "vm3", "fixed_address": "192.168.2.10",
        "distributed": false,
    }));
    let mut shown = full.clone();
    shown["id"] = "fip1".into();
    let change = api
        .put("/v1/floating-ips/fip1?dry_run=true", full.clone())
        .await
        .expect(200);
    assert_eq!(change["diff"][0]["old"]["port"], "vm1");
    assert_eq!(change["diff"][0]["new"], full);
    assert_eq!(
        api.put("/v1/floating-ips/fip1", full).await.expect(200),
        shown
    );
    let forwards = floating_ip(json!({
        "router": "r1",
        "forwardings": [forwarding("tcp", 8080, "192.168.1.9:80"), forwarding("udp", 53, "192.168.2.9:53")],
    }));
    let read = api
        .put("/v1/floating-ips/fip1", forwards.clone())
        .await
        .expect(200);
    assert_eq!(read["forwardings"], forwards["forwardings"]);
    // Reserved, with and without a router.
    for reserved in [floating_ip(json!({})), floating_ip(json!({"router": "r1"}))] {
        let mut shown = reserved.clone();
        shown["id"] = "fip1".into();
        assert_eq!(
            api.put("/v1/floating-ips/fip1", reserved).await.expect(200),
            shown
        );
    }
    for (filter, found) in [("network=public", 1), ("network=red", 0)] {
        let listed = api
            .get(&format!("/v1/floating-ips?{filter}"))
            .await
            .expect(200);
        assert_eq!(listed["items"].as_array().unwrap().len(), found);
    }
    api.delete("/v1/floating-ips/fip1").await.expect(204);
}

#[tokio::test]
async fn who_translates_follows_from_router_and_port() {
    let api = Api::with_cloud().await;
    // Where each is translated: on this host, on another, nowhere.
    let cases = [
        (json!({"port": "vm1"}), true, Some("this-host")),
        (json!({"port": "vm2"}), true, Some("h1")),
        (
            json!({"port": "vm2", "distributed": false}),
            false,
            Some("net1"),
        ),
        (
            json!({"port": "vm2", "distributed": true}),
            true,
            Some("h1"),
        ),
        (
            json!({"fixed_address": "192.168.1.77"}),
            false,
            Some("net1"),
        ),
        (
            json!({"forwardings": [forwarding("tcp", 80, "192.168.2.9:80")]}),
            false,
            Some("net1"),
        ),
        (json!({}), false, None),
    ];
    for (document, distributed, host) in cases {
        let body = floating_ip(document);
        let answer = api.put("/v1/floating-ips/fip1", body.clone()).await;
        assert!(answer.status.is_success(), "{body}: {}", answer.text);
        api.manager.read(|state| {
            let view = state.view();
            let fip1 = view.find::<FloatingIp>(&"fip1".parse().unwrap()).unwrap();
            let fip1 = view.get(fip1).unwrap();
            assert_eq!(view.is_distributed(fip1), distributed, "{body}");
            let found = view.host_of_floating_ip(fip1).map(|host| match host {
                Some(host) => view.get(host).unwrap().id.to_string(),
                None => "this-host".to_owned(),
            });
            assert_eq!(found.as_deref(), host, "{body}");
        });
    }
    api.put("/v1/floating-ips/fip1", floating_ip(json!({"port": "vm1"})))
        .await
        .expect(200);
    api.manager.read(|state| {
        let view = state.view();
        let router = view.find::<Router>(&"r1".parse().unwrap()).unwrap();
        let port = view.find::<Port>(&"vm1".parse().unwrap()).unwrap();
        let [(of_router, own)] = view.floating_ips_of(router).collect::<Vec<_>>()[..] else {
            panic!("one of the router");
        };
        let [(of_port, _)] = view.floating_ips_of_port(port).collect::<Vec<_>>()[..] else {
            panic!("one of the port");
        };
        assert_eq!((of_router, own.port), (of_port, Some(port)));
        assert_eq!(own.fixed, Some("192.168.1.9".parse().unwrap()));
    });
}

#[tokio::test]
async fn what_a_floating_ip_cannot_be_is_refused() {
    let api = Api::with_cloud().await;
    let other = json!({
        "interfaces": [{"network": "blue", "mac": "fa:16:3e:00:00:77", "addresses": ["192.168.7.1/24"]}],
    });
    api.put("/v1/routers/inside", other).await.expect(201);
    let port = json!({"network": "blue", "mac": "52:54:00:00:07:07", "addresses": ["192.168.7.7"], "host": "h1"});
    api.put("/v1/ports/vm7", port).await.expect(201);
    let port = json!({"network": "red", "mac": "52:54:00:00:07:08", "addresses": ["2001:db8:1::7"], "host": "h1"});
    api.put("/v1/ports/six", port).await.expect(201);
    let address = |address: &str| {
        let mut document = floating_ip(json!({"port": "vm1"}));
        document["address"] = address.into();
        document
    };
    let network = |network: &str| {
        let mut document = floating_ip(json!({"port": "vm1"}));
        document["network"] = network.into();
        document
    };
    let forwards = |list: Value| floating_ip(json!({"router": "r1", "forwardings": list}));
    let many: Vec<Value> = (1..=1025)
        .map(|n| forwarding("tcp", n, &format!("192.168.1.9:{n}")))
        .collect();
    let cases = [
        (floating_ip(json!({"colour": 1})), "invalid", "/colour"),
        (network("no"), "unknown-reference", "/network"),
        (network("red"), "conflict", "/network"),
        (address("10.101.0.7"), "invalid", "/address"),
        (address("10.100.0.0"), "invalid", "/address"),
        (address("2001:db8:ff::7"), "invalid", "/address"),
        (address("10.100.0.1"), "conflict", "/address"),
        (address("10.100.0.2"), "conflict", "/address"),
        (address("10.100.0.5"), "conflict", "/address"),
        (
            floating_ip(json!({"port": "no"})),
            "unknown-reference",
            "/port",
        ),
        (
            floating_ip(json!({"router": "no"})),
            "unknown-reference",
            "/router",
        ),
        // The port has several addresses, none of this family, or not this one.
        (
            floating_ip(json!({"port": "vm3"})),
            "invalid",
            "/fixed_address",
        ),
        (floating_ip(json!({"port": "six"})), "conflict", "/port"),
        (
            floating_ip(json!({"port": "vm1", "fixed_address": "192.168.1.10"})),
            "conflict",
            "/fixed_address",
        ),
        // It is on no router that leads there.
        (floating_ip(json!({"port": "vm7"})), "conflict", "/port"),
        (
            floating_ip(json!({"port": "vm7", "router": "r1"})),
            "conflict",
            "/port",
        ),
        (
            floating_ip(json!({"port": "vm7", "router": "inside"})),
            "conflict",
            "/router",
        ),
        (
            floating_ip(json!({"fixed_address": "192.168.7.7", "router": "r1"})),
            "conflict",
            "/fixed_address",
        ),
        (
            floating_ip(json!({"fixed_address": "192.168.1.1"})),
            "conflict",
            "/fixed_address",
        ),
        // The router's central ports.
        (
            floating_ip(json!({"fixed_address": "192.168.1.11"})),
            "conflict",
            "/fixed_address",
        ),
        (
            forwards(json!([forwarding("tcp", 80, "192.168.2.11:80")])),
            "conflict",
            "/forwardings/0/to",
        ),
        (
            floating_ip(json!({"fixed_address": "192.168.1.255", "router": "r1"})),
            "conflict",
            "/fixed_address",
        ),
        (
            floating_ip(json!({"fixed_address": "192.168.1.9", "distributed": true})),
            "conflict",
            "/distributed",
        ),
        (
            floating_ip(
                json!({"port": "vm1", "forwardings": [forwarding("tcp", 80, "192.168.1.9:80")]}),
            ),
            "conflict",
            "/forwardings",
        ),
        (
            forwards(json!([forwarding("sctp", 80, "192.168.1.9:80")])),
            "invalid",
            "/forwardings/0/protocol",
        ),
        (
            forwards(json!([forwarding("tcp", 0, "192.168.1.9:80")])),
            "invalid",
            "/forwardings/0/port",
        ),
        (
            forwards(json!([forwarding("tcp", 80, "192.168.1.9:0")])),
            "invalid",
            "/forwardings/0/to",
        ),
        (
            forwards(json!([forwarding("tcp", 80, "192.168.1.9")])),
            "invalid",
            "/forwardings/0/to",
        ),
        (
            forwards(json!([forwarding("tcp", 80, "192.168.9.9:80")])),
            "conflict",
            "/forwardings/0/to",
        ),
        (
            forwards(json!([
                forwarding("tcp", 80, "192.168.1.9:80"),
                forwarding("tcp", 80, "192.168.1.10:80")
            ])),
            "conflict",
            "/forwardings/1/port",
        ),
        (
            forwards(json!([
                forwarding("udp", 80, "192.168.1.9:80"),
                forwarding("udp", 81, "192.168.1.9:80")
            ])),
            "conflict",
            "/forwardings/1/to",
        ),
        (forwards(many.into()), "invalid", "/forwardings"),
    ];
    for (body, code, field) in cases {
        api.refuses([("floating-ips/fip1", body, code, Some(field))])
            .await;
    }
}

#[tokio::test]
async fn an_address_inside_has_one_way_out() {
    let api = Api::with_cloud().await;
    let other = |more: Value| {
        let mut document = floating_ip(more);
        document["address"] = "10.100.0.8".into();
        document
    };
    api.put("/v1/floating-ips/fip1", floating_ip(json!({"port": "vm1"})))
        .await
        .expect(201);
    let forwards = json!({"forwardings": [forwarding("tcp", 8080, "192.168.1.9:80")]});
    api.refuses([
        (
            "floating-ips/fip2",
            floating_ip(json!({"port": "vm2"})),
            "conflict",
            Some("/address"),
        ),
        (
            "floating-ips/fip2",
            other(json!({"port": "vm1"})),
            "conflict",
            Some("/port"),
        ),
        (
            "floating-ips/fip2",
            other(json!({"fixed_address": "192.168.1.9"})),
            "conflict",
            Some("/fixed_address"),
        ),
        (
            "floating-ips/fip2",
            other(forwards.clone()),
            "conflict",
            Some("/forwardings/0/to"),
        ),
    ])
    .await;
    // They change places within one transaction.
    let swap = json!({"put": {"floating-ips": {
        "fip1": floating_ip(forwards.clone()),
        "fip2": other(json!({"port": "vm2"})),
    }}});
    api.post("/v1/transaction", swap).await.expect(200);
    let mut third = floating_ip(forwards);
    third["address"] = "10.100.0.9".into();
    api.refuses([
        (
            "floating-ips/fip2",
            other(json!({"port": "vm1"})),
            "conflict",
            Some("/port"),
        ),
        (
            "floating-ips/fip3",
            third,
            "conflict",
            Some("/forwardings/0/to"),
        ),
    ])
    .await;
    let two = json!({"put": {"floating-ips": {
        "a": {"address": "10.100.0.20", "network": "public", "fixed_address": "192.168.1.20"},
        "b": {"address": "10.100.0.21", "network": "public", "fixed_address": "192.168.1.20"},
    }}});
    let answer = api.post("/v1/transaction", two).await;
    let sentence = answer.refused("conflict", Some("/fixed_address"));
    assert!(
        sentence.contains("has a floating IP already, floating-ips/"),
        "{sentence}"
    );
    // Nor may a port, a gateway or a router outside take the address.
    let port = json!({"network": "public", "mac": "52:54:00:00:00:77", "addresses": ["10.100.0.7"], "host": "h1"});
    let answer = api.put("/v1/ports/p1", port).await;
    let sentence = answer.refused("conflict", Some("/addresses/0"));
    assert!(sentence.contains("floating-ips/fip1"), "{sentence}");
    let mut router = cloud_router();
    router["external_gateway"]["gateways"][0]["addresses"][0] = "10.100.0.7/24".into();
    let answer = api.put("/v1/routers/r1", router).await;
    answer.refused("conflict", Some("/external_gateway/gateways/0/addresses/0"));
}

#[tokio::test]
async fn what_a_floating_ip_leads_to_cannot_go_from_under_it() {
    let api = Api::with_cloud().await;
    let floating_ips = json!({"put": {"floating-ips": {
        "fip1": floating_ip(json!({"port": "vm1"})),
        "fip2": {"address": "10.100.0.8", "network": "public",
            "forwardings": [forwarding("tcp", 80, "192.168.2.9:80")]},
        "held": {"address": "10.100.0.9", "network": "public"},
        "loose": {"address": "10.100.0.10", "network": "public", "fixed_address": "192.168.1.77"},
    }}});
    api.post("/v1/transaction", floating_ips).await.expect(200);
    for (path, named) in [
        ("ports/vm1", "floating-ips/fip1"),
        ("routers/r1", "floating-ips/fip"),
        ("networks/public", "and"),
    ] {
        let sentence = api
            .delete(&format!("/v1/{path}"))
            .await
            .refused("in-use", None);
        assert!(sentence.contains(named), "{path}: {sentence}");
    }
    let vm1 = |addresses: Value, network: &str| json!({"network": network, "mac": "52:54:00:00:01:09", "addresses": addresses, "interface": "eth1", "vlan": 9});
    let mut moved = cloud_router();
    moved["interfaces"][1]["addresses"] = json!(["192.168.3.1/24"]);
    moved["interfaces"][1]["central"]["addresses"] = json!(["192.168.3.11"]);
    let mut closed = cloud_router();
    closed.as_object_mut().unwrap().remove("external_gateway");
    for interface in closed["interfaces"].as_array_mut().unwrap() {
        interface.as_object_mut().unwrap().remove("central");
    }
    let mut over = cloud_router();
    over["interfaces"][0]["central"]["addresses"][0] = "192.168.1.77".into();
    let mut public = cloud()["put"]["networks"]["public"].clone();
    public["subnets"][0] = json!({"cidr": "10.100.0.0/29", "gateway": "10.100.0.1"});
    api.refuses([
        (
            "ports/vm1",
            vm1(json!(["192.168.1.19"]), "red"),
            "conflict",
            Some("/addresses"),
        ),
        (
            "ports/vm1",
            vm1(json!(["192.168.1.9"]), "blue"),
            "conflict",
            Some("/network"),
        ),
        ("routers/r1", moved, "conflict", Some("/interfaces")),
        ("routers/r1", closed, "conflict", Some("/external_gateway")),
        ("routers/r1", over, "conflict", Some("/interfaces")),
        ("networks/public", public, "conflict", Some("/subnets")),
    ])
    .await;
    // A station may move to another host, and have further addresses.
    let moved = json!({
        "network": "red", "mac": "52:54:00:00:01:09", "addresses": ["192.168.1.9", "192.168.1.99"], "host": "h1",
    });
    api.put("/v1/ports/vm1", moved).await.expect(200);
    // All at once, and in whatever order.
    let gone = json!({"delete": {"routers": ["r1"], "floating-ips": ["fip1", "fip2", "loose"], "ports": ["vm1"]}});
    api.post("/v1/transaction", gone).await.expect(200);
    let gone = json!({"delete": {"networks": ["public"], "floating-ips": ["held"]}});
    api.post("/v1/transaction", gone).await.expect(200);
}

#[tokio::test]
async fn a_router_that_is_not_distributed_translates_on_its_host() {
    let api = Api::with_cloud().await;
    let one = json!({
        "distributed": false,
        "interfaces": [{"network": "red", "mac": "fa:16:3e:5b:89:14", "addresses": ["192.168.1.1/24"]}],
        "external_gateway": {"network": "public",
            "gateways": [{"mac": "fa:16:3e:70:a5:d3", "addresses": ["10.100.0.5/24"]}]},
    });
    let distributed = floating_ip(json!({"port": "vm2", "distributed": true}));
    api.put("/v1/floating-ips/fip1", distributed.clone())
        .await
        .expect(201);
    let answer = api.put("/v1/routers/r1", one.clone()).await;
    let sentence = answer.refused("conflict", Some("/distributed"));
    assert!(sentence.contains("floating-ips/fip1"), "{sentence}");
    api.put("/v1/floating-ips/fip1", floating_ip(json!({"port": "vm2"})))
        .await
        .expect(200);
    api.put("/v1/routers/r1", one).await.expect(200);
    api.refuses([(
        "floating-ips/fip1",
        distributed,
        "conflict",
        Some("/distributed"),
    )])
    .await;
    api.manager.read(|state| {
        let view = state.view();
        let fip1 = view.find::<FloatingIp>(&"fip1".parse().unwrap()).unwrap();
        let fip1 = view.get(fip1).unwrap();
        assert!(!view.is_distributed(fip1));
        assert_eq!(view.host_of_floating_ip(fip1), Some(None), "here");
    });
}

#[tokio::test]
async fn two_routers_that_could_mean_the_router_must_be_named() {
    let api = Api::with_cloud().await;
    // The same addresses inside, in another network: routers are spaces of their own.
    let twin = json!({
        "interfaces": [{"network": "blue", "mac": "fa:16:3e:00:00:77", "addresses": ["192.168.1.1/24"],
            "central": {"mac": "fa:16:3e:00:00:78", "addresses": ["192.168.1.11"]}}],
        "external_gateway": {"network": "public",
            "gateways": [{"host": "net1", "mac": "fa:16:3e:70:a5:d9", "addresses": ["10.100.0.15/24"]}]},
    });
    api.put("/v1/routers/r2", twin).await.expect(201);
    let fixed = floating_ip(json!({"fixed_address": "192.168.1.9"}));
    let answer = api.put("/v1/floating-ips/fip1", fixed).await;
    let sentence = answer.refused("invalid", Some("/router"));
    assert!(sentence.contains("routers/r1 and routers/r2"), "{sentence}");
    // A port's network says which.
    let shown = api
        .put("/v1/floating-ips/fip1", floating_ip(json!({"port": "vm1"})))
        .await
        .expect(201);
    assert_eq!(shown["router"], "r1");
    let named = json!({"address": "10.100.0.8", "network": "public", "fixed_address": "192.168.1.9", "router": "r2"});
    api.put("/v1/floating-ips/fip2", named).await.expect(201);
}
