//! A transaction of desired state becomes table entries.
//!
//! First it is checked that everything has room; after that nothing can fail. Then
//! in the order that no packet meets a reference to something missing:
//!
//! ```text
//!  pools and limits of what is translated ─► every worker has them
//!  interfaces, bindings, tunnels, networks, flood lists, gateways, routes, rules,
//!  guards as loose as before or after ─► publish, every worker has moved on
//!  out: stations that are gone    in: VNIs, VTEPs, stations    out: VNIs, VTEPs
//!  guards as they shall be ─► publish, every worker has moved on
//!  adjacencies, networks and VRFs that nothing refers to ─► publish, moved on
//!  pools that no rules name are closed, new outside addresses announced
//! ```

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::num::NonZeroU16;

use mgmt_api::change::Changes;
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::resources::{
    Attachment, Flood, Host, Interface as ApiInterface, Network as ApiNetwork, Segment,
};
use mgmt_api::state::{Handle, View};
use vtepd_datapath::learn::NetworkLearning;
use vtepd_datapath::underlay::membership::Member;
use vtepd_tables::{
    Access, Adjacency, AdjacencyIndex, Bound, Gateway, InterfaceIndex, Network, NetworkIndex, Port,
    TagKey,
};
use vtepd_wire::{Vni, vxlan};

use super::Control;
use super::concerned::Concerned;
use super::guards::When;
use super::metadata::Askers;
use super::places::{Place, network_index};
use super::stations::entered;
use super::underlay::wire_tag;

/// What the control side keeps of each network besides its table entry.
#[derive(Default)]
pub struct Networks {
    list: Vec<NetworkState>,
}

#[derive(Default)]
struct NetworkState {
    ports: BTreeSet<AdjacencyIndex>,
    hosts: BTreeSet<Handle<Host>>,
    group: Option<Member>,
}

impl Networks {
    fn at(&mut self, network: Handle<ApiNetwork>) -> &mut NetworkState {
        if self.list.len() <= network.index() {
            self.list
                .resize_with(network.index() + 1, NetworkState::default);
        }
        &mut self.list[network.index()]
    }

    fn memberships(&self) -> Vec<Member> {
        let mut members: Vec<Member> = Vec::new();
        for member in self.list.iter().filter_map(|network| network.group) {
            if !members.contains(&member) {
                members.push(member);
            }
        }
        members
    }
}

impl Control {
    /// Makes a transaction true; afterwards every worker forwards by it.
    pub fn apply(&mut self, changes: &Changes<'_>) -> Result<(), Refusal> {
        let changes = *changes;
        let concerned = Concerned::of(changes);
        self.check_room(changes, &concerned)?;
        self.prepare_translation(changes, &concerned);
        let guarded = self.count_ports(changes);
        let gone = self.make_infrastructure(changes, &concerned, &guarded);
        self.tables.publish();
        // What follows is seen at once, also by who is still busy with the former snapshot:
        // that does not know where the new entries lead, and checks more.
        self.wait_for_workers();
        self.remove_stations(changes, &concerned);
        self.enter_references(changes);
        self.enter_stations(changes, &concerned);
        self.remove_references(changes);
        self.set_guards(changes, &guarded, When::After);
        self.tables.publish();
        self.wait_for_workers();
        self.clear_up(changes, &concerned, &gone);
        self.close_pools(changes, &concerned);
        self.supersede_sessions(changes, &concerned);
        self.announce(changes, &concerned);
        self.keep_next_hops(changes, &concerned);
        self.say_farewell();
        Ok(())
    }

    pub(super) fn wait_for_workers(&mut self) {
        if !self.tables.synchronize() {
            // It forwards nothing; health says which one it is.
            tracing::error!("a worker is stuck: the others forward by the new state");
        }
    }

    /// Refuses what would not fit; nothing has changed then.
    fn check_room(&mut self, changes: Changes<'_>, concerned: &Concerned) -> Result<(), Refusal> {
        for change in changes.networks() {
            if change.new.is_some() && network_index(change.handle).is_none() {
                let message = format!("at most {} networks are possible", NetworkIndex::MAX);
                let name = changes.after.name_of(change.handle);
                return Err(Refusal::new(Code::TableFull, message).of(name));
            }
        }
        self.places
            .check_room(self.new_places(changes, concerned))?;
        self.check_room_for_spaces(changes, concerned)?;
        self.check_room_for_translation(changes, concerned)?;
        self.check_room_for_metadata(changes)?;
        self.check_room_for_stations(changes, concerned)
    }

