//! A translator with one router, and packets in one line.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::Ipv4Addr;

use vtepd_nat::{
    Capacity, Description, Event, Externals, Fate, FloatingIp, OutsideAddress, PoolIndex,
    PoolOwner, PortPair, Protocol, Refusal, Release, Rules, SessionFilter, SessionRow, Settings,
    Slices, SubscriberIndex, Translator, Verdict,
};
use vtepd_tables::VrfIndex;
use vtepd_wire::craft::{self, Packet};
use vtepd_wire::hash::KeyedHash;

/// The first outside address of [`World::snat`].
pub const OUTSIDE: &str = "10.100.0.5";
/// A host inside.
pub const VM: &str = "192.168.1.9";
/// Another.
pub const VM2: &str = "192.168.1.10";
/// A host outside.
pub const SERVER: &str = "10.100.0.14";
/// Another.
pub const SERVER2: &str = "198.51.100.7";

pub const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;
pub const RST: u8 = 0x04;
pub const FIN: u8 = 0x01;

pub const TRANSLATED: Verdict = Verdict::Translated { hairpin: false };
pub const HAIRPIN: Verdict = Verdict::Translated { hairpin: true };

pub fn router() -> VrfIndex {
    VrfIndex::new(1).unwrap()
}

pub fn address(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub fn small() -> Capacity {
    Capacity {
        sessions: 1000,
        pools: 8,
        subscribers: 8,
        datagrams: 64,
        held: 32,
        outbound_only: 16,
        log: 0,
    }
}

pub fn floating(outside: &str, inside: &str) -> FloatingIp {
    FloatingIp {
        outside: address(outside),
        inside: address(inside),
    }
}

pub fn outside(address_of: &str, pool: u16) -> OutsideAddress {
    OutsideAddress {
        address: address(address_of),
        pool: PoolIndex(pool),
    }
}

/// One worker, one router, one tenant.
pub struct World {
    pub nat: Translator,
    pub rules: Rules,
    pub externals: Externals,
    pub now: u32,
}

impl World {
    pub fn new(capacity: Capacity, settings: Settings, description: &Description) -> Self {
        Self::worker(0, 1, capacity, settings, description)
    }

    pub fn worker(
        worker: u16,
        workers: u16,
        capacity: Capacity,
        settings: Settings,
        description: &Description,
    ) -> Self {
        let slices = Slices::new(worker, workers, KeyedHash::new(11, 12)).unwrap();
        let now = 1000;
        let mut nat = Translator::new(
            capacity,
            settings,
            slices,
            KeyedHash::new(21 + u64::from(worker), 22),
            now,
        );
        for outside in &description.outside {
            nat.open_pool(outside.pool, owner(outside.address, router()))
                .unwrap();
        }
        let rules = Rules::new(router(), description).unwrap();
        let externals = Externals::new([&rules]).unwrap();
        Self {
            nat,
            rules,
            externals,
            now,
        }
    }

    /// SNAT by one address, everything by default.
    pub fn snat() -> Self {
        Self::with(Settings::default(), Description::default())
    }

    /// SNAT by one address besides what is described.
    pub fn with(settings: Settings, mut description: Description) -> Self {
        description.outside.push(outside(OUTSIDE, 0));
        Self::new(small(), settings, &description)
    }

    pub fn set(&mut self, change: impl FnOnce(&mut Settings)) {
        let mut settings = *self.nat.settings();
        change(&mut settings);
        self.nat.set(settings);
    }

    pub fn describe(&mut self, description: &Description) {
        self.rules = Rules::new(router(), description).unwrap();
        self.externals = Externals::new([&self.rules]).unwrap();
    }

    /// Sends a frame's packet out. What is refused must be as it was.
    pub fn out_verdict(&mut self, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let mut sent = frame.to_vec();
        let verdict = self
            .nat
            .outbound(&self.rules, &self.externals, &mut sent[14..], self.now);
        check(&verdict, frame, &sent);
        (verdict, sent)
    }

    pub fn in_verdict(&mut self, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let mut sent = frame.to_vec();
        let verdict = self.nat.inbound(&self.rules, &mut sent[14..], self.now);
        check(&verdict, frame, &sent);
        (verdict, sent)
    }

    pub fn in_with_ports(&mut self, frame: &[u8], ports: PortPair) -> (Verdict, Vec<u8>) {
        let mut sent = frame.to_vec();
        let nat = &mut self.nat;
        let verdict = nat.inbound_with_ports(&self.rules, &mut sent[14..], ports, self.now);
        check(&verdict, frame, &sent);
        (verdict, sent)
    }

    /// Sends a packet out, which must be translated.
    #[track_caller]
    pub fn out(&mut self, frame: &[u8]) -> Vec<u8> {
        let (verdict, sent) = self.out_verdict(frame);
        assert_eq!(verdict, TRANSLATED);
        sent
    }

    #[track_caller]
    pub fn inn(&mut self, frame: &[u8]) -> Vec<u8> {
        let (verdict, sent) = self.in_verdict(frame);
        assert_eq!(verdict, TRANSLATED);
        sent
    }

    #[track_caller]
    pub fn out_refused(&mut self, frame: &[u8]) -> Refusal {
        refusal(self.out_verdict(frame).0)
    }

    #[track_caller]
    pub fn in_refused(&mut self, frame: &[u8]) -> Refusal {
        refusal(self.in_verdict(frame).0)
    }

    /// Lets seconds pass, one by one.
    pub fn wait(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.now += 1;
            while self.nat.tick(self.now, 64) {}
        }
        self.nat.audit().unwrap();
    }

    pub fn rows(&self) -> Vec<SessionRow> {
        let mut rows = Vec::new();
        let filter = SessionFilter::default();
        self.nat
            .list_sessions(&filter, 0, u32::MAX, self.now, |row| {
                rows.push(row);
                std::ops::ControlFlow::Continue(())
            });
        rows
    }

    pub fn sessions(&self) -> usize {
        self.nat.usage().sessions.used
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.nat.next_event()).collect()
    }

    pub fn releases(&mut self) -> Vec<Release> {
        std::iter::from_fn(|| self.nat.next_release()).collect()
    }

    pub fn fates(&mut self) -> Vec<Fate> {
        self.releases().iter().map(|release| release.fate).collect()
    }

    /// An inside endpoint talks to an outside one by UDP; returns its outside port.
    #[track_caller]
    pub fn udp(&mut self, source: (&str, u16), destination: (&str, u16)) -> u16 {
        let sent = self.out(&udp(source, destination));
        ports(&sent).0
    }

    /// A connection from inside is made; returns its outside port.
    #[track_caller]
    pub fn connect(&mut self, source: (&str, u16), destination: (&str, u16)) -> u16 {
        let sent = self.out(&tcp(source, destination, SYN));
        let port = ports(&sent).0;
        self.inn(&tcp(destination, (OUTSIDE, port), SYN | ACK));
        self.out(&tcp(source, destination, ACK));
        port
    }
}

