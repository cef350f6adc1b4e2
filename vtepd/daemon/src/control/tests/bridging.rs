//! Networks, ports, hosts and the underlay: frames that are bridged.

use super::*;

fn to_vm2() -> Vec<u8> {
    craft::ethernet(VM2, VM1)
        .ipv4("10.0.0.1", "10.0.0.2")
        .udp(1, 2, b"hello")
}

#[test]
fn a_document_becomes_a_tunnel_through_the_gateway() {
    let mut bench = Bench::new();
    bench.replace(RED).unwrap();
    let questions = bench.commanded();
    let arp = craft::ethernet("ff:ff:ff:ff:ff:ff", UP_MAC).arp_request("192.0.2.11", "192.0.2.1");
    assert_eq!(
        questions,
        [(UP, arp)],
        "the next hop is asked for before the first packet"
    );
    assert_eq!(bench.dropped(VM, &to_vm2()), DropReason::NextHopUnresolved);
    bench.hop_answers("192.0.2.1");
    let (sent, _) = bench.send(VM, &to_vm2());
    let (interface, frame) = &sent[0];
    assert_eq!(*interface, UP);
    craft::verify(frame).unwrap();
    assert_eq!(
        frame[..12],
        [0x02, 0, 0, 0, 1, 0xfe, 0x02, 0, 0, 0, 1, 0x11]
    );
    assert_eq!(frame[26..34], [192, 0, 2, 11, 198, 51, 100, 12]);
    assert_eq!(frame[46..49], [0, 6, 0x87]);
    assert_eq!(frame[50..], to_vm2());
}

#[test]
fn what_is_deleted_is_gone_and_what_stays_still_works() {
    let mut bench = Bench::red();
    let back = craft::ethernet(VM1, VM2)
        .ipv4("10.0.0.2", "10.0.0.1")
        .udp(1, 2, b"hello");
    assert_eq!(bench.send(UP, &outer(1671, &back)).0, [(VM, back.clone())]);
    bench
        .transact(r#"{ "delete": { "ports": ["p2"] } }"#)
        .unwrap();
    // Unknown unicast, and nobody else is in the network.
    assert_eq!(bench.dropped(VM, &to_vm2()), DropReason::NoFloodTarget);
    bench
        .transact(r#"{ "delete": { "ports": ["p1"], "networks": ["red"] } }"#)
        .unwrap();
    assert_eq!(
        bench.dropped(UP, &outer(1671, &back)),
        DropReason::UnknownVni
    );
    assert_eq!(bench.dropped(VM, &to_vm2()), DropReason::Unbound);
    bench
        .transact(r#"{ "delete": { "hosts": ["h2"] } }"#)
        .unwrap();
    bench.replace(RED).unwrap();
    assert_eq!(bench.send(UP, &outer(1671, &back)).0, [(VM, back)]);
}

#[test]
fn a_mac_and_an_address_may_change_hands_in_one_transaction() {
    let mut bench = Bench::red();
    bench
        .transact(
            r#"{ "delete": { "ports": ["p2"] }, "put": { "ports": { "p3":
            { "network": "red", "mac": "fa:16:3e:00:00:02", "addresses": ["10.0.0.2"], "interface": "trunk", "vlan": 7 } } } }"#,
        )
        .unwrap();
    let (sent, _) = bench.send(VM, &to_vm2());
    assert_eq!(sent[0].0, TRUNK);
    assert_eq!(sent[0].1[12..16], [0x81, 0, 0, 7]);
    let arp = craft::ethernet("ff:ff:ff:ff:ff:ff", VM1).arp_request("10.0.0.1", "10.0.0.2");
    let (sent, _) = bench.send(VM, &arp);
    assert_eq!(
        sent,
        [(
            VM,
            craft::ethernet(VM1, VM2).arp_reply("10.0.0.2", "10.0.0.1")
        )]
    );
}

