//! Multicast listener discovery for IPv6 (RFC 2710, version 2: RFC 3810): how a VTEP joins the
//! underlay group of a network.
//!
//! The builders return whole Ethernet frames as structures; `as_bytes()` is what goes on the wire.

use core::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::Sum;
use crate::ethernet::{self, ETHERTYPE_IPV6};
pub use crate::igmp::{CHANGE_TO_EXCLUDE, CHANGE_TO_INCLUDE, MODE_IS_EXCLUDE, MODE_IS_INCLUDE};
use crate::ipv4::PROTOCOL_ICMPV6;
use crate::{Mac, Malformed, icmpv6, ipv6};

/// ICMPv6 type: who is in this group? Both versions.
pub const QUERY: u8 = 130;
/// ICMPv6 type: I am in this group, version 1.
pub const V1_REPORT: u8 = 131;
/// ICMPv6 type: I left this group, version 1.
pub const V1_DONE: u8 = 132;
/// ICMPv6 type: my groups and their sources, version 2.
pub const V2_REPORT: u8 = 143;

/// Every node on the link: where general queries go.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Every version 2 router on the link: where reports go.
pub const V2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// Hop-by-hop options: router alert for MLD (RFC 2711), padded to eight bytes.
const ROUTER_ALERT: [u8; 8] = [PROTOCOL_ICMPV6, 0, 5, 2, 0, 0, 1, 0];

/// A version 2 query; source addresses follow. Version 1 is its first 24 bytes.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct V2Query {
    /// [`QUERY`].
    pub kind: u8,
    /// 0.
    pub code: u8,
    /// Over pseudo header and message.
    pub checksum: U16,
    /// How long answers may be spread, milliseconds; see [`max_response_ms`].
    pub max_response: U16,
    /// Zero.
    pub reserved: U16,
    /// Which group; zero in a general query.
    pub group: [u8; 16],
    /// Suppress router processing (bit 3), robustness (bits 0 to 2).
    pub flags: u8,
    /// Seconds between queries; from 128 on coded as a floating point number.
    pub interval: u8,
    /// How many source addresses follow.
    pub source_count: U16,
}

impl V2Query {
    /// Bytes on the wire, sources not counted.
    pub const LEN: usize = 28;
    /// Bytes of a version 1 query.
    pub const V1_LEN: usize = 24;
}

/// What a version 2 report begins with; records follow.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct V2ReportHeader {
    /// [`V2_REPORT`].
    pub kind: u8,
    /// Zero.
    pub reserved: u8,
    /// Over pseudo header and message.
    pub checksum: U16,
    /// Zero.
    pub reserved2: U16,
    /// How many records follow.
    pub record_count: U16,
}

impl V2ReportHeader {
    /// Bytes on the wire.
    pub const LEN: usize = 8;
}

/// One group in a version 2 report; source addresses and auxiliary data follow.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct GroupRecord {
    /// [`CHANGE_TO_EXCLUDE`] and so on.
    pub kind: u8,
    /// 32-bit words of auxiliary data behind the sources.
    pub auxiliary_words: u8,
    /// How many source addresses follow.
    pub source_count: U16,
    /// Which group.
    pub group: [u8; 16],
}

impl GroupRecord {
    /// Bytes on the wire, sources not counted.
    pub const LEN: usize = 20;
}

/// A version 2 report of one group without sources.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct V2Report {
    /// The beginning.
    pub header: V2ReportHeader,
    /// The one record.
    pub record: GroupRecord,
}

/// A whole frame that carries one listener discovery message.
#[derive(IntoBytes, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Frame<M> {
    /// To the group's MAC address.
    pub ethernet: ethernet::Header,
    /// Hop limit 1.
    pub ip: ipv6::Header,
    /// Hop-by-hop options with a router alert.
    pub router_alert: [u8; 8],
    /// The message, checksummed.
    pub message: M,
}

impl<M: IntoBytes + Immutable> Frame<M> {
    fn new(mac: Mac, source: Ipv6Addr, destination: Ipv6Addr, message: M) -> Self {
        Self {
            ethernet: ethernet::Header::new(Mac::multicast_of_v6(destination), mac, ETHERTYPE_IPV6),
            ip: ipv6::Header {
                version_class_flow: U32::new(6 << 28),
                payload_length: U16::new((ROUTER_ALERT.len() + size_of::<M>()) as u16),
                next_header: ipv6::HOP_BY_HOP,
                hop_limit: 1,
                source: source.octets(),
                destination: destination.octets(),
            },
            router_alert: ROUTER_ALERT,
            message,
        }
    }
}

