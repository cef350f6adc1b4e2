//! Workers for one packet: the same code on the same tables, with translators of their own. What the real ones
//! have of the packet's sessions is copied to them first, so that they decide as those would.

use std::net::SocketAddrV4;
use std::sync::Arc;

use vtepd_datapath::memory::{MemoryIo, MemoryPacket};
use vtepd_datapath::observer::{Decision, Recorder};
use vtepd_datapath::{
    AskError, Burst, Channel, Delivery, DropReason, Pipeline, Seconds, SessionCursor, Translators,
    WorkerCounters, WorkerState,
};
use vtepd_nat::{Capacity, SessionFilter, SessionRow, Settings, Slices, Translator};
use vtepd_tables::translation::Protocol;
use vtepd_tables::{InterfaceIndex, Tables, TablesReader, VrfIndex};
use vtepd_wire::ethernet::ETHERTYPE_IPV4;
use vtepd_wire::flow::FlowHasher;
use vtepd_wire::hash::KeyedHash;
use vtepd_wire::ipv4::{PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP};
use vtepd_wire::{FromBytes, frame, icmp, ipv4, udp, vxlan};

use super::Control;

/// Events and commands of the one packet.
const QUEUE: usize = 64;
/// Sessions that are copied for one packet, of each kind: those of its station's port, of its
/// outside port, and of whoever else may have that.
const COPIED: usize = 64;
/// Sessions that a translator for one packet has room for.
const SESSIONS: u32 = 4 * COPIED as u32;
/// From one worker to another and back, and once more: out and in again.
const CROSSINGS: usize = 4;

/// What is needed for it besides the control side.
pub struct Laboratory {
    pub tables: Arc<Tables>,
    pub flows: FlowHasher,
    pub clock: Arc<Seconds>,
    /// How many workers there are.
    pub workers: u16,
    /// Which of them owns what follows from it.
    pub secret: KeyedHash,
}

/// What the workers' translators have been told, and know of a packet.
#[derive(Default)]
pub struct Known {
    pub told: Told,
    /// By worker.
    pub sessions: Vec<(u16, SessionRow)>,
    /// Why that is not known.
    pub unknown: Option<AskError>,
}

/// How translators are set up: see [`Control::told`].
#[derive(Default)]
pub struct Told {
    pub capacity: Option<Capacity>,
    pub requests: Vec<vtepd_datapath::NatRequest>,
}

/// One of the workers.
struct Member {
    state: WorkerState,
    io: MemoryIo,
    pipeline: Pipeline<MemoryPacket>,
}

/// The workers for one packet. The first one receives it.
pub struct Experiment {
    reader: TablesReader,
    members: Vec<Option<Member>>,
    ios: Vec<Option<MemoryIo>>,
    flows: FlowHasher,
    secret: KeyedHash,
    second: u32,
    known: Known,
    pub recorder: Recorder,
    counters: Arc<WorkerCounters>,
    pub channel: Arc<Channel>,
}

impl Laboratory {
    /// `None`: there are too many at this time.
    pub fn experiment(&self, known: Known) -> Option<Experiment> {
        let workers = usize::from(self.workers).max(1);
        let mut reader = self.tables.reader()?;
        // Between its packets nobody waits for it: the control side that answers it may
        // just be waiting for all workers.
        reader.offline();
        let ios = MemoryIo::of_workers(workers, QUEUE);
        Some(Experiment {
            reader,
            members: (0..workers).map(|_| None).collect(),
            ios: ios.into_iter().map(Some).collect(),
            flows: self.flows,
            secret: self.secret,
            second: self.clock.get(),
            known,
            recorder: Recorder::default(),
            counters: WorkerCounters::new(),
            channel: Arc::new(Channel::new(QUEUE, QUEUE)),
        })
    }
}

impl Experiment {
    /// The frame arrives, and goes on from worker to worker.
    pub fn run(&mut self, interface: InterfaceIndex, frame: &[u8]) {
        let mut burst = Burst::new();
        burst.push(MemoryPacket::new(frame));
        self.with(0, |member, tables, recorder| {
            let Member {
                state,
                io,
                pipeline,
            } = member;
            pipeline.process(tables, state, io, interface, &mut burst, recorder);
        });
        let mut seen = 0;
        for _ in 0..CROSSINGS {
            let decisions = self.recorder.decisions.iter().skip(seen);
            let handed = { decisions }.find_map(|(_, decision)| match decision {
                Decision::HandedOver(worker) => Some(*worker),
                _ => None,
            });
            seen = self.recorder.decisions.len();
            let Some(worker) = handed else { break };
            self.with(worker, |member, tables, recorder| {
                let Member {
                    state,
                    io,
                    pipeline,
                } = member;
                pipeline.take_over(tables, state, io, recorder);
            });
        }
    }

