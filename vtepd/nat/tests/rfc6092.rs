//! IPv6 that lets in only what the inside began (RFC 6092).

mod common;

use common::*;
use vtepd_nat::{
    Capacity, Description, Direction, Event, Fate, Limits, Refusal, Settings, SubscriberIndex,
    UnsolicitedSyn, Verdict,
};
use vtepd_wire::craft::{self, Packet};

const HOST: &str = "2001:db8:1::9";
const REMOTE: &str = "2001:db8:ff::14";
const OTHER: &str = "2001:db8:ff::15";
const ROUTER: &str = "2001:db8:ff::1";
const ESP: u8 = 50;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

fn only_outbound() -> World {
    let description = Description {
        outbound_only_ipv6: true,
        ..Description::default()
    };
    World::new(small(), Settings::default(), &description)
}

fn v6(source: &str, destination: &str) -> Packet {
    craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ipv6(source, destination)
}

fn udp6(source: (&str, u16), destination: (&str, u16)) -> Vec<u8> {
    v6(source.0, destination.0).udp(source.1, destination.1, b"data")
}

fn tcp6(source: (&str, u16), destination: (&str, u16), flags: u8) -> Vec<u8> {
    v6(source.0, destination.0).tcp(source.1, destination.1, flags, b"data")
}

/// An ICMPv6 error about a frame's packet, quoting `quoted` bytes of it.
fn error6(source: &str, destination: &str, kind: u8, about: &[u8], quoted: usize) -> Vec<u8> {
    let packet = &about[14..];
    v6(source, destination).icmp(kind, 0, 0, &packet[..quoted.min(packet.len())])
}

trait Six {
    fn out6(&mut self, frame: &[u8]) -> Verdict;
    fn in6(&mut self, frame: &[u8]) -> Verdict;
    fn refused6(&mut self, frame: &[u8]) -> Refusal;
    fn goes_out(&mut self, frame: &[u8]);
    fn comes_in(&mut self, frame: &[u8]);
    fn sessions6(&self) -> usize;
}

impl Six for World {
    fn out6(&mut self, frame: &[u8]) -> Verdict {
        self.nat.outbound_v6(&self.rules, &frame[14..], self.now)
    }

    fn in6(&mut self, frame: &[u8]) -> Verdict {
        self.nat.inbound_v6(&self.rules, &frame[14..], self.now)
    }

    #[track_caller]
    fn refused6(&mut self, frame: &[u8]) -> Refusal {
        refusal(self.in6(frame))
    }

    #[track_caller]
    fn goes_out(&mut self, frame: &[u8]) {
        assert_eq!(self.out6(frame), Verdict::Plain);
    }

    #[track_caller]
    fn comes_in(&mut self, frame: &[u8]) {
        assert_eq!(self.in6(frame), Verdict::Plain);
    }

    fn sessions6(&self) -> usize {
        self.nat.usage().outbound_only.used
    }
}

#[test]
fn rfc6092_what_the_inside_began_is_answered_and_nothing_else_comes_in() {
    let mut world = only_outbound();
    let answer = udp6((REMOTE, 53), (HOST, 5000));
    assert_eq!(world.refused6(&answer), Refusal::Unsolicited);
    world.goes_out(&udp6((HOST, 5000), (REMOTE, 53)));
    world.comes_in(&answer);
    for stranger in [
        udp6((OTHER, 53), (HOST, 5000)),
        udp6((REMOTE, 54), (HOST, 5000)),
        udp6((REMOTE, 53), (HOST, 5001)),
        udp6((REMOTE, 53), ("2001:db8:1::a", 5000)),
        tcp6((REMOTE, 53), (HOST, 5000), SYN),
        v6(REMOTE, HOST).icmp_echo(5000, 1, b""),
        v6(REMOTE, HOST).payload(ESP, &[0; 20]),
    ] {
        assert_eq!(world.refused6(&stranger), Refusal::Unsolicited);
    }
    for late in [
        tcp6((REMOTE, 53), (HOST, 5000), ACK),
        tcp6((REMOTE, 53), (HOST, 5000), SYN | ACK),
        v6(REMOTE, HOST).icmp_echo_reply(5000, 1, b""),
    ] {
        assert_eq!(world.refused6(&late), Refusal::NoSession);
    }
    assert_eq!(world.sessions6(), 1);
}