fn check(verdict: &Verdict, before: &[u8], after: &[u8]) {
    if matches!(verdict, Verdict::Translated { .. }) {
        assert_eq!(craft::verify(after), craft::verify(before));
    } else {
        assert_eq!(before, after, "{verdict:?} must leave the packet alone");
    }
}

#[track_caller]
pub fn refusal(verdict: Verdict) -> Refusal {
    match verdict {
        Verdict::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

pub fn owner(address: Ipv4Addr, router: VrfIndex) -> PoolOwner {
    PoolOwner {
        router,
        subscriber: SubscriberIndex(0),
        address,
    }
}

pub fn ip(source: &str, destination: &str) -> Packet {
    craft::ethernet([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4(source, destination)
        .identification(0x1234)
}

pub fn udp(source: (&str, u16), destination: (&str, u16)) -> Vec<u8> {
    ip(source.0, destination.0).udp(source.1, destination.1, b"data")
}

pub fn tcp(source: (&str, u16), destination: (&str, u16), flags: u8) -> Vec<u8> {
    ip(source.0, destination.0).tcp(source.1, destination.1, flags, b"data")
}

pub fn ping(source: &str, destination: &str, identifier: u16) -> Vec<u8> {
    ip(source, destination).icmp_echo(identifier, 1, b"data")
}

pub fn pong(source: &str, destination: &str, identifier: u16) -> Vec<u8> {
    ip(source, destination).icmp_echo_reply(identifier, 1, b"data")
}

/// An ICMP error about a frame's packet, quoting `quoted` bytes of it.
pub fn error(source: &str, destination: &str, kind: u8, about: &[u8], quoted: usize) -> Vec<u8> {
    let packet = &about[14..];
    let quote = &packet[..quoted.min(packet.len())];
    ip(source, destination).icmp(kind, 3, 0, quote)
}

pub fn source(frame: &[u8]) -> Ipv4Addr {
    Ipv4Addr::from(*frame[26..].first_chunk::<4>().unwrap())
}

pub fn destination(frame: &[u8]) -> Ipv4Addr {
    Ipv4Addr::from(*frame[30..].first_chunk::<4>().unwrap())
}

fn short(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// Of a packet without options; of an echo, twice its identifier.
pub fn ports(frame: &[u8]) -> (u16, u16) {
    match Protocol::from_number(frame[23]).unwrap() {
        Protocol::Icmp => (short(frame, 38), short(frame, 38)),
        _ => (short(frame, 34), short(frame, 36)),
    }
}

pub fn identification(frame: &[u8]) -> u16 {
    short(frame, 18)
}

/// What an error quotes, as a frame.
pub fn quote(frame: &[u8]) -> Vec<u8> {
    [&frame[..14], &frame[42..]].concat()
}
