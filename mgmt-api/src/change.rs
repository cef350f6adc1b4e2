//! What a transaction changes, as the control plane sees it.

use crate::resources::{
    Attachment, FloatingIp, Host, Interface, Kind, KindVisitor, NatSettings, Network, Port, Router,
    RouterRoute, StaticFdb, Tenant, each_kind,
};
use crate::state::{Handle, Staged, State, View};

/// A checked transaction, to be made true in the forwarding tables.
///
/// Records refer to each other by [`Handle`], so that no text is looked up here. To program them so that no packet
/// meets a reference to something missing: make what is new from left to right (interfaces, hosts, networks, ports and
/// entries, routers, routes, floating IPs), then unmake what is gone from right to left.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    /// The state that the workers forward by now.
    pub before: View<'a>,
    /// The state they forward by once this is applied.
    pub after: View<'a>,
    /// `None`: everything in `after` is new.
    staged: Option<&'a Staged>,
    is_undo: bool,
}

/// One record that comes (`old` is `None`), changes, or goes (`new` is `None`).
#[derive(Debug)]
pub struct Change<'a, K> {
    /// Its handle, the same before and after.
    pub handle: Handle<K>,
    /// The record before.
    pub old: Option<&'a K>,
    /// The record after.
    pub new: Option<&'a K>,
}

impl<K> Clone for Change<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Change<'_, K> {}

/// The frames of an interface with one tag now belong to another network, or to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindingChange {
    /// The interface and tag.
    pub attachment: Attachment,
    /// Their network before.
    pub old: Option<Handle<Network>>,
    /// Their network after.
    pub new: Option<Handle<Network>>,
}

/// A network begins or ceases to flood to a remote host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberChange {
    /// The network.
    pub network: Handle<Network>,
    /// The remote host.
    pub host: Handle<Host>,
    /// True if it begins.
    pub joins: bool,
}

impl<'a> Changes<'a> {
    /// What a checked transaction over `base` does.
    #[must_use]
    pub fn staged(base: &'a State, staged: &'a Staged) -> Self {
        Self {
            before: base.view(),
            after: View::new(base, Some(staged)),
            staged: Some(staged),
            is_undo: false,
        }
    }

    /// Everything in `state`, as seen from `empty`: the boot.
    #[must_use]
    pub fn whole(empty: &'a State, state: &'a State) -> Self {
        Self {
            before: empty.view(),
            after: state.view(),
            staged: None,
            is_undo: false,
        }
    }

    /// The way back.
    #[must_use]
    pub fn inverse(self) -> Self {
        Self {
            before: self.after,
            after: self.before,
            staged: self.staged,
            is_undo: !self.is_undo,
        }
    }

    /// True for the way back from what could not be kept. It must not be refused: whoever takes the way there sees to it
    /// that there is room for both.
    #[must_use]
    pub fn is_undo(self) -> bool {
        self.is_undo
    }

