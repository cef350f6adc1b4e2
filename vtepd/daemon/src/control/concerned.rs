//! Whom a transaction concerns beyond the records that it changes: routers by their external networks, floating IPs
//! by their routers, ports and networks.

use std::collections::BTreeSet;

use mgmt_api::change::Changes;
use mgmt_api::resources::{FloatingIp, Network as ApiNetwork, Router};
use mgmt_api::state::Handle;

/// See the module; in order, so that what follows from it is the same each time.
pub struct Concerned {
    /// Routers that have changed, or whose external network has.
    pub routers: BTreeSet<Handle<Router>>,
    /// Floating IPs that may be elsewhere, or lead elsewhere.
    pub floating_ips: BTreeSet<Handle<FloatingIp>>,
    /// External networks that have changed or become so, or are none any more.
    pub networks: BTreeSet<Handle<ApiNetwork>>,
}

impl Concerned {
    /// By a transaction.
    pub fn of(changes: Changes<'_>) -> Self {
        let is_external = |network: Option<&ApiNetwork>| {
            network.is_some_and(|network| network.external.is_some())
        };
        let networks: BTreeSet<_> = changes
            .networks()
            .filter(|change| is_external(change.old) || is_external(change.new))
            .map(|change| change.handle)
            .collect();
        let mut concerned = Self {
            routers: changes.routers().map(|change| change.handle).collect(),
            floating_ips: changes.floating_ips().map(|change| change.handle).collect(),
            networks,
        };
        for view in [changes.before, changes.after] {
            let networks = concerned.networks.iter();
            let routers = networks.flat_map(|network| view.routers_outside_by(*network));
            concerned.routers.extend(routers);
        }
        for view in [changes.before, changes.after] {
            let of_networks = concerned.networks.iter();
            let of_networks = of_networks.flat_map(|network| view.floating_ips_in(*network));
            let of_routers = concerned.routers.iter();
            let of_routers = of_routers.flat_map(|router| view.floating_ips_of(*router));
            let of_ports = changes.ports();
            let of_ports = of_ports.flat_map(|change| view.floating_ips_of_port(change.handle));
            let all = of_networks.chain(of_routers).chain(of_ports);
            concerned.floating_ips.extend(all.map(|(handle, _)| handle));
        }
        concerned
    }

    /// The routers whose rules may change: those concerned, and those of floating IPs that are.
    pub fn translating(&self, changes: Changes<'_>) -> BTreeSet<Handle<Router>> {
        let mut routers = self.routers.clone();
        for view in [changes.before, changes.after] {
            let floating_ips = self.floating_ips.iter().filter_map(|own| view.get(*own));
            routers.extend(floating_ips.filter_map(|floating| floating.router));
        }
        routers
    }
}
