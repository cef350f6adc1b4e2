//! Random packets, changes of rules, and time, against the reference model. After each step:
//!
//! (a) what goes out and comes back is what it was, byte for byte but for what routers change;
//! (b) no two live flows share an outside tuple;
//! (c) every port is free, resting or owned;
//! (d) all checksums hold.

mod common;
mod model;

use std::net::Ipv4Addr;

use common::*;
use model::{End, Model, Out};
use proptest::prelude::*;
use vtepd_nat::{Capacity, Description, PoolIndex, Protocol, Refusal, Settings, Timeouts, Verdict};
use vtepd_wire::craft;

/// One worker of 64: it has 16 ports below 1024 of each address, which are soon exhausted.
const WORKER: u16 = 5;
const WORKERS: u16 = 64;
const ADDRESSES: [&str; 2] = ["10.100.0.5", "10.100.0.6"];

#[derive(Clone, Debug)]
enum Step {
    Out {
        protocol: Protocol,
        host: usize,
        port: usize,
        remote: usize,
        flags: u8,
    },
    /// To the tuple of a session, or beside it.
    In {
        which: prop::sample::Index,
        aside: u8,
        flags: u8,
    },
    /// An error about a session, from the outside or the inside.
    Error {
        which: prop::sample::Index,
        inside: bool,
    },
    Wait(u32),
    /// An outside address goes, or comes back.
    Toggle(usize),
    Delete {
        which: prop::sample::Index,
    },
}

fn flags() -> impl Strategy<Value = u8> {
    prop_oneof![
        6 => Just(SYN),
        3 => Just(SYN | ACK),
        4 => Just(ACK),
        2 => Just(FIN | ACK),
        1 => Just(RST),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let protocol = prop::sample::select(&Protocol::ALL[..]);
    prop_oneof![
        12 => (protocol, 0usize..4, 0usize..12, 0usize..3, flags()).prop_map(
            |(protocol, host, port, remote, flags)| Step::Out { protocol, host, port, remote, flags }
        ),
        8 => (any::<prop::sample::Index>(), 0u8..6, flags())
            .prop_map(|(which, aside, flags)| Step::In { which, aside, flags }),
        2 => (any::<prop::sample::Index>(), any::<bool>())
            .prop_map(|(which, inside)| Step::Error { which, inside }),
        2 => prop_oneof![Just(1u32), 1u32..15, 1u32..120].prop_map(Step::Wait),
        1 => (0usize..2).prop_map(Step::Toggle),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Delete { which }),
    ]
}

struct Run {
    world: World,
    model: Model,
    hosts: Vec<Ipv4Addr>,
    ports: Vec<u16>,
    /// The pool of each address, if it is open.
    pools: [Option<u16>; 2],
    next_pool: u16,
}

fn end(end: End) -> (String, u16) {
    (end.0.to_string(), end.1)
}

fn packet(protocol: Protocol, source: End, destination: End, flags: u8) -> Vec<u8> {
    let (from, to) = (end(source), end(destination));
    let (from, to) = ((from.0.as_str(), from.1), (to.0.as_str(), to.1));
    match protocol {
        Protocol::Udp => udp(from, to),
        Protocol::Tcp => tcp(from, to, flags),
        Protocol::Icmp if flags == ACK => pong(from.0, to.0, from.1.max(to.1)),
        Protocol::Icmp => ping(from.0, to.0, from.1.max(to.1)),
    }
}

impl Run {
    fn new() -> Self {
        let capacity = Capacity {
            sessions: 2000,
            pools: 64,
            ..small()
        };
        let settings = Settings {
            timeouts: Timeouts {
                tcp_established: model::ESTABLISHED,
                tcp_transitory: model::TRANSITORY,
                udp: model::UDP,
                icmp: model::ICMP,
                rest: model::REST,
                ..Timeouts::default()
            },
            ..Settings::default()
        };
        let world = World::worker(WORKER, WORKERS, capacity, settings, &Description::default());
        let slices = *world.nat.slices();
        let mine = |host: &Ipv4Addr| slices.inside_owner(router(), *host) == WORKER;
        let hosts = (0..10_000u32).map(|n| Ipv4Addr::from_bits(0xc0a8_0001 + n));
        let mut run = Self {
            world,
            model: Model::default(),
            hosts: hosts.filter(mine).take(4).collect(),
            ports: (1..=u16::MAX)
                .filter(|port| slices.outside_owner(*port) == WORKER)
                .collect(),
            pools: [None; 2],
            next_pool: 0,
        };
        run.toggle(0);
        run.toggle(1);
        run
    }

