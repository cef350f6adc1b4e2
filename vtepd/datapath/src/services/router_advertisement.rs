//! Router advertisements of a gateway (RFC 4861, 6.2): what they say, who is answered, and when the
//! others are sent.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use vtepd_wire::ethernet::{self, ETHERTYPE_IPV6};
use vtepd_wire::ipv4::PROTOCOL_ICMPV6;
use vtepd_wire::nd::router::{
    self, ALL_NODES, FLAG_MANAGED, FLAG_OTHER, PrefixInformation, RouteInformation,
    RouterAdvertisement,
};
use vtepd_wire::{FromBytes, IntoBytes, Mac, Malformed, U16, U32, frame, ipv6, nd};

use super::Ignored;

/// Longest time between two advertisements to all, seconds ("MaxRtrAdvInterval", 6.2.1).
const MOST_INTERVAL: u32 = 600;
/// Shortest such time, a third of the longest.
const LEAST_INTERVAL: u32 = MOST_INTERVAL / 3;
/// Longest time between the first advertisements, seconds (10).
const INITIAL_INTERVAL: u32 = 16;
/// How many of those there are.
const INITIAL_COUNT: u8 = 3;
/// For how long the router and what it tells are believed, seconds ("AdvDefaultLifetime", 6.2.1).
const LIFETIME: u16 = 3 * MOST_INTERVAL as u16;
/// What hosts put into their packets ("AdvCurHopLimit", 6.2.1).
const HOP_LIMIT: u8 = 64;
/// The least MTU of a link (RFC 8200, 5).
const LEAST_MTU: u32 = 1280;

/// Where the hosts of a subnet get their addresses and the rest from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressMode {
    /// Addresses from the prefix, name servers from the advertisement.
    Slaac,
    /// Addresses from the prefix, the rest from DHCPv6 ("O").
    DhcpStateless,
    /// All from DHCPv6 ("M" and "O"); the prefix is only said to be on the link.
    DhcpStateful,
    /// The subnet is not advertised.
    None,
}

impl AddressMode {
    const fn flags(self) -> u8 {
        match self {
            Self::Slaac | Self::None => 0,
            Self::DhcpStateless => FLAG_OTHER,
            Self::DhcpStateful => FLAG_MANAGED | FLAG_OTHER,
        }
    }
}

/// A subnet of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Its prefix; bits behind the length do not count.
    pub prefix: Ipv6Net,
    /// How its hosts are configured.
    pub mode: AddressMode,
    /// How long addresses of it hold, seconds; `u32::MAX` is for ever.
    pub valid_seconds: u32,
    /// How long they are used for new connections; 0 takes a prefix out of use.
    pub preferred_seconds: u32,
}

/// What a gateway says on its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The gateway's MAC address; the advertisements' source is the link-local address made of it.
    pub mac: Mac,
    /// The network's MTU, bytes of IP.
    pub mtu: u16,
    /// Is it the hosts' default router?
    pub is_default_router: bool,
    /// The network's IPv6 subnets.
    pub subnets: Vec<Subnet>,
    /// Where else the gateway leads to, for hosts that have another default router (RFC 4191).
    pub routes: Vec<Ipv6Net>,
    /// Name servers.
    pub dns: Vec<Ipv6Addr>,
    /// Domains in which names are searched.
    pub search: Vec<String>,
}

impl Link {
    /// The advertisement to all hosts, a whole untagged frame. `None` when no subnet is advertised.
    #[must_use]
    pub fn advertisement(&self) -> Option<Vec<u8>> {
        self.to(Mac::multicast_of_v6(ALL_NODES), ALL_NODES)
    }

    /// The last one, when the gateway goes: it routes no more (6.2.5). What it said of prefixes stays true
    /// as long as was said.
    #[must_use]
    pub fn farewell(&self) -> Option<Vec<u8>> {
        self.is_advertised().then_some(())?;
        let gone = RouterAdvertisement {
            mac: self.mac,
            ..RouterAdvertisement::default()
        };
        self.framed(&gone, Mac::multicast_of_v6(ALL_NODES), ALL_NODES)
    }

    /// Answers a router solicitation, a whole untagged frame: to who asked, or to all where it has
    /// no address yet (6.2.6). How often is the caller's to limit; answers to all, once in three seconds.
    ///
    /// # Errors
    /// Why there is nothing to send.
    pub fn answer(&self, frame: &[u8]) -> Result<Vec<u8>, Ignored> {
        let (asker_mac, asker) = solicitation(frame)?;
        let reply = if asker.is_unspecified() {
            self.advertisement()
        } else {
            self.to(asker_mac, asker)
        };
        reply.ok_or(Ignored::NothingToTell)
    }

    fn is_advertised(&self) -> bool {
        self.advertised().next().is_some()
    }

    fn advertised(&self) -> impl Iterator<Item = &Subnet> {
        let subnets = self.subnets.iter();
        subnets.filter(|subnet| subnet.mode != AddressMode::None)
    }

