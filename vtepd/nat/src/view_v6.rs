//! An IPv6 packet, looked at once: what tells the session that it belongs to. Nothing of it is ever changed.

use vtepd_wire::ipv4::{PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP};
use vtepd_wire::ipv6::{self, Fragment};
use vtepd_wire::{FromBytes, icmpv6, tcp};

use crate::fragments::Piece;
use crate::verdict::{PortPair, Refusal};
use crate::view::PROTOCOL_UDP_LITE;

const PROTOCOL_DCCP: u8 = 33;
const PROTOCOL_SCTP: u8 = 132;

/// What is needed of a packet's headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ViewV6 {
    pub(crate) source: [u64; 2],
    pub(crate) destination: [u64; 2],
    /// `None` also of a fragment that is the whole datagram (RFC 6946).
    pub(crate) fragment: Option<Fragment>,
    /// Which bytes of its datagram it is.
    pub(crate) piece: Piece,
    pub(crate) carries: Carries,
}

/// What is behind the extension headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carries {
    /// A part of a session.
    Segment(SegmentV6),
    /// An ICMPv6 error; the packet that it quotes begins at this offset.
    Error(usize),
    /// ICMPv6 that is neither echo nor error.
    OtherIcmp,
    /// Cannot be seen: a later fragment.
    Unseen,
}

/// What tells a session besides the addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentV6 {
    /// IP protocol number.
    pub(crate) protocol: u8,
    /// Twice the identifier of an echo; zeros of what has no ports and is told by its addresses (RFC 6092, REC-25).
    pub(crate) ports: PortPair,
    /// Of TCP, or the type of an echo.
    pub(crate) flags: u8,
}

impl ViewV6 {
    /// Looks at a packet, from its IP header on. `bytes` hold the headers, contiguous; of an ICMPv6 error those of the
    /// quoted packet too.
    ///
    /// # Errors
    /// A length is wrong; the headers do not fit the first fragment (RFC 7112).
    #[inline]
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, Refusal> {
        let view = Self::look(bytes, true)?;
        match view.carries {
            // They fit the smallest MTU (RFC 4443, 2.4(c)).
            Carries::Error(_) if view.fragment.is_some() => Err(Refusal::QuoteMalformed),
            _ => Ok(view),
        }
    }

    /// The packet that an ICMPv6 error quotes at an offset, cut off anywhere behind its ports.
    ///
    /// # Errors
    /// Its headers are not there.
    pub(crate) fn quoted(bytes: &[u8], at: usize) -> Result<Self, Refusal> {
        let quoted = bytes.get(at..).ok_or(Refusal::Scattered)?;
        Self::look(quoted, false).map_err(|_| Refusal::QuoteMalformed)
    }

    #[inline]
    fn look(bytes: &[u8], whole: bool) -> Result<Self, Refusal> {
        let payload = ipv6::check(bytes, usize::MAX)?;
        let (header, chain) =
            ipv6::Header::ref_from_prefix(bytes).map_err(|_| Refusal::Malformed)?;
        // What follows is the frame's padding.
        let chain = chain.get(..payload).unwrap_or(chain);
        let upper = ipv6::walk_extensions(chain, header.next_header)?;
        let fragment = upper
            .fragment
            .filter(|fragment| fragment.more || fragment.offset > 0);
        let seen = chain.get(upper.offset..).unwrap_or_default();
        let carries = match fragment {
            // Could lay other flags over those that were checked.
            Some(Fragment { offset, .. })
                if upper.protocol == PROTOCOL_TCP && (1..tcp::Header::LEN).contains(&offset) =>
            {
                return Err(Refusal::FragmentTiny);
            }
            Some(Fragment { offset: 1.., .. }) => Carries::Unseen,
            _ => {
                let cut = match fragment {
                    Some(_) => Refusal::FragmentTiny,
                    None => Refusal::Malformed,
                };
                let length = payload.saturating_sub(upper.offset);
                let at = ipv6::Header::LEN + upper.offset;
                carries(upper.protocol, seen, at, whole.then_some(length)).ok_or(cut)?
            }
        };
        Ok(Self {
            source: words(header.source),
            destination: words(header.destination),
            fragment,
            piece: fragment.map_or_else(Piece::default, |fragment| piece(payload, fragment)),
            carries,
        })
    }
}

/// What of the datagram's fragmentable part follows the fragment header of a packet with so long a payload.
fn piece(payload: usize, fragment: Fragment) -> Piece {
    let before = fragment.at + size_of::<ipv6::FragmentHeader>();
    Piece {
        offset: fragment.offset as u32,
        len: payload.saturating_sub(before) as u32,
        last: !fragment.more,
    }
}

/// `None` when the header does not fit what is `seen` of it, or its `length` where that must hold it whole.
#[inline]
fn carries(protocol: u8, seen: &[u8], at: usize, length: Option<usize>) -> Option<Carries> {
    let holds = |header: usize| length.is_none_or(|length| length >= header).then_some(());
    let mut segment = SegmentV6 {
        protocol,
        ports: PortPair {
            source: 0,
            destination: 0,
        },
        flags: 0,
    };
    match protocol {
        PROTOCOL_TCP => {
            segment.ports = ports(seen)?;
            if length.is_some() {
                let (header, _) = tcp::Header::ref_from_prefix(seen).ok()?;
                holds(header.header_len().max(tcp::Header::LEN))?;
                segment.flags = header.flags;
            }
        }
        // UDP-Lite in the same way, and apart (REC-20).
        PROTOCOL_UDP | PROTOCOL_UDP_LITE => {
            holds(8)?;
            segment.ports = ports(seen)?;
        }
        PROTOCOL_SCTP | PROTOCOL_DCCP => {
            holds(12)?;
            segment.ports = ports(seen)?;
        }
        PROTOCOL_ICMPV6 => {
            holds(icmpv6::Header::LEN)?;
            let (header, _) = icmpv6::Header::ref_from_prefix(seen).ok()?;
            match header.kind {
                icmpv6::UNREACHABLE..=icmpv6::PARAMETER_PROBLEM => {
                    return Some(Carries::Error(at + icmpv6::Header::LEN));
                }
                icmpv6::ECHO_REQUEST | icmpv6::ECHO_REPLY => {}
                _ => return Some(Carries::OtherIcmp),
            }
            let identifier = header.identifier();
            segment.ports = PortPair {
                source: identifier,
                destination: identifier,
            };
            segment.flags = header.kind;
        }
        _ => {}
    }
    Some(Carries::Segment(segment))
}

#[inline]
fn ports(seen: &[u8]) -> Option<PortPair> {
    let [a, b, c, d] = *seen.first_chunk::<4>()?;
    Some(PortPair {
        source: u16::from_be_bytes([a, b]),
        destination: u16::from_be_bytes([c, d]),
    })
}

#[inline]
fn words(address: [u8; 16]) -> [u64; 2] {
    let bits = u128::from_be_bytes(address);
    [(bits >> 64) as u64, bits as u64]
}
