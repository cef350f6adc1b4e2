//! Routers: gateways in networks, their routes, and what they may not collide with.

use mgmt_api::resources::{Network, Router};
use serde_json::{Value, json};

use crate::support::api::{Api, fabric};

/// The fabric with the networks `red` and `green` beside `blue`, and a DVR MAC of this host.
async fn with_networks() -> Api {
    let api = Api::new();
    let mut fabric = fabric();
    fabric["put"]["hosts"]["this-host"]["dvr_mac"] = "fa:16:3f:00:00:01".into();
    fabric["put"]["hosts"]["h1"]["dvr_mac"] = "fa:16:3f:00:00:02".into();
    for (id, vni) in [("red", 11), ("green", 12)] {
        fabric["put"]["networks"][id] = json!({"segment": {"type": "vxlan", "vni": vni}});
    }
    api.post("/v1/transaction", fabric).await.expect(200);
    api
}

fn gateway(network: &str, mac: u8, addresses: &[&str]) -> Value {
    json!({"network": network, "mac": format!("fa:16:3e:00:00:{mac:02x}"), "addresses": addresses})
}

/// In `red` and `blue`, with a default route.
fn router() -> Value {
    json!({
        "interfaces": [
            gateway("red", 1, &["192.168.1.1/24", "2001:db8:1::1/64"]),
            gateway("blue", 2, &["192.168.2.1/24"]),
        ],
        "routes": [
            {"destination": "0.0.0.0/0", "via": "192.168.1.254"},
            {"destination": "10.0.0.0/8", "via": "192.168.1.253"},
            {"destination": "10.0.0.0/8", "via": "192.168.2.253"},
            {"destination": "2001:db8:ff::/48", "via": "2001:db8:1::fe"},
        ],
    })
}

#[tokio::test]
async fn a_router_is_created_changed_read_and_deleted() {
    let api = with_networks().await;
    let mut shown = router();
    shown["id"] = "r1".into();
    shown["distributed"] = true.into();
    assert_eq!(api.put("/v1/routers/r1", router()).await.expect(201), shown);
    assert_eq!(
        api.put("/v1/routers/r1", shown.clone()).await.expect(200),
        shown
    );
    api.manager.read(|state| {
        let view = state.view();
        let red = view.find::<Network>(&"red".parse().unwrap()).unwrap();
        let found: Vec<_> = view.gateways_in(red).collect();
        let [(handle, router, interface)] = found[..] else {
            panic!("one gateway in red");
        };
        assert_eq!(view.find::<Router>(&"r1".parse().unwrap()), Some(handle));
        assert!(router.is_here() && router.distributed);
        assert_eq!(interface.mac.to_string(), "fa:16:3e:00:00:01");
        let subnet = "192.168.1.0/24".parse().unwrap();
        let (_, _, address) = view.gateway_of_subnet(red, subnet).unwrap();
        assert_eq!(address.to_string(), "192.168.1.1");
        assert_eq!(
            router.connected("192.168.2.9".parse().unwrap()).unwrap().1,
            "192.168.2.0/24".parse().unwrap()
        );
    });
    // It can be listed by network, and keeps the network.
    let listed = api.get("/v1/routers?network=red").await.expect(200);
    assert_eq!(listed["items"][0], shown);
    let listed = api.get("/v1/routers?network=green").await.expect(200);
    assert_eq!(listed["items"], json!([]));
    let sentence = api.delete("/v1/networks/red").await.refused("in-use", None);
    assert!(sentence.contains("routers/r1"), "{sentence}");
    api.delete("/v1/routers/r1").await.expect(204);
    api.delete("/v1/networks/red").await.expect(204);
}

