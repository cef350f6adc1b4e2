//! MAC addresses (IEEE 802, EUI-48).

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A 48-bit MAC address in wire order. Prints as `fa:16:3e:9a:b7:d4`.
#[derive(
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
)]
#[repr(transparent)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Bytes on the wire.
    pub const LEN: usize = 6;
    /// All ones: every station.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// All zeroes: no station; never a legal source or destination.
    pub const ZERO: Self = Self([0; 6]);

    /// The group bit is set; broadcast is multicast too.
    #[inline]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 0x01 != 0
    }

    /// Every bit is set.
    #[inline]
    #[must_use]
    pub const fn is_broadcast(self) -> bool {
        self.to_u64() == 0xffff_ffff_ffff
    }

    /// No bit is set.
    #[inline]
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.to_u64() == 0
    }

    /// One station: neither a group nor zero. What may stand in a source field.
    #[inline]
    #[must_use]
    pub const fn is_unicast(self) -> bool {
        !self.is_multicast() && !self.is_zero()
    }

    /// A group that 802.1D bridges never forward: `01:80:c2:00:00:00` to `…:0f` (STP, LACP, LLDP).
    #[inline]
    #[must_use]
    pub const fn is_link_local_group(self) -> bool {
        self.to_u64() & !0x0f == 0x0180_c200_0000
    }

    /// The address in the low 48 bits, first byte on the wire most significant; the rest zero.
    #[inline]
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// The address as a number to compute with.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> MacBits {
        MacBits(self.to_u64())
    }

    /// The inverse of [`Mac::to_u64`]; the upper 16 bits are ignored.
    #[inline]
    #[must_use]
    pub const fn from_u64(value: u64) -> Self {
        let [_, _, a, b, c, d, e, f] = value.to_be_bytes();
        Self([a, b, c, d, e, f])
    }

    /// Where an IPv4 group goes on Ethernet: `01:00:5e` and its low 23 bits (RFC 1112, 6.4).
    #[inline]
    #[must_use]
    pub const fn multicast_of_v4(group: Ipv4Addr) -> Self {
        let [_, b, c, d] = group.octets();
        Self([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }

    /// Where an IPv6 group goes on Ethernet: `33:33` and its low 32 bits (RFC 2464, 7).
    #[inline]
    #[must_use]
    pub const fn multicast_of_v6(group: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }
}

/// A MAC address in a register: what [`Mac::to_u64`] gives, loaded at once
/// ([`ethernet::Header::numbers`](crate::ethernet::Header::numbers)) rather than byte by byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MacBits(u64);

impl MacBits {
    /// Of the upper 48 bits of a number.
    #[inline(always)]
    pub(crate) const fn from_upper(value: u64) -> Self {
        Self(value >> 16)
    }

    /// The number.
    #[inline(always)]
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As [`Mac::is_multicast`].
    #[inline(always)]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0 & 1 << 40 != 0
    }

    /// As [`Mac::is_zero`].
    #[inline(always)]
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// As [`Mac::is_link_local_group`].
    #[inline(always)]
    #[must_use]
    pub const fn is_link_local_group(self) -> bool {
        self.0 & !0x0f == 0x0180_c200_0000
    }
}

impl From<Mac> for MacBits {
    #[inline(always)]
    fn from(mac: Mac) -> Self {
        mac.bits()
    }
}

impl From<MacBits> for Mac {
    #[inline(always)]
    fn from(bits: MacBits) -> Self {
        Self::from_u64(bits.0)
    }
}

impl From<[u8; 6]> for Mac {
    fn from(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// As [`fmt::Display`]: a list of decimal bytes helps nobody in a failed test.
impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseMacError {
    /// Not six groups.
    Groups(
        /// How many there are.
        usize,
    ),
    /// A group is not one or two hexadecimal digits.
    Digits {
        /// Which group, counted from 1.
        group: usize,
    },
    /// Both `:` and `-` separate the groups.
    MixedSeparators,
}

impl fmt::Display for ParseMacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Groups(count) => write!(
                f,
                "a MAC address has six groups separated by ':' or '-', as in fa:16:3e:00:00:01; \
                 found {count}"
            ),
            Self::Digits { group } => write!(
                f,
                "group {group} of the MAC address is not one or two hexadecimal digits"
            ),
            Self::MixedSeparators => {
                f.write_str("separate the groups of a MAC address by ':' or by '-', not by both")
            }
        }
    }
}

