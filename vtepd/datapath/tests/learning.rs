//! Learning: a worker sees a source, the control thread decides, and the next frame
//! to it is unicast (RFC 7348, section 4.1).

mod common;

use common::*;
use vtepd_datapath::learn::{Learner, NetworkLearning};
use vtepd_datapath::observer::Decision;
use vtepd_datapath::{DropReason, Event};
use vtepd_tables::{AdjacencyIndex, FdbEntry, FdbKey, Origin};

const SETTINGS: NetworkLearning = NetworkLearning {
    ageing: 300,
    limit: 100,
};

/// A network that learns, and the control thread's side of it. Only VM3 is static.
struct Site {
    host: Host,
    learner: Learner,
    now: u32,
}

fn site() -> Site {
    let host = bare_host(None)
        .network(red(), RED_VNI)
        .change(red(), |network| network.learning = true)
        .port(red(), PORT1, 0)
        .port(red(), PORT2, 0)
        .port(red(), PORT3, 100)
        .remote(red(), PEER)
        .remote(red(), PEER6)
        .vm(VM3, &[], PORT3, 100);
    let mut learner = Learner::new(1000);
    learner.set_network(red(), Some(SETTINGS));
    Site {
        host,
        learner,
        now: 10,
    }
}

impl Site {
    /// Sends a frame and lets the control thread hear of it; how many times it was told.
    fn send(&mut self, interface: vtepd_tables::InterfaceIndex, frame: &[u8]) -> (Outcome, usize) {
        self.host.state.now = self.now as u16;
        let outcome = self.host.send(interface, frame);
        let told = outcome.events.len();
        for event in &outcome.events {
            let Event::Seen { key, adjacency } = *event else {
                panic!("{event:?}");
            };
            self.learner
                .seen(&mut self.host.tables, key, adjacency, self.now);
        }
        (outcome, told)
    }

    fn entry(&self, mac_address: &str) -> Option<FdbEntry> {
        self.host
            .tables
            .fdb
            .get(FdbKey::new(red(), mac(mac_address)))
    }

    fn is_learned_at(&self, mac_address: &str, at: AdjacencyIndex) -> bool {
        let origin = Origin::Learned;
        self.entry(mac_address)
            == Some(FdbEntry {
                adjacency: at,
                origin,
            })
    }
}

#[test]
fn rfc7348_the_frame_after_the_first_is_unicast() {
    let mut site = site();
    let (outcome, told) = site.send(PORT1, &udp(VM2, VM1, 1));
    assert_eq!((outcome.sent.len(), told), (4, 1), "flooded");
    let at = site.host.at_port(PORT1, 0);
    assert!(outcome.decisions.contains(&Decision::Learn(at)));
    assert!(site.is_learned_at(VM1, at));
    let (outcome, _) = site.send(PORT2, &udp(VM1, VM2, 1));
    assert_eq!(outcome.one().0, PORT1);
    let (outcome, told) = site.send(PORT1, &udp(VM2, VM1, 1));
    assert_eq!((outcome.one().0, told), (PORT2, 0));
}

#[test]
fn rfc7348_inner_source_and_outer_source_are_associated() {
    let mut site = site();
    let v4 = site.host.at_vtep(PEER);
    let v6 = site.host.at_vtep(PEER6);
    site.send(UNDERLAY, &tunnelled(&udp(BROADCAST, VM4, 1)));
    site.send(UNDERLAY, &tunnelled6(&udp(BROADCAST, VM5, 1)));
    assert!(site.is_learned_at(VM4, v4) && site.is_learned_at(VM5, v6));
    let (outcome, _) = site.send(PORT1, &udp(VM4, VM1, 1));
    assert_eq!(outcome.one().1[v4::IP + 16..v4::UDP], [192, 0, 2, 12]);
}

#[test]
fn nothing_is_learned_from_a_vtep_that_is_not_ours() {
    let mut site = site();
    let outer = to_us()
        .ipv4(STRANGER, US)
        .vxlan(50_000, RED_VNI, &udp(BROADCAST, VM4, 1));
    let (outcome, told) = site.send(UNDERLAY, &outer);
    assert_eq!((outcome.dropped(), told), (DropReason::UnknownVtep, 0));
}

#[test]
fn a_source_that_moves_is_followed_until_it_moves_too_often() {
    let mut site = site();
    let ports = [site.host.at_port(PORT1, 0), site.host.at_port(PORT2, 0)];
    let tunnel = site.host.at_vtep(PEER);
    site.send(PORT1, &udp(BROADCAST, VM1, 1));
    assert!(site.is_learned_at(VM1, ports[0]));
    site.send(UNDERLAY, &tunnelled(&udp(BROADCAST, VM1, 1)));
    assert!(site.is_learned_at(VM1, tunnel), "migrated away");
    site.send(PORT2, &udp(BROADCAST, VM1, 1));
    assert!(
        site.is_learned_at(VM1, ports[1]),
        "and back to another port"
    );
    for _ in 0..5 {
        // The worker tells each place once a second.
        site.now += 1;
        site.send(PORT1, &udp(BROADCAST, VM1, 1));
        site.send(PORT2, &udp(BROADCAST, VM1, 1));
    }
    let counters = site.learner.counters();
    assert_eq!(counters.moved, 5);
    assert!(counters.refused_moves > 0);
}

