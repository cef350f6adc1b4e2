//! NAT behaviour for TCP, requirement by requirement (RFC 5382, 7857, 6056, 6864).

mod common;

use common::*;
use std::collections::HashSet;
use vtepd_nat::{Description, Fate, Filtering, Refusal, Settings, State, UnsolicitedSyn, Verdict};

#[test]
fn rfc5382_req2_handshake_and_data_both_ways() {
    let mut world = World::snat();
    let port = world.connect((VM, 5000), (SERVER, 80));
    assert_eq!(world.rows()[0].state, State::Established);
    let back = world.inn(&tcp((SERVER, 80), (OUTSIDE, port), ACK));
    assert_eq!((destination(&back), ports(&back).1), (address(VM), 5000));
}

#[test]
fn rfc5382_req2_simultaneous_open() {
    let mut world = World::snat();
    let port = ports(&world.out(&tcp((VM, 5000), (SERVER, 80), SYN))).0;
    world.inn(&tcp((SERVER, 80), (OUTSIDE, port), SYN));
    world.out(&tcp((VM, 5000), (SERVER, 80), SYN | ACK));
    world.inn(&tcp((SERVER, 80), (OUTSIDE, port), SYN | ACK));
    assert_eq!(world.rows()[0].state, State::Established);
    assert_eq!(world.sessions(), 1);
}

#[test]
fn rfc5382_req2_a_connection_may_be_opened_from_outside_to_a_mapping() {
    let mut world = World::snat();
    let port = world.connect((VM, 5000), (SERVER, 80));
    world.inn(&tcp((SERVER2, 99), (OUTSIDE, port), SYN));
    world.out(&tcp((VM, 5000), (SERVER2, 99), SYN | ACK));
    assert!(
        world
            .rows()
            .iter()
            .all(|row| row.state == State::Established)
    );
}

#[test]
fn rfc5382_req4_an_unsolicited_syn_is_dropped_in_silence() {
    let mut world = World::snat();
    let syn = tcp((SERVER, 99), (OUTSIDE, 5000), SYN);
    assert_eq!(world.in_refused(&syn), Refusal::NoMapping);
    world.wait(10);
    assert_eq!(world.releases(), []);
}

#[test]
fn rfc5382_req4_by_policy_an_unsolicited_syn_is_answered_after_six_seconds() {
    let mut world = World::snat();
    world.set(|settings| settings.unsolicited_syn = UnsolicitedSyn::Unreachable);
    let syn = tcp((SERVER, 99), (OUTSIDE, 5000), SYN);
    assert!(matches!(world.in_verdict(&syn).0, Verdict::Hold(_)));
    world.wait(5);
    assert_eq!(world.fates(), []);
    world.wait(1);
    assert_eq!(world.fates(), [Fate::Unreachable]);
    assert_eq!(world.nat.usage().held, 0);
}

#[test]
fn rfc5382_req4_unless_a_syn_from_inside_meets_it() {
    let description = Description {
        filtering: Filtering::AddressDependent,
        ..Description::default()
    };
    let mut world = World::with(Settings::default(), description);
    world.set(|settings| settings.unsolicited_syn = UnsolicitedSyn::Unreachable);
    let syn = tcp((SERVER, 99), (OUTSIDE, 5000), SYN);
    assert!(matches!(world.in_verdict(&syn).0, Verdict::Hold(_)));
    world.wait(3);
    assert_eq!(
        ports(&world.out(&tcp((VM, 5000), (SERVER, 99), SYN))).0,
        5000
    );
    world.wait(3);
    assert_eq!(world.fates(), [Fate::Drop(Refusal::SynCrossed)]);
}