/// My state for `group`, of record type `kind` and without sources: [`CHANGE_TO_EXCLUDE`] joins,
/// [`MODE_IS_EXCLUDE`] answers a query, [`CHANGE_TO_INCLUDE`] leaves. `source` is link-local, or
/// unspecified while there is none (RFC 3810, 5.2.13).
#[must_use]
pub fn v2_report(mac: Mac, source: Ipv6Addr, kind: u8, group: Ipv6Addr) -> Frame<V2Report> {
    let mut report = V2Report {
        header: V2ReportHeader {
            kind: V2_REPORT,
            reserved: 0,
            checksum: U16::ZERO,
            reserved2: U16::ZERO,
            record_count: U16::new(1),
        },
        record: GroupRecord {
            kind,
            auxiliary_words: 0,
            source_count: U16::ZERO,
            group: group.octets(),
        },
    };
    let check = checksum(source, V2_ROUTERS, report.as_bytes());
    report.header.checksum.set(check);
    Frame::new(mac, source, V2_ROUTERS, report)
}

/// Who is in `group`, or with `::` in any? `max_response` below 32,768 is in milliseconds, `interval`
/// below 128 in seconds; robustness is 2 (RFC 3810, 9.1). `source` must be link-local.
#[must_use]
pub fn v2_query(
    mac: Mac,
    source: Ipv6Addr,
    group: Ipv6Addr,
    max_response: u16,
    interval: u8,
) -> Frame<V2Query> {
    let destination = if group.is_unspecified() {
        ALL_NODES
    } else {
        group
    };
    let mut query = V2Query {
        kind: QUERY,
        code: 0,
        checksum: U16::ZERO,
        max_response: U16::new(max_response),
        reserved: U16::ZERO,
        group: group.octets(),
        flags: 2,
        interval,
        source_count: U16::ZERO,
    };
    let check = checksum(source, destination, query.as_bytes());
    query.checksum.set(check);
    Frame::new(mac, source, destination, query)
}

fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    Sum::pseudo_v6(
        &source.octets(),
        &destination.octets(),
        PROTOCOL_ICMPV6,
        message.len() as u32,
    )
    .add_bytes(message)
    .finish()
}

/// Milliseconds that a version 2 query's code means: from 32,768 on it is a floating point number
/// (RFC 3810, 5.1.3).
#[must_use]
pub const fn max_response_ms(code: u16) -> u32 {
    if code < 0x8000 {
        code as u32
    } else {
        ((code & 0x0fff) as u32 | 0x1000) << (((code >> 12) & 0x07) + 3)
    }
}

/// A question that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// 1 or 2: how to answer (RFC 3810, 8.1).
    pub version: u8,
    /// About which group; `None` is about all.
    pub group: Option<Ipv6Addr>,
    /// Answer at a random time within this many milliseconds.
    pub max_response_ms: u32,
}

/// Reads a query; `Ok(None)` when the message is of another type. `message` is the whole ICMPv6
/// message, behind extension headers and without padding.
///
/// # Errors
/// Truncated, also of a length that is of no version; checksum; field, when the sender is not
/// link-local or the hop limit not 1 (RFC 3810, 5.1.14 and 6.2).
pub fn query(ip: &ipv6::Header, message: &[u8]) -> Result<Option<Query>, Malformed> {
    if message.first() != Some(&QUERY) {
        return Ok(None);
    }
    verify(ip, message)?;
    if ip.hop_limit != 1 || !ip.source_addr().is_unicast_link_local() {
        return Err(Malformed::Field);
    }
    let (version, code, group) = if let Ok((query, _)) = V2Query::ref_from_prefix(message) {
        (2, query.max_response.get(), query.group)
    } else if let &[_, _, _, _, high, low, _, _, ref group @ ..] = message
        && let Ok(group) = group.try_into()
    {
        (1, u16::from_be_bytes([high, low]), group)
    } else {
        return Err(Malformed::Truncated);
    };
    let group = Ipv6Addr::from_octets(group);
    Ok(Some(Query {
        version,
        group: (!group.is_unspecified()).then_some(group),
        max_response_ms: match version {
            1 => u32::from(code),
            _ => max_response_ms(code),
        },
    }))
}

/// Records of a version 2 report one after another; ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    left: u16,
}

/// The records of a version 2 report. `message` is the whole ICMPv6 message.
///
/// # Errors
/// Truncated; checksum; field, when it is no such report.
pub fn v2_records<'a>(ip: &ipv6::Header, message: &'a [u8]) -> Result<Records<'a>, Malformed> {
    let (header, rest) =
        V2ReportHeader::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
    verify(ip, message)?;
    if header.kind != V2_REPORT {
        return Err(Malformed::Field);
    }
    Ok(Records {
        rest,
        left: header.record_count.get(),
    })
}

fn verify(ip: &ipv6::Header, message: &[u8]) -> Result<(), Malformed> {
    let length = u32::try_from(message.len()).map_err(|_| Malformed::TotalLength)?;
    if icmpv6::checksum_ok(ip.pseudo_header(PROTOCOL_ICMPV6, length), message) {
        Ok(())
    } else {
        Err(Malformed::Checksum)
    }
}

