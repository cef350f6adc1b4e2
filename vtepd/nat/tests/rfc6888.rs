//! NAT for many: limits, rest, exemption, floods (RFC 6888).

mod common;

use common::*;
use vtepd_nat::{
    Capacity, Description, Event, Limits, PoolIndex, Refusal, Settings, SubscriberIndex, Verdict,
};

#[test]
fn rfc6888_req4_a_limit_of_ports() {
    let mut world = World::snat();
    world.set(|settings| settings.limits.ports = 3);
    for port in 1..=3 {
        world.udp((VM, port), (SERVER, 53));
    }
    assert_eq!(
        world.out_refused(&udp((VM, 4), (SERVER, 53))),
        Refusal::SubscriberPorts
    );
    // More sessions of the ports it has are not more ports.
    world.udp((VM, 3), (SERVER2, 53));
    assert_eq!(
        world.events(),
        [Event::SubscriberLimit {
            subscriber: SubscriberIndex(0),
            refusal: Refusal::SubscriberPorts
        }]
    );
}

#[test]
fn rfc6888_req5_a_limit_of_sessions() {
    let mut world = World::snat();
    let limits = Limits {
        sessions: 2,
        ..Limits::default()
    };
    world.nat.set_limits(SubscriberIndex(0), Some(limits));
    world.udp((VM, 1), (SERVER, 53));
    world.udp((VM, 2), (SERVER, 53));
    assert_eq!(
        world.out_refused(&udp((VM, 3), (SERVER, 53))),
        Refusal::SubscriberSessions
    );
    // From outside too.
    assert_eq!(
        world.in_refused(&udp((SERVER2, 9), (OUTSIDE, 1))),
        Refusal::SubscriberSessions
    );
    assert_eq!(world.nat.subscriber_usage(SubscriberIndex(0)).sessions, 2);
    world.wait(300);
    assert_eq!(world.nat.subscriber_usage(SubscriberIndex(0)).sessions, 0);
    world.udp((VM, 3), (SERVER, 53));
}

#[test]
fn rfc6888_req5_a_limit_of_new_sessions_in_a_second() {
    let mut world = World::snat();
    world.set(|settings| settings.limits.sessions_per_second = 5);
    for second in 0..3u16 {
        for port in 1..=5 {
            world.udp((VM, second * 100 + port), (SERVER, 53));
        }
        assert_eq!(
            world.out_refused(&udp((VM, 999), (SERVER, 53))),
            Refusal::SubscriberRate
        );
        // Sessions that are open go on.
        world.udp((VM, second * 100 + 1), (SERVER, 53));
        world.wait(1);
    }
}

#[test]
fn one_tenant_does_not_use_up_anothers_share() {
    let description = Description {
        outside: vec![outside(OUTSIDE, 0)],
        ..Description::default()
    };
    let mut world = World::new(small(), Settings::default(), &description);
    let limits = Limits {
        sessions: 100,
        ..Limits::default()
    };
    world.nat.set_limits(SubscriberIndex(0), Some(limits));
    // Another router, of another tenant, with the same addresses inside.
    let other = vtepd_tables::VrfIndex::new(2).unwrap();
    let theirs = vtepd_nat::PoolOwner {
        router: other,
        subscriber: SubscriberIndex(1),
        address: address("10.100.0.99"),
    };
    world.nat.open_pool(PoolIndex(1), theirs).unwrap();
    let description = Description {
        outside: vec![outside("10.100.0.99", 1)],
        subscriber: SubscriberIndex(1),
        ..Description::default()
    };
    let their_rules = vtepd_nat::Rules::new(other, &description).unwrap();
    for port in 1..=1000 {
        let _ = world.out_verdict(&udp((VM, port), (SERVER, 53)));
    }
    assert_eq!(world.sessions(), 100);
    let mut packet = udp((VM, 5), (SERVER, 53));
    let verdict = world
        .nat
        .outbound(&their_rules, &world.externals, &mut packet[14..], world.now);
    assert_eq!(verdict, TRANSLATED);
    assert_eq!(
        (source(&packet), ports(&packet).0),
        (address("10.100.0.99"), 5)
    );
    world.nat.audit().unwrap();
}

