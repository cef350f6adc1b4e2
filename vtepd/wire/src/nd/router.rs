//! Router discovery (RFC 4861, 6): solicitations, and advertisements with prefixes, routes (RFC 4191)
//! and name servers (RFC 8106).

use core::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{LinkLayerOption, OPTION_SOURCE_LINK_LAYER, check_common, link_layer, options};
use crate::checksum::Sum;
use crate::icmpv6::{self, ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION};
use crate::ipv4::PROTOCOL_ICMPV6;
pub use crate::mld::ALL_NODES;
use crate::{Mac, Malformed, ipv6};

/// Every router on the link: where solicitations go.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// A lifetime that never ends.
pub const INFINITE: u32 = u32::MAX;

/// Flag of a [`RouterHeader`]: addresses come from DHCPv6 ("M").
pub const FLAG_MANAGED: u8 = 0x80;
/// Flag of a [`RouterHeader`]: other configuration comes from DHCPv6 ("O").
pub const FLAG_OTHER: u8 = 0x40;

/// Option: prefix information.
const OPTION_PREFIX: u8 = 3;
/// Option: the link's MTU.
const OPTION_MTU: u8 = 5;
/// Option: a route through this router (RFC 4191, 2.3).
const OPTION_ROUTE: u8 = 24;
/// Option: recursive name servers (RFC 8106, 5.1).
const OPTION_DNS: u8 = 25;
/// Option: domain search list (RFC 8106, 5.2).
const OPTION_SEARCH: u8 = 31;

/// Flag of a [`PrefixInformation`]: its addresses are on this link ("L").
const FLAG_ON_LINK: u8 = 0x80;
/// Flag of a [`PrefixInformation`]: hosts make addresses from it ("A").
const FLAG_AUTONOMOUS: u8 = 0x40;

/// The fixed part of an advertisement (4.2). Options follow.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct RouterHeader {
    /// [`ROUTER_ADVERTISEMENT`].
    pub kind: u8,
    /// 0.
    pub code: u8,
    /// Over pseudo header and message.
    pub checksum: U16,
    /// What hosts put in packets they send; 0 is unspecified.
    pub hop_limit: u8,
    /// [`FLAG_MANAGED`], [`FLAG_OTHER`].
    pub flags: u8,
    /// Seconds for which this is a default router; 0: it is none.
    pub lifetime: U16,
    /// How long a neighbour counts as reachable, milliseconds; 0 is unspecified.
    pub reachable: U32,
    /// Between solicitations, milliseconds; 0 is unspecified.
    pub retransmit: U32,
}

impl RouterHeader {
    /// Bytes on the wire, options not counted.
    pub const LEN: usize = 16;
}

/// A prefix of the link (4.6.2).
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct PrefixInformation {
    kind: u8,
    length: u8,
    /// How many bits of `prefix` count.
    pub prefix_len: u8,
    flags: u8,
    /// Seconds for which the prefix is on the link and its addresses hold; [`INFINITE`].
    pub valid: U32,
    /// Seconds for which its addresses are used for new connections.
    pub preferred: U32,
    reserved: U32,
    /// The prefix, the rest zero.
    pub prefix: [u8; 16],
}

impl PrefixInformation {
    /// Bytes on the wire.
    pub const LEN: usize = 32;

    /// A prefix on this link, whose other bits are cleared. With `autonomous` hosts make addresses from
    /// it (RFC 4862, 5.5.3), which takes a length of 64. Lifetimes in seconds.
    #[must_use]
    pub const fn new(
        prefix: Ipv6Addr,
        prefix_len: u8,
        autonomous: bool,
        valid: u32,
        preferred: u32,
    ) -> Self {
        Self {
            kind: OPTION_PREFIX,
            length: 4,
            prefix_len,
            flags: if autonomous {
                FLAG_ON_LINK | FLAG_AUTONOMOUS
            } else {
                FLAG_ON_LINK
            },
            valid: U32::new(valid),
            preferred: U32::new(preferred),
            reserved: U32::ZERO,
            prefix: network_part(prefix, prefix_len),
        }
    }

    /// May hosts make addresses from it?
    #[must_use]
    pub const fn is_autonomous(&self) -> bool {
        self.flags & FLAG_AUTONOMOUS != 0
    }
}

/// A route through this router that is not its default route (RFC 4191, 2.3), of medium preference.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct RouteInformation {
    kind: u8,
    length: u8,
    /// How many bits of `prefix` count.
    pub prefix_len: u8,
    flags: u8,
    /// Seconds; [`INFINITE`].
    pub lifetime: U32,
    /// The destination, the rest zero.
    pub prefix: [u8; 16],
}

impl RouteInformation {
    /// Bytes on the wire.
    pub const LEN: usize = 24;