    fn new_places(&self, changes: Changes<'_>, concerned: &Concerned) -> usize {
        let is_new = |place| self.places.get(place).is_none();
        let bindings = changes.bindings().filter(|change| change.new.is_some());
        let hosts = changes
            .hosts()
            .filter(|change| change.new.is_some_and(|host| !host.is_local));
        let networks = changes.networks().filter(|change| {
            change
                .new
                .is_some_and(|network| group_of(network).is_some())
        });
        bindings
            .filter(|change| is_new(Place::Attachment(change.attachment)))
            .count()
            + hosts
                .filter(|change| is_new(Place::Host(change.handle)))
                .count()
            + networks
                .filter(|change| is_new(Place::Group(change.handle)))
                .count()
            + self.new_gateways(changes, concerned)
    }

    /// Everything that MACs and neighbours may refer to. Returns the places that
    /// are no longer wanted.
    fn make_infrastructure(
        &mut self,
        changes: Changes<'_>,
        concerned: &Concerned,
        guarded: &BTreeSet<Attachment>,
    ) -> Vec<Place> {
        let underlay_changed = self.underlay.update(&changes);
        let mut gone = Vec::new();
        let mut affected: BTreeSet<Handle<ApiNetwork>> = BTreeSet::new();
        // The snapshot is copied when it is edited: a transaction of ports alone
        // leaves it as it is.
        if underlay_changed {
            self.set_interfaces(changes);
        }
        self.set_bindings(changes, &mut affected, &mut gone);
        self.set_guards(changes, guarded, When::Before);
        for change in changes.hosts() {
            match change.new.filter(|host| !host.is_local) {
                Some(_) => drop(self.places.take(Place::Host(change.handle))),
                None => gone.push(Place::Host(change.handle)),
            }
        }
        for change in changes.networks() {
            affected.insert(change.handle);
            if let Some(network) = change.new {
                self.set_network(change.handle, network);
            }
        }
        for change in changes.members() {
            affected.insert(change.network);
            let hosts = &mut self.networks.at(change.network).hosts;
            if change.joins {
                hosts.insert(change.host)
            } else {
                hosts.remove(&change.host)
            };
        }
        if underlay_changed {
            // A group's tunnel may leave elsewhere now.
            let groups = changes
                .after
                .iter::<ApiNetwork>()
                .filter(|(_, network)| group_of(network).is_some());
            affected.extend(groups.map(|(handle, _)| handle));
        }
        if !affected.is_empty() || underlay_changed {
            for network in affected {
                self.set_flood(changes.after, network, &mut gone);
            }
            self.set_memberships();
        }
        if underlay_changed {
            self.refresh_tunnels();
        }
        self.set_routers(changes, concerned, &mut gone);
        self.set_rules(changes, concerned);
        self.set_metadata(changes);
        gone
    }

    /// Interfaces, and which tag of them is the underlay's.
    fn set_interfaces(&mut self, changes: Changes<'_>) {
        let key = |tag: Option<mgmt_api::resources::Tag>| TagKey::from(tag.and_then(wire_tag));
        let snapshot = self.tables.edit();
        for old in changes
            .interfaces()
            .filter_map(|change| change.old)
            .filter(|old| old.is_underlay())
        {
            let interface = snapshot.interface_mut(InterfaceIndex(old.device.0 as u8));
            interface.bind(key(old.tag), Bound::Nothing);
        }
        for new in changes.interfaces().filter_map(|change| change.new) {
            let index = InterfaceIndex(new.device.0 as u8);
            let interface = snapshot.interface_mut(index);
            interface.mac = self.underlay.mac(index);
            interface.mtu = changes.after.interface_mtu(new);
            if new.is_underlay() {
                interface.bind(key(new.tag), Bound::Underlay);
            }
        }
        for (index, underlay) in self.underlay.interfaces() {
            if snapshot.interface(index).is_some() {
                snapshot.interface_mut(index).underlay = underlay;
            }
        }
    }