    fn toggle(&mut self, which: usize) {
        let text = ADDRESSES[which];
        let closing = self.pools[which].take();
        if closing.is_none() {
            let pool = self.next_pool;
            self.next_pool += 1;
            let opened = self
                .world
                .nat
                .open_pool(PoolIndex(pool), owner(address(text), router()));
            if opened.is_err() {
                return; // More changes than pools.
            }
            self.pools[which] = Some(pool);
            self.model.open.push(address(text));
        }
        let open = self.pools.iter().zip(ADDRESSES);
        let description = Description {
            outside: open
                .filter_map(|(pool, text)| Some(outside(text, (*pool)?)))
                .collect(),
            ..Description::default()
        };
        self.world.describe(&description);
        if let Some(pool) = closing {
            self.world.nat.close_pool(PoolIndex(pool));
            self.model.close(address(text));
        }
    }

    fn out(
        &mut self,
        protocol: Protocol,
        inside: End,
        remote: End,
        flags: u8,
    ) -> Result<(), TestCaseError> {
        let now = self.world.now;
        let before = packet(protocol, inside, remote, flags);
        let (verdict, after) = self.world.out_verdict(&before);
        let seen = (source(&after), ports(&after).0);
        let echo = protocol != Protocol::Icmp || flags != ACK;
        match self.model.out(protocol, inside, remote, flags, now) {
            Out::As(outside) => {
                prop_assert_eq!(verdict, TRANSLATED);
                prop_assert_eq!(seen, outside);
            }
            Out::Refused(refusal) => {
                prop_assert_eq!(verdict, Verdict::Refused(refusal));
                return Ok(());
            }
            Out::Opens if !echo => {
                prop_assert_eq!(verdict, Verdict::Refused(Refusal::NoSession));
                return Ok(());
            }
            Out::Opens => {
                let outside = match verdict {
                    TRANSLATED => Some(seen),
                    Verdict::Refused(Refusal::PortsExhausted) => None,
                    other => return Err(TestCaseError::fail(format!("{other:?}"))),
                };
                self.model
                    .opened(protocol, inside, remote, outside, &self.ports, now)
                    .map_err(TestCaseError::fail)?;
                if outside.is_none() {
                    return Ok(());
                }
            }
        }
        // (a) Nothing but the source has changed.
        prop_assert_eq!(
            after,
            packet(
                protocol,
                seen,
                (remote.0, port_of(protocol, remote, seen)),
                flags
            )
        );
        Ok(())
    }

    fn inn(
        &mut self,
        protocol: Protocol,
        remote: End,
        outside: End,
        flags: u8,
    ) -> Result<(), TestCaseError> {
        let before = packet(
            protocol,
            (remote.0, port_of(protocol, remote, outside)),
            outside,
            flags,
        );
        let (verdict, after) = self.world.in_verdict(&before);
        match self
            .model
            .inn(protocol, remote, outside, flags, self.world.now)
        {
            Ok(inside) => {
                prop_assert_eq!(verdict, TRANSLATED);
                let expected = packet(
                    protocol,
                    (remote.0, port_of(protocol, remote, inside)),
                    inside,
                    flags,
                );
                prop_assert_eq!(after, expected);
            }
            Err(Refusal::NoSession) if protocol == Protocol::Icmp && flags != ACK => {
                prop_assert_eq!(verdict, Verdict::ToRouter);
            }
            Err(refusal) => prop_assert_eq!(verdict, Verdict::Refused(refusal)),
        }
        Ok(())
    }

