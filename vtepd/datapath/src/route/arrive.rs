//! Frames that the router on another host has routed: their source is that host's DVR
//! host MAC. They are for stations of this host only, which see them come from their
//! gateway (dvr-spec, case 4, steps h to m).
//!
//! Never learned: the MAC belongs to no network. Never flooded, with one exception:
//! a question for a station that nobody knows must reach it to be answered (P1).

use core::net::IpAddr;

use vtepd_tables::{Adjacency, Gateway, HashedFdbKey, Network, Role, Snapshot};
use vtepd_wire::{FromBytes, Mac, arp, ethernet, frame, icmpv6, ipv4, ipv6};

use crate::context::{Frame, Verdict};
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::limit::Class;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;
use crate::resolution::{self, Kind};

impl<O: Observer> Decide<'_, O> {
    /// A frame with another host's DVR host MAC as its source.
    #[inline]
    pub(crate) fn arrive<P: Packet>(
        &mut self,
        frame: Frame,
        destination: HashedFdbKey,
        packet: &mut P,
    ) -> Verdict {
        self.note(Decision::FromHost);
        let Some(network) = self
            .network(&frame)
            .filter(|network| !network.gateways().is_empty())
        else {
            return DropReason::DvrNotRouted.into();
        };
        if frame.to_group {
            return self.question(frame, packet);
        }
        let Some(hit) = self.tables.fdb.find(destination) else {
            return DropReason::DvrDestination.into();
        };
        self.note(Decision::Known(hit.entry));
        let to = hit.entry.adjacency;
        match self.tables.snapshot.adjacency(to) {
            Adjacency::Port(port) if !port.segment => {}
            // What the other host's router has for the outside.
            Adjacency::Gateway(gateway) if gateway.role == Role::Central => {
                let kind = resolution::kind(&frame, packet.data());
                return self.route(frame, to, packet, kind);
            }
            _ => return DropReason::DvrDestination.into(),
        }
        let near = || destination_address(packet.data());
        let Some(gateway_mac) = gateway_mac(self.tables.snapshot, network, near) else {
            return DropReason::DvrNotRouted.into();
        };
        let Ok((header, _)) = ethernet::Header::mut_from_prefix(packet.data_mut()) else {
            return DropReason::SharedBuffer.into();
        };
        header.source = gateway_mac;
        Verdict::Forward(frame, to)
    }

    /// Another host's router asks for a station that it does not know: all of this
    /// host's ports in the network are asked, unless it is a gateway that this host alone has.
    #[cold]
    fn question<P: Packet>(&mut self, frame: Frame, packet: &mut P) -> Verdict {
        let kind = resolution::kind(&frame, packet.data());
        let asks = match kind {
            Kind::Arp => {
                let l3 = packet
                    .data()
                    .get(ethernet::Header::LEN..)
                    .unwrap_or_default();
                arp::Packet::ref_from_prefix(l3)
                    .is_ok_and(|(arp, _)| arp.is_valid() && arp.is_probe())
            }
            Kind::Nd(kind) => kind == icmpv6::NEIGHBOUR_SOLICITATION,
            Kind::Other => false,
        };
        if !asks {
            return DropReason::DvrDestination.into();
        }
        if !self.state.allow(&frame, Class::Resolution) {
            return DropReason::ArpNdLimit.into();
        }
        let wanted = resolution::named(packet.data(), kind).asks_for;
        if wanted.is_some_and(|address| self.is_open_gateway(&frame, address))
            && let Some(answer) = resolution::answer(self, &frame, packet, kind)
        {
            return answer;
        }
        self.note(Decision::Flood);
        Verdict::Flood(frame)
    }

    /// Whether an address is that of a gateway which takes what other hosts send.
    fn is_open_gateway(&self, frame: &Frame, address: IpAddr) -> bool {
        let neighbour = self.tables.neighbours.find(frame.network, address);
        let gateway = neighbour.and_then(|own| self.tables.snapshot.gateway(own.adjacency));
        gateway.is_some_and(|gateway| !gateway.is_confined())
    }
}

/// The MAC of the gateway that the station with the address `near` knows: of several in the
/// network, that of its subnet. Those by which other hosts go outside are nobody's gateways.
#[inline]
pub(crate) fn gateway_mac(
    snapshot: &Snapshot,
    network: &Network,
    near: impl FnOnce() -> Option<IpAddr>,
) -> Option<Mac> {
    if let [only] = network.gateways() {
        let only = snapshot.gateway(*only)?;
        return (only.role == Role::Inside).then_some(only.mac);
    }
    let destination = near()?;
    let gateways = network.gateways().iter();
    let gateways = gateways.filter_map(|at| snapshot.gateway(*at));
    let gateways = gateways.filter(|gateway| gateway.role == Role::Inside);
    let mut first: Option<&Gateway> = None;
    for gateway in gateways {
        if gateway.is_near(destination) {
            return Some(gateway.mac);
        }
        first = first.or(Some(gateway));
    }
    first.map(|gateway| gateway.mac)
}

fn destination_address(data: &[u8]) -> Option<IpAddr> {
    let link = frame::link(data).ok()?;
    let l3 = data.get(usize::from(link.l3)..)?;
    match link.ethertype {
        ethernet::ETHERTYPE_IPV4 => {
            let (header, _) = ipv4::Header::ref_from_prefix(l3).ok()?;
            Some(IpAddr::V4(header.destination_addr()))
        }
        ethernet::ETHERTYPE_IPV6 => {
            let (header, _) = ipv6::Header::ref_from_prefix(l3).ok()?;
            Some(IpAddr::V6(header.destination_addr()))
        }
        _ => None,
    }
}
