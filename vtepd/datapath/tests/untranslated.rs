//! Nothing that should be translated leaves in another way: whatever stations send, whatever
//! comes from outside, and while the rules change. What leaves is sound, and every packet is
//! accounted for (the fixture asserts that with each).

mod common;

use std::sync::Arc;

use common::*;
use proptest::prelude::*;
use vtepd_nat::{Settings, UnsolicitedSyn};
use vtepd_tables::InterfaceIndex;
use vtepd_tables::translation::{Description, Protocol, Rules};
use vtepd_wire::craft::{self, Packet};

/// Bits: SNAT, floating IPs, forwardings, exempt, same scope.
fn description(bits: u8) -> Description {
    let bit = |position: u8| bits >> position & 1 == 1;
    let mut made = snat(if bit(0) {
        &[QG_IP, "198.51.100.21"][..]
    } else {
        &[]
    });
    if bit(1) {
        made.floating_ips = floating(&[(FIP1, VM1_IP), (FIP6, VM6_IP)]);
    }
    if bit(2) {
        let to =
            |port, inside: &str| forwarding(Protocol::Tcp, &format!("{SHARED_IP}:{port}"), inside);
        made.forwardings = vec![to(80, "10.0.0.2:80"), to(81, "10.1.0.6:7")];
    }
    if bit(3) {
        made.exempt = vec!["203.0.113.0/28".parse().unwrap()];
    }
    if bit(4) {
        made.same_scope = vec!["10.1.0.0/16".parse().unwrap()];
    }
    made
}

/// What one router must not do, another may: on the central host, floating IPs are the one's
/// and SNAT the other's.
fn split(whole: &Description) -> [Description; 2] {
    let own = Description {
        outside: Vec::new(),
        forwardings: Vec::new(),
        ..whole.clone()
    };
    let central = Description {
        floating_ips: Vec::new(),
        ..whole.clone()
    };
    [own, central]
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Alone,
    Central,
    Compute,
}

impl Role {
    fn rules(self, whole: &Description) -> Vec<(u16, Description)> {
        let [own, central] = split(whole);
        match self {
            Self::Alone => vec![(ROUTER_1, whole.clone())],
            Self::Central => vec![(ROUTER_1, own), (CENTRAL, central)],
            Self::Compute => vec![(ROUTER_1, own)],
        }
    }

    /// Has a host go by these rules.
    fn publish(self, host: &mut Host, bits: u8) -> Vec<(u16, Description)> {
        let rules = self.rules(&description(bits));
        let compiled: Vec<_> = rules
            .iter()
            .map(|(router, rules)| Arc::new(Rules::new(vrf(*router), rules).unwrap()))
            .collect();
        host.publish_rules(public(), &compiled);
        rules
    }

    fn host(self, whole: &Description) -> Host {
        let [own, central] = split(whole);
        match self {
            Self::Alone => outside_host(whole),
            Self::Central => central_host(&own, &central),
            Self::Compute => compute_host(&own),
        }
    }
}

#[derive(Clone, Debug)]
enum Message {
    Udp(usize),
    Tcp(u8),
    Icmp(u8, u8),
    /// An error that quotes a packet: kind, whose, to whom.
    Quote(u8, usize, usize),
    Other(u8, Vec<u8>),
    /// Part of a datagram: where it begins in eights, whether more follow.
    Part(u8, u16, bool),
}

#[derive(Clone, Debug)]
enum Step {
    Packet {
        from: usize,
        source: usize,
        destination: usize,
        ports: (u8, u8),
        ttl: u8,
        options: bool,
        whole: bool,
        message: Message,
    },
    Rules(u8),
    Time(u8),
}

const ADDRESSES: [&str; 16] = [
    FAR_IP,
    OUT_IP,
    QG_IP,
    FIP1,
    FIP6,
    SHARED_IP,
    VM1_IP,
    VM2_IP,
    VM6_IP,
    VM4_IP,
    SG_RED_IP,
    GW_RED_IP,
    FG_IP,
    "198.51.100.77",
    "198.51.100.21",
    "10.0.0.77",
];

