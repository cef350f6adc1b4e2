//! The routers' ways outside: gateways, central ports, next hops.

use mgmt_api::id::Id;
use mgmt_api::resources::{Filtering, Host, Kind, Network, Router};
use mgmt_api::state::{Handle, View};
use serde_json::{Value, json};

use crate::support::api::{Api, cloud, cloud_router, with, without};

fn public() -> Value {
    cloud()["put"]["networks"]["public"].clone()
}

fn handle<K: Kind<Key = Id>>(view: View<'_>, id: &str) -> Handle<K> {
    view.find::<K>(&id.parse().unwrap()).unwrap()
}

#[tokio::test]
async fn a_way_outside_is_read_as_it_was_written() {
    let api = Api::with_cloud().await;
    let mut full = cloud_router();
    full["tenant"] = "acme".into();
    full["external_gateway"] = json!({
        "network": "public",
        "gateways": [
            {"host": "this-host", "mac": "fa:16:3e:70:a5:d3", "addresses": ["10.100.0.5/24", "10.100.0.6/24"]},
            {"host": "net1", "mac": "fa:16:3e:70:a5:d4", "addresses": ["10.100.0.8/24"]},
        ],
        "next_hops": ["10.100.0.254", "10.100.0.253"],
        "snat": false,
        "filtering": "address-dependent",
        "exempt": ["198.51.100.0/24"],
        "same_scope": ["192.168.1.0/24"],
        "outbound_only_ipv6": true,
        "floating_ip_hops": 1,
    });
    let shown = api.put("/v1/routers/r1", full.clone()).await.expect(200);
    assert_eq!(shown["external_gateway"], full["external_gateway"]);
    assert_eq!(shown["tenant"], "acme");
    assert_eq!(shown["interfaces"], full["interfaces"]);
    assert_eq!(
        api.put("/v1/routers/r1", shown.clone()).await.expect(200),
        shown
    );
    api.manager.read(|state| {
        let view = state.view();
        let router = view.get(handle::<Router>(view, "r1")).unwrap();
        assert_eq!(router.tenant().to_string(), "acme");
        assert_eq!(router.central_host(), None);
        let outside = router.external_gateway.as_deref().unwrap();
        assert_eq!(outside.filtering, Filtering::AddressDependent);
        assert_eq!(view.next_hops_outside(outside).len(), 2);
        let net1 = Some(handle::<Host>(view, "net1"));
        assert!(
            outside
                .gateway_of(net1)
                .unwrap()
                .has_address("10.100.0.8".parse().unwrap())
        );
    });

    let plain = api.put("/v1/routers/r1", cloud_router()).await.expect(200);
    let defaults = json!({"snat": true, "filtering": "endpoint-independent", "outbound_only_ipv6": false, "floating_ip_hops": 2});
    for (name, value) in defaults.as_object().unwrap() {
        assert_eq!(&plain["external_gateway"][name], value, "{name}");
    }
    api.manager.read(|state| {
        let view = state.view();
        let router = view.get(handle::<Router>(view, "r1")).unwrap();
        assert_eq!(router.tenant().to_string(), "r1", "it counts for itself");
        assert_eq!(router.central_host(), Some(handle::<Host>(view, "net1")));
        let outside = router.external_gateway.as_deref().unwrap();
        let hops = view.next_hops_outside(outside);
        let hops: Vec<_> = hops.iter().map(ToString::to_string).collect();
        assert_eq!(hops, ["10.100.0.1", "2001:db8:ff::1"]);
        let public = handle::<Network>(view, "public");
        assert_eq!(view.routers_outside_by(public).count(), 1);
    });
    let none = with(
        cloud_router(),
        "/external_gateway/next_hops",
        Value::Array(Vec::new()),
    );
    let shown = api.put("/v1/routers/r1", none).await.expect(200);
    assert_eq!(shown["external_gateway"]["next_hops"], json!([]));
}

