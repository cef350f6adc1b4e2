//! Changing an address and a port where they lie, and what covers them.

use vtepd_wire::checksum::Delta;
use vtepd_wire::ipv4::{PROTOCOL_ICMP, PROTOCOL_UDP};

use crate::key::Endpoint;
use crate::view::{PROTOCOL_UDP_LITE, Part, View, checksum_at};

/// Bytes from the beginning of an IPv4 header.
const IDENTIFICATION: usize = 4;
const CHECKSUM: usize = 10;
const SOURCE: usize = 12;
const DESTINATION: usize = 16;
/// Bytes from the beginning of an ICMP header.
const IDENTIFIER: usize = 4;

/// Which end of a packet is changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// Where the headers of a packet, or of one that is quoted, lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) ip: usize,
    /// `None`: not there, in a later fragment.
    pub(crate) l4: Option<usize>,
    pub(crate) protocol: u8,
}

impl Place {
    pub(crate) fn of(view: &View) -> Self {
        Self {
            ip: 0,
            l4: (view.part != Part::Later).then_some(view.l4),
            protocol: view.protocol,
        }
    }
}

/// The new end: an address, and a port or identifier where there is one to be changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct To {
    pub(crate) side: Side,
    pub(crate) address: u32,
    pub(crate) port: Option<u16>,
}

impl To {
    pub(crate) fn address(side: Side, address: u32) -> Self {
        Self {
            side,
            address,
            port: None,
        }
    }

    pub(crate) fn endpoint(side: Side, endpoint: Endpoint) -> Self {
        Self {
            side,
            address: endpoint.address,
            port: Some(endpoint.port),
        }
    }
}

#[inline(always)]
fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[inline(always)]
fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *field = value.to_be_bytes();
    }
}

/// Writes a new end into a packet and patches its checksums. Returns all that changed, for a checksum around it.
///
/// The deltas of address and port are made here from what the packet holds: four additions on values that are read anyway
/// are cheaper than room for them in the session's cache line.
///
/// What is not within `bytes` is left out: a quote may end anywhere behind its first eight bytes of transport.
#[inline(always)]
pub(crate) fn apply(bytes: &mut [u8], place: Place, to: To) -> Delta {
    let at = place.ip
        + match to.side {
            Side::Source => SOURCE,
            Side::Destination => DESTINATION,
        };
    let Some(field) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) else {
        return Delta::new();
    };
    let old = u32::from_be_bytes(*field);
    *field = to.address.to_be_bytes();
    let address = Delta::new().u32(old, to.address);
    let mut all = address;
    if let Some(check) = short(bytes, place.ip + CHECKSUM) {
        let patched = address.apply(check);
        put(bytes, place.ip + CHECKSUM, patched);
        all = all.u16(check, patched);
    }
    let Some(l4) = place.l4 else { return all };
    let checksum = checksum_at(place.protocol);
    let mut covered = match checksum {
        Some((_, true)) => address,
        _ => Delta::new(),
    };
    if let Some(port) = to.port {
        let at = l4
            + match (place.protocol, to.side) {
                (PROTOCOL_ICMP, _) => IDENTIFIER,
                (_, Side::Source) => 0,
                (_, Side::Destination) => 2,
            };
        if let Some(old) = short(bytes, at) {
            put(bytes, at, port);
            covered = covered.u16(old, port);
            all = all.u16(old, port);
        }
    }
    if let Some((offset, _)) = checksum
        && let Some(check) = short(bytes, l4 + offset)
    {
        let patched = match place.protocol {
            // Neither is ever sent as zero (RFC 768; RFC 3828, 3.1).
            PROTOCOL_UDP | PROTOCOL_UDP_LITE => covered.apply_udp(check),
            _ => covered.apply(check),
        };
        put(bytes, l4 + offset, patched);
        all = all.u16(check, patched);
    }
    all
}

/// Writes a new address into a packet whose transport does not cover it: an ICMP error.
pub(crate) fn address(bytes: &mut [u8], view: &View, to: To) {
    let header = Place {
        l4: None,
        ..Place::of(view)
    };
    apply(bytes, header, to);
}

/// Gives a packet another identification.
pub(crate) fn identify(bytes: &mut [u8], identification: u16) {
    let (Some(old), Some(check)) = (short(bytes, IDENTIFICATION), short(bytes, CHECKSUM)) else {
        return;
    };
    put(bytes, IDENTIFICATION, identification);
    let delta = Delta::new().u16(old, identification);
    put(bytes, CHECKSUM, delta.apply(check));
}

/// Patches a checksum for what changed in the bytes that it covers.
pub(crate) fn patch(bytes: &mut [u8], at: usize, delta: Delta) {
    if let Some(check) = short(bytes, at) {
        put(bytes, at, delta.apply(check));
    }
}
