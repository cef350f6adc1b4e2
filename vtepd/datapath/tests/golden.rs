//! Golden packets: what a running Neutron was seen to do, byte for byte. The file
//! is read as it is; the outer UDP source port is ours to choose and is masked.

mod common;

use common::{Golden, SOURCE_PORT, golden_host};
use serde::Deserialize;
use vtepd_wire::craft;

#[derive(Deserialize)]
struct Case {
    name: String,
    r#in: String,
    out: Vec<Sent>,
}

#[derive(Deserialize)]
struct Sent {
    port: String,
    hex: String,
}

fn case(prefix: &str) -> Case {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/neutron.json");
    let text = std::fs::read_to_string(file).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    cases
        .into_iter()
        .find(|case| case.name.starts_with(prefix))
        .unwrap_or_else(|| panic!("no case {prefix}"))
}

/// Sends the case's packet in and compares what comes out, where and in bytes.
fn check(case: &Case, mut host: Golden) {
    let frame = craft::hex(&case.r#in);
    let from_underlay = frame.starts_with(&[0x02]);
    let interface = if from_underlay {
        host.underlay
    } else {
        host.access
    };
    let outcome = host.bench.send(interface, &frame);
    assert_eq!(
        outcome.sent.len(),
        case.out.len(),
        "{}: {outcome:?}",
        case.name
    );
    for (expected, (interface, sent)) in case.out.iter().zip(&outcome.sent) {
        let mut sent = sent.clone();
        let to_underlay = expected.port.starts_with("underlay");
        assert_eq!(
            *interface,
            if to_underlay {
                host.underlay
            } else {
                host.access
            },
            "{}",
            case.name
        );
        let mut expected = craft::hex(&expected.hex);
        if to_underlay {
            let port = u16::from_be_bytes([sent[34], sent[35]]);
            assert!(port >= 49152, "{}: source port {port}", case.name);
            sent[SOURCE_PORT].fill(0);
            expected[SOURCE_PORT].fill(0);
        }
        assert_eq!(sent, expected, "{}", case.name);
    }
    assert!(
        outcome.drops.is_empty(),
        "{}: {:?}",
        case.name,
        outcome.drops
    );
}

fn h1() -> Golden {
    golden_host("02:00:00:00:01:11", "192.0.2.11", "192.0.2.12")
}

fn h2() -> Golden {
    golden_host("02:00:00:00:01:12", "192.0.2.12", "192.0.2.11")
}

#[test]
fn a2_arp_is_answered_from_the_table() {
    check(&case("A2"), h1());
}

#[test]
fn a3_an_announcement_is_not_answered_but_replicated() {
    check(&case("A3"), h1());
}

#[test]
fn e2_same_network_other_host_is_encapsulated() {
    check(&case("E2 same-net diff-host (H1 tx)"), h1());
}

#[test]
fn e2_same_network_other_host_is_delivered() {
    check(&case("E2 same-net diff-host (H2 rx)"), h2());
}