#[test]
fn two_networks_may_swap_their_vnis() {
    let mut bench = Bench::red();
    bench
        .transact(
            r#"{ "put": { "networks": {
            "red": { "segment": { "type": "vxlan", "vni": 20 } }, "blue": { "segment": { "type": "vxlan", "vni": 1671 } } } } }"#,
        )
        .unwrap();
    let back = craft::ethernet(VM1, VM2)
        .ipv4("10.0.0.2", "10.0.0.1")
        .udp(1, 2, b"hello");
    assert_eq!(bench.send(UP, &outer(20, &back)).0, [(VM, back.clone())]);
    assert_eq!(
        bench.dropped(UP, &outer(1671, &back)),
        DropReason::NoFloodTarget
    );
    bench
        .transact(
            r#"{ "put": { "networks": {
            "red": { "segment": { "type": "vxlan", "vni": 1671 } }, "blue": { "segment": { "type": "vxlan", "vni": 20 } } } } }"#,
        )
        .unwrap();
    assert_eq!(bench.send(UP, &outer(1671, &back)).0, [(VM, back)]);
}

#[test]
fn two_hosts_may_swap_their_vteps() {
    let mut bench = Bench::red();
    bench
        .transact(r#"{ "put": { "hosts": { "h3": { "vtep": "198.51.100.13" } } } }"#)
        .unwrap();
    bench
        .transact(
            r#"{ "put": { "hosts": { "h2": { "vtep": "198.51.100.13" }, "h3": { "vtep": "198.51.100.12" } } } }"#,
        )
        .unwrap();
    bench.tick();
    let (sent, _) = bench.send(VM, &to_vm2());
    assert_eq!(sent[0].1[30..34], [198, 51, 100, 13]);
    // From where p2 was: its host is known, its MAC is elsewhere, the frame is good.
    let back = craft::ethernet(VM1, VM2)
        .ipv4("10.0.0.2", "10.0.0.1")
        .udp(1, 2, b"hello");
    assert_eq!(bench.send(UP, &outer(1671, &back)).0, [(VM, back)]);
}

#[test]
fn a_network_may_change_from_vxlan_to_vlan() {
    let mut bench = Bench::red();
    bench
        .transact(
            r#"{ "put": { "networks": { "red": { "segment": { "type": "vlan", "interface": "trunk", "vlan": 196 } } } } }"#,
        )
        .unwrap();
    let (sent, _) = bench.send(VM, &to_vm2());
    assert_eq!(
        (sent[0].0, &sent[0].1[12..16]),
        (TRUNK, &[0x81, 0, 0, 196][..])
    );
    bench
        .transact(
            r#"{ "put": { "networks": { "red": { "segment": { "type": "vxlan", "vni": 5 } } } } }"#,
        )
        .unwrap();
    let (sent, _) = bench.send(VM, &to_vm2());
    assert_eq!((sent[0].0, &sent[0].1[46..49]), (UP, &[0, 0, 5][..]));
}

#[test]
fn what_was_learned_goes_with_its_binding_and_never_answers_for_the_next() {
    let mut bench = Bench::new();
    const BOUND: &str = r#"{
      "interfaces": { "vm1": {}, "trunk": {} },
      "networks": { "red": { "segment": { "type": "vxlan", "vni": 1 }, "mtu": 1500,
        "bindings": [{ "interface": "vm1" }, { "interface": "trunk", "vlan": 7 }] } } }"#;
    bench.replace(BOUND).unwrap();
    let from_vm2 = craft::ethernet(VM1, VM2)
        .vlan(7)
        .ipv4("10.0.0.2", "10.0.0.1")
        .udp(1, 2, b"");
    bench.send(TRUNK, &from_vm2);
    bench.tick();
    assert_eq!(bench.macs(), [VM2]);
    assert_eq!(bench.send(VM, &to_vm2()).0[0].0, TRUNK);

    // The frame is under way to the learner while its binding goes.
    bench.send(
        TRUNK,
        &craft::ethernet(VM1, "fa:16:3e:00:00:03")
            .vlan(7)
            .ipv4("10.0.0.3", "10.0.0.1")
            .udp(1, 2, b""),
    );
    bench
        .transact(r#"{ "put": { "networks": { "red": { "segment": { "type": "vxlan", "vni": 1 }, "mtu": 1500, "bindings": [{ "interface": "vm1" }] } } } }"#)
        .unwrap();
    assert_eq!(bench.macs(), [VM1]);
    assert_eq!(bench.dropped(VM, &to_vm2()), DropReason::NoFloodTarget);
    assert_eq!(bench.dropped(TRUNK, &from_vm2), DropReason::Unbound);

    // Its index is another binding's now.
    bench
        .transact(r#"{ "put": { "networks": { "blue": { "segment": { "type": "vxlan", "vni": 2 }, "mtu": 1500, "bindings": [{ "interface": "trunk", "vlan": 8 }] } } } }"#)
        .unwrap();
    bench.tick();
    assert_eq!(bench.macs(), [VM1]);
    assert_eq!(
        bench.dropped(VM, &to_vm2()),
        DropReason::NoFloodTarget,
        "tenants never meet"
    );
}

#[test]
fn forgetting_and_switching_learning_off_leave_what_is_static() {
    let mut bench = Bench::red();
    let other = craft::ethernet(VM2, "fa:16:3e:00:00:09")
        .ipv4("10.0.0.9", "10.0.0.2")
        .udp(1, 2, b"");
    bench.send(VM, &other);
    bench.tick();
    let network = Handle::new(0);
    assert_eq!(bench.plane.fdb(network, None, 10).len(), 3);
    assert_eq!(bench.plane.fdb(network, None, 2).len(), 2);
    assert_eq!(bench.plane.forget_learned(Forget::default()), 1);
    bench.send(VM, &other);
    // Within the same second a worker does not tell the same twice.
    bench.state.now += 1;
    bench.send(VM, &other);
    bench.tick();
    assert_eq!(bench.plane.fdb(network, None, 10).len(), 3);
    bench
        .transact(r#"{ "put": { "networks": { "red": { "segment": { "type": "vxlan", "vni": 1671 }, "learning": false } } } }"#)
        .unwrap();
    assert_eq!(bench.plane.fdb(network, None, 10).len(), 2);
}

#[test]
fn a_full_table_refuses_the_whole_transaction() {
    let tables = Limits {
        fdb: 3,
        neighbours: 10,
    };
    let mut bench = Bench::with(Room { tables, ..ROOM });
    bench.replace(RED).unwrap();
    bench.hop_answers("192.0.2.1");
    let refusal = bench
        .transact(
            r#"{ "put": { "ports": {
            "p3": { "network": "red", "mac": "fa:16:3e:00:00:03", "host": "h2" },
            "p4": { "network": "red", "mac": "fa:16:3e:00:00:04", "host": "h2" } } } }"#,
        )
        .unwrap_err();
    assert_eq!(refusal.code, Code::TableFull);
    assert_eq!(bench.plane.fdb(Handle::new(0), None, 10).len(), 2);
    assert_eq!(bench.send(VM, &to_vm2()).0[0].0, UP);
    bench
        .transact(r#"{ "put": { "ports": { "p3": { "network": "red", "mac": "fa:16:3e:00:00:03", "host": "h2" } } } }"#)
        .unwrap();
}

#[test]
fn floods_go_to_hosts_with_a_port_or_to_the_group() {
    let mut bench = Bench::red();
    let broadcast = craft::ethernet("ff:ff:ff:ff:ff:ff", VM1).arp_request("10.0.0.1", "10.0.0.77");
    assert_eq!(bench.send(VM, &broadcast).0.len(), 1);
    bench.commanded();
    bench
        .transact(
            r#"{ "put": {
            "hosts": { "h2": { "vtep": "198.51.100.12", "udp_port": 8472 } },
            "networks": { "red": { "segment": { "type": "vxlan", "vni": 1671 }, "flood": { "mode": "multicast", "group": "239.1.1.1" } } } } }"#,
        )
        .unwrap();
    let joined = bench.commanded();
    assert!(
        joined
            .iter()
            .any(|(_, frame)| frame[..6] == [1, 0, 0x5e, 0, 0, 0x16]),
        "an IGMPv3 report"
    );
    let (sent, _) = bench.send(VM, &broadcast);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1[..6], [1, 0, 0x5e, 1, 1, 1]);
    assert_eq!(sent[0].1[30..34], [239, 1, 1, 1]);
    assert_eq!(
        sent[0].1[36..38],
        8472u16.to_be_bytes(),
        "the port that the group's hosts listen to"
    );
    bench
        .transact(
            r#"{ "put": { "networks": { "red": { "segment": { "type": "vxlan", "vni": 1671 },
            "flood": { "mode": "multicast", "group": "239.1.1.1", "udp_port": 4790 } } } } }"#,
        )
        .unwrap();
    assert_eq!(
        bench.send(VM, &broadcast).0[0].1[36..38],
        4790u16.to_be_bytes()
    );
    let to_group = craft::ethernet("01:00:5e:01:01:01", HOP_MAC)
        .ipv4("198.51.100.12", "239.1.1.1")
        .vxlan(50000, 1671, &broadcast_from_vm2());
    assert_eq!(bench.send(UP, &to_group).0, [(VM, broadcast_from_vm2())]);
    bench
        .transact(r#"{ "put": { "networks": { "red": { "segment": { "type": "vxlan", "vni": 1671 } } } } }"#)
        .unwrap();
    assert_eq!(bench.dropped(UP, &to_group), DropReason::OuterDestination);
    assert_eq!(
        bench.send(VM, &broadcast).0[0].1[30..34],
        [198, 51, 100, 12]
    );
}

