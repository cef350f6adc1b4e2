//! How long the calls on the packet path take: `cargo bench -p vtepd-wire --features build`.
//!
//! Each figure is the best of 20 runs, so that what else the machine does counts little.

use std::hint::black_box;
use std::time::Instant;

use vtepd_wire::checksum::{Delta, Sum};
use vtepd_wire::craft;
use vtepd_wire::flow::FlowHasher;
use vtepd_wire::frame;
use vtepd_wire::hash::KeyedHash;
use vtepd_wire::{FromBytes, ipv4};

const RUNS: usize = 20;
const CALLS: u32 = 100_000;

fn main() {
    let bytes: Vec<u8> = (0..9000u32).map(|n| (n * 7) as u8).collect();
    for length in [20, 64, 1500, 9000] {
        let bytes = &bytes[..length];
        print(&format!("checksum, {length} bytes"), || {
            u64::from(Sum::new().add_bytes(black_box(bytes)).finish())
        });
        print(
            &format!("checksum, {length} bytes, 16 bits at a time"),
            || u64::from(plain(black_box(bytes))),
        );
    }
    let frame = craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4("192.0.2.1", "192.0.2.2")
        .udp(1, 2, b"data");
    let header = &frame[14..34];
    print("IPv4 header holds", || {
        u64::from(ipv4::checksum_ok(black_box(header)))
    });
    print("IPv4 header holds, by the sum for any length", || {
        u64::from(Sum::new().add_bytes(black_box(header)).is_valid())
    });
    let routed = *ipv4::Header::ref_from_prefix(header).expect("a header").0;
    print("TTL taken one off", || {
        let mut header = black_box(routed);
        header.decrement_ttl();
        u64::from(header.checksum.get())
    });
    print("delta of two addresses and a port, applied twice", || {
        let delta = Delta::new()
            .u32(black_box(0xc0a8_0109), black_box(0x0a64_0005))
            .u16(black_box(1234), black_box(40000));
        u64::from(delta.apply(black_box(0x1234))) ^ u64::from(delta.apply_udp(black_box(0x4321)))
    });

    let ethernet = || craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let v4 = ethernet().ipv4("192.0.2.1", "192.0.2.2").udp(1, 2, b"data");
    let v6 = ethernet()
        .ipv6("2001:db8::1", "2001:db8::2")
        .udp(1, 2, b"data");
    let tagged = ethernet()
        .vlan(7)
        .ipv4("192.0.2.1", "192.0.2.2")
        .udp(1, 2, b"data");
    let arp = ethernet().arp_request("192.0.2.1", "192.0.2.2");
    let hasher = FlowHasher::new(
        black_box(0x1234_5678_9abc_def0),
        black_box(0x0fed_cba9_8765_4321),
    );
    for (name, frame) in [
        ("IPv4 UDP", &v4),
        ("tagged", &tagged),
        ("IPv6 UDP", &v6),
        ("ARP", &arp),
    ] {
        print(&format!("flow hash, {name}"), || {
            u64::from(hasher.hash_frame(black_box(frame)))
        });
        print(&format!("offsets, {name}"), || {
            let frame = black_box(frame.as_slice());
            let link = frame::link(frame).expect("a frame");
            let network = frame::network(frame, frame.len(), &link).expect("sound");
            network.map_or(0, |network| network.l4) as u64
        });
    }
    let hash = KeyedHash::new(black_box(1), black_box(2));
    print("keyed hash of 64 bits", || hash.hash_u64(black_box(77)));
    print("keyed hash of 128 bits", || hash.hash_u128(black_box(77)));
}

/// RFC 1071, 4.1, for comparison.
fn plain(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

fn print(name: &str, call: impl Fn() -> u64) {
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(call());
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    println!("{best:8.2} ns  {name}");
}
