//! Ports: what few of them have.

use mgmt_api::resources::Port;
use serde_json::{Value, json};

use crate::support::api::Api;

fn port(field: &str, value: Value) -> Value {
    let mut port = json!({"network": "blue", "mac": "52:54:00:00:00:01", "host": "h1"});
    port[field] = value;
    port
}

#[tokio::test]
async fn what_few_ports_have_is_shown_and_kept() {
    let api = Api::with_fabric().await;
    let full = json!({
        "network": "blue", "mac": "52:54:00:00:00:01", "host": "h1", "addresses": ["10.0.0.9"],
        "anti_spoofing": false, "hostname": "vm1",
        "allowed_address_pairs": [
            {"address": "10.0.0.50"}, {"address": "10.1.0.0/16", "mac": "52:54:00:00:00:09"}, {"address": "2001:db8::7"},
        ],
        "dhcp_options": {"bootfile-name": "pxelinux.0", "dns-servers": "192.0.2.53"},
    });
    api.put("/v1/ports/p", full.clone()).await.expect(201);
    assert_eq!(api.state().await["ports"]["p"], full);
    api.manager.read(|state| {
        let view = state.view();
        let port = view.find::<Port>(&"p".parse().unwrap());
        let port = view.get(port.unwrap()).unwrap();
        assert!(!port.anti_spoofing);
        assert_eq!(port.hostname(), Some("vm1"));
        assert_eq!(
            port.dhcp_options().unwrap().get(67),
            Some(&b"pxelinux.0"[..])
        );
        let pairs = port.allowed_address_pairs();
        assert_eq!(pairs[0].prefix, "10.0.0.50/32".parse().unwrap());
        assert_eq!(pairs[0].mac, None);
        assert_eq!(pairs[1].prefix, "10.1.0.0/16".parse().unwrap());
    });
    // The defaults take no room, in the record or in the document.
    let plain = json!({
        "network": "blue", "mac": "52:54:00:00:00:01", "host": "h1", "addresses": ["10.0.0.9"],
        "anti_spoofing": true, "allowed_address_pairs": [], "dhcp_options": {},
    });
    api.put("/v1/ports/p", plain.clone()).await.expect(200);
    let mut shown = plain;
    shown.as_object_mut().unwrap().retain(|field, _| {
        !["anti_spoofing", "allowed_address_pairs", "dhcp_options"].contains(&field.as_str())
    });
    assert_eq!(api.state().await["ports"]["p"], shown);
    api.manager.read(|state| {
        let (_, port) = state.view().iter::<Port>().next().unwrap();
        assert!(port.extras.is_none());
    });
}

#[tokio::test]
async fn what_they_cannot_be_is_refused() {
    let api = Api::with_fabric().await;
    let pair = |address: &str| port("allowed_address_pairs", json!([{"address": address}]));
    let many: Vec<Value> = (0..65)
        .map(|n| json!({"address": format!("10.0.0.{n}")}))
        .collect();
    let address = Some("/allowed_address_pairs/0/address");
    api.refuses([
        ("ports/p", pair("10.0.0.1/24"), "invalid", address),
        ("ports/p", pair("224.0.0.1"), "invalid", address),
        ("ports/p", pair("0.0.0.0"), "invalid", address),
        ("ports/p", pair("10.0.0"), "invalid", address),
        (
            "ports/p",
            port(
                "allowed_address_pairs",
                json!([{"address": "10.0.0.1", "mac": "01:00:5e:00:00:01"}]),
            ),
            "invalid",
            Some("/allowed_address_pairs/0/mac"),
        ),
        (
            "ports/p",
            port(
                "allowed_address_pairs",
                json!([{"address": "10.0.0.1"}, {"address": "10.0.0.1"}]),
            ),
            "conflict",
            Some("/allowed_address_pairs/1/address"),
        ),
        (
            "ports/p",
            port("allowed_address_pairs", many.into()),
            "invalid",
            Some("/allowed_address_pairs"),
        ),
        (
            "ports/p",
            port("hostname", "vm_1".into()),
            "invalid",
            Some("/hostname"),
        ),
        (
            "ports/p",
            port("hostname", "".into()),
            "invalid",
            Some("/hostname"),
        ),
        (
            "ports/p",
            port("dhcp_options", json!({"router": "10.0.0.1"})),
            "invalid",
            Some("/dhcp_options/router"),
        ),
        (
            "ports/p",
            port("dhcp_options", json!({"15": 1})),
            "invalid",
            Some("/dhcp_options/15"),
        ),
        (
            "ports/p",
            port("anti_spoofing", "no".into()),
            "invalid",
            Some("/anti_spoofing"),
        ),
    ])
    .await;
    // Anything may be the source if the operator says so.
    api.put("/v1/ports/p", pair("0.0.0.0/0")).await.expect(201);
}
