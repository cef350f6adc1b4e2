//! Subnets of networks: what they tell, and what addresses they leave room for.

use std::net::Ipv4Addr;

use mgmt_api::resources::{Ipv6Mode, Network};
use serde_json::{Value, json};

use crate::support::api::Api;

fn network(subnets: Value) -> Value {
    json!({"segment": {"type": "vxlan", "vni": 20}, "subnets": subnets})
}

#[tokio::test]
async fn a_subnet_is_shown_as_it_was_written_and_its_defaults() {
    let api = Api::with_fabric().await;
    let subnets = json!([
        {
            "cidr": "192.168.1.0/24", "gateway": "192.168.1.1", "dns": ["192.168.1.2"],
            "routes": [{"destination": "169.254.169.254/32", "via": "192.168.1.2"}],
            "dhcp_options": {"domain-name": "example.org", "42": "192.0.2.1", "server-ip-address": "192.0.2.7", "224": "0x01"},
        },
        {"cidr": "192.168.2.0/24", "dhcp": false, "lease_seconds": 600},
        {"cidr": "2001:db8:1::/64", "gateway": "2001:db8:1::1", "dns": ["2001:db8::53"]},
        {"cidr": "2001:db8:2::/80", "ipv6_mode": "dhcpv6-stateful"},
    ]);
    let shown = api.put("/v1/networks/n", network(subnets)).await;
    let shown = shown.expect(201)["subnets"].clone();
    let expected = json!([
        {
            "cidr": "192.168.1.0/24", "gateway": "192.168.1.1", "dns": ["192.168.1.2"],
            "routes": [{"destination": "169.254.169.254/32", "via": "192.168.1.2"}],
            "dhcp": true, "lease_seconds": 86400,
            "dhcp_options": {"domain-name": "example.org", "ntp-servers": "192.0.2.1", "server-ip-address": "192.0.2.7", "224": "0x01"},
        },
        {"cidr": "192.168.2.0/24", "dhcp": false, "lease_seconds": 600},
        {"cidr": "2001:db8:1::/64", "gateway": "2001:db8:1::1", "dns": ["2001:db8::53"], "lease_seconds": 86400, "ipv6_mode": "slaac"},
        {"cidr": "2001:db8:2::/80", "lease_seconds": 86400, "ipv6_mode": "dhcpv6-stateful"},
    ]);
    assert_eq!(shown, expected);
    api.put("/v1/networks/n", network(shown)).await.expect(200);
    api.manager.read(|state| {
        let view = state.view();
        let network = view.find::<Network>(&"n".parse().unwrap());
        let network = view.get(network.unwrap()).unwrap();
        let subnet = network.subnet_of("192.168.1.9".parse().unwrap()).unwrap();
        let options = &subnet.dhcp_options;
        assert_eq!(options.get(15), Some(&b"example.org"[..]));
        assert_eq!(options.get(224), Some(&[1][..]));
        assert_eq!(options.next_server, Some(Ipv4Addr::new(192, 0, 2, 7)));
        assert!(subnet.dhcp && subnet.ipv6_mode == Ipv6Mode::None);
        assert_eq!(network.subnet_of("192.168.3.9".parse().unwrap()), None);
    });
}

#[tokio::test]
async fn what_a_subnet_cannot_be_is_refused() {
    let api = Api::with_fabric().await;
    let v4 = |field: &str, value: Value| {
        let mut subnet = json!({"cidr": "192.168.1.0/24"});
        subnet[field] = value;
        network(json!([subnet]))
    };
    let v6 = |field: &str, value: Value| {
        let mut subnet = json!({"cidr": "2001:db8:1::/64"});
        subnet[field] = value;
        network(json!([subnet]))
    };
    let cidr = |text: &str| network(json!([{"cidr": text}]));
    let route = |destination: &str, via: &str| {
        v4("routes", json!([{"destination": destination, "via": via}]))
    };
    let cases = [
        (cidr("192.168.1.1/24"), "invalid", "/cidr"),
        (cidr("224.0.0.0/24"), "invalid", "/cidr"),
        (cidr("0.0.0.0/0"), "invalid", "/cidr"),
        (cidr("fe80::/64"), "invalid", "/cidr"),
        (cidr("192.168.1.0"), "invalid", "/cidr"),
        (cidr("2001:db8::/80"), "invalid", "/ipv6_mode"),
        (v4("gateway", "192.168.2.1".into()), "invalid", "/gateway"),
        (v4("gateway", "192.168.1.0".into()), "invalid", "/gateway"),
        (v4("gateway", "192.168.1.255".into()), "invalid", "/gateway"),
        (v4("gateway", "2001:db8::1".into()), "invalid", "/gateway"),
        (v4("dns", json!(["2001:db8::53"])), "invalid", "/dns/0"),
        (v4("dns", json!(["224.0.0.1"])), "invalid", "/dns/0"),
        (
            v4("dns", json!(["192.0.2.1", "192.0.2.1"])),
            "conflict",
            "/dns/1",
        ),
        (
            route("10.0.0.0/8", "192.168.2.1"),
            "invalid",
            "/routes/0/via",
        ),
        (
            route("2001:db8::/32", "192.168.1.9"),
            "invalid",
            "/routes/0/via",
        ),
        (v4("lease_seconds", 9.into()), "invalid", "/lease_seconds"),
        (v4("ipv6_mode", "slaac".into()), "invalid", "/ipv6_mode"),
        (
            v4("dhcp_options", json!({"domain-nam": "x"})),
            "invalid",
            "/dhcp_options/domain-nam",
        ),
        (
            v4("dhcp_options", json!({"15": "a", "domain-name": "b"})),
            "conflict",
            "/dhcp_options/domain-name",
        ),
        (v4("colour", 1.into()), "invalid", "/colour"),
        (v6("dhcp", true.into()), "invalid", "/dhcp"),
        (
            v6("dhcp_options", json!({"15": "x"})),
            "invalid",
            "/dhcp_options",
        ),
        (v6("ipv6_mode", "dhcp".into()), "invalid", "/ipv6_mode"),
    ];
    for (document, code, field) in cases {
        let field = format!("/subnets/0{field}");
        api.refuses([("networks/n", document, code, Some(&*field))])
            .await;
    }
    let overlapping = network(json!([{"cidr": "10.0.0.0/8"}, {"cidr": "10.1.0.0/16"}]));
    let mut small = v6("ipv6_mode", "slaac".into());
    small["mtu"] = 1279.into();
    api.refuses([
        (
            "networks/n",
            overlapping,
            "conflict",
            Some("/subnets/1/cidr"),
        ),
        ("networks/n", small, "invalid", Some("/mtu")),
    ])
    .await;
}