#[tokio::test]
async fn the_host_of_the_central_gateway_is_a_member_of_the_routers_networks() {
    let api = Api::with_cloud().await;
    let status = api.get("/v1/networks/red/status").await.expect(200);
    assert_eq!(status["hosts"], json!(["h1", "net1"]));
    // Who goes out by itself is reached at its ports only.
    let router = with(
        cloud_router(),
        "/external_gateway/gateways",
        json!([
            {"mac": "fa:16:3e:70:a5:d3", "addresses": ["10.100.0.5/24"]},
            {"host": "net1", "mac": "fa:16:3e:70:a5:d4", "addresses": ["10.100.0.8/24"]},
        ]),
    );
    api.put("/v1/routers/r1", router).await.expect(200);
    let status = api.get("/v1/networks/red/status").await.expect(200);
    assert_eq!(status["hosts"], json!(["h1"]));
    // One router on one host: it is a member as before.
    let one = json!({
        "distributed": false, "host": "net1",
        "interfaces": [{"network": "red", "mac": "fa:16:3e:5b:89:14", "addresses": ["192.168.1.1/24"]}],
        "external_gateway": {"network": "public",
            "gateways": [{"mac": "fa:16:3e:70:a5:d3", "addresses": ["10.100.0.5/24"]}]},
    });
    let shown = api.put("/v1/routers/r1", one.clone()).await.expect(200);
    let gateways = &shown["external_gateway"]["gateways"];
    assert_eq!(*gateways, one["external_gateway"]["gateways"]);
    api.manager.read(|state| {
        let view = state.view();
        let router = view.get(handle::<Router>(view, "r1")).unwrap();
        assert_eq!(router.central_host(), Some(handle::<Host>(view, "net1")));
    });
    let status = api.get("/v1/networks/red/status").await.expect(200);
    assert_eq!(status["hosts"], json!(["h1", "net1"]));
}