    /// The changes of one kind, each record at most once.
    pub fn of<K: Kind>(self) -> impl Iterator<Item = Change<'a, K>> {
        let touched = self
            .staged
            .into_iter()
            .flat_map(|staged| K::staged(staged).iter());
        let touched = touched.map(move |(handle, _)| Change {
            handle,
            old: self.before.get(handle),
            new: self.after.get(handle),
        });
        let all = self.staged.is_none().then_some(self.after).into_iter();
        let all = all.flat_map(|after| after.iter::<K>());
        let all = all.map(|(handle, new)| Change {
            handle,
            old: None,
            new: Some(new),
        });
        // A group of requests may create a record and remove it again.
        touched
            .chain(all)
            .filter(|change| change.old.is_some() || change.new.is_some())
    }

    /// Changes of interfaces.
    pub fn interfaces(self) -> impl Iterator<Item = Change<'a, Interface>> {
        self.of()
    }

    /// Changes of hosts.
    pub fn hosts(self) -> impl Iterator<Item = Change<'a, Host>> {
        self.of()
    }

    /// Changes of networks.
    pub fn networks(self) -> impl Iterator<Item = Change<'a, Network>> {
        self.of()
    }

    /// Changes of ports.
    pub fn ports(self) -> impl Iterator<Item = Change<'a, Port>> {
        self.of()
    }

    /// Changes of static MAC entries.
    pub fn fdb(self) -> impl Iterator<Item = Change<'a, StaticFdb>> {
        self.of()
    }

    /// Changes of routers. Routes of their own lists are among them.
    pub fn routers(self) -> impl Iterator<Item = Change<'a, Router>> {
        self.of()
    }

    /// Changes of `routes`, those beside the routers' own lists.
    pub fn routes(self) -> impl Iterator<Item = Change<'a, RouterRoute>> {
        self.of()
    }

    /// Changes of floating IPs. What one comes to depends on its router, its port and their hosts too
    /// ([`View::host_of_floating_ip`]), and those change by themselves.
    pub fn floating_ips(self) -> impl Iterator<Item = Change<'a, FloatingIp>> {
        self.of()
    }

    /// Changes of tenants. Ask [`View::nat_limits`] for what is in force, for a tenant need not be one of these.
    pub fn tenants(self) -> impl Iterator<Item = Change<'a, Tenant>> {
        self.of()
    }

    /// Changes of the settings of address translation; one at most. [`View::nat_settings`] has those in force.
    pub fn nat_settings(self) -> impl Iterator<Item = Change<'a, NatSettings>> {
        self.of()
    }

    /// Changes of which network an interface's frames belong to, whatever binds them: a network's bindings,
    /// its VLAN segment, or a local port or static entry. Those that are bound no more come first: what comes may be the
    /// same VLAN of the same device, with another tag type or under another interface's name.
    pub fn bindings(self) -> impl Iterator<Item = BindingChange> {
        let attachments = match self.staged {
            Some(staged) => staged.touched_attachments(),
            None => self.after.bound_attachments(),
        };
        let changes = attachments.into_iter().filter_map(move |attachment| {
            let old = self.before.network_at(attachment);
            let new = self.after.network_at(attachment);
            (old != new).then_some(BindingChange {
                attachment,
                old,
                new,
            })
        });
        let (gone, bound): (Vec<_>, Vec<_>) = changes.partition(|change| change.new.is_none());
        gone.into_iter().chain(bound)
    }

    /// Changes of which remote hosts a network floods to: those named by it and those with a port, a
    /// static entry or a router in it. (A VLAN segment has members too and floods to none of them.)
    pub fn members(self) -> impl Iterator<Item = MemberChange> {
        let touched = self.staged.into_iter().flat_map(Staged::touched_members);
        let all = self.staged.is_none().then_some(self.after).into_iter();
        let all = all.flat_map(|after| after.members());
        touched.chain(all).filter_map(move |(network, host)| {
            let was = self.before.member_count(network, host) > 0;
            let joins = self.after.member_count(network, host) > 0;
            (was != joins).then_some(MemberChange {
                network,
                host,
                joins,
            })
        })
    }

    /// True if the MTUs of networks that name none may have changed: ask [`View::network_mtu`] again.
    #[must_use]
    pub fn default_mtus_changed(self) -> bool {
        self.before.underlay_mtu() != self.after.underlay_mtu()
            || self.before.has_ipv6_vteps() != self.after.has_ipv6_vteps()
    }

    /// How many records of all kinds are touched.
    #[must_use]
    pub fn len(self) -> usize {
        struct Count<'a>(Changes<'a>, usize);
        impl KindVisitor for Count<'_> {
            type Error = std::convert::Infallible;
            fn visit<K: Kind>(&mut self) -> Result<(), Self::Error> {
                self.1 += self.0.of::<K>().count();
                Ok(())
            }
        }
        let mut count = Count(self, 0);
        let Ok(()) = each_kind(&mut count);
        count.1
    }

    /// True if nothing is touched.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}
