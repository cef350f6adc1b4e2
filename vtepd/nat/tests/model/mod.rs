//! The reference: translation as slow and as plain as it can be written. Lists, searched from end to end; no timers, no
//! indexes. It does not choose ports: it says whether the choice that was made was allowed.

use std::net::Ipv4Addr;

use vtepd_nat::{Protocol, Refusal};

pub type End = (Ipv4Addr, u16);

pub const ESTABLISHED: u32 = 100;
pub const TRANSITORY: u32 = 20;
pub const UDP: u32 = 30;
pub const ICMP: u32 = 10;
pub const REST: u32 = 12;

const SYN: u8 = 2;
const FIN: u8 = 1;
const RST: u8 = 4;
const ACK: u8 = 16;

/// What both sides of a connection have sent, inside first.
#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    syn: [bool; 2],
    fin: [bool; 2],
    reset: bool,
}

#[derive(Clone, Debug)]
pub struct Session {
    pub protocol: Protocol,
    pub inside: End,
    pub outside: End,
    pub remote: End,
    last: u32,
    connection: Connection,
}

impl Session {
    fn lasts(&self) -> u32 {
        let Connection { syn, fin, reset } = self.connection;
        match self.protocol {
            Protocol::Udp => UDP,
            Protocol::Icmp => ICMP,
            Protocol::Tcp if syn == [true; 2] && fin != [true; 2] && !reset => ESTABLISHED,
            Protocol::Tcp => TRANSITORY,
        }
    }

    fn segment(&mut self, flags: u8, side: usize) {
        if self.protocol != Protocol::Tcp {
            return;
        }
        let before = self.connection;
        let connection = &mut self.connection;
        let over = before.reset || before.fin == [true; 2];
        let opened = before.syn == [true; 2];
        if flags & RST != 0 {
            connection.reset |= opened && before.fin != [true; 2];
        } else if over && flags & (SYN | ACK | FIN) == SYN {
            *connection = Connection::default();
            connection.syn[side] = true;
        } else if before.reset {
            *connection = Connection {
                syn: [true; 2],
                ..Connection::default()
            };
        } else if !opened {
            connection.syn[side] |= flags & SYN != 0;
        } else {
            connection.fin[side] |= flags & FIN != 0;
        }
    }
}

/// Who has a port, and since when nobody uses it.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub protocol: Protocol,
    pub inside: End,
    pub outside: End,
    rests_since: Option<u32>,
}

#[derive(Default)]
pub struct Model {
    pub sessions: Vec<Session>,
    pub mappings: Vec<Mapping>,
    /// Outside addresses that packets may leave with.
    pub open: Vec<Ipv4Addr>,
}

/// What must become of a packet from inside.
pub enum Out {
    /// It leaves with this source.
    As(End),
    /// It opens a session, with a source that [`Model::opened`] judges.
    Opens,
    Refused(Refusal),
}

impl Model {
    /// Ends what is over at `now`. A mapping rests from when its last session is cleared away.
    pub fn pass(&mut self, now: u32) {
        self.sessions
            .retain(|session| session.last + session.lasts() > now);
        self.settle(now);
        self.mappings
            .retain(|mapping| mapping.rests_since.is_none_or(|since| since + REST > now));
    }

    fn settle(&mut self, now: u32) {
        for mapping in &mut self.mappings {
            let used = self.sessions.iter().any(|session| {
                session.protocol == mapping.protocol && session.outside == mapping.outside
            });
            match (used, mapping.rests_since) {
                (true, _) => mapping.rests_since = None,
                (false, None) => mapping.rests_since = Some(now),
                _ => {}
            }
        }
    }

    pub fn close(&mut self, address: Ipv4Addr) {
        self.open.retain(|open| *open != address);
        self.sessions.retain(|session| session.outside.0 != address);
        self.mappings.retain(|mapping| mapping.outside.0 != address);
    }

    pub fn out(
        &mut self,
        protocol: Protocol,
        inside: End,
        remote: End,
        flags: u8,
        now: u32,
    ) -> Out {
        let session = self.sessions.iter_mut().find(|session| {
            (session.protocol, session.inside, session.remote) == (protocol, inside, remote)
        });
        if let Some(session) = session {
            session.last = now;
            session.segment(flags, 0);
            return Out::As(session.outside);
        }
        let opens = match protocol {
            Protocol::Tcp => flags & (SYN | ACK | RST | FIN) == SYN,
            _ => true,
        };
        match (opens, self.open.is_empty()) {
            (_, true) => Out::Refused(Refusal::NoRule),
            (true, _) => Out::Opens,
            (false, _) => Out::Refused(Refusal::NoSession),
        }
    }

    fn mapping_of(&self, protocol: Protocol, inside: End) -> Option<&Mapping> {
        self.mappings
            .iter()
            .find(|mapping| (mapping.protocol, mapping.inside) == (protocol, inside))
    }

