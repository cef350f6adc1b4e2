//! A packet, looked at once.

use vtepd_wire::ipv4::{self, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP};
use vtepd_wire::{FromBytes, icmp, tcp, udp};

use crate::fragments::Piece;
use crate::key::Protocol;
use crate::verdict::{PortPair, Refusal};

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Whole,
    /// The first fragment, which has the ports.
    First,
    Later,
}

/// What a packet carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    /// Ports, or the identifier of an echo (twice), with the flags of TCP, or the type of an echo.
    Ports {
        protocol: Protocol,
        ports: PortPair,
        flags: u8,
    },
    /// An ICMP error, whole.
    Error,
    /// ICMP that is neither.
    OtherIcmp,
    /// Cannot be seen: a later fragment of something that has ports.
    Unseen(Protocol),
    /// Has no ports that are known here.
    Other,
}

/// What tells a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) protocol: Protocol,
    pub(crate) ports: PortPair,
    /// Of TCP, or the type of an echo. `None` of a later fragment, which opens nothing and closes nothing.
    pub(crate) flags: Option<u8>,
    /// Of its session's key, where it has been computed already.
    pub(crate) hash: Option<u64>,
}

/// What is needed of a packet's headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) source: u32,
    pub(crate) destination: u32,
    /// Where the transport header begins.
    pub(crate) l4: usize,
    /// Where the packet ends; may be beyond the bytes at hand.
    pub(crate) end: usize,
    pub(crate) protocol: u8,
    pub(crate) identification: u16,
    /// Whole and not to be fragmented: its identification means nothing (RFC 6864, 4.1).
    pub(crate) atomic: bool,
    pub(crate) part: Part,
    /// Which bytes of its datagram it is.
    pub(crate) piece: Piece,
    pub(crate) transport: Transport,
}

impl View {
    /// Looks at a packet, from its IP header on. `bytes` hold the headers, contiguous; what follows may lie elsewhere,
    /// except of ICMP errors.
    ///
    /// # Errors
    /// A length is wrong; a header is cut off by fragmentation.
    // Always: returned through memory, it came back in pieces that were still on their way there, some 15 cycles.
    #[inline(always)]
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, Refusal> {
        let checked = ipv4::check_lengths(bytes, usize::MAX)?;
        let (header, _) = ipv4::Header::ref_from_prefix(bytes).map_err(|_| Refusal::Malformed)?;
        let offset = header.fragment_offset();
        let part = match (offset, header.more_fragments()) {
            (0, false) => Part::Whole,
            (0, true) => Part::First,
            _ => Part::Later,
        };
        let mut view = Self {
            source: u32::from_be_bytes(header.source),
            destination: u32::from_be_bytes(header.destination),
            l4: checked.header_len,
            end: checked.total_len,
            protocol: header.protocol,
            identification: header.identification.get(),
            atomic: part == Part::Whole && header.dont_fragment(),
            part,
            piece: Piece {
                offset: offset as u32,
                len: (checked.total_len - checked.header_len) as u32,
                last: !header.more_fragments(),
            },
            transport: Transport::Other,
        };
        view.transport = match (part, Protocol::from_number(header.protocol)) {
            (_, None) => Transport::Other,
            // Could lay other flags over those that were checked.
            (Part::Later, Some(Protocol::Tcp)) if offset < tcp::Header::LEN => {
                return Err(Refusal::FragmentTiny);
            }
            (Part::Later, Some(protocol)) => Transport::Unseen(protocol),
            (_, Some(protocol)) => {
                let seen = bytes.get(view.l4..).unwrap_or_default();
                let length = view.end - view.l4;
                transport(protocol, seen, length, part)?
            }
        };
        Ok(view)
    }

    /// What the fragments of one datagram share, within a `scope`, and which of them it is.
    pub(crate) fn fragment(&self, scope: u32) -> (u128, Piece) {
        let key = u128::from(scope) << 88
            | u128::from(self.protocol) << 80
            | u128::from(self.identification) << 64
            | u128::from(self.source) << 32
            | u128::from(self.destination);
        (key, self.piece)
    }
}

#[inline]
fn transport(
    protocol: Protocol,
    seen: &[u8],
    length: usize,
    part: Part,
) -> Result<Transport, Refusal> {
    let cut = match part {
        Part::Whole => Refusal::Malformed,
        _ => Refusal::FragmentTiny,
    };
    let (ports, flags) = match protocol {
        Protocol::Udp => {
            let (header, _) = udp::Header::ref_from_prefix(seen).map_err(|_| cut)?;
            if length < udp::Header::LEN {
                return Err(cut);
            }
            let ports = (header.source.get(), header.destination.get());
            (ports, 0)
        }
        Protocol::Tcp => {
            let (header, _) = tcp::Header::ref_from_prefix(seen).map_err(|_| cut)?;
            if header.header_len() < tcp::Header::LEN || header.header_len() > length {
                return Err(cut);
            }
            let ports = (header.source.get(), header.destination.get());
            (ports, header.flags)
        }
        Protocol::Icmp => {
            let (header, _) = icmp::Header::ref_from_prefix(seen).map_err(|_| cut)?;
            if length < icmp::Header::LEN {
                return Err(cut);
            }
            if header.is_error() {
                // Routers do not fragment what they say, nor quote more than fits.
                return if part == Part::Whole {
                    Ok(Transport::Error)
                } else {
                    Err(Refusal::QuoteMalformed)
                };
            }
            if !header.is_echo() {
                return Ok(Transport::OtherIcmp);
            }
            let identifier = header.identifier.get();
            ((identifier, identifier), header.kind)
        }
    };
    let (source, destination) = ports;
    Ok(Transport::Ports {
        protocol,
        ports: PortPair {
            source,
            destination,
        },
        flags,
    })
}

/// UDP with a checksum over a part of the payload (RFC 3828).
pub(crate) const PROTOCOL_UDP_LITE: u8 = 136;

/// Where a transport checksum lies, and whether it covers the IP addresses.
#[inline]
pub(crate) const fn checksum_at(protocol: u8) -> Option<(usize, bool)> {
    const PROTOCOL_DCCP: u8 = 33;
    match protocol {
        PROTOCOL_TCP => Some((16, true)),
        // RFC 3828, 3.1; RFC 4340, 9.1: like UDP, with a pseudo header.
        PROTOCOL_UDP | PROTOCOL_DCCP | PROTOCOL_UDP_LITE => Some((6, true)),
        PROTOCOL_ICMP => Some((2, false)),
        _ => None,
    }
}
