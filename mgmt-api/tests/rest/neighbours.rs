//! Who has which address in a network.

use mgmt_api::control::{Neighbour, NeighbourLocation, NeighbourOrigin};
use mgmt_api::resources::{Attachment, Host};
use mgmt_api::state::Handle;
use serde_json::json;

use crate::support::api::Api;

#[tokio::test]
async fn neighbours_are_the_configured_and_the_learned_in_order() {
    let api = Api::with_fabric().await;
    let all = json!({"put": {
        "hosts": {"this-host": {"vtep": "192.0.2.11", "dvr_mac": "fa:16:3f:00:00:01"}},
        "networks": {"red": {"segment": {"type": "vxlan", "vni": 11}}},
        "routers": {
            "r1": {"interfaces": [{"network": "blue", "mac": "fa:16:3e:00:00:01", "addresses": ["10.0.0.1/24"]}]},
            "r2": {
                "distributed": false, "host": "h1",
                "interfaces": [{"network": "blue", "mac": "fa:16:3e:00:00:02", "addresses": ["10.0.0.2/24"]}],
            },
        },
        "ports": {
            "p1": {"network": "blue", "mac": "52:54:00:00:00:01", "addresses": ["10.0.0.5", "2001:db8::5"], "host": "h1"},
            "p2": {"network": "blue", "mac": "52:54:00:00:00:02", "addresses": ["10.0.0.6"], "interface": "eth1", "vlan": 100},
            "p3": {"network": "red", "mac": "52:54:00:00:00:03", "addresses": ["10.0.0.7"], "host": "h1"},
        },
    }});
    api.post("/v1/transaction", all).await.expect(200);
    let interface = api
        .manager
        .read(|state| state.view().find(&"eth1".parse().unwrap()).unwrap());
    let learned = |address: &str, location| Neighbour {
        address: address.parse().unwrap(),
        mac: "52:54:00:00:00:09".parse().unwrap(),
        location,
        origin: NeighbourOrigin::Learned,
        age: Some(7),
    };
    let here = Attachment {
        interface,
        tag: None,
    };
    let gone = Handle::<Host>::new(99);
    *api.control.neighbours.lock() = vec![
        learned("10.0.0.9", NeighbourLocation::Local(here)),
        // Its host went away while the table was being read.
        learned("10.0.0.3", NeighbourLocation::Remote(gone)),
    ];
    let (p1, p2) = ("52:54:00:00:00:01", "52:54:00:00:00:02");
    let (g1, g2) = ("fa:16:3e:00:00:01", "fa:16:3e:00:00:02");
    assert_eq!(
        api.get("/v1/neighbours?network=blue").await.expect(200),
        json!({"items": [
            {"address": "10.0.0.1", "mac": g1, "origin": "gateway", "router": "r1"},
            {"address": "10.0.0.2", "mac": g2, "origin": "gateway", "host": "h1"},
            {"address": "10.0.0.5", "mac": p1, "origin": "port", "host": "h1"},
            {"address": "10.0.0.6", "mac": p2, "origin": "port", "interface": "eth1", "vlan": 100},
            {"address": "10.0.0.9", "mac": "52:54:00:00:00:09", "origin": "learned", "age_seconds": 7, "interface": "eth1"},
            {"address": "2001:db8::5", "mac": p1, "origin": "port", "host": "h1"},
            {"address": "fe80::f816:3eff:fe00:1", "mac": g1, "origin": "gateway", "router": "r1"},
            {"address": "fe80::f816:3eff:fe00:2", "mac": g2, "origin": "gateway", "host": "h1"},
        ]})
    );
    api.get("/v1/neighbours").await.refused("invalid", None);
    api.get("/v1/neighbours?network=no")
        .await
        .refused("not-found", None);
}
