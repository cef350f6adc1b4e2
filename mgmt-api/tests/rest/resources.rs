//! One resource at a time, of whatever kind, and lists of them.

use mgmt_api::rest::Config;
use serde_json::{Value, json};

use crate::support::FakeControl;
use crate::support::api::{Answer, Api, fabric};

#[tokio::test]
async fn a_resource_is_created_changed_read_and_deleted() {
    let api = Api::with_fabric().await;
    let port = json!({"network": "blue", "mac": "52:54:00:00:00:01", "addresses": ["10.0.0.1"], "host": "h1"});

    let created = api.put("/v1/ports/p1", port.clone()).await;
    let mut shown = port.clone();
    shown["id"] = "p1".into();
    assert_eq!(created.expect(201), shown);
    assert_eq!(created.headers["location"], "/v1/ports/p1");
    assert_eq!(
        api.put("/v1/ports/p1", port.clone()).await.expect(200),
        shown,
        "again: unchanged"
    );
    assert_eq!(api.get("/v1/ports/p1").await.expect(200), shown);

    // What was read can be written back.
    shown["addresses"] = json!(["10.0.0.2", "2001:db8:1::2"]);
    assert_eq!(
        api.put("/v1/ports/p1", shown.clone()).await.expect(200),
        shown
    );
    assert_eq!(api.get("/v1/ports/p1").await.expect(200), shown);

    assert_eq!(api.delete("/v1/ports/p1").await.expect(204), Value::Null);
    api.get("/v1/ports/p1").await.refused("not-found", None);
    api.delete("/v1/ports/p1").await.refused("not-found", None);
}

#[tokio::test]
async fn the_control_plane_knows_what_was_answered() {
    let api = Api::with_fabric().await;
    let port =
        json!({"network": "blue", "mac": "52:54:00:00:00:01", "interface": "eth1", "vlan": 7});
    api.put("/v1/ports/p1", port).await.expect(201);
    let remote = json!({"host": "h1"});
    api.put("/v1/fdb/blue/52:54:00:00:00:02", remote)
        .await
        .expect(201);
    {
        let mirror = api.control.mirror.lock();
        assert_eq!(mirror.fdb.len(), 2);
        assert_eq!(
            mirror.bindings.len(),
            2,
            "the network's binding and the one its port implies"
        );
        assert_eq!(
            mirror.members.len(),
            1,
            "the static entry makes h1 a member"
        );
    }
    api.delete("/v1/ports/p1").await.expect(204);
    api.delete("/v1/fdb/blue/52:54:00:00:00:02")
        .await
        .expect(204);
    let mirror = api.control.mirror.lock();
    assert_eq!(
        (
            mirror.fdb.len(),
            mirror.bindings.len(),
            mirror.members.len()
        ),
        (0, 1, 0)
    );
}

#[tokio::test]
async fn lists_come_in_pages_that_hold_still() {
    let api = Api::with_fabric().await;
    let ports: serde_json::Map<String, Value> = (0..25_u8)
        .map(|n| {
            let place = if n % 5 == 0 {
                json!({"interface": "eth1", "vlan": 100})
            } else {
                json!({"host": "h1"})
            };
            let mut port = json!({"network": "blue", "mac": format!("52:54:00:00:00:{n:02x}")});
            port.as_object_mut()
                .unwrap()
                .extend(place.as_object().unwrap().clone());
            (format!("p{n:02}"), port)
        })
        .collect();
    api.post("/v1/transaction", json!({"put": {"ports": ports}}))
        .await
        .expect(200);

    let mut seen = Vec::new();
    let mut next = Some("/v1/ports?limit=10".to_owned());
    while let Some(path) = next {
        let page = api.get(&path).await.expect(200);
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|port| port["id"].as_str().unwrap().to_owned()),
        );
        if seen.len() == 10 {
            // Someone writes between two pages: before the cursor and after it.
            api.delete("/v1/ports/p03").await.expect(204);
            api.delete("/v1/ports/p15").await.expect(204);
        }
        next = page["next"].as_str().map(str::to_owned);
    }
    let expected: Vec<_> = (0..25)
        .filter(|n| *n != 15)
        .map(|n| format!("p{n:02}"))
        .collect();
    assert_eq!(seen, expected);

    let ids = |answer: Answer| {
        let page = answer.expect(200);
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ids(api.get("/v1/ports?host=this-host").await),
        ["p00", "p05", "p10", "p20"]
    );
    assert_eq!(
        ids(api.get("/v1/ports?host=h1&network=blue&limit=2").await),
        ["p01", "p02"]
    );
    assert_eq!(
        ids(api.get("/v1/ports?interface=eth1&after=p05").await),
        ["p10", "p20"]
    );
    assert_eq!(ids(api.get("/v1/networks?interface=eth1").await), ["blue"]);
    api.get("/v1/ports?network=no")
        .await
        .refused("not-found", None);
    api.get("/v1/ports?limit=0").await.refused("invalid", None);
    api.get("/v1/ports?limit=10001")
        .await
        .refused("invalid", None);
    api.get("/v1/ports?colour=red")
        .await
        .refused("invalid", None);
}

#[tokio::test]
async fn what_is_referred_to_stays() {
    let api = Api::with_fabric().await;
    api.put(
        "/v1/ports/p1",
        json!({"network": "blue", "mac": "52:54:00:00:00:01", "host": "h1"}),
    )
    .await
    .expect(201);
    for (path, user) in [
        ("networks/blue", "ports/p1"),
        ("hosts/h1", "ports/p1"),
        ("interfaces/eth1", "networks/blue"),
    ] {
        let sentence = api
            .delete(&format!("/v1/{path}"))
            .await
            .refused("in-use", None);
        assert!(sentence.contains(user), "{sentence}");
    }
    let all = json!({"delete": {"networks": ["blue"], "ports": ["p1"], "hosts": ["h1"], "interfaces": ["eth1"]}});
    assert_eq!(
        api.post("/v1/transaction", all).await.expect(200)["deleted"],
        4
    );
}

#[tokio::test]
async fn a_full_table_is_an_error_to_the_caller() {
    let control = FakeControl {
        capacity: 2,
        ..FakeControl::default()
    };
    let api = Api::over(control, None, Config::default());
    api.post("/v1/transaction", fabric()).await.expect(200);
    let port =
        |n: u8| json!({"network": "blue", "mac": format!("52:54:00:00:00:{n:02x}"), "host": "h1"});
    api.put("/v1/ports/p1", port(1)).await.expect(201);
    api.put("/v1/ports/p2", port(2)).await.expect(201);
    let before = api.state().await;
    let answer = api.put("/v1/ports/p3", port(3)).await;
    assert_eq!(answer.status, 507);
    answer.refused("table-full", Some("/mac"));
    assert_eq!(answer.json()["resource"], "ports/p3");
    assert_eq!(api.state().await, before);
    api.delete("/v1/ports/p1").await.expect(204);
    api.put("/v1/ports/p3", port(3)).await.expect(201);
}
