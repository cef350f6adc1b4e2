//! Reading the state, as it is or as a transaction would leave it.

mod outside;

use std::net::IpAddr;

use ipnet::IpNet;

use super::claims::{self, StagedTallies};
use super::fingerprints::{Fingerprints, Station, StationKey, fingerprint};
use super::{Handle, Holder, Owner, Place, Staged, State, Used};
use crate::control::{Device, Facts};
use crate::id::Id;
use crate::resources::{
    Attachment, DeviceIndex, Flood, Host, Interface, Kind, Network, Port, Router, RouterInterface,
    RouterRoute, Segment, StaticFdb,
};

/// Outer Ethernet, IPv4, UDP and VXLAN headers take 50 bytes from the underlay's MTU: 20 + 8 + 8 and
/// the inner Ethernet header's 14.
const OVERHEAD_IPV4: u16 = 50;
/// The same with IPv6's 40 bytes.
const OVERHEAD_IPV6: u16 = 70;
/// An inner 802.1Q tag.
const INNER_TAG: u16 = 4;
/// The MTU of a network while there is no underlay to fit.
const ETHERNET_MTU: u16 = 1500;

/// The state, with a transaction laid over it or without. Copied freely.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    state: &'a State,
    staged: Option<&'a Staged>,
}

impl<'a> View<'a> {
    pub(crate) fn new(state: &'a State, staged: Option<&'a Staged>) -> Self {
        Self { state, staged }
    }