#[tokio::test]
async fn what_a_router_cannot_be_is_refused() {
    let api = with_networks().await;
    let with = |pointer: &str, value: Value| {
        let mut document = router();
        match document.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => document[&pointer[1..]] = value,
        }
        document
    };
    let address = |text: &str| with("/interfaces/1/addresses/0", text.into());
    let hop = |destination: &str, via: &str| {
        with("/routes/1", json!({"destination": destination, "via": via}))
    };
    let many: Vec<Value> = (1..=17)
        .map(|n| json!({"destination": "10.0.0.0/8", "via": format!("192.168.1.{}", n + 100)}))
        .collect();
    let cases = [
        (with("/colour", 1.into()), "invalid", "/colour"),
        (
            with("/interfaces/0/network", "no".into()),
            "unknown-reference",
            "/interfaces/0/network",
        ),
        (
            with(
                "/interfaces/1",
                json!({"network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["192.168.3.1/24"]}),
            ),
            "conflict",
            "/interfaces/1/mac",
        ),
        (
            with("/interfaces/0/mac", "01:00:5e:00:00:01".into()),
            "invalid",
            "/interfaces/0/mac",
        ),
        (
            with("/interfaces/0/mac", "00:00:00:00:00:00".into()),
            "invalid",
            "/interfaces/0/mac",
        ),
        (
            with("/interfaces/0/mac", "fa:16:3f:00:00:02".into()),
            "conflict",
            "/interfaces/0/mac",
        ),
        (
            with("/interfaces/1/addresses", json!([])),
            "invalid",
            "/interfaces/1/addresses",
        ),
        (
            address("192.168.2.0/24"),
            "invalid",
            "/interfaces/1/addresses/0",
        ),
        (
            address("192.168.2.255/24"),
            "invalid",
            "/interfaces/1/addresses/0",
        ),
        (
            address("224.0.0.1/24"),
            "invalid",
            "/interfaces/1/addresses/0",
        ),
        (
            address("10.0.0.1/0"),
            "invalid",
            "/interfaces/1/addresses/0",
        ),
        (
            address("fe80::1/64"),
            "invalid",
            "/interfaces/1/addresses/0",
        ),
        (
            address("192.168.1.129/25"),
            "conflict",
            "/interfaces/1/addresses/0",
        ),
        (
            with(
                "/interfaces/1/addresses",
                json!(["192.168.2.1/24", "192.168.2.2/24"]),
            ),
            "conflict",
            "/interfaces/1/addresses/1",
        ),
        (hop("10.0.0.0/8", "192.168.3.1"), "invalid", "/routes/1/via"),
        (hop("10.0.0.0/8", "192.168.1.1"), "invalid", "/routes/1/via"),
        (
            hop("10.0.0.0/8", "192.168.1.255"),
            "invalid",
            "/routes/1/via",
        ),
        (
            hop("10.0.0.0/8", "2001:db8:1::fe"),
            "invalid",
            "/routes/1/via",
        ),
        (
            hop("192.168.2.0/24", "192.168.1.253"),
            "conflict",
            "/routes/1/destination",
        ),
        (
            hop("127.0.0.0/8", "192.168.1.253"),
            "invalid",
            "/routes/1/destination",
        ),
        (
            hop("ff00::/8", "2001:db8:1::fe"),
            "invalid",
            "/routes/1/destination",
        ),
        (hop("0.0.0.0/0", "192.168.1.254"), "conflict", "/routes/1"),
        (with("/routes", many.into()), "invalid", "/routes/16"),
        (with("/host", "h1".into()), "conflict", "/host"),
    ];
    api.refuses(
        cases
            .into_iter()
            .map(|(body, code, field)| ("routers/r", body, code, Some(field))),
    )
    .await;
    let elsewhere = json!({"distributed": false, "host": "h9", "interfaces": []});
    api.put("/v1/routers/r", elsewhere)
        .await
        .refused("unknown-reference", Some("/host"));
    // Part of a subnet may have another way than the rest.
    api.put("/v1/routers/r", hop("192.168.2.128/25", "192.168.1.253"))
        .await
        .expect(201);
}

#[tokio::test]
async fn addresses_of_gateways_and_stations_are_told_apart() {
    let api = with_networks().await;
    let port = |mac: &str, address: &str| json!({"network": "red", "mac": mac, "addresses": [address], "host": "h1"});
    let taken = json!({"put": {
        "ports": {"taken": port("52:54:00:00:00:aa", "192.168.1.170")},
        "fdb": {"red/52:54:00:00:00:bb": {"host": "h1"}},
        "routers": {"r1": router()},
    }});
    api.post("/v1/transaction", taken).await.expect(200);
    let second = |mac: &str, address: &str| json!({"interfaces": [{"network": "red", "mac": mac, "addresses": [address]}]});
    let mac = Some("/interfaces/0/mac");
    let address = Some("/interfaces/0/addresses/0");
    api.refuses([
        (
            "routers/r2",
            second("52:54:00:00:00:aa", "192.168.1.3/24"),
            "conflict",
            mac,
        ),
        (
            "routers/r2",
            second("52:54:00:00:00:bb", "192.168.1.3/24"),
            "conflict",
            mac,
        ),
        (
            "routers/r2",
            second("fa:16:3e:00:00:01", "192.168.1.3/24"),
            "conflict",
            mac,
        ),
        (
            "routers/r2",
            second("fa:16:3e:00:00:03", "192.168.1.170/24"),
            "conflict",
            address,
        ),
        (
            "routers/r2",
            second("fa:16:3e:00:00:03", "192.168.1.1/24"),
            "conflict",
            address,
        ),
        (
            "ports/p",
            port("fa:16:3e:00:00:01", "192.168.1.9"),
            "conflict",
            Some("/mac"),
        ),
        (
            "ports/p",
            port("52:54:00:00:00:01", "192.168.1.1"),
            "conflict",
            Some("/addresses/0"),
        ),
        (
            "ports/p",
            port("52:54:00:00:00:01", "2001:db8:1::1"),
            "conflict",
            Some("/addresses/0"),
        ),
        (
            "fdb/red/fa:16:3e:00:00:01",
            json!({"host": "h1"}),
            "conflict",
            Some(""),
        ),
        (
            "hosts/h1",
            json!({"vtep": "192.0.2.12", "dvr_mac": "fa:16:3e:00:00:02"}),
            "conflict",
            Some("/dvr_mac"),
        ),
    ])
    .await;
    // Another network is another space, and a second router may route the same one.
    let other = json!({"interfaces": [gateway("green", 1, &["192.168.1.1/24"])]});
    api.put("/v1/routers/r2", other).await.expect(201);
    api.put(
        "/v1/routers/r3",
        second("fa:16:3e:00:00:03", "192.168.1.3/24"),
    )
    .await
    .expect(201);
    // A station and a gateway may swap in one transaction, in whatever order they stand in it.
    let swap = json!({"put": {
        "ports": {"taken": port("fa:16:3e:00:00:03", "192.168.1.3")},
        "routers": {"r3": second("52:54:00:00:00:aa", "192.168.1.170/24")},
    }});
    api.post("/v1/transaction", swap).await.expect(200);
}

#[tokio::test]
async fn a_router_that_spans_hosts_needs_the_dvr_mac_of_this_one() {
    let api = Api::with_fabric().await;
    let router = || json!({"interfaces": [gateway("blue", 1, &["192.168.1.1/24"])]});
    let here = json!({"vtep": "192.0.2.11"});
    let with_mac = json!({"vtep": "192.0.2.11", "dvr_mac": "fa:16:3f:00:00:01"});
    let remote = json!({"network": "blue", "mac": "52:54:00:00:00:01", "host": "h1"});

    // One box by itself needs none.
    api.put("/v1/routers/r1", router()).await.expect(201);
    let answer = api.put("/v1/ports/p1", remote.clone()).await;
    let sentence = answer.refused("conflict", Some("/host"));
    assert!(sentence.contains("hosts/this-host"), "{sentence}");
    let extra = json!({"segment": {"type": "vxlan", "vni": 10}, "hosts": ["h1"]});
    api.put("/v1/networks/blue", extra)
        .await
        .refused("conflict", Some("/hosts"));
    api.put("/v1/fdb/blue/52:54:00:00:00:01", json!({"host": "h1"}))
        .await
        .refused("conflict", Some(""));

    // The other way round: stations elsewhere first.
    api.delete("/v1/routers/r1").await.expect(204);
    api.put("/v1/ports/p1", remote).await.expect(201);
    let answer = api.put("/v1/routers/r1", router()).await;
    answer.refused("conflict", Some("/distributed"));
    let mut central = router();
    central["distributed"] = false.into();
    api.put("/v1/routers/r1", central).await.expect(201);

    // In one transaction it fits, and then the MAC must stay.
    let both = json!({"put": {"hosts": {"this-host": with_mac}, "routers": {"r1": router()}}});
    api.post("/v1/transaction", both).await.expect(200);
    api.put("/v1/hosts/this-host", here)
        .await
        .refused("conflict", Some("/dvr_mac"));
    let answer = api.delete("/v1/hosts/this-host").await;
    answer.refused("conflict", Some("/dvr_mac"));
    api.delete("/v1/ports/p1").await.expect(204);
    api.delete("/v1/hosts/this-host").await.expect(204);
}

#[tokio::test]
async fn a_router_elsewhere_makes_its_host_a_member() {
    let api = with_networks().await;
    let elsewhere = json!({
        "distributed": false, "host": "h1",
        "interfaces": [gateway("red", 1, &["192.168.1.1/24"])],
    });
    api.put("/v1/routers/r1", elsewhere.clone())
        .await
        .expect(201);
    let status = api.get("/v1/networks/red/status").await.expect(200);
    assert_eq!(status["hosts"], json!(["h1"]));
    api.delete("/v1/hosts/h1").await.refused("in-use", None);
    // This host may be named or left out, and an export keeps which.
    for host in [json!("this-host"), Value::Null] {
        let mut document = elsewhere.clone();
        document["host"] = host.clone();
        api.put("/v1/routers/r1", document).await.expect(200);
        let state = api.state().await;
        assert_eq!(
            state["routers"]["r1"].get("host"),
            host.as_str().map(|_| &host)
        );
    }
    let status = api.get("/v1/networks/red/status").await.expect(200);
    assert_eq!(status["hosts"], json!([]));
    api.delete("/v1/hosts/h1").await.expect(204);
}
