//! NAT behaviour for UDP, requirement by requirement (RFC 4787).

mod common;

use common::*;
use vtepd_nat::{Capacity, Description, Filtering, Limits, Refusal, Settings, Verdict};
use vtepd_wire::craft;

#[test]
fn rfc4787_req1_the_mapping_is_the_same_for_all_destinations() {
    let mut world = World::snat();
    let port = world.udp((VM, 5000), (SERVER, 53));
    assert_eq!(world.udp((VM, 5000), (SERVER2, 53)), port);
    assert_eq!(world.udp((VM, 5000), (SERVER2, 54)), port);
    // Another port, or another host, has another.
    assert_ne!(world.udp((VM, 5001), (SERVER, 53)), port);
    assert_ne!(world.udp((VM2, 5000), (SERVER, 53)), port);
}

#[test]
fn rfc4787_req1_only_beyond_the_pool_a_port_serves_another_destination() {
    let mut world = worlds_low_ports_used_up();
    // All low ports lead to one server; a second one can still be reached through them.
    let port = world.udp((VM2, 7), (SERVER2, 53));
    assert!(port < 1024);
    assert!(world.rows().iter().any(|row| row.borrowed));
    let back = world.inn(&udp((SERVER2, 53), (OUTSIDE, port)));
    assert_eq!((destination(&back), ports(&back).1), (address(VM2), 7));
    // Who owns the port keeps it.
    let owner = world.inn(&udp((SERVER, 53), (OUTSIDE, port)));
    assert_eq!(destination(&owner), address(VM));
    // The same destination again: nothing is left, and nothing leaves.
    assert_eq!(
        world.out_refused(&udp((VM2, 8), (SERVER, 53))),
        Refusal::PortsExhausted
    );
    world.nat.audit().unwrap();
}

/// Whose port is lent, and who wants it for the same destination himself, is not refused while others are free.
#[test]
fn who_has_lent_a_port_gets_another_for_its_destination() {
    let mut world = worlds_low_ports_used_up();
    let port = world.udp((VM2, 7), (SERVER2, 53));
    // All others have ended, and their ports have rested.
    for _ in 0..5 {
        world.wait(100);
        assert_eq!(world.udp((VM2, 7), (SERVER2, 53)), port);
        assert_eq!(world.udp((VM, port), (SERVER, 53)), port);
    }
    assert_eq!(world.sessions(), 2);
    let second = world.udp((VM, port), (SERVER2, 53));
    assert!(second != port && second < 1024, "{second}");
    let back = world.inn(&udp((SERVER2, 53), (OUTSIDE, second)));
    assert_eq!((destination(&back), ports(&back).1), (address(VM), port));
    let back = world.inn(&udp((SERVER2, 53), (OUTSIDE, port)));
    assert_eq!(destination(&back), address(VM2));
    world.nat.audit().unwrap();
    world.wait(500);
    assert_eq!((world.sessions(), world.nat.usage().mappings.used), (0, 0));
}

/// One host uses all 1023 ports below 1024 towards one server.
fn worlds_low_ports_used_up() -> World {
    let capacity = Capacity {
        sessions: 5000,
        ..small()
    };
    let description = Description {
        outside: vec![outside(OUTSIDE, 0)],
        ..Description::default()
    };
    let mut world = World::new(capacity, Settings::default(), &description);
    for port in 1..1024 {
        assert_eq!(world.udp((VM, port), (SERVER, 53)), port);
    }
    world
}

#[test]
fn rfc4787_req2_a_host_has_one_outside_address() {
    let addresses = ["10.100.0.5", "10.100.0.6", "10.100.0.8"];
    let description = Description {
        outside: addresses
            .iter()
            .enumerate()
            .map(|(pool, address)| outside(address, pool as u16))
            .collect(),
        ..Description::default()
    };
    let mut world = World::new(small(), Settings::default(), &description);
    let mut used = std::collections::HashSet::new();
    for host in 1..60 {
        let host = format!("192.168.1.{host}");
        let mut addresses = [(5000, 53), (5001, 53), (5000, 99)]
            .map(|(from, to)| source(&world.out(&udp((&host, from), (SERVER, to)))));
        addresses.sort_unstable();
        assert_eq!(addresses[0], addresses[2], "{host}");
        used.insert(addresses[0]);
    }
    assert_eq!(used.len(), 3, "all are used");
}

#[test]
fn rfc4787_req3_port_classes_and_ports_are_kept() {
    let mut world = World::snat();
    assert_eq!(world.udp((VM, 500), (SERVER, 53)), 500);
    assert_eq!(world.udp((VM, 50_000), (SERVER, 53)), 50_000);
    // Taken: another of its class.
    assert!((1..1024).contains(&world.udp((VM2, 500), (SERVER, 53))));
    assert!(world.udp((VM2, 50_000), (SERVER, 53)) >= 1024);
}

