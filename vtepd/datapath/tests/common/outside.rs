//! A host whose router leads outside, in three roles.
//!
//! ```text
//!   outside_host()   VM1 ─ RED ┐          ┌ QG .5 (SNAT)              ┌─ ROUTER .1 ─ FAR
//!                    VM6 ─ BLUE┴ router 1 ┴ FG .2 (floating IPs) ─ EXT┤
//!   central_host()   the same, but SNAT is by way of SG .11 in each network to router 2 and QG
//!   compute_host()   the same, but SG is at PEER                      └─ OUT .14
//! ```

use vtepd_nat::{PoolOwner, Translator};
use vtepd_tables::route::NextHop;
use vtepd_tables::translation::{
    Description, Externals, FloatingIp, Forwarding, OutsideAddress, PoolIndex, Protocol, Rules,
};
use vtepd_tables::{
    Access, Adjacency, AdjacencyIndex, InterfaceIndex, NetworkIndex, Outside, Role, VrfIndex,
};

use super::*;

pub const EXT: InterfaceIndex = InterfaceIndex(10);
pub const QG: &str = "fa:16:3e:ee:00:05";
pub const QG_IP: &str = "198.51.100.5";
pub const QG_IP6: &str = "2001:db8:ff::5";
pub const FG: &str = "fa:16:3e:ee:00:02";
pub const FG_IP: &str = "198.51.100.2";
/// The next hop outside.
pub const ROUTER: &str = "02:00:00:00:0e:01";
pub const ROUTER_IP: &str = "198.51.100.1";
pub const ROUTER_IP6: &str = "2001:db8:ff::1";
/// A host on the external network.
pub const OUT: &str = "02:00:00:00:0e:14";
pub const OUT_IP: &str = "198.51.100.14";
pub const OUT_IP6: &str = "2001:db8:ff::14";
/// A host behind the next hop.
pub const FAR_IP: &str = "203.0.113.9";
pub const FAR_IP6: &str = "2001:db8:9::9";
/// Floating IPs of VM1 and VM6.
pub const FIP1: &str = "198.51.100.7";
pub const FIP6: &str = "198.51.100.8";
/// One of forwardings.
pub const SHARED_IP: &str = "198.51.100.20";

pub const SG_RED: &str = "fa:16:3e:5a:00:01";
pub const SG_RED_IP: &str = "10.0.0.11";
pub const SG_RED_IP6: &str = "fd00::11";
pub const SG_BLUE: &str = "fa:16:3e:5a:00:02";
pub const SG_BLUE_IP: &str = "10.1.0.11";

pub const AT_QG: u16 = 110;
pub const AT_FG: u16 = 111;
pub const AT_OUTSIDE: u16 = 112;
pub const AT_OUTSIDE_CENTRAL: u16 = 113;
pub const AT_SG_RED: u16 = 114;
pub const AT_SG_BLUE: u16 = 115;

/// Router 1, and what the network node has of it besides.
pub const ROUTER_1: u16 = 1;
pub const CENTRAL: u16 = 2;

pub fn public() -> NetworkIndex {
    network(9)
}

pub fn vrf(index: u16) -> VrfIndex {
    VrfIndex::new(index).unwrap()
}

/// SNAT to the addresses given, with pools from 0 on.
pub fn snat(addresses: &[&str]) -> Description {
    let numbered = addresses.iter().zip(0..);
    Description {
        outside: numbered
            .map(|(address, pool)| OutsideAddress {
                address: address.parse().unwrap(),
                pool: PoolIndex(pool),
            })
            .collect(),
        floating_hops: 2,
        ..Description::default()
    }
}

/// Floating IPs: outside, inside.
pub fn floating(pairs: &[(&str, &str)]) -> Vec<FloatingIp> {
    let pairs = pairs.iter();
    pairs
        .map(|(outside, inside)| FloatingIp {
            outside: outside.parse().unwrap(),
            inside: inside.parse().unwrap(),
        })
        .collect()
}

/// A forwarding: outside, inside.
pub fn forwarding(protocol: Protocol, outside: &str, inside: &str) -> Forwarding {
    Forwarding {
        protocol,
        outside: outside.parse().unwrap(),
        inside: inside.parse().unwrap(),
    }
}

/// Opens the pools of a router on a translator.
pub fn open_pools(translator: &mut Translator, router: u16, description: &Description) {
    for outside in &description.outside {
        let owner = PoolOwner {
            router: vrf(router),
            subscriber: description.subscriber,
            address: outside.address,
        };
        translator.open_pool(outside.pool, owner).unwrap();
    }
}

/// Where a network leads that is reached from a gateway by a next hop.
fn by(at: u16, address: Option<&str>) -> NextHop {
    NextHop {
        gateway: adjacency(at),
        address: address.map(ip),
    }
}

impl Bench {
    /// Adds a flat external network on an interface.
    pub fn external(&mut self, network: NetworkIndex, interface: InterfaceIndex, at: u16) {
        self.interface(interface.0, "02:00:00:00:0e:99", 1500);
        self.external_on(network, interface, None, at);
    }

