//! The metadata proxy: who may ask it by which name, as ports and networks come and go.

use super::*;

use std::collections::HashSet;
use std::net::Ipv4Addr;

use mgmt_api::control::MetadataAsker;
use vtepd_tables::Proxy;
use vtepd_wire::tcp::ACK;

const META: InterfaceIndex = InterfaceIndex(3);
const META_MAC: &str = "02:00:00:00:01:14";
const PROXY_MAC: &str = "02:00:00:00:0b:01";
const PROXY_IP: &str = "192.0.2.80";
const SERVICE: &str = "169.254.169.254";
const SERVICE_MAC: &str = "02:00:a9:fe:a9:fe";
const GATEWAY: &str = "fa:16:3e:01:00:01";

fn settings(range: &str) -> MetadataSettings {
    MetadataSettings {
        proxy: Proxy {
            interface: META,
            tag: None,
            own: "240.0.0.1".parse().unwrap(),
            address: PROXY_IP.parse().unwrap(),
            port: 8775,
            mac: None,
        },
        range: range.parse().unwrap(),
        mac: META_MAC.parse().unwrap(),
        mtu: 1500,
    }
}

/// Two tenants with the same addresses: red with a router on vm1, blue without on a VLAN of
/// the trunk.
const TENANTS: &str = r#"{
  "interfaces": {
    "up0": { "addresses": ["192.0.2.11/24"], "gateway": "192.0.2.1" },
    "vm1": { "mtu": 1500 }, "trunk": { "mtu": 1500 }
  },
  "hosts": { "h1": { "dvr_mac": "fa:16:3f:00:00:01" }, "h2": { "vtep": "198.51.100.12" } },
  "networks": {
    "red": { "segment": { "type": "vxlan", "vni": 1671 } },
    "blue": { "segment": { "type": "vxlan", "vni": 1172 } }
  },
  "routers": { "r1": { "interfaces": [
    { "network": "red", "mac": "fa:16:3e:01:00:01", "addresses": ["10.0.0.254/24"] } ] } },
  "ports": {
    "p1": { "network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["10.0.0.1", "fd00::1"], "interface": "vm1" },
    "p2": { "network": "blue", "mac": "fa:16:3e:00:00:01", "addresses": ["10.0.0.1"], "interface": "trunk", "vlan": 5 },
    "p3": { "network": "red", "mac": "fa:16:3e:00:00:03", "addresses": ["10.0.0.3"], "host": "h2" },
    "p4": { "network": "red", "mac": "fa:16:3e:00:00:04", "addresses": ["fd00::4"], "interface": "vm1" }
  }
}"#;

const P1: &str = r#"{ "network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["10.0.0.1", "fd00::1"], "interface": "vm1" }"#;

/// The bench of the tenants, whose proxy has answered.
fn bench() -> Bench {
    let mut bench = Bench::on(plane_with(ROOM, Some(settings("240.0.0.0/16"))));
    bench.replace(TENANTS).unwrap();
    bench.proxy_answers(PROXY_MAC);
    bench.commanded();
    bench
}

fn question(to: &str) -> Vec<u8> {
    craft::ethernet(to, VM1)
        .ipv4("10.0.0.1", SERVICE)
        .tcp(40_000, 80, ACK, b"GET /")
}

fn tagged(vlan: u8, frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &[0x81, 0, 0, vlan], &frame[12..]].concat()
}

impl Bench {
    fn proxy_answers(&mut self, mac: &'static str) {
        let reply = craft::ethernet(META_MAC, mac).arp_reply(PROXY_IP, "240.0.0.1");
        self.send(META, &reply);
        self.tick();
    }

    fn askers(&self) -> Vec<MetadataAsker> {
        self.plane.metadata(Ipv4Addr::UNSPECIFIED, 100)
    }

    /// The names of a port, by where it asks from.
    fn names(&self, port: &str) -> Vec<(String, Ipv4Addr)> {
        let askers = self.askers().into_iter();
        let own = askers.filter(|asker| asker.port.to_string() == port);
        own.map(|asker| (asker.source.to_string(), asker.address))
            .collect()
    }

    #[track_caller]
    fn name(&self, port: &str) -> Ipv4Addr {
        let names = self.names(port);
        assert_eq!(names.len(), 1, "{names:?}");
        names[0].1
    }

