//! Stations that no port names: they are asked for, they claim, and they go.

use super::routers::ROUTED;
use super::*;

use mgmt_api::resources::Network;

const GW_RED: &str = "fa:16:3e:01:00:01";
const RED1: &str = "fa:16:3e:00:01:05";
const STRANGER: &str = "fa:16:3e:00:02:99";

/// The routed bench, blue bound to vm1 as well.
fn bench() -> Bench {
    Bench::connected(&ROUTED.replace(
        r#""vni": 1672 } }"#,
        r#""vni": 1672 }, "bindings": [{ "interface": "vm1" }] }"#,
    ))
}

fn to(address: &str) -> Vec<u8> {
    let address: std::net::Ipv4Addr = address.parse().unwrap();
    craft::ethernet(GW_RED, RED1)
        .vlan(11)
        .ipv4("10.1.0.5", address)
        .udp(1, 2, b"")
}

fn claim() -> Vec<u8> {
    craft::ethernet(BROADCAST, STRANGER).arp_reply("10.2.0.99", "10.2.0.99")
}

impl Bench {
    fn known(&self) -> usize {
        self.plane
            .control
            .lock()
            .learned_neighbours(Handle::<Network>::new(1))
            .len()
    }

    /// The stranger has been asked for, has said where he is, and is reached.
    fn acquainted() -> Self {
        let mut bench = bench();
        let (sent, drops) = bench.send(TRUNK, &to("10.2.0.99"));
        assert!(
            sent.is_empty() && drops.is_empty(),
            "it is held: {sent:?} {drops:?}"
        );
        bench.tick();
        let questions = bench.delivered();
        // P1: an ARP probe of our DVR host MAC, to all.
        let probe =
            craft::ethernet(BROADCAST, "fa:16:3f:00:00:01").arp_request("0.0.0.0", "10.2.0.99");
        assert!(questions.contains(&(VM, probe)), "{questions:?}");
        bench.send(VM, &claim());
        bench.tick();
        assert_eq!(bench.known(), 1);
        assert_eq!(bench.forwarded(TRUNK, &to("10.2.0.99")).0, VM);
        bench
    }
}

#[test]
fn who_is_asked_for_and_claims_is_reached() {
    Bench::acquainted();
}

#[test]
fn a_port_takes_a_claimed_address_over() {
    let mut bench = Bench::acquainted();
    bench.put(
        "ports",
        "p9",
        r#"{ "network": "blue", "mac": "fa:16:3e:00:02:09", "addresses": ["10.2.0.99"], "host": "h2" }"#,
    );
    assert_eq!(bench.known(), 0);
    assert_eq!(bench.forwarded(TRUNK, &to("10.2.0.99")).0, UP);
    bench.send(VM, &claim());
    bench.tick();
    assert_eq!(
        bench.forwarded(TRUNK, &to("10.2.0.99")).0,
        UP,
        "what the API says stands"
    );
    bench.delete("ports", "p9");
    assert!(
        bench.send(TRUNK, &to("10.2.0.99")).0.is_empty(),
        "asked for anew"
    );
}

#[test]
fn a_neighbour_goes_with_its_binding_its_gateway_and_its_subnet() {
    let bench = Bench::acquainted();
    bench.put(
        "networks",
        "blue",
        r#"{ "segment": { "type": "vxlan", "vni": 1672 } }"#,
    );
    assert_eq!(bench.known(), 0, "its binding");

    let bench = Bench::acquainted();
    let red = r#"{ "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.1.0.1/24"] }"#;
    bench.put("routers", "r1", &format!(r#"{{ "interfaces": [{red}] }}"#));
    assert_eq!(bench.known(), 0, "its gateway");

    let mut bench = Bench::acquainted();
    let blue = r#"{ "network": "blue", "mac": "fa:16:3e:01:00:02", "addresses": ["10.2.0.1/28"] }"#;
    bench.put(
        "routers",
        "r1",
        &format!(r#"{{ "interfaces": [{red}, {blue}] }}"#),
    );
    assert_eq!(bench.known(), 0, "its subnet");
    assert_eq!(bench.send(TRUNK, &to("10.2.0.99")).1, [DropReason::NoRoute]);
}

#[test]
fn a_neighbour_does_not_stay_with_a_binding_that_another_network_has_now() {
    let mut bench = Bench::acquainted();
    bench
        .transact(
            r#"{ "put": { "networks": {
            "blue": { "segment": { "type": "vxlan", "vni": 1672 } },
            "green": { "segment": { "type": "vxlan", "vni": 1673 }, "mtu": 1500, "bindings": [{ "interface": "vm1" }] } } } }"#,
        )
        .unwrap();
    assert_eq!(bench.known(), 0);
    let (sent, _) = bench.send(TRUNK, &to("10.2.0.99"));
    assert!(sent.is_empty(), "tenants never meet: {sent:?}");
}
