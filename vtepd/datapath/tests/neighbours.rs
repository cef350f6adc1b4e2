//! The control thread's part of neighbours that no port names: asked for, believed,
//! asked again, forgotten.

mod common;

use std::collections::HashMap;
use std::net::IpAddr;

use common::*;
use proptest::prelude::*;
use vtepd_datapath::route::neighbours::{Learned, Neighbours};
use vtepd_datapath::{Delivery, Event, Recipients};
use vtepd_tables::{Adjacency, AdjacencyIndex, Neighbour};
use vtepd_wire::{Mac, arp, craft, ipv6};

const WANTED: &str = "10.0.0.77";
const WANTED6: &str = "fd00::77";
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// The control thread's side with the tables of a host.
struct Control {
    host: Host,
    neighbours: Neighbours,
}

impl Control {
    fn new() -> Self {
        Self {
            host: routed_host(),
            neighbours: Neighbours::default(),
        }
    }

    fn wanted(&mut self, address: &str, now: u64) -> Option<Delivery> {
        let tables = &self.host.tables;
        self.neighbours
            .wanted(tables, adjacency(AT_RED), ip(address), now)
    }

    fn claimed(&mut self, address: &str, who: &str, at: AdjacencyIndex, now: u64) -> bool {
        let neighbour = neighbour(who, at);
        let tables = &mut self.host.tables;
        self.neighbours
            .claimed(tables, red(), ip(address), neighbour, now)
    }

    fn questions(&mut self, now: u64) -> Vec<Delivery> {
        self.neighbours.questions(&mut self.host.tables, now)
    }

    fn found(&self, address: &str) -> Option<Neighbour> {
        self.host.tables.neighbours.get(red(), ip(address))
    }

    fn port(&self, interface: vtepd_tables::InterfaceIndex) -> AdjacencyIndex {
        self.host.at_port(interface, 0)
    }
}

fn neighbour(who: &str, adjacency: AdjacencyIndex) -> Neighbour {
    Neighbour {
        mac: mac(who),
        adjacency,
    }
}

fn probe(asker: &str, to: &str, target: &str) -> Vec<u8> {
    craft::ethernet(to, asker).arp(arp::Packet::probe(mac(asker), target.parse().unwrap()))
}

#[test]
fn rfc5227_a_neighbour_is_asked_for_by_a_probe_of_the_host() {
    let mut control = Control::new();
    let question = control.wanted(WANTED, 0).unwrap();
    assert_eq!((question.network, question.to), (red(), Recipients::All));
    assert_eq!(question.frame[..], probe(OWN_HM, BROADCAST, WANTED));
    // Every port and every host of the network hears it.
    let to: Vec<_> = control
        .host
        .deliver(&question)
        .iter()
        .map(|(to, _)| *to)
        .collect();
    assert_eq!(to, [PORT1, PORT2, PORT3, UNDERLAY, UNDERLAY]);
}

#[test]
fn rfc4861_section_7_2_2_a_neighbour_is_solicited_by_the_host() {
    let mut control = Control::new();
    let question = control.wanted(WANTED6, 0).unwrap();
    let group = ipv6::solicited_node(WANTED6.parse().unwrap());
    let expected = craft::ethernet(Mac::multicast_of_v6(group), OWN_HM)
        .ipv6(ipv6::link_local(mac(OWN_HM)), group)
        .solicitation(WANTED6);
    assert_eq!(question.frame[..], expected);
    assert_eq!(question.to, Recipients::All);
}

#[test]
fn without_a_host_mac_the_gateway_asks_itself() {
    for central in [false, true] {
        let mut control = Control::new();
        if central {
            let gateway = adjacency(AT_RED);
            control
                .host
                .change_gateway(gateway, |gateway| gateway.distributed = false);
        } else {
            control.host.tables.edit().host_macs = vtepd_tables::HostMacs::default();
        }
        let question = control.wanted(WANTED, 0).unwrap();
        assert_eq!(question.frame[..], probe(GW_RED, BROADCAST, WANTED));
    }
}

