//! What workers see of the writer's changes, and when: published snapshots whole,
//! entries at once, and after `synchronize` everybody everything.
#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vtepd_tables::{
    Access, Adjacency, AdjacencyIndex, Bound, FdbEntry, FdbKey, InterfaceIndex, Limits,
    NetworkIndex, Origin, Port, Tables, TablesWriter, Tag, TagKey,
};
use vtepd_wire::{Mac, VlanId, Vni, ethernet};

fn tables() -> TablesWriter {
    Tables::new(Limits {
        fdb: 100_000,
        neighbours: 100,
    })
}

fn network(index: u16) -> NetworkIndex {
    NetworkIndex::new(index).unwrap()
}

fn adjacency(index: u16) -> AdjacencyIndex {
    AdjacencyIndex::new(index).unwrap()
}

fn mac(number: u64) -> Mac {
    Mac::from_u64(0x0200_0000_0000 | number)
}

#[test]
fn edits_are_seen_when_published_and_not_before() {
    let mut writer = tables();
    let mut reader = writer.tables().reader().unwrap();
    writer.edit().network_mut(network(5)).vni = Vni::new(7);
    assert_eq!(
        writer.staged().network(network(5)).unwrap().vni,
        Vni::new(7)
    );
    assert!(reader.view().snapshot.network(network(5)).is_none());
    let before = reader.view();
    writer.publish();
    assert!(
        before.snapshot.network(network(5)).is_none(),
        "a burst sees one snapshot"
    );
    assert_eq!(
        reader.view().snapshot.network(network(5)).unwrap().vni,
        Vni::new(7)
    );
    let first: *const _ = reader.view().snapshot;
    writer.publish();
    assert_eq!(
        first,
        reader.view().snapshot as *const _,
        "nothing was edited"
    );
    reader.quiescent();
}

#[test]
fn what_was_never_set_is_vacant() {
    let mut writer = tables();
    let reader = writer.tables().reader().unwrap();
    writer.edit().interface_mut(InterfaceIndex(3)).mtu = 1500;
    *writer.edit().adjacency_mut(adjacency(9)) = Adjacency::Port(Port {
        interface: InterfaceIndex(3),
        network: network(1),
        tag: None,
        segment: false,
    });
    writer.publish();
    let snapshot = reader.view().snapshot;
    assert_eq!(snapshot.interface(InterfaceIndex(2)).unwrap().mtu, 0);
    assert!(snapshot.interface(InterfaceIndex(4)).is_none());
    for vacant in [1, 8, 10, u16::MAX] {
        assert!(matches!(
            snapshot.adjacency(adjacency(vacant)),
            Adjacency::Vacant
        ));
    }
    assert!(snapshot.network(network(1)).is_none());
}

#[test]
fn bindings_are_by_tpid_and_vlan() {
    let mut writer = tables();
    let interface = writer.edit().interface_mut(InterfaceIndex(0));
    let customer = |vlan| TagKey::new(ethernet::ETHERTYPE_VLAN, vlan);
    let service = |vlan| TagKey::new(ethernet::ETHERTYPE_QINQ, vlan);
    assert_eq!(interface.bound(TagKey::UNTAGGED), Bound::Nothing);
    let to = |index| Bound::Network {
        network: network(index),
        adjacency: adjacency(index),
        access: Access::Guarded,
    };
    interface.bind(TagKey::UNTAGGED, Bound::Underlay);
    interface.bind(customer(1), to(1));
    interface.bind(service(1), to(2));
    interface.bind(customer(4095), to(3));
    let copy = interface.clone();
    interface.bind(customer(1), Bound::Nothing);
    assert_eq!(interface.bound(customer(1)), Bound::Nothing);
    assert_eq!(interface.bound(service(1)), to(2));
    assert_eq!(interface.bound(customer(4095)), to(3));
    assert_eq!(interface.bound(service(4095)), Bound::Nothing);
    assert_eq!(
        copy.bound(customer(1)),
        to(1),
        "a published copy stays as it is"
    );
    // Priority and drop eligibility are not part of it, and a priority tag is none.
    assert_eq!(copy.bound(customer(0xf001)), to(1));
    for priority in [customer(0xe000), service(0xe000)] {
        assert_eq!(copy.bound(priority), Bound::Underlay);
    }
    let tag = Tag::new(ethernet::ETHERTYPE_QINQ, VlanId::new(1).unwrap());
    assert_eq!(TagKey::from(Some(tag)), service(1));
}

#[test]
fn flood_lists_are_split_at_the_first_tunnel() {
    let mut writer = tables();
    let entry = writer.edit().network_mut(network(1));
    assert!(entry.flood_from_port().is_empty() && entry.flood_from_tunnel().is_empty());
    let [a, b, c] = [1, 2, 3].map(adjacency);
    entry.set_flood(&[a, b], &[c]);
    assert_eq!(
        (entry.flood_from_port(), entry.flood_from_tunnel()),
        (&[a, b, c][..], &[a, b][..])
    );
    entry.set_flood(&[], &[c]);
    assert_eq!(
        (entry.flood_from_port(), entry.flood_from_tunnel()),
        (&[c][..], &[][..])
    );
}

