//! IGMP, versions 2 (RFC 2236) and 3 (RFC 3376): how a VTEP joins the underlay group of a network.
//!
//! The builders return whole Ethernet frames as structures; `as_bytes()` is what goes on the wire.

use core::net::Ipv4Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::Sum;
use crate::ethernet::{self, ETHERTYPE_IPV4};
use crate::ipv4::{self, PROTOCOL_IGMP};
use crate::{Mac, Malformed};

/// Type: who is in this group? All versions.
pub const QUERY: u8 = 0x11;
/// Type: I am in this group, version 1.
pub const V1_REPORT: u8 = 0x12;
/// Type: I am in this group, version 2.
pub const V2_REPORT: u8 = 0x16;
/// Type: I left this group, version 2.
pub const V2_LEAVE: u8 = 0x17;
/// Type: my groups and their sources, version 3.
pub const V3_REPORT: u8 = 0x22;

/// Every host: where general queries go.
pub const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// Every router: where a version 2 leave goes.
pub const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// Every version 3 router: where version 3 reports go.
pub const V3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

/// Record type: I listen to these sources only; said in answer to a query.
pub const MODE_IS_INCLUDE: u8 = 1;
/// Record type: I listen to all but these sources; said in answer to a query.
pub const MODE_IS_EXCLUDE: u8 = 2;
/// Record type: from now on only these sources; with none, a leave.
pub const CHANGE_TO_INCLUDE: u8 = 3;
/// Record type: from now on all but these sources; with none, a join.
pub const CHANGE_TO_EXCLUDE: u8 = 4;

/// The IP option that makes routers look inside (RFC 2113).
const ROUTER_ALERT: [u8; 4] = [0x94, 0x04, 0x00, 0x00];
/// DSCP CS6, network control, as Linux sends it (RFC 3376, 4: type of service 0xc0).
const TOS: u8 = 0xc0;

/// Versions 1 and 2, and the beginning of a version 3 query.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Message {
    /// [`QUERY`], [`V2_REPORT`] or [`V2_LEAVE`].
    pub kind: u8,
    /// Of a query: how long answers may be spread, in tenths of a second; see [`max_response_ms`].
    pub max_response: u8,
    /// Over the whole message; no pseudo header.
    pub checksum: U16,
    /// Which group; zero in a general query.
    pub group: [u8; 4],
}

impl Message {
    /// Bytes on the wire.
    pub const LEN: usize = 8;
}

/// A version 3 query; source addresses follow.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct V3Query {
    /// The part that older versions have too.
    pub message: Message,
    /// Suppress router processing (bit 3), robustness (bits 0 to 2).
    pub flags: u8,
    /// Seconds between queries, coded like [`Message::max_response`].
    pub interval: u8,
    /// How many source addresses follow.
    pub source_count: U16,
}

impl V3Query {
    /// Bytes on the wire, sources not counted.
    pub const LEN: usize = 12;
}

/// What a version 3 report begins with; records follow.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct V3ReportHeader {
    /// [`V3_REPORT`].
    pub kind: u8,
    /// Zero.
    pub reserved: u8,
    /// Over the whole message; no pseudo header.
    pub checksum: U16,
    /// Zero.
    pub reserved2: U16,
    /// How many records follow.
    pub record_count: U16,
}

impl V3ReportHeader {
    /// Bytes on the wire.
    pub const LEN: usize = 8;
}

/// One group in a version 3 report; source addresses and auxiliary data follow.
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
    pub group: [u8; 4],
}

impl GroupRecord {
    /// Bytes on the wire, sources not counted.
    pub const LEN: usize = 8;
}

/// A version 3 report of one group without sources.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct V3Report {
    /// The beginning.
    pub header: V3ReportHeader,
    /// The one record.
    pub record: GroupRecord,
}