#[test]
fn rfc5382_req4_held_syns_are_bounded_by_tenant() {
    let mut world = World::snat();
    world.set(|settings| {
        settings.unsolicited_syn = UnsolicitedSyn::Unreachable;
        settings.limits.fragments = 4;
    });
    let verdicts: Vec<bool> = (0..10)
        .map(|port| {
            let syn = tcp((SERVER, 1000 + port), (OUTSIDE, 5000), SYN);
            match world.in_verdict(&syn).0 {
                Verdict::Hold(_) => true,
                Verdict::Refused(Refusal::HoldFull) => false,
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(verdicts.iter().filter(|held| **held).count(), 4);
}

#[test]
fn rfc5382_req5_established_7440_s_and_transitory_240_s() {
    let mut world = World::snat();
    world.connect((VM, 5000), (SERVER, 80));
    world.out(&tcp((VM, 5001), (SERVER, 80), SYN));
    world.wait(239);
    assert_eq!(world.sessions(), 2);
    world.wait(1);
    assert_eq!(world.sessions(), 1);
    world.wait(7199);
    assert_eq!(world.sessions(), 1);
    world.wait(1);
    assert_eq!(world.sessions(), 0);
}

#[test]
fn rfc5382_req5_closed_on_both_sides_is_transitory() {
    let mut world = World::snat();
    let port = world.connect((VM, 5000), (SERVER, 80));
    world.out(&tcp((VM, 5000), (SERVER, 80), FIN | ACK));
    world.wait(300);
    assert_eq!(world.sessions(), 1, "half closed it lasts");
    world.inn(&tcp((SERVER, 80), (OUTSIDE, port), FIN | ACK));
    world.out(&tcp((VM, 5000), (SERVER, 80), ACK));
    world.wait(239);
    assert_eq!(world.sessions(), 1);
    world.wait(1);
    assert_eq!(world.sessions(), 0);
}

#[test]
fn rfc5382_req8_hairpin() {
    let mut world = World::snat();
    let port = world.connect((VM2, 7000), (SERVER, 80));
    let (verdict, syn) = world.out_verdict(&tcp((VM, 5000), (OUTSIDE, port), SYN));
    assert_eq!(verdict, HAIRPIN);
    let arrived = world.inn(&syn);
    assert_eq!(
        (source(&arrived), destination(&arrived)),
        (address(OUTSIDE), address(VM2))
    );
    let (verdict, answer) =
        world.out_verdict(&tcp((VM2, 7000), (OUTSIDE, ports(&syn).0), SYN | ACK));
    assert_eq!(verdict, HAIRPIN);
    let arrived = world.inn(&answer);
    assert_eq!(
        (destination(&arrived), ports(&arrived).1),
        (address(VM), 5000)
    );
}

#[test]
fn rfc5382_req9_icmp_errors_are_translated() {
    let mut world = World::snat();
    world.connect((VM, 5000), (SERVER, 80));
    let sent = world.out(&tcp((VM, 5000), (SERVER, 80), ACK));
    // Eight bytes of TCP, and all of it.
    for quoted in [28, 100] {
        let arrived = world.inn(&error("192.0.2.99", OUTSIDE, 3, &sent, quoted));
        assert_eq!(destination(&arrived), address(VM));
        let quote = quote(&arrived);
        assert_eq!((source(&quote), ports(&quote)), (address(VM), (5000, 80)));
    }
}

#[test]
fn rfc5382_req10_icmp_ends_no_connection() {
    let mut world = World::snat();
    let port = world.connect((VM, 5000), (SERVER, 80));
    let sent = world.out(&tcp((VM, 5000), (SERVER, 80), ACK));
    world.inn(&error(SERVER, OUTSIDE, 3, &sent, 28));
    assert_eq!(world.rows()[0].state, State::Established);
    world.inn(&tcp((SERVER, 80), (OUTSIDE, port), ACK));
}

#[test]
fn rfc7857_reset_shortens_and_does_not_delete() {
    let mut world = World::snat();
    let port = world.connect((VM, 5000), (SERVER, 80));
    world.inn(&tcp((SERVER, 80), (OUTSIDE, port), RST));
    assert_eq!(world.rows()[0].state, State::Reset);
    // A forged one: the connection goes on.
    world.out(&tcp((VM, 5000), (SERVER, 80), ACK));
    assert_eq!(world.rows()[0].state, State::Established);
    world.wait(300);
    world.inn(&tcp((SERVER, 80), (OUTSIDE, port), RST | ACK));
    world.wait(239);
    assert_eq!(world.sessions(), 1);
    world.wait(1);
    assert_eq!(world.sessions(), 0);
}

#[test]
fn rfc6056_ports_that_are_not_kept_are_random() {
    let mut world = World::snat();
    world.set(|settings| settings.limits.sessions_per_second = u32::MAX);
    let mut given = Vec::new();
    for host in 0..200 {
        let host = format!("192.168.{}.{}", host / 100, host % 100 + 20);
        given.push(ports(&world.out(&tcp((&host, 5000), (SERVER, 80), SYN))).0);
    }
    assert_eq!(given[0], 5000);
    let distinct: HashSet<u16> = given.iter().copied().collect();
    assert_eq!(distinct.len(), 200);
    // Neither in a row nor in a corner.
    let steps = given.windows(2).map(|pair| pair[0].abs_diff(pair[1]));
    assert!(steps.filter(|step| *step < 100).count() < 10);
    assert!(given.iter().any(|port| *port < 20_000) && given.iter().any(|port| *port > 50_000));
}

#[test]
fn rfc6864_identifications_that_matter_are_drawn_anew() {
    let mut world = World::snat();
    let mut seen = HashSet::new();
    for host in 1..40 {
        let host = format!("192.168.1.{host}");
        // Two hosts that both count from the same number, to the same server.
        let packet = ip(&host, SERVER).may_fragment().udp(5000, 53, b"data");
        seen.insert(identification(&world.out(&packet)));
    }
    assert!(seen.len() > 35, "{}", seen.len());
    // Atomic ones are left alone, and those of floating IPs too.
    assert_eq!(
        identification(&world.out(&udp((VM, 1), (SERVER, 2)))),
        0x1234
    );
}
