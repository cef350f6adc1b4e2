//! Any packets, fragments mostly, both ways, and time: nothing breaks, nothing held is forgotten, the bounds hold.
#![no_main]

mod world;

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use vtepd_nat::{Direction, Fate, Verdict};
use vtepd_wire::checksum::Sum;
use world::{FLOATING, FLOATING_VM, FORWARDED, OUTSIDE, SERVER, VM, World, world};

fuzz_target!(|data: &[u8]| {
    let mut world = world();
    let mut held = HashMap::new();
    let mut now = 1;
    let mut rest = data;
    while let [shape, flags, offset, protocol, length, tail @ ..] = rest {
        let (payload, next) = tail.split_at(tail.len().min(usize::from(length % 48)));
        rest = next;
        now += u32::from(flags >> 6 == 3);
        let (inside, outside) =
            [(VM, OUTSIDE), (FLOATING_VM, FLOATING), (VM, FORWARDED)][usize::from(*shape >> 1) % 3];
        let outbound = shape & 1 == 1;
        let (source, destination) = if outbound {
            (inside, SERVER)
        } else {
            (SERVER, outside)
        };
        let mut packet = vec![0x45, 0, 0, (20 + payload.len()) as u8, 0, shape >> 3 & 3];
        packet.extend([
            flags & 0x20,
            offset % 8,
            64,
            [6, 17, 1, 47][usize::from(protocol % 4)],
            0,
            0,
        ]);
        packet.extend(source);
        packet.extend(destination);
        let check = Sum::new().add_bytes(&packet).finish();
        packet[10..12].copy_from_slice(&check.to_be_bytes());
        packet.extend(payload);
        let direction = if outbound {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        hand_in(&mut world, &mut held, packet, direction, now);
        while world.nat.tick(now, 100) {}
        settle(&mut world, &mut held, now);
        assert_eq!(world.nat.usage().held, held.len());
        assert!(held.len() <= 16 && world.nat.usage().datagrams <= 16);
    }
    world.nat.audit().unwrap();
    while world.nat.tick(now + 10, 100) {}
    settle(&mut world, &mut held, now + 10);
    assert!(held.is_empty());
    assert_eq!(world.nat.usage().datagrams, 0);
});

type Held = HashMap<u32, (Vec<u8>, Direction)>;

fn hand_in(world: &mut World, held: &mut Held, packet: Vec<u8>, direction: Direction, now: u32) {
    let mut sent = packet.clone();
    let verdict = match direction {
        Direction::Outbound => world.out(&mut sent, now),
        Direction::Inbound => world.inn(&mut sent, now),
    };
    if let Verdict::Hold(number) = verdict {
        assert!(
            held.insert(number, (packet, direction)).is_none(),
            "{number} twice"
        );
    }
}

fn settle(world: &mut World, held: &mut Held, now: u32) {
    while let Some(release) = world.nat.next_release() {
        let (packet, direction) = held.remove(&release.number).expect("is held");
        if let Fate::Resume(told) = release.fate {
            assert_eq!(told, direction);
            hand_in(world, held, packet, direction, now);
        }
    }
}
