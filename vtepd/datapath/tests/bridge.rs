//! Bridging: where a unicast frame goes, which tag it gets, and who never meets.

mod common;

use common::*;
use vtepd_datapath::DropReason;
use vtepd_datapath::observer::Decision;
use vtepd_tables::{Adjacency, FdbEntry, FdbKey, InterfaceIndex, Origin, Tag};
use vtepd_wire::{VlanId, craft};

#[test]
fn known_unicast_goes_to_its_port_only() {
    let frame = udp(VM2, VM1, 30);
    let mut host = host();
    let outcome = host.send(PORT1, &frame);
    assert_eq!(outcome.one(), (PORT2, &frame[..]));
    let entry = FdbEntry {
        adjacency: host.at_port(PORT2, 0),
        origin: Origin::Static,
    };
    assert!(outcome.decisions.contains(&Decision::Known(entry)));
}

#[test]
fn unknown_unicast_is_flooded() {
    let frame = udp(NOBODY, VM1, 30);
    let outcome = host().send(PORT1, &frame);
    assert!(outcome.decisions.contains(&Decision::Unknown));
    assert_eq!(outcome.sent_to(PORT1).len(), 0);
    assert_eq!(outcome.sent_to(PORT2), [&frame[..]]);
    assert_eq!(outcome.sent_to(PORT3), [tagged(100, &frame)]);
    assert_eq!(outcome.sent_to(UNDERLAY).len(), 2);
}

#[test]
fn a_frame_to_where_it_came_from_goes_nowhere() {
    let mut host = host().vm(NOBODY, &[], PORT1, 0);
    let reason = host.send(PORT1, &udp(NOBODY, VM1, 1)).dropped();
    assert_eq!(reason, DropReason::SamePort);
    let back = tunnelled(&udp(VM4, NOBODY, 1));
    assert_eq!(host.send(UNDERLAY, &back).dropped(), DropReason::SamePort);
}

#[test]
fn rfc7348_split_horizon_nothing_goes_from_tunnel_to_tunnel() {
    let mut host = host();
    let known = host.send(UNDERLAY, &tunnelled(&udp(VM5, VM4, 1)));
    assert_eq!(known.dropped(), DropReason::SplitHorizon);
    let known = host.send(UNDERLAY, &tunnelled6(&udp(VM4, VM5, 1)));
    assert_eq!(known.dropped(), DropReason::SplitHorizon);
    for to in [NOBODY, BROADCAST, "01:00:5e:00:00:05"] {
        let outcome = host.send(UNDERLAY, &tunnelled(&udp(to, VM4, 1)));
        assert_eq!(outcome.sent.len(), 3);
        assert!(outcome.sent_to(UNDERLAY).is_empty(), "{to}");
    }
}

#[test]
fn a_tagged_port_takes_and_gives_its_own_tag() {
    let frame = udp(VM1, VM3, 30);
    let mut host = host();
    let outcome = host.send(PORT3, &tagged(100, &frame));
    assert_eq!(outcome.one(), (PORT1, &frame[..]));
    // Whatever its priority.
    let outcome = host.send(PORT3, &tagged(0xb000 | 100, &frame));
    assert_eq!(outcome.one(), (PORT1, &frame[..]));
    let back = udp(VM3, VM1, 30);
    assert_eq!(
        host.send(PORT1, &back).one(),
        (PORT3, &tagged(100, &back)[..])
    );
    let back = udp(VM3, VM4, 30);
    let outcome = host.send(UNDERLAY, &tunnelled(&back));
    assert_eq!(outcome.one(), (PORT3, &tagged(100, &back)[..]));
    for other in [
        frame.clone(),
        tagged(0, &frame),
        tagged(101, &frame),
        tagged(4095, &frame),
    ] {
        assert_eq!(host.send(PORT3, &other).dropped(), DropReason::Unbound);
    }
}

/// A VLAN segment: an id on the trunk, another towards the ports.
#[test]
fn a_vlan_segment_is_rewritten_both_ways() {
    const TRUNK: InterfaceIndex = InterfaceIndex(4);
    const FAR: &str = "fa:16:3e:00:00:06";
    let mut host = bare_host(None)
        .network(red(), RED_VNI)
        .port(red(), TRUNK, 196)
        .port(red(), PORT3, 1)
        .vm(VM3, &[], PORT3, 1)
        .vm(FAR, &[], TRUNK, 196);
    let frame = udp(FAR, VM3, 30);
    let outcome = host.send(PORT3, &tagged(1, &frame));
    assert_eq!(outcome.one(), (TRUNK, &tagged(196, &frame)[..]));
    let frame = udp(VM3, FAR, 30);
    let outcome = host.send(TRUNK, &tagged(196, &frame));
    assert_eq!(outcome.one(), (PORT3, &tagged(1, &frame)[..]));
    let outcome = host.send(TRUNK, &tagged(196, &udp(BROADCAST, FAR, 30)));
    assert_eq!(
        outcome.one(),
        (PORT3, &tagged(1, &udp(BROADCAST, FAR, 30))[..])
    );
}