    /// Which network the frames of each interface and tag belong to.
    fn set_bindings(
        &mut self,
        changes: Changes<'_>,
        affected: &mut BTreeSet<Handle<ApiNetwork>>,
        gone: &mut Vec<Place>,
    ) {
        for change in changes.bindings() {
            affected.extend(change.old.into_iter().chain(change.new));
            let place = Place::Attachment(change.attachment);
            let tag = change.attachment.tag.and_then(wire_tag);
            let Some(index) = interface_index(changes, change.attachment) else {
                continue;
            };
            if let (Some(old), Some(adjacency)) = (change.old, self.places.get(place)) {
                self.networks.at(old).ports.remove(&adjacency);
            }
            let network = change.new.and_then(network_index);
            let (Some(new), Some(network)) = (change.new, network) else {
                // Unless it has become the underlay's within the same transaction.
                let interface = self.tables.edit().interface_mut(index);
                if interface.bound(tag.into()) != Bound::Underlay {
                    interface.bind(tag.into(), Bound::Nothing);
                }
                gone.push(place);
                continue;
            };
            let Some(adjacency) = self.places.take(place) else {
                continue;
            };
            let at = change.attachment;
            let access = changes
                .after
                .get(new)
                .map_or(Access::Open, |network| self.guards.access(at, network));
            let segment = access == Access::Segment;
            let snapshot = self.tables.edit();
            *snapshot.adjacency_mut(adjacency) = Adjacency::Port(Port {
                interface: index,
                network,
                tag,
                segment,
            });
            snapshot.interface_mut(index).bind(
                tag.into(),
                Bound::Network {
                    network,
                    adjacency,
                    access,
                },
            );
            self.networks.at(new).ports.insert(adjacency);
        }
    }

    fn set_network(&mut self, handle: Handle<ApiNetwork>, network: &ApiNetwork) {
        let Some(index) = network_index(handle) else {
            return;
        };
        let entry = self.tables.edit().network_mut(index);
        entry.vni = vni_of(network);
        entry.learning = network.learning;
        entry.vlan_transparent = network.vlan_transparent;
        entry.suppression = network.arp_suppression;
        entry.metadata = network.metadata && self.metadata.is_some();
        let segment = network.segment.attachment().map(Place::Attachment);
        entry.segment = segment.and_then(|segment| self.places.get(segment));
        let settings = NetworkLearning {
            // The API takes up to 32,000.
            ageing: u16::try_from(network.ageing).unwrap_or(u16::MAX / 2),
            limit: network.learn_limit,
        };
        self.learner
            .set_network(index, network.learning.then_some(settings));
    }

    /// The ways of a network's BUM frames, and its group.
    fn set_flood(&mut self, after: View<'_>, handle: Handle<ApiNetwork>, gone: &mut Vec<Place>) {
        let (Some(index), Some(network)) = (network_index(handle), after.get(handle)) else {
            self.networks.at(handle).group = None;
            gone.push(Place::Group(handle));
            return;
        };
        let state = self.networks.at(handle);
        let ports: Vec<AdjacencyIndex> = state.ports.iter().copied().collect();
        let hosts: Vec<Handle<Host>> = state.hosts.iter().copied().collect();
        let mut tunnels = Vec::new();
        if let Some(group) = group_of(network) {
            let on = group
                .interface
                .and_then(|on| Some(InterfaceIndex(after.get(on)?.device.0 as u8)));
            let of_member = || hosts.iter().find_map(|host| self.underlay.udp_port(*host));
            let port = group.udp_port.map(NonZeroU16::get).or_else(of_member);
            let port = port.unwrap_or(vxlan::PORT);
            let built = self.underlay.group(group.address, on, port);
            self.networks.at(handle).group = built.as_ref().map(|(_, member)| *member);
            if let (Some((adjacency, _)), Some(at)) =
                (built, self.places.take(Place::Group(handle)))
            {
                *self.tables.edit().adjacency_mut(at) = adjacency;
                tunnels.push(at);
            }
        } else {
            self.networks.at(handle).group = None;
            gone.push(Place::Group(handle));
            if vni_of(network).is_some() {
                tunnels.extend(
                    hosts
                        .iter()
                        .filter_map(|host| self.places.get(Place::Host(*host))),
                );
            }
        }
        self.tables
            .edit()
            .network_mut(index)
            .set_flood(&ports, &tunnels);
    }

