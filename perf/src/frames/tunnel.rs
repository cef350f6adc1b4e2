//! How frames of a network look on the wire: in VXLAN, and with a VLAN tag.

use vtepd_wire::craft;

use super::fabric::{Fabric, OWN_VTEP, UPLINK_MAC};

/// An inner frame's bytes of addresses.
const MACS: usize = 12;
/// Bytes of the headers around an inner frame.
pub const OUTER: usize = 14 + 20 + 8 + 8;
/// Where an outer frame has its source port, which each daemon chooses by a secret.
const SOURCE_PORT: core::ops::Range<usize> = 34..36;

/// A frame of a network as a VTEP sends it to us.
#[must_use]
pub fn sent(fabric: Fabric, vtep: u32, network: u32, port: u16, inner: &[u8]) -> Vec<u8> {
    craft::ethernet(UPLINK_MAC, fabric.vtep_mac(vtep))
        .ipv4(fabric.vtep(vtep), OWN_VTEP)
        .vxlan(port, fabric.vni(network), inner)
}

/// A frame of a network as we must send it to a VTEP, our MAC and the source port being
/// left out (zero). RFC 7348 section 5, byte by byte and not by the code under test:
/// template and patches there, plain concatenation here.
#[must_use]
pub fn expected(fabric: Fabric, vtep: u32, network: u32, inner: &[u8]) -> Vec<u8> {
    let udp_len = (8 + 8 + inner.len()) as u16;
    let mut ip = Vec::with_capacity(20);
    ip.extend([0x45, 0]);
    ip.extend((20 + udp_len).to_be_bytes());
    // No identification, do not fragment (RFC 6864, 4.1), TTL 64, UDP.
    ip.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    ip.extend(OWN_VTEP.octets());
    ip.extend(fabric.vtep(vtep).octets());
    let sum: u32 = ip
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let check = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&check.to_be_bytes());
    let mut frame = fabric.vtep_mac(vtep).0.to_vec();
    frame.extend([0; 6]);
    frame.extend([8, 0]);
    frame.extend(ip);
    frame.extend([0, 0]);
    frame.extend(4789u16.to_be_bytes());
    frame.extend(udp_len.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend([8, 0, 0, 0]);
    frame.extend((fabric.vni(network) << 8).to_be_bytes());
    frame.extend(inner);
    frame
}

/// Leaves out of a frame to a VTEP what follows from no rule: our MAC, and the source
/// port, which is returned.
///
/// # Errors
/// It is too short, or the port is out of the range for it.
pub fn take_off_choices(frame: &mut [u8]) -> Result<u16, String> {
    if frame.len() < OUTER {
        return Err(format!("{} bytes are no VXLAN packet", frame.len()));
    }
    let port = u16::from_be_bytes([frame[SOURCE_PORT.start], frame[SOURCE_PORT.start + 1]]);
    // RFC 7348, section 5: from the dynamic range.
    if port < 49152 {
        return Err(format!("outer source port {port}"));
    }
    frame[SOURCE_PORT].fill(0);
    frame[6..12].fill(0);
    Ok(port)
}

/// A frame of a network on the access interface.
#[must_use]
pub fn tagged(fabric: Fabric, network: u32, inner: &[u8]) -> Vec<u8> {
    let tag = [0x8100, fabric.vlan(network).unwrap_or_default()].map(u16::to_be_bytes);
    [&inner[..MACS], tag.as_flattened(), &inner[MACS..]].concat()
}
