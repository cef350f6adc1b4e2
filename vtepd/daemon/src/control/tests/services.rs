//! DHCP, DHCPv6 and router advertisements: what stations of this host are told.

use super::*;

use std::net::Ipv6Addr;

const GATEWAY: &str = "fa:16:3e:01:00:01";

/// A red network with subnets of both families and a router; stations here and on h2.
const SERVED: &str = r#"{
  "interfaces": {
    "up0": { "addresses": ["192.0.2.11/24"], "gateway": "192.0.2.1" },
    "vm1": { "mtu": 1500 }, "trunk": { "mtu": 1500 }
  },
  "hosts": { "h1": { "dvr_mac": "fa:16:3f:00:00:01" }, "h2": { "vtep": "198.51.100.12", "dvr_mac": "fa:16:3f:00:00:02" } },
  "networks": { "red": { "segment": { "type": "vxlan", "vni": 1671 }, "subnets": [
    { "cidr": "10.1.0.0/24", "gateway": "10.1.0.1", "dns": ["10.1.0.2"], "lease_seconds": 3600,
      "routes": [{ "destination": "10.9.0.0/16", "via": "10.1.0.254" }],
      "dhcp_options": { "domain-name": "subnet.example", "42": "192.0.2.1" } },
    { "cidr": "2001:db8:1::/64", "ipv6_mode": "slaac" } ] } },
  "ports": {
    "p1": { "network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["10.1.0.5", "2001:db8:1::5"], "interface": "vm1" },
    "p2": { "network": "red", "mac": "fa:16:3e:00:00:02", "addresses": ["10.1.0.6"], "host": "h2" }
  },
  "routers": { "r1": { "interfaces": [
    { "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.1.0.1/24", "2001:db8:1::1/64"] } ] } }
}"#;

/// A DHCPDISCOVER of VM1 (RFC 2131), its options those of a common client.
fn discover() -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0, 1, 2, 3, 4];
    message.resize(28, 0);
    message.extend([0xfa, 0x16, 0x3e, 0, 0, 1]);
    message.resize(236, 0);
    message.extend([
        99, 130, 83, 99, 53, 1, 1, 55, 9, 1, 3, 6, 12, 15, 26, 42, 51, 121, 255,
    ]);
    craft::ethernet(BROADCAST, VM1)
        .ipv4("0.0.0.0", "255.255.255.255")
        .udp(68, 67, &message)
}

/// The options of a DHCP message in a frame, by code.
fn options(frame: &[u8]) -> std::collections::HashMap<u8, Vec<u8>> {
    let mut rest = &frame[14 + 20 + 8 + 240..];
    let mut found = std::collections::HashMap::new();
    while let [code, len, after @ ..] = rest {
        if *code == 255 {
            break;
        }
        let (data, next) = after.split_at(usize::from(*len));
        found.insert(*code, data.to_vec());
        rest = next;
    }
    found
}

fn solicitation() -> Vec<u8> {
    let source: Ipv6Addr = "fe80::f816:3eff:fe00:1".parse().unwrap();
    craft::ethernet("33:33:00:00:00:02", VM1)
        .ipv6(source, "ff02::2")
        .ttl(255)
        .icmp(133, 0, 0, &[1, 1, 0xfa, 0x16, 0x3e, 0, 0, 1])
}

/// Type, router lifetime and whether it is of the gateway.
fn advertisement(frame: &[u8]) -> (u8, u16, bool) {
    let lifetime = u16::from_be_bytes([frame[14 + 40 + 6], frame[14 + 40 + 7]]);
    let gateway = craft::ethernet(VM1, GATEWAY).payload(0, &[])[6..12].to_vec();
    (frame[14 + 40], lifetime, frame[6..12] == gateway)
}

impl Bench {
    fn served() -> Self {
        let mut bench = Self::connected(SERVED);
        bench.delivered();
        bench
    }

    /// The answer to a question that the control side answers.
    #[track_caller]
    fn answer(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let (sent, drops) = self.send(VM, question);
        assert!(
            sent.is_empty() && drops.is_empty(),
            "it leaves for others: {sent:?} {drops:?}"
        );
        self.tick();
        let mut answers = self.delivered();
        answers.retain(|(_, frame)| frame[..6] != [0x33, 0x33, 0, 0, 0, 1]);
        assert!(
            answers.len() < 2 && answers.iter().all(|(to, _)| *to == VM),
            "{answers:?}"
        );
        let (_, answer) = answers.pop()?;
        craft::verify(&answer).unwrap();
        Some(answer)
    }
}

#[test]
fn dhcp_tells_what_the_port_and_its_subnet_say() {
    let mut bench = Bench::served();
    let offer = bench.answer(&discover()).unwrap();
    let message = 14 + 20 + 8;
    assert_eq!(offer[message + 16..message + 20], [10, 1, 0, 5]);
    let told = options(&offer);
    assert_eq!(told[&53], [2], "an offer");
    assert_eq!(told[&54], [10, 1, 0, 1], "of the gateway");
    assert_eq!(told[&1], [255, 255, 255, 0]);
    assert_eq!(told[&3], [10, 1, 0, 1]);
    assert_eq!(told[&6], [10, 1, 0, 2]);
    assert_eq!(told[&51], 3600u32.to_be_bytes());
    assert_eq!(told[&26], 1550u16.to_be_bytes(), "what fits the underlay");
    assert_eq!(told[&15], b"subnet.example");
    assert_eq!(told[&42], [192, 0, 2, 1]);
    assert!(
        told[&121].starts_with(&[16, 10, 9, 10, 1, 0, 254])
            || told[&121].ends_with(&[16, 10, 9, 10, 1, 0, 254])
    );
    // The port's own words win.
    bench.put(
        "ports",
        "p1",
        r#"{ "network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["10.1.0.7"], "interface": "vm1",
             "hostname": "one", "dhcp_options": { "domain-name": "port.example" } }"#,
    );
    let offer = bench.answer(&discover()).unwrap();
    assert_eq!(offer[message + 16..message + 20], [10, 1, 0, 7]);
    let told = options(&offer);
    assert_eq!(
        (&told[&15][..], &told[&12][..]),
        (&b"port.example"[..], &b"one"[..])
    );
    assert_eq!(told[&42], [192, 0, 2, 1], "what only the subnet says stays");
    // The underlay shrinks, and so does what is told.
    bench.put(
        "interfaces",
        "up0",
        r#"{ "addresses": ["192.0.2.11/24"], "gateway": "192.0.2.1", "mtu": 1500 }"#,
    );
    bench.delivered();
    let told = options(&bench.answer(&discover()).unwrap());
    assert_eq!(told[&26], 1450u16.to_be_bytes());
}