#[test]
fn only_who_may_be_there_is_asked_for() {
    let mut control = Control::new();
    assert_eq!(
        control.wanted("10.9.0.1", 0).map(drop),
        None,
        "on no subnet of the gateway"
    );
    assert_eq!(control.wanted(VM1_IP, 0).map(drop), None, "known");
    assert_eq!(control.wanted(GW_RED_IP, 0).map(drop), None, "a gateway");
    let tables = &control.host.tables;
    let vacant = control
        .neighbours
        .wanted(tables, adjacency(99), ip(WANTED), 0);
    assert!(vacant.is_none(), "a gateway that was taken away");
    assert!(control.questions(MINUTE).is_empty());
}

/// RFC 1122, 2.3.2.1: at most one question a second for a destination.
#[test]
fn rfc1122_section_2_3_2_1_three_questions_a_second_apart() {
    for (address, asked) in [(WANTED, BROADCAST), (WANTED6, "33:33:ff:00:00:77")] {
        let mut control = Control::new();
        let mut times = Vec::new();
        for now in (0..3 * SECOND).step_by(100) {
            // Packets to him come all the time.
            let wanted = control.wanted(address, now);
            for question in wanted.into_iter().chain(control.questions(now)) {
                assert_eq!(question.frame[..6], mac(asked).0);
                times.push(now);
            }
        }
        assert_eq!(times, [0, SECOND, 2 * SECOND]);
        assert!(control.questions(3 * SECOND).is_empty());
        assert_eq!(control.found(address), None);
    }
}

#[test]
fn who_has_not_answered_may_be_asked_for_anew() {
    let mut control = Control::new();
    assert!(control.wanted(WANTED, 0).is_some());
    for now in [1, 2] {
        assert_eq!(control.questions(now * SECOND).len(), 1);
    }
    assert!(control.questions(3 * SECOND).is_empty());
    assert!(control.wanted(WANTED, 3 * SECOND).is_some());
    assert_eq!(control.neighbours.list(red(), 0), []);
}

#[test]
fn an_answer_makes_a_neighbour_known() {
    let mut control = Control::new();
    let at = control.port(PORT2);
    control.wanted(WANTED, 0);
    assert!(control.claimed(WANTED, NOBODY, at, 300));
    assert_eq!(control.found(WANTED), Some(neighbour(NOBODY, at)));
    let learned = Learned {
        address: ip(WANTED),
        neighbour: neighbour(NOBODY, at),
        age_ms: 700,
    };
    assert_eq!(control.neighbours.list(red(), SECOND), [learned]);
    assert_eq!(control.neighbours.list(blue(), SECOND), []);
    assert!(control.questions(30 * SECOND).is_empty());
    // And the way leads there.
    let frame = craft::ethernet(GW_BLUE, VM6)
        .ipv4(VM6_IP, WANTED)
        .udp(1, 2, b"");
    let outcome = control.host.send(PORT4, &frame);
    let routed = craft::ethernet(NOBODY, GW_RED).ipv4(VM6_IP, WANTED).ttl(63);
    assert_eq!(outcome.one(), (PORT2, &routed.udp(1, 2, b"")[..]));
}

/// VRRP: the new master announces, and has it at once.
#[test]
fn rfc5227_section_3_an_announcement_moves_an_address_at_once() {
    let mut control = Control::new();
    let (one, other) = (control.port(PORT1), control.port(PORT2));
    let away = control.host.at_vtep(PEER);
    for (who, at) in [(VM1, one), (VM2, other), (VM4, away), (VM1, one)] {
        assert!(control.claimed(WANTED, who, at, 0));
        assert_eq!(control.found(WANTED), Some(neighbour(who, at)));
        assert_eq!(control.neighbours.list(red(), 0).len(), 1);
    }
}

#[test]
fn what_the_management_plane_says_stands() {
    let mut control = Control::new();
    let at = control.port(PORT2);
    let before = control.found(VM1_IP);
    assert!(!control.claimed(VM1_IP, NOBODY, at, 0));
    assert_eq!(control.found(VM1_IP), before);
    assert!(!control.claimed(GW_RED_IP, NOBODY, at, 0));
    // Also from the moment that it says so.
    assert!(control.claimed(WANTED, NOBODY, at, 0));
    let port = control.port(PORT1);
    control.host.neighbour(red(), WANTED, VM1, port);
    control.neighbours.replaced(red(), ip(WANTED));
    assert!(!control.claimed(WANTED, NOBODY, at, 0));
    assert!(control.questions(10 * MINUTE).is_empty());
    assert_eq!(control.found(WANTED), Some(neighbour(VM1, port)));
}

