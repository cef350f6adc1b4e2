//! What ports may send, by the ports behind each binding.

use super::*;

const OTHER: &str = "fa:16:3e:00:00:33";

/// Of p1, the port behind vm1.
fn from_vm1(address: &str) -> Vec<u8> {
    from(VM1, address)
}

fn from(mac: &'static str, address: &str) -> Vec<u8> {
    let address: std::net::Ipv4Addr = address.parse().unwrap();
    craft::ethernet(VM2, mac)
        .ipv4(address, "10.0.0.2")
        .udp(1, 2, b"")
}

/// Without a binding of the network's own: ports only.
fn ports_only() -> Bench {
    let state = RED.replace(r#", "bindings": [{ "interface": "vm1" }]"#, "");
    Bench::connected(&state)
}

fn p1(rest: &str) -> String {
    format!(
        r#"{{ "network": "red", "mac": "{VM1}", "addresses": ["10.0.0.1"], "interface": "vm1" {rest} }}"#
    )
}

#[test]
fn a_port_sends_from_its_own_addresses_and_nobody_else_sends_there() {
    let mut bench = ports_only();
    assert_eq!(bench.forwarded(VM, &from_vm1("10.0.0.1")).0, UP);
    assert_eq!(
        bench.dropped(VM, &from_vm1("10.0.0.9")),
        DropReason::SpoofedAddress
    );
    assert_eq!(
        bench.dropped(VM, &from(OTHER, "10.0.0.1")),
        DropReason::SpoofedMac
    );
}

#[test]
fn where_a_network_is_bound_itself_others_send_as_they_like() {
    let mut bench = Bench::red();
    assert_eq!(
        bench.dropped(VM, &from_vm1("10.0.0.9")),
        DropReason::SpoofedAddress
    );
    assert_eq!(bench.forwarded(VM, &from(OTHER, "10.0.0.9")).0, UP);
}

#[test]
fn a_trusted_port_frees_itself_and_strangers_but_not_its_neighbour() {
    let mut bench = ports_only();
    let trusted = format!(
        r#"{{ "network": "red", "mac": "{OTHER}", "addresses": ["10.0.0.3"], "interface": "vm1", "anti_spoofing": false }}"#
    );
    bench.put("ports", "p3", &trusted);
    assert_eq!(bench.forwarded(VM, &from(OTHER, "10.0.0.9")).0, UP);
    assert_eq!(
        bench.dropped(VM, &from_vm1("10.0.0.9")),
        DropReason::SpoofedAddress
    );
    bench.delete("ports", "p3");
    assert_eq!(
        bench.dropped(VM, &from(OTHER, "10.0.0.3")),
        DropReason::SpoofedMac
    );
    bench.put("ports", "p1", &p1(r#", "anti_spoofing": false"#));
    assert_eq!(bench.forwarded(VM, &from_vm1("10.0.0.9")).0, UP);
    bench.put("ports", "p1", &p1(""));
    assert_eq!(
        bench.dropped(VM, &from_vm1("10.0.0.9")),
        DropReason::SpoofedAddress
    );
}

#[test]
fn allowed_pairs_come_and_go_with_their_port() {
    let mut bench = ports_only();
    let pairs = r#", "allowed_address_pairs": [{ "address": "10.0.0.50" }, { "address": "10.0.1.0/24", "mac": "fa:16:3e:00:00:33" }]"#;
    bench.put("ports", "p1", &p1(pairs));
    assert_eq!(bench.forwarded(VM, &from_vm1("10.0.0.50")).0, UP);
    assert_eq!(bench.forwarded(VM, &from(OTHER, "10.0.1.7")).0, UP);
    assert_eq!(
        bench.dropped(VM, &from(OTHER, "10.0.0.50")),
        DropReason::SpoofedAddress
    );
    assert_eq!(
        bench.dropped(VM, &from_vm1("10.0.1.7")),
        DropReason::SpoofedAddress
    );
    bench.put("ports", "p1", &p1(""));
    assert_eq!(
        bench.dropped(VM, &from_vm1("10.0.0.50")),
        DropReason::SpoofedAddress
    );
    assert_eq!(
        bench.dropped(VM, &from(OTHER, "10.0.1.7")),
        DropReason::SpoofedMac
    );
}

#[test]
fn a_segment_is_not_guarded() {
    let mut bench = ports_only();
    bench.put(
        "networks",
        "red",
        r#"{ "segment": { "type": "vlan", "interface": "trunk", "vlan": 196 } }"#,
    );
    let to_vm1 = craft::ethernet(VM1, OTHER)
        .vlan(196)
        .ipv4("10.0.0.9", "10.0.0.1")
        .udp(1, 2, b"");
    assert_eq!(bench.forwarded(TRUNK, &to_vm1).0, VM);
    assert_eq!(
        bench.dropped(VM, &from_vm1("10.0.0.9")),
        DropReason::SpoofedAddress
    );
}

/// While a binding changes what it checks, what may be sent before and after goes through at
/// every moment: a worker looks at each of the states that the transaction publishes.
#[test]
fn traffic_goes_on_while_its_port_becomes_guarded_and_free() {
    let mut bench = Bench::connected(&RED.replace(
        r#""p1": { "network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["10.0.0.1"], "interface": "vm1" },"#,
        "",
    ));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let frame = from_vm1("10.0.0.1");
    let port = p1("");
    let sent = std::thread::scope(|scope| {
        let manager = bench.manager.clone();
        let changes = scope.spawn(|| {
            let manager = manager;
            let transact = |body: String| {
                let body = body.into();
                let options = Options::default();
                manager.write_blocking(Batch { body }, options).unwrap();
            };
            let free = r#"{ "segment": { "type": "vxlan", "vni": 1671 }, "bindings": [{ "interface": "vm1" }] }"#;
            let bare = r#"{ "segment": { "type": "vxlan", "vni": 1671 } }"#;
            for _ in 0..100 {
                transact(format!(
                    r#"{{ "put": {{ "ports": {{ "p1": {port} }}, "networks": {{ "red": {bare} }} }} }}"#
                ));
                transact(format!(
                    r#"{{ "delete": {{ "ports": ["p1"] }}, "put": {{ "networks": {{ "red": {free} }} }} }}"#
                ));
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut sent = 0;
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            assert_eq!(bench.forwarded(VM, &frame).0, UP, "frame {sent}");
            sent += 1;
        }
        changes.join().unwrap();
        sent
    });
    assert!(sent > 100, "{sent} frames");
}