#[tokio::test]
async fn what_a_way_outside_cannot_be_is_refused() {
    let api = Api::with_cloud().await;
    let router = cloud_router;
    let outside =
        |pointer: &str, value: Value| with(router(), &format!("/external_gateway{pointer}"), value);
    let gateway = |field: &str, value: Value| outside(&format!("/gateways/0/{field}"), value);
    let second = |second: Value| outside("/gateways/1", second);
    let own =
        |mac: &str, address: &str| json!({"mac": mac, "addresses": [address, "2001:db8:ff::9/64"]});
    let gateways = "/external_gateway/gateways";
    let many = |count: u32, length: u8| {
        let all = 0..count;
        let addresses = all.map(|n| format!("10.100.{}.{}/{length}", n >> 8, n & 255));
        Value::from(addresses.collect::<Vec<_>>())
    };
    let seventeen: Vec<_> = (100..117).map(|n| format!("10.100.0.{n}")).collect();
    let cases = [
        (
            outside("/colour", 1.into()),
            "invalid",
            "/external_gateway/colour".to_owned(),
        ),
        (
            outside("/network", "no".into()),
            "unknown-reference",
            "/external_gateway/network".to_owned(),
        ),
        (
            outside("/network", "blue".into()),
            "conflict",
            "/external_gateway/network".to_owned(),
        ),
        (
            outside("/gateways", json!([])),
            "invalid",
            gateways.to_owned(),
        ),
        (
            gateway("host", "no".into()),
            "unknown-reference",
            format!("{gateways}/0/host"),
        ),
        (
            gateway("mac", "00:00:00:00:00:00".into()),
            "invalid",
            format!("{gateways}/0/mac"),
        ),
        (
            gateway("mac", "fa:16:3f:00:00:02".into()),
            "conflict",
            format!("{gateways}/0/mac"),
        ),
        (
            gateway("mac", "fa:16:3e:7d:bd:87".into()),
            "conflict",
            format!("{gateways}/0/mac"),
        ),
        (
            gateway("addresses", json!([])),
            "invalid",
            format!("{gateways}/0/addresses"),
        ),
        (
            gateway("addresses", many(1025, 24)),
            "invalid",
            format!("{gateways}/0/addresses"),
        ),
        (
            outside("/exempt", many(257, 32)),
            "invalid",
            "/external_gateway/exempt".to_owned(),
        ),
        (
            outside("/same_scope", many(257, 32)),
            "invalid",
            "/external_gateway/same_scope".to_owned(),
        ),
        (
            gateway("addresses", json!(["10.101.0.5/24"])),
            "invalid",
            format!("{gateways}/0/addresses/0"),
        ),
        (
            gateway("addresses", json!(["10.100.0.5/25"])),
            "invalid",
            format!("{gateways}/0/addresses/0"),
        ),
        (
            gateway("addresses", json!(["10.100.0.1/24"])),
            "conflict",
            format!("{gateways}/0/addresses/0"),
        ),
        (
            gateway("addresses", json!(["10.100.0.2/24"])),
            "conflict",
            format!("{gateways}/0/addresses/0"),
        ),
        (
            gateway("addresses", json!(["10.100.0.5/24", "10.100.0.5/24"])),
            "conflict",
            format!("{gateways}/0/addresses/1"),
        ),
        (
            second(with(
                own("fa:16:3e:70:a5:d4", "10.100.0.8/24"),
                "/host",
                "net1".into(),
            )),
            "conflict",
            format!("{gateways}/1/host"),
        ),
        (
            second(own("fa:16:3e:70:a5:d3", "10.100.0.8/24")),
            "conflict",
            format!("{gateways}/1/mac"),
        ),
        (
            second(own("fa:16:3e:70:a5:d4", "10.100.0.5/24")),
            "conflict",
            format!("{gateways}/1/addresses/0"),
        ),
        (
            second(json!({"mac": "fa:16:3e:70:a5:d4", "addresses": ["10.100.0.8/24"]})),
            "invalid",
            format!("{gateways}/1/addresses"),
        ),
        (
            outside("/next_hops", json!(["10.101.0.1"])),
            "invalid",
            "/external_gateway/next_hops/0".to_owned(),
        ),
        (
            outside("/next_hops", json!(["192.168.1.9"])),
            "invalid",
            "/external_gateway/next_hops/0".to_owned(),
        ),
        (
            outside("/next_hops", json!(["10.100.0.5"])),
            "invalid",
            "/external_gateway/next_hops/0".to_owned(),
        ),
        (
            outside("/next_hops", json!(["10.100.0.255"])),
            "invalid",
            "/external_gateway/next_hops/0".to_owned(),
        ),
        (
            outside("/next_hops", json!(["10.100.0.9", "10.100.0.9"])),
            "conflict",
            "/external_gateway/next_hops/1".to_owned(),
        ),
        (
            outside("/next_hops", json!(seventeen)),
            "invalid",
            "/external_gateway/next_hops/16".to_owned(),
        ),
        (
            outside("/filtering", "none".into()),
            "invalid",
            "/external_gateway/filtering".to_owned(),
        ),
        (
            outside("/exempt", json!(["198.51.100.1/24"])),
            "invalid",
            "/external_gateway/exempt/0".to_owned(),
        ),
        (
            outside("/same_scope", json!(["2001:db8::/32"])),
            "invalid",
            "/external_gateway/same_scope/0".to_owned(),
        ),
        (
            outside("/floating_ip_hops", 3.into()),
            "invalid",
            "/external_gateway/floating_ip_hops".to_owned(),
        ),
        // Inside and outside do not overlap, and the default is the way outside.
        (
            with(
                without(router(), "/interfaces/1/central"),
                "/interfaces/1/addresses",
                json!(["10.100.0.129/25"]),
            ),
            "conflict",
            "/external_gateway/network".to_owned(),
        ),
        (
            with(
                router(),
                "/interfaces/2",
                json!({"network": "public", "mac": "fa:16:3e:00:00:09", "addresses": ["10.100.0.9/24"]}),
            ),
            "conflict",
            "/external_gateway/network".to_owned(),
        ),
        (
            with(
                router(),
                "/routes",
                json!([{"destination": "0.0.0.0/0", "via": "192.168.1.254"}]),
            ),
            "conflict",
            "/routes/0/destination".to_owned(),
        ),
        (
            with(
                router(),
                "/routes",
                json!([{"destination": "10.100.0.0/24", "via": "192.168.1.254"}]),
            ),
            "conflict",
            "/routes/0/destination".to_owned(),
        ),
        (
            with(
                router(),
                "/routes",
                json!([{"destination": "10.9.0.0/16", "via": "10.100.0.5"}]),
            ),
            "invalid",
            "/routes/0/via".to_owned(),
        ),
        // One router on one host.
        (
            with(router(), "/distributed", false.into()),
            "conflict",
            format!("{gateways}/0/host"),
        ),
        (
            with(
                with(
                    second(own("fa:16:3e:70:a5:d4", "10.100.0.8/24")),
                    "/distributed",
                    false.into(),
                ),
                "/interfaces",
                json!([]),
            ),
            "conflict",
            format!("{gateways}/1"),
        ),
        (
            without(
                with(router(), "/distributed", false.into()),
                "/external_gateway",
            ),
            "conflict",
            "/interfaces/0/central".to_owned(),
        ),
        (
            without(router(), "/external_gateway"),
            "conflict",
            "/interfaces/0/central".to_owned(),
        ),
        (
            with(router(), "/tenant", "a/b".into()),
            "invalid",
            "/tenant".to_owned(),
        ),
    ];
    for (body, code, field) in cases {
        api.refuses([("routers/r1", body, code, Some(field.as_str()))])
            .await;
    }
    // The same address outside of two routers.
    let mut other = router();
    other["interfaces"] = json!([]);
    let field = "/external_gateway/gateways/0/mac";
    api.refuses([("routers/r2", other.clone(), "conflict", Some(field))])
        .await;
    other["external_gateway"]["gateways"][0]["mac"] = "fa:16:3e:70:a5:d9".into();
    let field = "/external_gateway/gateways/0/addresses/0";
    api.refuses([("routers/r2", other, "conflict", Some(field))])
        .await;
    // A station outside has an address of its own.
    let port = |mac: &str, address: &str| json!({"network": "public", "mac": mac, "addresses": [address], "host": "h1"});
    api.refuses([
        (
            "ports/p1",
            port("52:54:00:00:00:77", "10.100.0.5"),
            "conflict",
            Some("/addresses/0"),
        ),
        (
            "ports/p1",
            port("52:54:00:00:00:77", "10.100.0.2"),
            "conflict",
            Some("/addresses/0"),
        ),
        (
            "ports/p1",
            port("fa:16:3e:7d:bd:86", "10.100.0.77"),
            "conflict",
            Some("/mac"),
        ),
        (
            "ports/p1",
            json!({"network": "red", "mac": "fa:16:3e:19:e1:98", "host": "h1"}),
            "conflict",
            Some("/mac"),
        ),
        (
            "hosts/h1",
            json!({"vtep": "192.0.2.12", "dvr_mac": "fa:16:3e:70:a5:d3"}),
            "conflict",
            Some("/dvr_mac"),
        ),
        (
            "hosts/h1",
            json!({"vtep": "192.0.2.12", "dvr_mac": "fa:16:3e:19:e1:98"}),
            "conflict",
            Some("/dvr_mac"),
        ),
        (
            "hosts/h1",
            json!({"vtep": "192.0.2.12", "dvr_mac": "fa:16:3e:7d:bd:86"}),
            "conflict",
            Some("/dvr_mac"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_a_central_port_cannot_be_is_refused() {
    let api = Api::with_cloud().await;
    let central = |field: &str, value: Value| {
        with(
            cloud_router(),
            &format!("/interfaces/0/central/{field}"),
            value,
        )
    };
    let at = "/interfaces/0/central";
    let cases = [
        (central("mac", "01:00:5e:00:00:01".into()), "invalid", "mac"),
        (
            central("mac", "fa:16:3e:5b:89:14".into()),
            "conflict",
            "mac",
        ),
        (
            central("mac", "52:54:00:00:01:09".into()),
            "conflict",
            "mac",
        ),
        (
            central("mac", "fa:16:3f:00:00:03".into()),
            "conflict",
            "mac",
        ),
        (central("addresses", json!([])), "invalid", "addresses"),
        (
            central("addresses", json!(["192.168.2.11"])),
            "invalid",
            "addresses/0",
        ),
        (
            central("addresses", json!(["192.168.1.1"])),
            "conflict",
            "addresses/0",
        ),
        (
            central("addresses", json!(["192.168.1.255"])),
            "invalid",
            "addresses/0",
        ),
        (
            central("addresses", json!(["2001:db8:1::b", "192.168.1.9"])),
            "conflict",
            "addresses/1",
        ),
        (
            central("addresses", json!(["192.168.1.11", "192.168.1.11"])),
            "conflict",
            "addresses/1",
        ),
    ];
    for (body, code, field) in cases {
        let field = format!("{at}/{field}");
        api.refuses([("routers/r1", body, code, Some(field.as_str()))])
            .await;
    }
    // Each address family that goes out by the central gateway needs one.
    for (body, family) in [
        (without(cloud_router(), at), "IPv4"),
        (central("addresses", json!(["192.168.1.11"])), "IPv6"),
    ] {
        let answer = api.put("/v1/routers/r1", body).await;
        let sentence = answer.refused("conflict", Some(at));
        assert!(sentence.contains(family), "{sentence}");
        assert!(sentence.contains("this host (this-host)"), "{sentence}");
    }
}

#[tokio::test]
async fn a_central_port_is_needed_as_soon_as_a_host_without_a_gateway_is_there() {
    let api = Api::with_cloud().await;
    let mut router = cloud_router();
    router["interfaces"] = json!([
        {"network": "blue", "mac": "fa:16:3e:5b:89:14", "addresses": ["192.168.7.1/24"]},
    ]);
    router["external_gateway"]["gateways"] = json!([
        {"mac": "fa:16:3e:70:a5:d3", "addresses": ["10.100.0.5/24"]},
        {"host": "h1", "mac": "fa:16:3e:70:a5:d4", "addresses": ["10.100.0.6/24"]},
    ]);
    // On this host and on h1 the router goes out by itself.
    api.put("/v1/routers/r1", router.clone()).await.expect(200);
    let port = |host: &str| json!({"network": "blue", "mac": "52:54:00:00:07:07", "host": host});
    api.put("/v1/ports/p7", port("h1")).await.expect(201);
    let sentence = api
        .put("/v1/ports/p7", port("net1"))
        .await
        .refused("conflict", Some("/host"));
    assert!(
        sentence.contains("hosts/net1 has no gateway outside of routers/r1"),
        "{sentence}"
    );
    let flood = json!({
        "segment": {"type": "vxlan", "vni": 10}, "bindings": [{"interface": "eth1", "vlan": 100}],
        "flood": {"mode": "multicast", "group": "239.1.1.1"},
    });
    let answer = api.put("/v1/networks/blue", flood).await;
    let sentence = answer.refused("conflict", Some("/flood"));
    assert!(
        sentence.contains("any host of the multicast group"),
        "{sentence}"
    );
    router["interfaces"][0]["central"] =
        json!({"mac": "fa:16:3e:19:e1:98", "addresses": ["192.168.7.11"]});
    api.put("/v1/routers/r1", router).await.expect(200);
    api.put("/v1/ports/p7", port("net1")).await.expect(200);
}

#[tokio::test]
async fn routes_may_lead_outside() {
    let api = Api::with_cloud().await;
    let hop = |via: &str| json!({"via": [via]});
    api.put("/v1/routes/r1/10.9.0.0/16", hop("10.100.0.9"))
        .await
        .expect(201);
    let own = with(
        cloud_router(),
        "/routes",
        json!([{"destination": "2001:db8:9::/48", "via": "2001:db8:ff::9"}]),
    );
    api.put("/v1/routers/r1", own).await.expect(200);
    api.refuses([
        (
            "routes/r1/10.8.0.0/16",
            hop("10.101.0.9"),
            "invalid",
            Some("/via/0"),
        ),
        (
            "routes/r1/10.8.0.0/16",
            hop("10.100.0.5"),
            "invalid",
            Some("/via/0"),
        ),
        (
            "routes/r1/0.0.0.0/0",
            hop("192.168.1.254"),
            "conflict",
            Some(""),
        ),
        (
            "routes/r1/10.100.0.0/24",
            hop("192.168.1.254"),
            "conflict",
            Some(""),
        ),
    ])
    .await;
    // What they rely on cannot go from under them.
    let answer = api
        .put(
            "/v1/routers/r1",
            with(
                without(
                    without(
                        without(cloud_router(), "/external_gateway"),
                        "/interfaces/0/central",
                    ),
                    "/interfaces/1/central",
                ),
                "/routes",
                json!([]),
            ),
        )
        .await;
    let sentence = answer.refused("conflict", Some("/interfaces"));
    assert!(sentence.contains("routes/r1/10.9.0.0/16"), "{sentence}");
    let narrow = with(
        with(public(), "/subnets/0/cidr", "10.100.0.0/29".into()),
        "/subnets/0/gateway",
        "10.100.0.1".into(),
    );
    let sentence = api
        .put("/v1/networks/public", narrow)
        .await
        .refused("conflict", Some("/subnets"));
    assert!(sentence.contains("routers/r1"), "{sentence}");
    // With no next hop outside, the default is free for others.
    let none = with(
        cloud_router(),
        "/external_gateway/next_hops",
        Value::Array(Vec::new()),
    );
    api.put("/v1/routers/r1", none).await.expect(200);
    api.put("/v1/routes/r1/0.0.0.0/0", hop("192.168.1.254"))
        .await
        .expect(201);
    let sentence = api
        .put("/v1/routers/r1", cloud_router())
        .await
        .refused("conflict", Some("/interfaces"));
    assert!(sentence.contains("routes/r1/0.0.0.0/0"), "{sentence}");
}