#[test]
fn a_claim_must_be_of_a_subnet_and_lead_somewhere() {
    let mut control = Control::new();
    let at = control.port(PORT2);
    for address in [
        "10.9.0.1",
        "fd09::1",
        "fe80::1",
        "10.0.0.255",
        "10.0.0.0",
        "0.0.0.0",
    ] {
        assert!(!control.claimed(address, NOBODY, at, 0), "{address}");
        assert_eq!(control.found(address), None);
    }
    assert!(
        !control.claimed(WANTED, NOBODY, adjacency(90), 0),
        "a vacant way"
    );
    *control.host.tables.edit().adjacency_mut(at) = Adjacency::Vacant;
    assert!(!control.claimed(WANTED, NOBODY, at, 0));
    assert_eq!(control.neighbours.list(red(), 0), []);
}

#[test]
fn rfc4861_section_7_3_who_is_not_heard_for_a_minute_is_asked_himself() {
    for (address, who) in [(WANTED, NOBODY), (WANTED6, NOBODY)] {
        let mut control = Control::new();
        let at = control.port(PORT2);
        assert!(control.claimed(address, who, at, 0));
        assert!(control.questions(MINUTE - 1).is_empty());
        for number in 0..3 {
            let questions = control.questions(MINUTE + number * SECOND);
            let [question] = &questions[..] else {
                panic!("{number}: {questions:?}");
            };
            assert_eq!(question.to, Recipients::One(at));
            assert_eq!(
                question.frame[..12],
                craft::ethernet(who, OWN_HM).payload(0, b"")[..12]
            );
            // He hears it from his gateway, or from whom he can answer.
            assert_eq!(
                control.host.deliver(question),
                [(PORT2, question.frame.to_vec())]
            );
            assert!(control.found(address).is_some(), "packets go on meanwhile");
        }
        assert!(control.questions(MINUTE + 3 * SECOND).is_empty());
        assert_eq!(control.found(address), None);
        assert_eq!(control.neighbours.list(red(), 0), []);
    }
}

#[test]
fn an_answer_is_good_for_another_minute() {
    let mut control = Control::new();
    let at = control.port(PORT2);
    control.claimed(WANTED, NOBODY, at, 0);
    for number in 1..5 {
        let now = number * (MINUTE + SECOND);
        assert_eq!(control.questions(now).len(), 1);
        assert!(control.claimed(WANTED, NOBODY, at, now + 100));
        assert!(control.questions(now + MINUTE).is_empty());
    }
}

/// Who speaks is heard by the workers, which tell the control thread nothing.
#[test]
fn who_is_heard_by_a_worker_is_not_asked() {
    for (address, frame) in [
        (
            WANTED,
            craft::ethernet(VM1, NOBODY).arp_request(WANTED, VM1_IP),
        ),
        (
            WANTED6,
            craft::ethernet(VM1, NOBODY)
                .ipv6(WANTED6, VM1_IP6)
                .advertisement(WANTED6, 1 << 29),
        ),
    ] {
        let mut control = Control::new();
        let at = control.port(PORT2);
        // From the beginning, and where the workers' clock wraps.
        for start in [0, 65_530 * SECOND] {
            control.claimed(address, NOBODY, at, start);
            control.host.state.now = ((start + 50 * SECOND) / 1000) as u16;
            let outcome = control.host.send(PORT2, &frame);
            assert_eq!(outcome.events, [], "no news");
            for now in [60, 90, 109] {
                assert!(control.questions(start + now * SECOND).is_empty(), "{now}");
            }
            assert_eq!(
                control.neighbours.list(red(), start + MINUTE)[0].age_ms,
                10 * SECOND
            );
            assert_eq!(control.questions(start + 110 * SECOND).len(), 1);
            // Also when he is being asked.
            control.host.state.now = ((start + 110 * SECOND) / 1000) as u16;
            control.host.send(PORT2, &frame);
            assert!(control.questions(start + 111 * SECOND).is_empty());
            assert!(control.questions(start + 169 * SECOND).is_empty());
        }
    }
}

