//! Translation (NAT): packets that pass between the inside of a router and an external network.
//!
//! ```text
//!   station ─► gateway ─► way: outside ─┬─ a gateway there is ours: TTL, MTU, neighbour
//!                                       │     └─► go_out ─► out        (outbound.rs)
//!                                       │            └─ to an outside address of this host:
//!                                       │               come_in again  (hairpin.rs)
//!                                       └─ another host's: to its central gateway, S1
//!
//!   external network ─► outside gateway ─► come_in ─► way ─► station   (inbound.rs)
//! ```
//!
//! Rules and sessions are `vtepd_nat`'s. Here is what a router adds: which rules, in which order
//! with TTL, MTU and neighbours, and who is told when something fails. Errors quote the packet as
//! its sender wrote it, so that the packet is translated last on its way out, and restored when
//! something fails after it was translated on its way in.
//!
//! A packet that should be translated leaves in no other way: without rules nothing goes out.

mod hairpin;
mod inbound;
mod ipv6;
mod outbound;
mod released;

use core::net::{Ipv4Addr, SocketAddrV4};
use std::sync::LazyLock;

use arrayvec::ArrayVec;
use vtepd_nat::{PortPair, Verdict as Translation};
use vtepd_tables::translation::{Externals, Protocol};
use vtepd_tables::{AdjacencyIndex, NetworkIndex};
use vtepd_wire::{FromBytes, icmp, ipv4};

use crate::context::{Frame, Handed, Verdict};
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;
use crate::route::L3;

pub(crate) use hairpin::Turn;
pub(crate) use inbound::Beforehand;

/// What translation changes lies within this much of a packet: IP header, TCP header.
const CHANGED: usize = 60 + 20;
/// And of an ICMP error: IP and ICMP header, the same of what it quotes.
const CHANGED_OF_ERROR: usize = 60 + icmp::Header::LEN + CHANGED;

/// The beginning of a packet, as it was before it was translated.
pub(crate) struct Original(ArrayVec<u8, CHANGED_OF_ERROR>);

impl Original {
    /// Of a packet that is about to be.
    #[inline]
    fn of<P: Packet>(packet: &P, checked: ipv4::Checked) -> Self {
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let most = match icmp_type(bytes, checked) {
            Some(_) => CHANGED_OF_ERROR,
            None => checked.header_len + TCP_CHANGED,
        };
        let changed = bytes.get(..most.min(bytes.len())).unwrap_or_default();
        Self(changed.try_into().unwrap_or_default())
    }

    /// The packet is as it was.
    pub(crate) fn restore<P: Packet>(&self, packet: &mut P) {
        let bytes = packet.data_mut().get_mut(L3..).unwrap_or_default();
        if let Some(changed) = bytes.get_mut(..self.0.len()) {
            changed.copy_from_slice(&self.0);
        }
    }
}

/// TCP's checksum is the last that is changed.
const TCP_CHANGED: usize = 18;

/// The type of an ICMP message, of which this is the beginning.
fn icmp_type(packet: &[u8], checked: ipv4::Checked) -> Option<u8> {
    let (header, _) = ipv4::Header::ref_from_prefix(packet).ok()?;
    let first = header.protocol == ipv4::PROTOCOL_ICMP && header.fragment_offset() == 0;
    first
        .then(|| packet.get(checked.header_len).copied())
        .flatten()
}

/// Brings an ICMP error into one piece: what it quotes is translated, too.
#[inline]
fn join<P: Packet>(packet: &mut P) {
    if packet.data().len() == packet.frame_len() {
        return;
    }
    let bytes = packet.data().get(L3..).unwrap_or_default();
    if ipv4::Header::ref_from_prefix(bytes).is_ok_and(|(ip, _)| ip.protocol == ipv4::PROTOCOL_ICMP)
    {
        // What cannot be joined is refused by its own name.
        packet.pull_up(packet.frame_len());
    }
}

/// The outside addresses of nobody.
static NO_EXTERNALS: LazyLock<Externals> = LazyLock::new(Externals::default);

impl<'a, O: Observer> Decide<'a, O> {
    /// Whose the outside addresses of an external network are.
    #[inline]
    fn externals(&self, network: NetworkIndex) -> &'a Externals {
        let network = self.tables.snapshot.network(network);
        let externals = network.and_then(|network| network.externals.as_deref());
        externals.unwrap_or_else(|| &NO_EXTERNALS)
    }

    /// What is needed to begin again at a gateway.
    fn handed(&self, frame: Frame, at: AdjacencyIndex, ports: Option<PortPair>) -> Handed {
        let generation = self.tables.snapshot.generation;
        Handed {
            frame,
            at,
            ports,
            generation,
        }
    }

    /// What becomes of a packet that is neither translated nor refused here.
    #[cold]
    fn put_off(&mut self, frame: Frame, at: AdjacencyIndex, translation: Translation) -> Verdict {
        match translation {
            Translation::HandOver { worker, ports } => {
                self.note(Decision::HandedOver(worker));
                let handed = self.handed(frame, at, ports);
                Verdict::HandOver { worker, handed }
            }
            Translation::Hold(number) => {
                self.note(Decision::Kept);
                let handed = self.handed(frame, at, None);
                Verdict::KeepForTranslation { number, handed }
            }
            Translation::Refused(refusal) => DropReason::from(refusal).into(),
            _ => DropReason::Vacant.into(),
        }
    }
}

/// Both ends of a packet, as far as they can be seen.
#[derive(Clone, Copy)]
struct Ends {
    protocol: u8,
    ends: [SocketAddrV4; 2],
}

impl Ends {
    fn of(bytes: &[u8]) -> Self {
        let Ok((header, _)) = ipv4::Header::ref_from_prefix(bytes) else {
            let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
            return Self {
                protocol: 0,
                ends: [nobody; 2],
            };
        };
        let l4 = bytes.get(header.header_len()..).unwrap_or_default();
        let short = |at: usize| {
            let field = l4.get(at..).and_then(<[u8]>::first_chunk);
            field.map_or(0, |field| u16::from_be_bytes(*field))
        };
        let (from, to) = match Protocol::from_number(header.protocol) {
            _ if header.fragment_offset() > 0 => (0, 0),
            Some(Protocol::Icmp) if matches!(l4.first(), Some(0 | 8)) => (short(4), short(4)),
            Some(Protocol::Tcp | Protocol::Udp) => (short(0), short(2)),
            _ => (0, 0),
        };
        Self {
            protocol: header.protocol,
            ends: [
                SocketAddrV4::new(header.source_addr(), from),
                SocketAddrV4::new(header.destination_addr(), to),
            ],
        }
    }

    /// The end that is the source, or the destination, as rules know it.
    fn known(&self, end: usize) -> Option<(Protocol, vtepd_tables::translation::Endpoint)> {
        let socket = self.ends.get(end)?;
        let endpoint =
            vtepd_tables::translation::Endpoint::new(socket.ip().to_bits(), socket.port());
        Some((Protocol::from_number(self.protocol)?, endpoint))
    }
}