    /// What the daemon said of itself and its devices.
    #[must_use]
    pub fn facts(self) -> &'a Facts {
        &self.state.facts
    }

    /// A device.
    #[must_use]
    pub fn device(self, index: DeviceIndex) -> &'a Device {
        &self.state.facts.devices[index.0 as usize]
    }

    /// The record behind a handle.
    #[must_use]
    pub fn get<K: Kind>(self, handle: Handle<K>) -> Option<&'a K> {
        match self.staged.and_then(|staged| K::staged(staged).get(handle)) {
            Some(after) => after,
            None => K::table(self.state).get(handle),
        }
    }

    /// The handle of a key.
    #[must_use]
    pub fn find<K: Kind>(self, key: &K::Key) -> Option<Handle<K>> {
        let order = K::order_of(key, self)?;
        self.find_at::<K>(&order)
    }

    /// The handle at a place in the order.
    pub(super) fn find_at<K: Kind>(self, order: &K::Order) -> Option<Handle<K>> {
        match self.staged.and_then(|staged| K::staged(staged).find(order)) {
            Some(after) => after,
            None => K::table(self.state).find(order),
        }
    }

    /// The identifier behind a handle that a live record holds.
    #[must_use]
    pub fn id_of<K: Kind<Key = Id>>(self, handle: Handle<K>) -> Id {
        // A transaction may remove the target before the record that refers to it is looked at, and a group of
        // requests may have created it, too.
        let record = self
            .get(handle)
            .or_else(|| K::table(self.state).get(handle));
        record.map_or_else(Id::of_removed, |record| record.key(self))
    }

    /// `kind/id` of a handle that is live here, for messages and [`Refusal::of`](crate::refusal::Refusal::of).
    #[must_use]
    pub fn name_of<K: Kind>(self, handle: Handle<K>) -> String {
        let record = self
            .get(handle)
            .or_else(|| K::table(self.state).get(handle));
        match record {
            Some(record) => format!("{}/{}", K::NAME, record.key(self)),
            None => format!("{}/{handle:?}", K::NAME),
        }
    }

    /// Every record of a kind, in no order to rely on.
    pub fn iter<K: Kind>(self) -> impl Iterator<Item = (Handle<K>, &'a K)> {
        let staged = self.staged.map(K::staged);
        let kept = K::table(self.state).iter();
        let kept = kept
            .filter(move |(handle, _)| staged.is_none_or(|staged| staged.get(*handle).is_none()));
        let touched = staged.into_iter().flat_map(|staged| staged.iter());
        kept.chain(touched.filter_map(|(handle, new)| Some((handle, new?))))
    }

    /// The network that frames of this interface and tag belong to.
    #[must_use]
    pub fn network_at(self, attachment: Attachment) -> Option<Handle<Network>> {
        self.owners(Place::Attachment(attachment))
            .into_iter()
            .find_map(|owner| match owner {
                Owner::Network(network) => Some(network),
                Owner::Interface(_) | Owner::Host(_) | Owner::FloatingIp(_) => None,
            })
    }

    /// How many ports, static entries and the network itself make `host` one that `network` floods to.
    #[must_use]
    pub fn member_count(self, network: Handle<Network>, host: Handle<Host>) -> u32 {
        let member = (network, host);
        let base = self.state.tallies.members.get(&member).copied();
        let staged = self.tallies();
        let by = staged.and_then(|tallies| tallies.members.get(&member).copied());
        claims::after(base.unwrap_or(0), by.unwrap_or(0))
    }

    /// True if the network floods to a remote host, or would if it were no VLAN segment.
    pub(super) fn has_members(self, network: Handle<Network>) -> bool {
        !self.all_members_of(network).is_empty()
    }

    /// The remote hosts with a part in the network, or that would have one if it were no VLAN segment.
    pub(super) fn all_members_of(self, network: Handle<Network>) -> Vec<Handle<Host>> {
        self.state.tallies.members(self.tallies(), network)
    }

    /// True if there are floating IPs, or were before.
    pub(super) fn has_floating_ips(self) -> bool {
        let staged = self
            .staged
            .is_some_and(|staged| staged.floating_ips.len() > 0);
        staged || !self.state.floating_ips.is_empty()
    }

    /// Every interface and tag that belongs to a network or the underlay, without regard to a transaction.
    pub(crate) fn bound_attachments(self) -> Vec<Attachment> {
        super::attachments(self.state.tallies.held.keys())
    }

    /// Every network with each of its members, without regard to a transaction.
    pub(crate) fn members(self) -> impl Iterator<Item = (Handle<Network>, Handle<Host>)> + use<'a> {
        self.state.tallies.members.keys().copied()
    }

    /// Where frames of a network enter and leave here, whatever binds it: its segment, its bindings, its ports.
    /// Without regard to a transaction.
    #[must_use]
    pub fn attachments_of(self, network: Handle<Network>) -> Vec<Attachment> {
        let mut attachments = self.bound_attachments();
        attachments.retain(|attachment| self.network_at(*attachment) == Some(network));
        attachments
    }

    /// The remote hosts a network floods to, without regard to a transaction.
    pub fn members_of(
        self,
        network: Handle<Network>,
    ) -> impl Iterator<Item = Handle<Host>> + use<'a> {
        let range = (network, Handle::new(0))..=(network, Handle::new(u32::MAX));
        self.state
            .tallies
            .members
            .range(range)
            .map(|((_, host), _)| *host)
    }

    /// The settings of the host this daemon runs on, if it has any.
    #[must_use]
    pub fn local_host(self) -> Option<(Handle<Host>, &'a Host)> {
        let handle = self.find::<Host>(&self.facts().local_host)?;
        Some((handle, self.get(handle)?))
    }

    /// The routers with an interface in the network.
    pub fn routers_of(self, network: Handle<Network>) -> impl Iterator<Item = Handle<Router>> {
        let routers = self.state.tallies.routers(self.tallies(), network);
        routers.into_iter()
    }

    /// The gateways of the network: each router in it, and its interfaces there.
    pub fn gateways_in(
        self,
        network: Handle<Network>,
    ) -> impl Iterator<Item = (Handle<Router>, &'a Router, &'a RouterInterface)> {
        self.routers_of(network).flat_map(move |handle| {
            let router = self.get(handle).into_iter();
            router.flat_map(move |router| {
                let own = router.interfaces_in(network);
                own.map(move |own| (handle, router, own))
            })
        })
    }

    /// The gateway of a subnet of the network: the first router with an address in it, its interface and that address.
    #[must_use]
    pub fn gateway_of_subnet(
        self,
        network: Handle<Network>,
        subnet: IpNet,
    ) -> Option<(Handle<Router>, &'a RouterInterface, IpAddr)> {
        self.gateways_in(network).find_map(|(router, _, own)| {
            let mut addresses = own.addresses.iter().map(IpNet::addr);
            let address = addresses.find(|address| subnet.contains(address))?;
            Some((router, own, address))
        })
    }

    /// The `routes` of a router, beside its own list.
    pub fn routes_of(
        self,
        router: Handle<Router>,
    ) -> impl Iterator<Item = (Handle<RouterRoute>, &'a RouterRoute)> {
        let range = RouterRoute::within(Used::Router(router)).map(|(first, last)| first..=last);
        let staged = self.staged.zip(range.clone()).into_iter();
        let came = staged.flat_map(|(staged, range)| staged.routes.created(range));
        let kept = range.map(|range| self.state.routes.range(range));
        let kept = kept.into_iter().flatten().map(|(_, handle, _)| handle);
        // Those that went are not to be had any more.
        kept.chain(came)
            .filter_map(move |handle| Some((handle, self.get(handle)?)))
    }

    /// The MTU of an interface: its own or its device's.
    #[must_use]
    pub fn interface_mtu(self, interface: &Interface) -> u16 {
        interface.mtu.unwrap_or(self.device(interface.device).mtu)
    }

    /// The least MTU of the underlay interfaces, `None` while there is none: a packet may leave by any of them.
    #[must_use]
    pub fn underlay_mtu(self) -> Option<u16> {
        let underlay = self
            .iter::<Interface>()
            .filter(|(_, interface)| interface.is_underlay());
        underlay
            .map(|(_, interface)| self.interface_mtu(interface))
            .min()
    }

    /// True if a remote VTEP has an IPv6 address.
    #[must_use]
    pub fn has_ipv6_vteps(self) -> bool {
        self.used(Used::RemoteIpv6) > 0
    }

    /// The bytes that encapsulation adds to this network's packets, as a network engineer counts them
    /// against the underlay's MTU.
    #[must_use]
    pub fn overhead(self, network: &Network) -> u16 {
        let by_ipv6_group =
            matches!(network.flood, Flood::Multicast { group, .. } if group.is_ipv6());
        let outer = if by_ipv6_group || self.has_ipv6_vteps() {
            OVERHEAD_IPV6
        } else {
            OVERHEAD_IPV4
        };
        outer
            + if network.vlan_transparent {
                INNER_TAG
            } else {
                0
            }
    }

    /// The largest MTU the network can have: what fits the underlay, or its VLAN's interface. `None`
    /// while there is no underlay.
    #[must_use]
    pub fn largest_network_mtu(self, network: &Network) -> Option<u16> {
        match network.segment {
            Segment::Vlan { interface, .. } | Segment::Flat { interface } => self
                .get(interface)
                .map(|interface| self.interface_mtu(interface)),
            Segment::Vxlan(_) => self
                .underlay_mtu()
                .map(|mtu| mtu.saturating_sub(self.overhead(network))),
        }
    }

    /// The MTU of a network: its own, or what fits.
    #[must_use]
    pub fn network_mtu(self, network: &Network) -> u16 {
        network
            .mtu
            .or_else(|| self.largest_network_mtu(network))
            .unwrap_or(ETHERNET_MTU)
    }

    pub(super) fn used(self, used: Used) -> u32 {
        let base = self.state.tallies.used.get(&used).copied();
        let staged = self.tallies();
        let by = staged.and_then(|tallies| tallies.used.get(&used).copied());
        claims::after(base.unwrap_or(0), by.unwrap_or(0))
    }

    pub(super) fn owners(self, place: Place) -> Vec<Owner> {
        self.state.tallies.owners(self.tallies(), place)
    }

    /// Who has this address. More than one is a contradiction.
    pub(super) fn holders(self, key: StationKey) -> impl Iterator<Item = Holder> {
        let fingerprint = fingerprint(&self.state.keyed, key);
        let staged = self.staged.map(|staged| &staged.port_keys);
        let ports = self.stations(key, fingerprint, &self.state.port_keys, staged);
        let staged = self.staged.map(|staged| &staged.gateway_keys);
        let gateways = self.stations(key, fingerprint, &self.state.gateway_keys, staged);
        let staged = self.staged.map(|staged| &staged.host_gateway_keys);
        let base = &self.state.host_gateway_keys;
        let hosts = self.stations(key, fingerprint, base, staged);
        let staged = self.staged.map(|staged| &staged.floating_keys);
        let floating_ips = self.stations(key, fingerprint, &self.state.floating_keys, staged);
        let entry = match key {
            StationKey::Mac(network, mac) => self.find_at::<StaticFdb>(&(network, mac)),
            StationKey::Address(..) => None,
        };
        ports
            .map(Holder::Port)
            .chain(gateways.map(Holder::Gateway))
            .chain(hosts.map(Holder::FloatingGateway))
            .chain(floating_ips.map(Holder::FloatingIp))
            .chain(entry.map(Holder::Static))
    }

    /// The port with an address in the network.
    #[must_use]
    pub fn port_with(self, network: Handle<Network>, address: IpAddr) -> Option<&'a Port> {
        let mut holders = self.holders(StationKey::Address(network, address));
        holders.find_map(|holder| match holder {
            Holder::Port(port) => self.get(port),
            _ => None,
        })
    }

    /// The records of one kind that have this address.
    fn stations<K: Station>(
        self,
        key: StationKey,
        fingerprint: u32,
        base: &'a Fingerprints<K>,
        staged: Option<&'a Fingerprints<K>>,
    ) -> impl Iterator<Item = Handle<K>> {
        let kept = base.candidates(fingerprint);
        let kept = kept.filter(move |handle| {
            self.staged
                .is_none_or(|staged| K::staged(staged).get(*handle).is_none())
        });
        let came = staged.into_iter();
        let came = came.flat_map(move |staged| staged.candidates(fingerprint));
        kept.chain(came).filter(move |handle| {
            self.get(*handle)
                .is_some_and(|record| record.has(*handle, key))
        })
    }

    fn tallies(self) -> Option<&'a StagedTallies> {
        self.staged.map(|staged| &staged.tallies)
    }
}