    /// A route to a prefix, whose other bits are cleared, for so many seconds.
    #[must_use]
    pub const fn new(prefix: Ipv6Addr, prefix_len: u8, lifetime: u32) -> Self {
        Self {
            kind: OPTION_ROUTE,
            length: 3,
            prefix_len,
            flags: 0,
            lifetime: U32::new(lifetime),
            prefix: network_part(prefix, prefix_len),
        }
    }
}

const fn network_part(prefix: Ipv6Addr, prefix_len: u8) -> [u8; 16] {
    let mask = match prefix_len {
        0 => 0,
        1..128 => u128::MAX << (128 - prefix_len),
        128.. => u128::MAX,
    };
    (prefix.to_bits() & mask).to_be_bytes()
}

/// What a router tells hosts of a link.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouterAdvertisement<'a> {
    /// What hosts put in packets they send; 0 is unspecified.
    pub hop_limit: u8,
    /// [`FLAG_MANAGED`], [`FLAG_OTHER`].
    pub flags: u8,
    /// Seconds for which this is a default router; 0: it is none, or no longer.
    pub lifetime: u16,
    /// The router's MAC address.
    pub mac: Mac,
    /// The link's MTU, bytes of IP; 0: not told.
    pub mtu: u32,
    /// What is on the link.
    pub prefixes: &'a [PrefixInformation],
    /// What else this router leads to.
    pub routes: &'a [RouteInformation],
    /// Name servers.
    pub dns: &'a [Ipv6Addr],
    /// Domains in which names are searched, as text; one that is no domain name is left out.
    pub search: &'a [&'a str],
    /// Seconds for which `dns` and `search` hold.
    pub dns_lifetime: u32,
}

impl RouterAdvertisement<'_> {
    /// Writes the whole ICMPv6 message, checksummed, to the front of `out` and returns it. Send it from
    /// `source`, which must be link-local, to [`ALL_NODES`] or to whoever asked, with
    /// [`super::HOP_LIMIT`]. `None` when `out` is too short, or one list is longer than an option holds.
    pub fn write<'b>(
        &self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        out: &'b mut [u8],
    ) -> Option<&'b [u8]> {
        let header = RouterHeader {
            kind: ROUTER_ADVERTISEMENT,
            code: 0,
            checksum: U16::ZERO,
            hop_limit: self.hop_limit,
            flags: self.flags,
            lifetime: U16::new(self.lifetime),
            reachable: U32::ZERO,
            retransmit: U32::ZERO,
        };
        let mut to = Writer { out, at: 0 };
        to.put(header.as_bytes())?;
        to.put(LinkLayerOption::new(OPTION_SOURCE_LINK_LAYER, self.mac).as_bytes())?;
        if self.mtu != 0 {
            to.put(&[OPTION_MTU, 1, 0, 0])?;
            to.put(&self.mtu.to_be_bytes())?;
        }
        to.put(self.prefixes.as_bytes())?;
        to.put(self.routes.as_bytes())?;
        to.name_servers(self.dns, self.dns_lifetime)?;
        to.search_list(self.search, self.dns_lifetime)?;
        let Writer { out, at } = to;
        let message = out.get_mut(..at)?;
        let sum = Sum::pseudo_v6(
            &source.octets(),
            &destination.octets(),
            PROTOCOL_ICMPV6,
            at as u32,
        );
        let check = sum.add_bytes(message).finish();
        let (header, _) = RouterHeader::mut_from_prefix(message).ok()?;
        header.checksum.set(check);
        Some(message)
    }
}

/// Bytes one after another, as long as there is room.
struct Writer<'b> {
    out: &'b mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.at.checked_add(bytes.len())?;
        self.out.get_mut(self.at..end)?.copy_from_slice(bytes);
        self.at = end;
        Some(())
    }

    fn name_servers(&mut self, servers: &[Ipv6Addr], lifetime: u32) -> Option<()> {
        if servers.is_empty() {
            return Some(());
        }
        let units = u8::try_from(1 + servers.len() * 2).ok()?;
        self.put(&[OPTION_DNS, units, 0, 0])?;
        self.put(&lifetime.to_be_bytes())?;
        servers
            .iter()
            .try_for_each(|server| self.put(&server.octets()))
    }

    fn search_list(&mut self, domains: &[&str], lifetime: u32) -> Option<()> {
        let mut domains = domains.iter().filter(|name| is_domain(name)).peekable();
        if domains.peek().is_none() {
            return Some(());
        }
        let start = self.at;
        self.put(&[OPTION_SEARCH, 0, 0, 0])?;
        self.put(&lifetime.to_be_bytes())?;
        for domain in domains {
            for label in domain.trim_end_matches('.').split('.') {
                self.put(&[label.len() as u8])?;
                self.put(label.as_bytes())?;
            }
            self.put(&[0])?;
        }
        while !(self.at - start).is_multiple_of(8) {
            self.put(&[0])?;
        }
        let units = u8::try_from((self.at - start) / 8).ok()?;
        *self.out.get_mut(start + 1)? = units;
        Some(())
    }
}

