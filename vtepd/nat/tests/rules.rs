//! What rules say, and what becomes of sessions when they change.

mod common;

use common::*;
use vtepd_nat::{
    Description, Event, Forwarding, PoolError, PoolIndex, PoolState, Protocol, Refusal,
    SessionFilter, Settings, Verdict,
};
use vtepd_wire::checksum::Sum;
use vtepd_wire::craft;

fn web(inside: &str) -> Description {
    Description {
        forwardings: vec![Forwarding {
            protocol: Protocol::Tcp,
            outside: "10.100.0.9:80".parse().unwrap(),
            inside: inside.parse().unwrap(),
        }],
        ..Description::default()
    }
}

#[test]
fn port_forwardings_keep_no_state_and_go_both_ways() {
    let mut world = World::with(Settings::default(), web("192.168.1.9:8080"));
    let arrived = world.inn(&tcp((SERVER, 999), ("10.100.0.9", 80), SYN));
    assert_eq!(
        (destination(&arrived), ports(&arrived)),
        (address(VM), (999, 8080))
    );
    let answer = world.out(&tcp((VM, 8080), (SERVER, 999), SYN | ACK));
    assert_eq!(
        (source(&answer), ports(&answer)),
        (address("10.100.0.9"), (80, 999))
    );
    assert_eq!(world.sessions(), 0);
    // Other ports of the host leave by SNAT, other ports of the address lead nowhere.
    assert_eq!(
        source(&world.out(&udp((VM, 8080), (SERVER, 53)))),
        address(OUTSIDE)
    );
    let refused = world.in_refused(&tcp((SERVER, 999), ("10.100.0.9", 81), SYN));
    assert_eq!(refused, Refusal::NoMapping);
    // Errors about it.
    let about = world.inn(&error(SERVER2, "10.100.0.9", 3, &answer, 28));
    assert_eq!(
        (destination(&about), ports(&quote(&about))),
        (address(VM), (8080, 999))
    );
}

#[test]
fn fragments_of_forwardings() {
    let mut world = World::with(Settings::default(), web("192.168.1.9:8080"));
    let whole = ip(SERVER, "10.100.0.9")
        .may_fragment()
        .tcp(999, 80, ACK, &[7; 3000]);
    for part in craft::fragments(&whole, 1500, 5) {
        assert_eq!(destination(&world.inn(&part)), address(VM));
    }
}

#[test]
fn without_a_rule_nothing_leaves() {
    let mut world = World::new(small(), Settings::default(), &Description::default());
    assert_eq!(
        world.out_refused(&udp((VM, 1), (SERVER, 2))),
        Refusal::NoRule
    );
    assert_eq!(
        world.in_refused(&udp((SERVER, 2), (OUTSIDE, 1))),
        Refusal::NotOurs
    );
    let mut world = World::snat();
    let gre = ip(VM, SERVER).payload(47, &[0; 40]);
    assert_eq!(world.out_refused(&gre), Refusal::Protocol);
}

#[test]
fn floating_ips_carry_every_protocol_and_fragments() {
    let description = Description {
        floating_ips: vec![floating("10.100.0.7", VM)],
        ..Description::default()
    };
    let mut world = World::with(Settings::default(), description);
    let gre = ip(VM, SERVER).payload(47, &[9; 40]);
    let sent = world.out(&gre);
    assert_eq!(
        (source(&sent), &sent[34..]),
        (address("10.100.0.7"), &gre[34..])
    );
    let whole = ip(VM, SERVER).may_fragment().udp(5, 6, &[7; 3000]);
    for part in craft::fragments(&whole, 1500, 5).iter().rev() {
        let sent = world.out(part);
        assert_eq!(source(&sent), address("10.100.0.7"));
        assert_eq!(identification(&sent), 5);
    }
    // Without a UDP checksum there is none after.
    let sent = world.out(&ip(VM, SERVER).udp_unchecked(1, 2, b"data"));
    assert_eq!(sent[40..42], [0, 0]);
}

