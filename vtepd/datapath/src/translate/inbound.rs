//! From an external network to the inside.
//!
//! Whatever fails, the outside hears it from the gateway that the packet came to: routers further in have no
//! addresses there.

use core::net::IpAddr;

use vtepd_nat::{InboundLookup, PortPair, Verdict as Translation};
use vtepd_tables::translation::Rules;
use vtepd_tables::{AdjacencyIndex, VrfIndex};
use vtepd_wire::{FromBytes, ipv4};

use super::{Ends, Original, join};
use crate::context::{Frame, Verdict};
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::observer::{Observer, Rule};
use crate::packet::Packet;
use crate::route::{Entry, L3};

/// A packet as its sender sent it: where it came in, and what it was like.
pub(crate) struct Sent {
    pub(super) frame: Frame,
    pub(super) at: AdjacencyIndex,
    pub(super) original: Original,
}

/// What is known of a packet beforehand.
#[derive(Clone, Copy)]
pub(crate) enum Beforehand<'l> {
    Nothing,
    /// Of a fragment, the ports that the first one of its datagram had.
    Ports(PortPair),
    /// Its session is being fetched.
    Lookup(&'l InboundLookup),
}

impl<'a, O: Observer> Decide<'a, O> {
    /// A packet to a gateway on an external network. `sent` is what a host inside has sent to the outside address
    /// that it is for.
    #[inline]
    pub(crate) fn come_in_v4<P: Packet>(
        &mut self,
        frame: Frame,
        entry: Entry<'a>,
        packet: &mut P,
        checked: ipv4::Checked,
        known: Beforehand<'_>,
        sent: Option<Sent>,
    ) -> Verdict {
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let Ok((&header, _)) = ipv4::Header::ref_from_prefix(bytes) else {
            return DropReason::IpMalformed.into();
        };
        let destination = header.destination_addr();
        let owner = self.externals(entry.gateway.network).router(destination);
        if owner.is_none() && entry.gateway.has(IpAddr::V4(destination)) {
            return self.deliver_v4(frame, packet, checked);
        }
        let vrf = owner.unwrap_or(entry.vrf);
        let Some(rules) = self.tables.snapshot.rules(vrf) else {
            return DropReason::NatNotOurs.into();
        };
        let from_inside = sent.is_some();
        if !from_inside && self.is_forged(&frame, vrf, rules, &header) {
            return DropReason::Martian.into();
        }
        join(packet);
        let sent = sent.unwrap_or_else(|| Sent {
            frame,
            at: entry.at,
            original: Original::of(packet, checked),
        });
        let now = self.state.seconds;
        let Some(bytes) = packet.data_mut().get_mut(L3..) else {
            return DropReason::SharedBuffer.into();
        };
        let before = O::LISTENS.then(|| (Ends::of(bytes), self.sessions()));
        let translator = &mut self.state.translator;
        let translation = match known {
            Beforehand::Nothing => translator.inbound(rules, bytes, now),
            Beforehand::Ports(ports) => translator.inbound_with_ports(rules, bytes, ports, now),
            Beforehand::Lookup(lookup) => translator.inbound_found(rules, bytes, lookup, now),
        };
        let hops = match translation {
            Translation::Translated { .. } => {
                if let Some((before, sessions)) = before {
                    let after = Ends::of(bytes);
                    self.note_inbound(rules, before, after, sessions);
                }
                // By a gateway that is not the router's own there is one more on the way.
                match rules.floating_inside(destination.to_bits()) {
                    Some(_) if entry.vrf != vrf => rules.floating_hops().max(1),
                    _ => 1,
                }
            }
            Translation::Plain => {
                if let Some((before, _)) = before {
                    self.note_plain(rules, before);
                }
                1
            }
            Translation::ToRouter => {
                sent.original.restore(packet);
                return self.deliver_v4(sent.frame, packet, checked);
            }
            Translation::Refused(refusal) if from_inside => {
                sent.original.restore(packet);
                return self.refused_v4(&sent.frame, sent.at, packet, refusal);
            }
            later => return self.put_off(frame, entry.at, later),
        };
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let Ok((&header, _)) = ipv4::Header::ref_from_prefix(bytes) else {
            return DropReason::IpMalformed.into();
        };
        let entry = Entry { vrf, hops, ..entry };
        match self.way_v4(entry, packet, &header) {
            Ok(mut way) => {
                way.last = entry.gateway;
                let Sent {
                    frame,
                    at,
                    original,
                } = sent;
                self.leave_v4(frame, at, packet, checked, &way, Some(&original))
            }
            Err(no_way) => {
                sent.original.restore(packet);
                let no_way = no_way.said_by(entry.gateway);
                self.no_way_v4(sent.frame, sent.at, packet, checked, no_way)
            }
        }
    }

    /// Whether a packet that came by the wire says that it is from where nobody out there is: a
    /// station of the router's networks that the outside knows by other addresses, or whom it is
    /// for (RFC 2827).
    fn is_forged(
        &self,
        frame: &Frame,
        vrf: VrfIndex,
        rules: &Rules,
        header: &ipv4::Header,
    ) -> bool {
        // What turned round at another worker.
        if self.tables.snapshot.gateway(frame.ingress).is_some() {
            return false;
        }
        let source = header.source_addr();
        source == header.destination_addr()
            || self.is_station(vrf, source) && !rules.is_same_scope(source.to_bits())
    }

    #[cold]
    fn note_inbound(&mut self, rules: &Rules, before: Ends, after: Ends, sessions: usize) {
        let [_, to] = before.ends;
        let outside = to.ip().to_bits();
        let by = if rules.floating_inside(outside).is_some() {
            Rule::FloatingIp
        } else if rules.is_forwarded(outside) {
            Rule::Forwarding
        } else {
            let new = self.sessions() > sessions;
            Rule::Session { new }
        };
        self.note_translated(by, before, after);
    }
}