    fn to(&self, mac: Mac, address: Ipv6Addr) -> Option<Vec<u8>> {
        self.is_advertised().then_some(())?;
        let prefixes: Vec<PrefixInformation> = self.advertised().map(prefix).collect();
        let lifetime = u32::from(LIFETIME);
        let routes: Vec<RouteInformation> = self
            .routes
            .iter()
            .map(|to| RouteInformation::new(to.addr(), to.prefix_len(), lifetime))
            .collect();
        let search: Vec<&str> = self.search.iter().map(String::as_str).collect();
        let flags = self.advertised().map(|subnet| subnet.mode.flags());
        let advertisement = RouterAdvertisement {
            hop_limit: HOP_LIMIT,
            flags: flags.fold(0, |all, flags| all | flags),
            lifetime: if self.is_default_router { LIFETIME } else { 0 },
            mac: self.mac,
            mtu: u32::from(self.mtu),
            prefixes: &prefixes,
            routes: &routes,
            dns: &self.dns,
            search: &search,
            dns_lifetime: lifetime,
        };
        // What hosts cannot do without goes first, should all of it not fit.
        let brief = RouterAdvertisement {
            routes: &[],
            search: &[],
            ..advertisement
        };
        self.framed(&advertisement, mac, address)
            .or_else(|| self.framed(&brief, mac, address))
    }

    fn framed(
        &self,
        advertisement: &RouterAdvertisement<'_>,
        mac: Mac,
        destination: Ipv6Addr,
    ) -> Option<Vec<u8>> {
        let source = ipv6::link_local(self.mac);
        let room = u32::from(self.mtu).max(LEAST_MTU) as usize - ipv6::Header::LEN;
        let mut out = vec![0; room];
        let message = advertisement.write(source, destination, &mut out)?;
        let ip = ipv6::Header {
            version_class_flow: U32::new(6 << 28),
            payload_length: U16::new(message.len() as u16),
            next_header: PROTOCOL_ICMPV6,
            hop_limit: nd::HOP_LIMIT,
            source: source.octets(),
            destination: destination.octets(),
        };
        let link = ethernet::Header::new(mac, self.mac, ETHERTYPE_IPV6);
        Some([link.as_bytes(), ip.as_bytes(), message].concat())
    }
}

fn prefix(subnet: &Subnet) -> PrefixInformation {
    let length = subnet.prefix.prefix_len();
    // Hosts make addresses of 64 bits and 64 bits only (RFC 4862, 5.5.3(d)).
    let autonomous = subnet.mode != AddressMode::DhcpStateful && length == 64;
    PrefixInformation::new(
        subnet.prefix.addr(),
        length,
        autonomous,
        subnet.valid_seconds,
        subnet.preferred_seconds.min(subnet.valid_seconds),
    )
}

/// Who asks, by MAC and by address.
fn solicitation(frame: &[u8]) -> Result<(Mac, Ipv6Addr), Ignored> {
    let (header, bytes) =
        ethernet::Header::ref_from_prefix(frame).map_err(|_| Malformed::Truncated)?;
    let link = frame::link(frame)?;
    if link.tag_count != 0 || link.ethertype != ETHERTYPE_IPV6 {
        return Err(Ignored::Unexpected);
    }
    let network = frame::network(frame, frame.len(), &link)?.ok_or(Malformed::Field)?;
    let (ip, _) = ipv6::Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
    // Fragmented discovery is not looked at (RFC 6980, 5).
    if network.fragment || network.protocol != PROTOCOL_ICMPV6 {
        return Err(Ignored::Unexpected);
    }
    let message = frame
        .get(network.l4..network.end)
        .ok_or(Malformed::Truncated)?;
    router::check_router_solicitation(ip, message)?;
    let asker = ip.source_addr();
    if !asker.is_unspecified() && ipv6::is_martian_source(asker) {
        return Err(Ignored::Unexpected);
    }
    Ok((header.source, asker))
}

/// When a gateway's advertisements to all are due: three soon after it comes up, then one at a random time
/// within every 200 to 600 seconds (6.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    next: u32,
    sent: u8,
}

impl Schedule {
    /// The first is due at once; times are seconds on the caller's clock.
    #[must_use]
    pub const fn new(now: u32) -> Self {
        Self { next: now, sent: 0 }
    }

    /// When to ask [`Schedule::is_due`] again.
    #[must_use]
    pub const fn next(&self) -> u32 {
        self.next
    }

    /// Is one due? Then it is taken for sent, and the next is set to a time that `random`, any number,
    /// chooses: hosts and routers that were started together shall not stay together.
    pub fn is_due(&mut self, now: u32, random: u32) -> bool {
        if now < self.next {
            return false;
        }
        self.sent_to_all(now, random);
        true
    }

    /// One went to all hosts just now, as the answer to a solicitation (6.2.6): the next is set anew.
    pub fn sent_to_all(&mut self, now: u32, random: u32) {
        self.sent = self.sent.saturating_add(1);
        let interval = LEAST_INTERVAL + random % (MOST_INTERVAL - LEAST_INTERVAL + 1);
        let interval = if self.sent < INITIAL_COUNT {
            interval.min(INITIAL_INTERVAL)
        } else {
            interval
        };
        self.next = now.saturating_add(interval);
    }

    /// What is told has changed: three more soon, the first at once (6.2.4).
    pub const fn restart(&mut self, now: u32) {
        *self = Self::new(now);
    }
}

#[cfg(test)]
mod tests;
