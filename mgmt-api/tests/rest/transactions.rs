//! Many resources at once, and the whole state.

use serde_json::json;

use crate::support::api::Api;

#[tokio::test]
async fn a_transaction_is_judged_by_its_result() {
    let api = Api::with_fabric().await;
    let port = |mac: &str| json!({"network": "blue", "mac": mac, "host": "h1"});
    let two =
        json!({"put": {"ports": {"a": port("52:54:00:00:00:01"), "b": port("52:54:00:00:00:02")}}});
    assert_eq!(
        api.post("/v1/transaction", two).await.expect(200)["created"],
        2
    );

    // One by one these would collide: the two swap their addresses, and the network's VNI goes to another.
    let swap = json!({"put": {
        "ports": {"a": port("52:54:00:00:00:02"), "b": port("52:54:00:00:00:01")},
        "networks": {
            "blue": {"segment": {"type": "vxlan", "vni": 11}},
            "red": {"segment": {"type": "vxlan", "vni": 10}, "bindings": [{"interface": "eth1", "vlan": 100}]},
        },
    }});
    let answer = api.post("/v1/transaction", swap).await.expect(200);
    assert_eq!(
        (answer["changed"].as_u64(), answer["created"].as_u64()),
        (Some(3), Some(1))
    );
    assert_eq!(
        api.get("/v1/ports/a").await.expect(200)["mac"],
        "52:54:00:00:00:02"
    );

    let twice =
        json!({"put": {"ports": {"a": port("52:54:00:00:00:03")}}, "delete": {"ports": ["a"]}});
    api.post("/v1/transaction", twice)
        .await
        .refused("conflict", Some(""));
    let unknown = json!({"put": {"prots": {}}});
    api.post("/v1/transaction", unknown)
        .await
        .refused("invalid", Some("/put/prots"));
    let missing = json!({"delete": {"ports": ["zz"]}});
    api.post("/v1/transaction", missing)
        .await
        .refused("not-found", None);
    let no_key = json!({"put": {"ports": {"a/b": port("52:54:00:00:00:03")}}});
    api.post("/v1/transaction", no_key)
        .await
        .refused("invalid", Some(""));

    // One bad member spoils it all, and is named.
    let before = api.state().await;
    let bad = json!({"put": {"ports": {"c": port("52:54:00:00:00:04"), "d": {"network": "blue", "mac": "x"}}}});
    let answer = api.post("/v1/transaction", bad).await;
    answer.refused("invalid", Some("/mac"));
    assert_eq!(answer.json()["resource"], "ports/d");
    assert_eq!(api.state().await, before);
}

#[tokio::test]
async fn a_whole_state_is_replaced_by_its_difference() {
    let api = Api::with_fabric().await;
    api.put(
        "/v1/ports/p1",
        json!({"network": "blue", "mac": "52:54:00:00:00:01", "host": "h1"}),
    )
    .await
    .expect(201);
    let mut state = api.state().await;
    let same = api.put("/v1/state", state.clone()).await.expect(200);
    assert_eq!(
        (same["unchanged"].as_u64(), same["changed"].as_u64()),
        (Some(6), Some(0))
    );

    state["ports"] = json!({"p2": {"network": "blue", "mac": "52:54:00:00:00:01", "host": "h1"}});
    state["networks"]["blue"]["ageing"] = json!(60);
    let preview = api
        .put("/v1/state?dry_run=true", state.clone())
        .await
        .expect(200);
    assert_eq!(preview["dry_run"], true);
    assert_eq!(api.get("/v1/ports/p2").await.status, 404);
    let done = api
        .put("/v1/state?diff=true", state.clone())
        .await
        .expect(200);
    assert_eq!(done["diff"], preview["diff"]);
    let changes: Vec<_> = done["diff"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            (
                change["id"].as_str().unwrap(),
                change["old"].is_object(),
                change["new"].is_object(),
            )
        })
        .collect();
    assert_eq!(
        changes,
        [
            ("blue", true, true),
            ("p2", false, true),
            ("p1", true, false)
        ]
    );
    assert_eq!(api.state().await, state);

    // A reference to what the body leaves out is a reference to nothing.
    state["networks"] = json!({});
    api.put("/v1/state", state)
        .await
        .refused("unknown-reference", Some("/network"));
    api.put("/v1/state", json!({})).await.expect(200);
    assert!(api.control.mirror.lock().names.is_empty());
}

#[tokio::test]
async fn an_export_means_the_same_on_another_host() {
    let api = Api::with_fabric().await;
    let here = json!({"network": "blue", "mac": "52:54:00:00:00:01", "host": "this-host", "interface": "eth1", "vlan": 100});
    let anywhere =
        json!({"network": "blue", "mac": "52:54:00:00:00:02", "interface": "eth1", "vlan": 100});
    api.put("/v1/ports/here", here.clone()).await.expect(201);
    api.put("/v1/ports/anywhere", anywhere.clone())
        .await
        .expect(201);
    let state = api.state().await;
    assert_eq!(
        (&state["ports"]["here"], &state["ports"]["anywhere"]),
        (&here, &anywhere)
    );
}

#[tokio::test]
async fn requests_that_wait_share_a_commit_and_are_judged_one_by_one() {
    let api = Api::with_fabric().await;
    let applied = || {
        api.control
            .applied
            .load(std::sync::atomic::Ordering::SeqCst)
    };
    let before = applied();
    let gate = api.control.gate.lock();
    let puts = (0..40_u8).map(|n| {
        // Two of them want the same address.
        let mac = format!("52:54:00:00:00:{:02x}", if n == 30 { 20 } else { n + 1 });
        let path = format!("/v1/ports/p{n}");
        let api = &api;
        async move {
            api.put(&path, json!({"network": "blue", "mac": mac, "host": "h1"}))
                .await
        }
    });
    let puts = futures_util::future::join_all(puts);
    let release = async {
        // By now every request was polled once, and waits for the writer, who waits at the gate.
        tokio::task::yield_now().await;
        drop(gate);
    };
    let (answers, ()) = tokio::join!(puts, release);
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status != 201)
        .collect();
    assert_eq!(refused.len(), 1);
    refused[0].refused("conflict", Some("/mac"));
    assert!(applied() - before <= 3, "{} commits", applied() - before);
    assert_eq!(api.state().await["ports"].as_object().unwrap().len(), 39);
    assert_eq!(api.control.mirror.lock().fdb.len(), 39);
}