    /// Builds the tunnels to all remote hosts anew and asks for next hops that are
    /// not known yet.
    pub(super) fn refresh_tunnels(&mut self) {
        let now = self.now_ms();
        let proxy = self.metadata.as_ref().map(Askers::next_hop);
        let next_hops = self.underlay.next_hops().into_iter().chain(proxy);
        self.resolver.set(next_hops, now);
        self.refresh_proxy();
        let hosts: Vec<Handle<Host>> = self.underlay.remote_hosts().map(|(host, _)| host).collect();
        for host in hosts {
            let mac = self
                .underlay
                .next_hop(host)
                .and_then(|hop| self.resolver.mac(hop));
            if let Some(at) = self.places.get(Place::Host(host)) {
                *self.tables.edit().adjacency_mut(at) = self.underlay.tunnel(host, mac);
            }
        }
        let questions = self.resolver.questions(now);
        self.transmit(questions);
    }

    /// Our addresses and groups, and the reports that joining and leaving them takes.
    fn set_memberships(&mut self) {
        let members = self.networks.memberships();
        let now = self.now_ms();
        let mut frames = self.membership.set(&members, now);
        frames.extend(self.membership.reports(now));
        let addresses: Vec<IpAddr> = self.underlay.local_addresses().collect();
        self.tables
            .edit()
            .local
            .set(addresses, members.iter().map(|member| member.group));
        self.transmit(frames);
    }

    /// VNIs and VTEPs.
    fn enter_references(&mut self, changes: Changes<'_>) {
        for change in changes.networks() {
            if let (Some(vni), Some(index)) =
                (change.new.and_then(vni_of), network_index(change.handle))
            {
                self.tables.set_vni(vni, Some(index));
            }
        }
        for change in changes.hosts() {
            let vtep = change.new.and_then(Host::remote_vtep);
            if let (Some(vtep), Some(at)) = (vtep, self.places.get(Place::Host(change.handle))) {
                entered(self.tables.remote_vteps.insert(vtep, at));
            }
        }
        self.enter_host_macs(changes);
    }

    /// VNIs and VTEPs that are gone, unless somebody else of the same transaction
    /// has taken them over.
    fn remove_references(&mut self, changes: Changes<'_>) {
        let new_vteps: HashSet<IpAddr> = changes
            .hosts()
            .filter_map(|change| change.new.and_then(Host::remote_vtep))
            .collect();
        for vtep in changes
            .hosts()
            .filter_map(|change| change.old.and_then(Host::remote_vtep))
        {
            if !new_vteps.contains(&vtep) {
                self.tables.remote_vteps.remove(vtep);
            }
        }
        let new_vnis: HashSet<Vni> = changes
            .networks()
            .filter_map(|change| change.new.and_then(vni_of))
            .collect();
        for vni in changes
            .networks()
            .filter_map(|change| change.old.and_then(vni_of))
        {
            if !new_vnis.contains(&vni) {
                self.tables.set_vni(vni, None);
            }
        }
    }

    /// No worker refers to what is gone any more: its indices may be used again
    /// once no event speaks of it either.
    fn clear_up(&mut self, changes: Changes<'_>, concerned: &Concerned, gone: &[Place]) {
        let networks: Vec<NetworkIndex> = changes
            .networks()
            .filter(|change| change.new.is_none())
            .filter_map(|change| network_index(change.handle))
            .collect();
        let adjacencies: HashSet<AdjacencyIndex> = gone
            .iter()
            .filter_map(|place| self.places.give_up(*place))
            .collect();
        let vrfs = Self::gone_vrfs(changes, concerned);
        let unlearned = self.unlearned(changes);
        let changed = self.changed_gateways(changes);
        if networks.is_empty()
            && adjacencies.is_empty()
            && vrfs.is_empty()
            && unlearned.is_empty()
            && changed.is_empty()
        {
            return;
        }
        self.tables.edit().generation += 1;
        for vrf in vrfs {
            self.tables.edit().set_vrf(vrf, None);
        }
        for network in &networks {
            *self.tables.edit().network_mut(*network) = Network::default();
            self.learner.set_network(*network, None);
        }
        for adjacency in &adjacencies {
            *self.tables.edit().adjacency_mut(*adjacency) = Adjacency::Vacant;
        }
        self.drain_events();
        self.neighbours
            .forget(&mut self.tables, |network, address, neighbour, gateway| {
                let at = neighbour.map(|neighbour| neighbour.adjacency);
                networks.contains(&network)
                    || adjacencies.contains(&gateway)
                    || at.is_some_and(|at| adjacencies.contains(&at))
                    || unlearned.contains(&(network, None))
                    || at.is_some() && unlearned.contains(&(network, at))
                    || changed
                        .get(&gateway)
                        .is_some_and(|own| !own.is_near(address))
            });
        self.learner.forget(&mut self.tables, |row| {
            let (network, adjacency) = (row.key.network(), row.entry.adjacency);
            adjacencies.contains(&adjacency)
                || network.is_none_or(|network| {
                    networks.contains(&network)
                        || unlearned.contains(&(network, None))
                        || unlearned.contains(&(network, Some(adjacency)))
                })
        });
        self.tables.publish();
        // A stuck worker may still mean the former owners: their indices rest on.
        if self.tables.synchronize() {
            self.places.release();
        }
    }

