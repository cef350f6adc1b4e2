//! What is translated: rules for each address space with a way outside, and the pools and tenants behind them.
//!
//! ```text
//!   open pools, set limits ─► every worker has ─► publish rules ─► every worker goes by them ─► close pools
//! ```
//!
//! So no worker meets rules whose pools it does not know, and none goes by rules whose pools are closed. A pool's
//! number rests until each worker says that nothing hangs on it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use mgmt_api::change::Changes;
use mgmt_api::id::Id;
use mgmt_api::refusal::{Code, Refusal};
use mgmt_api::resources::{
    FloatingIp as ApiFloatingIp, ForwardedProtocol, NatLimits, NatSettings, Network as ApiNetwork,
    Router, UnsolicitedSyn as ApiUnsolicitedSyn,
};
use mgmt_api::state::{Handle, View};
use vtepd_datapath::NatRequest;
use vtepd_nat::{Limits, PoolOwner, Settings, Timeouts, UnsolicitedSyn};
use vtepd_tables::VrfIndex;
use vtepd_tables::translation::{
    Description, Externals, Filtering, FloatingIp, Forwarding, OutsideAddress, PoolIndex, Protocol,
    Rules, SubscriberIndex,
};

use super::Control;
use super::concerned::Concerned;
use super::floating;
use super::gateways::{WayOut, spaces};
use super::nat_names;
use super::places::{Side, network_index};
use super::spaces::{Space, index_of};

/// How many pools and tenants the workers have room for.
#[derive(Clone, Copy, Debug)]
pub struct TranslationCapacity {
    pub pools: u16,
    /// Pools beyond these that the workers have room for: those that still end do not keep others from being opened, nor a
    /// transaction from being undone.
    pub spare_pools: u16,
    pub tenants: u16,
}

/// The numbers that rules refer to.
pub struct Translation {
    /// How many pools may be in use.
    most_pools: usize,
    pools: Numbers<PoolOwnerKey>,
    /// Whose each number is or was last: thousands of pools may tell at a time that they are exhausted.
    by_number: Vec<Option<(Space, Ipv4Addr)>>,
    tenants: Numbers<Id>,
    /// By address space, what its rules refer to.
    pub(super) used: BTreeMap<Space, Used>,
    /// How many address spaces and closing pools count for each tenant.
    holders: HashMap<Id, usize>,
    /// Limits of the tenants in force, all workers together.
    limits: BTreeMap<Id, NatLimits>,
    /// Pools that workers still clear up.
    closing: Vec<Closing>,
    /// What holds for all, once it has been said.
    settings: Option<Settings>,
}

/// Whose sessions end with a change of any of these.
type PoolOwnerKey = (Space, Handle<ApiNetwork>, Ipv4Addr, SubscriberIndex);

/// As the workers know it.
fn owner_of((space, _, address, subscriber): PoolOwnerKey) -> Option<PoolOwner> {
    Some(PoolOwner {
        router: index_of(space)?,
        subscriber,
        address,
    })
}

/// A pool that workers still clear up.
struct Closing {
    index: PoolIndex,
    key: PoolOwnerKey,
    tenant: Id,
}

pub(super) struct Used {
    pub(super) tenant: Id,
    pools: Vec<PoolOwnerKey>,
}

/// Small numbers for keys; one that is given up is dealt again.
struct Numbers<K> {
    by_key: HashMap<K, u16>,
    free: Vec<u16>,
    next: u16,
    capacity: u16,
}

impl<K: std::hash::Hash + Eq + Clone> Numbers<K> {
    fn new(capacity: u16) -> Self {
        Self {
            by_key: HashMap::new(),
            free: Vec::new(),
            next: 0,
            capacity,
        }
    }

    fn get(&self, key: &K) -> Option<u16> {
        self.by_key.get(key).copied()
    }

    fn room(&self) -> usize {
        self.free.len() + usize::from(self.capacity - self.next)
    }

    /// A number for a key, and whether it is new. `None` when all are taken.
    fn take(&mut self, key: &K) -> Option<(u16, bool)> {
        if let Some(number) = self.get(key) {
            return Some((number, false));
        }
        let number = self.free.pop().or_else(|| {
            let number = self.next;
            (number < self.capacity).then(|| {
                self.next += 1;
                number
            })
        })?;
        self.by_key.insert(key.clone(), number);
        Some((number, true))
    }

