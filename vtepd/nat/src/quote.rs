//! The packet that an ICMP error quotes (RFC 792; RFC 5508, 4): which session it was of, and its rewrite.
//!
//! ```text
//!   IP │ ICMP 8 │ IP 20–60 │ 8 bytes or more of transport │ extensions (RFC 4884)
//!      └─ checksum covers ──────────────────────────────────────────────────────┘
//! ```
//!
//! A quote goes the other way: its source is where the error goes to. Nothing in it is believed before the checksums of
//! message and quoted header hold (REQ-3); what follows the transport header is never touched, extensions included.

use vtepd_wire::icmp;
use vtepd_wire::ipv4::{self, PROTOCOL_ICMP};
use vtepd_wire::{FromBytes, Malformed};

use crate::key::Protocol;
use crate::rewrite::{self, Place, To};
use crate::verdict::{PortPair, Refusal};
use crate::view::View;

/// Bytes of the transport header that every error quotes (RFC 792).
const LEAST: usize = 8;
/// From the beginning of an ICMP header.
const CHECKSUM: usize = 2;

/// What is quoted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quote {
    pub(crate) source: u32,
    pub(crate) destination: u32,
    /// `None` where they cannot be seen: a later fragment, or a protocol without.
    pub(crate) ports: Option<(Protocol, PortPair)>,
    place: Place,
}

impl Quote {
    /// Looks into an error whose headers `view` has seen.
    ///
    /// # Errors
    /// A checksum or length is wrong.
    pub(crate) fn new(bytes: &[u8], view: &View) -> Result<Self, Refusal> {
        let message = bytes.get(view.l4..view.end).ok_or(Refusal::Scattered)?;
        if !icmp::checksum_ok(message) {
            return Err(Refusal::IcmpChecksum);
        }
        let quoted = message
            .get(icmp::Header::LEN..)
            .ok_or(Refusal::QuoteMalformed)?;
        // The packet was longer than what is quoted of it.
        let checked = ipv4::check(quoted, usize::MAX).map_err(|error| match error {
            Malformed::Checksum => Refusal::IcmpChecksum,
            _ => Refusal::QuoteMalformed,
        })?;
        let (header, _) =
            ipv4::Header::ref_from_prefix(quoted).map_err(|_| Refusal::QuoteMalformed)?;
        let transport = quoted.get(checked.header_len..).unwrap_or_default();
        let first = header.fragment_offset() == 0;
        if first && transport.len() < LEAST.min(checked.total_len - checked.header_len) {
            return Err(Refusal::QuoteMalformed);
        }
        let ip = view.l4 + icmp::Header::LEN;
        Ok(Self {
            source: u32::from_be_bytes(header.source),
            destination: u32::from_be_bytes(header.destination),
            ports: if first {
                ports(header.protocol, transport)
            } else {
                None
            },
            place: Place {
                ip,
                l4: first.then_some(ip + checked.header_len),
                protocol: header.protocol,
            },
        })
    }

    /// Rewrites an end of the quoted packet, and the error's checksum for it.
    pub(crate) fn rewrite(&self, bytes: &mut [u8], view: &View, to: To) {
        // Not beyond the message: what follows is the frame's padding.
        let Some(packet) = bytes.get_mut(..view.end) else {
            return;
        };
        let changed = rewrite::apply(packet, self.place, to);
        rewrite::patch(packet, view.l4 + CHECKSUM, changed);
    }
}

fn ports(protocol: u8, transport: &[u8]) -> Option<(Protocol, PortPair)> {
    let known = Protocol::from_number(protocol)?;
    let [a, b, c, d, e, f, _, _] = *transport.first_chunk::<LEAST>()?;
    let ports = if protocol == PROTOCOL_ICMP {
        // An error about anything but a query is about no session (and about an error there is none).
        if !matches!(a, icmp::ECHO_REQUEST | icmp::ECHO_REPLY) {
            return None;
        }
        let identifier = u16::from_be_bytes([e, f]);
        PortPair {
            source: identifier,
            destination: identifier,
        }
    } else {
        PortPair {
            source: u16::from_be_bytes([a, b]),
            destination: u16::from_be_bytes([c, d]),
        }
    };
    Some((known, ports))
}
