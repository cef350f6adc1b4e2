//! `rte_hash` against a map of the standard library.

mod common;

use std::collections::HashMap;

use common::eal;
use dpdk_ffi::{BULK, Hash, HashError};
use proptest::prelude::*;

fn find(table: &Hash, key: u64) -> Option<u64> {
    let mut values = [0; BULK];
    (table.find_bulk(&[key], &mut values) == 1).then_some(values[0])
}

#[test]
fn a_burst_of_keys_is_found_by_position() {
    let mut table = Hash::create(eal(), "burst", 1000).expect("a table");
    for key in 0..500 {
        table.insert(key * 2, key).expect("room");
    }
    let keys: [u64; BULK] = std::array::from_fn(|at| at as u64 * 3);
    let mut values = [u64::MAX; BULK];
    let mask = table.find_bulk(&keys, &mut values);
    for (at, key) in keys.into_iter().enumerate() {
        assert_eq!(mask >> at & 1 == 1, key % 2 == 0, "key {key}");
        if key % 2 == 0 {
            assert_eq!(values[at], key / 2);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_a_taken_name_too() {
    let mut table = Hash::create(eal(), "small", 8).expect("a table");
    let refused = (0..1000).find_map(|key| table.insert(key, key).err());
    assert!(matches!(refused, Some(HashError::Full(_))), "{refused:?}");
    assert!(find(&table, 0) == Some(0));
    let again = Hash::create(eal(), "small", 8).err();
    assert!(matches!(again, Some(HashError::Create { .. })), "{again:?}");
    assert!(matches!(
        Hash::create(eal(), "a\0b", 8),
        Err(HashError::Name(_))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn it_is_a_map(steps in prop::collection::vec((0u64..100, any::<u64>(), any::<bool>()), 1..500)) {
        let mut table = Hash::create(eal(), "map", 1024).expect("a table");
        let mut model = HashMap::new();
        for (key, value, is_insert) in steps {
            if is_insert {
                table.insert(key, value).expect("room for 100 keys");
                model.insert(key, value);
            } else {
                prop_assert_eq!(table.remove(key), model.remove(&key).is_some());
            }
            prop_assert_eq!(find(&table, key), model.get(&key).copied());
        }
        for key in 0..100 {
            prop_assert_eq!(find(&table, key), model.get(&key).copied());
        }
    }
}