fn message() -> impl Strategy<Value = Message> {
    let address = 0..ADDRESSES.len();
    prop_oneof![
        4 => prop_oneof![Just(8usize), Just(1472), Just(1600)].prop_map(Message::Udp),
        4 => any::<u8>().prop_map(Message::Tcp),
        3 => (prop_oneof![Just(0u8), Just(8), any::<u8>()], any::<u8>())
            .prop_map(|(kind, code)| Message::Icmp(kind, code)),
        3 => (prop_oneof![Just(3u8), Just(11), Just(12)], address.clone(), address)
            .prop_map(|(kind, from, to)| Message::Quote(kind, from, to)),
        1 => (any::<u8>(), prop::collection::vec(any::<u8>(), 0..64))
            .prop_map(|(protocol, bytes)| Message::Other(protocol, bytes)),
        3 => (prop_oneof![Just(17u8), Just(6), Just(1)], 0u16..4, any::<bool>())
            .prop_map(|(protocol, at, more)| Message::Part(protocol, at, more)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let packet = (
        (0usize..6, 0..ADDRESSES.len(), 0..ADDRESSES.len()),
        (0u8..4, 0u8..4),
        prop_oneof![4 => Just(64u8), 1 => 0u8..6],
        prop::bool::weighted(0.1),
        any::<bool>(),
        message(),
    );
    prop_oneof![
        20 => packet.prop_map(|(ends, ports, ttl, options, whole, message)| {
            let (from, source, destination) = ends;
            Step::Packet { from, source, destination, ports, ttl, options, whole, message }
        }),
        1 => (0u8..32).prop_map(Step::Rules),
        1 => (1u8..10).prop_map(Step::Time),
    ]
}

/// Where a packet comes in, and between which MACs. Stations send from their own address half
/// the time.
fn begin(from: usize, source: usize, destination: usize) -> (InterfaceIndex, Packet) {
    let address = ADDRESSES[source];
    let own = |own: &'static str| {
        if source.is_multiple_of(2) {
            own
        } else {
            address
        }
    };
    let to = ADDRESSES[destination];
    match from {
        0 => (PORT1, craft::ethernet(GW_RED, VM1).ipv4(own(VM1_IP), to)),
        1 => (PORT2, craft::ethernet(GW_RED, VM2).ipv4(own(VM2_IP), to)),
        2 => (PORT4, craft::ethernet(GW_BLUE, VM6).ipv4(own(VM6_IP), to)),
        3 => (
            UNDERLAY,
            craft::ethernet(SG_RED, PEER_HM).ipv4(own(VM4_IP), to),
        ),
        4 => (EXT, craft::ethernet(QG, OUT).ipv4(own(OUT_IP), to)),
        _ => (EXT, craft::ethernet(FG, ROUTER).ipv4(own(FAR_IP), to)),
    }
}

/// Few ports, so that packets meet sessions.
fn port(number: u8) -> u16 {
    [80, 81, 4000, 4001][usize::from(number) % 4]
}

fn frame(packet: Packet, (from, to): (u8, u8), message: &Message) -> Vec<u8> {
    let (from, to) = (port(from), port(to));
    match message {
        Message::Udp(len) => packet.udp(from, to, &vec![7; *len]),
        Message::Tcp(flags) => packet.tcp(from, to, *flags, b"x"),
        Message::Icmp(kind, code) => packet.icmp(*kind, *code, u32::from(from) << 16, b"x"),
        Message::Quote(kind, source, destination) => {
            let (source, destination) = (ADDRESSES[*source], ADDRESSES[*destination]);
            let quoted = craft::ethernet(VM1, VM2).ipv4(source, destination);
            packet.icmp(*kind, 1, 0, &quoted.udp(from, to, b"x")[14..])
        }
        Message::Other(protocol, bytes) => packet.payload(*protocol, bytes),
        Message::Part(protocol, at, more) => {
            let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
            let payload = [&ports[..], &[0x50; 28]].concat();
            packet
                .may_fragment()
                .fragment(7, at * 8, *more)
                .payload(*protocol, &payload)
        }
    }
}

/// The frame of a step, and where it comes in.
fn arrives(step: &Step) -> (InterfaceIndex, Vec<u8>) {
    let Step::Packet {
        from,
        source,
        destination,
        ports,
        ttl,
        options,
        whole,
        message,
    } = step
    else {
        panic!("no packet");
    };
    let (interface, packet) = begin(*from, *source, *destination);
    let mut packet = packet.ttl(*ttl);
    if *options {
        packet = packet.options(&[1, 1, 1, 0]);
    }
    if !*whole {
        packet = packet.may_fragment();
    }
    let frame = frame(packet, *ports, message);
    match interface {
        UNDERLAY => (interface, tunnelled(&frame)),
        _ => (interface, frame),
    }
}

fn assert_nothing_leaks(
    sent: &[(InterfaceIndex, Vec<u8>)],
    rules: &[(u16, Description)],
) -> Result<(), TestCaseError> {
    let rules: Vec<&Description> = rules.iter().map(|(_, rules)| rules).collect();
    for (to, frame) in sent {
        if *to == EXT {
            prop_assert_eq!(leak(frame, &rules), None, "{:02x?}", frame);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_leaves_untranslated(
        role in prop_oneof![Just(Role::Alone), Just(Role::Central), Just(Role::Compute)],
        bits in 0u8..32,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        // All pools are open from the start, whatever rules use them.
        let mut host = role.host(&description(0b11111));
        let mut rules = role.publish(&mut host, bits);
        let mut now = 0u32;
        for step in &steps {
            match step {
                Step::Rules(bits) => rules = role.publish(&mut host, *bits),
                Step::Time(seconds) => {
                    now += u32::from(*seconds);
                    let aged = host.age(now);
                    assert_nothing_leaks(&aged.sent, &rules)?;
                    let resumed = host.resume();
                    assert_nothing_leaks(&resumed, &rules)?;
                }
                Step::Packet { .. } => {
                    let (interface, frame) = arrives(step);
                    let sound = craft::verify(&frame).is_ok();
                    let outcome = host.send(interface, &frame);
                    assert_nothing_leaks(&outcome.sent, &rules)?;
                    for (_, sent) in &outcome.sent {
                        prop_assert!(!sound || craft::verify(sent).is_ok(), "{:02x?}", sent);
                    }
                }
            }
        }
        // Nothing waits for ever.
        host.age(now + 10);
        host.state.set_time(now + 20);
        host.resume();
        prop_assert_eq!((host.held(), host.waiting()), (0, 0));
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The same by three workers, whichever of them a packet comes to.
    #[test]
    fn nothing_leaves_untranslated_by_several_workers(
        role in prop_oneof![Just(Role::Alone), Just(Role::Central)],
        bits in 0u8..32,
        steps in prop::collection::vec((step(), 0usize..3), 1..60),
    ) {
        let whole = description(0b11111);
        let owner = role.rules(&whole).pop().unwrap();
        let host = role.host(&whole);
        let settings = Settings {
            unsolicited_syn: UnsolicitedSyn::Unreachable,
            ..Settings::default()
        };
        let mut all = Several::new(host, 3, (owner.0, &owner.1), settings);
        let mut rules = role.publish(&mut all.host, bits);
        let mut now = 0u32;
        for (step, worker) in &steps {
            match step {
                Step::Rules(bits) => rules = role.publish(&mut all.host, *bits),
                Step::Time(seconds) => {
                    now += u32::from(*seconds);
                    assert_nothing_leaks(&all.age(now).sent, &rules)?;
                    assert_nothing_leaks(&all.resume().sent, &rules)?;
                }
                Step::Packet { .. } => {
                    let (interface, frame) = arrives(step);
                    let sound = craft::verify(&frame).is_ok();
                    let crossed = all.send(*worker, interface, &frame);
                    assert_nothing_leaks(&crossed.sent, &rules)?;
                    for (_, sent) in &crossed.sent {
                        prop_assert!(!sound || craft::verify(sent).is_ok(), "{:02x?}", sent);
                    }
                }
            }
        }
        prop_assert_eq!(all.audit(), Ok(()));
        // Nothing waits for ever.
        all.age(now + 10);
        all.resume();
        prop_assert_eq!((all.held(), all.waiting()), (0, 0));
    }
}
