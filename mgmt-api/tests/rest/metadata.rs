//! Who asks the metadata proxy, and what belongs to it.

use std::net::Ipv4Addr;

use mgmt_api::control::MetadataAsker;
use serde_json::{Value, json};

use crate::support::api::Api;

fn asker(last: u8) -> MetadataAsker {
    MetadataAsker {
        address: Ipv4Addr::new(240, 0, 0, last),
        port: format!("p{last}").parse().unwrap(),
        network: "blue".parse().unwrap(),
        mac: "52:54:00:00:00:01".parse().unwrap(),
        source: "10.0.0.5".parse().unwrap(),
        addresses: Box::new(["10.0.0.5".parse().unwrap(), "2001:db8::5".parse().unwrap()]),
    }
}

fn addresses(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["address"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn askers_are_listed_in_pages() {
    let api = Api::with_fabric().await;
    *api.control.metadata.lock() = [2, 5, 7].map(asker).to_vec();
    let page = api.get("/v1/metadata?limit=2").await.expect(200);
    assert_eq!(addresses(&page), ["240.0.0.2", "240.0.0.5"]);
    let next = page["next"].as_str().unwrap();
    let page = api.get(next).await.expect(200);
    assert_eq!(addresses(&page), ["240.0.0.7"]);
    assert_eq!(page.get("next"), None);
    let page = api.get("/v1/metadata").await.expect(200);
    assert_eq!(addresses(&page).len(), 3);
    let end = api.get("/v1/metadata?after=255.255.255.255").await;
    assert_eq!(addresses(&end.expect(200)), Vec::<&str>::new());
}

#[tokio::test]
async fn one_asker_is_found_by_its_address() {
    let api = Api::with_fabric().await;
    *api.control.metadata.lock() = [2, 5].map(asker).to_vec();
    assert_eq!(
        api.get("/v1/metadata?address=240.0.0.5").await.expect(200),
        json!({"items": [{
            "address": "240.0.0.5", "port": "p5", "network": "blue", "mac": "52:54:00:00:00:01",
            "source": "10.0.0.5", "addresses": ["10.0.0.5", "2001:db8::5"],
        }]})
    );
    // Not the next one.
    let nobody = api.get("/v1/metadata?address=240.0.0.3").await;
    assert_eq!(nobody.expect(200), json!({"items": []}));
    for wrong in ["address=five", "after=x", "limit=0", "network=blue"] {
        let answer = api.get(&format!("/v1/metadata?{wrong}")).await;
        answer.refused("invalid", None);
    }
}

#[tokio::test]
async fn networks_have_metadata_unless_they_say_no() {
    let api = Api::with_fabric().await;
    let network = api.get("/v1/networks/blue").await.expect(200);
    assert_eq!(network["metadata"], true);
    let red = json!({"segment": {"type": "vxlan", "vni": 11}, "metadata": false});
    api.put("/v1/networks/red", red).await.expect(201);
    let network = api.get("/v1/networks/red").await.expect(200);
    assert_eq!(network["metadata"], false);
}

#[tokio::test]
async fn the_device_of_the_proxy_is_no_interface() {
    let api = Api::with_fabric().await;
    for (path, document) in [
        ("/v1/interfaces/meta0", json!({})),
        ("/v1/interfaces/other", json!({"device": "meta0"})),
    ] {
        let answer = api.put(path, document).await;
        let detail = answer.refused("conflict", Some("/device"));
        assert!(detail.contains("belongs to [metadata]"), "{detail}");
    }
}