    /// Errors are translated by the session, and change nothing of it.
    fn error(&mut self, session: &model::Session, inside: bool) -> Result<(), TestCaseError> {
        let model::Session {
            protocol,
            inside: host,
            outside,
            remote,
            ..
        } = *session;
        let sent = (remote.0, port_of(protocol, remote, host));
        let far = (remote.0, port_of(protocol, remote, outside));
        let (before, expected) = if inside {
            (
                packet(protocol, sent, host, ACK),
                packet(protocol, far, outside, ACK),
            )
        } else {
            (
                packet(protocol, outside, far, ACK),
                packet(protocol, host, sent, ACK),
            )
        };
        let server = remote.0.to_string();
        let arrived = if inside {
            self.world
                .out(&error(&host.0.to_string(), &server, 3, &before, 500))
        } else {
            self.world
                .inn(&error(&server, &outside.0.to_string(), 3, &before, 500))
        };
        prop_assert_eq!(&quote(&arrived)[14..], &expected[14..]);
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Out {
                protocol,
                host,
                port,
                remote,
                flags,
            } => {
                let port = [80, 81, 82, 83, 84, 85, 86, 87, 500, 501, 5000, 50_001][port];
                let remote = (address([SERVER, SERVER2, "203.0.113.9"][remote]), 53);
                let remote = (
                    remote.0,
                    if protocol == Protocol::Icmp {
                        0
                    } else {
                        remote.1
                    },
                );
                self.out(protocol, (self.hosts[host], port), remote, flags)?;
            }
            Step::In {
                which,
                aside,
                flags,
            } => {
                let Some(session) = self.pick(which) else {
                    return Ok(());
                };
                let (mut remote, mut outside) = (session.remote, session.outside);
                match aside {
                    0 => remote.0 = address("203.0.113.77"),
                    1 if session.protocol != Protocol::Icmp => remote.1 += 1,
                    // Of this worker's slice, and perhaps nobody's.
                    2 => outside.1 ^= 1,
                    _ => {}
                }
                if outside.1 != 0 {
                    self.inn(session.protocol, remote, outside, flags)?;
                }
            }
            Step::Error { which, inside } => {
                if let Some(session) = self.pick(which) {
                    self.error(&session, inside)?;
                }
            }
            Step::Wait(seconds) => {
                for _ in 0..seconds {
                    self.world.now += 1;
                    while self.world.nat.tick(self.world.now, 64) {}
                    self.model.pass(self.world.now);
                }
            }
            Step::Toggle(which) => self.toggle(which),
            Step::Delete { which } => {
                if let Some(session) = self.pick(which) {
                    let filter = vtepd_nat::SessionFilter {
                        protocol: Some(session.protocol),
                        inside: Some(session.inside.0),
                        inside_port: Some(session.inside.1),
                        ..Default::default()
                    };
                    let now = self.world.now;
                    let (ended, _) = self.world.nat.delete_sessions(&filter, 0, u32::MAX, now);
                    let before = self.model.sessions.len();
                    self.model.sessions.retain(|other| {
                        (other.protocol, other.inside) != (session.protocol, session.inside)
                    });
                    self.model.pass(now);
                    prop_assert_eq!(ended as usize, before - self.model.sessions.len());
                }
            }
        }
        self.agree()
    }

    fn pick(&self, which: prop::sample::Index) -> Option<model::Session> {
        let sessions = &self.model.sessions;
        (!sessions.is_empty()).then(|| which.get(sessions).clone())
    }

    /// Both have the same sessions and the same ports; (b) and (c) are audited inside too.
    fn agree(&self) -> Result<(), TestCaseError> {
        self.world.nat.audit().map_err(TestCaseError::fail)?;
        let mut rows: Vec<_> = self
            .world
            .rows()
            .iter()
            .map(|row| {
                let [inside, outside, remote] =
                    [row.inside, row.outside, row.remote].map(|end| (*end.ip(), end.port()));
                (row.protocol as u8, inside, outside, remote)
            })
            .collect();
        let mut sessions: Vec<_> = self
            .model
            .sessions
            .iter()
            .map(|it| (it.protocol as u8, it.inside, it.outside, it.remote))
            .collect();
        rows.sort_unstable();
        sessions.sort_unstable();
        prop_assert_eq!(&rows, &sessions);
        let mut tuples: Vec<_> = rows.iter().map(|row| (row.0, row.2, row.3)).collect();
        tuples.dedup();
        prop_assert_eq!(tuples.len(), rows.len());
        for (pool, text) in self.pools.iter().zip(ADDRESSES) {
            let Some(pool) = pool else { continue };
            let usage = self.world.nat.pool_usage(PoolIndex(*pool)).unwrap();
            let owned = self
                .model
                .mappings
                .iter()
                .filter(|mapping| mapping.outside.0 == address(text));
            prop_assert_eq!(usage.mappings as usize, owned.count());
            let free: u32 = usage.free.iter().sum();
            prop_assert_eq!(free + usage.mappings, 3 * self.ports.len() as u32);
        }
        Ok(())
    }
}