    /// Takes a number from its key; it rests until [`release`](Self::release).
    fn give_up(&mut self, key: &K) -> Option<u16> {
        self.by_key.remove(key)
    }

    fn release(&mut self, number: u16) {
        self.free.push(number);
    }
}

/// The rules of an external network's routers that a transaction changes.
#[derive(Default)]
struct Replaced {
    former: Vec<Arc<Rules>>,
    present: Vec<Arc<Rules>>,
}

/// What an address space refers to, as the records have it.
struct Wanted<'a> {
    space: Space,
    router: &'a Router,
    way_out: WayOut<'a>,
    /// Outside addresses for SNAT.
    addresses: Vec<Ipv4Addr>,
}

impl Wanted<'_> {
    fn key(&self, address: Ipv4Addr, subscriber: SubscriberIndex) -> PoolOwnerKey {
        (
            self.space,
            self.way_out.external.network,
            address,
            subscriber,
        )
    }
}

fn wanted<'a>(view: View<'a>, space: Space) -> Option<Wanted<'a>> {
    let router = view.get(space.0)?;
    let way_out = WayOut::of(view, space)?;
    let own = way_out.own.filter(|_| way_out.external.snat);
    let addresses = own.into_iter().flat_map(|own| &own.addresses);
    let addresses = addresses.filter_map(|own| match own.addr() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    Some(Wanted {
        space,
        router,
        addresses: addresses.collect(),
        way_out,
    })
}

impl Translation {
    /// Nothing is translated yet.
    pub fn new(capacity: TranslationCapacity) -> Self {
        Self {
            most_pools: usize::from(capacity.pools),
            pools: Numbers::new(capacity.pools.saturating_add(capacity.spare_pools)),
            by_number: Vec::new(),
            tenants: Numbers::new(capacity.tenants),
            used: BTreeMap::new(),
            holders: HashMap::new(),
            limits: BTreeMap::new(),
            closing: Vec::new(),
            settings: None,
        }
    }

    /// How many pools and tenants there may be.
    pub fn capacity(&self) -> (u16, u16) {
        (self.pools.capacity, self.tenants.capacity)
    }

    /// The tenants that routers of this host count for, with their limits.
    pub fn tenants(&self) -> impl Iterator<Item = (&Id, SubscriberIndex, NatLimits)> {
        let tenants = self.tenants.by_key.iter();
        tenants
            .filter_map(|(id, number)| Some((id, SubscriberIndex(*number), *self.limits.get(id)?)))
    }

    /// The pools in use: whose, and which address.
    pub fn pools(&self) -> impl Iterator<Item = (Space, Ipv4Addr, PoolIndex)> {
        let pools = self.pools.by_key.iter();
        pools.map(|((space, _, address, _), number)| (*space, *address, PoolIndex(*number)))
    }

    /// The same, of those that workers still clear up.
    pub fn closing_pools(&self) -> impl Iterator<Item = (Space, Ipv4Addr, PoolIndex)> {
        let closing = self.closing.iter();
        closing.map(|closing| {
            let (space, _, address, _) = closing.key;
            (space, address, closing.index)
        })
    }

    /// Whose a pool is or was, and which address.
    pub fn pool(&self, index: PoolIndex) -> Option<(Space, Ipv4Addr)> {
        *self.by_number.get(usize::from(index.0))?
    }

    fn hold_tenant(&mut self, tenant: &Id) {
        *self.holders.entry(tenant.clone()).or_default() += 1;
    }

    /// The last one to let a tenant go gives its number back.
    fn let_tenant_go(&mut self, tenant: &Id) {
        let Some(holders) = self.holders.get_mut(tenant) else {
            return;
        };
        *holders -= 1;
        if *holders == 0 {
            self.holders.remove(tenant);
            self.limits.remove(tenant);
            if let Some(number) = self.tenants.give_up(tenant) {
                self.tenants.release(number);
            }
        }
    }