/// A whole frame that carries one IGMP message.
#[derive(IntoBytes, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Frame<M> {
    /// To the group's MAC address.
    pub ethernet: ethernet::Header,
    /// TTL 1, with a router alert.
    pub ip: ipv4::Header,
    /// The option.
    pub router_alert: [u8; 4],
    /// The message, checksummed.
    pub message: M,
}

impl<M: IntoBytes + Immutable> Frame<M> {
    fn new(mac: Mac, source: Ipv4Addr, destination: Ipv4Addr, message: M) -> Self {
        let header_len = ipv4::Header::LEN + ROUTER_ALERT.len();
        let mut ip = ipv4::Header {
            version_ihl: 0x40 | (header_len / 4) as u8,
            tos: TOS,
            total_length: U16::new((header_len + size_of::<M>()) as u16),
            identification: U16::ZERO,
            flags_fragment: U16::new(ipv4::FLAG_DONT_FRAGMENT),
            ttl: 1,
            protocol: PROTOCOL_IGMP,
            checksum: U16::ZERO,
            source: source.octets(),
            destination: destination.octets(),
        };
        let sum = Sum::new().add_bytes(ip.as_bytes()).add_bytes(&ROUTER_ALERT);
        ip.checksum.set(sum.finish());
        Self {
            ethernet: ethernet::Header::new(Mac::multicast_of_v4(destination), mac, ETHERTYPE_IPV4),
            ip,
            router_alert: ROUTER_ALERT,
            message,
        }
    }
}

/// I am in `group`: sent to the group itself.
#[must_use]
pub fn v2_report(mac: Mac, source: Ipv4Addr, group: Ipv4Addr) -> Frame<Message> {
    Frame::new(mac, source, group, message(V2_REPORT, 0, group))
}

/// I left `group`: sent to all routers.
#[must_use]
pub fn v2_leave(mac: Mac, source: Ipv4Addr, group: Ipv4Addr) -> Frame<Message> {
    Frame::new(mac, source, ALL_ROUTERS, message(V2_LEAVE, 0, group))
}

/// Who is in `group`, or with 0.0.0.0 in any? `max_response` in tenths of a second.
#[must_use]
pub fn v2_query(mac: Mac, source: Ipv4Addr, group: Ipv4Addr, max_response: u8) -> Frame<Message> {
    let to = query_destination(group);
    Frame::new(mac, source, to, message(QUERY, max_response, group))
}

