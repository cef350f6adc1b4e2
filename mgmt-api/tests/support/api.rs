//! Calls the API without a socket.

#![allow(dead_code, reason = "each test uses its part of this")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use mgmt_api::manager::Manager;
use mgmt_api::rest::{self, Config};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::FakeControl;

pub struct Api {
    pub router: Router,
    pub control: Arc<FakeControl>,
    pub manager: Manager,
    writer: JoinHandle<()>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// The body, asserting the status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        if self.text.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// Asserts a problem document with this code and field, and returns its sentence.
    #[track_caller]
    pub fn refused(&self, code: &str, field: Option<&str>) -> String {
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["field"].as_str(), field, "{problem}");
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["type"], format!("urn:vtepd:problem:{code}"));
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json"
        );
        problem["detail"].as_str().unwrap().to_owned()
    }
}

impl Api {
    /// An API over an empty state that keeps nothing.
    pub fn new() -> Self {
        Self::over(FakeControl::default(), None, Config::default())
    }

    pub fn over(control: FakeControl, store: Option<PathBuf>, config: Config) -> Self {
        let control = Arc::new(control);
        let (manager, writer) = Manager::start(control.clone(), store).unwrap();
        Self {
            router: rest::router(manager.clone(), config),
            control,
            manager,
            writer,
        }
    }

    /// Ends it, so that its store can be opened again.
    pub fn close(self) {
        let Self {
            router,
            manager,
            writer,
            ..
        } = self;
        drop((router, manager));
        writer.join().unwrap();
    }

    /// One with an underlay on eth0, a host, and the network `blue` on eth1, VLAN 100.
    pub async fn with_fabric() -> Self {
        let api = Self::new();
        api.post("/v1/transaction", fabric()).await.expect(200);
        api
    }

    /// One with a [`cloud`].
    pub async fn with_cloud() -> Self {
        let api = Self::new();
        api.post("/v1/transaction", cloud()).await.expect(200);
        api
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let builder = Request::builder().method(method).uri(path);
        let request = match body {
            Some(body) => builder
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
            None => builder.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call("PUT", path, Some(body)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None).await
    }

    /// Puts each of these, which must be refused with this code and field, and change nothing.
    pub async fn refuses<'c>(
        &self,
        cases: impl IntoIterator<Item = (&'c str, Value, &'c str, Option<&'c str>)>,
    ) {
        let before = self.state().await;
        let applied = self.control.applied.load(Ordering::SeqCst);
        for (path, body, code, field) in cases {
            let answer = self.put(&format!("/v1/{path}"), body.clone()).await;
            assert!(!answer.status.is_success(), "{path} took {body}");
            let sentence = answer.refused(code, field);
            assert!(sentence.len() > 20, "{sentence}");
            assert!(
                answer.json()["resource"].is_string(),
                "{path}: {}",
                answer.text
            );
            assert_eq!(self.state().await, before, "{path} {body}");
        }
        assert_eq!(self.control.applied.load(Ordering::SeqCst), applied);
    }

    /// The whole state.
    pub async fn state(&self) -> Value {
        self.get("/v1/state").await.expect(200)
    }
}

/// A transaction that makes a small fabric.
pub fn fabric() -> Value {
    json!({"put": {
        "interfaces": {
            "eth0": {"addresses": ["192.0.2.11/24", "2001:db8::11/64"], "gateway": "192.0.2.1"},
            "eth1": {},
        },
        "hosts": {"h1": {"vtep": "192.0.2.12"}, "this-host": {"vtep": "192.0.2.11"}},
        "networks": {"blue": {
            "segment": {"type": "vxlan", "vni": 10},
            "bindings": [{"interface": "eth1", "vlan": 100}],
        }},
    }})
}

/// The fabric with a distributed router `r1` between `red` and `green`, whose way outside is `public`, the VLAN 100 of
/// the device `small`: its central gateway is on the host `net1`.
pub fn cloud() -> Value {
    let mut cloud = fabric();
    let put = &mut cloud["put"];
    put["interfaces"]["small"] = json!({});
    put["hosts"]["this-host"]["dvr_mac"] = "fa:16:3f:00:00:01".into();
    put["hosts"]["h1"]["dvr_mac"] = "fa:16:3f:00:00:02".into();
    put["hosts"]["net1"] = json!({"vtep": "192.0.2.13", "dvr_mac": "fa:16:3f:00:00:03"});
    for (id, vni) in [("red", 11), ("green", 12)] {
        put["networks"][id] = json!({"segment": {"type": "vxlan", "vni": vni}});
    }
    put["networks"]["public"] = json!({
        "segment": {"type": "vlan", "interface": "small", "vlan": 100},
        "subnets": [
            {"cidr": "10.100.0.0/24", "gateway": "10.100.0.1"},
            {"cidr": "2001:db8:ff::/64", "gateway": "2001:db8:ff::1"},
        ],
        "external": {"floating_ip_gateways": [
            {"mac": "fa:16:3e:7d:bd:86", "address": "10.100.0.2"},
            {"host": "h1", "mac": "fa:16:3e:7d:bd:87"},
        ]},
    });
    put["routers"] = json!({"r1": cloud_router()});
    put["ports"] = json!({
        "vm1": {"network": "red", "mac": "52:54:00:00:01:09", "addresses": ["192.168.1.9", "2001:db8:1::9"],
            "interface": "eth1", "vlan": 9},
        "vm2": {"network": "red", "mac": "52:54:00:00:01:0a", "addresses": ["192.168.1.10"], "host": "h1"},
        "vm3": {"network": "green", "mac": "52:54:00:00:02:09", "addresses": ["192.168.2.9", "192.168.2.10"],
            "host": "h1"},
    });
    cloud
}

/// The router of [`cloud`].
pub fn cloud_router() -> Value {
    json!({
        "interfaces": [
            {"network": "red", "mac": "fa:16:3e:5b:89:14", "addresses": ["192.168.1.1/24", "2001:db8:1::1/64"],
                "central": {"mac": "fa:16:3e:19:e1:98", "addresses": ["192.168.1.11", "2001:db8:1::b"]}},
            {"network": "green", "mac": "fa:16:3e:fa:c6:99", "addresses": ["192.168.2.1/24"],
                "central": {"mac": "fa:16:3e:19:e1:99", "addresses": ["192.168.2.11"]}},
        ],
        "external_gateway": {
            "network": "public",
            "gateways": [{"host": "net1", "mac": "fa:16:3e:70:a5:d3",
                "addresses": ["10.100.0.5/24", "2001:db8:ff::5/64"]}],
        },
    })
}

/// A document with one place in it changed, or added.
pub fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    match document.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let parent = document.pointer_mut(parent).unwrap();
            match parent {
                Value::Array(list) => list.push(value),
                object => object[name] = value,
            }
        }
    }
    document
}

/// A document without a member.
pub fn without(mut document: Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    parent.as_object_mut().unwrap().remove(name);
    document
}