#[test]
fn rfc4787_req4_parity_is_kept() {
    let mut world = World::snat();
    for host in 1..100 {
        let host = format!("192.168.2.{host}");
        for wanted in [6000, 6001, 10, 11] {
            assert_eq!(world.udp((&host, wanted), (SERVER, 53)) % 2, wanted % 2);
        }
    }
}

#[test]
fn rfc4787_req5_a_mapping_lasts_300_seconds_to_the_second_and_can_be_set() {
    let mut world = World::snat();
    world.udp((VM, 5000), (SERVER, 53));
    world.wait(299);
    world.inn(&udp((SERVER, 53), (OUTSIDE, 5000)));
    // That was a refresh.
    world.wait(299);
    assert_eq!(world.sessions(), 1);
    world.wait(1);
    assert_eq!(world.sessions(), 0);
    assert_eq!(
        world.in_refused(&udp((SERVER, 53), (OUTSIDE, 5000))),
        Refusal::NoMapping
    );

    world.set(|settings| settings.timeouts.udp = 120);
    world.udp((VM, 5000), (SERVER, 53));
    world.wait(119);
    assert_eq!(world.sessions(), 1);
    world.wait(1);
    assert_eq!(world.sessions(), 0);
}

#[test]
fn rfc4787_req5_exact_even_when_ticks_lag() {
    let mut world = World::snat();
    world.udp((VM, 5000), (SERVER, 53));
    // No tick at all: the session is there, and is not used.
    world.now += 300;
    assert_eq!(world.sessions(), 1);
    assert_eq!(world.rows(), []);
    assert_eq!(
        world.in_refused(&udp((SERVER, 53), (OUTSIDE, 5000))),
        Refusal::NoMapping
    );
}

#[test]
fn rfc4787_req6_outbound_refreshes_and_inbound_may_not() {
    let mut world = World::snat();
    world.set(|settings| settings.inbound_refresh = false);
    world.udp((VM, 5000), (SERVER, 53));
    world.wait(200);
    world.udp((VM, 5000), (SERVER, 53));
    world.wait(200);
    world.inn(&udp((SERVER, 53), (OUTSIDE, 5000)));
    // Nor does one of another sender, which opens a session of its own.
    world.inn(&udp((SERVER2, 99), (OUTSIDE, 5000)));
    assert_eq!(world.sessions(), 2);
    world.wait(99);
    assert_eq!(world.sessions(), 2);
    world.wait(1);
    assert_eq!(world.sessions(), 0);
}

#[test]
fn rfc4787_req8_filtering_endpoint_independent() {
    let mut world = World::snat();
    world.udp((VM, 5000), (SERVER, 53));
    let back = world.inn(&udp((SERVER2, 99), (OUTSIDE, 5000)));
    assert_eq!(
        (destination(&back), ports(&back)),
        (address(VM), (99, 5000))
    );
}

#[test]
fn rfc4787_req8_filtering_address_dependent() {
    let description = Description {
        filtering: Filtering::AddressDependent,
        ..Description::default()
    };
    let mut world = World::with(Settings::default(), description);
    world.udp((VM, 5000), (SERVER, 53));
    world.udp((VM, 5000), (SERVER, 54));
    // Any port of an address it has talked to; no other address.
    world.inn(&udp((SERVER, 99), (OUTSIDE, 5000)));
    assert_eq!(
        world.in_refused(&udp((SERVER2, 99), (OUTSIDE, 5000))),
        Refusal::Filtered
    );
    assert_eq!(
        world.in_refused(&udp((SERVER2, 99), (OUTSIDE, 5001))),
        Refusal::NoMapping
    );
}

#[test]
fn rfc4787_req9_hairpin_with_the_external_source() {
    let mut world = World::snat();
    let port = world.udp((VM2, 7000), (SERVER, 53));
    let (verdict, sent) = world.out_verdict(&udp((VM, 5000), (OUTSIDE, port)));
    assert_eq!(verdict, HAIRPIN);
    let arrived = world.inn(&sent);
    assert_eq!(source(&arrived), address(OUTSIDE));
    assert_eq!(
        (destination(&arrived), ports(&arrived)),
        (address(VM2), (5000, 7000))
    );
    // And back.
    let (verdict, sent) = world.out_verdict(&udp((VM2, 7000), (OUTSIDE, 5000)));
    assert_eq!(verdict, HAIRPIN);
    let arrived = world.inn(&sent);
    assert_eq!(
        (source(&arrived), destination(&arrived)),
        (address(OUTSIDE), address(VM))
    );
    assert_eq!(ports(&arrived), (7000, 5000));
}