    /// Gateways whose subnets may be others now.
    fn changed_gateways(&self, changes: Changes<'_>) -> HashMap<AdjacencyIndex, Gateway> {
        let mut changed = HashMap::new();
        for change in changes.routers() {
            for own in change.new.into_iter().flat_map(|new| &new.interfaces) {
                let mut old = change.old.into_iter().flat_map(|old| &old.interfaces);
                let old = old.find(|old| (old.network, old.mac) == (own.network, own.mac));
                let at = self
                    .places
                    .get(Place::Gateway(change.handle, own.network, own.mac));
                let gateway = at.and_then(|at| Some((at, self.tables.staged().gateway(at)?)));
                if old.is_some_and(|old| old.addresses != own.addresses) {
                    changed.extend(gateway.map(|(at, gateway)| (at, gateway.clone())));
                }
            }
        }
        changed
    }

    /// What of the learned MACs and neighbours is no longer true: of which networks, and
    /// there of which place (`None`: all).
    fn unlearned(&self, changes: Changes<'_>) -> HashSet<(NetworkIndex, Option<AdjacencyIndex>)> {
        // A binding that went from one network to another keeps its index.
        let moved = changes.bindings().filter_map(|change| {
            let at = self.places.get(Place::Attachment(change.attachment))?;
            Some((network_index(change.old?)?, Some(at)))
        });
        let left = changes.members().filter(|change| !change.joins);
        let left = left.filter_map(|change| {
            let at = self.places.get(Place::Host(change.host))?;
            Some((network_index(change.network)?, Some(at)))
        });
        let networks = changes.networks().filter(|change| {
            let pair = change.old.zip(change.new);
            pair.is_some_and(|(old, new)| {
                old.learning && !new.learning
                    || old.segment.attachment() != new.segment.attachment()
            })
        });
        let networks = networks.filter_map(|change| Some((network_index(change.handle)?, None)));
        moved.chain(left).chain(networks).collect()
    }
}

fn vni_of(network: &ApiNetwork) -> Option<Vni> {
    match network.segment {
        Segment::Vxlan(vni) => Vni::new(vni.get()),
        Segment::Vlan { .. } | Segment::Flat { .. } => None,
    }
}

/// The multicast group of a network that floods to one.
struct Group {
    address: IpAddr,
    interface: Option<Handle<ApiInterface>>,
    udp_port: Option<NonZeroU16>,
}

fn group_of(network: &ApiNetwork) -> Option<Group> {
    match (network.segment, network.flood) {
        (
            Segment::Vxlan(_),
            Flood::Multicast {
                group,
                interface,
                udp_port,
            },
        ) => Some(Group {
            address: group,
            interface,
            udp_port,
        }),
        _ => None,
    }
}

/// The interface of a binding that comes or goes.
pub(super) fn interface_index(
    changes: Changes<'_>,
    attachment: Attachment,
) -> Option<InterfaceIndex> {
    let interface = changes
        .after
        .get(attachment.interface)
        .or_else(|| changes.before.get(attachment.interface))?;
    Some(InterfaceIndex(interface.device.0 as u8))
}
