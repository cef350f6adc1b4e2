//! The tables that are changed in place, by their types: what the writer enters,
//! a worker finds in its next burst.
#![cfg(not(loom))]

use std::net::IpAddr;

use vtepd_tables::{
    AdjacencyIndex, FdbEntry, FdbKey, Limits, Neighbour, NetworkIndex, Origin, Tables,
    TablesReader, TablesWriter,
};
use vtepd_wire::{Mac, Vni};

fn tables() -> (TablesWriter, TablesReader) {
    let writer = Tables::new(Limits {
        fdb: 4,
        neighbours: 4,
    });
    let reader = writer.tables().reader().unwrap();
    (writer, reader)
}

fn network(index: u16) -> NetworkIndex {
    NetworkIndex::new(index).unwrap()
}

fn adjacency(index: u16) -> AdjacencyIndex {
    AdjacencyIndex::new(index).unwrap()
}

fn mac(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, last])
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What a worker finds.
fn seen(reader: &TablesReader, key: FdbKey) -> Option<FdbEntry> {
    let fdb = reader.view().fdb;
    fdb.find(fdb.prefetch(key)).map(|hit| hit.entry)
}

#[test]
fn every_field_of_an_fdb_entry_survives_the_packing() {
    let (mut writer, reader) = tables();
    let extremes = [1, 255, 256, AdjacencyIndex::MAX];
    for origin in [Origin::Static, Origin::Learned] {
        for index in extremes {
            for (net, mac) in [
                (1, Mac([0, 0, 0, 0, 0, 1])),
                (NetworkIndex::MAX, Mac([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff])),
            ] {
                let key = FdbKey::new(network(net), mac);
                assert_eq!((key.network(), key.mac()), (Some(network(net)), mac));
                let entry = FdbEntry {
                    adjacency: adjacency(index),
                    origin,
                };
                writer.fdb.insert(key, entry, 9).unwrap();
                assert_eq!(writer.fdb.get(key), Some(entry));
                assert_eq!(seen(&reader, key), Some(entry));
            }
        }
    }
}

#[test]
fn an_fdb_entry_is_replaced_and_removed() {
    let (mut writer, reader) = tables();
    let key = FdbKey::new(network(1), mac(1));
    let [here, there] = [1, 2].map(|index| FdbEntry {
        adjacency: adjacency(index),
        origin: Origin::Learned,
    });
    assert_eq!(writer.fdb.insert(key, here, 1), Ok(None));
    assert_eq!(writer.fdb.insert(key, there, 2), Ok(Some(here)));
    assert_eq!(seen(&reader, key), Some(there));
    assert_eq!(seen(&reader, FdbKey::new(network(2), mac(1))), None);
    assert_eq!(seen(&reader, FdbKey::new(network(1), mac(2))), None);
    assert_eq!(writer.fdb.remove(key), Some(there));
    assert_eq!(writer.fdb.remove(key), None);
    assert_eq!(seen(&reader, key), None);
    assert_eq!(writer.fdb.usage().used, 0);
}

#[test]
fn a_worker_stamps_what_it_has_seen() {
    let (mut writer, reader) = tables();
    let key = FdbKey::new(network(1), mac(1));
    let entry = FdbEntry {
        adjacency: adjacency(1),
        origin: Origin::Learned,
    };
    writer.fdb.insert(key, entry, 7).unwrap();
    let fdb = reader.view().fdb;
    fdb.find(fdb.prefetch(key)).unwrap().touch(65_535);
    let row = writer.fdb.row(key).unwrap();
    assert_eq!((row.key, row.entry, row.seen), (key, entry, 65_535));
    let mut rows = Vec::new();
    writer
        .fdb
        .scan(0, writer.fdb.buckets(), |row| rows.push(row));
    assert_eq!(rows, [row]);
}

#[test]
fn a_full_fdb_says_so_and_keeps_what_it_has() {
    let (mut writer, reader) = tables();
    let entry = FdbEntry {
        adjacency: adjacency(1),
        origin: Origin::Static,
    };
    for last in 0..4 {
        writer
            .fdb
            .insert(FdbKey::new(network(1), mac(last)), entry, 0)
            .unwrap();
    }
    let full = writer
        .fdb
        .insert(FdbKey::new(network(1), mac(9)), entry, 0)
        .unwrap_err();
    assert_eq!((full.table, full.capacity), ("FDB", 4));
    assert!(seen(&reader, FdbKey::new(network(1), mac(0))).is_some());
    let usage = writer.fdb.usage();
    assert_eq!(
        (usage.used, usage.high_water, usage.failed_inserts),
        (4, 4, 1)
    );
}

