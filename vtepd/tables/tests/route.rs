//! The routes of a VRF against a map of prefixes that is asked for every length.
#![cfg(not(loom))]

mod route_samples;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use proptest::prelude::*;
use route_samples::{Random, target, v4, v6};
use vtepd_tables::AdjacencyIndex;
use vtepd_tables::route::{NextHop, NextHops, NextHopsError, RouteWriter, Target, Vrf};

/// Routes by prefix.
#[derive(Clone, Default)]
struct Model(HashMap<IpNet, Target>);

impl Model {
    fn longest(&self, address: IpAddr) -> Option<(IpNet, &Target)> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (0..=bits).rev().find_map(|len| {
            let net = IpNet::new(address, len).unwrap().trunc();
            Some((net, self.0.get(&net)?))
        })
    }

    fn sorted(&self) -> Vec<IpNet> {
        let mut nets: Vec<IpNet> = self.0.keys().copied().collect();
        nets.sort_by_key(|net| (net.addr(), net.prefix_len()));
        nets
    }
}

/// First and last address of a prefix and those beside them.
fn edges(prefix: IpNet) -> Vec<IpAddr> {
    match prefix {
        IpNet::V4(net) => {
            let [first, last] = [net.network(), net.broadcast()].map(Ipv4Addr::to_bits);
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
                .map(|bits| Ipv4Addr::from_bits(bits).into())
                .to_vec()
        }
        IpNet::V6(net) => {
            let [first, last] = [net.network(), net.broadcast()].map(Ipv6Addr::to_bits);
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
                .map(|bits| Ipv6Addr::from_bits(bits).into())
                .to_vec()
        }
    }
}

/// The first and last addresses of both families.
fn ends() -> [IpAddr; 4] {
    [
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv4Addr::BROADCAST.into(),
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv6Addr::from_bits(u128::MAX).into(),
    ]
}

fn assert_alike(vrf: &Vrf, model: &Model, addresses: impl IntoIterator<Item = IpAddr>) {
    for address in addresses {
        let expected = model.longest(address).map(|(_, target)| target);
        assert_eq!(vrf.find(address), expected, "{address}");
    }
}

/// Few addresses, so that prefixes lie within and beside each other.
fn prefixes_v4() -> impl Strategy<Value = IpNet> {
    let address = prop_oneof![
        Just(0),
        Just(u32::MAX),
        any::<u32>(),
        any::<u32>().prop_map(|bits| 0x0a01_0000 | bits & 0x3ff),
    ];
    (address, 0..=32u8).prop_map(|(address, len)| v4(address, len))
}

fn prefixes_v6() -> impl Strategy<Value = IpNet> {
    let address = prop_oneof![
        Just(0),
        Just(u128::MAX),
        any::<u128>(),
        any::<u128>().prop_map(|bits| 0x2001_0db8 << 96 | bits & 0x3ff),
        any::<u128>().prop_map(|bits| 0x2001_0db8 << 96 | bits & 0x3ff << 64),
    ];
    (address, 0..=128u8).prop_map(|(address, len)| v6(address, len))
}

#[derive(Clone, Debug)]
enum Change {
    Insert(IpNet, u16),
    /// The one at this place of those that there are.
    Remove(prop::sample::Index),
    Publish,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let prefix = prop_oneof![prefixes_v4(), prefixes_v6()];
    let change = prop_oneof![
        4 => (prefix, 0..6u16).prop_map(|(prefix, target)| Change::Insert(prefix, target)),
        2 => any::<prop::sample::Index>().prop_map(Change::Remove),
        1 => Just(Change::Publish),
    ];
    prop::collection::vec(change, 1..120)
}