#[test]
fn two_networks_on_one_trunk() {
    const BLUE_VM: &str = "fa:16:3e:00:00:07";
    let mut host = host()
        .network(network(2), 2000)
        .port(network(2), PORT3, 200)
        .vm(BLUE_VM, &[], PORT3, 200);
    // The other network does not know VM3, and there is nobody to flood to.
    let reason = host
        .send(PORT3, &tagged(200, &udp(VM3, BLUE_VM, 1)))
        .dropped();
    assert_eq!(reason, DropReason::NoFloodTarget);
    let outcome = host.send(PORT3, &tagged(100, &udp(VM1, VM3, 1)));
    assert_eq!(outcome.one().0, PORT1);
}

#[test]
fn a_service_tag_leaves_with_its_own_ethertype() {
    let s_tag = Tag::new(0x88a8, VlanId::new(300).unwrap());
    let mut host = bare_host(None)
        .network(red(), RED_VNI)
        .change(red(), |network| network.vlan_transparent = true)
        .port(red(), PORT1, 0)
        .port_with_tag(red(), PORT2, 300, Some(s_tag))
        .vm(VM1, &[], PORT1, 0)
        .vm(VM2, &[], PORT2, 300);
    let frame = udp(VM2, VM1, 30);
    assert_eq!(
        host.send(PORT1, &frame).one(),
        (PORT2, &tagged_with(0x88a8, 300, &frame)[..])
    );
    let back = udp(VM1, VM2, 30);
    let outcome = host.send(PORT2, &tagged_with(0x88a8, 300, &back));
    assert_eq!(outcome.one(), (PORT1, &back[..]));
    // The customer's tag inside stays.
    let inner = tagged(5, &back);
    let outcome = host.send(PORT2, &tagged_with(0x88a8, 300, &inner));
    assert_eq!(outcome.one(), (PORT1, &inner[..]));
}

#[test]
fn rfc7348_tenants_tags_are_dropped_unless_configured() {
    let mut host = host();
    let reason = host.send(PORT1, &tagged(5, &udp(VM2, VM1, 1))).dropped();
    assert_eq!(reason, DropReason::Unbound);
    let double = tagged(100, &tagged(5, &udp(VM1, VM3, 1)));
    assert_eq!(
        host.send(PORT3, &double).dropped(),
        DropReason::UnexpectedTag
    );
    // A priority tag is none (IEEE 802.1Q, 9.6); the one inside it is.
    let double = tagged(0, &tagged(5, &udp(VM2, VM1, 1)));
    assert_eq!(
        host.send(PORT1, &double).dropped(),
        DropReason::UnexpectedTag
    );
}

#[test]
fn tenants_tags_pass_where_configured() {
    let mut host = host().change(red(), |network| network.vlan_transparent = true);
    let frame = tagged(5, &udp(VM2, VM1, 30));
    assert_eq!(host.send(PORT1, &frame).one(), (PORT2, &frame[..]));
    let frame = tagged_with(0x88a8, 6, &tagged(5, &udp(VM4, VM1, 30)));
    let outcome = host.send(PORT1, &frame);
    assert_eq!(&outcome.one().1[v4::INNER..], &frame[..]);
    let frame = tagged(5, &udp(VM3, VM1, 30));
    let outcome = host.send(PORT1, &frame);
    assert_eq!(outcome.one(), (PORT3, &tagged(100, &frame)[..]));
    let frame = tagged(5, &udp(VM1, VM3, 30));
    let outcome = host.send(PORT3, &tagged(100, &frame));
    assert_eq!(outcome.one(), (PORT1, &frame[..]));
    // Where no untagged network is bound there is none to carry them.
    let reason = host.send(PORT3, &tagged(5, &udp(VM1, VM3, 30))).dropped();
    assert_eq!(reason, DropReason::Unbound);
}

/// A tag that another network is bound to is that network's, not the tenant's.
#[test]
fn a_bound_tag_wins_over_a_tenants_own() {
    let mut host = host()
        .change(red(), |network| network.vlan_transparent = true)
        .network(network(2), 2000)
        .port(network(2), PORT1, 5);
    let reason = host.send(PORT1, &tagged(5, &udp(VM2, VM1, 1))).dropped();
    assert_eq!(reason, DropReason::NoFloodTarget);
}