#[test]
fn a_network_without_a_router_is_told_by_this_host() {
    let mut bench = Bench::served();
    bench.delete("routers", "r1");
    bench.delivered();
    let offer = bench.answer(&discover()).unwrap();
    assert_eq!(
        offer[6..12],
        [0xfa, 0x16, 0x3f, 0, 0, 1],
        "our DVR host MAC"
    );
    assert_eq!(options(&offer)[&54], [169, 254, 169, 254]);
    assert_eq!(
        options(&offer)[&3],
        [10, 1, 0, 1],
        "the subnet's gateway need not be ours"
    );
    bench.put("hosts", "h1", r#"{ "dvr_mac": "fa:16:3f:00:00:0a" }"#);
    let offer = bench.answer(&discover()).unwrap();
    assert_eq!(
        offer[6..12],
        [0xfa, 0x16, 0x3f, 0, 0, 0x0a],
        "it has changed"
    );
    bench.put(
        "interfaces",
        "up0",
        r#"{ "addresses": ["192.0.2.11/24"], "gateway": "192.0.2.1", "mtu": 1500 }"#,
    );
    let told = options(&bench.answer(&discover()).unwrap());
    assert_eq!(told[&26], 1450u16.to_be_bytes(), "and the MTU here, too");
}

#[test]
fn a_service_that_is_off_leaves_questions_to_others() {
    let mut bench = Bench::served();
    bench.put(
        "networks",
        "red",
        r#"{ "segment": { "type": "vxlan", "vni": 1671 }, "subnets": [
            { "cidr": "10.1.0.0/24", "dhcp": false }, { "cidr": "2001:db8:1::/64", "ipv6_mode": "none" }] }"#,
    );
    assert_eq!(bench.forwarded(VM, &discover()).0, UP, "flooded");
    assert_eq!(bench.forwarded(VM, &solicitation()).0, UP);
}

#[test]
fn solicitations_are_answered_and_others_told_now_and_then_but_only_here() {
    let mut bench = Bench::connected(SERVED);
    bench.tick();
    let unsolicited = bench.delivered();
    assert_eq!(
        unsolicited.len(),
        1,
        "to vm1, and not to h2: {unsolicited:?}"
    );
    assert_eq!(unsolicited[0].0, VM);
    assert_eq!(advertisement(&unsolicited[0].1), (134, 1800, true));
    let answer = bench.answer(&solicitation()).unwrap();
    assert_eq!(advertisement(&answer), (134, 1800, true));
    // What does not change what is told does not tell it again.
    bench.put("routers", "r2", r#"{ "interfaces": [] }"#);
    bench.put(
        "ports",
        "p3",
        r#"{ "network": "red", "mac": "fa:16:3e:00:00:03", "host": "h2" }"#,
    );
    bench.tick();
    assert_eq!(bench.delivered(), []);
}

#[test]
fn a_gateway_that_goes_takes_leave() {
    let mut bench = Bench::served();
    bench.put(
        "routers",
        "r1",
        r#"{ "interfaces": [{ "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.1.0.1/24"] }] }"#,
    );
    let farewell = bench.delivered();
    assert_eq!(farewell.len(), 1, "{farewell:?}");
    assert_eq!(
        (farewell[0].0, advertisement(&farewell[0].1)),
        (VM, (134, 0, true))
    );
    bench.replace(SERVED).unwrap();
    bench.tick();
    assert_eq!(advertisement(&bench.delivered()[0].1), (134, 1800, true));
    bench.delete("routers", "r1");
    let farewell = bench.delivered();
    assert_eq!(farewell.len(), 1, "{farewell:?}");
    assert_eq!(
        (farewell[0].0, advertisement(&farewell[0].1)),
        (VM, (134, 0, true))
    );
    assert_eq!(
        bench.forwarded(VM, &solicitation()).0,
        UP,
        "whoever else there is may answer"
    );
}

#[test]
fn a_router_on_another_host_is_told_of_here() {
    let mut bench = Bench::served();
    bench.put(
        "routers",
        "r1",
        r#"{ "distributed": false, "host": "h2", "interfaces": [
            { "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.1.0.1/24", "2001:db8:1::1/64"] }] }"#,
    );
    // Its advertisements do not leave its host.
    let answer = bench.answer(&solicitation()).unwrap();
    assert_eq!(advertisement(&answer), (134, 1800, true));
    bench.put("networks", "red", r#"{ "segment": { "type": "vxlan", "vni": 1671 }, "mtu": 1400, "subnets": [{ "cidr": "10.1.0.0/24" }, { "cidr": "2001:db8:1::/64" }] }"#);
    bench.tick();
    let news = bench.delivered();
    assert_eq!(news.len(), 1, "{news:?}");
    assert_eq!(
        (news[0].0, advertisement(&news[0].1)),
        (VM, (134, 1800, true))
    );
}