#[test]
fn rfc6092_rec49_without_the_option_everything_passes() {
    let mut world = World::snat();
    for frame in [
        udp6((REMOTE, 53), (HOST, 5000)),
        tcp6((REMOTE, 80), (HOST, 80), SYN),
        v6(REMOTE, HOST).payload(ESP, &[0; 20]),
    ] {
        world.comes_in(&frame);
        world.goes_out(&frame);
    }
    assert_eq!(world.sessions6(), 0);
}

#[test]
fn rfc6092_rec12_rec14_idle_for_five_minutes_and_not_a_second_less() {
    let mut world = only_outbound();
    world.goes_out(&udp6((HOST, 5000), (REMOTE, 53)));
    world.goes_out(&v6(HOST, REMOTE).payload(ESP, &[0; 20]));
    world.goes_out(&v6(HOST, REMOTE).icmp_echo(7, 1, b""));
    world.wait(59);
    world.comes_in(&v6(REMOTE, HOST).icmp_echo_reply(7, 1, b""));
    world.wait(60);
    assert_eq!(
        world.refused6(&v6(REMOTE, HOST).icmp_echo_reply(7, 1, b"")),
        Refusal::NoSession
    );
    world.wait(299 - 59 - 60);
    assert_eq!(world.sessions6(), 2);
    world.comes_in(&udp6((REMOTE, 53), (HOST, 5000)));
    world.comes_in(&v6(REMOTE, HOST).payload(ESP, &[1; 30]));
    world.wait(299);
    assert_eq!(world.sessions6(), 2);
    world.wait(1);
    assert_eq!(world.sessions6(), 0);
    assert_eq!(
        world.refused6(&udp6((REMOTE, 53), (HOST, 5000))),
        Refusal::Unsolicited
    );
    assert_eq!(world.nat.subscriber_usage(SubscriberIndex(0)).sessions, 0);
}

#[test]
fn rfc6092_rec16_refreshed_from_inside_and_from_outside_as_set() {
    let mut world = only_outbound();
    world.set(|settings| settings.inbound_refresh = false);
    world.goes_out(&udp6((HOST, 5000), (REMOTE, 53)));
    world.wait(200);
    world.goes_out(&udp6((HOST, 5000), (REMOTE, 53)));
    world.wait(299);
    world.comes_in(&udp6((REMOTE, 53), (HOST, 5000)));
    world.wait(1);
    assert_eq!(
        world.refused6(&udp6((REMOTE, 53), (HOST, 5000))),
        Refusal::Unsolicited
    );
}