    /// Time goes by.
    fn pass(&self, seconds: u32) {
        let control = self.plane.control.lock();
        control.clock.set(control.now() + seconds);
    }
}

#[test]
fn ports_of_this_host_with_ipv4_addresses_may_ask() {
    let bench = bench();
    let askers = bench.askers();
    assert_eq!(askers.len(), 2);
    let names: HashSet<Ipv4Addr> = askers.iter().map(|asker| asker.address).collect();
    assert_eq!(names.len(), 2);
    let p1 = askers.iter().find(|asker| asker.port.to_string() == "p1");
    let p1 = p1.unwrap();
    assert_eq!(p1.network.to_string(), "red");
    assert_eq!(p1.mac.to_string(), VM1);
    assert_eq!(p1.source.to_string(), "10.0.0.1");
    let addresses: Vec<String> = p1.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.0.1", "fd00::1"]);
    // From one of them on.
    let [first, second] = [0, 1].map(|at| askers[at].address);
    assert_eq!(bench.plane.metadata(second, 9), askers[1..]);
    assert_eq!(bench.plane.metadata(first, 1), askers[..1]);
}

#[test]
fn the_same_question_of_two_tenants_comes_by_two_names_and_goes_back() {
    let mut bench = bench();
    let (red, blue) = (bench.name("p1"), bench.name("p2"));
    for (name, interface, frame) in [
        (red, VM, question(GATEWAY)),
        (blue, TRUNK, tagged(5, &question(SERVICE_MAC))),
    ] {
        let expected = craft::ethernet(PROXY_MAC, META_MAC)
            .ipv4(name, PROXY_IP.parse::<Ipv4Addr>().unwrap())
            .ttl(63)
            .tcp(40_000, 8775, ACK, b"GET /");
        assert_eq!(bench.forwarded(interface, &frame), (META, expected));
    }
    for (name, interface, from) in [(red, VM, GATEWAY), (blue, TRUNK, SERVICE_MAC)] {
        let answer = craft::ethernet(META_MAC, PROXY_MAC)
            .ipv4(PROXY_IP.parse::<Ipv4Addr>().unwrap(), name)
            .tcp(8775, 40_000, ACK, b"200 OK");
        let seen = craft::ethernet(VM1, from)
            .ipv4(SERVICE, "10.0.0.1")
            .tcp(80, 40_000, ACK, b"200 OK");
        let seen = if interface == TRUNK {
            tagged(5, &seen)
        } else {
            seen
        };
        assert_eq!(bench.forwarded(META, &answer), (interface, seen));
    }
}

#[test]
fn the_proxy_is_asked_for_from_the_start_and_followed() {
    let mut bench = Bench::on(plane_with(ROOM, Some(settings("240.0.0.0/16"))));
    let asked = craft::ethernet(BROADCAST, META_MAC).arp_request("240.0.0.1", PROXY_IP);
    assert_eq!(bench.commanded(), [(META, asked)]);
    bench.replace(TENANTS).unwrap();
    assert_eq!(
        bench.dropped(VM, &question(GATEWAY)),
        DropReason::MetadataUnresolved
    );
    for mac in [PROXY_MAC, "02:00:00:00:0b:02"] {
        // A new MAC is believed once a second.
        let mut control = bench.plane.control.lock();
        control.start -= std::time::Duration::from_secs(2);
        drop(control);
        bench.proxy_answers(mac);
        let (_, sent) = bench.forwarded(VM, &question(GATEWAY));
        assert_eq!(sent[..6], mac.parse::<vtepd_wire::Mac>().unwrap().0);
    }
}

#[test]
fn a_name_stays_as_long_as_its_port_and_rests_afterwards() {
    let bench = bench();
    let name = bench.name("p1");
    // Whatever else of it changes.
    bench.put("ports", "p1", &P1.replace("00:00:01", "00:00:09"));
    assert_eq!(bench.name("p1"), name);
    let other = P1.replace("10.0.0.1", "10.0.0.9");
    bench.put(
        "ports",
        "p9",
        &other
            .replace("00:00:01", "00:00:0a")
            .replace("fd00::1", "fd00::9"),
    );
    assert_eq!(bench.name("p1"), name);
    // It goes and comes back.
    bench.delete("ports", "p1");
    assert!(bench.names("p1").is_empty());
    bench.put("ports", "p1", P1);
    assert_eq!(bench.name("p1"), name);
}

