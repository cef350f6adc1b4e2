//! Sessions of address translation: filtered, in pages, and ended.

use mgmt_api::resources::Router;
use mgmt_api::state::Handle;
use mgmt_api::translation::{SessionProtocol, SessionRow, SessionState};
use serde_json::{Value, json};

use crate::support::api::{Api, cloud};

/// A cloud with seven sessions: of TCP, but for one of UDP and one of ICMP.
async fn with_sessions() -> Api {
    let api = Api::new();
    api.post("/v1/transaction", cloud()).await.expect(200);
    let router = api.manager.read(|state| {
        let view = state.view();
        view.find::<Router>(&"r1".parse().unwrap()).unwrap()
    });
    let row = |number: u16, protocol, state| SessionRow {
        router,
        protocol,
        inside: format!("192.168.1.9:{}", 40_000 + number).parse().unwrap(),
        outside: format!("10.100.0.5:{}", 50_000 + number).parse().unwrap(),
        remote: "198.51.100.7:443".parse().unwrap(),
        state,
        idle_seconds: 3,
        expires_in_seconds: 7437,
        worker: 0,
        shared_port: false,
    };
    let tcp = |number| row(number, SessionProtocol::Tcp, SessionState::Established);
    let mut sessions: Vec<_> = (0..5).map(tcp).collect();
    sessions[3].state = SessionState::ClosedInside;
    sessions.push(row(5, SessionProtocol::Udp, SessionState::Open));
    let mut query = row(6, SessionProtocol::Icmp, SessionState::Open);
    query.remote = "203.0.113.1:0".parse().unwrap();
    sessions.push(query);
    *api.control.sessions.lock() = sessions;
    api
}

fn ports(answer: &Value) -> Vec<u16> {
    let items = answer["items"].as_array().unwrap().iter();
    let port = |item: &Value| {
        let (_, port) = item["inside"].as_str()?.rsplit_once(':')?;
        Some(port.parse::<u16>().ok()? - 40_000)
    };
    items.map(|item| port(item).unwrap()).collect()
}

#[tokio::test]
async fn sessions_are_listed_by_whatever_they_are_filtered_by() {
    let api = with_sessions().await;
    let all = api.get("/v1/sessions").await.expect(200);
    assert_eq!(
        all["items"][0],
        json!({
            "router": "r1", "protocol": "tcp", "inside": "192.168.1.9:40000", "outside": "10.100.0.5:50000",
            "remote": "198.51.100.7:443", "state": "established", "idle_seconds": 3, "expires_in_seconds": 7437,
            "worker": 0, "shared_port": false,
        })
    );
    let cases: [(&str, &[u16]); 12] = [
        ("", &[0, 1, 2, 3, 4, 5, 6]),
        ("router=r1", &[0, 1, 2, 3, 4, 5, 6]),
        ("protocol=icmp", &[6]),
        ("inside=192.168.1.9", &[0, 1, 2, 3, 4, 5, 6]),
        ("inside=192.168.1.10", &[]),
        ("inside_port=40002", &[2]),
        ("outside=10.100.0.5&outside_port=50004", &[4]),
        ("remote=198.51.100.7", &[0, 1, 2, 3, 4, 5]),
        ("remote_port=0", &[6]),
        ("state=closed-inside", &[3]),
        ("state=open&protocol=udp", &[5]),
        ("protocol=tcp&state=open", &[]),
    ];
    for (filter, expected) in cases {
        let listed = api.get(&format!("/v1/sessions?{filter}")).await.expect(200);
        assert_eq!(ports(&listed), expected, "{filter}");
        assert_eq!(listed.get("next"), None, "{filter}");
    }
}

#[tokio::test]
async fn sessions_come_in_pages_that_keep_the_filter() {
    let api = with_sessions().await;
    let mut found = Vec::new();
    let mut next = Some(
        "/v1/sessions?limit=2&remote=198.51.100.7&protocol=tcp&state=established&router=r1&worker"
            .replace("&worker", ""),
    );
    let mut pages = 0;
    while let Some(path) = next {
        let page = api.get(&path).await.expect(200);
        let items = ports(&page);
        assert!(items.len() <= 2);
        found.extend(items);
        next = page["next"].as_str().map(str::to_owned);
        pages += 1;
    }
    assert_eq!(found, [0, 1, 2, 4]);
    assert!(pages <= 3, "{pages}");
    // A session whose router has just gone is left out.
    api.control.sessions.lock()[0].router = Handle::new(77);
    let listed = api.get("/v1/sessions?limit=10000").await.expect(200);
    assert_eq!(ports(&listed), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn sessions_are_ended_by_filter_and_all_only_if_that_is_said() {
    let api = with_sessions().await;
    let sentence = api.delete("/v1/sessions").await.refused("invalid", None);
    assert!(sentence.contains("all=true"), "{sentence}");
    let sentence = api
        .delete("/v1/sessions?all=false")
        .await
        .refused("invalid", None);
    assert!(sentence.contains("all=true"), "{sentence}");
    assert_eq!(api.control.sessions.lock().len(), 7);
    let ended = api
        .delete("/v1/sessions?protocol=tcp&state=established")
        .await
        .expect(200);
    assert_eq!(ended, json!({"deleted": 4}));
    let ended = api
        .delete("/v1/sessions?inside_port=40005")
        .await
        .expect(200);
    assert_eq!(ended, json!({"deleted": 1}));
    let ended = api.delete("/v1/sessions?all=true").await.expect(200);
    assert_eq!(ended, json!({"deleted": 2}));
}

#[tokio::test]
async fn what_cannot_be_asked_of_sessions_is_refused() {
    let api = with_sessions().await;
    for query in [
        "colour=red",
        "protocol=sctp",
        "state=happy",
        "inside=here",
        "inside_port=65536",
        "limit=0",
        "limit=10001",
        "cursor=7",
        "all=true",
    ] {
        let answer = api.get(&format!("/v1/sessions?{query}")).await;
        answer.refused("invalid", None);
    }
    let answer = api.get("/v1/sessions?router=no").await;
    answer.refused("not-found", None);
    for query in ["limit=5", "router=r1&cursor=0-0"] {
        let answer = api.delete(&format!("/v1/sessions?{query}")).await;
        answer.refused("invalid", None);
    }
    let answer = api.delete("/v1/sessions?router=no").await;
    answer.refused("not-found", None);
    assert_eq!(api.control.sessions.lock().len(), 7);
}