#[test]
fn a_priority_tag_on_an_untagged_port_is_taken_off() {
    let frame = udp(VM2, VM1, 30);
    let outcome = host().send(PORT1, &tagged(5 << 13, &frame));
    assert_eq!(outcome.one(), (PORT2, &frame[..]));
}

#[test]
fn groups_that_bridges_keep_on_their_link_are_dropped() {
    for last in 0..=15 {
        let to = format!("01:80:c2:00:00:{last:02x}");
        let reason = host().send(PORT1, &udp(&to, VM1, 1)).dropped();
        assert_eq!(reason, DropReason::ReservedGroup, "{to}");
    }
    assert!(
        host()
            .send(PORT1, &udp("01:80:c2:00:00:10", VM1, 1))
            .drops
            .is_empty()
    );
}

#[test]
fn sources_that_are_nobodys() {
    for from in ["00:00:00:00:00:00", BROADCAST, "01:00:5e:00:00:01"] {
        let reason = host().send(PORT1, &udp(VM2, from, 1)).dropped();
        assert_eq!(reason, DropReason::InvalidSourceMac, "{from}");
    }
}

#[test]
fn a_frame_that_ends_in_its_ethernet_header_or_tag() {
    let frame = udp(VM2, VM1, 1);
    for len in 0..14 {
        let reason = host().send(PORT1, &frame[..len]).dropped();
        assert_eq!(reason, DropReason::Truncated, "{len} bytes");
    }
    for len in 14..18 {
        let reason = host().send(PORT1, &tagged(0, &frame)[..len]).dropped();
        assert_eq!(reason, DropReason::Truncated, "{len} bytes");
    }
    assert_eq!(
        host().send(PORT1, &frame[..14]).one(),
        (PORT2, &frame[..14])
    );
}

/// MACs and addresses of one tenant are nothing to another.
#[test]
fn tenants_with_the_same_macs_and_addresses_never_meet() {
    const BLUE_PORT1: InterfaceIndex = InterfaceIndex(5);
    const BLUE_PORT2: InterfaceIndex = InterfaceIndex(6);
    let blue = network(2);
    let mut host = host()
        .network(blue, 2000)
        .port(blue, BLUE_PORT1, 0)
        .port(blue, BLUE_PORT2, 0)
        .remote(blue, PEER)
        .vm(VM1, &[VM1_IP], BLUE_PORT1, 0)
        .vm(VM2, &[VM2_IP], BLUE_PORT2, 0);
    let frame = udp(VM2, VM1, 30);
    assert_eq!(host.send(PORT1, &frame).one().0, PORT2);
    assert_eq!(host.send(BLUE_PORT1, &frame).one().0, BLUE_PORT2);
    let inner = udp(VM1, VM4, 30);
    assert_eq!(host.send(UNDERLAY, &tunnelled(&inner)).one().0, PORT1);
    let outer = from_peer().vxlan(50_000, 2000, &inner);
    assert_eq!(host.send(UNDERLAY, &outer).one().0, BLUE_PORT1);
    let flooded = host.send(BLUE_PORT1, &udp(BROADCAST, VM1, 30));
    let to: Vec<_> = flooded.sent.iter().map(|(to, _)| *to).collect();
    assert_eq!(to, [BLUE_PORT2, UNDERLAY]);
    assert_eq!(
        flooded.sent_to(UNDERLAY)[0][v4::VXLAN + 4..v4::INNER],
        [0, 0x07, 0xd0, 0]
    );
    let asked = craft::ethernet(BROADCAST, VM1).arp_request(VM1_IP, VM4_IP);
    let outcome = host.send(BLUE_PORT1, &asked);
    assert_eq!(
        outcome.sent.len(),
        2,
        "blue does not know what red does: {outcome:?}"
    );
}

#[test]
fn a_frame_as_big_as_the_mtu_of_the_port_passes_and_one_byte_more_does_not() {
    let largest = usize::from(PORT_MTU) - 28;
    for (from, to) in [(VM1, VM2), (VM1, VM3)] {
        assert_eq!(host().send(PORT1, &udp(to, from, largest)).sent.len(), 1);
        let reason = host().send(PORT1, &udp(to, from, largest + 1)).dropped();
        assert_eq!(reason, DropReason::PortMtu);
    }
    // Tags of the tenant do not count.
    let mut host = host().change(red(), |network| network.vlan_transparent = true);
    let once = tagged(5, &udp(VM2, VM1, largest));
    let twice = tagged(5, &once);
    assert_eq!(host.send(PORT1, &once).one().1, once);
    assert_eq!(host.send(PORT1, &twice).one().1, twice);
    let reason = host
        .send(PORT1, &tagged(5, &udp(VM2, VM1, largest + 1)))
        .dropped();
    assert_eq!(reason, DropReason::PortMtu);
}

