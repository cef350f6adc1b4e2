//! Ethernet II and VLAN tags (IEEE 802.3, 802.1Q, 802.1ad).

use core::fmt;
use core::str::FromStr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Mac, MacBits};

/// IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// A customer VLAN tag (802.1Q).
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// A service VLAN tag (802.1ad), the outer one of two.
pub const ETHERTYPE_QINQ: u16 = 0x88a8;
/// From this value on the field is an ethertype; below, it is an 802.3 length.
pub const ETHERTYPE_MIN: u16 = 0x0600;

/// Shortest frame on a wire, without the frame check sequence: shorter ones are padded.
pub const MIN_FRAME_LEN: usize = 60;

/// Is `ethertype` that of a VLAN tag, of either kind?
#[inline]
#[must_use]
pub const fn is_tag(ethertype: u16) -> bool {
    ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_QINQ
}

/// What every frame begins with.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Header {
    /// To whom.
    pub destination: Mac,
    /// From whom.
    pub source: Mac,
    /// What follows: an ethertype, or a tag's when a [`Tag`] follows.
    pub ethertype: U16,
}

impl Header {
    /// Bytes on the wire.
    pub const LEN: usize = 14;

    /// A header of these values.
    #[inline]
    #[must_use]
    pub const fn new(destination: Mac, source: Mac, ethertype: u16) -> Self {
        Self {
            destination,
            source,
            ethertype: U16::new(ethertype),
        }
    }

    /// Its fields as numbers, by two overlapping loads of eight bytes.
    #[inline(always)]
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let bytes: &[u8; Self::LEN] = zerocopy::transmute_ref!(self);
        let front = bytes
            .first_chunk()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let back = bytes
            .last_chunk()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Numbers {
            destination: MacBits::from_upper(front),
            source: MacBits::from_upper(back),
            ethertype: back as u16,
        }
    }
}

/// The fields of a [`Header`] as numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbers {
    /// To whom.
    pub destination: MacBits,
    /// From whom.
    pub source: MacBits,
    /// What follows.
    pub ethertype: u16,
}

/// What follows the ethertype [`ETHERTYPE_VLAN`] or [`ETHERTYPE_QINQ`].
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Tag {
    /// Priority (3 bits), drop eligible (1 bit), VLAN identifier (12 bits).
    pub tci: U16,
    /// What follows the tag.
    pub ethertype: U16,
}

impl Tag {
    /// Bytes on the wire.
    pub const LEN: usize = 4;

    /// A tag of priority 0.
    #[inline]
    #[must_use]
    pub const fn new(vlan: VlanId, ethertype: u16) -> Self {
        Self {
            tci: U16::new(vlan.get()),
            ethertype: U16::new(ethertype),
        }
    }

    /// The raw identifier, 0 to 4095; 0 is a priority tag and names no VLAN.
    #[inline]
    #[must_use]
    pub const fn vid(&self) -> u16 {
        self.tci.get() & VlanId::MASK
    }

    /// Priority code point, 0 to 7.
    #[inline]
    #[must_use]
    pub const fn pcp(&self) -> u8 {
        (self.tci.get() >> 13) as u8
    }

    /// Drop eligible indicator.
    #[inline]
    #[must_use]
    pub const fn dei(&self) -> bool {
        self.tci.get() & 0x1000 != 0
    }
}

/// A VLAN identifier that may name a VLAN: 1 to 4094 (802.1Q table 9-2 reserves 0 and 4095).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanId(u16);

impl VlanId {
    /// The smallest one.
    pub const MIN: u16 = 1;
    /// The largest one.
    pub const MAX: u16 = 4094;
    /// The bits of a tag's TCI that hold it.
    pub const MASK: u16 = 0x0fff;

    /// `None` unless `value` is in 1..=4094.
    #[inline]
    #[must_use]
    pub const fn new(value: u16) -> Option<Self> {
        if value < Self::MIN || value > Self::MAX {
            None
        } else {
            Some(Self(value))
        }
    }

    /// The number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A number or a text that is no usable VLAN identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanIdError;

impl fmt::Display for VlanIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a VLAN identifier is a number from {} to {}",
            VlanId::MIN,
            VlanId::MAX
        )
    }
}

impl core::error::Error for VlanIdError {}

impl TryFrom<u16> for VlanId {
    type Error = VlanIdError;

    fn try_from(value: u16) -> Result<Self, Self::Error> {
        Self::new(value).ok_or(VlanIdError)
    }
}

impl From<VlanId> for u16 {
    fn from(vlan: VlanId) -> Self {
        vlan.get()
    }
}

impl FromStr for VlanId {
    type Err = VlanIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<u16>().map_err(|_| VlanIdError)?.try_into()
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VlanId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_in_place() {
        let mut bytes = *b"\xff\xff\xff\xff\xff\xff\xfa\x16\x3e\x9a\xb7\xd4\x08\x06rest";
        let (header, rest) = Header::mut_from_prefix(&mut bytes).unwrap();
        assert!(header.destination.is_broadcast());
        assert_eq!(header.ethertype.get(), ETHERTYPE_ARP);
        assert_eq!(rest, b"rest");
        header.destination = header.source;
        assert_eq!(bytes[..6], bytes[6..12]);
        assert!(Header::ref_from_prefix(&bytes[..13]).is_err());
    }

    #[test]
    fn sizes_are_those_of_the_wire() {
        assert_eq!(size_of::<Header>(), Header::LEN);
        assert_eq!(size_of::<Tag>(), Tag::LEN);
    }

    #[test]
    fn tag_fields() {
        let (tag, _) = Tag::ref_from_prefix(&[0xb0, 0x64, 0x08, 0x00]).unwrap();
        assert_eq!((tag.vid(), tag.pcp(), tag.dei()), (100, 5, true));
        assert!(is_tag(ETHERTYPE_QINQ) && is_tag(ETHERTYPE_VLAN) && !is_tag(ETHERTYPE_IPV4));
    }

    #[test]
    fn vlan_identifiers() {
        assert_eq!(VlanId::new(0), None);
        assert_eq!(VlanId::new(4095), None);
        assert_eq!("4094".parse::<VlanId>().map(VlanId::get), Ok(4094));
        assert_eq!("vlan7".parse::<VlanId>(), Err(VlanIdError));
        assert_eq!(
            Tag::new(VlanId::new(100).unwrap(), ETHERTYPE_IPV4).as_bytes(),
            [0, 100, 8, 0]
        );
    }
}