#[test]
fn a_name_that_was_given_up_is_not_given_to_another_at_once() {
    let bench = Bench::on(plane_with(ROOM, Some(settings("240.0.0.0/29"))));
    bench.replace(TENANTS).unwrap();
    let port = |number: usize| {
        P1.replace("00:00:01", &format!("00:01:0{number}"))
            .replace("10.0.0.1", &format!("10.0.0.10{number}"))
            .replace("fd00::1", &format!("fd00::1:{number}"))
    };
    let add = |number: usize| {
        let id = format!("more{number}");
        let document = port(number);
        bench.transact(&format!(
            r#"{{ "put": {{ "ports": {{ "{id}": {document} }} }} }}"#
        ))
    };
    // Six hosts are in it, one of which are we, and two ports have names.
    for number in 0..3 {
        add(number).unwrap();
    }
    let full = |result: Result<(), Refusal>| {
        let refusal = result.unwrap_err();
        assert_eq!(refusal.code, Code::TableFull);
        assert!(refusal.message.contains("metadata.range"), "{refusal:?}");
    };
    full(add(3));
    bench.delete("ports", "more0");
    full(add(3));
    bench.pass(60);
    add(3).unwrap();
    let names: HashSet<Ipv4Addr> = bench.askers().iter().map(|asker| asker.address).collect();
    assert_eq!(names.len(), 5);
    // Networks that do without need none.
    bench.put(
        "networks",
        "blue",
        r#"{ "segment": { "type": "vxlan", "vni": 1172 }, "metadata": false }"#,
    );
    bench.pass(60);
    add(4).unwrap();
}

#[test]
fn a_port_that_replaces_another_gets_a_name_of_its_own() {
    let mut bench = bench();
    let old = bench.name("p1");
    // Within one transaction, and with the same MAC and address.
    let put = format!(
        r#"{{ "delete": {{ "ports": ["p1"] }}, "put": {{ "ports": {{ "new": {P1} }} }} }}"#
    );
    bench.transact(&put).unwrap();
    let new = bench.name("new");
    assert_ne!(old, new);
    let (_, sent) = bench.forwarded(VM, &question(GATEWAY));
    assert_eq!(sent[26..30], new.octets());
    let answer = craft::ethernet(META_MAC, PROXY_MAC)
        .ipv4(PROXY_IP.parse::<Ipv4Addr>().unwrap(), old)
        .tcp(8775, 40_000, ACK, b"");
    assert_eq!(bench.dropped(META, &answer), DropReason::MetadataUnknown);
}

#[test]
fn every_address_of_a_port_has_a_name() {
    let mut bench = bench();
    let first = bench.name("p1");
    bench.put("ports", "p1", &P1.replace("fd00::1", "10.0.0.7"));
    let names = bench.names("p1");
    assert_eq!(names.len(), 2);
    assert!(names.contains(&("10.0.0.1".to_owned(), first)));
    let second = names.iter().find(|(source, _)| source == "10.0.0.7");
    let frame = craft::ethernet(GATEWAY, VM1)
        .ipv4("10.0.0.7", SERVICE)
        .tcp(40_000, 80, ACK, b"");
    let (_, sent) = bench.forwarded(VM, &frame);
    assert_eq!(sent[26..30], second.unwrap().1.octets());
}