    /// The same with a tag or without, on an interface that is there.
    pub fn external_on(
        &mut self,
        network: NetworkIndex,
        interface: InterfaceIndex,
        tag: Option<Tag>,
        at: u16,
    ) {
        let index = self.bind(at, interface, tag, network);
        if let Adjacency::Port(port) = self.tables.edit().adjacency_mut(index) {
            port.segment = true;
        }
        self.access(interface, tag, Access::Segment);
        let entry = self.tables.edit().network_mut(network);
        (entry.segment, entry.suppression) = (Some(index), true);
        self.flood(network, &[index], &[]);
    }

    /// Adds a gateway on an external network, and what sends to an address there.
    pub fn outside_gateway(
        &mut self,
        at: u16,
        network: NetworkIndex,
        router: VrfIndex,
        mac_address: &str,
        addresses: &[&str],
    ) -> AdjacencyIndex {
        let index = self.gateway(at, network, router.get(), mac_address, addresses);
        self.change_gateway(index, |gateway| {
            gateway.role = Role::Outside;
            gateway.distributed = false;
            gateway.mtu = 1500;
        });
        if router == VrfIndex::NOWHERE {
            self.tables.edit().set_vrf(router, None);
        }
        index
    }

    /// Adds a router's way outside: its default and the external network's subnets lead there.
    pub fn way_outside(
        &mut self,
        at: u16,
        router: u16,
        network: NetworkIndex,
        ways: [Option<AdjacencyIndex>; 2],
        routes: &[(&str, Option<&str>)],
    ) {
        let [floating, own] = ways;
        *self.tables.edit().adjacency_mut(adjacency(at)) = Adjacency::Outside(Outside {
            network,
            floating,
            own,
        });
        for (prefix, via) in routes {
            self.route(router, prefix, &[by(at, *via)]);
        }
    }

    /// Sets what is translated, and opens its pools on the worker.
    pub fn rules(&mut self, network: NetworkIndex, all: &[(u16, &Description)]) {
        let mut compiled = Vec::new();
        for (router, description) in all {
            open_pools(&mut self.state.translator, *router, description);
            compiled.push(Arc::new(Rules::new(vrf(*router), description).unwrap()));
        }
        self.publish_rules(network, &compiled);
    }

    /// Replaces what is translated.
    pub fn publish_rules(&mut self, network: NetworkIndex, all: &[Arc<Rules>]) {
        let snapshot = self.tables.edit();
        for rules in all {
            snapshot.set_rules(rules.router(), Some(Arc::clone(rules)));
        }
        let externals = Externals::new(all.iter().map(|rules| &**rules)).unwrap();
        snapshot.network_mut(network).externals = Some(Arc::new(externals));
        let gateways = snapshot.network(network).unwrap().gateways().to_vec();
        // Who answers for what: floating IPs by the gateway for them, if there is one.
        for rules in all {
            for address in rules.outside_addresses() {
                let floats = rules.floating_inside(address.to_bits()).is_some();
                let of = |at: &&AdjacencyIndex| {
                    let gateway = self.tables.staged().gateway(**at).unwrap();
                    (gateway.vrf == VrfIndex::NOWHERE) == floats
                };
                let at = *gateways.iter().find(of).unwrap_or(&gateways[0]);
                let mac = self.tables.staged().gateway(at).unwrap().mac;
                let neighbour = Neighbour { mac, adjacency: at };
                let entry = self
                    .tables
                    .neighbours
                    .insert(network, address.into(), neighbour, 0);
                entry.unwrap();
            }
        }
    }
}

const ROUTES: [(&str, Option<&str>); 4] = [
    ("198.51.100.0/24", None),
    ("0.0.0.0/0", Some(ROUTER_IP)),
    ("2001:db8:ff::/64", None),
    ("::/0", Some(ROUTER_IP6)),
];

/// Adds the external network and who is there.
fn add_outside(host: &mut Host) {
    host.external(public(), EXT, 109);
    host.station(public(), ROUTER, &[ROUTER_IP, ROUTER_IP6], adjacency(109));
    host.station(public(), OUT, &[OUT_IP, OUT_IP6], adjacency(109));
}

/// The gateways: for floating IPs, and of a router.
fn add_fg(host: &mut Host) -> AdjacencyIndex {
    let address = format!("{FG_IP}/24");
    host.outside_gateway(AT_FG, public(), VrfIndex::NOWHERE, FG, &[&address])
}

fn add_qg(host: &mut Host, router: u16) -> AdjacencyIndex {
    let addresses = [format!("{QG_IP}/24"), format!("{QG_IP6}/64")];
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    host.outside_gateway(AT_QG, public(), vrf(router), QG, &addresses)
}

/// A host that does all by itself.
pub fn outside_host(description: &Description) -> Host {
    let mut host = routed_host();
    host.lead_outside(description);
    host
}

