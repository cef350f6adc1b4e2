//! A routed packet that is too long for its network and may be cut leaves in parts
//! (RFC 791, 3.2; RFC 1812, 4.2.2.7).

use vtepd_wire::{FromBytes, ethernet, ipv4};

use super::L3;
use crate::drop_reason::DropReason;
use crate::packet::{Io, Packet};

/// Cuts the IPv4 packet in an untagged frame, and shows each part as a frame of its own.
/// How many there were.
pub(crate) fn fragment<I: Io>(
    io: &mut I,
    packet: &I::Packet,
    mtu: u16,
    mut send: impl FnMut(&mut I, I::Packet),
) -> Result<usize, DropReason> {
    let data = packet.data();
    let bytes = data.get(L3..).unwrap_or_default();
    let checked =
        ipv4::check(bytes, packet.frame_len() - L3).map_err(|_| DropReason::IpMalformed)?;
    let Ok((link, _)) = ethernet::Header::ref_from_prefix(data) else {
        return Err(DropReason::Truncated);
    };
    let plan = ipv4::fragments(bytes, checked, usize::from(mtu)).ok_or(DropReason::IpMalformed)?;
    let mut parts = 0;
    for part in plan {
        let Some(mut frame) = io.allocate() else {
            return Err(DropReason::NoBuffer);
        };
        let payload = part.payload.start + L3..part.payload.end + L3;
        let written = append(&mut frame, vtepd_wire::IntoBytes::as_bytes(link))
            && append(&mut frame, part.header())
            && append_from(&mut frame, packet, payload);
        if !written {
            io.discard(frame);
            return Err(DropReason::NoTailroom);
        }
        parts += 1;
        send(io, frame);
    }
    Ok(parts)
}

fn append<P: Packet>(frame: &mut P, bytes: &[u8]) -> bool {
    match frame.append(bytes.len()) {
        Some(room) => {
            room.copy_from_slice(bytes);
            true
        }
        None => false,
    }
}

/// Appends a range of a packet's bytes, whatever segments they lie in.
fn append_from<P: Packet>(frame: &mut P, packet: &P, range: core::ops::Range<usize>) -> bool {
    let (mut skip, mut left) = (range.start, range.len());
    let mut index = 0;
    while left > 0 {
        let Some(segment) = packet.segment(index) else {
            return false;
        };
        let part = segment.get(skip.min(segment.len())..).unwrap_or_default();
        let part = part.get(..left.min(part.len())).unwrap_or_default();
        if !part.is_empty() && !append(frame, part) {
            return false;
        }
        skip = skip.saturating_sub(segment.len());
        left -= part.len();
        index += 1;
    }
    true
}
