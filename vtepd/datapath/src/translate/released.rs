//! Packets that translation begins anew with: those that another worker has handed over, and
//! those that had to wait.

use core::net::IpAddr;

use vtepd_nat::Refusal;
use vtepd_tables::Gateway;
use vtepd_wire::{FromBytes, ethernet, icmp, icmp_error, icmpv6, icmpv6_error, ipv6};

use crate::context::{Handed, Verdict};
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;
use crate::resolution;
use crate::route::{Entry, L3};
use crate::translate::Beforehand;

impl<'a, O: Observer> Decide<'a, O> {
    /// A packet begins again at the gateway that it came to.
    #[inline]
    pub(crate) fn resume_translation<P: Packet>(
        &mut self,
        handed: &Handed,
        packet: &mut P,
    ) -> Verdict {
        let Some(gateway) = self.gateway_of(handed) else {
            return DropReason::Vacant.into();
        };
        self.note(Decision::Gateway(handed.at));
        let entry = Entry::new(handed.at, gateway);
        if handed.frame.ethertype == ethernet::ETHERTYPE_IPV4 {
            let known = handed.ports.map_or(Beforehand::Nothing, Beforehand::Ports);
            return self.route_v4(handed.frame, entry, packet, known);
        }
        let kind = resolution::kind(&handed.frame, packet.data());
        self.route_v6(handed.frame, entry, packet, kind)
    }

    /// A packet that had to wait goes no further: it is refused or, if there is no refusal,
    /// its sender is told that nobody listens (RFC 5382, REQ-4; RFC 6092, REC-34).
    #[cold]
    pub(crate) fn refuse_translation<P: Packet>(
        &mut self,
        handed: &Handed,
        packet: &mut P,
        refusal: Option<Refusal>,
    ) -> Verdict {
        if let Some(refusal) = refusal {
            return DropReason::from(refusal).into();
        }
        let Some(gateway) = self.gateway_of(handed) else {
            return DropReason::Vacant.into();
        };
        if handed.frame.ethertype == ethernet::ETHERTYPE_IPV4 {
            let error = icmp_error::Error::unreachable(icmp::PORT_UNREACHABLE);
            let reason = DropReason::NatNoMapping;
            return self.report_v4(&handed.frame, gateway, packet, error, reason);
        }
        let bytes = packet.data().get(L3..).unwrap_or_default();
        let Ok((header, _)) = ipv6::Header::ref_from_prefix(bytes) else {
            return DropReason::IpMalformed.into();
        };
        let own = gateway.address_towards(IpAddr::V6(header.source_addr()));
        let error = icmpv6_error::Error::unreachable(icmpv6::ADMINISTRATIVELY_PROHIBITED);
        self.error_v6(
            &handed.frame,
            own,
            packet,
            error,
            DropReason::NatUnsolicited,
        )
    }

    /// The gateway, unless the tables have given an index away since.
    fn gateway_of(&self, handed: &Handed) -> Option<&'a Gateway> {
        let current = handed.generation == self.tables.snapshot.generation;
        let gateway = self.tables.snapshot.gateway(handed.at);
        gateway.filter(|_| current)
    }
}
