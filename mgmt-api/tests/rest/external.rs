//! External networks: their gateways for floating IPs, flat segments, and who has which address there.

use mgmt_api::id::Id;
use mgmt_api::resources::{Host, Kind, Network, Segment};
use mgmt_api::state::{Handle, View};
use serde_json::{Value, json};

use crate::support::api::{Api, cloud, with, without};

fn public() -> Value {
    cloud()["put"]["networks"]["public"].clone()
}

fn handle<K: Kind<Key = Id>>(view: View<'_>, id: &str) -> Handle<K> {
    view.find::<K>(&id.parse().unwrap()).unwrap()
}

#[tokio::test]
async fn an_external_network_is_read_as_it_was_written() {
    let api = Api::with_cloud().await;
    let shown = api.get("/v1/networks/public").await.expect(200);
    assert_eq!(shown["external"], public()["external"]);
    assert_eq!(
        api.put("/v1/networks/public", shown.clone())
            .await
            .expect(200),
        shown
    );
    api.manager.read(|state| {
        let view = state.view();
        let public = handle::<Network>(view, "public");
        let external = view.get(public).unwrap().external.as_ref().unwrap();
        let own = external.gateway_of(None).unwrap();
        assert_eq!(own.mac.to_string(), "fa:16:3e:7d:bd:86");
        assert_eq!(own.address.unwrap().to_string(), "10.100.0.2");
        let h1 = Some(handle::<Host>(view, "h1"));
        assert_eq!(external.gateway_of(h1).unwrap().address, None);
        // This host without an entry has the device's.
        assert_eq!(view.floating_ip_gateway_mac(public, None), Some(own.mac));
        let net1 = Some(handle::<Host>(view, "net1"));
        assert_eq!(view.floating_ip_gateway_mac(public, net1), None);
    });
    let bare = with(public(), "/external", json!({}));
    api.put("/v1/networks/public", bare).await.expect(200);
    let shown = api.get("/v1/networks/public").await.expect(200);
    assert_eq!(shown["external"], json!({}));
    api.manager.read(|state| {
        let view = state.view();
        let device = view.facts().device("small").unwrap();
        let mac = view.floating_ip_gateway_mac(handle(view, "public"), None);
        assert_eq!(mac, Some(view.device(device).mac));
    });
}

#[tokio::test]
async fn a_flat_network_is_the_untagged_frames_of_an_interface() {
    let api = Api::with_cloud().await;
    let flat = with(
        public(),
        "/segment",
        json!({"type": "flat", "interface": "small"}),
    );
    let shown = api
        .put("/v1/networks/public", flat.clone())
        .await
        .expect(200);
    assert_eq!(shown["segment"], flat["segment"]);
    api.manager.read(|state| {
        let view = state.view();
        let network = view.get(handle::<Network>(view, "public")).unwrap();
        assert!(matches!(network.segment, Segment::Flat { .. }));
        let attachment = network.segment.attachment().unwrap();
        assert_eq!(attachment.tag, None);
        assert_eq!(
            view.network_at(attachment),
            Some(handle::<Network>(view, "public"))
        );
        assert_eq!(view.network_mtu(network), 1500);
    });
    let segment = |segment: Value| with(public(), "/segment", segment);
    let flat = |more: Value| {
        let mut segment = json!({"type": "flat", "interface": "small"});
        let members = more.as_object().unwrap().clone();
        segment.as_object_mut().unwrap().extend(members);
        segment
    };
    let cases = [
        (segment(flat(json!({"vlan": 7}))), "invalid", "/segment"),
        (segment(json!({"type": "flat"})), "invalid", "/segment"),
        (
            segment(json!({"type": "flat", "interface": "no"})),
            "unknown-reference",
            "/segment/interface",
        ),
        // The underlay's own frames are untagged there.
        (
            segment(json!({"type": "flat", "interface": "eth0"})),
            "conflict",
            "/segment",
        ),
        (
            with(
                segment(flat(json!({}))),
                "/flood",
                json!({"mode": "multicast", "group": "239.1.1.1"}),
            ),
            "conflict",
            "/flood",
        ),
        (
            with(segment(flat(json!({}))), "/hosts", json!(["h1"])),
            "conflict",
            "/hosts",
        ),
        (
            with(segment(flat(json!({}))), "/mtu", 1501.into()),
            "conflict",
            "/mtu",
        ),
    ];
    let cases = cases.map(|(body, code, field)| ("networks/public", body, code, Some(field)));
    api.refuses(cases).await;
}