#[test]
fn rfc6092_rec18_rec23_rec36_errors_about_sessions_come_in() {
    let mut world = only_outbound();
    let sent = [
        udp6((HOST, 5000), (REMOTE, 53)),
        tcp6((HOST, 5000), (REMOTE, 80), SYN),
        v6(HOST, REMOTE).icmp_echo(7, 1, b"data"),
        v6(HOST, REMOTE).payload(ESP, &[0; 40]),
        v6(HOST, REMOTE)
            .hop_by_hop()
            .destination_options()
            .udp(5001, 53, b"data"),
        v6(HOST, REMOTE).fragment(9, 0, true).payload(
            17,
            &[0x13, 0x8a, 0, 53, 0, 40, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        ),
    ];
    for frame in &sent {
        world.goes_out(frame);
    }
    let (sessions, before) = (world.sessions6(), world.nat.usage());
    assert_eq!(sessions, sent.len());
    world.wait(30);
    for frame in &sent {
        for kind in [1, 2, 3, 4] {
            let about = error6(ROUTER, HOST, kind, frame, 1000);
            world.comes_in(&about);
        }
    }
    // Whatever is cut off behind the ports.
    world.comes_in(&error6(ROUTER, HOST, 3, &sent[0], 44));
    // REC-19, REC-37: they end nothing, nor do they refresh.
    assert_eq!(world.nat.usage(), before);
    world.wait(30);
    assert_eq!(world.sessions6(), sessions - 1, "the echo");
}

#[test]
fn rfc6092_rec10_errors_about_anything_else_do_not() {
    let mut world = only_outbound();
    let sent = udp6((HOST, 5000), (REMOTE, 53));
    world.goes_out(&sent);
    let unknown = [
        error6(ROUTER, HOST, 2, &udp6((HOST, 5001), (REMOTE, 53)), 1000),
        error6(ROUTER, HOST, 2, &udp6((HOST, 5000), (OTHER, 53)), 1000),
        error6(
            ROUTER,
            HOST,
            2,
            &tcp6((HOST, 5000), (REMOTE, 53), ACK),
            1000,
        ),
        // To another than who has sent what is quoted; about what came in.
        error6(ROUTER, "2001:db8:1::a", 2, &sent, 1000),
        error6(ROUTER, HOST, 2, &udp6((REMOTE, 53), (HOST, 5000)), 1000),
        // About an error, or a later fragment.
        error6(ROUTER, HOST, 2, &error6(HOST, REMOTE, 1, &sent, 1000), 1000),
        error6(
            ROUTER,
            HOST,
            2,
            &v6(HOST, REMOTE)
                .fragment(9, 64, false)
                .payload(17, &[0; 16]),
            1000,
        ),
    ];
    for about in &unknown {
        assert_eq!(world.refused6(about), Refusal::QuoteUnknown);
    }
    let garbage = v6(ROUTER, HOST).icmp(1, 0, 0, &[0x45; 60]);
    assert_eq!(world.refused6(&garbage), Refusal::QuoteMalformed);
    for short in [0, 39, 43] {
        let about = error6(ROUTER, HOST, 2, &sent, short);
        assert_eq!(world.refused6(&about), Refusal::QuoteMalformed);
    }
    // Of the rest of ICMPv6 nothing comes in (RFC 4890, 4.3).
    for kind in [0, 5, 100, 127, 130, 133, 134, 135, 137, 139, 200] {
        let frame = v6(REMOTE, HOST).icmp(kind, 0, 0, &sent[14..]);
        assert_eq!(world.refused6(&frame), Refusal::IcmpType, "{kind}");
    }
}

#[test]
fn rfc6092_rec20_udp_lite_and_sctp_by_their_ports_and_apart_from_udp() {
    let mut world = only_outbound();
    let ports = |source: u16, destination: u16| {
        let pair = [source.to_be_bytes(), destination.to_be_bytes()].concat();
        [&pair[..], &[0; 12]].concat()
    };
    for protocol in [UDP_LITE, SCTP] {
        let out = v6(HOST, REMOTE).payload(protocol, &ports(5000, 53));
        world.goes_out(&out);
        let back = v6(REMOTE, HOST).payload(protocol, &ports(53, 5000));
        world.comes_in(&back);
        let other = v6(REMOTE, HOST).payload(protocol, &ports(54, 5000));
        assert_eq!(world.refused6(&other), Refusal::Unsolicited);
    }
    assert_eq!(
        world.refused6(&udp6((REMOTE, 53), (HOST, 5000))),
        Refusal::Unsolicited
    );
}

#[test]
fn rfc6092_rec21_rec22_authentication_headers_and_esp_pass() {
    let mut world = only_outbound();
    let out = v6(HOST, REMOTE).authentication().udp(5000, 53, b"data");
    world.goes_out(&out);
    let back = v6(REMOTE, HOST).authentication().udp(53, 5000, b"data");
    world.comes_in(&back);
    // By the addresses, whatever the index of the security association (REC-25).
    world.goes_out(&v6(HOST, REMOTE).payload(ESP, &[1; 20]));
    world.comes_in(&v6(REMOTE, HOST).payload(ESP, &[2; 20]));
}

#[test]
fn rfc6092_rec31_handshakes_simultaneous_open_and_connections_under_way() {
    let mut world = only_outbound();
    let (out, back) = (
        |flags| tcp6((HOST, 5000), (REMOTE, 80), flags),
        |flags| tcp6((REMOTE, 80), (HOST, 5000), flags),
    );
    world.goes_out(&out(SYN));
    world.comes_in(&back(SYN | ACK));
    world.goes_out(&out(ACK));
    world.goes_out(&tcp6((HOST, 5001), (REMOTE, 80), SYN));
    world.comes_in(&tcp6((REMOTE, 80), (HOST, 5001), SYN));
    // One that is older than its session, and one that ends: the first goes on from inside.
    let old = tcp6((REMOTE, 22), (HOST, 5002), ACK);
    assert_eq!(world.refused6(&old), Refusal::NoSession);
    world.goes_out(&tcp6((HOST, 5002), (REMOTE, 22), ACK));
    world.comes_in(&old);
    world.goes_out(&tcp6((HOST, 5003), (REMOTE, 22), FIN | ACK));
    world.comes_in(&tcp6((REMOTE, 22), (HOST, 5003), ACK));
    // A RST goes out and opens nothing.
    world.goes_out(&tcp6((HOST, 5004), (REMOTE, 22), RST));
    assert_eq!(world.sessions6(), 4);
    // REC-35: 2 hours 4 minutes, and 4 minutes.
    world.wait(239);
    assert_eq!(world.sessions6(), 4);
    world.wait(1);
    assert_eq!(world.sessions6(), 3);
    world.wait(7440 - 240 - 1);
    assert_eq!(world.sessions6(), 3);
    world.comes_in(&back(ACK));
    world.wait(1);
    assert_eq!(world.sessions6(), 1);
}

#[test]
fn rfc6092_rec35_a_reset_shortens() {
    let mut world = only_outbound();
    world.goes_out(&tcp6((HOST, 5000), (REMOTE, 80), SYN));
    world.comes_in(&tcp6((REMOTE, 80), (HOST, 5000), SYN | ACK));
    world.comes_in(&tcp6((REMOTE, 80), (HOST, 5000), RST));
    world.wait(239);
    assert_eq!(world.sessions6(), 1);
    world.wait(1);
    assert_eq!(world.sessions6(), 0);
}

#[test]
fn rfc6092_rec34_an_unsolicited_syn_is_answered_after_six_seconds() {
    let mut world = only_outbound();
    world.set(|settings| settings.unsolicited_syn = UnsolicitedSyn::Unreachable);
    let syn = tcp6((REMOTE, 80), (HOST, 5000), SYN);
    assert!(matches!(world.in6(&syn), Verdict::Hold(_)));
    world.wait(5);
    assert_eq!(world.fates(), []);
    world.wait(1);
    assert_eq!(world.fates(), [Fate::Unreachable]);
    assert!(matches!(world.in6(&syn), Verdict::Hold(_)));
    world.goes_out(&tcp6((HOST, 5000), (REMOTE, 80), SYN));
    world.wait(6);
    assert_eq!(world.fates(), [Fate::Drop(Refusal::SynCrossed)]);
    // By default nothing is said.
    world.set(|settings| settings.unsolicited_syn = UnsolicitedSyn::Silent);
    let syn = tcp6((REMOTE, 81), (HOST, 5000), SYN);
    assert_eq!(world.refused6(&syn), Refusal::Unsolicited);
}

/// A datagram of three fragments from outside.
fn fragments6(port: u16, identification: u32) -> Vec<Vec<u8>> {
    let whole = v6(REMOTE, HOST).udp(53, port, &[7; 3000]);
    let parts = craft::fragments(&whole, 1500, identification);
    assert_eq!(parts.len(), 3);
    parts
}

#[test]
fn fragments_come_in_with_their_first_one() {
    let mut world = only_outbound();
    world.goes_out(&udp6((HOST, 5000), (REMOTE, 53)));
    let parts = fragments6(5000, 1);
    for part in &parts {
        world.comes_in(part);
    }
    assert_eq!(world.nat.usage().datagrams, 0, "all of it has passed");
    // Another datagram's do not, and those of a stranger's wait in vain.
    let mut other = fragments6(5000, 2);
    let mut held = Vec::new();
    for part in other.drain(1..) {
        match world.in6(&part) {
            Verdict::Hold(number) => held.push(number),
            verdict => panic!("{verdict:?}"),
        }
    }
    world.comes_in(&other[0]);
    let released: Vec<u32> = world
        .releases()
        .iter()
        .inspect(|release| assert_eq!(release.fate, Fate::Resume(Direction::Inbound)))
        .map(|release| release.number)
        .collect();
    assert_eq!(released, held);
    let strange = fragments6(5001, 3);
    assert!(matches!(world.in6(&strange[1]), Verdict::Hold(_)));
    assert_eq!(world.refused6(&strange[0]), Refusal::Unsolicited);
    assert_eq!(world.fates(), [Fate::Drop(Refusal::FragmentRefused)]);
    world.wait(5);
    assert_eq!(world.nat.usage().datagrams, 0);
}

#[test]
fn fragments_are_bounded_for_each_tenant() {
    let mut world = only_outbound();
    world.set(|settings| settings.limits.fragments = 3);
    for identification in 0..3 {
        let later = &fragments6(5000, identification)[1];
        match identification {
            // Each takes one for the datagram and one for the packet.
            0 => assert!(matches!(world.in6(later), Verdict::Hold(_))),
            _ => assert_eq!(world.refused6(later), Refusal::FragmentLimit),
        }
    }
    world.wait(5);
    assert_eq!(world.fates(), [Fate::Drop(Refusal::FragmentTimeout)]);
}

#[test]
fn rfc7112_the_headers_are_in_the_first_fragment_and_rfc6946_one_may_be_all() {
    let mut world = only_outbound();
    world.goes_out(&tcp6((HOST, 5000), (REMOTE, 80), SYN));
    let segment = tcp6((REMOTE, 80), (HOST, 5000), SYN | ACK)[54..].to_vec();
    let piece = |offset, more, payload: &[u8]| {
        v6(REMOTE, HOST)
            .fragment(5, offset, more)
            .payload(6, payload)
    };
    let tiny = piece(0, true, &segment[..16]);
    assert_eq!(world.refused6(&tiny), Refusal::FragmentTiny);
    let over = piece(16, false, &segment[16..]);
    assert_eq!(world.refused6(&over), Refusal::FragmentTiny);
    let atomic = piece(0, false, &segment);
    world.comes_in(&atomic);
    assert_eq!(world.nat.usage().datagrams, 0);
}

#[test]
fn the_table_is_bounded_and_its_neighbours_suffer_nothing() {
    let mut world = only_outbound();
    for port in 1..=16 {
        world.goes_out(&udp6((HOST, port), (REMOTE, 53)));
    }
    for port in 17..=160 {
        let verdict = world.out6(&udp6((HOST, port), (REMOTE, 53)));
        assert_eq!(refusal(verdict), Refusal::OutboundOnlyFull);
    }
    let told = Refusal::OutboundOnlyFull.tells_v6().unwrap();
    assert_eq!((told.kind, told.code), (1, 1));
    assert_eq!(world.events(), [Event::OutboundOnlyFull]);
    assert_eq!(world.nat.usage().outbound_only_refused, 144);
    for port in 1..=16 {
        world.comes_in(&udp6((REMOTE, 53), (HOST, port)));
    }
    world.wait(300);
    world.goes_out(&udp6((HOST, 99), (REMOTE, 53)));
}

#[test]
fn sessions_count_to_the_tenant() {
    let mut world = only_outbound();
    let limits = Limits {
        sessions: 2,
        ..Limits::default()
    };
    world.nat.set_limits(SubscriberIndex(0), Some(limits));
    world.goes_out(&udp6((HOST, 1), (REMOTE, 53)));
    world.goes_out(&udp6((HOST, 2), (REMOTE, 53)));
    let verdict = world.out6(&udp6((HOST, 3), (REMOTE, 53)));
    assert_eq!(refusal(verdict), Refusal::SubscriberSessions);
    assert_eq!(world.events().len(), 1);
}

#[test]
fn a_routers_sessions_end_at_once_and_their_places_soon() {
    let mut world = only_outbound();
    for port in 1..=10 {
        world.goes_out(&tcp6((HOST, port), (REMOTE, 80), SYN));
    }
    world.nat.end_outbound_only(router());
    assert_eq!(
        world.refused6(&tcp6((REMOTE, 80), (HOST, 1), SYN | ACK)),
        Refusal::NoSession
    );
    world.goes_out(&tcp6((HOST, 2), (REMOTE, 80), SYN));
    while world.nat.tick(world.now, 3) {}
    assert_eq!(world.sessions6(), 1);
    world.comes_in(&tcp6((REMOTE, 80), (HOST, 2), SYN | ACK));
    assert_eq!(world.nat.subscriber_usage(SubscriberIndex(0)).sessions, 1);
}

#[test]
fn both_directions_fragments_and_errors_meet_at_one_worker() {
    let description = Description {
        outbound_only_ipv6: true,
        ..Description::default()
    };
    let capacity = Capacity {
        outbound_only: 64,
        ..small()
    };
    for count in [2, 3, 8] {
        let mut workers: Vec<World> = (0..count)
            .map(|worker| World::worker(worker, count, capacity, Settings::default(), &description))
            .collect();
        let owner_of = |verdicts: Vec<Verdict>| {
            let mine: Vec<usize> = (0..verdicts.len())
                .filter(|worker| verdicts[*worker] == Verdict::Plain)
                .collect();
            let [owner] = mine[..] else {
                panic!("{verdicts:?}")
            };
            let handed = |verdict: &Verdict| {
                *verdict
                    == Verdict::HandOver {
                        worker: owner as u16,
                        ports: None,
                    }
            };
            assert!(
                verdicts
                    .iter()
                    .enumerate()
                    .all(|(worker, verdict)| worker == owner || handed(verdict))
            );
            owner
        };
        let mut owners = std::collections::HashSet::new();
        for host in 1..40 {
            let host = format!("2001:db8:1::{host:x}");
            let out = udp6((&host, 5000), (REMOTE, 53));
            let owner = owner_of(workers.iter_mut().map(|world| world.out6(&out)).collect());
            let whole = v6(REMOTE, &host).udp(53, 5000, &[7; 3000]);
            let mut back = craft::fragments(&whole, 1500, 77);
            back.push(udp6((REMOTE, 53), (&host, 5000)));
            back.push(error6(ROUTER, &host, 2, &out, 1000));
            for frame in back {
                let verdicts = workers.iter_mut().map(|world| world.in6(&frame)).collect();
                assert_eq!(owner_of(verdicts), owner);
            }
            owners.insert(owner);
        }
        assert_eq!(owners.len(), usize::from(count));
    }
}

#[test]
fn nothing_breaks_on_any_bytes() {
    let mut world = only_outbound();
    let frame = v6(REMOTE, HOST)
        .hop_by_hop()
        .fragment(7, 0, false)
        .tcp(80, 5000, SYN, b"data");
    for length in 0..frame.len() - 14 {
        let cut = &frame[14..14 + length];
        let _ = world.nat.inbound_v6(&world.rules, cut, world.now);
        let _ = world.nat.outbound_v6(&world.rules, cut, world.now);
    }
    assert_eq!(
        world.nat.inbound_v6(&world.rules, &[], world.now),
        Verdict::Refused(Refusal::Malformed)
    );
}