    fn open_pools(&mut self, wanted: &Wanted<'_>, subscriber: SubscriberIndex) -> Vec<NatRequest> {
        let addresses = wanted.addresses.iter();
        let opened = addresses.filter_map(|address| {
            let key = wanted.key(*address, subscriber);
            let owner = owner_of(key)?;
            let (number, is_new) = self.pools.take(&key)?;
            let at = usize::from(number);
            if self.by_number.len() <= at {
                self.by_number.resize(at + 1, None);
            }
            self.by_number[at] = Some((wanted.space, *address));
            is_new.then_some(NatRequest::OpenPool {
                pool: PoolIndex(number),
                owner,
            })
        });
        opened.collect()
    }

    /// The pools of a space that are not open yet.
    fn new_pools(&self, wanted: &Wanted<'_>) -> usize {
        let tenant = self.tenants.get(wanted.router.tenant());
        let is_new = |address: &&Ipv4Addr| {
            tenant.is_none_or(|tenant| {
                let key = wanted.key(**address, SubscriberIndex(tenant));
                self.pools.get(&key).is_none()
            })
        };
        wanted.addresses.iter().filter(is_new).count()
    }
}

impl Control {
    /// Refuses outside addresses and tenants that the workers have no room for.
    pub(super) fn check_room_for_translation(
        &self,
        changes: Changes<'_>,
        concerned: &Concerned,
    ) -> Result<(), Refusal> {
        let translation = &self.translation;
        let (mut new, mut gone, mut used) = (0, 0, translation.pools.by_key.len());
        let mut tenants: BTreeSet<&Id> = BTreeSet::new();
        let routers = concerned.translating(changes).into_iter();
        for space in routers.flat_map(|router| Side::ALL.map(|side| (router, side))) {
            let before = translation.used.get(&space);
            let before = before.map_or(0, |used| used.pools.len());
            used -= before;
            gone += before;
            if let Some(wanted) = wanted(changes.after, space) {
                let (all, opened) = (wanted.addresses.len(), translation.new_pools(&wanted));
                used += all;
                new += opened;
                gone = gone.saturating_sub(all - opened);
                let tenant = wanted.router.tenant();
                if translation.tenants.get(tenant).is_none() {
                    tenants.insert(tenant);
                }
            }
        }
        let refuse = |message: String| Err(Refusal::new(Code::TableFull, message));
        let most = translation.most_pools;
        if used > most {
            return refuse(format!(
                "there is room for {most} outside addresses: take some away or raise nat.pools in the configuration"
            ));
        }
        // What a transaction takes away is begun anew if the disk cannot keep it: there must be room for that as well.
        let room = translation.pools.room();
        let wanted = if changes.is_undo() { new } else { new + gone };
        if wanted > room {
            let ending = translation.closing.len();
            return refuse(format!(
                "{new} outside addresses come and {gone} go, and {ending} that were taken away before are still being cleared \
                 up, ports and all: there is room for {room} changes; make fewer at a time, ask again in two minutes, or raise \
                 nat.pools in the configuration"
            ));
        }
        if tenants.len() > translation.tenants.room() {
            let capacity = translation.tenants.capacity;
            return refuse(format!(
                "there is room for {capacity} tenants, those that still end counted: take some away or raise nat.tenants in the \
                 configuration"
            ));
        }
        Ok(())
    }

