//! Who has which address in a network.

use mgmt_api::control::{Neighbour, NeighbourLocation, NeighbourOrigin};
use mgmt_api::resources::{Attachment, Host, Interface, Router};
use mgmt_api::state::Handle;
use serde_json::json;

use crate::support::api::Api;

#[tokio::test]
async fn neighbours_are_shown_by_name_and_in_order() {
    let api = Api::with_fabric().await;
    let router = json!({"interfaces": [{"network": "blue", "mac": "fa:16:3e:00:00:01", "addresses": ["10.0.0.1/24"]}]});
    api.put("/v1/routers/r1", router).await.expect(201);
    let (host, interface, router) = api.manager.read(|state| {
        let view = state.view();
        let host: Handle<Host> = view.find(&"h1".parse().unwrap()).unwrap();
        let interface: Handle<Interface> = view.find(&"eth1".parse().unwrap()).unwrap();
        let router: Handle<Router> = view.find(&"r1".parse().unwrap()).unwrap();
        (host, interface, router)
    });
    let neighbour = |address: &str, location, origin, age| Neighbour {
        address: address.parse().unwrap(),
        mac: "52:54:00:00:00:01".parse().unwrap(),
        location,
        origin,
        age,
    };
    let local = Attachment {
        interface,
        tag: None,
    };
    *api.control.neighbours.lock() = vec![
        neighbour(
            "10.0.0.9",
            NeighbourLocation::Local(local),
            NeighbourOrigin::Learned,
            Some(7),
        ),
        neighbour(
            "10.0.0.5",
            NeighbourLocation::Remote(host),
            NeighbourOrigin::Port,
            None,
        ),
        neighbour(
            "10.0.0.1",
            NeighbourLocation::Router(router),
            NeighbourOrigin::Gateway,
            None,
        ),
        // Its host went away meanwhile.
        neighbour(
            "10.0.0.3",
            NeighbourLocation::Remote(Handle::new(99)),
            NeighbourOrigin::Port,
            None,
        ),
    ];
    let mac = "52:54:00:00:00:01";
    assert_eq!(
        api.get("/v1/neighbours?network=blue").await.expect(200),
        json!({"items": [
            {"address": "10.0.0.1", "mac": mac, "origin": "gateway", "router": "r1"},
            {"address": "10.0.0.5", "mac": mac, "origin": "port", "host": "h1"},
            {"address": "10.0.0.9", "mac": mac, "origin": "learned", "age_seconds": 7, "interface": "eth1"},
        ]})
    );
    api.get("/v1/neighbours").await.refused("invalid", None);
    api.get("/v1/neighbours?network=no")
        .await
        .refused("not-found", None);
}