#[test]
fn a_local_ports_mac_from_a_tunnel_is_a_loop() {
    let mut site = site();
    for to in [BROADCAST, VM1, VM3] {
        let (outcome, told) = site.send(UNDERLAY, &tunnelled(&udp(to, VM3, 1)));
        assert_eq!((outcome.dropped(), told), (DropReason::Loop, 0));
    }
}

#[test]
fn static_entries_are_not_moved() {
    let mut site = site();
    let at = site.host.at_port(PORT3, 100);
    let fixed = Some(FdbEntry {
        adjacency: at,
        origin: Origin::Static,
    });
    // From another port it passes: who may send as whom is for address verification.
    let (outcome, told) = site.send(PORT1, &udp(BROADCAST, VM3, 1));
    assert_eq!((outcome.sent.len(), told), (4, 0));
    assert_eq!(site.entry(VM3), fixed);
    site.host = site.host.away(VM4, &[], PEER);
    let (outcome, told) = site.send(UNDERLAY, &tunnelled6(&udp(BROADCAST, VM4, 1)));
    assert_eq!((outcome.sent.len(), told), (3, 0));
    let (outcome, told) = site.send(PORT1, &udp(BROADCAST, VM4, 1));
    assert_eq!((outcome.sent.len(), told), (4, 0));
}

#[test]
fn a_network_that_does_not_learn_tells_nothing() {
    let mut host = host();
    for frame in [udp(VM2, NOBODY, 1), udp(BROADCAST, NOBODY, 1)] {
        assert_eq!(host.send(PORT1, &frame).events, []);
        assert_eq!(host.send(UNDERLAY, &tunnelled(&frame)).events, []);
    }
}

#[test]
fn the_same_news_is_told_once_a_second() {
    let mut host = site().host;
    let frame = udp(BROADCAST, VM1, 1);
    for (now, told) in [(5, 1), (5, 0), (5, 0), (6, 1), (6, 0)] {
        host.state.now = now;
        assert_eq!(host.send(PORT1, &frame).events.len(), told, "second {now}");
    }
    // At another place it is news at once.
    assert_eq!(host.send(PORT2, &frame).events.len(), 1);
}

#[test]
fn a_frame_refreshes_the_entry_of_its_source_and_silence_ends_it() {
    let mut site = site();
    site.send(PORT1, &udp(BROADCAST, VM1, 1));
    let key = FdbKey::new(red(), mac(VM1));
    assert_eq!(site.host.tables.fdb.row(key).unwrap().seen, 10);
    site.now = 200;
    site.send(PORT1, &udp(BROADCAST, VM1, 1));
    assert_eq!(site.host.tables.fdb.row(key).unwrap().seen, 200);
    site.learner.age(&mut site.host.tables, 499, 1000);
    assert!(site.entry(VM1).is_some());
    site.learner.age(&mut site.host.tables, 500, 1000);
    assert!(site.entry(VM1).is_none());
    let (outcome, _) = site.send(PORT2, &udp(VM1, VM2, 1));
    assert_eq!(outcome.sent.len(), 4, "unknown again");
    assert!(site.entry(VM3).is_some(), "static ones stay");
}

#[test]
fn news_that_find_the_queue_full_are_counted_and_the_frames_go_on() {
    let mut host = site().host;
    // New MACs have one of three queues.
    let room = host.channel.capacity() / 3;
    let sources = |from: usize, count: usize| {
        (from..from + count).map(|n| format!("02:00:00:01:{:02x}:{:02x}", n >> 8, n & 255))
    };
    let mut sent = 0;
    for source in sources(0, room + 50) {
        // The fixture would fetch the events: send without it.
        let frame = udp(VM3, &source, 1);
        host.send_quietly(PORT1, &frame);
        sent += 1;
    }
    assert_eq!(host.counters.events_lost.get(), 50);
    assert_eq!(host.io.sent.len(), sent);
    assert_eq!(host.events().len(), room);
}

#[test]
fn a_frame_that_is_dropped_as_malformed_teaches_nothing() {
    let mut host = site().host;
    for frame in [
        udp("01:80:c2:00:00:00", VM1, 1),
        udp(VM2, BROADCAST, 1),
        tagged(100, &tagged(5, &udp(VM1, VM2, 1))),
    ] {
        let interface = if frame[12] == 0x81 { PORT3 } else { PORT1 };
        let outcome = host.send(interface, &frame);
        assert_eq!((outcome.drops.len(), outcome.events.len()), (1, 0));
    }
}