    /// What workers must know before they meet new rules: pools and limits. Waits for them if there is any.
    pub(super) fn prepare_translation(&mut self, changes: Changes<'_>, concerned: &Concerned) {
        let mut requests = Vec::new();
        let mut limited: BTreeSet<Id> = changes
            .tenants()
            .filter_map(|change| Some(change.new.or(change.old)?.id.clone()))
            .collect();
        if changes.nat_settings().next().is_some() {
            let settings = self.settings(&changes.after.nat_settings());
            self.translation.settings = Some(settings);
            requests.push(NatRequest::Set(settings));
            // What tenants leave to the defaults changes with these.
            limited.extend(self.translation.tenants.by_key.keys().cloned());
        }
        for router in concerned.translating(changes) {
            for space in spaces(changes.after, router) {
                let Some(wanted) = wanted(changes.after, space) else {
                    continue;
                };
                let tenant = wanted.router.tenant();
                let Some((subscriber, is_new)) = self.translation.tenants.take(tenant) else {
                    continue;
                };
                if is_new {
                    limited.insert(tenant.clone());
                    self.nat_names
                        .set_tenant(SubscriberIndex(subscriber), tenant);
                }
                if let Some(vrf) = index_of(space) {
                    self.nat_names.set_router(vrf, &wanted.router.id);
                }
                let opened = self
                    .translation
                    .open_pools(&wanted, SubscriberIndex(subscriber));
                for request in &opened {
                    if let NatRequest::OpenPool { owner, .. } = request {
                        self.nat_names.set_pool(owner, &wanted.router.id, tenant);
                    }
                }
                requests.extend(opened);
            }
        }
        for tenant in limited {
            let Some(subscriber) = self.translation.tenants.get(&tenant) else {
                continue;
            };
            let limits = changes.after.nat_limits(&tenant);
            requests.push(NatRequest::SetLimits {
                subscriber: SubscriberIndex(subscriber),
                limits: Some(self.share(limits)),
            });
            self.translation.limits.insert(tenant, limits);
        }
        if !requests.is_empty() {
            self.translators.tell(&requests);
            self.wait_for_workers();
        }
    }

    /// The rules, in the snapshot.
    pub(super) fn set_rules(&mut self, changes: Changes<'_>, concerned: &Concerned) {
        let mut networks: BTreeMap<Handle<ApiNetwork>, Replaced> = BTreeMap::new();
        for router in concerned.translating(changes) {
            for side in Side::ALL {
                let space = (router, side);
                let Some(vrf) = index_of(space) else { continue };
                let before = WayOut::of(changes.before, space);
                let before = before.map(|way_out| way_out.external.network);
                let wanted = wanted(changes.after, space);
                let after = wanted.as_ref().map(|own| own.way_out.external.network);
                let rules = wanted.and_then(|wanted| self.rules(changes.after, vrf, &wanted));
                let rules = rules.map(Arc::new);
                if let Some(network) = before {
                    let former = self.tables.staged().shared_rules(vrf);
                    networks.entry(network).or_default().former.extend(former);
                }
                if let Some(network) = after {
                    let present = rules.iter().cloned();
                    networks.entry(network).or_default().present.extend(present);
                }
                self.tables.edit().set_rules(vrf, rules);
            }
        }
        for (network, replaced) in &networks {
            if !concerned.networks.contains(network) && !self.replace_externals(*network, replaced)
            {
                self.set_externals(changes.after, *network);
            }
        }
        for network in &concerned.networks {
            self.set_externals(changes.after, *network);
        }
    }

    /// Whose the outside addresses of an external network are, after some of its routers have other rules. False: that is
    /// not to be had from what was before.
    fn replace_externals(&mut self, network: Handle<ApiNetwork>, replaced: &Replaced) -> bool {
        let Some(index) = network_index(network) else {
            return false;
        };
        let before = self.tables.staged().network(index);
        let before = before.and_then(|network| network.externals.as_ref());
        let former = replaced.former.iter().map(|rules| &**rules);
        let present = replaced.present.iter().map(|rules| &**rules);
        let Some(Ok(externals)) = before.map(|before| before.replaced(former, present)) else {
            return false;
        };
        self.tables.edit().network_mut(index).externals = Some(Arc::new(externals));
        true
    }

