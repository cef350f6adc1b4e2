//! The routes of a VRF at the sizes that are promised: a full Internet table in one, and
//! a hundred routes in each of ten thousand. Memory is counted as it is allocated.
#![cfg(not(loom))]

mod route_samples;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use route_samples::{Random, target, v4, v6};
use vtepd_tables::route::{RouteWriter, Target, Vrf};

const MIB: usize = 1 << 20;

thread_local! {
    static ALLOCATED: Cell<isize> = const { Cell::new(0) };
}

/// Counts what each thread has asked for and not given back.
struct Counting;

// SAFETY: everything is passed on to the system's allocator unchanged; the counter is a
// plain cell of the thread, which does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + layout.size() as isize);
        // SAFETY: the caller's promises are the ones asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        ALLOCATED.set(ALLOCATED.get() - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What something takes, in bytes.
fn allocated<T>(make: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATED.get();
    let made = make();
    let taken = ALLOCATED.get() - before;
    (
        made,
        usize::try_from(taken).expect("nothing was given back"),
    )
}

/// Picks a length by its share.
fn pick(random: &mut Random, shares: &[(u8, u64)]) -> u8 {
    let mut at = random.below(shares.iter().map(|(_, share)| share).sum());
    for (len, share) in shares {
        if at < *share {
            return *len;
        }
        at -= share;
    }
    unreachable!("below the sum")
}

/// Prefix lengths of the Internet's IPv4 table, in tenths of a percent (roughly as in
/// the CIDR report of 2025).
const LENGTHS_V4: [(u8, u64); 15] = [
    (10, 1),
    (11, 1),
    (12, 2),
    (13, 2),
    (14, 2),
    (15, 2),
    (16, 14),
    (17, 9),
    (18, 14),
    (19, 26),
    (20, 45),
    (21, 53),
    (22, 113),
    (23, 105),
    (24, 611),
];

/// The same for IPv6.
const LENGTHS_V6: [(u8, u64); 12] = [
    (28, 5),
    (29, 25),
    (32, 120),
    (33, 20),
    (34, 20),
    (36, 50),
    (40, 100),
    (42, 20),
    (44, 110),
    (46, 30),
    (47, 20),
    (48, 480),
];

/// A prefix of an Internet-like IPv4 table, unicast and spread evenly.
fn internet_v4(random: &mut Random) -> IpNet {
    let len = pick(random, &LENGTHS_V4);
    let host = 1 << 24 | random.below(223 << 24) as u32;
    v4(host, len)
}

/// A prefix of an Internet-like IPv6 table: some thirty corners of 2000::/3.
fn internet_v6(random: &mut Random) -> IpNet {
    let len = pick(random, &LENGTHS_V6);
    let corner = match random.below(30) {
        corner @ 0..8 => 0x2400 + corner,
        corner @ 8..16 => 0x2600 + corner - 8,
        corner @ 16..28 => 0x2a00 + corner - 16,
        28 => 0x2001,
        _ => 0x2804,
    };
    let rest = random.next_u128() >> 16;
    v6(u128::from(corner) << 112 | rest, len)
}

const FULL: usize = 1_000_000;

/// A full table, with the same routes in a form that shares nothing with it.
struct Full {
    writer: RouteWriter,
    plain: HashMap<IpNet, u16>,
    order: Vec<IpNet>,
}

impl Full {
    fn new(make: fn(&mut Random) -> IpNet) -> Self {
        let mut random = Random(1);
        let mut plain = HashMap::new();
        while plain.len() < FULL {
            plain.insert(make(&mut random), random.below(64) as u16);
        }
        let mut order: Vec<IpNet> = plain.keys().copied().collect();
        order.sort_unstable();
        // In no order, as they come from a peer.
        let (writer, bytes) = allocated(|| {
            let mut writer = RouteWriter::new(FULL);
            for step in 0..FULL {
                let net = order[step * 7919 % FULL];
                writer.insert(net, target(plain[&net])).unwrap();
            }
            writer
        });
        let told = writer.memory().writer;
        println!("writer: {bytes} bytes, {told} told");
        assert!(told.abs_diff(bytes) < bytes / 5);
        Self {
            writer,
            plain,
            order,
        }
    }