/// UDP-Lite has no packets without a checksum, so one that comes out as zero is sent as all ones (RFC 3828, 3.1).
#[test]
fn a_udp_lite_checksum_is_never_zero() {
    let description = Description {
        floating_ips: vec![floating("10.100.0.7", VM)],
        ..Description::default()
    };
    let mut world = World::with(Settings::default(), description);
    // Only the header is covered.
    let header = |port: u16, check: u16| [1, port, 8, check].map(u16::to_be_bytes).concat();
    let checksum = |source: &str, port: u16| {
        let [source, server] = [source, SERVER].map(|end| address(end).octets());
        let pseudo = Sum::pseudo_v4(source, server, 136, 10);
        pseudo.add_bytes(&header(port, 0)).finish()
    };
    let port = (0..=u16::MAX).find(|port| checksum("10.100.0.7", *port) == 0);
    let port = port.unwrap();
    let segment = [&header(port, checksum(VM, port))[..], b"xx"].concat();
    let sent = world.out(&ip(VM, SERVER).payload(136, &segment));
    assert_eq!(sent[40..42], [0xff, 0xff]);
}

#[test]
fn what_is_in_the_outsides_address_scope_is_routed_as_it_is() {
    let description = Description {
        same_scope: vec!["192.168.1.0/24".parse().unwrap()],
        ..Description::default()
    };
    let mut world = World::with(Settings::default(), description);
    assert_eq!(
        world.out_verdict(&udp((VM, 1), (SERVER, 2))).0,
        Verdict::Plain
    );
    assert_eq!(
        world.in_verdict(&udp((SERVER, 2), (VM, 1))).0,
        Verdict::Plain
    );
    let gre = ip(VM, SERVER).payload(47, &[0; 40]);
    assert_eq!(world.out_verdict(&gre).0, Verdict::Plain);
    assert_eq!(
        source(&world.out(&udp(("192.168.2.1", 1), (SERVER, 2)))),
        address(OUTSIDE)
    );
}

#[test]
fn closing_a_pool_ends_its_sessions_at_once_and_clears_them_away_later() {
    let mut world = World::snat();
    let port = world.connect((VM, 5000), (SERVER, 80));
    for n in 0..500 {
        world.udp((VM2, 10_000 + n), (SERVER, 53));
    }
    world.describe(&Description::default());
    world.nat.close_pool(PoolIndex(0));
    // Not one tick has passed.
    assert_eq!(world.rows(), []);
    assert_eq!(
        world.out_refused(&tcp((VM, 5000), (SERVER, 80), ACK)),
        Refusal::NoRule
    );
    assert_eq!(world.sessions(), 501);
    // Work is bounded.
    world.now += 1;
    assert!(world.nat.tick(world.now, 100));
    assert!(
        (380..=410).contains(&world.sessions()),
        "{}",
        world.sessions()
    );
    world.wait(1);
    assert_eq!((world.sessions(), world.nat.usage().mappings.used), (0, 0));
    assert_eq!(world.events(), [Event::PoolVacant { pool: PoolIndex(0) }]);
    let usage = world.nat.pool_usage(PoolIndex(0)).unwrap();
    assert_eq!(usage.state, PoolState::Vacant);
    let _ = port;
}

#[test]
fn an_address_that_changes_hands_shows_nobody_the_sessions_before() {
    let mut world = World::snat();
    world.connect((VM, 5000), (SERVER, 80));
    world.nat.close_pool(PoolIndex(0));
    // The same address again, as another pool.
    let owner = owner(address(OUTSIDE), router());
    assert_eq!(
        world.nat.open_pool(PoolIndex(0), owner),
        Err(PoolError::NotVacant(0))
    );
    assert_eq!(
        world.nat.open_pool(PoolIndex(99), owner),
        Err(PoolError::Unknown(99))
    );
    world.nat.open_pool(PoolIndex(1), owner).unwrap();
    world.describe(&Description {
        outside: vec![outside(OUTSIDE, 1)],
        ..Description::default()
    });
    assert_eq!(
        world.in_refused(&tcp((SERVER, 80), (OUTSIDE, 5000), ACK)),
        Refusal::NoSession
    );
    assert_eq!(
        world.out_refused(&tcp((VM, 5000), (SERVER, 80), ACK)),
        Refusal::NoSession
    );
    assert_eq!(world.connect((VM, 5000), (SERVER, 80)), 5000);
    world.wait(2);
    assert_eq!(world.sessions(), 1);
    world.nat.open_pool(PoolIndex(0), owner).unwrap();
}