/// Applies changes to both; every value that was published goes on to answer as it did.
fn apply(writer: &mut RouteWriter, model: &mut Model, changes: Vec<Change>) {
    let mut old: Vec<(Arc<Vrf>, Model)> = Vec::new();
    let mut touched: Vec<IpAddr> = ends().to_vec();
    for change in changes {
        match change {
            Change::Insert(prefix, number) => {
                let previous = model.0.insert(prefix, target(number));
                assert_eq!(writer.insert(prefix, target(number)), Ok(previous));
                touched.extend(edges(prefix));
            }
            Change::Remove(place) if !model.0.is_empty() => {
                let prefix = model.sorted()[place.index(model.0.len())];
                let previous = model.0.remove(&prefix);
                assert_eq!(writer.remove(prefix), previous);
                assert_eq!(writer.remove(prefix), None);
                touched.extend(edges(prefix));
            }
            Change::Remove(_) => {}
            Change::Publish => {
                let vrf = writer.vrf();
                assert_alike(&vrf, model, touched.iter().copied());
                old.push((vrf, model.clone()));
            }
        }
    }
    old.push((writer.vrf(), model.clone()));
    for (vrf, model) in &old {
        assert_alike(vrf, model, touched.iter().copied());
    }
    for address in touched {
        assert_eq!(writer.longest(address), model.longest(address), "{address}");
    }
    let expected = model.sorted();
    assert!(
        writer
            .iter()
            .map(|(net, _)| net)
            .eq(expected.iter().copied())
    );
    assert!(writer.iter().all(|(net, to)| model.0.get(&net) == Some(to)));
    assert_eq!(writer.len(), expected.len());
}