/// An echo has its identifier at both ends.
fn port_of(protocol: Protocol, remote: End, other: End) -> u16 {
    match protocol {
        Protocol::Icmp => other.1,
        _ => remote.1,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn it_translates_as_the_model_does(steps in prop::collection::vec(step(), 1..150)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step)?;
        }
    }

    /// Whatever is quoted, nothing breaks: what passes is sound, what does not is as it was.
    #[test]
    fn errors_that_quote_anything(
        quoted in prop::collection::vec(any::<u8>(), 0..120),
        fix in any::<bool>(),
        kind in prop::sample::select(&[3u8, 4, 5, 11, 12][..]),
        inside: bool,
    ) {
        let mut world = World::snat();
        world.udp((VM, 5000), (SERVER, 53));
        world.connect((VM, 5000), (SERVER, 80));
        let mut quoted = quoted;
        if fix && quoted.len() >= 20 {
            // A sound header of our own flow, with anything behind it.
            let whole = if inside { udp((SERVER, 53), (VM, 5000)) } else { udp((OUTSIDE, 5000), (SERVER, 53)) };
            quoted[..20].copy_from_slice(&whole[14..34]);
        }
        if inside {
            let _ = world.out_verdict(&ip(VM, SERVER).icmp(kind, 0, 0, &quoted));
        } else {
            let _ = world.in_verdict(&ip(SERVER, OUTSIDE).icmp(kind, 0, 0, &quoted));
        }
        prop_assert_eq!(world.sessions(), 2);
        world.nat.audit().map_err(TestCaseError::fail)?;
    }

    /// Fragments of several datagrams in any order: each is translated as its datagram is, or dropped in time.
    #[test]
    fn fragments_in_any_order(order in Just((0..12usize).collect::<Vec<_>>()).prop_shuffle()) {
        let mut world = World::snat();
        let port = world.udp((VM, 5000), (SERVER, 53));
        let payload = |n: u8| (0..3500u32).map(|at| at as u8 ^ n).collect::<Vec<u8>>();
        let parts: Vec<(u8, Vec<u8>)> = (0..4u8)
            .flat_map(|n| {
                let whole = ip(SERVER, OUTSIDE).may_fragment().udp(53, port, &payload(n));
                craft::fragments(&whole, 1500, 40 + u32::from(n)).into_iter().map(move |part| (n, part))
            })
            .collect();
        prop_assert_eq!(parts.len(), 12);
        let mut held = std::collections::HashMap::new();
        let mut arrived: Vec<Vec<Vec<u8>>> = vec![Vec::new(); 4];
        for at in order {
            let (n, part) = &parts[at];
            match world.in_verdict(part) {
                (TRANSLATED, sent) => arrived[usize::from(*n)].push(sent),
                (Verdict::Hold(number), _) => { held.insert(number, (*n, part.clone())); }
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
            for release in world.releases() {
                let (n, part) = held.remove(&release.number).unwrap();
                arrived[usize::from(n)].push(world.inn(&part));
            }
        }
        prop_assert!(held.is_empty());
        for (n, mut pieces) in arrived.into_iter().enumerate() {
            pieces.sort_by_key(|piece| u16::from_be_bytes([piece[20], piece[21]]) & 0x1fff);
            let datagram: Vec<u8> = pieces.iter().flat_map(|piece| piece[34..].to_vec()).collect();
            let whole = ip(SERVER, VM).payload(17, &datagram);
            prop_assert_eq!(craft::verify(&whole), Ok(()));
            prop_assert_eq!(&datagram[8..], payload(n as u8));
            prop_assert_eq!(&datagram[2..4], 5000u16.to_be_bytes());
        }
    }
}