#[tokio::test]
async fn what_an_external_network_cannot_be_is_refused() {
    let api = Api::with_cloud().await;
    let gateway = |index: usize, field: &str, value: Value| {
        let pointer = format!("/external/floating_ip_gateways/{index}/{field}");
        with(public(), &pointer, value)
    };
    let at = "/external/floating_ip_gateways";
    let cases = [
        (
            with(public(), "/external/colour", 1.into()),
            "invalid",
            "/external/colour".to_owned(),
        ),
        (
            with(public(), "/segment", json!({"type": "vxlan", "vni": 99})),
            "conflict",
            "/external".to_owned(),
        ),
        (
            with(public(), "/subnets", json!([])),
            "invalid",
            "/subnets".to_owned(),
        ),
        (
            with(public(), "/mtu", 1501.into()),
            "conflict",
            "/mtu".to_owned(),
        ),
        (
            gateway(0, "host", "no".into()),
            "unknown-reference",
            format!("{at}/0/host"),
        ),
        (
            gateway(1, "host", "this-host".into()),
            "conflict",
            format!("{at}/1/host"),
        ),
        (
            gateway(1, "mac", "fa:16:3e:7d:bd:86".into()),
            "conflict",
            format!("{at}/1/mac"),
        ),
        (
            gateway(1, "mac", "01:00:5e:00:00:01".into()),
            "invalid",
            format!("{at}/1/mac"),
        ),
        (
            gateway(1, "mac", "fa:16:3f:00:00:02".into()),
            "conflict",
            format!("{at}/1/mac"),
        ),
        (
            gateway(1, "mac", "fa:16:3e:70:a5:d3".into()),
            "conflict",
            format!("{at}/1/mac"),
        ),
        (
            gateway(1, "address", "10.100.0.2".into()),
            "conflict",
            format!("{at}/1/address"),
        ),
        (
            gateway(1, "address", "10.100.0.5".into()),
            "conflict",
            format!("{at}/1/address"),
        ),
        (
            gateway(1, "address", "10.100.0.1".into()),
            "conflict",
            format!("{at}/1/address"),
        ),
        (
            gateway(1, "address", "10.101.0.7".into()),
            "invalid",
            format!("{at}/1/address"),
        ),
        (
            gateway(1, "address", "10.100.0.255".into()),
            "invalid",
            format!("{at}/1/address"),
        ),
        // A router has its way outside here.
        (
            without(public(), "/external"),
            "conflict",
            "/external".to_owned(),
        ),
        (
            with(public(), "/subnets/0/cidr", "10.100.0.0/28".into()),
            "conflict",
            "/subnets".to_owned(),
        ),
        (
            with(public(), "/subnets/0/gateway", "10.100.0.5".into()),
            "conflict",
            "/subnets".to_owned(),
        ),
    ];
    for (body, code, field) in cases {
        let case = ("networks/public", body, code, Some(field.as_str()));
        api.refuses([case]).await;
    }
    let sentence = api
        .delete("/v1/networks/public")
        .await
        .refused("in-use", None);
    assert!(sentence.contains("routers/r1"), "{sentence}");
    let sentence = api.delete("/v1/hosts/net1").await.refused("in-use", None);
    assert!(sentence.contains("routers/r1"), "{sentence}");
}

#[tokio::test]
async fn who_has_which_address_outside_is_listed() {
    let api = Api::with_cloud().await;
    let fip = json!({"address": "10.100.0.7", "network": "public", "port": "vm1"});
    api.put("/v1/floating-ips/fip1", fip).await.expect(201);
    let central =
        json!({"address": "10.100.0.8", "network": "public", "port": "vm2", "distributed": false});
    api.put("/v1/floating-ips/fip2", central).await.expect(201);
    let listed = api.get("/v1/neighbours?network=public").await.expect(200);
    assert_eq!(
        listed["items"],
        json!([
            {"address": "10.100.0.5", "mac": "fa:16:3e:70:a5:d3", "origin": "gateway", "host": "net1"},
            {"address": "10.100.0.7", "mac": "fa:16:3e:7d:bd:86", "origin": "floating-ip", "router": "r1"},
            {"address": "10.100.0.8", "mac": "fa:16:3e:70:a5:d3", "origin": "floating-ip", "host": "net1"},
            {"address": "2001:db8:ff::5", "mac": "fa:16:3e:70:a5:d3", "origin": "gateway", "host": "net1"},
        ])
    );
    let listed = api.get("/v1/neighbours?network=green").await.expect(200);
    let items = listed["items"].as_array().unwrap();
    let central = json!({"address": "192.168.2.11", "mac": "fa:16:3e:19:e1:99", "origin": "gateway", "host": "net1"});
    assert!(items.contains(&central), "{listed:#}");
}