/// Can this text be sent as a domain name (RFC 1035, 2.3.4)?
fn is_domain(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()))
}

/// Is this a router solicitation to answer (6.1.1)? Returns the sender's MAC address, if told.
///
/// `message` is the whole ICMPv6 message, behind extension headers and without padding.
///
/// # Errors
/// Truncated, checksum, option, or field: hop limit below 255, code, or a MAC address told by a sender
/// without an address.
pub fn check_router_solicitation(
    ip: &ipv6::Header,
    message: &[u8],
) -> Result<Option<Mac>, Malformed> {
    let (header, rest) =
        icmpv6::Header::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
    check_common(ip, message, header.code)?;
    let source = link_layer(rest, OPTION_SOURCE_LINK_LAYER)?;
    let nobody_tells = ip.source_addr().is_unspecified() && source.is_some();
    if header.kind != ROUTER_SOLICITATION || nobody_tells {
        return Err(Malformed::Field);
    }
    Ok(source)
}

/// Is this a router advertisement to believe (6.1.2)? Returns its fixed part; [`super::options`] are behind.
///
/// # Errors
/// Truncated, checksum, option, or field: hop limit below 255, code, or a source that is not link-local.
pub fn check_router_advertisement<'a>(
    ip: &ipv6::Header,
    message: &'a [u8],
) -> Result<&'a RouterHeader, Malformed> {
    let (header, rest) =
        RouterHeader::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
    check_common(ip, message, header.code)?;
    options(rest).try_for_each(|option| option.map(drop))?;
    if header.kind != ROUTER_ADVERTISEMENT || !ipv6::is_link_local(ip.source_addr()) {
        return Err(Malformed::Field);
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::craft::{self, hex};
    use crate::nd::HOP_LIMIT;

    const GATEWAY: Mac = Mac([0xfa, 0x16, 0x3e, 0x5b, 0x89, 0x14]);

    fn header(source: &str, destination: Ipv6Addr, message: &[u8]) -> ipv6::Header {
        let source: Ipv6Addr = source.parse().unwrap();
        let frame = craft::ethernet([0x33, 0x33, 0, 0, 0, 1], GATEWAY)
            .ipv6(source, destination)
            .ttl(HOP_LIMIT)
            .payload(PROTOCOL_ICMPV6, message);
        *ipv6::Header::ref_from_prefix(&frame[14..]).unwrap().0
    }

    fn solicitation(source: &str, code: u8, option: &str) -> (ipv6::Header, Vec<u8>) {
        let frame = craft::ethernet([0x33, 0x33, 0, 0, 0, 2], [2, 0, 0, 0, 0, 2])
            .ipv6(source, ALL_ROUTERS)
            .ttl(HOP_LIMIT)
            .icmp(ROUTER_SOLICITATION, code, 0, &hex(option));
        let (ip, message) = ipv6::Header::ref_from_prefix(&frame[14..]).unwrap();
        (*ip, message.to_vec())
    }

    #[test]
    fn rfc4861_section_6_1_1_solicitations_to_answer() {
        const TOLD: &str = "0101 fa163e9ab7d4";
        let check = |source, code, option| {
            let (ip, message) = solicitation(source, code, option);
            check_router_solicitation(&ip, &message)
        };
        let vm: Mac = "fa:16:3e:9a:b7:d4".parse().unwrap();
        assert_eq!(check("fe80::1", 0, TOLD), Ok(Some(vm)));
        assert_eq!(check("fe80::1", 0, ""), Ok(None));
        assert_eq!(check("::", 0, ""), Ok(None));
        assert_eq!(check("::", 0, TOLD), Err(Malformed::Field));
        assert_eq!(check("fe80::1", 1, ""), Err(Malformed::Field));
        assert_eq!(
            check("fe80::1", 0, "0100 000000000000"),
            Err(Malformed::Option)
        );

        let (mut ip, mut message) = solicitation("fe80::1", 0, TOLD);
        assert_eq!(
            check_router_solicitation(&ip, &message[..7]),
            Err(Malformed::Truncated)
        );
        message[8] ^= 0x80;
        assert_eq!(
            check_router_solicitation(&ip, &message),
            Err(Malformed::Checksum)
        );
        ip.hop_limit = 254;
        assert_eq!(
            check_router_solicitation(&ip, &message),
            Err(Malformed::Field)
        );
    }

    #[test]
    fn rfc4861_section_4_2_advertisement_byte_for_byte() {
        let prefix = "2001:db8:1::5".parse().unwrap();
        let advertisement = RouterAdvertisement {
            hop_limit: 64,
            flags: FLAG_OTHER,
            lifetime: 1800,
            mac: GATEWAY,
            mtu: 1450,
            prefixes: &[PrefixInformation::new(prefix, 64, true, 86400, 14400)],
            routes: &[RouteInformation::new(
                "2001:db8:9::".parse().unwrap(),
                48,
                1800,
            )],
            dns: &["2001:db8::53".parse().unwrap()],
            search: &["example.org", "bad..name", "a."],
            dns_lifetime: 1800,
        };
        let mut out = [0xee; 200];
        let source = ipv6::link_local(GATEWAY);
        let message = advertisement.write(source, ALL_NODES, &mut out).unwrap();
        assert_eq!(message[4..16], hex("40 40 0708 00000000 00000000"));
        assert_eq!(message[16..24], hex("0101 fa163e5b8914"));
        assert_eq!(message[24..32], hex("0501 0000 000005aa"));
        assert_eq!(
            message[32..64],
            hex("0304 40 c0 00015180 00003840 00000000 20010db8000100000000000000000000")
        );
        assert_eq!(
            message[64..88],
            hex("1803 30 00 00000708 20010db8000900000000000000000000")
        );
        assert_eq!(
            message[88..112],
            hex("1903 0000 00000708 20010db8000000000000000000000053")
        );
        assert_eq!(
            message[112..],
            hex("1f03 0000 00000708 07 6578616d706c65 03 6f7267 00 01 61 00")
        );
        let ip = header("fe80::f816:3eff:fe5b:8914", ALL_NODES, message);
        let checked = check_router_advertisement(&ip, message).unwrap();
        assert_eq!((checked.lifetime.get(), checked.flags), (1800, FLAG_OTHER));
    }

    #[test]
    fn rfc4861_section_6_1_2_advertisements_not_to_believe() {
        let mut out = [0; 200];
        let advertisement = RouterAdvertisement::default();
        let global = "2001:db8::1".parse().unwrap();
        let message = advertisement.write(global, ALL_NODES, &mut out).unwrap();
        let ip = header("2001:db8::1", ALL_NODES, message);
        assert_eq!(
            check_router_advertisement(&ip, message),
            Err(Malformed::Field)
        );
        assert_eq!(
            check_router_advertisement(&ip, &message[..15]),
            Err(Malformed::Truncated)
        );
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let servers = [Ipv6Addr::LOCALHOST; 128];
        let many = RouterAdvertisement {
            dns: &servers,
            ..RouterAdvertisement::default()
        };
        let write = |out: &mut [u8]| many.write(Ipv6Addr::LOCALHOST, ALL_NODES, out).is_some();
        assert!(!write(&mut [0; 4000]), "an option holds 127 addresses");
        let few = RouterAdvertisement {
            dns: servers.first_chunk::<3>().unwrap(),
            mtu: 1450,
            ..many
        };
        for length in 0..16 + 8 + 8 + 8 + 48 {
            let mut out = vec![0; length];
            assert!(
                few.write(Ipv6Addr::LOCALHOST, ALL_NODES, &mut out)
                    .is_none()
            );
        }
    }

    proptest! {
        #[test]
        fn advertisements_hold_whatever_they_tell(
            (hop_limit, flags, lifetime, mtu) in any::<(u8, u8, u16, u32)>(),
            prefixes in prop::collection::vec(any::<(u128, u8, bool, u32)>(), 0..4),
            dns in prop::collection::vec(any::<u128>(), 0..4),
            search in prop::collection::vec("[a-z.]{0,80}", 0..4),
        ) {
            let prefixes: Vec<PrefixInformation> = prefixes
                .into_iter()
                .map(|(prefix, length, autonomous, time)| {
                    PrefixInformation::new(prefix.into(), length % 129, autonomous, time, time)
                })
                .collect();
            let dns: Vec<Ipv6Addr> = dns.into_iter().map(Ipv6Addr::from).collect();
            let search: Vec<&str> = search.iter().map(String::as_str).collect();
            let advertisement = RouterAdvertisement {
                hop_limit, flags, lifetime, mtu, mac: GATEWAY, prefixes: &prefixes, routes: &[],
                dns: &dns, search: &search, dns_lifetime: 1,
            };
            let mut out = [0; 1000];
            let source = ipv6::link_local(GATEWAY);
            let message = advertisement.write(source, ALL_NODES, &mut out).unwrap();
            let ip = header("fe80::f816:3eff:fe5b:8914", ALL_NODES, message);
            prop_assert!(check_router_advertisement(&ip, message).is_ok());
        }
    }
}