/// A network node that is a compute host, too: floating IPs of the router, SNAT by way of SG.
pub fn central_host(own: &Description, central: &Description) -> Host {
    let mut host = routed_host();
    add_outside(&mut host);
    let fg = add_fg(&mut host);
    let qg = add_qg(&mut host, CENTRAL);
    let ways = [(AT_OUTSIDE, ROUTER_1, [Some(fg), None])];
    let ways = ways
        .into_iter()
        .chain([(AT_OUTSIDE_CENTRAL, CENTRAL, [None, Some(qg)])]);
    for (at, router, gateways) in ways {
        host.way_outside(at, router, public(), gateways, &ROUTES);
    }
    let red_addresses = ["10.0.0.11/24", "fd00::11/64"];
    host.gateway(AT_SG_RED, red(), CENTRAL, SG_RED, &red_addresses);
    host.gateway(AT_SG_BLUE, blue(), CENTRAL, SG_BLUE, &["10.1.0.11/24"]);
    for at in [AT_SG_RED, AT_SG_BLUE] {
        host.change_gateway(adjacency(at), |gateway| {
            gateway.role = Role::Central;
            gateway.distributed = false;
        });
    }
    send_to_central(&mut host);
    host.rules(public(), &[(ROUTER_1, own), (CENTRAL, central)]);
    host
}

/// A compute host: floating IPs of its own, SNAT at [`PEER`].
pub fn compute_host(description: &Description) -> Host {
    let mut host = routed_host();
    host.lead_to_central(description);
    host
}

impl Host {
    /// Gives router 1 ways outside for floating IPs and for SNAT.
    pub fn lead_outside(&mut self, description: &Description) {
        add_outside(self);
        let ways = [Some(add_fg(self)), Some(add_qg(self, ROUTER_1))];
        self.way_outside(AT_OUTSIDE, ROUTER_1, public(), ways, &ROUTES);
        self.rules(public(), &[(ROUTER_1, description)]);
    }

    /// Gives router 1 a way outside for floating IPs; SNAT is at [`PEER`].
    pub fn lead_to_central(&mut self, description: &Description) {
        add_outside(self);
        let ways = [Some(add_fg(self)), None];
        self.way_outside(AT_OUTSIDE, ROUTER_1, public(), ways, &ROUTES);
        let peer = self.at_vtep(PEER);
        self.station(red(), SG_RED, &[SG_RED_IP, SG_RED_IP6], peer);
        self.station(blue(), SG_BLUE, &[SG_BLUE_IP], peer);
        send_to_central(self);
        self.rules(public(), &[(ROUTER_1, description)]);
    }
}

fn send_to_central(host: &mut Host) {
    host.change_gateway(adjacency(AT_RED), |gateway| {
        gateway.central_v4 = Some(SG_RED_IP.parse().unwrap());
        gateway.central_v6 = Some(SG_RED_IP6.parse().unwrap());
    });
    host.change_gateway(adjacency(AT_BLUE), |gateway| {
        gateway.central_v4 = Some(SG_BLUE_IP.parse().unwrap());
    });
}

/// What a frame on the external network says of the inside that the outside must not see.
/// `all` are the rules of the host's routers.
pub fn leak(frame: &[u8], all: &[&Description]) -> Option<String> {
    use vtepd_wire::{FromBytes, ethernet, icmp, ipv4};
    let (link, l3) = ethernet::Header::ref_from_prefix(frame).ok()?;
    let is_inside = |address: std::net::Ipv4Addr| {
        let inside: ipnet::Ipv4Net = "10.0.0.0/15".parse().unwrap();
        inside.contains(&address)
    };
    if link.ethertype.get() == ethernet::ETHERTYPE_ARP {
        let (arp, _) = vtepd_wire::arp::Packet::ref_from_prefix(l3).ok()?;
        let sender = arp.sender_addr();
        return is_inside(sender).then(|| format!("ARP of {sender}"));
    }
    if link.ethertype.get() != ethernet::ETHERTYPE_IPV4 {
        return None;
    }
    let (header, rest) = ipv4::Header::ref_from_prefix(l3).ok()?;
    let (source, destination) = (header.source_addr(), header.destination_addr());
    let may_be_seen = |inside: std::net::Ipv4Addr| {
        all.iter().any(|rules| {
            rules.exempt.iter().any(|to| to.contains(&destination))
                || rules.same_scope.iter().any(|own| own.contains(&inside))
        })
    };
    if is_inside(source) && !may_be_seen(source) {
        return Some(format!("{source} to {destination}"));
    }
    let options = header.header_len() - ipv4::Header::LEN;
    let (message, quote) = icmp::Header::ref_from_prefix(rest.get(options..)?).ok()?;
    let is_error = header.protocol == ipv4::PROTOCOL_ICMP && message.is_error();
    let (quoted, _) = ipv4::Header::ref_from_prefix(quote).ok()?;
    let inside = quoted.destination_addr();
    let seen = is_error && !header.is_fragment() && is_inside(inside) && !may_be_seen(inside);
    seen.then(|| format!("an error to {destination} quotes {inside}"))
}
