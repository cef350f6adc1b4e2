//! VXLAN network identifiers (RFC 7348, 5).

use core::fmt;
use core::str::FromStr;

/// A VXLAN network identifier that may name a network: 1 to 16,777,215.
///
/// The field has 24 bits. Zero is refused here because no operator hands it out and several
/// switches treat it as "none"; a frame that carries it names an unknown network. Being non-zero,
/// it leaves its niche to `Option<Vni>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vni(core::num::NonZeroU32);

impl Vni {
    /// The smallest one.
    pub const MIN: u32 = 1;
    /// The largest one: 24 bits.
    pub const MAX: u32 = 0x00ff_ffff;

    /// `None` unless `value` is in 1..=0xff_ffff.
    #[inline]
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value > Self::MAX {
            return None;
        }
        match core::num::NonZeroU32::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// A number or a text that is no usable VNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VniError;

impl fmt::Display for VniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a VNI is a number from {} to {}", Vni::MIN, Vni::MAX)
    }
}

impl core::error::Error for VniError {}

impl TryFrom<u32> for Vni {
    type Error = VniError;

    fn try_from(value: u32) -> Result<Self, Self::Error> {
        Self::new(value).ok_or(VniError)
    }
}

impl From<Vni> for u32 {
    fn from(vni: Vni) -> Self {
        vni.get()
    }
}

impl FromStr for Vni {
    type Err = VniError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<u32>().map_err(|_| VniError)?.try_into()
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.get(), f)
    }
}

impl fmt::Debug for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vni({})", self.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_range_rfc7348_section_5() {
        assert_eq!(Vni::new(0), None);
        assert_eq!(Vni::new(1).map(Vni::get), Some(1));
        assert_eq!(Vni::new(0xff_ffff).map(Vni::get), Some(16_777_215));
        assert_eq!(Vni::new(0x100_0000), None);
    }

    #[test]
    fn text() {
        assert_eq!("1671".parse(), Ok(Vni::new(1671).unwrap()));
        assert_eq!("16777216".parse::<Vni>(), Err(VniError));
        assert_eq!("-1".parse::<Vni>(), Err(VniError));
        assert_eq!(Vni::new(1172).unwrap().to_string(), "1172");
    }

    #[test]
    fn an_optional_vni_costs_nothing() {
        assert_eq!(size_of::<Option<Vni>>(), 4);
    }
}