    fn owner(&self, protocol: Protocol, outside: End) -> Option<&Mapping> {
        self.mappings
            .iter()
            .find(|mapping| (mapping.protocol, mapping.outside) == (protocol, outside))
    }

    fn tuple_is_free(&self, protocol: Protocol, outside: End, remote: End) -> bool {
        !self.sessions.iter().any(|session| {
            (session.protocol, session.outside, session.remote) == (protocol, outside, remote)
        })
    }

    /// Judges the source that a new session was given; `None`: it was refused for want of ports. `ports` are all that
    /// could be given.
    pub fn opened(
        &mut self,
        protocol: Protocol,
        inside: End,
        remote: End,
        outside: Option<End>,
        ports: &[u16],
        now: u32,
    ) -> Result<(), String> {
        let class = |port: u16| protocol == Protocol::Icmp || (port < 1024) == (inside.1 < 1024);
        let own = self.mapping_of(protocol, inside).cloned();
        let addresses: Vec<Ipv4Addr> = match &own {
            Some(own) => vec![own.outside.0],
            None => self.open.clone(),
        };
        // Is every port of some address taken that this host could have had?
        let exhausted = |model: &Self, address: Ipv4Addr| {
            ports
                .iter()
                .filter(|port| class(**port))
                .all(|port| model.owner(protocol, (address, *port)).is_some())
        };
        let own_is_free = own
            .as_ref()
            .is_some_and(|own| self.tuple_is_free(protocol, own.outside, remote));
        let Some(outside) = outside else {
            let some = addresses.iter().any(|address| exhausted(self, *address));
            return if !own_is_free && (own.is_some() || some) {
                Ok(())
            } else {
                Err("refused while there were ports".into())
            };
        };
        if !self.open.contains(&outside.0) || !ports.contains(&outside.1) || !class(outside.1) {
            return Err(format!("{outside:?} is not of the pool, slice or class"));
        }
        if !self.tuple_is_free(protocol, outside, remote) {
            return Err(format!("{outside:?} to {remote:?} is another flow's"));
        }
        match (own, self.owner(protocol, outside).cloned()) {
            (Some(own), _) if own_is_free => {
                if own.outside != outside {
                    return Err(format!("{outside:?} for {own:?}"));
                }
            }
            (own, Some(owner)) => {
                if owner.rests_since.is_some() {
                    return Err(format!("{owner:?} rests"));
                }
                if own.is_none() && !exhausted(self, outside.0) {
                    return Err(format!("{outside:?} was borrowed while others were free"));
                }
            }
            (Some(own), None) => return Err(format!("a second mapping besides {own:?}")),
            (None, None) => {
                let kept = ports.contains(&inside.1)
                    && self.owner(protocol, (outside.0, inside.1)).is_none();
                if kept && inside.1 != outside.1 {
                    return Err(format!("{} was not kept though free", inside.1));
                }
                self.mappings.push(Mapping {
                    protocol,
                    inside,
                    outside,
                    rests_since: None,
                });
            }
        }
        self.enter(protocol, inside, outside, remote, 0, now);
        Ok(())
    }

    fn enter(
        &mut self,
        protocol: Protocol,
        inside: End,
        outside: End,
        remote: End,
        side: usize,
        now: u32,
    ) {
        let mut session = Session {
            protocol,
            inside,
            outside,
            remote,
            last: now,
            connection: Connection::default(),
        };
        session.segment(SYN, side);
        self.sessions.push(session);
        self.settle(now);
    }

    /// What must become of a packet from outside: the host inside, or why not.
    pub fn inn(
        &mut self,
        protocol: Protocol,
        remote: End,
        outside: End,
        flags: u8,
        now: u32,
    ) -> Result<End, Refusal> {
        if !self.open.contains(&outside.0) {
            return Err(Refusal::NotOurs);
        }
        let session = self.sessions.iter_mut().find(|session| {
            (session.protocol, session.outside, session.remote) == (protocol, outside, remote)
        });
        if let Some(session) = session {
            session.last = now;
            session.segment(flags, 1);
            return Ok(session.inside);
        }
        let opens = match protocol {
            Protocol::Udp => true,
            Protocol::Tcp => flags & (SYN | ACK | RST | FIN) == SYN,
            Protocol::Icmp => false,
        };
        if !opens {
            return Err(Refusal::NoSession);
        }
        let inside = match self.owner(protocol, outside) {
            Some(owner) if owner.rests_since.is_none() => owner.inside,
            _ => return Err(Refusal::NoMapping),
        };
        let talks = self.sessions.iter().any(|session| {
            (session.protocol, session.inside, session.remote) == (protocol, inside, remote)
        });
        if talks {
            return Err(Refusal::TupleTaken);
        }
        self.enter(protocol, inside, outside, remote, 1, now);
        Ok(inside)
    }
}