/// A scan of a large subnet leaves other networks their neighbours.
#[test]
fn a_network_has_a_limit() {
    let mut control = Control::new();
    control.host.change_gateway(adjacency(AT_RED), |gateway| {
        gateway.addresses = ["10.0.0.254/8".parse().unwrap()].into();
    });
    let at = control.port(PORT2);
    let address =
        |number: u32| IpAddr::from([10, 200, (number >> 8) as u8, number as u8]).to_string();
    for number in 0..4096 {
        if number % 2 == 0 {
            assert!(control.wanted(&address(number), 0).is_some(), "{number}");
        } else {
            assert!(control.claimed(&address(number), NOBODY, at, 0), "{number}");
        }
    }
    assert!(control.wanted(&address(5000), 0).is_none());
    assert!(!control.claimed(&address(5000), NOBODY, at, 0));
    assert_eq!(control.found(&address(5000)), None);
    // Those who were asked for already may answer.
    assert!(control.claimed(&address(0), NOBODY, at, 0));
    let tables = &control.host.tables;
    let other = control
        .neighbours
        .wanted(tables, adjacency(AT_BLUE), ip("10.1.0.99"), 0);
    assert!(other.is_some());
    // Unanswered ones give their places back.
    for now in 1..=3 {
        control.questions(now * SECOND);
    }
    assert!(control.claimed(&address(5000), NOBODY, at, 3 * SECOND));
}

#[test]
fn forgetting_takes_them_out_of_the_table() {
    let mut control = Control::new();
    let (here, there) = (control.port(PORT2), control.host.at_vtep(PEER));
    control.claimed(WANTED, NOBODY, here, 0);
    control.claimed("10.0.0.78", NOBODY, there, 0);
    control.wanted("10.0.0.79", 0);
    let tables = &mut control.host.tables;
    control.neighbours.forget(tables, |_, _, neighbour, _| {
        neighbour.is_some_and(|neighbour| neighbour.adjacency == here)
    });
    assert_eq!(control.found(WANTED), None);
    assert_eq!(control.found("10.0.0.78"), Some(neighbour(NOBODY, there)));
    // What somebody else has taken over stays.
    let port = control.port(PORT1);
    control.host.neighbour(red(), "10.0.0.78", VM1, port);
    let tables = &mut control.host.tables;
    control.neighbours.forget(tables, |_, _, _, _| true);
    assert_eq!(control.found("10.0.0.78"), Some(neighbour(VM1, port)));
    assert!(control.questions(10 * MINUTE).is_empty());
}

/// A gateway that is gone asks no more.
#[test]
fn without_its_gateway_a_neighbour_is_forgotten() {
    let mut control = Control::new();
    let at = control.port(PORT2);
    control.claimed(WANTED, NOBODY, at, 0);
    control.wanted(WANTED6, 0);
    *control.host.tables.edit().adjacency_mut(adjacency(AT_RED)) = Adjacency::Vacant;
    assert!(control.questions(MINUTE).is_empty());
    assert_eq!(control.found(WANTED), None);
    assert_eq!(control.neighbours.list(red(), 0), []);
}

#[derive(Clone, Debug)]
enum Step {
    /// A packet waits for an address.
    Wanted(usize),
    /// A station at one of the ports says that it has an address.
    Says(usize, usize),
    /// Milliseconds pass, a second at most at a time.
    Pass(u64),
    /// The management plane gives an address to the port of VM1, or takes it back.
    Manage(usize, bool),
    /// A port leaves.
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0usize..4).prop_map(Step::Wanted),
        3 => (0usize..4, 0usize..2).prop_map(|(address, port)| Step::Says(address, port)),
        4 => prop_oneof![1u64..3000, 30_000u64..70_000].prop_map(Step::Pass),
        1 => (0usize..4, any::<bool>()).prop_map(|(address, here)| Step::Manage(address, here)),
        1 => (0usize..2).prop_map(Step::Leave),
    ]
}

const ADDRESSES: [&str; 4] = ["10.0.0.70", "10.0.0.71", "fd00::70", "fd00::71"];
const PORTS: [vtepd_tables::InterfaceIndex; 2] = [PORT1, PORT2];
/// Stations behind the two ports.
const STATIONS: [&str; 2] = ["fa:16:3e:77:00:01", "fa:16:3e:77:00:02"];