/// My state for `group`, of record type `kind` and without sources: [`CHANGE_TO_EXCLUDE`] joins,
/// [`MODE_IS_EXCLUDE`] answers a query, [`CHANGE_TO_INCLUDE`] leaves.
#[must_use]
pub fn v3_report(mac: Mac, source: Ipv4Addr, kind: u8, group: Ipv4Addr) -> Frame<V3Report> {
    let mut report = V3Report {
        header: V3ReportHeader {
            kind: V3_REPORT,
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
    let sum = Sum::new().add_bytes(report.as_bytes());
    report.header.checksum.set(sum.finish());
    Frame::new(mac, source, V3_ROUTERS, report)
}

/// Who is in `group`, or with 0.0.0.0 in any? `max_response` below 128 is in tenths of a second,
/// `interval` below 128 in seconds; robustness is 2 (RFC 3376, 8.1).
#[must_use]
pub fn v3_query(
    mac: Mac,
    source: Ipv4Addr,
    group: Ipv4Addr,
    max_response: u8,
    interval: u8,
) -> Frame<V3Query> {
    let mut query = V3Query {
        message: Message {
            kind: QUERY,
            max_response,
            checksum: U16::ZERO,
            group: group.octets(),
        },
        flags: 2,
        interval,
        source_count: U16::ZERO,
    };
    let sum = Sum::new().add_bytes(query.as_bytes());
    query.message.checksum.set(sum.finish());
    Frame::new(mac, source, query_destination(group), query)
}

fn query_destination(group: Ipv4Addr) -> Ipv4Addr {
    if group.is_unspecified() {
        ALL_SYSTEMS
    } else {
        group
    }
}

fn message(kind: u8, max_response: u8, group: Ipv4Addr) -> Message {
    let mut message = Message {
        kind,
        max_response,
        checksum: U16::ZERO,
        group: group.octets(),
    };
    let sum = Sum::new().add_bytes(message.as_bytes());
    message.checksum.set(sum.finish());
    message
}

/// Milliseconds that a version 3 query's code means: from 128 on it is a floating point number
/// (RFC 3376, 4.1.1).
#[must_use]
pub const fn max_response_ms(code: u8) -> u32 {
    let tenths = if code < 128 {
        code as u32
    } else {
        ((code & 0x0f) as u32 | 0x10) << (((code >> 4) & 0x07) + 3)
    };
    tenths * 100
}

/// A question that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// 1, 2 or 3: how to answer (RFC 3376, 7.1).
    pub version: u8,
    /// About which group; `None` is about all.
    pub group: Option<Ipv4Addr>,
    /// Answer at a random time within this many milliseconds.
    pub max_response_ms: u32,
}

/// Reads a query; `Ok(None)` when the message is of another type. `message` is the IP payload.
///
/// # Errors
/// Truncated, also of a length that is of no version (RFC 3376, 7.1); checksum.
pub fn query(message: &[u8]) -> Result<Option<Query>, Malformed> {
    let (head, rest) = Message::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
    if !Sum::new().add_bytes(message).is_valid() {
        return Err(Malformed::Checksum);
    }
    if head.kind != QUERY {
        return Ok(None);
    }
    let (version, max_response_ms) = match (rest.len(), head.max_response) {
        // Version 1 leaves the field zero and means ten seconds (RFC 2236, 4).
        (0, 0) => (1, 10_000),
        (0, tenths) => (2, u32::from(tenths) * 100),
        (4.., code) => (3, max_response_ms(code)),
        _ => return Err(Malformed::Truncated),
    };
    let group = Ipv4Addr::from_octets(head.group);
    Ok(Some(Query {
        version,
        group: (!group.is_unspecified()).then_some(group),
        max_response_ms,
    }))
}

/// Records of a version 3 report one after another; ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    left: u16,
}

/// The records of a version 3 report. `message` is the IP payload.
///
/// # Errors
/// Truncated; checksum; field, when it is no such report.
pub fn v3_records(message: &[u8]) -> Result<Records<'_>, Malformed> {
    let (header, rest) =
        V3ReportHeader::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
    if !Sum::new().add_bytes(message).is_valid() {
        return Err(Malformed::Checksum);
    }
    if header.kind != V3_REPORT {
        return Err(Malformed::Field);
    }
    Ok(Records {
        rest,
        left: header.record_count.get(),
    })
}