/// Read your writes: a burst that begins after `synchronize` forwards by all of it.
#[test]
fn after_synchronize_every_worker_works_with_all_that_was_done() {
    let mut writer = tables();
    let done = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let seen: Vec<AtomicU64> = (0..2).map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        for seen in &seen {
            let mut reader = writer.tables().reader().unwrap();
            let (done, stop) = (&done, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let at_least = done.load(Ordering::Acquire);
                    let view = reader.view();
                    let mtu = view
                        .snapshot
                        .interface(InterfaceIndex(0))
                        .map_or(0, |i| u64::from(i.mtu));
                    assert!(mtu >= at_least, "snapshot {mtu} after {at_least}");
                    if at_least > 0 {
                        let key = view.fdb.prefetch(FdbKey::new(network(1), mac(at_least)));
                        assert!(view.fdb.find(key).is_some(), "entry {at_least}");
                        assert_eq!(view.vnis.find(at_least as u32), Some(network(1)));
                    }
                    seen.store(mtu, Ordering::Relaxed);
                    reader.quiescent();
                }
            });
        }
        for round in 1..=200u64 {
            writer.edit().interface_mut(InterfaceIndex(0)).mtu = round as u16;
            writer.publish();
            let entry = FdbEntry {
                adjacency: adjacency(1),
                origin: Origin::Static,
            };
            writer
                .fdb
                .insert(FdbKey::new(network(1), mac(round)), entry, 0)
                .unwrap();
            writer.set_vni(Vni::new(round as u32).unwrap(), Some(network(1)));
            assert!(writer.synchronize());
            done.store(round, Ordering::Release);
        }
        assert!(writer.synchronize());
        stop.store(true, Ordering::Relaxed);
    });
    assert!(seen.iter().all(|seen| seen.load(Ordering::Relaxed) >= 199));
}

/// Snapshot first, then what refers to it; backwards, with a grace period between,
/// to remove: no burst finds an entry whose way out is missing.
#[test]
fn in_the_documented_order_no_reference_dangles() {
    let mut writer = tables();
    let stop = AtomicBool::new(false);
    let found = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut reader = writer.tables().reader().unwrap();
            let (stop, found) = (&stop, &found);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let view = reader.view();
                    for number in 1..=3 {
                        let key = FdbKey::new(network(1), mac(number));
                        if let Some(hit) = view.fdb.find(view.fdb.prefetch(key)) {
                            let way = view.snapshot.adjacency(hit.entry.adjacency);
                            let Adjacency::Port(port) = way else {
                                panic!("{number} leads to {way:?}");
                            };
                            // The port has the number of the MAC: never somebody else's.
                            assert_eq!(u64::from(port.interface.0), number);
                            found.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    reader.quiescent();
                }
            });
        }
        let mut round = 0;
        // Until readers have looked often enough at what comes and goes.
        while round < 90 || found.load(Ordering::Relaxed) < 1000 {
            round += 1;
            let number = round % 3 + 1;
            // One index is used again for each.
            let way = adjacency(1);
            *writer.edit().adjacency_mut(way) = Adjacency::Port(Port {
                interface: InterfaceIndex(number as u8),
                network: network(1),
                tag: None,
                segment: false,
            });
            writer.publish();
            // The burst in progress has the former owner of the index.
            assert!(writer.synchronize());
            let key = FdbKey::new(network(1), mac(number));
            let entry = FdbEntry {
                adjacency: way,
                origin: Origin::Static,
            };
            writer.fdb.insert(key, entry, 0).unwrap();
            assert!(writer.synchronize());
            writer.fdb.remove(key);
            assert!(writer.synchronize());
            *writer.edit().adjacency_mut(way) = Adjacency::Vacant;
            writer.publish();
            assert!(writer.synchronize());
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_worker_that_sleeps_or_leaves_holds_nobody_up() {
    let mut writer = tables();
    let mut sleeping = writer.tables().reader().unwrap();
    sleeping.offline();
    drop(writer.tables().reader().unwrap());
    writer.edit().interface_mut(InterfaceIndex(0)).mtu = 9000;
    writer.publish();
    assert!(writer.synchronize());
    sleeping.online();
    assert_eq!(
        sleeping
            .view()
            .snapshot
            .interface(InterfaceIndex(0))
            .unwrap()
            .mtu,
        9000
    );
}

#[test]
fn the_writer_may_go_before_its_workers() {
    let mut writer = tables();
    let reader = writer.tables().reader().unwrap();
    writer.edit().interface_mut(InterfaceIndex(0)).mtu = 1;
    writer.publish();
    let tables = Arc::clone(writer.tables());
    let view = reader.view();
    writer.edit().interface_mut(InterfaceIndex(0)).mtu = 2;
    writer.publish();
    drop((writer, tables));
    assert_eq!(view.snapshot.interface(InterfaceIndex(0)).unwrap().mtu, 1);
}

#[test]
fn workers_are_limited() {
    let writer = tables();
    let readers: Vec<_> = std::iter::from_fn(|| writer.tables().reader()).collect();
    assert_eq!(readers.len(), vtepd_tables::rcu::MAX_READERS);
}