impl core::error::Error for ParseMacError {}

impl FromStr for Mac {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let separator = match (text.contains(':'), text.contains('-')) {
            (true, true) => return Err(ParseMacError::MixedSeparators),
            (false, true) => '-',
            _ => ':',
        };
        let count = text.split(separator).count();
        let mut bytes = [0; 6];
        if count != bytes.len() {
            return Err(ParseMacError::Groups(count));
        }
        for (at, (byte, digits)) in bytes.iter_mut().zip(text.split(separator)).enumerate() {
            let bad = ParseMacError::Digits { group: at + 1 };
            // `from_str_radix` takes a sign; an address has none.
            if digits.len() > 2 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(bad);
            }
            *byte = u8::from_str_radix(digits, 16).map_err(|_| bad)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        let mac: Mac = "fa:16:3e:9a:b7:d4".parse().unwrap();
        assert_eq!(mac, Mac([0xfa, 0x16, 0x3e, 0x9a, 0xb7, 0xd4]));
        assert_eq!(mac.to_string(), "fa:16:3e:9a:b7:d4");
        assert_eq!("FA-16-3E-9A-B7-D4".parse(), Ok(mac));
        assert_eq!("0:1:2:3:4:5".parse(), Ok(Mac([0, 1, 2, 3, 4, 5])));
    }

    #[test]
    fn text_that_is_no_address_says_why() {
        let error = |text: &str| text.parse::<Mac>().unwrap_err();
        assert_eq!(error("fa:16:3e:9a:b7"), ParseMacError::Groups(5));
        assert_eq!(error("fa:16:3e:9a:b7:d4:00"), ParseMacError::Groups(7));
        assert_eq!(error(""), ParseMacError::Groups(1));
        assert_eq!(error("fa163e9ab7d4"), ParseMacError::Groups(1));
        assert_eq!(
            error("fa:16:3e:9a:b7:xx"),
            ParseMacError::Digits { group: 6 }
        );
        assert_eq!(
            error("fa:16:+e:9a:b7:00"),
            ParseMacError::Digits { group: 3 }
        );
        assert_eq!(error("fa::3e:9a:b7:00"), ParseMacError::Digits { group: 2 });
        assert_eq!(
            error("fa:16:3e0:9a:b7:00"),
            ParseMacError::Digits { group: 3 }
        );
        assert_eq!(error("fa:16:3e-9a:b7:00"), ParseMacError::MixedSeparators);
        assert!(error("fa:16").to_string().contains("found 2"));
    }

    #[test]
    fn integer_round_trip() {
        let mac = Mac([0xfa, 0x16, 0x3e, 0x9a, 0xb7, 0xd4]);
        assert_eq!(mac.to_u64(), 0xfa16_3e9a_b7d4);
        assert_eq!(Mac::from_u64(0xdead_fa16_3e9a_b7d4), mac);
    }

    #[test]
    fn kinds() {
        assert!(Mac::BROADCAST.is_broadcast() && Mac::BROADCAST.is_multicast());
        assert!(Mac::ZERO.is_zero() && !Mac::ZERO.is_unicast());
        let vm = Mac([0xfa, 0x16, 0x3e, 0, 0, 1]);
        assert!(vm.is_unicast() && !vm.is_multicast() && !vm.is_broadcast());
        let lldp = Mac([0x01, 0x80, 0xc2, 0, 0, 0x0e]);
        assert!(lldp.is_link_local_group() && lldp.is_multicast());
        assert!(!Mac([0x01, 0x80, 0xc2, 0, 0, 0x10]).is_link_local_group());
    }

    #[test]
    fn groups_map_to_ethernet() {
        assert_eq!(
            Mac::multicast_of_v4(Ipv4Addr::new(239, 129, 2, 3)).to_string(),
            "01:00:5e:01:02:03"
        );
        assert_eq!(
            Mac::multicast_of_v6("ff02::1:ff28:9c5a".parse().unwrap()).to_string(),
            "33:33:ff:28:9c:5a"
        );
    }
}