    /// The answer of a service.
    pub fn deliver(&mut self, delivery: &Delivery) {
        self.with(0, |member, tables, recorder| {
            let Member {
                state,
                io,
                pipeline,
            } = member;
            pipeline.deliver(tables, state, io, delivery, recorder);
        });
    }

    /// Has a worker do something.
    fn with(
        &mut self,
        worker: u16,
        work: impl FnOnce(&mut Member, &vtepd_tables::View<'_>, &mut Recorder),
    ) {
        self.reader.online();
        if self.member(worker).is_some() {
            let tables = self.reader.view();
            if let Some(Some(member)) = self.members.get_mut(usize::from(worker)) {
                work(member, &tables, &mut self.recorder);
            }
        }
        self.reader.offline();
    }

    fn member(&mut self, worker: u16) -> Option<()> {
        let at = usize::from(worker);
        if self.members.get(at)?.is_some() {
            return Some(());
        }
        let io = self.ios.get_mut(at)?.take()?;
        let mut state = WorkerState::new(
            self.flows,
            Arc::clone(&self.counters),
            Arc::clone(&self.channel),
        );
        state.set_time(self.second);
        if let Some(translator) = self.translator(worker) {
            state = state.with_translator(translator);
        }
        let pipeline = Pipeline::new(state.translator.most_held());
        *self.members.get_mut(at)? = Some(Member {
            state,
            io,
            pipeline,
        });
        Some(())
    }

    /// What the worker's own would make of the packet. `None`: nothing is translated here.
    fn translator(&mut self, worker: u16) -> Option<Translator> {
        let capacity = self.known.told.capacity?;
        let slices = Slices::new(worker, self.ios.len() as u16, self.secret).ok()?;
        let hash = vtepd_tables::random_hash();
        let settings = Settings::default();
        let mut translator = Translator::new(capacity, settings, slices, hash, self.second);
        for request in &self.known.told.requests {
            // A pool that is beyond the table here is so for the workers, too.
            let _ = request.carry_out(&mut translator);
        }
        let tables = self.reader.view();
        for (of, row) in &self.known.sessions {
            let rules = VrfIndex::new(row.router).and_then(|vrf| tables.snapshot.rules(vrf));
            if let Some(rules) = rules.filter(|_| *of == worker) {
                translator.adopt(rules, row, self.second);
            }
        }
        Some(translator)
    }

    /// What left.
    pub fn sent(&self) -> impl Iterator<Item = &(InterfaceIndex, MemoryPacket)> {
        let members = self.members.iter().flatten();
        members.flat_map(|member| &member.io.sent)
    }

    /// The session that a real worker has between these ends.
    pub fn session(
        &self,
        protocol: u8,
        inside: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Option<(u16, SessionRow)> {
        let mut sessions = self.known.sessions.iter();
        let found = sessions.find(|(_, row)| {
            (row.protocol as u8, row.inside, row.remote) == (protocol, inside, remote)
        });
        found.copied()
    }

    /// Whether a real worker has sessions of a station's port.
    pub fn has_sessions_of(&self, inside: SocketAddrV4) -> bool {
        let mut sessions = self.known.sessions.iter();
        sessions.any(|(_, row)| row.inside == inside)
    }

    /// Why it is not known which sessions the real workers have.
    pub fn unknown(&self) -> Option<&AskError> {
        self.known.unknown.as_ref()
    }

    pub fn drop_reason(&self) -> Option<DropReason> {
        let mut reasons = DropReason::ALL.iter().copied();
        reasons.find(|reason| self.counters.drops(*reason) > 0)
    }
}

impl Control {
    /// What translators are told before they meet a packet. Nothing where nothing is translated.
    pub(super) fn told(&self) -> Told {
        let requests = self.all_nat_requests();
        if requests.is_empty() {
            return Told::default();
        }
        let (pools, subscribers) = self.translation.capacity();
        Told {
            capacity: Some(Capacity {
                sessions: SESSIONS,
                pools,
                subscribers,
                datagrams: COPIED as u32,
                held: COPIED as u32,
                outbound_only: COPIED as u32,
                log: 0,
            }),
            requests,
        }
    }
}

/// What the workers know of a frame's sessions: of its source if that is inside, of its destination if that is outside,
/// and who has the port outside that a new session would keep.
pub fn ask(translators: &Translators, frame: &[u8]) -> Result<Vec<(u16, SessionRow)>, AskError> {
    let Some(ends) = Ends::of(frame) else {
        return Ok(Vec::new());
    };
    let filter = SessionFilter {
        protocol: Some(ends.protocol),
        ..SessionFilter::default()
    };
    let of_source = SessionFilter {
        inside: Some(*ends.source.ip()),
        inside_port: Some(ends.source.port()),
        ..filter
    };
    let of_destination = SessionFilter {
        outside: Some(*ends.destination.ip()),
        outside_port: Some(ends.destination.port()),
        ..filter
    };
    let of_port = SessionFilter {
        outside_port: Some(ends.source.port()),
        ..filter
    };
    let mut known: Vec<(u16, SessionRow)> = Vec::new();
    for filter in [of_source, of_destination, of_port] {
        let mut next = Some(SessionCursor::default());
        let mut found = 0;
        while let Some(from) = next.filter(|_| found < COPIED) {
            let page = translators.sessions(&filter, from, COPIED - found)?;
            found += page.rows.len();
            for row in page.rows {
                if !known.contains(&row) {
                    known.push(row);
                }
            }
            next = page.next;
        }
    }
    Ok(known)
}

/// Where an ICMP error has the packet that it is about (RFC 792).
const QUOTE: usize = 8;
/// Where an IPv4 header has the protocol.
const PROTOCOL_AT: usize = 9;

/// Destination unreachable, source quench, time exceeded, parameter problem.
fn is_error(kind: u8) -> bool {
    matches!(kind, 3 | 4 | 11 | 12)
}

/// Who sends what to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ends {
    protocol: Protocol,
    /// With the identifier of a query for a port; its destination has it as well.
    source: SocketAddrV4,
    destination: SocketAddrV4,
}

impl Ends {
    /// Of a frame, in a tunnel or not. `None` where there are none to be translated by.
    fn of(bytes: &[u8]) -> Option<Self> {
        let link = frame::link(bytes).ok()?;
        let network = frame::network(bytes, bytes.len(), &link).ok()??;
        if link.ethertype != ETHERTYPE_IPV4 || network.later_fragment {
            return None;
        }
        let header = bytes.get(usize::from(link.l3)..)?;
        let (header, _) = ipv4::Header::ref_from_prefix(header).ok()?;
        let l4 = bytes.get(network.l4..)?;
        let of = |protocol, source: u16, destination: u16| Self {
            protocol,
            source: SocketAddrV4::new(header.source_addr(), source),
            destination: SocketAddrV4::new(header.destination_addr(), destination),
        };
        // The ports of TCP are where those of UDP are.
        let ports = udp::Header::ref_from_prefix(l4).ok();
        match (network.protocol, ports) {
            (PROTOCOL_UDP, Some((udp, inner))) if udp.destination.get() == vxlan::PORT => {
                Self::of(inner.get(size_of::<vxlan::Header>()..)?)
            }
            (PROTOCOL_UDP, Some((udp, _))) => {
                Some(of(Protocol::Udp, udp.source.get(), udp.destination.get()))
            }
            (PROTOCOL_TCP, Some((tcp, _))) => {
                Some(of(Protocol::Tcp, tcp.source.get(), tcp.destination.get()))
            }
            (PROTOCOL_ICMP, Some(_)) => {
                let kind = *l4.first()?;
                if is_error(kind) {
                    return Self::quoted(l4.get(QUOTE..)?);
                }
                let query = matches!(kind, icmp::ECHO_REQUEST | icmp::ECHO_REPLY);
                let identifier = u16::from_be_bytes([*l4.get(4)?, *l4.get(5)?]);
                query.then(|| of(Protocol::Icmp, identifier, identifier))
            }
            _ => None,
        }
    }

    /// Of the packet that an ICMP error is about: it went the other way, so its ends change places.
    fn quoted(bytes: &[u8]) -> Option<Self> {
        let (header, _) = ipv4::Header::ref_from_prefix(bytes).ok()?;
        let l4 = bytes.get(usize::from(*bytes.first()? & 0xf) * 4..)?;
        let word = |at: usize| Some(u16::from_be_bytes([*l4.get(at)?, *l4.get(at + 1)?]));
        let (protocol, source, destination) = match *bytes.get(PROTOCOL_AT)? {
            PROTOCOL_TCP => (Protocol::Tcp, word(0)?, word(2)?),
            PROTOCOL_UDP => (Protocol::Udp, word(0)?, word(2)?),
            PROTOCOL_ICMP => (Protocol::Icmp, word(4)?, word(4)?),
            _ => return None,
        };
        Some(Self {
            protocol,
            source: SocketAddrV4::new(header.destination_addr(), destination),
            destination: SocketAddrV4::new(header.source_addr(), source),
        })
    }
}