impl<'a> Iterator for Records<'a> {
    /// A record and its source addresses.
    type Item = Result<(&'a GroupRecord, &'a [[u8; 4]]), Malformed>;

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
    fn split(&mut self) -> Option<(&'a GroupRecord, &'a [[u8; 4]])> {
        let (record, rest) = GroupRecord::ref_from_prefix(self.rest).ok()?;
        let (sources, rest) = rest.split_at_checked(usize::from(record.source_count.get()) * 4)?;
        self.rest = rest.get(usize::from(record.auxiliary_words) * 4..)?;
        Some((record, sources.as_chunks().0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::hex;

    const MAC: Mac = Mac([0x02, 0, 0, 0, 0, 0x11]);
    const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);
    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

    /// The IP packet holds, and carries this message.
    fn payload(frame: &[u8]) -> &[u8] {
        let checked = ipv4::check(&frame[14..], frame.len() - 14).unwrap();
        assert_eq!(checked.header_len, 24);
        assert_eq!(14 + checked.total_len, frame.len());
        &frame[38..]
    }

    #[test]
    fn version_2_report_byte_for_byte() {
        let frame = v2_report(MAC, SOURCE, GROUP);
        assert_eq!(
            frame.as_bytes(),
            hex("01005e010203 020000000011 0800
                 46c00020 00004000 01023108 c000020b ef010203 94040000
                 1600f8fa ef010203")
        );
        payload(frame.as_bytes());
    }

    #[test]
    fn version_2_leave_goes_to_all_routers() {
        let frame = v2_leave(MAC, SOURCE, GROUP);
        assert_eq!(frame.ip.destination_addr(), ALL_ROUTERS);
        assert_eq!(frame.ethernet.destination.to_string(), "01:00:5e:00:00:02");
        let message = payload(frame.as_bytes());
        assert_eq!(message[0], V2_LEAVE);
        assert!(Sum::new().add_bytes(message).is_valid());
    }

    #[test]
    fn version_3_report_reads_back() {
        let frame = v3_report(MAC, SOURCE, CHANGE_TO_EXCLUDE, GROUP);
        assert_eq!(frame.ip.destination_addr(), V3_ROUTERS);
        let mut records = v3_records(payload(frame.as_bytes())).unwrap();
        let (record, sources) = records.next().unwrap().unwrap();
        assert_eq!(record.kind, CHANGE_TO_EXCLUDE);
        assert_eq!(record.group, GROUP.octets());
        assert!(sources.is_empty());
        assert!(records.next().is_none());
    }

    #[test]
    fn versions_of_queries_rfc3376_section_7_1() {
        let ask = |frame: &[u8]| query(payload(frame)).unwrap().unwrap();
        let v2 = v2_query(MAC, SOURCE, GROUP, 10);
        assert_eq!(
            ask(v2.as_bytes()),
            Query {
                version: 2,
                group: Some(GROUP),
                max_response_ms: 1000
            }
        );
        let v1 = v2_query(MAC, SOURCE, Ipv4Addr::UNSPECIFIED, 0);
        assert_eq!(v1.ip.destination_addr(), ALL_SYSTEMS);
        assert_eq!(ask(v1.as_bytes()).version, 1);
        assert_eq!(ask(v1.as_bytes()).group, None);
        let v3 = v3_query(MAC, SOURCE, Ipv4Addr::UNSPECIFIED, 0x8a, 125);
        assert_eq!(ask(v3.as_bytes()).version, 3);
        // 0x8a: mantissa 10, exponent 0, (10 | 16) << 3 = 208 tenths.
        assert_eq!(ask(v3.as_bytes()).max_response_ms, 20_800);
        let report = v2_report(MAC, SOURCE, GROUP);
        assert_eq!(query(payload(report.as_bytes())), Ok(None));
    }

    #[test]
    fn broken_messages_say_why() {
        let mut bytes = v2_query(MAC, SOURCE, GROUP, 10).message;
        assert_eq!(query(&bytes.as_bytes()[..7]), Err(Malformed::Truncated));
        bytes.group = [239, 1, 2, 4];
        assert_eq!(query(bytes.as_bytes()), Err(Malformed::Checksum));
        // Ten bytes are of no version.
        let odd = hex("110af8f4 00000000 f600");
        let sum = Sum::new().add_bytes(&odd);
        assert!(sum.is_valid());
        assert_eq!(query(&odd), Err(Malformed::Truncated));
    }

    #[test]
    fn a_record_count_past_the_end_stops() {
        let mut report = v3_report(MAC, SOURCE, MODE_IS_EXCLUDE, GROUP).message;
        let old = report.header.checksum.get();
        report.header.record_count.set(0xffff);
        report
            .header
            .checksum
            .set(crate::checksum::update_u16(old, 1, 0xffff));
        let records: Vec<_> = v3_records(report.as_bytes()).unwrap().collect();
        assert_eq!(records.len(), 2);
        assert_eq!(records[1], Err(Malformed::Truncated));
    }
}