proptest! {
    #[test]
    fn a_few_routes_are_found_as_in_a_map(changes in changes()) {
        apply(&mut RouteWriter::new(1000), &mut Model::default(), changes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    /// Enough for the indexed forms, crowded in the corner that the changes touch.
    #[test]
    fn many_routes_are_found_as_in_a_map(seed: u64, changes in changes()) {
        let mut random = Random(seed);
        let (mut writer, mut model) = (RouteWriter::new(30_000), Model::default());
        for number in 0..20_000 {
            let bits = random.next_u128();
            let len = random.below(12) as u8;
            let prefix = match number % 4 {
                0 => v4(0x0a01_0000 | bits as u32 & 0xffff, 32 - len % 5),
                1 => v4(bits as u32, 24 - len),
                2 => v6(0x2001_0db8 << 96 | bits & 0x3ff << 64, 70 - len),
                _ => v6(bits, 64 - len),
            };
            let to = target(random.below(6) as u16);
            assert_eq!(writer.insert(prefix, to.clone()), Ok(model.0.insert(prefix, to)));
        }
        let sample = model.0.keys().step_by(20).flat_map(|net| edges(*net));
        assert_alike(&writer.vrf(), &model, sample);
        apply(&mut writer, &mut model, changes);
    }
}

/// Up to thousands of host routes in one /16 and one /64, and down to nothing again.
#[test]
fn routes_grow_and_shrink_through_all_forms() {
    let (mut writer, mut model) = (RouteWriter::new(20_000), Model::default());
    let mut random = Random(7);
    let mut prefixes: Vec<IpNet> = (0..5000)
        .flat_map(|_| {
            let bits = random.next_u64();
            let near = 0x2001_0db8 << 96 | u128::from(bits & 0xffff);
            [v4(0x0a01_0000 | bits as u32 & 0xffff, 32), v6(near, 128)]
        })
        .collect();
    prefixes.sort();
    prefixes.dedup();
    let mut old = Vec::new();
    for round in 0..2 {
        for (count, &prefix) in prefixes.iter().enumerate() {
            if round == 0 {
                let to = target(2 + count as u16 % 50);
                writer.insert(prefix, to.clone()).unwrap();
                model.0.insert(prefix, to);
            } else {
                assert_eq!(writer.remove(prefix), model.0.remove(&prefix));
            }
            if count % 7 > 0 {
                continue;
            }
            let vrf = writer.vrf();
            assert_alike(&vrf, &model, edges(prefix));
            if count % 1001 == 0 {
                let sample: Vec<IpAddr> = prefixes.iter().step_by(17).map(IpNet::addr).collect();
                assert_alike(&vrf, &model, sample.iter().copied());
                old.push((vrf, model.clone(), sample));
            }
        }
    }
    for (vrf, model, sample) in old {
        assert_alike(&vrf, &model, sample);
    }
    assert!(writer.is_empty());
    assert_eq!(writer.vrf().find(prefixes[0].addr()), None);
    assert_eq!(writer.usage().high_water, prefixes.len());
}

/// Ranges that touch, so that every list of them ends at an address that is asked for.
#[test]
fn more_changes_than_are_remembered_are_all_published() {
    const COUNT: u32 = 20_000;
    let mut writer = RouteWriter::new(100_000);
    for round in 0..2 {
        let to = |number: u32| target((number % 3 + round) as u16);
        for number in 0..COUNT {
            writer.insert(v4(number << 12, 20), to(number)).unwrap();
            let net = v6(u128::from(number) << 96, 32);
            writer.insert(net, to(number)).unwrap();
        }
        let vrf = writer.vrf();
        for number in 0..COUNT {
            for net in [v4(number << 12, 20), v6(u128::from(number) << 96, 32)] {
                let [first, last] = [net.network(), net.broadcast()];
                assert_eq!(vrf.find(first), Some(&to(number)), "{first}");
                assert_eq!(vrf.find(last), Some(&to(number)), "{last}");
            }
        }
        assert_eq!(vrf.find_v4(Ipv4Addr::from_bits(COUNT << 12)), None);
        assert_eq!(
            vrf.find_v6(Ipv6Addr::from_bits(u128::from(COUNT) << 96)),
            None
        );
    }
}

#[test]
fn a_default_route_holds_where_nothing_else_does() {
    let mut writer = RouteWriter::new(8);
    let [default, inner] = ["0.0.0.0/0", "10.0.0.0/8"].map(|net| net.parse::<IpNet>().unwrap());
    writer.insert(default, target(2)).unwrap();
    writer.insert(inner, target(0)).unwrap();
    let vrf = writer.vrf();
    for [first, last] in ends().as_chunks().0 {
        let expected = first.is_ipv4().then_some(target(2));
        assert_eq!(vrf.find(*first), expected.as_ref());
        assert_eq!(vrf.find(*last), expected.as_ref());
    }
    // Unreachable is an answer of its own; the default does not show through.
    assert_eq!(vrf.find("10.1.2.3".parse().unwrap()), Some(&target(0)));
    assert_eq!(writer.remove(default), Some(target(2)));
    assert_eq!(writer.vrf().find("11.0.0.1".parse().unwrap()), None);
    assert_eq!(vrf.find("11.0.0.1".parse().unwrap()), Some(&target(2)));
}

#[test]
fn nothing_changes_when_the_table_is_full() {
    let mut writer = RouteWriter::new(2);
    writer.insert(v4(0, 8), target(2)).unwrap();
    writer.insert(v6(0, 8), target(2)).unwrap();
    let full = writer.insert(v4(0, 9), target(3)).unwrap_err();
    assert_eq!((full.table, full.capacity), ("route", 2));
    assert_eq!(writer.reserve(1), Err(full));
    assert_eq!(writer.reserve(0), Ok(()));
    assert_eq!(
        writer.vrf().find_v4(Ipv4Addr::UNSPECIFIED),
        Some(&target(2))
    );
    // What is there may still be replaced.
    assert_eq!(writer.insert(v4(0, 8), target(3)), Ok(Some(target(2))));
    let usage = writer.usage();
    assert_eq!(
        (
            usage.capacity,
            usage.used,
            usage.high_water,
            usage.failed_inserts
        ),
        (2, 2, 2, 2)
    );
}

#[test]
fn numbers_of_targets_are_used_again_and_run_out_in_words() {
    let mut writer = RouteWriter::new(100_000);
    let capacity = u16::MAX;
    for number in 0..capacity {
        writer
            .insert(v4(u32::from(number) << 8, 24), target(number))
            .unwrap();
    }
    let other = target(capacity);
    let full = writer.insert(v4(u32::MAX, 24), other.clone()).unwrap_err();
    assert_eq!((full.table, full.capacity), ("route target", 65_535));
    assert_eq!(writer.get(v4(u32::MAX, 24)), None);
    let before = writer.vrf();
    assert_eq!(writer.remove(v4(77 << 8, 24)), Some(target(77)));
    assert_eq!(writer.insert(v4(u32::MAX, 24), other.clone()), Ok(None));
    let after = writer.vrf();
    let [freed, taken] = [77 << 8, u32::MAX].map(Ipv4Addr::from_bits);
    assert_eq!(
        (before.find_v4(freed), before.find_v4(taken)),
        (Some(&target(77)), None)
    );
    assert_eq!(
        (after.find_v4(freed), after.find_v4(taken)),
        (None, Some(&other))
    );
}

#[test]
fn host_bits_of_a_prefix_do_not_matter() {
    let mut writer = RouteWriter::new(8);
    let [with, without] =
        ["192.0.2.77/24", "192.0.2.0/24"].map(|net| net.parse::<IpNet>().unwrap());
    writer.insert(with, target(2)).unwrap();
    assert_eq!(writer.get(without), Some(&target(2)));
    assert_eq!(writer.iter().next(), Some((without, &target(2))));
    assert_eq!(writer.remove(with), Some(target(2)));
}

#[test]
fn routes_are_listed_from_any_place_on() {
    let mut writer = RouteWriter::new(8);
    let nets = [
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.0.0.0/9",
        "::/0",
        "2001:db8::/32",
    ];
    let nets = nets.map(|net| net.parse::<IpNet>().unwrap());
    for net in nets {
        writer.insert(net, target(2)).unwrap();
    }
    let from = |net: &str| {
        let net = net.parse().unwrap();
        writer
            .iter_from(net)
            .map(|(net, _)| net)
            .collect::<Vec<_>>()
    };
    assert_eq!(from("0.0.0.0/0"), nets);
    assert_eq!(from("10.0.0.0/9"), nets[2..]);
    assert_eq!(from("0.0.0.0/1"), nets[1..]);
    assert_eq!(from("11.0.0.0/8"), nets[3..]);
    assert_eq!(from("::/0"), nets[3..]);
    assert_eq!(from("::/1"), nets[4..]);
    assert_eq!(from("ff00::/8"), []);
}

fn hop(gateway: u16, address: Option<IpAddr>) -> NextHop {
    let gateway = AdjacencyIndex::new(gateway).unwrap();
    NextHop { gateway, address }
}

#[test]
fn next_hops_are_a_set_of_one_to_sixteen() {
    let hops: Vec<NextHop> = (1..=17).map(|gateway| hop(gateway, None)).collect();
    assert_eq!(NextHops::new([]), Err(NextHopsError::None));
    assert_eq!(NextHops::new(hops.clone()), Err(NextHopsError::TooMany(17)));
    let all = NextHops::new(hops[..16].iter().rev().copied()).unwrap();
    assert_eq!(all.as_slice(), &hops[..16]);
    let twice = NextHops::new([hops[0], hops[0]]).unwrap();
    assert_eq!(twice, NextHops::from(hops[0]));
}

#[test]
fn flows_are_shared_evenly_and_stay_where_they_are() {
    let mut random = Random(3);
    for count in 1..=16u16 {
        let set = NextHops::new((1..=count).map(|gateway| hop(gateway, None))).unwrap();
        let same = NextHops::new((1..=count).rev().map(|gateway| hop(gateway, None))).unwrap();
        let mut shares = vec![0u32; usize::from(count)];
        let flows = 10_000 * u32::from(count);
        for _ in 0..flows {
            let hash = random.next_u64() as u32;
            let chosen = set.choose(hash);
            assert_eq!(chosen, same.choose(hash));
            shares[usize::from(chosen.gateway.get()) - 1] += 1;
        }
        // Six standard deviations.
        assert!(
            shares.iter().all(|share| share.abs_diff(10_000) < 600),
            "{shares:?}"
        );
        assert_eq!(set.choose(0), &set.as_slice()[0]);
        assert_eq!(Some(set.choose(u32::MAX)), set.as_slice().last());
    }
    assert_eq!(Target::Unreachable.choose(1), None);
}
