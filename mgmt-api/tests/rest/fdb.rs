//! The MAC tables as they are.

use mgmt_api::mac::Mac;
use mgmt_api::resources::Attachment;
use serde_json::{Value, json};

use crate::support::api::Api;

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
