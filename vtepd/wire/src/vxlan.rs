//! VXLAN (RFC 7348, 5).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Vni, ethernet, ipv4, ipv6, udp};

/// The UDP destination port that IANA assigned.
pub const PORT: u16 = 4789;
/// The one that Linux used before, and still does when none is given.
pub const PORT_LINUX: u16 = 8472;
/// The I flag, in the first byte: the VNI is valid. Must be set.
pub const FLAG_VNI: u8 = 0x08;

/// What a frame grows by over IPv4: inner Ethernet is payload, outer Ethernet is not counted in an
/// MTU. 20 + 8 + 8 + 14 = 50 bytes, whence the usual inner MTU of 1450.
pub const MTU_OVERHEAD_V4: usize =
    ipv4::Header::LEN + udp::Header::LEN + Header::LEN + ethernet::Header::LEN;
/// What a frame grows by over IPv6: 70 bytes.
pub const MTU_OVERHEAD_V6: usize =
    ipv6::Header::LEN + udp::Header::LEN + Header::LEN + ethernet::Header::LEN;

/// Between the outer UDP header and the inner frame.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Header {
    /// [`FLAG_VNI`]; all others are zero when sent and ignored when received.
    pub flags: u8,
    /// Zero when sent, ignored when received.
    pub reserved: [u8; 3],
    /// The VNI, 24 bits.
    pub vni: [u8; 3],
    /// Zero when sent, ignored when received.
    pub reserved2: u8,
}

impl Header {
    /// Bytes on the wire.
    pub const LEN: usize = 8;

    /// The header of a frame of this network.
    #[inline]
    #[must_use]
    pub const fn new(vni: Vni) -> Self {
        let [_, a, b, c] = vni.get().to_be_bytes();
        Self {
            flags: FLAG_VNI,
            reserved: [0; 3],
            vni: [a, b, c],
            reserved2: 0,
        }
    }

    /// Is the I flag set? Without it the frame is to be dropped.
    #[inline]
    #[must_use]
    pub const fn has_vni(&self) -> bool {
        self.flags & FLAG_VNI != 0
    }

    /// The number in the field, 0 to 0xff_ffff; [`Vni::new`] says whether it may name a network.
    #[inline]
    #[must_use]
    pub const fn vni(&self) -> u32 {
        let [a, b, c] = self.vni;
        u32::from_be_bytes([0, a, b, c])
    }

    /// Writes the field, and no other.
    #[inline]
    pub fn set_vni(&mut self, vni: Vni) {
        let [_, a, b, c] = vni.get().to_be_bytes();
        self.vni = [a, b, c];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_of_network_1671_byte_for_byte() {
        let vni = Vni::new(1671).unwrap();
        let mut header = Header::new(vni);
        assert_eq!(header.as_bytes(), [0x08, 0, 0, 0, 0x00, 0x06, 0x87, 0]);
        assert!(header.has_vni());
        assert_eq!(header.vni(), 1671);
        header.set_vni(Vni::new(0xff_ffff).unwrap());
        assert_eq!(header.as_bytes(), [0x08, 0, 0, 0, 0xff, 0xff, 0xff, 0]);
    }

    #[test]
    fn reserved_bits_are_ignored_on_receipt_rfc7348_section_5() {
        let bytes = [0xff, 0xff, 0xff, 0xff, 0x00, 0x06, 0x87, 0xff];
        let header = Header::ref_from_bytes(&bytes).unwrap();
        assert!(header.has_vni());
        assert_eq!(header.vni(), 1671);
        let without = [0xf7, 0, 0, 0, 0x00, 0x06, 0x87, 0];
        assert!(!Header::ref_from_bytes(&without).unwrap().has_vni());
    }

    #[test]
    fn overhead_is_50_and_70_bytes() {
        assert_eq!((MTU_OVERHEAD_V4, MTU_OVERHEAD_V6), (50, 70));
    }
}