impl<'a> Iterator for Records<'a> {
    /// A record and its source addresses.
    type Item = Result<(&'a GroupRecord, &'a [[u8; 16]]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let item = self.split();
        if item.is_none() {
            self.left = 0;
        }
        Some(item.ok_or(Malformed::Truncated))
    }
}

impl<'a> Records<'a> {
    fn split(&mut self) -> Option<(&'a GroupRecord, &'a [[u8; 16]])> {
        let (record, rest) = GroupRecord::ref_from_prefix(self.rest).ok()?;
        let (sources, rest) = rest.split_at_checked(usize::from(record.source_count.get()) * 16)?;
        self.rest = rest.get(usize::from(record.auxiliary_words) * 4..)?;
        Some((record, sources.as_chunks().0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::update_u16;

    const MAC: Mac = Mac([0x02, 0, 0, 0, 0, 0x11]);
    const SOURCE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11);
    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0x1671, 1);

    /// The IPv6 packet holds; where its message lies behind the router alert.
    fn split(frame: &[u8]) -> (&ipv6::Header, &[u8]) {
        let payload = ipv6::check(&frame[14..], frame.len() - 14).unwrap();
        assert_eq!(54 + payload, frame.len());
        let (ip, rest) = ipv6::Header::ref_from_prefix(&frame[14..]).unwrap();
        let upper = ipv6::walk_extensions(rest, ip.next_header).unwrap();
        assert_eq!((upper.protocol, upper.offset), (PROTOCOL_ICMPV6, 8));
        (ip, &rest[8..])
    }

    #[test]
    fn report_reads_back() {
        let frame = v2_report(MAC, SOURCE, CHANGE_TO_EXCLUDE, GROUP);
        assert_eq!(frame.as_bytes().len(), 90);
        assert_eq!(frame.ethernet.destination.to_string(), "33:33:00:00:00:16");
        let (ip, message) = split(frame.as_bytes());
        assert_eq!((ip.destination_addr(), ip.hop_limit), (V2_ROUTERS, 1));
        let mut records = v2_records(ip, message).unwrap();
        let (record, sources) = records.next().unwrap().unwrap();
        assert_eq!(record.kind, CHANGE_TO_EXCLUDE);
        assert_eq!(record.group, GROUP.octets());
        assert!(sources.is_empty() && records.next().is_none());
        assert_eq!(query(ip, message), Ok(None));
    }

    #[test]
    fn queries_of_both_versions_rfc3810_section_8_1() {
        let frame = v2_query(MAC, SOURCE, Ipv6Addr::UNSPECIFIED, 10_000, 125);
        let (ip, message) = split(frame.as_bytes());
        assert_eq!(ip.destination_addr(), ALL_NODES);
        let general = Query {
            version: 2,
            group: None,
            max_response_ms: 10_000,
        };
        assert_eq!(query(ip, message), Ok(Some(general)));

        let mut first: [u8; 24] = message[..V2Query::V1_LEN].try_into().unwrap();
        first[2..4].fill(0);
        let check = checksum(SOURCE, ALL_NODES, &first);
        first[2..4].copy_from_slice(&check.to_be_bytes());
        let expected = Query {
            version: 1,
            ..general
        };
        assert_eq!(query(ip, &first), Ok(Some(expected)));
        assert_eq!(max_response_ms(0x8001), (0x1001) << 3);
    }

    #[test]
    fn forged_or_broken_queries_say_why() {
        let frame = v2_query(MAC, SOURCE, GROUP, 1000, 125);
        let (ip, message) = split(frame.as_bytes());
        assert_eq!(ip.destination_addr(), GROUP);
        let routed = ipv6::Header {
            hop_limit: 64,
            ..*ip
        };
        assert_eq!(query(&routed, message), Err(Malformed::Field));
        assert_eq!(query(ip, &message[..26]), Err(Malformed::Checksum));
        let mut changed = frame.message;
        changed.max_response.set(999);
        assert_eq!(query(ip, changed.as_bytes()), Err(Malformed::Checksum));
        let global = v2_query(MAC, "2001:db8::1".parse().unwrap(), GROUP, 1000, 125);
        let (ip, message) = split(global.as_bytes());
        assert_eq!(query(ip, message), Err(Malformed::Field));
    }

    #[test]
    fn a_record_count_past_the_end_stops() {
        let frame = v2_report(MAC, SOURCE, MODE_IS_EXCLUDE, GROUP);
        let mut report = frame.message;
        let check = update_u16(report.header.checksum.get(), 1, 0xffff);
        report.header.record_count.set(0xffff);
        report.header.checksum.set(check);
        let records: Vec<_> = v2_records(&frame.ip, report.as_bytes()).unwrap().collect();
        assert_eq!(records.len(), 2);
        assert_eq!(records[1], Err(Malformed::Truncated));
    }
}