    fn rules(&self, view: View<'_>, vrf: VrfIndex, wanted: &Wanted<'_>) -> Option<Rules> {
        let external = wanted.way_out.external;
        let tenant = wanted.router.tenant();
        let subscriber = SubscriberIndex(self.translation.tenants.get(tenant)?);
        let outside = wanted.addresses.iter().filter_map(|address| {
            let key = wanted.key(*address, subscriber);
            Some(OutsideAddress {
                address: *address,
                pool: PoolIndex(self.translation.pools.get(&key)?),
            })
        });
        let mut description = Description {
            outside: outside.collect(),
            exempt: external.exempt.to_vec(),
            same_scope: match external.snat {
                true => external.same_scope.to_vec(),
                // Everything inside is known to the outside as it is.
                false => vec![ipnet::Ipv4Net::default()],
            },
            filtering: match external.filtering {
                mgmt_api::resources::Filtering::EndpointIndependent => {
                    Filtering::EndpointIndependent
                }
                mgmt_api::resources::Filtering::AddressDependent => Filtering::AddressDependent,
            },
            subscriber,
            floating_hops: external.floating_ip_hops,
            outbound_only_ipv6: external.outbound_only_ipv6,
            ..Description::default()
        };
        for (_, record) in view.floating_ips_of(wanted.space.0) {
            let placed = floating::placed(view, record);
            if placed.is_some_and(|placed| placed.space == wanted.space) {
                add_floating_ip(&mut description, record);
            }
        }
        Rules::new(vrf, &description)
            .inspect_err(|error| {
                // The records were checked for what is given twice.
                let router = &wanted.router.id;
                tracing::error!(%router, %error, "its rules contradict each other: nothing is translated for it");
            })
            .ok()
    }

    /// Whose the outside addresses of an external network are.
    fn set_externals(&mut self, view: View<'_>, network: Handle<ApiNetwork>) {
        let Some(index) = network_index(network) else {
            return;
        };
        if view.get(network).is_none() {
            return;
        }
        let routers = view.routers_outside_by(network);
        let vrfs = routers.flat_map(|router| spaces(view, router).filter_map(index_of));
        let vrfs: Vec<VrfIndex> = vrfs.collect();
        let staged = self.tables.staged();
        let rules = vrfs.into_iter().filter_map(|vrf| staged.rules(vrf));
        let externals = match Externals::new(rules) {
            Ok(externals) => Some(Arc::new(externals)),
            Err(error) => {
                tracing::error!(network = %view.id_of(network), %error, "nothing is translated there");
                None
            }
        };
        let is_external = view
            .get(network)
            .is_some_and(|network| network.external.is_some());
        self.tables.edit().network_mut(index).externals = externals.filter(|_| is_external);
    }

    /// No worker goes by the former rules any more: pools that none names end their sessions.
    pub(super) fn close_pools(&mut self, changes: Changes<'_>, concerned: &Concerned) {
        let routers = concerned.translating(changes).into_iter();
        let spaces = routers.flat_map(|router| Side::ALL.map(|side| (router, side)));
        let used: Vec<_> = spaces
            .map(|space| (space, self.used_by(wanted(changes.after, space))))
            .collect();
        // Before any lets go: a tenant may go with one router and come with another.
        for now in used.iter().filter_map(|(_, now)| now.as_ref()) {
            self.translation.hold_tenant(&now.tenant);
        }
        for (space, now) in used {
            self.replace_used(space, now);
        }
    }

    fn used_by(&self, wanted: Option<Wanted<'_>>) -> Option<Used> {
        let wanted = wanted?;
        let tenant = wanted.router.tenant().clone();
        let subscriber = SubscriberIndex(self.translation.tenants.get(&tenant)?);
        let pools = wanted.addresses.iter();
        let pools = pools
            .map(|address| wanted.key(*address, subscriber))
            .collect();
        Some(Used { tenant, pools })
    }

    /// The tenant of what is used now is held already.
    fn replace_used(&mut self, space: Space, now: Option<Used>) {
        let kept = now
            .as_ref()
            .map(|used| used.pools.clone())
            .unwrap_or_default();
        let before = match now {
            Some(now) => self.translation.used.insert(space, now),
            None => self.translation.used.remove(&space),
        };
        let Some(before) = before else { return };
        let after = self.translation.used.get(&space);
        let kept_tenant = after.is_some_and(|after| after.tenant == before.tenant);
        let over = index_of(space).filter(|_| !kept_tenant);
        let mut closed: Vec<NatRequest> =
            over.map(NatRequest::EndOutboundOnly).into_iter().collect();
        for key in before.pools.iter().filter(|key| !kept.contains(key)) {
            if let Some(number) = self.translation.pools.give_up(key) {
                closed.push(NatRequest::ClosePool(PoolIndex(number)));
                self.translation.hold_tenant(&before.tenant);
                self.translation.closing.push(Closing {
                    index: PoolIndex(number),
                    key: *key,
                    tenant: before.tenant.clone(),
                });
            }
        }
        self.translators.tell(&closed);
        self.translation.let_tenant_go(&before.tenant);
    }

