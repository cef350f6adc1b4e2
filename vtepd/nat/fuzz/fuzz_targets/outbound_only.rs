//! Any IPv6 packets, both ways, and time: nothing breaks, nothing comes in that no session or datagram stands for, nothing
//! held is forgotten, the bounds hold.
#![no_main]

#[allow(dead_code, reason = "each target uses its part")]
mod world;

use libfuzzer_sys::fuzz_target;
use vtepd_nat::Verdict;
use world::world;

const INSIDE: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
const REMOTE: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

fuzz_target!(|data: &[u8]| {
    let mut world = world();
    let mut now = 1;
    let mut held = 0;
    let mut rest = data;
    while let [shape, first, length, tail @ ..] = rest {
        let (payload, next) = tail.split_at(tail.len().min(usize::from(length % 96)));
        rest = next;
        now += u32::from(shape >> 5 == 7) * 10;
        let outbound = shape & 1 == 1;
        let (source, destination) = if outbound {
            (INSIDE, REMOTE)
        } else {
            (REMOTE, INSIDE)
        };
        let mut packet = vec![0x60, 0, 0, 0, 0, payload.len() as u8];
        // Extension headers, what has ports, errors, and anything.
        let known = [0, 43, 44, 51, 60, 6, 17, 58, 50];
        packet.push(*known.get(usize::from(*first % 16)).unwrap_or(first));
        packet.push(64);
        packet.extend(source);
        packet.extend(destination);
        packet.extend(payload);
        let before = world.nat.usage();
        let verdict = if outbound {
            world.nat.outbound_v6(&world.rules, &packet, now)
        } else {
            world.nat.inbound_v6(&world.rules, &packet, now)
        };
        let after = world.nat.usage();
        match verdict {
            Verdict::Hold(_) => held += 1,
            Verdict::Plain if !outbound => {
                assert!(before.outbound_only.used > 0 || before.datagrams > 0);
            }
            Verdict::Plain | Verdict::Refused(_) => {}
            other => panic!("{other:?}"),
        }
        if !outbound {
            assert!(after.outbound_only.used <= before.outbound_only.used);
        }
        assert!(after.outbound_only.used <= 16 && after.datagrams <= 16);
        while world.nat.tick(now, 100) {}
        while world.nat.next_release().is_some() {
            held -= 1;
        }
        assert_eq!(world.nat.usage().held, held);
    }
    world.nat.audit().unwrap();
    now += 8000;
    while world.nat.tick(now, 100) {}
    while world.nat.next_release().is_some() {
        held -= 1;
    }
    assert_eq!((held, world.nat.usage().outbound_only.used), (0, 0));
});
