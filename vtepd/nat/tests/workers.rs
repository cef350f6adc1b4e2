//! Several workers: each direction of a session lands on its owner, whoever gets the packet first.

mod common;

use common::*;
use vtepd_nat::{Description, Fate, Settings, Verdict};
use vtepd_wire::craft;

fn workers(count: u16) -> Vec<World> {
    let description = Description {
        outside: vec![outside(OUTSIDE, 0)],
        ..Description::default()
    };
    (0..count)
        .map(|worker| World::worker(worker, count, small(), Settings::default(), &description))
        .collect()
}

/// Hands a packet over as long as workers say so; which worker had it last.
fn out(workers: &mut [World], first: usize, frame: &[u8]) -> (usize, Vec<u8>) {
    match workers[first].out_verdict(frame) {
        (
            Verdict::HandOver {
                worker,
                ports: None,
            },
            _,
        ) => {
            let worker = usize::from(worker);
            let (verdict, sent) = workers[worker].out_verdict(frame);
            assert_eq!(verdict, TRANSLATED);
            (worker, sent)
        }
        (TRANSLATED, sent) => (first, sent),
        other => panic!("{other:?}"),
    }
}

fn inn(workers: &mut [World], first: usize, frame: &[u8]) -> (usize, Vec<u8>) {
    let (mut at, mut ports) = (first, None);
    for _ in 0..3 {
        let (verdict, sent) = match ports {
            Some(ports) => workers[at].in_with_ports(frame, ports),
            None => workers[at].in_verdict(frame),
        };
        match verdict {
            TRANSLATED => return (at, sent),
            Verdict::HandOver {
                worker,
                ports: told,
            } => {
                assert_ne!(usize::from(worker), at, "to itself");
                (at, ports) = (usize::from(worker), told);
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("handed round in circles");
}

#[test]
fn both_directions_land_on_the_owner() {
    for count in [2, 3, 8] {
        let mut workers = workers(count);
        let mut owners = std::collections::HashSet::new();
        for host in 1..50 {
            let host = format!("192.168.1.{host}");
            for first in 0..usize::from(count) {
                let (owner, sent) = out(&mut workers, first, &udp((&host, 5000), (SERVER, 53)));
                let (back, arrived) = inn(
                    &mut workers,
                    first,
                    &udp((SERVER, 53), (OUTSIDE, ports(&sent).0)),
                );
                assert_eq!(owner, back);
                assert_eq!(
                    (destination(&arrived), ports(&arrived).1),
                    (address(&host), 5000)
                );
                let about = error(SERVER2, OUTSIDE, 3, &sent, 28);
                assert_eq!(inn(&mut workers, first, &about).0, owner);
                let about = error(&host, SERVER, 3, &arrived, 28);
                assert_eq!(out(&mut workers, first, &about).0, owner);
                owners.insert(owner);
            }
        }
        assert_eq!(owners.len(), usize::from(count));
        let sessions: usize = workers.iter().map(World::sessions).sum();
        assert_eq!(sessions, 49);
    }
}

#[test]
fn fragments_from_outside_meet_at_one_worker_and_go_to_the_owner() {
    let mut workers = workers(4);
    for host in 1..30 {
        let host = format!("192.168.1.{host}");
        let (owner, sent) = out(&mut workers, 0, &udp((&host, 5000), (SERVER, 53)));
        let whole = ip(SERVER, OUTSIDE)
            .may_fragment()
            .udp(53, ports(&sent).0, &[7; 3000]);
        for part in craft::fragments(&whole, 1500, 99) {
            let (at, arrived) = inn(&mut workers, usize::from(host.len() % 2 == 0), &part);
            assert_eq!((at, destination(&arrived)), (owner, address(&host)));
        }
    }
}

#[test]
fn fragments_out_of_order_wait_where_they_meet() {
    let mut workers = workers(4);
    let (owner, sent) = out(&mut workers, 0, &udp((VM, 5000), (SERVER, 53)));
    let whole = ip(SERVER, OUTSIDE)
        .may_fragment()
        .udp(53, ports(&sent).0, &[7; 3000]);
    let parts = craft::fragments(&whole, 1500, 98);
    // Where they meet: who holds a later one.
    let meeting = (0..4)
        .find(|worker| matches!(workers[*worker].in_verdict(&parts[1]).0, Verdict::Hold(_)))
        .unwrap();
    assert_eq!(inn(&mut workers, 0, &parts[0]).0, owner);
    assert_eq!(
        workers[meeting].fates(),
        [Fate::Resume(vtepd_nat::Direction::Inbound)]
    );
    assert_eq!(inn(&mut workers, meeting, &parts[1]).0, owner);
}
