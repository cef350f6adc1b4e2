//! ICMP errors that quote anything, from both sides: nothing breaks, no session is opened, ended or refreshed.
#![no_main]

mod world;

use libfuzzer_sys::fuzz_target;
use vtepd_wire::checksum::Sum;
use world::{FLOATING, FLOATING_VM, FORWARDED, OUTSIDE, SERVER, VM, ip, world};

fuzz_target!(|data: &[u8]| {
    let [shape, kind, rest @ ..] = data else {
        return;
    };
    let mut quoted = rest.to_vec();
    let (inside, outside) =
        [(VM, OUTSIDE), (FLOATING_VM, FLOATING), (VM, FORWARDED)][usize::from(*shape >> 2) % 3];
    let outbound = shape & 1 == 1;
    if shape & 2 == 2 && quoted.len() >= 20 {
        // A quoted header that sums up, of the right addresses: nearly no random one does.
        let (source, destination) = if outbound {
            (SERVER, inside)
        } else {
            (outside, SERVER)
        };
        quoted[12..16].copy_from_slice(&source);
        quoted[16..20].copy_from_slice(&destination);
        let length = usize::from(quoted[0] & 15) * 4;
        quoted[0] = 0x40 | quoted[0] & 15;
        if (20..=quoted.len()).contains(&length) {
            quoted[10..12].fill(0);
            let check = Sum::new().add_bytes(&quoted[..length]).finish();
            quoted[10..12].copy_from_slice(&check.to_be_bytes());
        }
    }
    let kind = [3, 4, 5, 11, 12][usize::from(*kind) % 5];
    let mut world = world();
    let before = world.nat.usage();
    let verdict = if outbound {
        let frame = ip(inside, SERVER).icmp(kind, 0, 0, &quoted);
        world.out(&mut frame[14..].to_vec(), 5)
    } else {
        let frame = ip(SERVER, outside).icmp(kind, 0, 0, &quoted);
        world.inn(&mut frame[14..].to_vec(), 5)
    };
    let _ = verdict;
    assert_eq!(world.nat.usage(), before);
    world.nat.audit().unwrap();
    // Their timeouts run from where they ran: 1 + 60, 1 + 240, 1 + 300.
    for (second, left) in [(60, 3), (61, 2), (240, 2), (241, 1), (300, 1), (301, 0)] {
        while world.nat.tick(second, 1000) {}
        assert_eq!(world.nat.usage().sessions.used, left, "at {second}");
    }
});
