//! Keeps web pages out: a browser on this host can reach loopback for any page it shows.
//!
//! Nobody who asks is asked who they are, so a page of some other site must not ask at all. Writes need a content type
//! that a browser does not send elsewhere unasked ([`body`](super::body)); what a page sends in spite of that names the
//! page's origin (RFC 6454 §7), which is refused here. And a page whose own name was made to resolve to loopback (DNS
//! rebinding), of which the browser believes that we are its origin, gives itself away by that name.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

use super::problem::Problem;
use crate::refusal::{Code, Refusal};

/// Over TCP, refuses requests that are for another host than this one.
pub(super) async fn require_loopback(request: Request, next: Next) -> Result<Response, Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let first = hosts.next().map(|host| host.to_str().unwrap_or("?"));
    match first {
        Some(host) if is_loopback(host) && hosts.next().is_none() => Ok(next.run(request).await),
        _ => {
            let message = format!(
                "this is not {}: ask for localhost, 127.0.0.1 or [::1]",
                first.unwrap_or("a host without a name")
            );
            Err(Refusal::new(Code::Forbidden, message).into())
        }
    }
}

/// Refuses requests that a page of another site made a browser send.
pub(super) async fn require_own_origin(request: Request, next: Next) -> Result<Response, Problem> {
    for origin in request.headers().get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("?");
        if !is_own(origin, request.headers()) {
            let message = format!(
                "a page of {origin} may not use this API: only its own pages, such as /docs, may"
            );
            return Err(Refusal::new(Code::Forbidden, message).into());
        }
    }
    Ok(next.run(request).await)
}

/// An origin is ours if it is the host that was asked. The scheme does not count: a proxy may
/// have ended TLS.
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    let host = headers.get(header::HOST);
    authority
        .zip(host)
        .is_some_and(|(own, host)| own.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
}

/// True for `localhost`, 127.0.0.0/8 and `[::1]`, with any port: who forwards one here may have chosen it.
fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, "")) => (Some(name), None),
        Some((name, port)) => (Some(name), Some(port.strip_prefix(':').unwrap_or("?"))),
        None => (None, host.split_once(':').map(|(_, port)| port)),
    };
    if port.is_some_and(|port| !port.bytes().all(|digit| digit.is_ascii_digit())) {
        return false;
    }
    if let Some(name) = name {
        return name.parse().is_ok_and(|own: Ipv6Addr| own.is_loopback());
    }
    let name = host.split(':').next().unwrap_or_default();
    name.eq_ignore_ascii_case("localhost")
        || name.parse().is_ok_and(|own: Ipv4Addr| own.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_a_few_names() {
        for host in [
            "localhost",
            "LocalHost:4788",
            "127.0.0.1",
            "127.8.9.10:1",
            "[::1]",
            "[::1]:4788",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:4788",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1:80@evil.example",
            "192.0.2.1",
            "::1",
            "[::1].evil.example",
            "[::2]:4788",
            "[localhost]",
            "vtepd",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