/// What should be known, in the plainest words.
#[derive(Default)]
struct Model {
    managed: HashMap<usize, Neighbour>,
    /// By address: who said so, and when he was last heard.
    said: HashMap<usize, (Neighbour, u64)>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The table has what the management plane says and what was said by somebody who was
    /// heard within a minute and his three questions, and nothing else.
    #[test]
    fn the_table_has_nothing_that_nobody_said(steps in prop::collection::vec(step(), 1..60)) {
        let mut control = Control::new();
        let mut model = Model::default();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Wanted(address) => {
                    control.wanted(ADDRESSES[address], now);
                }
                Step::Says(address, port) => {
                    // By the path that it takes: a worker hears it.
                    let (text, who) = (ADDRESSES[address], STATIONS[port]);
                    let frame = if address < 2 {
                        craft::ethernet(BROADCAST, who).arp_request(text, text)
                    } else {
                        craft::ethernet("33:33:00:00:00:01", who)
                            .ipv6(text, "ff02::1")
                            .advertisement(text, 1 << 29)
                    };
                    control.host.state.now = (now / SECOND) as u16;
                    let outcome = control.host.send(PORTS[port], &frame);
                    for event in outcome.events {
                        if let Event::Claim { network, address, neighbour } = event {
                            let tables = &mut control.host.tables;
                            control.neighbours.claimed(tables, network, address, neighbour, now);
                        }
                    }
                    if !model.managed.contains_key(&address) {
                        let neighbour = neighbour(who, control.port(PORTS[port]));
                        model.said.insert(address, (neighbour, now));
                    }
                }
                Step::Pass(mut milliseconds) => {
                    while milliseconds > 0 {
                        let passed = milliseconds.min(SECOND);
                        (now, milliseconds) = (now + passed, milliseconds - passed);
                        control.questions(now);
                    }
                }
                Step::Manage(address, true) => {
                    let port = neighbour(VM1, control.port(PORT1));
                    control.host.neighbour(red(), ADDRESSES[address], VM1, port.adjacency);
                    control.neighbours.replaced(red(), ip(ADDRESSES[address]));
                    model.said.remove(&address);
                    model.managed.insert(address, port);
                }
                Step::Manage(address, false) => {
                    if model.managed.remove(&address).is_some() {
                        control.host.tables.neighbours.remove(red(), ip(ADDRESSES[address]));
                    }
                }
                Step::Leave(port) => {
                    let at = control.port(PORTS[port]);
                    let gone = |neighbour: &Neighbour| neighbour.adjacency == at;
                    let tables = &mut control.host.tables;
                    control.neighbours.forget(tables, |_, _, neighbour, _| {
                        neighbour.as_ref().is_some_and(gone)
                    });
                    model.said.retain(|_, (neighbour, _)| !gone(neighbour));
                }
            }
            let listed: HashMap<IpAddr, Neighbour> = control
                .neighbours
                .list(red(), now)
                .into_iter()
                .map(|learned| (learned.address, learned.neighbour))
                .collect();
            for (address, text) in ADDRESSES.iter().enumerate() {
                let found = control.found(text);
                let managed = model.managed.get(&address).copied();
                // A second for the grain of the stamps, one for each question's turn.
                let said = model.said.get(&address);
                match (managed, said) {
                    (Some(managed), _) => {
                        prop_assert_eq!(found, Some(managed));
                        prop_assert_eq!(listed.get(&ip(text)), None);
                    }
                    (None, Some((neighbour, heard))) if now < heard + MINUTE => {
                        prop_assert_eq!(found, Some(*neighbour));
                        prop_assert_eq!(listed.get(&ip(text)), Some(neighbour));
                    }
                    (None, Some((neighbour, heard))) if now < heard + MINUTE + 6 * SECOND => {
                        prop_assert!(found.is_none_or(|found| found == *neighbour));
                        prop_assert_eq!(listed.get(&ip(text)).copied(), found);
                    }
                    _ => {
                        prop_assert_eq!(found, None);
                        prop_assert_eq!(listed.get(&ip(text)), None);
                    }
                }
            }
        }
    }
}