    /// By asking for every length, the longest first.
    fn expected(&self, address: IpAddr) -> Option<Target> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let net = |len| IpNet::new(address, len).unwrap().trunc();
        let found = (0..=bits).rev().find_map(|len| self.plain.get(&net(len)));
        found.map(|number| target(*number))
    }

    /// An address within a prefix, on one side of it, or anywhere.
    fn address(&self, random: &mut Random) -> IpAddr {
        let net = self.order[random.below(FULL as u64) as usize];
        let bits = random.next_u128();
        match (net, random.below(4)) {
            (IpNet::V4(_), 0) => Ipv4Addr::from_bits(bits as u32).into(),
            (IpNet::V6(_), 0) => Ipv6Addr::from_bits(bits).into(),
            (IpNet::V4(net), side) => {
                let [first, last] = [net.network(), net.broadcast()].map(Ipv4Addr::to_bits);
                let within = first | bits as u32 & net.hostmask().to_bits();
                let all = [within, first.wrapping_sub(1), last.wrapping_add(1)];
                Ipv4Addr::from_bits(all[side as usize - 1]).into()
            }
            (IpNet::V6(net), side) => {
                let [first, last] = [net.network(), net.broadcast()].map(Ipv6Addr::to_bits);
                let within = first | bits & net.hostmask().to_bits();
                let all = [within, first.wrapping_sub(1), last.wrapping_add(1)];
                Ipv6Addr::from_bits(all[side as usize - 1]).into()
            }
        }
    }

    /// Compares answers for random addresses.
    fn check(&self, vrf: &Vrf, count: usize, random: &mut Random) {
        for _ in 0..count {
            let address = self.address(random);
            if let IpAddr::V4(address) = address {
                vrf.prefetch_v4(address);
            }
            assert_eq!(
                vrf.find(address),
                self.expected(address).as_ref(),
                "{address}"
            );
        }
    }

    /// Changes one route after another: readers keep what they have, and the new value
    /// shares nearly everything with it.
    fn change(&mut self, count: usize, random: &mut Random) {
        for step in 0..count {
            let net = self.order[random.below(FULL as u64) as usize];
            let Some(&number) = self.plain.get(&net) else {
                continue;
            };
            let before = self.writer.vrf();
            let seen = before.find(net.addr()).cloned();
            let (after, bytes) = allocated(|| {
                let previous = if step % 2 == 0 {
                    self.writer.remove(net)
                } else {
                    self.writer.insert(net, target(number ^ 1)).unwrap()
                };
                assert_eq!(previous, Some(target(number)));
                self.writer.vrf()
            });
            if step % 2 == 0 {
                self.plain.remove(&net);
            } else {
                self.plain.insert(net, number ^ 1);
            }
            // The index on the way, and the lists of ranges: a /10 of IPv4 has 64 of them.
            assert!(bytes < 64 << 10, "{net}: {bytes} bytes");
            assert_eq!(before.find(net.addr()), seen.as_ref(), "{net}");
            assert_eq!(
                after.find(net.addr()),
                self.expected(net.addr()).as_ref(),
                "{net}"
            );
        }
    }
}

fn full_table(make: fn(&mut Random) -> IpNet, checks: usize) {
    let mut full = Full::new(make);
    let (vrf, published) = allocated(|| full.writer.vrf());
    let memory = full.writer.memory();
    println!("{memory:?}, published {published}");
    // What is told is what is allocated.
    assert!(
        memory.lookup.abs_diff(published) < MIB,
        "{memory:?}, {published}"
    );
    assert!(memory.lookup <= 30 * MIB, "{memory:?}");
    assert!(memory.writer <= 60 * MIB, "{memory:?}");
    let random = &mut Random(2);
    full.check(&vrf, checks, random);
    full.change(200, random);
    let vrf = full.writer.vrf();
    full.check(&vrf, checks / 4, random);
    for net in &full.order {
        full.writer.remove(*net);
    }
    assert!(full.writer.is_empty());
    let left = full.writer.vrf();
    assert_eq!(left.find(Ipv4Addr::new(192, 0, 2, 1).into()), None);
    // Those who still have the old value are answered as before.
    drop(left);
    full.check(&vrf, checks / 4, random);
    drop(vrf);
    let memory = full.writer.memory();
    assert!(memory.lookup + memory.writer < 64 << 10, "{memory:?}");
}

#[test]
fn a_full_ipv4_table() {
    full_table(internet_v4, 100_000);
}

#[test]
fn a_full_ipv6_table() {
    full_table(internet_v6, 10_000);
}

/// Each VRF with a default route and 99 others that touch nowhere, so that every one makes
/// two ranges. What workers read, and all.
fn many_vrfs(make: fn(&mut Random, u16) -> IpNet, targets: u16) -> (usize, usize) {
    let mut random = Random(5);
    let (vrfs, bytes) = allocated(|| {
        let vrf = |_| {
            let mut writer = RouteWriter::new(1000);
            for number in 0..100 {
                let net = make(&mut random, number);
                writer.insert(net, target(2 + number % targets)).unwrap();
            }
            assert_eq!(writer.len(), 100);
            let vrf = writer.vrf();
            (writer, vrf)
        };
        (0..10_000)
            .map(vrf)
            .collect::<Vec<(RouteWriter, Arc<Vrf>)>>()
    });
    let told = vrfs.iter().map(|(writer, _)| writer.memory());
    let (lookup, writer) = told.fold((0, 0), |(lookup, writer), memory| {
        (lookup + memory.lookup, writer + memory.writer)
    });
    println!("{targets} targets: lookup {lookup}, writer {writer}, allocated {bytes}");
    assert!((lookup + writer).abs_diff(bytes) < bytes / 4);
    (lookup / MIB, bytes / MIB)
}

/// As routers have them, and at worst: every route with a target of its own.
#[test]
fn ten_thousand_vrfs_of_a_hundred_ipv4_routes() {
    let route = |random: &mut Random, number: u16| match number {
        0 => v4(0, 0),
        _ => v4(u32::from(number) << 24 | random.next_u64() as u32 >> 9, 24),
    };
    let (lookup, all) = many_vrfs(route, 8);
    assert!(lookup < 20 && all < 80, "{lookup} MiB, {all} MiB");
    let (lookup, all) = many_vrfs(route, 100);
    assert!(lookup < 45 && all < 128, "{lookup} MiB, {all} MiB");
}

#[test]
fn ten_thousand_vrfs_of_a_hundred_ipv6_routes() {
    let route = |random: &mut Random, number: u16| match number {
        0 => v6(0, 0),
        _ => {
            let rest = random.next_u128() >> 17;
            v6(u128::from(0x2000 + number) << 112 | rest, 64)
        }
    };
    let (lookup, all) = many_vrfs(route, 8);
    assert!(lookup < 30 && all < 100, "{lookup} MiB, {all} MiB");
    let (lookup, all) = many_vrfs(route, 100);
    assert!(lookup < 50 && all < 160, "{lookup} MiB, {all} MiB");
}
