//! Stage 2: may this frame be here, and where does it go?
//!
//! ```text
//!   from another host's router? ── yes ─► arrive (route/arrive.rs)
//!        │ no
//!        ▼
//!   guard ─► learn ─► ARP, ND: limit, claims
//!        │
//!        ├─ group ─► a gateway's or a known address, DHCP? ─ yes ─► answer
//!        │                └─ no ─► flood
//!        └─ one ──► FDB ─┬─ a gateway ─► route (route/)
//!                        ├─ known ─────► forward
//!                        └─ unknown ───► a DVR host MAC, the metadata proxy's? ─ no ─► flood
//! ```

use vtepd_tables::{Access, AdjacencyIndex, FdbHit, FdbKey, HashedFdbKey, Network, Origin, View};
use vtepd_wire::{FromBytes, Mac, dhcp, ethernet, icmpv6, ipv4, ipv6, udp};

use crate::context::{Frame, Keys, Source, Verdict};
use crate::drop_reason::DropReason;
use crate::event::Service;
use crate::guard;
use crate::learn::learn;
use crate::limit::Class;
use crate::metadata;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;
use crate::resolution::{self, Kind};
use crate::worker_state::WorkerState;

/// Stage 2 for one packet of the burst.
pub(crate) struct Decide<'a, O> {
    pub tables: &'a View<'a>,
    pub state: &'a mut WorkerState,
    pub observer: &'a mut O,
    pub position: usize,
}

impl<'a, O: Observer> Decide<'a, O> {
    /// Says what becomes of a frame of a network: the adjacency that it is forwarded by, or something else.
    ///
    /// Those are told apart because what is usual fits a register, and what is not takes a cache line.
    #[inline]
    pub(crate) fn decide<P: Packet>(
        &mut self,
        frame: &mut Frame,
        mut keys: Keys,
        packet: &mut P,
    ) -> Result<AdjacencyIndex, Verdict> {
        let mut source = match frame.source {
            Source::Ignored => None,
            Source::Checked | Source::Learned => self.tables.fdb.find(keys.source),
        };
        if frame.from_router {
            if source.is_some() {
                return Err(self.arrive(*frame, keys.destination, packet));
            }
            source = self.find_source(frame, &mut keys, packet);
        }
        self.check_source(frame, keys.source, packet, source.as_ref())?;
        let kind = resolution::kind(frame, packet.data());
        if kind != Kind::Other
            && let Some(verdict) = self.hear(frame, packet, kind)
        {
            return Err(verdict);
        }
        if frame.to_group {
            return Err(self.decide_group(*frame, packet, kind));
        }
        match self.tables.fdb.find(keys.destination) {
            Some(hit) if hit.entry.origin == Origin::Gateway => {
                let at = hit.entry.adjacency;
                if frame.ethertype != ethernet::ETHERTYPE_IPV4 {
                    return Err(self.route(*frame, at, packet, kind));
                }
                // Together with those of the burst: see `route::usual`.
                self.enter(frame, at)?;
                Err(Verdict::Route(*frame, at))
            }
            Some(hit) => {
                self.note(Decision::Known(hit.entry));
                if hit.entry.adjacency == frame.ingress {
                    Err(DropReason::SamePort.into())
                } else {
                    Ok(hit.entry.adjacency)
                }
            }
            None => Err(self.decide_unknown(*frame, packet, kind)),
        }
    }

    #[inline(always)]
    pub(crate) fn note(&mut self, decision: Decision) {
        self.observer.note(self.position, decision);
    }