    /// The pools that workers still clear up.
    pub(super) fn closing_pools(&self) -> Vec<PoolIndex> {
        let closing = self.translation.closing.iter();
        closing.map(|closing| closing.index).collect()
    }

    /// The numbers of pools that every worker has cleared up may be dealt again.
    pub(super) fn release_pools(&mut self, vacant: &HashSet<PoolIndex>) {
        let (done, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.translation.closing)
            .into_iter()
            .partition(|closing| vacant.contains(&closing.index));
        self.translation.closing = left;
        if done.is_empty() {
            return;
        }
        for closing in done {
            self.translation.pools.release(closing.index.0);
            self.translation.let_tenant_go(&closing.tenant);
        }
        let translation = &self.translation;
        let open = translation.pools.by_key.keys();
        let all = open.chain(translation.closing.iter().map(|closing| &closing.key));
        let owners = all.filter_map(|key| owner_of(*key));
        let keys = owners.map(|owner| nat_names::key_of(&owner)).collect();
        self.nat_names.keep_pools(&keys);
    }

    /// What a translator must be told to be as those of the workers are; nothing, if none of this host's routers leads outside.
    pub(super) fn all_nat_requests(&self) -> Vec<NatRequest> {
        let translation = &self.translation;
        if translation.used.is_empty() {
            return Vec::new();
        }
        let settings = translation.settings.map(NatRequest::Set);
        let limits = translation
            .tenants()
            .map(|(_, subscriber, limits)| NatRequest::SetLimits {
                subscriber,
                limits: Some(self.share(limits)),
            });
        let pools = translation.pools.by_key.iter();
        let pools = pools.filter_map(|(key, number)| {
            let owner = owner_of(*key)?;
            let pool = PoolIndex(*number);
            Some(NatRequest::OpenPool { pool, owner })
        });
        settings.into_iter().chain(limits).chain(pools).collect()
    }

    /// What of a tenant's limits each worker grants: stations are dealt to workers, and each counts its own.
    fn share(&self, limits: NatLimits) -> Limits {
        let workers = self.workers.len().max(1) as u32;
        Limits {
            sessions: limits.sessions.div_ceil(workers),
            sessions_per_second: limits.sessions_per_second.div_ceil(workers),
            ports: limits.ports.div_ceil(workers),
            fragments: limits.fragments.div_ceil(workers),
        }
    }

    fn settings(&self, settings: &NatSettings) -> Settings {
        let timeouts = settings.timeouts;
        Settings {
            timeouts: Timeouts {
                tcp_established: timeouts.tcp_established,
                tcp_transitory: timeouts.tcp_transitory,
                udp: timeouts.udp,
                icmp: timeouts.icmp,
                rest: timeouts.rest,
                fragment: timeouts.fragment,
            },
            inbound_refresh: settings.inbound_refresh,
            unsolicited_syn: match settings.unsolicited_syn {
                ApiUnsolicitedSyn::Silent => UnsolicitedSyn::Silent,
                ApiUnsolicitedSyn::Unreachable => UnsolicitedSyn::Unreachable,
            },
            limits: self.share(settings.limits),
            port_block: settings.port_block,
        }
    }
}

/// The tables' word for a protocol.
pub(super) fn table_protocol(protocol: ForwardedProtocol) -> Protocol {
    match protocol {
        ForwardedProtocol::Tcp => Protocol::Tcp,
        ForwardedProtocol::Udp => Protocol::Udp,
    }
}

fn add_floating_ip(description: &mut Description, record: &ApiFloatingIp) {
    if let Some(inside) = record.fixed {
        description.floating_ips.push(FloatingIp {
            outside: record.address,
            inside,
        });
    }
    let forwardings = record.forwardings.iter().map(|own| Forwarding {
        protocol: table_protocol(own.protocol),
        outside: SocketAddrV4::new(record.address, own.port),
        inside: own.to,
    });
    description.forwardings.extend(forwardings);
}
