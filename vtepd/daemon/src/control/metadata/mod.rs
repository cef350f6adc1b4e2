//! The metadata proxy: where it is, and who may ask it by which name.

mod names;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use mgmt_api::change::Changes;
use mgmt_api::control::MetadataAsker;
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::resources::{Attachment, Location, Network as ApiNetwork, Port as ApiPort};
use mgmt_api::state::{Handle, View};
use vtepd_datapath::underlay::resolver::{self, NextHop};
use vtepd_tables::{Asker, Bound, Metadata, Proxy, Usage};
use vtepd_wire::Mac;

use super::Control;
use super::places::{Place, Places, network_index};
use names::{Names, Owner};

/// What the configuration says.
#[derive(Clone, Copy, Debug)]
pub struct MetadataSettings {
    pub proxy: Proxy,
    /// Where names come from.
    pub range: Ipv4Net,
    /// Of the proxy's device.
    pub mac: Mac,
    pub mtu: u16,
}

/// The proxy, the ports of this host, and the names of those that may ask.
pub struct Askers {
    settings: MetadataSettings,
    names: Names,
    ports: HashMap<Handle<ApiPort>, LocalPort>,
    /// The ports of this host by network, those that may not ask too.
    networks: HashMap<Handle<ApiNetwork>, BTreeSet<Handle<ApiPort>>>,
    shown: BTreeMap<Ipv4Addr, MetadataAsker>,
}

struct LocalPort {
    network: Handle<ApiNetwork>,
    names: Vec<(Owner, Ipv4Addr)>,
}

/// The binding of a port of this host.
fn attachment_of(port: &ApiPort) -> Option<Attachment> {
    match port.location {
        Location::Local(attachment) => Some(attachment),
        Location::Remote(_) => None,
    }
}

