//! From stations to the proxy.

use core::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use vtepd_wire::{FromBytes, Malformed, ethernet, icmp_error, ipv4};

use super::{ADDRESS, Ends, L3, PORT, ends, rewrite};
use crate::context::{Frame, Verdict};
use crate::decide::Decide;
use crate::drop_reason::DropReason;
use crate::limit::Class;
use crate::observer::{Decision, Observer};
use crate::packet::Packet;
use crate::resolution::{self, Kind};

impl<O: Observer> Decide<'_, O> {
    /// A frame to the MAC by which stations reach the proxy on their link.
    #[cold]
    pub(crate) fn reach_metadata<P: Packet>(
        &mut self,
        frame: &Frame,
        packet: &mut P,
        kind: Kind,
    ) -> Verdict {
        match frame.ethertype {
            ethernet::ETHERTYPE_ARP => {
                let answer = resolution::answer(self, frame, packet, kind);
                answer.unwrap_or(Verdict::Consumed)
            }
            ethernet::ETHERTYPE_IPV4 => {
                let bytes = packet.data().get(L3..).unwrap_or_default();
                match ipv4::check(bytes, packet.frame_len() - L3) {
                    Ok(checked) => self.ask_metadata(frame, packet, checked),
                    Err(Malformed::Checksum) => DropReason::IpChecksum.into(),
                    Err(_) => DropReason::IpMalformed.into(),
                }
            }
            _ => DropReason::MetadataProtocol.into(),
        }
    }

    /// An IPv4 packet to the metadata service, by a gateway or not.
    #[cold]
    pub(crate) fn ask_metadata<P: Packet>(
        &mut self,
        frame: &Frame,
        packet: &mut P,
        checked: ipv4::Checked,
    ) -> Verdict {
        // Where no gateway is on the subnet, this is the DHCP server's address too.
        if let Some(service) = self.service_of(frame, packet.data(), Kind::Other) {
            self.note(Decision::Asked(service));
            return self.state.ask(service, frame, packet);
        }
        let Some(metadata) = self.tables.snapshot.metadata() else {
            return DropReason::Vacant.into();
        };
        let proxy = metadata.proxy;
        let Some(link) = self.tables.snapshot.interface(proxy.interface) else {
            return DropReason::Vacant.into();
        };
        let Ok((header, l3)) = ethernet::Header::ref_from_prefix(packet.data()) else {
            return DropReason::Truncated.into();
        };
        let service = SocketAddrV4::new(ADDRESS, PORT);
        let Some(asked) = ends(l3, checked).filter(|ends| ends.destination == service) else {
            return DropReason::MetadataProtocol.into();
        };
        let sender = asked.source;
        let known = metadata.address(frame.network, header.source, *sender.ip());
        // Where nothing is guarded, others could send in its name, but not from its place.
        let is_there = |known: &Ipv4Addr| {
            let asker = metadata.asker(*known);
            asker.is_some_and(|asker| asker.at == frame.ingress)
        };
        let Some(address) = known.filter(is_there) else {
            return DropReason::MetadataUnknown.into();
        };
        self.note(Decision::Asks(address));
        if !self.state.allow(frame, Class::Metadata) {
            return DropReason::MetadataLimit.into();
        }
        let Some(mac) = proxy.mac else {
            return DropReason::MetadataUnresolved.into();
        };
        if let Err(verdict) = self.check_way(frame, packet, checked, link.mtu) {
            return verdict;
        }
        if packet.frame_len() > L3 + checked.total_len {
            packet.truncate(L3 + checked.total_len);
        }
        let Ok((header, l3)) = ethernet::Header::mut_from_prefix(packet.data_mut()) else {
            return DropReason::SharedBuffer.into();
        };
        let own = Ends {
            source: SocketAddrV4::new(address, sender.port()),
            destination: SocketAddrV4::new(proxy.address, proxy.port),
        };
        let (Some(()), Ok((ip, _))) = (rewrite(l3, own), ipv4::Header::mut_from_prefix(l3)) else {
            return DropReason::SharedBuffer.into();
        };
        ip.decrement_ttl();
        (header.destination, header.source) = (mac, link.mac);
        Verdict::ToProxy
    }

    /// Whether the packet may live on, and fits the proxy's link.
    fn check_way<P: Packet>(
        &mut self,
        frame: &Frame,
        packet: &mut P,
        checked: ipv4::Checked,
        mtu: u16,
    ) -> Result<(), Verdict> {
        let l3 = packet.data().get(L3..).unwrap_or_default();
        let Ok((&ip, _)) = ipv4::Header::ref_from_prefix(l3) else {
            return Err(DropReason::IpMalformed.into());
        };
        let (error, reason) = if ip.ttl <= 1 {
            (icmp_error::Error::TTL_EXCEEDED, DropReason::TtlExceeded)
        } else if checked.total_len <= usize::from(mtu) {
            return Ok(());
        } else if ip.dont_fragment() {
            let error = icmp_error::Error::fragmentation_needed(mtu);
            (error, DropReason::MtuExceeded)
        } else {
            return Err(DropReason::PortMtu.into());
        };
        let own = Some(IpAddr::V4(ADDRESS));
        Err(self.error_v4(frame, own, packet, error, reason))
    }
}