#[test]
fn neighbours_of_both_families_by_network() {
    let (mut writer, reader) = tables();
    let neighbour = |last| Neighbour {
        mac: Mac([0xfe, 0xff, 0xff, 0xff, 0xff, last]),
        adjacency: adjacency(AdjacencyIndex::MAX - u16::from(last)),
    };
    // The whole of an address counts, and 0 is one.
    let addresses = [
        "0.0.0.0",
        "10.0.0.1",
        "255.255.255.255",
        "::",
        "fd00::1",
        "fd00:0:0:1::1",
    ];
    for (last, address) in addresses.into_iter().enumerate() {
        let previous = writer
            .neighbours
            .insert(network(1), ip(address), neighbour(last as u8), 0);
        assert_eq!(previous, Ok(None));
    }
    for (last, address) in addresses.into_iter().enumerate() {
        let expected = Some(neighbour(last as u8));
        assert_eq!(writer.neighbours.get(network(1), ip(address)), expected);
        assert_eq!(writer.neighbours.get(network(2), ip(address)), None);
        let table = reader.view().neighbours;
        let found = |net| match ip(address) {
            IpAddr::V4(address) => table.find_v4(network(net), address),
            IpAddr::V6(address) => table.find_v6(network(net), address),
        };
        assert_eq!((found(1), found(2)), (expected, None), "{address}");
    }
    let moved = writer
        .neighbours
        .insert(network(1), ip("fd00::1"), neighbour(99), 0);
    assert_eq!(moved, Ok(Some(neighbour(4))));
    assert_eq!(
        writer.neighbours.remove(network(1), ip("fd00::1")),
        Some(neighbour(99))
    );
    assert_eq!(writer.neighbours.remove(network(1), ip("fd00::1")), None);
    assert_eq!(writer.neighbours.usage().map(|usage| usage.used), [3, 2]);
}

#[test]
fn a_full_neighbour_table_is_named() {
    let (mut writer, _reader) = tables();
    let neighbour = Neighbour {
        mac: mac(1),
        adjacency: adjacency(1),
    };
    for (family, table) in [("10.0.0.", "IPv4 neighbour"), ("fd00::", "IPv6 neighbour")] {
        for last in 1..=4 {
            let address = ip(&format!("{family}{last}"));
            writer
                .neighbours
                .insert(network(1), address, neighbour, 0)
                .unwrap();
        }
        let address = ip(&format!("{family}5"));
        let full = writer
            .neighbours
            .insert(network(1), address, neighbour, 0)
            .unwrap_err();
        assert_eq!((full.table, full.capacity), (table, 4));
    }
}

#[test]
fn remote_vteps_of_both_families() {
    let (mut writer, reader) = tables();
    let addresses = ["0.0.0.0", "192.0.2.12", "::", "2001:db8::12"];
    for (index, address) in addresses.into_iter().enumerate() {
        writer
            .remote_vteps
            .insert(ip(address), adjacency(index as u16 + 1))
            .unwrap();
    }
    let found = |address: &str| {
        let table = reader.view().remote_vteps;
        match ip(address) {
            IpAddr::V4(address) => table.find_v4(address),
            IpAddr::V6(address) => table.find_v6(address),
        }
    };
    for (index, address) in addresses.into_iter().enumerate() {
        assert_eq!(
            found(address),
            Some(adjacency(index as u16 + 1)),
            "{address}"
        );
    }
    // An IPv4 address is not the IPv6 address that maps it.
    assert_eq!(found("::ffff:192.0.2.12"), None);
    writer
        .remote_vteps
        .insert(ip("192.0.2.12"), adjacency(9))
        .unwrap();
    assert_eq!(found("192.0.2.12"), Some(adjacency(9)));
    writer.remote_vteps.remove(ip("192.0.2.12"));
    writer.remote_vteps.remove(ip("2001:db8::12"));
    assert_eq!((found("192.0.2.12"), found("2001:db8::12")), (None, None));
    assert_eq!(writer.remote_vteps.usage().map(|usage| usage.used), [1, 1]);
}

#[test]
fn vnis_from_the_first_to_the_last() {
    let (mut writer, reader) = tables();
    for vni in [1, 2, 4096, 0xff_fffe, 0xff_ffff] {
        assert_eq!(reader.view().vnis.find(vni), None);
        writer.set_vni(Vni::new(vni).unwrap(), Some(network(NetworkIndex::MAX)));
        assert_eq!(
            reader.view().vnis.find(vni),
            Some(network(NetworkIndex::MAX))
        );
        assert_eq!(reader.view().vnis.find(vni ^ 0x100), None);
        writer.set_vni(Vni::new(vni).unwrap(), None);
        assert_eq!(reader.view().vnis.find(vni), None);
    }
    // 24 bits come off the wire; more would be a bug of the caller, not of the map.
    assert_eq!(reader.view().vnis.find(1 << 24), None);
    assert_eq!(reader.view().vnis.find(u32::MAX), None);
}

#[test]
fn indices_leave_room_for_what_marks_empty_slots() {
    assert_eq!(NetworkIndex::new(0), None);
    assert_eq!(NetworkIndex::new(u16::MAX), None);
    assert_eq!(AdjacencyIndex::new(0), None);
    assert_eq!(
        AdjacencyIndex::new(u16::MAX).map(AdjacencyIndex::get),
        Some(u16::MAX)
    );
    assert_eq!(size_of::<Option<AdjacencyIndex>>(), 2);
}
