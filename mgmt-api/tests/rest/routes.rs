//! Routes of routers as resources of their own.

use serde_json::{Value, json};

use crate::support::api::Api;

/// `r1` in `blue` and `red`, `r2` in `red` alone.
async fn with_routers() -> Api {
    let api = Api::with_fabric().await;
    let routers = json!({"put": {
        "networks": {"red": {"segment": {"type": "vxlan", "vni": 11}}},
        "routers": {
            "r1": r1(),
            "r2": {"interfaces": [
                {"network": "red", "mac": "fa:16:3e:00:00:03", "addresses": ["192.168.2.2/24"]},
            ]},
        },
    }});
    api.post("/v1/transaction", routers).await.expect(200);
    api
}

fn r1() -> Value {
    json!({
        "interfaces": [
            {"network": "blue", "mac": "fa:16:3e:00:00:01", "addresses": ["192.168.1.1/24", "2001:db8:1::1/64"]},
            {"network": "red", "mac": "fa:16:3e:00:00:02", "addresses": ["192.168.2.1/24"]},
        ],
        "routes": [{"destination": "10.9.0.0/16", "via": "192.168.1.254"}],
    })
}

fn via(hops: &[&str]) -> Value {
    json!({"via": hops})
}

#[tokio::test]
async fn a_route_has_its_prefix_in_its_path() {
    let api = with_routers().await;
    let hop = via(&["192.168.1.254"]);
    let created = api.put("/v1/routes/r1/10.0.0.0/8", hop.clone()).await;
    let shown = json!({"id": "r1/10.0.0.0/8", "via": ["192.168.1.254"]});
    assert_eq!(created.expect(201), shown);
    assert_eq!(created.headers["location"], "/v1/routes/r1/10.0.0.0/8");
    assert_eq!(api.get("/v1/routes/r1/10.0.0.0/8").await.expect(200), shown);
    api.put("/v1/routes/r1/10.0.0.0/8", shown).await.expect(200);
    api.put("/v1/routes/r1/2001:db8::/32", via(&["2001:db8:1::fe"]))
        .await
        .expect(201);
    api.put(
        "/v1/routes/r1/0.0.0.0/0",
        via(&["192.168.1.254", "192.168.2.254"]),
    )
    .await
    .expect(201);
    api.put("/v1/routes/r2/10.0.0.0/8", via(&["192.168.2.1"]))
        .await
        .expect(201);

    let ids = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let page = api.get("/v1/routes/r1?limit=2").await.expect(200);
    assert_eq!(ids(&page), ["r1/0.0.0.0/0", "r1/10.0.0.0/8"]);
    let page = api.get(page["next"].as_str().unwrap()).await.expect(200);
    assert_eq!(ids(&page), ["r1/2001:db8::/32"]);
    assert_eq!(page.get("next"), None);
    let page = api.get("/v1/routes/r2").await.expect(200);
    assert_eq!(ids(&page), ["r2/10.0.0.0/8"]);
    let beyond = api
        .get("/v1/routes/r1?after=r2/10.0.0.0/8")
        .await
        .expect(200);
    assert_eq!(ids(&beyond), [""; 0]);
    api.get("/v1/routes/r9").await.refused("not-found", None);

    let state = api.state().await;
    assert_eq!(state["routes"]["r1/10.0.0.0/8"], hop);
    api.put("/v1/state", json!({})).await.expect(200);
    api.put("/v1/state", state.clone()).await.expect(200);
    assert_eq!(api.state().await, state);

    let sentence = api.delete("/v1/routers/r2").await.refused("in-use", None);
    assert!(sentence.contains("routes/r2/10.0.0.0/8"), "{sentence}");
    let both = json!({"delete": {"routers": ["r2"], "routes": ["r2/10.0.0.0/8"]}});
    api.post("/v1/transaction", both).await.expect(200);
    api.delete("/v1/routes/r1/10.0.0.0/8").await.expect(204);
    api.delete("/v1/routes/r1/10.0.0.0/8")
        .await
        .refused("not-found", None);
}

#[tokio::test]
async fn what_a_route_cannot_be_is_refused() {
    let api = with_routers().await;
    let good = || via(&["192.168.1.254"]);
    let many: Vec<String> = (100..117).map(|n| format!("192.168.1.{n}")).collect();
    api.refuses([
        (
            "routes/r9/10.0.0.0/8",
            good(),
            "unknown-reference",
            Some(""),
        ),
        ("routes/r1/127.0.0.0/8", good(), "invalid", Some("")),
        ("routes/r1/10.0.0.0/8", via(&[]), "invalid", Some("/via")),
        (
            "routes/r1/10.0.0.0/8",
            json!({"via": many}),
            "invalid",
            Some("/via"),
        ),
        (
            "routes/r1/10.0.0.0/8",
            via(&["192.168.1.254", "192.168.3.1"]),
            "invalid",
            Some("/via/1"),
        ),
        (
            "routes/r1/10.0.0.0/8",
            via(&["192.168.1.1"]),
            "invalid",
            Some("/via/0"),
        ),
        (
            "routes/r1/10.0.0.0/8",
            via(&["2001:db8:1::fe"]),
            "invalid",
            Some("/via/0"),
        ),
        (
            "routes/r1/10.0.0.0/8",
            via(&["192.168.1.254", "192.168.1.254"]),
            "conflict",
            Some("/via/1"),
        ),
        ("routes/r1/10.9.0.0/16", good(), "conflict", Some("")),
        ("routes/r1/192.168.2.0/24", good(), "conflict", Some("")),
    ])
    .await;
    for path in ["r1/10.0.0.1/8", "r1/10.0.0.0/33", "r1/10.0.0.0/x"] {
        let answer = api.put(&format!("/v1/routes/{path}"), good()).await;
        answer.refused("invalid", None);
    }
}

#[tokio::test]
async fn a_router_cannot_change_from_under_its_routes() {
    let api = with_routers().await;
    api.put("/v1/routes/r1/10.0.0.0/8", via(&["192.168.2.254"]))
        .await
        .expect(201);
    let mut without_red = r1();
    without_red["interfaces"].as_array_mut().unwrap().pop();
    let mut own_route = r1();
    own_route["routes"][0]["destination"] = "10.0.0.0/8".into();
    let mut connected = r1();
    connected["interfaces"][0]["addresses"] = json!(["192.168.1.1/24", "10.0.0.1/8"]);
    connected["routes"] = json!([]);
    api.refuses([
        (
            "routers/r1",
            without_red.clone(),
            "conflict",
            Some("/interfaces"),
        ),
        (
            "routers/r1",
            own_route.clone(),
            "conflict",
            Some("/routes/0/destination"),
        ),
        ("routers/r1", connected, "conflict", Some("/interfaces")),
    ])
    .await;
    // Both at once, in either direction.
    let moved = json!({"put": {
        "routers": {"r1": without_red},
        "routes": {"r1/10.0.0.0/8": via(&["192.168.1.254"])},
    }});
    api.post("/v1/transaction", moved).await.expect(200);
    let taken_in =
        json!({"put": {"routers": {"r1": own_route}}, "delete": {"routes": ["r1/10.0.0.0/8"]}});
    api.post("/v1/transaction", taken_in).await.expect(200);
}