    pub(crate) fn network(&self, frame: &Frame) -> Option<&'a Network> {
        self.tables.snapshot.network(frame.network)
    }

    /// The source looked like a DVR host MAC and is none: what the FDB knows of it.
    #[cold]
    fn find_source<P: Packet>(
        &mut self,
        frame: &mut Frame,
        keys: &mut Keys,
        packet: &P,
    ) -> Option<FdbHit<'a>> {
        frame.from_router = false;
        if frame.source != Source::Learned && !frame.to_group {
            frame.source = Source::Ignored;
            return None;
        }
        let (header, _) = ethernet::Header::ref_from_prefix(packet.data()).ok()?;
        let key = FdbKey::new(frame.network, header.source);
        keys.source = self.tables.fdb.prefetch(key);
        self.tables.fdb.find(keys.source)
    }

    /// Whether ports of the frame's network may ask the metadata proxy.
    pub(crate) fn has_metadata(&self, frame: &Frame) -> bool {
        self.network(frame).is_some_and(|network| network.metadata)
    }

    /// Whether the source may send this here, and whether it is news.
    #[inline]
    fn check_source<P: Packet>(
        &mut self,
        frame: &Frame,
        key: HashedFdbKey,
        packet: &P,
        source: Option<&FdbHit<'_>>,
    ) -> Result<(), DropReason> {
        if matches!(frame.access, Access::Known | Access::Guarded) {
            guard::check(self.tables, frame, packet.data(), source)?;
        }
        learn(self, frame, key, packet, source)
    }

    /// What ARP and ND say besides what they ask; and, of a gateway, both: nobody else
    /// speaks for it, and who asks for it is answered here or not at all, whomever he asks.
    #[cold]
    fn hear<P: Packet>(&mut self, frame: &Frame, packet: &mut P, kind: Kind) -> Option<Verdict> {
        let network = self.network(frame)?;
        let class = match network.externals {
            Some(_) if frame.is_from_outside() => Class::ExternalResolution,
            _ => Class::Resolution,
        };
        if !self.state.allow(frame, class) {
            return Some(DropReason::ArpNdLimit.into());
        }
        let routed = !network.gateways().is_empty();
        if !routed && !network.metadata {
            return None;
        }
        let named = resolution::named(packet.data(), kind);
        let is_gateways = |address| resolution::is_gateways(self.tables, frame, address);
        if named.speaks_for.into_iter().flatten().any(is_gateways) {
            return Some(DropReason::SpoofedArpNd.into());
        }
        if routed
            && let Some(claim) = resolution::claim(self.tables, frame, packet, kind, self.state.now)
        {
            self.note(Decision::Claim(claim.address, claim.neighbour));
            self.state.tell(claim.into_event(frame.network));
        }
        named.asks_for.filter(|address| is_gateways(*address))?;
        resolution::answer(self, frame, packet, kind)
    }

    #[inline]
    fn decide_group<P: Packet>(&mut self, frame: Frame, packet: &mut P, kind: Kind) -> Verdict {
        if kind.is_question()
            && let Some(verdict) = resolution::answer(self, &frame, packet, kind)
        {
            return verdict;
        }
        if let Some(service) = self.service_of(&frame, packet.data(), kind) {
            self.note(Decision::Asked(service));
            return self.state.ask(service, &frame, packet);
        }
        self.note(Decision::Flood);
        Verdict::Flood(frame)
    }

    /// The service that a frame to a group, or to a gateway, is a question to. Other
    /// hosts answer their own stations.
    #[inline]
    pub(crate) fn service_of(&self, frame: &Frame, data: &[u8], kind: Kind) -> Option<Service> {
        let services = self.network(frame)?.services;
        if frame.is_from_outside() || frame.tags.count > 0 {
            return None;
        }
        let l3 = data.get(ethernet::Header::LEN..)?;
        match frame.ethertype {
            ethernet::ETHERTYPE_IPV4 if services.dhcp4 => {
                let (header, _) = ipv4::Header::ref_from_prefix(l3).ok()?;
                let udp = header.protocol == ipv4::PROTOCOL_UDP && header.fragment_offset() == 0;
                let port = destination_port(l3.get(header.header_len()..)?)?;
                (udp && port == dhcp::V4_SERVER_PORT).then_some(Service::Dhcp4)
            }
            ethernet::ETHERTYPE_IPV6 if kind == Kind::Nd(icmpv6::ROUTER_SOLICITATION) => {
                services.advertise.then_some(Service::RouterSolicitation)
            }
            ethernet::ETHERTYPE_IPV6 if services.dhcp6 => {
                let (header, rest) = ipv6::Header::ref_from_prefix(l3).ok()?;
                let udp = header.next_header == ipv4::PROTOCOL_UDP;
                (udp && destination_port(rest)? == dhcp::V6_SERVER_PORT).then_some(Service::Dhcp6)
            }
            _ => None,
        }
    }

    /// Nobody in the network is known to have this MAC. A DVR host MAC is asked for by
    /// whoever answers that host's question for a neighbour.
    #[inline]
    fn decide_unknown<P: Packet>(&mut self, frame: Frame, packet: &mut P, kind: Kind) -> Verdict {
        let macs = &self.tables.snapshot.host_macs;
        let Ok((header, _)) = ethernet::Header::ref_from_prefix(packet.data()) else {
            return DropReason::Truncated.into();
        };
        if (macs.own == Some(header.destination) || macs.may_be_other(header.destination))
            && let Some(verdict) = self.decide_host(&frame, header.destination, kind)
        {
            return verdict;
        }
        if header.destination == metadata::MAC && self.has_metadata(&frame) {
            return self.reach_metadata(&frame, packet, kind);
        }
        self.note(Decision::Unknown);
        Verdict::Flood(frame)
    }

    /// To the MAC of a host rather than of a station: the answer to its question.
    #[cold]
    fn decide_host(&mut self, frame: &Frame, to: Mac, kind: Kind) -> Option<Verdict> {
        let own = self.tables.snapshot.host_macs.own == Some(to);
        let key = self.tables.fdb.prefetch(FdbKey::host(to));
        let host = self.tables.fdb.find(key);
        if !own && host.is_none() {
            return None;
        }
        // What it says was heard already.
        if kind == Kind::Other {
            return Some(DropReason::DvrDestination.into());
        }
        let Some(host) = host.filter(|_| !own) else {
            return Some(Verdict::Consumed);
        };
        if frame.is_from_outside() {
            return Some(DropReason::SplitHorizon.into());
        }
        let network = self.network(frame)?;
        Some(match (network.vni, network.segment) {
            (Some(_), _) => Verdict::Forward(*frame, host.entry.adjacency),
            (None, Some(segment)) => Verdict::Forward(*frame, segment),
            (None, None) => DropReason::Vacant.into(),
        })
    }
}

fn destination_port(segment: &[u8]) -> Option<u16> {
    let (header, _) = udp::Header::ref_from_prefix(segment).ok()?;
    Some(header.destination.get())
}