#[test]
fn ports_that_move_away_and_networks_without_lose_their_names() {
    let mut bench = bench();
    let name = bench.name("p1");
    let away = P1.replace(r#""interface": "vm1""#, r#""host": "h2""#);
    bench.put("ports", "p1", &away);
    assert!(bench.names("p1").is_empty());
    bench.put("ports", "p1", P1);
    assert_eq!(bench.name("p1"), name);

    let red =
        r#"{ "segment": { "type": "vxlan", "vni": 1671 }, "metadata": METADATA, "mtu": 1400 }"#;
    bench.put("networks", "red", &red.replace("METADATA", "false"));
    assert!(bench.names("p1").is_empty());
    assert_eq!(bench.names("p2").len(), 1);
    assert_eq!(bench.dropped(VM, &question(GATEWAY)), DropReason::Martian);
    bench.put("networks", "red", &red.replace("METADATA", "true"));
    assert_eq!(bench.name("p1"), name);
    // With the network's new MTU.
    let long = craft::ethernet(META_MAC, PROXY_MAC)
        .ipv4(PROXY_IP.parse::<Ipv4Addr>().unwrap(), name)
        .tcp(8775, 40_000, ACK, &[0; 1361]);
    let (sent, drops) = bench.send(META, &long);
    assert_eq!(drops, [DropReason::MtuExceeded]);
    assert_eq!(sent[0].1[40..42], 1400_u16.to_be_bytes());
}

#[test]
fn the_network_goes_with_its_ports_and_comes_again() {
    let mut bench = bench();
    let delete = r#"{ "delete": { "networks": ["blue"], "ports": ["p2"] } }"#;
    bench.transact(delete).unwrap();
    assert!(bench.names("p2").is_empty());
    bench.replace(TENANTS).unwrap();
    let name = bench.name("p2");
    let frame = tagged(5, &question(SERVICE_MAC));
    assert_eq!(bench.forwarded(TRUNK, &frame).1[26..30], name.octets());
    bench.replace("{}").unwrap();
    assert!(bench.askers().is_empty());
}

#[test]
fn arp_for_names_in_use_is_answered_on_the_proxys_link() {
    let mut bench = bench();
    let name = bench.name("p1");
    let proxy: Ipv4Addr = PROXY_IP.parse().unwrap();
    let request = craft::ethernet(BROADCAST, PROXY_MAC).arp_request(proxy, name);
    let reply = craft::ethernet(PROXY_MAC, META_MAC).arp_reply(name, proxy);
    assert_eq!(bench.forwarded(META, &request), (META, reply));
    bench.delete("ports", "p1");
    assert_eq!(bench.send(META, &request), (vec![], vec![]));
}

#[test]
fn a_refused_transaction_changes_no_name() {
    let bench = bench();
    let before = bench.askers();
    let put = format!(
        r#"{{ "delete": {{ "ports": ["p2"] }}, "put": {{ "ports": {{ "p1": {}, "bad": {{ "network": "no", "mac": "fa:16:3e:00:00:77" }} }} }} }}"#,
        P1.replace("10.0.0.1", "10.0.0.8")
    );
    bench.transact(&put).unwrap_err();
    assert_eq!(bench.askers(), before);
}

#[test]
fn the_names_are_a_table_with_a_use() {
    let bench = bench();
    let names = |bench: &Bench| {
        let tables = bench.plane.tables().into_iter();
        tables
            .filter(|table| table.name == "metadata")
            .map(|table| (table.capacity, table.used))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&bench), [(65_533, 2)]);
    assert_eq!(names(&Bench::new()), []);
}

#[test]
fn without_a_proxy_nobody_asks() {
    let mut bench = Bench::connected(TENANTS);
    assert!(bench.askers().is_empty());
    assert_eq!(bench.dropped(VM, &question(GATEWAY)), DropReason::Martian);
}

/// A DHCPDISCOVER of VM1 that asks for classless routes.
fn discover() -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0, 1, 2, 3, 4];
    message.resize(28, 0);
    message.extend([0xfa, 0x16, 0x3e, 0, 0, 1]);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, 1, 55, 2, 1, 121, 255]);
    craft::ethernet(BROADCAST, VM1)
        .ipv4("0.0.0.0", "255.255.255.255")
        .udp(68, 67, &message)
}

/// Without a gateway on the subnet the route to the service is told by DHCP: it is on the
/// link (RFC 3442).
#[test]
fn stations_without_a_gateway_are_told_the_route() {
    let on_link = [32, 169, 254, 169, 254, 0, 0, 0, 0];
    let is_told = |bench: &mut Bench| {
        bench.send(VM, &discover());
        bench.tick();
        let sent = bench.delivered();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent[0].1.windows(9).any(|bytes| bytes == on_link)
    };
    let mut bench = bench();
    let red = r#"{ "segment": { "type": "vxlan", "vni": 1671 }, "metadata": METADATA,
        "subnets": [{ "cidr": "10.0.0.0/24", "gateway": "10.0.0.253" },
            { "cidr": "fd00::/64" }] }"#;
    bench.put("networks", "red", &red.replace("METADATA", "true"));
    assert!(!is_told(&mut bench), "its router is here");
    bench.delete("routers", "r1");
    assert!(is_told(&mut bench));
    bench.put("networks", "red", &red.replace("METADATA", "false"));
    assert!(!is_told(&mut bench));
}