#[test]
fn rfc4787_req9_hairpin_between_floating_ips_and_snat() {
    let description = Description {
        floating_ips: vec![floating("10.100.0.7", VM), floating("10.100.0.8", VM2)],
        ..Description::default()
    };
    let mut world = World::with(Settings::default(), description);
    let (verdict, sent) = world.out_verdict(&udp((VM, 1), ("10.100.0.8", 2)));
    assert_eq!(verdict, HAIRPIN);
    let arrived = world.inn(&sent);
    assert_eq!(
        (source(&arrived), destination(&arrived)),
        (address("10.100.0.7"), address(VM2))
    );
    // A host without one to a host with one.
    let (verdict, sent) = world.out_verdict(&udp(("192.168.1.77", 3), ("10.100.0.8", 2)));
    assert_eq!(verdict, HAIRPIN);
    let arrived = world.inn(&sent);
    assert_eq!(
        (source(&arrived), destination(&arrived)),
        (address(OUTSIDE), address(VM2))
    );
}

/// An FTP command with an address: translated in its headers alone.
#[test]
fn rfc4787_req10_payloads_are_not_touched() {
    let mut world = World::snat();
    world.connect((VM, 5000), (SERVER, 21));
    let command = b"PORT 192,168,1,9,19,137\r\n";
    let sent = world.out(&ip(VM, SERVER).tcp(5000, 21, ACK, command));
    assert_eq!(&sent[54..], command);
}

#[test]
fn rfc4787_req11_the_same_under_load() {
    let mut world = worlds_low_ports_used_up();
    world.set(|settings| {
        settings.limits = Limits {
            sessions_per_second: u32::MAX,
            ..settings.limits
        }
    });
    let port = world.udp((VM, 9000), (SERVER, 53));
    for wanted in 10_000..12_000 {
        world.udp((VM2, wanted), (SERVER, 53));
    }
    assert_eq!(world.udp((VM, 9000), (SERVER2, 53)), port);
    assert_eq!(port, 9000);
}

#[test]
fn rfc4787_req12_icmp_ends_no_mapping() {
    let mut world = World::snat();
    let sent = world.out(&udp((VM, 5000), (SERVER, 53)));
    for kind in [3, 4, 5, 11, 12] {
        world.inn(&error(SERVER, OUTSIDE, kind, &sent, 28));
    }
    let back = world.inn(&udp((SERVER, 53), (OUTSIDE, 5000)));
    assert_eq!(destination(&back), address(VM));
}

fn datagram(source: (&str, u16), destination: (&str, u16)) -> Vec<Vec<u8>> {
    let payload: Vec<u8> = (0..4000u32).map(|n| n as u8).collect();
    let whole = ip(source.0, destination.0)
        .may_fragment()
        .udp(source.1, destination.1, &payload);
    craft::fragments(&whole, 1500, 0x77)
}

#[test]
fn rfc4787_req14_fragments_are_translated_in_order() {
    let mut world = World::snat();
    let parts: Vec<Vec<u8>> = datagram((VM, 5000), (SERVER, 53))
        .iter()
        .map(|part| world.out(part))
        .collect();
    assert_eq!(parts.len(), 3);
    assert!(parts.iter().all(|part| source(part) == address(OUTSIDE)));
    // One identification for all of them, another than inside (RFC 6864).
    let id = identification(&parts[0]);
    assert!(parts.iter().all(|part| identification(part) == id));
    for part in datagram((SERVER, 53), (OUTSIDE, 5000)) {
        let arrived = world.inn(&part);
        assert_eq!(destination(&arrived), address(VM));
        assert_eq!(identification(&arrived), 0x77);
    }
}

