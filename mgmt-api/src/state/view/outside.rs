//! Ways outside as the state has them: who leads there, by what, and what address translation may take.

use std::net::IpAddr;

use super::super::claims::Anchor;
use super::super::fingerprints::StationKey;
use super::super::{Handle, Holder};
use super::View;
use crate::id::Id;
use crate::mac::Mac;
use crate::resources::{
    ExternalGateway, FloatingIp, Host, Location, NatLimits, NatSettings, Network, Port, Router,
    SettingsKey, Tenant,
};

impl<'a> View<'a> {
    /// The routers with their way outside in the network, in the order of their handles.
    pub fn routers_outside_by(
        self,
        network: Handle<Network>,
    ) -> impl Iterator<Item = Handle<Router>> {
        let routers = self.state.tallies.routers_outside(self.tallies(), network);
        routers.into_iter()
    }

    /// The next routers outside: those that are named, or else for each address family the gateway of the subnet that the
    /// central gateway is in, or of the first subnet that has one.
    #[must_use]
    pub fn next_hops_outside(self, outside: &ExternalGateway) -> Vec<IpAddr> {
        if let Some(named) = &outside.next_hops {
            return named.to_vec();
        }
        let Some(network) = self.get(outside.network) else {
            return Vec::new();
        };
        let of_family = |is_ipv4: bool| {
            let central = outside.central().into_iter();
            let own = central.flat_map(|central| &central.addresses);
            let own = own.filter_map(|own| network.subnet_of(own.addr()));
            let mut gateways = own
                .chain(&network.subnets)
                .filter_map(|subnet| subnet.gateway);
            gateways.find(|gateway| gateway.is_ipv4() == is_ipv4)
        };
        [true, false].into_iter().filter_map(of_family).collect()
    }

    /// The floating IPs that a router translates or has reserved.
    pub fn floating_ips_of(
        self,
        router: Handle<Router>,
    ) -> impl Iterator<Item = (Handle<FloatingIp>, &'a FloatingIp)> {
        self.floating_ips_at(Anchor::Router(router))
    }

    /// The floating IPs that lead to a port, whole.
    pub fn floating_ips_of_port(
        self,
        port: Handle<Port>,
    ) -> impl Iterator<Item = (Handle<FloatingIp>, &'a FloatingIp)> {
        self.floating_ips_at(Anchor::Port(port))
    }

    /// The floating IPs of an external network.
    pub fn floating_ips_in(
        self,
        network: Handle<Network>,
    ) -> impl Iterator<Item = (Handle<FloatingIp>, &'a FloatingIp)> {
        self.floating_ips_at(Anchor::Network(network))
    }

    fn floating_ips_at(
        self,
        anchor: Anchor,
    ) -> impl Iterator<Item = (Handle<FloatingIp>, &'a FloatingIp)> {
        let found = self.state.tallies.floating_ips(self.tallies(), anchor);
        let found = found.into_iter();
        found.filter_map(move |handle| Some((handle, self.get(handle)?)))
    }

    /// True if the host of the floating IP's port translates it, false if that of the central gateway does.
    #[must_use]
    pub fn is_distributed(self, floating_ip: &FloatingIp) -> bool {
        let router = floating_ip.router.and_then(|router| self.get(router));
        floating_ip.fixed.is_some()
            && floating_ip.port.is_some()
            && floating_ip.distributed.unwrap_or(true)
            && router.is_some_and(|router| router.distributed)
    }

    /// The remote host that translates a floating IP (inner `None`: this one does); `None` if it is reserved only.
    #[must_use]
    pub fn host_of_floating_ip(self, floating_ip: &FloatingIp) -> Option<Option<Handle<Host>>> {
        if !floating_ip.is_associated() {
            return None;
        }
        if self.is_distributed(floating_ip) {
            let port = self.get(floating_ip.port?)?;
            return Some(match port.location {
                Location::Remote(host) => Some(host),
                Location::Local(_) => None,
            });
        }
        Some(self.get(floating_ip.router?)?.central_host())
    }

    /// The MAC address that a floating IP is answered with on its external network: of the gateway for floating IPs of the
    /// port's host, or of the router's central gateway. `None` if it is reserved only, or the other host's is not known.
    #[must_use]
    pub fn mac_of_floating_ip(self, floating_ip: &FloatingIp) -> Option<Mac> {
        let host = self.host_of_floating_ip(floating_ip)?;
        if self.is_distributed(floating_ip) {
            return self.floating_ip_gateway_mac(floating_ip.network, host);
        }
        let router = self.get(floating_ip.router?)?;
        let central = router.external_gateway.as_ref()?.central()?;
        Some(central.mac)
    }

    /// The MAC address of a host's gateway for floating IPs (`None`: this host's): as the network has it, or else, of this
    /// host, the device's of its segment.
    #[must_use]
    pub fn floating_ip_gateway_mac(
        self,
        network: Handle<Network>,
        host: Option<Handle<Host>>,
    ) -> Option<Mac> {
        let network = self.get(network)?;
        match network.external.as_ref()?.gateway_of(host) {
            Some(own) => Some(own.mac),
            None if host.is_none() => {
                let interface = self.get(network.segment.attachment()?.interface)?;
                Some(self.device(interface.device).mac)
            }
            None => None,
        }
    }

    /// The MAC address that goes with an address of a way outside in the network: of a floating IP, of a router's gateway
    /// outside or central port, or of a host's gateway for floating IPs.
    pub(crate) fn mac_of_way_outside(
        self,
        network: Handle<Network>,
        address: IpAddr,
    ) -> Option<Mac> {
        let mut holders = self.holders(StationKey::Address(network, address));
        holders.find_map(|holder| match holder {
            Holder::FloatingIp(own) => self.mac_of_floating_ip(self.get(own)?),
            Holder::Gateway(router) => self.get(router)?.mac_of_way_outside(network, address),
            Holder::FloatingGateway(network) => {
                let external = self.get(network)?.external.as_ref()?;
                let mut gateways = external.floating_ip_gateways.iter();
                let own = gateways.find(|own| own.address.map(IpAddr::V4) == Some(address))?;
                Some(own.mac)
            }
            Holder::Port(_) | Holder::Static(_) => None,
        })
    }

    /// The settings of address translation in force.
    #[must_use]
    pub fn nat_settings(self) -> NatSettings {
        let settings = self.find::<NatSettings>(&SettingsKey);
        let settings = settings.and_then(|handle| self.get(handle));
        settings.copied().unwrap_or_default()
    }

    /// The limits of a tenant in force, whether it is one of `tenants` or not.
    #[must_use]
    pub fn nat_limits(self, tenant: &Id) -> NatLimits {
        let others = self.nat_settings().limits;
        let tenant = self.find::<Tenant>(tenant);
        let tenant = tenant.and_then(|handle| self.get(handle));
        tenant.map_or(others, |tenant| tenant.nat.over(others))
    }
}