fn broadcast_from_vm2() -> Vec<u8> {
    craft::ethernet("ff:ff:ff:ff:ff:ff", VM2).arp_request("10.0.0.2", "10.0.0.99")
}

#[test]
fn the_underlay_may_move_to_another_interface_and_address() {
    let mut bench = Bench::red();
    bench
        .transact(
            r#"{ "put": { "interfaces": {
            "up0": {}, "trunk": { "addresses": ["203.0.113.5/24"], "vlan": 9, "routes": [{ "destination": "198.51.100.0/24", "via": "203.0.113.1" }] } } } }"#,
        )
        .unwrap();
    let questions = bench.commanded();
    let wanted = craft::ethernet("ff:ff:ff:ff:ff:ff", "02:00:00:00:01:13")
        .vlan(9)
        .arp_request("203.0.113.5", "203.0.113.1");
    assert!(questions.contains(&(TRUNK, wanted)), "{questions:?}");
    assert_eq!(bench.dropped(VM, &to_vm2()), DropReason::NextHopUnresolved);
    let request = craft::ethernet("ff:ff:ff:ff:ff:ff", HOP_MAC)
        .vlan(9)
        .arp_request("203.0.113.1", "203.0.113.5");
    bench.send(TRUNK, &request);
    bench.tick();
    let (sent, _) = bench.send(VM, &to_vm2());
    assert_eq!(
        (sent[0].0, &sent[0].1[12..16]),
        (TRUNK, &[0x81, 0, 0, 9][..])
    );
    assert_eq!(sent[0].1[30..34], [203, 0, 113, 5]);
    assert_eq!(
        bench.dropped(UP, &outer(1671, &to_vm2())),
        DropReason::Unbound
    );
    let neighbours = bench.plane.underlay_neighbours();
    assert_eq!(neighbours.len(), 1);
    assert_eq!(neighbours[0].hosts.len(), 1);
}

#[test]
fn a_vlan_may_go_from_a_network_to_the_underlay() {
    let mut bench = Bench::new();
    bench
        .replace(
            r#"{ "interfaces": { "up0": { "addresses": ["192.0.2.11/24"] }, "trunk": {} },
            "networks": { "red": { "segment": { "type": "vxlan", "vni": 1 }, "mtu": 1500,
            "bindings": [{ "interface": "trunk", "vlan": 9 }] } } }"#,
        )
        .unwrap();
    bench
        .transact(
            r#"{ "put": {
            "networks": { "red": { "segment": { "type": "vxlan", "vni": 1 }, "mtu": 1500 } },
            "interfaces": { "trunk": { "addresses": ["203.0.113.5/24"], "vlan": 9 } } } }"#,
        )
        .unwrap();
    let who_has = craft::ethernet("ff:ff:ff:ff:ff:ff", HOP_MAC)
        .vlan(9)
        .arp_request("203.0.113.1", "203.0.113.5");
    assert_eq!(
        bench.send(TRUNK, &who_has).0.len(),
        1,
        "ARP is answered there"
    );
}