#[test]
fn rfc4787_req14_fragments_are_translated_out_of_order() {
    let mut world = World::snat();
    let parts = datagram((VM, 5000), (SERVER, 53));
    let mut held = Vec::new();
    for part in parts[1..].iter().rev() {
        match world.out_verdict(part).0 {
            Verdict::Hold(number) => held.push((number, part)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.fates(), []);
    let first = world.out(&parts[0]);
    let mut released = 0;
    for release in world.releases() {
        assert_eq!(
            release.fate,
            vtepd_nat::Fate::Resume(vtepd_nat::Direction::Outbound)
        );
        let (_, part) = held
            .iter()
            .find(|(number, _)| *number == release.number)
            .unwrap();
        let sent = world.out(part);
        assert_eq!(identification(&sent), identification(&first));
        released += 1;
    }
    assert_eq!(released, 2);
    assert_eq!(world.nat.usage().held, 0);
}

#[test]
fn rfc4787_req14_a_fragment_flood_takes_its_tenants_share_alone() {
    let mut world = World::snat();
    world.set(|settings| settings.limits.fragments = 10);
    let mut refused = 0;
    for id in 0..100 {
        let part = ip(VM, SERVER).fragment(id, 800, true).payload(17, &[0; 64]);
        match world.out_verdict(&part).0 {
            Verdict::Hold(_) => {}
            Verdict::Refused(Refusal::FragmentLimit) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused >= 90, "{refused}");
    assert!(world.nat.usage().datagrams <= 10);
    // Whole packets of the same host pass.
    world.udp((VM, 5000), (SERVER, 53));
    world.wait(5);
    assert_eq!((world.nat.usage().datagrams, world.fates().len()), (0, 5));
    assert_eq!(world.nat.usage().held, 0);
    world.out(&datagram((VM, 5000), (SERVER, 53))[0]);
}

/// They take a place until all of them have passed, and not for as long as fragments are waited for.
#[test]
fn many_fragmented_datagrams_in_a_second_pass_one_after_another() {
    let mut world = World::snat();
    world.udp((VM, 5000), (SERVER, 53));
    for id in 0..1000u32 {
        let whole = |source: (&str, u16), destination: (&str, u16)| {
            let whole = ip(source.0, destination.0).may_fragment();
            let whole = whole.udp(source.1, destination.1, &[7; 3200]);
            let mut parts = craft::fragments(&whole, 1500, id);
            // In each of the six orders.
            let (first, second) = (id as usize % 3, 1 + id as usize / 3 % 2);
            parts.swap(0, first);
            parts.swap(1, second);
            parts
        };
        let mut held = std::collections::HashMap::new();
        let mut passed = 0;
        for part in whole((VM, 5000), (SERVER, 53)) {
            match world.out_verdict(&part).0 {
                TRANSLATED => passed += 1,
                Verdict::Hold(number) => assert!(held.insert(number, part).is_none()),
                other => panic!("{id}: {other:?}"),
            }
            for release in world.releases() {
                world.out(&held.remove(&release.number).unwrap());
                passed += 1;
            }
        }
        for part in whole((SERVER, 53), (OUTSIDE, 5000)) {
            match world.in_verdict(&part).0 {
                TRANSLATED => passed += 1,
                Verdict::Hold(number) => assert!(held.insert(number, part).is_none()),
                other => panic!("{id}: {other:?}"),
            }
            for release in world.releases() {
                world.inn(&held.remove(&release.number).unwrap());
                passed += 1;
            }
        }
        assert_eq!((passed, held.len()), (6, 0));
        let usage = world.nat.usage();
        assert_eq!((usage.datagrams, usage.held), (0, 0));
    }
    let usage = world.nat.subscriber_usage(vtepd_nat::SubscriberIndex(0));
    assert_eq!(usage.fragments, 0);
}

/// The first one twice, as some links deliver: it counts once, and the rest still passes.
#[test]
fn a_first_fragment_that_comes_twice_counts_once() {
    let mut world = World::snat();
    let parts = datagram((VM, 5000), (SERVER, 53));
    for part in [0, 0, 0, 2, 1] {
        world.out(&parts[part]);
    }
    assert_eq!(world.nat.usage().datagrams, 0);
}

#[test]
fn rfc4787_req14_what_follows_a_refused_first_is_dropped() {
    let mut world = World::snat();
    let parts = datagram((SERVER, 53), (OUTSIDE, 5000));
    assert!(matches!(world.in_verdict(&parts[1]).0, Verdict::Hold(_)));
    assert_eq!(world.in_refused(&parts[0]), Refusal::NoMapping);
    assert_eq!(
        world.fates(),
        [vtepd_nat::Fate::Drop(Refusal::FragmentRefused)]
    );
    assert_eq!(world.in_refused(&parts[2]), Refusal::FragmentRefused);
}

/// Fragments that cut or overlap what is looked at (RFC 1858).
#[test]
fn tiny_fragments_are_refused() {
    let mut world = World::snat();
    let first = ip(VM, SERVER).fragment(1, 0, true).payload(6, &[0; 16]);
    assert_eq!(world.out_refused(&first), Refusal::FragmentTiny);
    let overlapping = ip(VM, SERVER).fragment(1, 8, false).payload(6, &[0; 32]);
    assert_eq!(world.out_refused(&overlapping), Refusal::FragmentTiny);
}