#[tokio::test]
async fn stations_are_in_a_subnet_of_a_network_that_has_any() {
    let api = Api::with_fabric().await;
    let n = |cidrs: &[&str]| {
        let subnets = cidrs.iter().map(|cidr| json!({"cidr": cidr}));
        network(subnets.collect())
    };
    let port = |address: &str| json!({"network": "n", "mac": "52:54:00:00:00:01", "addresses": [address], "host": "h1"});
    // Without subnets: what they like.
    api.put("/v1/networks/n", n(&[])).await.expect(201);
    api.put("/v1/ports/p", port("10.0.0.9")).await.expect(201);
    // And then only subnets that they are in.
    let answer = api.put("/v1/networks/n", n(&["192.168.1.0/24"])).await;
    let sentence = answer.refused("conflict", Some("/subnets"));
    assert!(sentence.contains("ports/p"), "{sentence}");
    api.put("/v1/networks/n", n(&["10.0.0.0/24"]))
        .await
        .expect(200);
    api.refuses([
        ("ports/p", port("10.0.1.9"), "invalid", Some("/addresses/0")),
        (
            "ports/p",
            port("10.0.0.255"),
            "invalid",
            Some("/addresses/0"),
        ),
        (
            "ports/p",
            port("2001:db8::9"),
            "invalid",
            Some("/addresses/0"),
        ),
    ])
    .await;
    api.put("/v1/ports/p", port("fe80::9")).await.expect(200);
    api.put("/v1/ports/p", port("10.0.0.9")).await.expect(200);
    // More subnets hurt nobody; fewer may.
    api.put("/v1/networks/n", n(&["10.0.0.0/24", "10.0.1.0/24"]))
        .await
        .expect(200);
    api.put("/v1/networks/n", n(&["10.0.1.0/24"]))
        .await
        .refused("conflict", Some("/subnets"));
    // Both in one transaction, and back to none.
    let moved =
        json!({"put": {"networks": {"n": n(&["10.0.1.0/24"])}, "ports": {"p": port("10.0.1.9")}}});
    api.post("/v1/transaction", moved).await.expect(200);
    api.put("/v1/networks/n", n(&[])).await.expect(200);
}

#[tokio::test]
async fn gateways_are_in_a_subnet_of_a_network_that_has_any() {
    let api = Api::with_fabric().await;
    let n = |cidr: &str| network(json!([{"cidr": cidr}]));
    let router = |address: &str| json!({"interfaces": [{"network": "n", "mac": "fa:16:3e:00:00:01", "addresses": [address]}]});
    api.put("/v1/networks/n", n("10.0.0.0/24"))
        .await
        .expect(201);
    let field = Some("/interfaces/0/addresses/0");
    api.refuses([
        ("routers/r", router("10.0.1.1/24"), "conflict", field),
        ("routers/r", router("10.0.0.1/16"), "conflict", field),
    ])
    .await;
    api.put("/v1/routers/r", router("10.0.0.1/24"))
        .await
        .expect(201);
    let answer = api.put("/v1/networks/n", n("10.0.0.0/16")).await;
    let sentence = answer.refused("conflict", Some("/subnets"));
    assert!(sentence.contains("routers/r"), "{sentence}");
    let both = json!({"put": {"networks": {"n": n("10.0.0.0/16")}, "routers": {"r": router("10.0.0.1/16")}}});
    api.post("/v1/transaction", both).await.expect(200);
}