#[test]
fn a_port_without_headroom_for_its_tag() {
    use vtepd_datapath::memory::MemoryPacket;
    let frame = udp(VM3, VM1, 30);
    for headroom in 0..8 {
        let packet = MemoryPacket::with_headroom(headroom, &[&frame]);
        let outcome = host().send_packet(PORT1, packet);
        if headroom < 4 {
            assert_eq!(outcome.dropped(), DropReason::NoHeadroom);
        } else {
            assert_eq!(outcome.one(), (PORT3, &tagged(100, &frame)[..]));
        }
    }
}

/// The writer removes references first; a frame in between finds nobody.
#[test]
fn a_way_out_that_was_taken_away() {
    let mut host = host();
    let at = host.at_port(PORT2, 0);
    *host.tables.edit().adjacency_mut(at) = Default::default();
    let reason = host.send(PORT1, &udp(VM2, VM1, 1)).dropped();
    assert_eq!(reason, DropReason::Vacant);
    // A network without a VNI has no way through a tunnel.
    let mut host = host_without_vni();
    assert_eq!(
        host.send(PORT1, &udp(VM4, VM1, 1)).dropped(),
        DropReason::Vacant
    );
}

fn host_without_vni() -> Host {
    host().change(red(), |network| network.vni = None)
}

#[test]
fn the_key_of_the_fdb_is_network_and_mac() {
    let host = host();
    let key = FdbKey::new(red(), mac(VM4));
    assert_eq!(
        host.tables.fdb.get(key).unwrap().adjacency,
        host.at_vtep(PEER)
    );
    assert_eq!(host.tables.fdb.get(FdbKey::new(network(2), mac(VM4))), None);
}

#[test]
fn an_interface_that_nobody_configured() {
    let reason = host()
        .send(InterfaceIndex(200), &udp(VM2, VM1, 1))
        .dropped();
    assert_eq!(reason, DropReason::Unbound);
}

#[test]
fn a_tenants_own_tag_does_not_lead_into_another_networks_vlan() {
    let mut host = host()
        .change(red(), |network| network.vlan_transparent = true)
        .network(network(2), 2000)
        .port(network(2), PORT1, 5);
    let from_tunnel = |vlan| tunnelled(&tagged(vlan, &udp(VM1, VM4, 30)));
    assert_eq!(
        host.send(UNDERLAY, &from_tunnel(5)).dropped(),
        DropReason::ForeignVlan
    );
    let free = tagged(6, &udp(VM1, VM4, 30));
    assert_eq!(
        host.send(UNDERLAY, &from_tunnel(6)).one(),
        (PORT1, &free[..])
    );
}

#[test]
fn tags_of_another_tpid_are_other_bindings() {
    let s_tag = Tag::new(0x88a8, VlanId::new(300).unwrap());
    let mut host = bare_host(None)
        .network(red(), RED_VNI)
        .network(network(2), 2000)
        .port(red(), PORT1, 0)
        .port(red(), PORT2, 300)
        .port_with_tag(network(2), PORT2, 301, Some(s_tag))
        .vm(VM1, &[], PORT1, 0);
    let frame = udp(VM1, VM2, 30);
    let outcome = host.send(PORT2, &tagged_with(0x8100, 300, &frame));
    assert_eq!(outcome.one(), (PORT1, &frame[..]));
    let reason = host
        .send(PORT2, &tagged_with(0x88a8, 300, &frame))
        .dropped();
    assert_eq!(reason, DropReason::NoFloodTarget, "the other network's");
}

#[test]
fn an_entry_that_leads_to_a_port_of_another_network_is_not_followed() {
    let mut host = host().network(network(2), 2000);
    let moved = host.at_port(PORT2, 0);
    if let Adjacency::Port(port) = host.tables.edit().adjacency_mut(moved) {
        port.network = network(2);
    }
    let reason = host.send(PORT1, &udp(VM2, VM1, 30)).dropped();
    assert_eq!(reason, DropReason::Vacant);
}

#[test]
fn our_own_broadcast_that_comes_back_is_a_loop_though_nothing_is_learned() {
    let mut host = host();
    let broadcast = craft::ethernet(BROADCAST, VM1).arp_request("10.0.0.1", "10.0.0.99");
    assert_eq!(
        host.send(UNDERLAY, &tunnelled(&broadcast)).dropped(),
        DropReason::Loop
    );
    // By the VLAN segment of the network as well.
    let segment = host.at_port(PORT3, 100);
    if let Adjacency::Port(port) = host.tables.edit().adjacency_mut(segment) {
        port.segment = true;
    }
    assert_eq!(
        host.send(PORT3, &tagged(100, &broadcast)).dropped(),
        DropReason::Loop
    );
    assert!(host.events().is_empty());
}