/// What a port has a name for each of, if it may ask.
fn owners(view: View<'_>, port: &ApiPort) -> Vec<Owner> {
    let asks = view
        .get(port.network)
        .is_some_and(|network| network.metadata);
    if !asks || attachment_of(port).is_none() {
        return Vec::new();
    }
    let ipv4 = port.addresses.iter().filter_map(|address| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    ipv4.map(|address| (port.id.clone(), address)).collect()
}

impl Askers {
    pub fn new(settings: MetadataSettings) -> Self {
        let Proxy { own, address, .. } = settings.proxy;
        Self {
            settings,
            names: Names::new(settings.range, [own, address]),
            ports: HashMap::new(),
            networks: HashMap::new(),
            shown: BTreeMap::new(),
        }
    }

    /// The proxy as one whose MAC is asked for.
    pub fn next_hop(&self) -> (NextHop, resolver::Asker) {
        let proxy = self.settings.proxy;
        let hop = NextHop {
            interface: proxy.interface,
            address: IpAddr::V4(proxy.address),
        };
        let asker = resolver::Asker {
            mac: self.settings.mac,
            address: IpAddr::V4(proxy.own),
            tag: proxy.tag,
        };
        (hop, asker)
    }

    /// Names in use or resting.
    pub fn usage(&self) -> Usage {
        self.names.usage()
    }

    /// Up to `limit` of those who may ask, by their names, from `first` on.
    pub fn list(&self, first: Ipv4Addr, limit: usize) -> Vec<MetadataAsker> {
        let from = self.shown.range(first..).take(limit);
        from.map(|(_, asker)| asker.clone()).collect()
    }

    /// The ports that a transaction may give names to, or take them from.
    fn touched(&self, changes: Changes<'_>) -> BTreeSet<Handle<ApiPort>> {
        if changes.default_mtus_changed() {
            let known = self.ports.keys().copied();
            return known.chain(changes.ports().map(|c| c.handle)).collect();
        }
        let of_network = |network| self.networks.get(&network).into_iter().flatten();
        let networks = changes.networks().map(|change| change.handle);
        let ports = changes.ports().filter(|change| {
            let is_local = |port: Option<&ApiPort>| port.and_then(attachment_of).is_some();
            is_local(change.old) || is_local(change.new)
        });
        let ports = ports.map(|change| change.handle);
        ports
            .chain(networks.flat_map(of_network).copied())
            .collect()
    }

    /// Forgets a port; returns the names that it had.
    fn forget(&mut self, port: Handle<ApiPort>) -> Vec<(Owner, Ipv4Addr)> {
        let Some(old) = self.ports.remove(&port) else {
            return Vec::new();
        };
        if let Some(ports) = self.networks.get_mut(&old.network) {
            ports.remove(&port);
            if ports.is_empty() {
                self.networks.remove(&old.network);
            }
        }
        for (_, name) in &old.names {
            self.shown.remove(name);
        }
        old.names
    }

    /// Takes a port up; returns who asks by which name.
    fn take_up(
        &mut self,
        after: View<'_>,
        handle: Handle<ApiPort>,
        places: &Places,
        now: u32,
    ) -> Option<Vec<(Ipv4Addr, Asker)>> {
        let port = after.get(handle)?;
        let attachment = attachment_of(port)?;
        let network = after.get(port.network)?;
        let mut names = Vec::new();
        let mut askers = Vec::new();
        for owner in owners(after, port) {
            let (_, source) = owner;
            let name = self.names.take(owner.clone(), now)?;
            let asker = Asker {
                network: network_index(port.network)?,
                mac: Mac(port.mac.0),
                address: source,
                at: places.get(Place::Attachment(attachment))?,
                mtu: after.network_mtu(network),
            };
            let shown = MetadataAsker {
                address: name,
                port: port.id.clone(),
                network: network.id.clone(),
                mac: port.mac,
                source,
                addresses: port.addresses.iter().collect(),
            };
            self.shown.insert(name, shown);
            names.push((owner, name));
            askers.push((name, asker));
        }
        let ports = self.networks.entry(port.network).or_default();
        ports.insert(handle);
        let local = LocalPort {
            network: port.network,
            names,
        };
        self.ports.insert(handle, local);
        Some(askers)
    }
}

impl Control {
    /// The proxy's link is there from the start; nobody may ask yet.
    pub(super) fn start_metadata(&mut self) {
        let Some(askers) = &self.metadata else {
            return;
        };
        let MetadataSettings {
            proxy, mac, mtu, ..
        } = askers.settings;
        let snapshot = self.tables.edit();
        let interface = snapshot.interface_mut(proxy.interface);
        (interface.mac, interface.mtu) = (mac, mtu);
        interface.bind(proxy.tag.into(), Bound::Metadata);
        snapshot.set_metadata(Some(Metadata::new(proxy)));
        self.refresh_tunnels();
    }

    /// Refuses ports for which no name is left.
    pub(super) fn check_room_for_metadata(&mut self, changes: Changes<'_>) -> Result<(), Refusal> {
        let now = self.now();
        let Some(askers) = &mut self.metadata else {
            return Ok(());
        };
        let touched = askers.touched(changes).into_iter();
        let ports = touched.filter_map(|port| changes.after.get(port));
        let wanted = ports.flat_map(|port| owners(changes.after, port));
        let new = wanted.filter(|owner| !askers.names.has(owner)).count();
        if askers.names.has_room(new, now) {
            return Ok(());
        }
        let message = format!(
            "metadata.range {} has too few addresses for the ports of this host: widen it in the configuration, \
             or set `metadata` to false on networks that do without (those of removed ports rest for a minute)",
            askers.settings.range
        );
        Err(Refusal::new(Code::TableFull, message))
    }

    /// Who may ask after a transaction. The snapshot is edited only where that differs.
    pub(super) fn set_metadata(&mut self, changes: Changes<'_>) {
        let now = self.now();
        let Self {
            metadata: Some(askers),
            places,
            tables,
            ..
        } = self
        else {
            return;
        };
        let touched = askers.touched(changes);
        // What goes comes first: it may be an asker of the same MAC and address that comes.
        let mut wanted: BTreeMap<Ipv4Addr, Option<Asker>> = BTreeMap::new();
        for port in &touched {
            for (owner, name) in askers.forget(*port) {
                askers.names.give_up(&owner, now);
                wanted.insert(name, None);
            }
        }
        for port in &touched {
            let taken_up = askers.take_up(changes.after, *port, places, now);
            for (name, asker) in taken_up.into_iter().flatten() {
                wanted.insert(name, Some(asker));
            }
        }
        let (gone, here): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|(_, asker)| asker.is_none());
        for (name, asker) in gone.into_iter().chain(here) {
            let staged = tables.staged().metadata();
            if staged.and_then(|metadata| metadata.asker(name)) != asker.as_ref()
                && let Some(metadata) = tables.edit().metadata_mut()
            {
                metadata.set(name, asker);
            }
        }
    }

    /// The MAC of the proxy as it is known now.
    pub(super) fn refresh_proxy(&mut self) {
        let (Some(askers), Some(metadata)) = (&self.metadata, self.tables.staged().metadata())
        else {
            return;
        };
        let (hop, _) = askers.next_hop();
        let mac = self.resolver.mac(hop);
        if metadata.proxy.mac != mac
            && let Some(metadata) = self.tables.edit().metadata_mut()
        {
            metadata.proxy.mac = mac;
        }
    }
}
