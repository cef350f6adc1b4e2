//! Requests as such: broken ones, those of web pages, too large ones.

use axum::body::Body;
use axum::http::Request;
use mgmt_api::rest::{self, Config, Endpoint};
use serde_json::json;

use crate::support::FakeControl;
use crate::support::api::Api;

#[tokio::test]
async fn a_broken_request_is_told_where() {
    let api = Api::with_fabric().await;
    let put = |body: &'static str, media_type: &'static str| {
        Request::put("/v1/networks/n")
            .header("content-type", media_type)
            .body(Body::from(body))
            .unwrap()
    };
    let sentence = api
        .send(put("{\n  \"segment\": ,", "application/json"))
        .await
        .refused("malformed-json", None);
    assert!(sentence.starts_with("line 2, column 14"), "{sentence}");
    api.send(put("", "application/json"))
        .await
        .refused("malformed-json", None);
    api.send(put("[]", "application/json"))
        .await
        .refused("invalid", Some(""));
    api.send(put("{}", "text/plain"))
        .await
        .refused("unsupported-media-type", None);
    // What a page of another site can make a browser send unasked.
    let undeclared = Request::put("/v1/networks/n").body(Body::from("{}"));
    let answer = api.send(undeclared.unwrap()).await;
    assert_eq!(answer.status, 415);
    answer.refused("unsupported-media-type", None);
    api.get("/v1/nothing").await.refused("unknown-path", None);
    let answer = api.post("/v1/workers", json!({})).await;
    answer.refused("method-not-allowed", None);
    assert_eq!(answer.headers["allow"], "GET,HEAD");
    api.get("/v1/ports/a%2Fb").await.refused("invalid", None);
}

#[tokio::test]
async fn pages_of_other_sites_may_not_ask() {
    let api = Api::with_fabric().await;
    let ask = |origin: &'static str| {
        let request = Request::get("/v1/state")
            .header("host", "localhost:4788")
            .header("origin", origin);
        api.send(request.body(Body::empty()).unwrap())
    };
    ask("http://localhost:4788").await.expect(200);
    for origin in [
        "http://evil.example",
        "http://localhost:4789",
        "http://localhost:4788.evil.example",
        "null",
        "",
    ] {
        let answer = ask(origin).await;
        assert_eq!(answer.status, 403, "{origin}");
        answer.refused("forbidden", None);
    }
}

/// The status line and body of a request for `/v1/version` with these headers.
async fn ask_over<S>(mut connection: S, headers: &str) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let request = format!("GET /v1/version HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_name_that_was_made_to_resolve_to_loopback_is_not_ours() {
    let api = Api::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    let loopback = Endpoint::Tcp("127.0.0.1:0".parse().unwrap());
    let tcp = rest::bind(&loopback).await.unwrap();
    let address = tcp.tcp_address().unwrap();
    let unix = rest::bind(&Endpoint::Unix(path.clone())).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(rest::serve(
        vec![tcp, unix],
        api.router.clone(),
        async move {
            let _ = stopped.await;
        },
    ));
    let over_tcp = async |headers: &str| {
        let connection = tokio::net::TcpStream::connect(address).await.unwrap();
        ask_over(connection, headers).await
    };
    let own = format!("Host: {address}\r\n");
    let page = format!("Host: {address}\r\nOrigin: http://{address}\r\n");
    for headers in [&own, &page, "Host: localhost\r\n", "Host: [::1]:1\r\n"] {
        let answer = over_tcp(headers).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{headers}{answer}");
    }
    let rebound = "Host: evil.example\r\nOrigin: http://evil.example\r\n";
    for headers in ["Host: evil.example:4788\r\n", rebound, "Host: vtepd\r\n"] {
        let answer = over_tcp(headers).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{headers}{answer}");
        assert!(answer.contains(r#""code":"forbidden""#), "{answer}");
    }
    // No page reaches a Unix socket, and its callers make up a name.
    let connection = tokio::net::UnixStream::connect(&path).await.unwrap();
    let answer = ask_over(connection, "Host: vtepd\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(stop);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn large_bodies_have_a_limit() {
    let config = Config {
        body_limit: 4096,
        ..Config::default()
    };
    let api = Api::over(FakeControl::default(), None, config);
    let body = format!("{{\"put\": {{}}{}}}", " ".repeat(4096));
    let post = || Request::post("/v1/transaction").header("content-type", "application/json");
    let declared = post().header("content-length", body.len());
    api.send(declared.body(Body::from(body.clone())).unwrap())
        .await
        .refused("body-too-large", None);
    // Without a declared length it is found out on the way.
    let pieces = body
        .into_bytes()
        .chunks(1000)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect::<Vec<_>>();
    let streamed = post().body(Body::from_stream(futures_util::stream::iter(pieces)));
    api.send(streamed.unwrap())
        .await
        .refused("body-too-large", None);
}