#[test]
fn rfc6888_req6_destinations_exempt_from_translation() {
    let description = Description {
        exempt: vec!["198.51.100.0/24".parse().unwrap()],
        ..Description::default()
    };
    let mut world = World::with(Settings::default(), description);
    let out = udp((VM, 5000), (SERVER2, 53));
    assert_eq!(world.out_verdict(&out).0, Verdict::Plain);
    let back = udp((SERVER2, 53), (VM, 5000));
    assert_eq!(world.in_verdict(&back).0, Verdict::Plain);
    let about = error(VM, SERVER2, 3, &back, 28);
    assert_eq!(world.out_verdict(&about).0, Verdict::Plain);
    assert_eq!(world.sessions(), 0);
    world.udp((VM, 5000), (SERVER, 53));
}

#[test]
fn rfc6888_req8_a_freed_port_rests_for_others_and_not_for_its_host() {
    let mut world = World::snat();
    world.udp((VM, 5000), (SERVER, 53));
    world.wait(300);
    assert_eq!(world.sessions(), 0);
    assert_eq!(world.nat.usage().mappings.used, 1);
    world.wait(119);
    assert_ne!(world.udp((VM2, 5000), (SERVER, 53)), 5000);
    // Its own host gets it back at once.
    assert_eq!(world.udp((VM, 5000), (SERVER, 53)), 5000);
    world.wait(300 + 119);
    assert_ne!(world.udp(("192.168.1.11", 5000), (SERVER, 53)), 5000);
    world.wait(1);
    assert_eq!(world.udp(("192.168.1.12", 5000), (SERVER, 53)), 5000);
}

/// REQ-13 and REQ-15 pull at two ends: all ports are used before one is refused, and none can be foreseen.
#[test]
fn rfc6888_req13_every_port_of_a_pool_can_be_used() {
    let capacity = Capacity {
        sessions: 70_000,
        ..small()
    };
    let description = Description {
        outside: vec![outside(OUTSIDE, 0)],
        ..Description::default()
    };
    let mut world = World::new(capacity, Settings::default(), &description);
    world.set(|settings| {
        settings.limits.ports = u32::MAX;
        settings.limits.sessions_per_second = u32::MAX;
    });
    for n in 0..64_512u32 {
        // All want the same port.
        let host = format!("10.{}.{}.1", n >> 8 & 255, n & 255);
        world.udp((&host, 5000), (SERVER, 53));
    }
    let usage = world.nat.pool_usage(PoolIndex(0)).unwrap();
    assert_eq!(usage.free[2], 1023, "those below 1024 are left");
    assert_eq!(
        world.out_refused(&udp(("11.0.0.1", 5000), (SERVER, 53))),
        Refusal::PortsExhausted
    );
    assert!(matches!(world.events()[..], [Event::PoolExhausted { .. }]));
    world.nat.audit().unwrap();
}

#[test]
fn a_flood_of_ten_times_the_table_harms_no_session() {
    let description = Description {
        outside: vec![outside(OUTSIDE, 0)],
        ..Description::default()
    };
    let mut world = World::new(small(), Settings::default(), &description);
    let mut ports_of = Vec::new();
    for port in 5000..5050 {
        ports_of.push((port, world.connect((VM, port), (SERVER, 80))));
    }
    let (mut opened, mut refused) = (0, 0);
    for n in 0..10_000u32 {
        let host = format!("192.168.2.{}", n % 250 + 1);
        let port = (n / 250 + 20_000) as u16;
        match world.out_verdict(&udp((&host, port), (SERVER2, 53))).0 {
            Verdict::Translated { .. } => opened += 1,
            Verdict::Refused(Refusal::SessionsFull) => refused += 1,
            other => panic!("{other:?}"),
        }
        let (port, outside) = ports_of[n as usize % 50];
        world.out(&tcp((VM, port), (SERVER, 80), ACK));
        world.inn(&tcp((SERVER, 80), (OUTSIDE, outside), ACK));
    }
    assert_eq!((opened, refused), (950, 9050));
    assert_eq!(world.nat.usage().sessions_refused, 9050);
    assert_eq!(world.events(), [Event::SessionsFull]);
    world.wait(300);
    assert_eq!(world.sessions(), 50);
}
