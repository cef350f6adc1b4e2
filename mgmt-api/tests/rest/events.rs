//! Events as a reader meets them: a stream that goes on.

use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt;
use mgmt_api::events::{Event, NatLimit};
use mgmt_api::translation::SessionProtocol;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::api::Api;

/// A reader of the stream: what has come so far.
struct Reader {
    body: Body,
    text: String,
}

impl Reader {
    async fn new(api: &Api, path: &str) -> Self {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = api.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/event-stream"
        );
        Self {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// The next event: its kind and its data. `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = event.lines();
                    lines
                        .find_map(|line| line.strip_prefix(name))
                        .unwrap()
                        .trim()
                };
                let found = (
                    field("event:").to_owned(),
                    serde_json::from_str(field("data:")).unwrap(),
                );
                self.text = rest.to_owned();
                return Some(found);
            }
            let frame = self.body.frame().await?.unwrap();
            let data = frame.into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }
}

fn sink(api: &Api) -> mgmt_api::events::EventSink {
    let events = api.control.events.lock();
    events.clone().expect("given at the start")
}

#[tokio::test]
async fn every_reader_hears_what_happens_from_then_on() {
    let api = Api::new();
    let sink = sink(&api);
    sink.emit(Event::NatSessionsFull { worker: 9 });
    let mut readers = [
        Reader::new(&api, "/v1/events").await,
        Reader::new(&api, "/v1/events").await,
    ];
    sink.emit(Event::NatPoolExhausted {
        router: "r1".parse().unwrap(),
        address: "10.100.0.5".parse().unwrap(),
        protocol: SessionProtocol::Tcp,
        worker: 1,
    });
    sink.emit(Event::NatTenantLimit {
        tenant: "acme".parse().unwrap(),
        limit: NatLimit::SessionsPerSecond,
        worker: 0,
    });
    for reader in &mut readers {
        let (kind, mut data) = reader.next().await.unwrap();
        let time = data["time"].take();
        assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
        assert_eq!(kind, "nat-pool-exhausted");
        assert_eq!(
            data,
            json!({"time": null, "kind": "nat-pool-exhausted", "router": "r1", "address": "10.100.0.5",
                "protocol": "tcp", "worker": 1})
        );
        let (kind, data) = reader.next().await.unwrap();
        assert_eq!(kind, "nat-tenant-limit");
        assert_eq!(
            (&data["tenant"], &data["limit"]),
            (&"acme".into(), &"sessions_per_second".into())
        );
    }
}

#[tokio::test]
async fn a_slow_reader_is_told_how_many_it_has_lost() {
    let api = Api::new();
    let sink = sink(&api);
    let mut reader = Reader::new(&api, "/v1/events").await;
    for worker in 0..1030 {
        sink.emit(Event::NatSessionsFull { worker });
    }
    let (kind, data) = reader.next().await.unwrap();
    assert_eq!(
        (kind.as_str(), data),
        ("lost", json!({"kind": "lost", "events": 6}))
    );
    let (kind, data) = reader.next().await.unwrap();
    assert_eq!(
        (kind.as_str(), &data["worker"]),
        ("nat-sessions-full", &6.into())
    );
}

#[tokio::test]
async fn a_stream_ends_where_it_is_asked_to() {
    let api = Api::new();
    let mut reader = Reader::new(&api, "/v1/events?limit=2").await;
    for worker in 0..3 {
        sink(&api).emit(Event::NatSessionsFull { worker });
    }
    assert!(reader.next().await.is_some());
    assert!(reader.next().await.is_some());
    assert_eq!(reader.next().await, None);
    let answer = api.get("/v1/events?limit=some").await;
    answer.refused("invalid", None);
}
