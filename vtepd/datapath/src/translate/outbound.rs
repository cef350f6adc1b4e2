//! From inside to an external network.

use vtepd_nat::{OutboundLookup, Refusal, Verdict as Translation};
use vtepd_tables::translation::Rules;
use vtepd_tables::{AdjacencyIndex, NetworkIndex, VrfIndex};

use super::{Ends, join};
use crate::context::{Frame, Verdict};
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::observer::{Decision, Exemption, Observer, Rule};
use crate::packet::Packet;
use crate::route::L3;

impl<O: Observer> Decide<'_, O> {
    /// Translates a packet that came to the gateway at `at` and leaves the router `vrf` to an
    /// external network. Everything else about it has been checked. `lookup` is what was
    /// found out of it beforehand.
    ///
    /// # Errors
    /// It does not leave; it is as it was.
    #[inline]
    pub(crate) fn go_out_v4<P: Packet>(
        &mut self,
        frame: Frame,
        at: AdjacencyIndex,
        vrf: VrfIndex,
        network: NetworkIndex,
        packet: &mut P,
        lookup: Option<&OutboundLookup>,
    ) -> Result<(), Verdict> {
        let Some(rules) = self.tables.snapshot.rules(vrf) else {
            return Err(DropReason::NatNoRule.into());
        };
        join(packet);
        let externals = self.externals(network);
        let Some(bytes) = packet.data_mut().get_mut(L3..) else {
            return Err(DropReason::SharedBuffer.into());
        };
        let before = O::LISTENS.then(|| (Ends::of(bytes), self.sessions()));
        let translator = &mut self.state.translator;
        let now = self.state.seconds;
        let translation = match lookup {
            Some(lookup) => translator.outbound_found(rules, externals, bytes, lookup, now),
            None => translator.outbound(rules, externals, bytes, now),
        };
        match translation {
            Translation::Translated { .. } => {
                if let Some((before, sessions)) = before {
                    let after = Ends::of(bytes);
                    self.note_outbound(rules, before, after, sessions);
                }
                Ok(())
            }
            Translation::Plain => {
                if let Some((before, _)) = before {
                    self.note_plain(rules, before);
                }
                Ok(())
            }
            Translation::Refused(refusal) => Err(self.refused_v4(&frame, at, packet, refusal)),
            later => Err(self.put_off(frame, at, later)),
        }
    }

    /// Drops what a sender inside has sent to the gateway at `at`, and tells him if it is for
    /// want of something (RFC 5508, REQ-8).
    #[cold]
    pub(super) fn refused_v4<P: Packet>(
        &mut self,
        frame: &Frame,
        at: AdjacencyIndex,
        packet: &mut P,
        refusal: Refusal,
    ) -> Verdict {
        let reason = DropReason::from(refusal);
        let gateway = self.tables.snapshot.gateway(at);
        match (refusal.tells(), gateway) {
            (Some(error), Some(gateway)) => self.report_v4(frame, gateway, packet, error, reason),
            _ => reason.into(),
        }
    }

    pub(super) fn sessions(&self) -> usize {
        self.state.translator.usage().sessions.used
    }

    #[cold]
    fn note_outbound(&mut self, rules: &Rules, before: Ends, after: Ends, sessions: usize) {
        let floats = before.ends[0].ip().to_bits();
        let forwarded = before
            .known(0)
            .and_then(|(protocol, inside)| rules.forwarding_outside(protocol, inside));
        let by = if rules.floating_outside(floats).is_some() {
            Rule::FloatingIp
        } else if forwarded.is_some() {
            Rule::Forwarding
        } else {
            let new = self.sessions() > sessions;
            Rule::Session { new }
        };
        self.note_translated(by, before, after);
    }

    pub(super) fn note_translated(&mut self, by: Rule, before: Ends, after: Ends) {
        self.note(Decision::Translated {
            by,
            protocol: before.protocol,
            from: before.ends,
            to: after.ends,
        });
    }

    #[cold]
    pub(super) fn note_plain(&mut self, rules: &Rules, packet: Ends) {
        let exempt = packet
            .ends
            .iter()
            .any(|end| rules.is_exempt(end.ip().to_bits()));
        self.note(Decision::Untranslated(if exempt {
            Exemption::Exempt
        } else {
            Exemption::SameScope
        }));
    }
}