#[test]
fn sessions_of_other_rules_are_not_touched_by_a_change() {
    let description = Description {
        outside: vec![outside(OUTSIDE, 0), outside("10.100.0.6", 1)],
        ..Description::default()
    };
    let mut world = World::new(small(), Settings::default(), &description);
    let hosts: Vec<String> = (1..40).map(|host| format!("192.168.1.{host}")).collect();
    let kept: Vec<&String> = hosts
        .iter()
        .filter(|host| source(&world.out(&udp((host, 5000), (SERVER, 53)))) == address(OUTSIDE))
        .collect();
    assert!((5..35).contains(&kept.len()));
    world.describe(&Description {
        outside: vec![outside(OUTSIDE, 0)],
        ..Description::default()
    });
    world.nat.close_pool(PoolIndex(1));
    world.wait(2);
    assert_eq!(world.sessions(), kept.len());
    for host in kept {
        assert_eq!(
            source(&world.out(&udp((host, 5000), (SERVER, 53)))),
            address(OUTSIDE)
        );
    }
}

#[test]
fn an_address_more_leaves_sessions_where_they_are() {
    let mut world = World::snat();
    for host in 1..40 {
        world.udp((&format!("192.168.1.{host}"), 5000), (SERVER, 53));
    }
    let more = outside("10.100.0.6", 1);
    world
        .nat
        .open_pool(more.pool, owner(more.address, router()))
        .unwrap();
    world.describe(&Description {
        outside: vec![outside(OUTSIDE, 0), more],
        ..Description::default()
    });
    for host in 1..40 {
        let host = format!("192.168.1.{host}");
        assert_eq!(
            source(&world.out(&udp((&host, 5000), (SERVER, 53)))),
            address(OUTSIDE)
        );
        // A new destination of the same endpoint: the same mapping.
        assert_eq!(
            source(&world.out(&udp((&host, 5000), (SERVER2, 53)))),
            address(OUTSIDE)
        );
    }
}

#[test]
fn sessions_are_listed_by_pages_and_deleted_by_any_field() {
    let mut world = World::snat();
    for port in 1..=100 {
        world.udp((VM, port), (SERVER, 53));
        world.udp((VM2, 2000 + port), (SERVER2, 53));
    }
    world.connect((VM, 5000), (SERVER, 80));
    let filter = SessionFilter {
        inside: Some(address(VM)),
        protocol: Some(Protocol::Udp),
        ..SessionFilter::default()
    };
    let (mut rows, mut from, mut pages) = (Vec::new(), Some(0), 0);
    while let Some(place) = from {
        pages += 1;
        from = world
            .nat
            .list_sessions(&filter, place, 64, world.now, |row| {
                rows.push(row);
                std::ops::ControlFlow::Continue(())
            });
    }
    assert_eq!((rows.len(), pages), (100, 16));
    assert!(
        rows.iter()
            .all(|row| row.remote.port() == 53 && row.expires_in == 300)
    );
    let (ended, next) = world.nat.delete_sessions(&filter, 0, u32::MAX, world.now);
    assert_eq!((ended, next), (100, None));
    assert_eq!(world.sessions(), 101);
    let remote = SessionFilter {
        remote: Some(address(SERVER2)),
        remote_port: Some(53),
        ..SessionFilter::default()
    };
    assert_eq!(
        world.nat.delete_sessions(&remote, 0, u32::MAX, world.now).0,
        100
    );
    assert_eq!(world.rows().len(), 1);
    world.nat.audit().unwrap();
}

#[test]
fn a_number_dealt_again_before_a_tick_is_not_taken_for_closed() {
    let mut world = World::snat();
    world.udp((VM, 5000), (SERVER, 53));
    for _ in 0..3 {
        // Nothing hangs on it: vacant at once, and open again.
        let owner = owner(address("10.100.0.6"), router());
        world.nat.open_pool(PoolIndex(1), owner).unwrap();
        world.nat.close_pool(PoolIndex(1));
    }
    let more = outside("10.100.0.6", 1);
    world
        .nat
        .open_pool(more.pool, owner(more.address, router()))
        .unwrap();
    world.describe(&Description {
        outside: vec![outside(OUTSIDE, 0), more],
        ..Description::default()
    });
    for host in 10..40 {
        world.out(&udp((&format!("192.168.1.{host}"), 5000), (SERVER, 53)));
    }
    world.wait(1);
    assert_eq!(world.sessions(), 31);
}
